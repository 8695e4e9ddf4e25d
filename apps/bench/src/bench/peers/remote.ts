/** A library in its own process, seen from the parent. */

import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Replies, Reply, Request } from "./child.js";
import type { Notice } from "./guard.js";
import type { PeerName } from "./open.js";
import type { Task } from "./peer.js";

const scriptAt = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

let guard: ChildProcess | null = null;

function tellGuard(notice: Notice): void {
  if (guard === null) {
    // A group of its own: Ctrl-C must not reach it.
    guard = fork(scriptAt("guard.js"), [], {
      detached: true,
      stdio: ["ignore", "ignore", "ignore", "ipc"],
    });
    guard.unref();
    guard.channel!.unref();
  }
  guard.send(notice);
}

/** Windows cannot stop a process; there, threads that spin when idle disturb the others a little. */
const canStop = process.platform !== "win32";

/**
 * One library's process. It stands still unless it was asked something, so that whatever its
 * threads do when they are idle takes nothing from the library that is being measured.
 */
export class RemotePeer {
  readonly name: PeerName;
  readonly settings: string;
  readonly #child: ChildProcess;

  private constructor(name: PeerName, settings: string, child: ChildProcess) {
    this.name = name;
    this.settings = settings;
    this.#child = child;
  }

  /** Starts the process and loads the library. */
  static async open(name: PeerName, threads: number): Promise<RemotePeer> {
    const child = fork(scriptAt("child.js"), [], {
      serialization: "advanced",
      // Some libraries greet on standard output.
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    const pid = child.pid!;
    tellGuard({ pid, isLiving: true });
    child.once("exit", () => tellGuard({ pid, isLiving: false }));
    try {
      const { settings } = await ask(child, { kind: "open", peer: name, threads });
      return new RemotePeer(name, settings, child);
    } catch (error) {
      child.kill("SIGKILL");
      throw error;
    }
  }

  /** Makes a task ready; `false` where the library cannot do it. */
  async prepare(task: Task, inputs: readonly Float32Array[]): Promise<boolean> {
    return (await ask(this.#child, { kind: "prepare", task, inputs })).able;
  }

  /** Runs the prepared task; gives the milliseconds for all runs together. */
  async turn(runs: number): Promise<number> {
    return (await ask(this.#child, { kind: "turn", runs })).milliseconds;
  }

  /** The result of the latest run. */
  async result(): Promise<Float32Array> {
    return (await ask(this.#child, { kind: "result" })).data;
  }

  /** Facts about the latest run, where the library tells. */
  async figures(): Promise<Readonly<Record<string, number>>> {
    return (await ask(this.#child, { kind: "figures" })).figures;
  }

  async release(): Promise<void> {
    await ask(this.#child, { kind: "release" });
  }

  /** Ends the process; resolves when it is gone. */
  async close(): Promise<void> {
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== null || signalCode !== null) return;
    const gone = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await gone;
  }
}

function ask<K extends Request["kind"]>(
  child: ChildProcess,
  request: Request & { readonly kind: K },
): Promise<Replies[K]> {
  return new Promise((resolve, reject) => {
    const finish = (act: () => void): void => {
      child.off("message", onMessage);
      child.off("exit", onExit);
      act();
    };
    const onMessage = (reply: Reply): void =>
      finish(() => {
        if (canStop) child.kill("SIGSTOP");
        if (reply.kind === "failed") reject(new Error(reply.message));
        else resolve(reply as Replies[K]);
      });
    const onExit = (code: number | null, signal: string | null): void =>
      finish(() => reject(new Error(`the process ended (${signal ?? `code ${code}`})`)));
    child.on("message", onMessage);
    child.on("exit", onExit);
    if (canStop) child.kill("SIGCONT");
    child.send(request);
  });
}
