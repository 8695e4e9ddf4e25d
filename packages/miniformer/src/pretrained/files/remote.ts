/** Checkpoints behind a URL. */

import { openSafetensors } from "@x/tensor/safetensors";
import type { CheckpointFiles, ReadOptions } from "./checkpoint-files.js";
import { reasonOf } from "../../runtime/reason.js";
import { explained, unloadable } from "./failure.js";

/** Statuses with which servers say that there is no such file. */
const absent: readonly number[] = [403, 404, 410];

/** Gets a file; `fetch` itself unless users pass another function. */
export type Fetch = (url: URL, init: { readonly signal?: AbortSignal }) => Promise<Response>;

/** The files behind a URL, which are fetched whole, one after the other. */
export function remoteFiles(folder: URL, fetch: Fetch): CheckpointFiles {
  const base = new URL(folder);
  if (!base.pathname.endsWith("/")) base.pathname += "/";
  const get = async <T>(
    name: string,
    options: ReadOptions,
    read: (response: Response) => Promise<T>,
  ): Promise<T | null> => {
    const url = new URL(name, base);
    // Signatures and the like hold for every file.
    url.search = base.search;
    const { signal } = options;
    try {
      const response = await fetch(url, signal === undefined ? {} : { signal });
      if (absent.includes(response.status)) return null;
      if (!response.ok) throw new Error(`status ${response.status}`);
      return await read(response);
    } catch (error) {
      const message = `${url.href} could not be fetched, got ${JSON.stringify(reasonOf(error))}. Check the address and the connection.`;
      throw explained(error, signal, message);
    }
  };
  return {
    place: base.href,
    opensCheaply: false,
    text: async (name, options) => get(name, options, async (response) => response.text()),
    open: async (name, options) =>
      get(name, options, async (response) =>
        openSafetensors(await bytesOf(name, response, options)),
      ),
  };
}

/** How many bytes the body will have, or `null` where the server does not say. */
function lengthOf(response: Response): number | null {
  const length = response.headers.get("content-length");
  // Of a body that is compressed on its way, the header gives another length.
  const isPlain = (response.headers.get("content-encoding") ?? "identity") === "identity";
  return isPlain && length !== null && /^\d+$/.test(length) ? Number(length) : null;
}

async function bytesOf(
  file: string,
  response: Response,
  { onProgress, signal }: ReadOptions,
): Promise<Uint8Array> {
  const totalBytes = lengthOf(response);
  if (response.body === null) return new Uint8Array(await response.arrayBuffer());
  let bytes = new Uint8Array(totalBytes ?? 1 << 20);
  let loadedBytes = 0;
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    signal?.throwIfAborted();
    if (done) break;
    if (loadedBytes + value.length > bytes.length) {
      const longer = new Uint8Array(Math.max(2 * bytes.length, loadedBytes + value.length));
      longer.set(bytes.subarray(0, loadedBytes));
      bytes = longer;
    }
    bytes.set(value, loadedBytes);
    loadedBytes += value.length;
    onProgress?.({ file, loadedBytes, totalBytes });
  }
  if (totalBytes !== null && loadedBytes !== totalBytes) {
    throw unloadable(
      `${file} must have ${totalBytes} bytes, got ${loadedBytes}: the connection ended early. Load again.`,
    );
  }
  return bytes.subarray(0, loadedBytes);
}
