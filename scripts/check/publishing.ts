import { command, fail, pass, type Outcome } from "./check.js";
import { withTarballs } from "./packages.js";

/** Runs publint on what would be published. */
export function checkManifests(): Promise<Outcome> {
  return checkTarballs((tarball) => ["publint", "--strict", tarball]);
}

/** Asks "are the types wrong?" of what would be published. */
export function checkTypeResolution(): Promise<Outcome> {
  return checkTarballs((tarball) => [
    "attw",
    "--profile=esm-only",
    "--no-definitely-typed",
    "--format=ascii",
    "--no-emoji",
    tarball,
  ]);
}

function checkTarballs(commandFor: (tarball: string) => [string, ...string[]]): Promise<Outcome> {
  return withTarballs(async (tarballs) => {
    const complaints: string[] = [];
    for (const tarball of tarballs.values()) {
      const [tool, ...toolArguments] = commandFor(tarball);
      const { succeeded, output } = await command(tool, toolArguments);
      if (!succeeded) complaints.push(output);
    }
    return complaints.length === 0 ? pass() : fail(complaints.join("\n"));
  });
}
