/**
 * The process one library runs in. Libraries would disturb each other otherwise: some start threads
 * that spin, some change globals. The parent sends a task, then asks for turns.
 */

import { peerNames, openPeer, type PeerName } from "./open.js";
import type { Prepared, Task } from "./peer.js";

/** What the parent asks for. */
export type Request =
  | { readonly kind: "open"; readonly peer: PeerName; readonly threads: number }
  | { readonly kind: "prepare"; readonly task: Task; readonly inputs: readonly Float32Array[] }
  /** Runs `runs` times. */
  | { readonly kind: "turn"; readonly runs: number }
  | { readonly kind: "result" }
  | { readonly kind: "bytes" }
  | { readonly kind: "release" };

/** What the child answers. */
export type Reply =
  | { readonly kind: "done" }
  | { readonly kind: "opened"; readonly settings: string }
  | { readonly kind: "prepared"; readonly able: boolean }
  | { readonly kind: "timed"; readonly milliseconds: number }
  | { readonly kind: "result"; readonly data: Float32Array }
  | { readonly kind: "bytes"; readonly bytes: number }
  | { readonly kind: "failed"; readonly message: string };

let peer: Awaited<ReturnType<typeof openPeer>> | null = null;
let prepared: Prepared | null = null;

async function answer(request: Request): Promise<Reply> {
  switch (request.kind) {
    case "open":
      if (!peerNames.includes(request.peer)) throw new Error(`unknown library ${request.peer}`);
      peer = await openPeer(request.peer, request.threads);
      return { kind: "opened", settings: peer.settings };
    case "prepare":
      prepared = await peer!.prepare(request.task, request.inputs);
      return { kind: "prepared", able: prepared !== null };
    case "turn": {
      const start = performance.now();
      for (let i = 0; i < request.runs; i++) await prepared!.run();
      return { kind: "timed", milliseconds: performance.now() - start };
    }
    case "result":
      return { kind: "result", data: await prepared!.result() };
    case "bytes":
      return { kind: "bytes", bytes: prepared!.intermediateBytes?.() ?? NaN };
    case "release":
      prepared?.release();
      prepared = null;
      return { kind: "done" };
  }
}

process.on("message", (request: Request) => {
  answer(request).then(
    (reply) => process.send!(reply),
    (error: unknown) => process.send!({ kind: "failed", message: String(error) } satisfies Reply),
  );
});
