/** A library in its own process, seen from the parent. */

import { fork, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Reply, Request } from "./child.js";
import type { PeerName } from "./open.js";
import type { Task } from "./peer.js";

/** One library's process. */
export class RemotePeer {
  readonly name: PeerName;
  readonly settings: string;
  readonly #child: ChildProcess;

  private constructor(name: PeerName, settings: string, child: ChildProcess) {
    this.name = name;
    this.settings = settings;
    this.#child = child;
  }

  /** Starts the process and loads the library; `nodeOptions` are flags for Node. */
  static async open(
    name: PeerName,
    threads: number,
    nodeOptions: readonly string[] = [],
  ): Promise<RemotePeer> {
    const child = fork(fileURLToPath(new URL("child.js", import.meta.url)), [], {
      execArgv: [...process.execArgv, ...nodeOptions],
      serialization: "advanced",
      // Some libraries greet on standard output.
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    const reply = await ask(child, { kind: "open", peer: name, threads });
    if (reply.kind !== "opened") throw new Error(`${name} did not open`);
    return new RemotePeer(name, reply.settings, child);
  }

  /** Makes a task ready; `false` where the library cannot do it. */
  async prepare(task: Task, inputs: readonly Float32Array[]): Promise<boolean> {
    const reply = await ask(this.#child, { kind: "prepare", task, inputs });
    return reply.kind === "prepared" && reply.able;
  }

  /** Runs the prepared task; gives the milliseconds for all runs together. */
  async turn(runs: number): Promise<number> {
    const reply = await ask(this.#child, { kind: "turn", runs });
    if (reply.kind !== "timed") throw new Error(`${this.name} did not run`);
    return reply.milliseconds;
  }

  /** The result of the latest run. */
  async result(): Promise<Float32Array> {
    const reply = await ask(this.#child, { kind: "result" });
    if (reply.kind !== "result") throw new Error(`${this.name} gave no result`);
    return reply.data;
  }

  /** Bytes of intermediates, NaN where the library does not tell. */
  async intermediateBytes(): Promise<number> {
    const reply = await ask(this.#child, { kind: "bytes" });
    return reply.kind === "bytes" ? reply.bytes : NaN;
  }

  async release(): Promise<void> {
    await ask(this.#child, { kind: "release" });
  }

  close(): void {
    this.#child.kill();
  }
}

function ask(child: ChildProcess, request: Request): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const finish = (act: () => void): void => {
      child.off("message", onMessage);
      child.off("exit", onExit);
      act();
    };
    const onMessage = (reply: Reply): void =>
      finish(() => {
        if (reply.kind === "failed") reject(new Error(reply.message));
        else resolve(reply);
      });
    const onExit = (code: number | null): void =>
      finish(() => reject(new Error(`the process ended with code ${code}`)));
    child.on("message", onMessage);
    child.on("exit", onExit);
    child.send(request);
  });
}
