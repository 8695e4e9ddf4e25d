import { command } from "./check.js";

/** The path of another version of Node, brought by the npm package `node`. */
export async function findNode(version: string): Promise<string> {
  const print = ["--", "node", "--print", "process.execPath"];
  const result = await command("npx", ["--yes", `--package=node@${version}`, ...print]);
  if (!result.succeeded) throw new Error(`Node ${version} is not to be had:\n${result.output}`);
  return result.stdout.trim();
}
