/** Runs an example by its name: `pnpm example NAME [--full] [FILE…]`. */

import { readdir } from "node:fs/promises";

const helpers = ["main", "command-line", "markov"];
const names = (await readdir(import.meta.dirname))
  .map((file) => file.replace(/\.ts$/, ""))
  .filter((name) => !helpers.includes(name));
const name = process.argv[2] ?? "--help";
if (names.includes(name)) await import(`./${name}.js`);
else {
  console.log(`pnpm example NAME [--full], where NAME is one of ${names.sort().join(", ")}`);
  process.exitCode = name === "--help" ? 0 : 1;
}
