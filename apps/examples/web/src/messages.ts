/** What the page and its worker tell each other. */

/** What the page asks for: first to train, then to write as often as one likes. */
export type Request =
  | { readonly kind: "train"; readonly text: string; readonly steps: number }
  | { readonly kind: "write"; readonly beginning: string };

/** What the worker tells, in the order of doing. */
export type Report =
  | { readonly kind: "step"; readonly step: number; readonly bitsPerByte: number }
  | { readonly kind: "trained" }
  | { readonly kind: "written"; readonly text: string; readonly isEnd: boolean }
  | { readonly kind: "failed"; readonly sentence: string };
