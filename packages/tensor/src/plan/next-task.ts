/** The end of the current task of the event loop, as soon as it comes. */

interface Channel {
  readonly port1: { onmessage: (() => void) | null };
  readonly port2: { postMessage(message: null): void };
}

const runtime = globalThis as {
  setImmediate?: (callback: () => void) => unknown;
  MessageChannel?: new () => Channel;
};

/** Calls `resume` in a task of its own; timers, which pages delay by milliseconds, are the last choice. */
export const nextTask: (resume: () => void) => void =
  runtime.setImmediate ?? (runtime.MessageChannel ? byMessage(runtime.MessageChannel) : byTimer);

function byMessage(MessageChannel: new () => Channel): (resume: () => void) => void {
  let channel: Channel | null = null;
  const waiting: (() => void)[] = [];
  return (resume) => {
    if (channel === null) {
      channel = new MessageChannel();
      channel.port1.onmessage = () => waiting.shift()?.();
    }
    waiting.push(resume);
    channel.port2.postMessage(null);
  };
}

function byTimer(resume: () => void): void {
  setTimeout(resume, 0);
}
