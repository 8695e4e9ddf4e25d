/** Headers that the page is served with. */

/** Makes pages cross-origin isolated, so that they may share memory with threads. */
export const isolation: Record<string, string> = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};
