/** The libraries by name. */

import type { Peer } from "./peer.js";

/** Names as `--peers` takes them. */
export const peerNames = ["ours", "ours-256", "jax", "tfjs", "ort-web", "ort-node"] as const;

/** A library's name; our model package stands in for ours where models are trained. */
export type PeerName = (typeof peerNames)[number] | "miniformer";

/** Our own library at its settings; `ours-256` is with `enableRevectorization()`, for Node ≥ 24. */
export const ourNames: readonly PeerName[] = ["ours", "ours-256"];

/** Those that this runtime can load. */
export const availablePeerNames: readonly PeerName[] = peerNames.filter(
  (name) => name !== "ours-256" || Number(process.versions.node.split(".")[0]) >= 24,
);

/**
 * Those that run native code. They are marks rather than competitors, and their threads spin after
 * each run, so they are measured when nobody else is.
 */
export const nativePeerNames: ReadonlySet<PeerName> = new Set(["ort-node"]);

/** Loads a library; each is loaded only in its own process. */
export async function openPeer(name: PeerName, threads: number): Promise<Peer> {
  switch (name) {
    case "ours":
      return (await import("./ours.js")).ours(threads);
    case "ours-256":
      return (await import("./ours.js")).ours256(threads);
    case "miniformer":
      return (await import("./miniformer.js")).miniformer(threads);
    case "jax":
      return (await import("./jax.js")).jax();
    case "tfjs":
      return (await import("./tfjs.js")).tensorflow();
    case "ort-web":
      return (await import("./onnx.js")).onnxWeb(threads);
    case "ort-node":
      return (await import("./onnx.js")).onnxNode(threads);
  }
}
