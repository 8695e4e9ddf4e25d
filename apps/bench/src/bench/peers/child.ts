/**
 * The process one library runs in. Libraries would disturb each other otherwise: some start threads
 * that spin, some change globals. The parent sends a task, then asks for turns.
 */

import { openPeer, type PeerName } from "./open.js";
import type { Prepared, Task } from "./peer.js";

/** What the parent asks for. */
export type Request =
  | { readonly kind: "open"; readonly peer: PeerName; readonly threads: number }
  | { readonly kind: "prepare"; readonly task: Task; readonly inputs: readonly Float32Array[] }
  /** Runs `runs` times. */
  | { readonly kind: "turn"; readonly runs: number }
  | { readonly kind: "result" }
  | { readonly kind: "figures" }
  | { readonly kind: "release" };

/** What the child answers: to a request its reply, or that it failed. */
export type Reply = Replies[keyof Replies] | { readonly kind: "failed"; readonly message: string };

/** The reply to each request. */
export interface Replies {
  readonly open: { readonly kind: "open"; readonly settings: string };
  readonly prepare: { readonly kind: "prepare"; readonly able: boolean };
  readonly turn: { readonly kind: "turn"; readonly milliseconds: number };
  readonly result: { readonly kind: "result"; readonly data: Float32Array };
  readonly figures: {
    readonly kind: "figures";
    readonly figures: Readonly<Record<string, number>>;
  };
  readonly release: { readonly kind: "release" };
}

let peer: Awaited<ReturnType<typeof openPeer>> | null = null;
let prepared: Prepared | null = null;

async function answer(request: Request): Promise<Reply> {
  switch (request.kind) {
    case "open":
      peer = await openPeer(request.peer, request.threads);
      return { kind: "open", settings: peer.settings };
    case "prepare":
      prepared = await peer!.prepare(request.task, request.inputs);
      return { kind: "prepare", able: prepared !== null };
    case "turn": {
      const start = performance.now();
      for (let i = 0; i < request.runs; i++) await prepared!.run();
      return { kind: "turn", milliseconds: performance.now() - start };
    }
    case "result":
      return { kind: "result", data: await prepared!.result() };
    case "figures":
      return { kind: "figures", figures: prepared!.figures?.() ?? {} };
    case "release":
      prepared?.release();
      prepared = null;
      return { kind: "release" };
  }
}

process.on("message", (request: Request) => {
  answer(request).then(
    (reply) => process.send!(reply),
    (error: unknown) => process.send!({ kind: "failed", message: String(error) } satisfies Reply),
  );
});
