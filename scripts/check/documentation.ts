import { relative } from "node:path";
import { command, fail, pass, root, type Outcome } from "./check.js";
import { publicPackages } from "./packages.js";

/** Makes sure that every public symbol has a doc comment and that links in them lead somewhere. */
export async function checkDocumentation(): Promise<Outcome> {
  const packages = publicPackages();
  const entries = packages.flatMap((package_) => package_.entries);
  const { succeeded, output } = await command("typedoc", [
    // Without it, only symbols of the root package would need a comment.
    ...packages.flatMap(({ name }) => ["--packagesRequiringDocumentation", name]),
    ...entries.map(({ source }) => relative(root, source)),
  ]);
  return succeeded ? pass() : fail(output);
}
