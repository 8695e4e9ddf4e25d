/** What an example was started with: `pnpm example NAME [--full] [FILE…]`. */

const words = process.argv.slice(3);

/** Whether it runs at the size that takes minutes; else it takes seconds, as its test does. */
export const isFull: boolean = words.includes("--full");

/** Files or folders of one's own. */
export const files: readonly string[] = words.filter((word) => !word.startsWith("--"));
