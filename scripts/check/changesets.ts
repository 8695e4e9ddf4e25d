import getReleasePlan from "@changesets/get-release-plan";
import { fail, pass, root, type Outcome } from "./check.js";

/** Makes sure that the pending changesets are well formed and name packages that exist. */
export async function checkChangesets(): Promise<Outcome> {
  try {
    const { changesets, releases } = await getReleasePlan(root);
    const changing = releases.filter(({ type }) => type !== "none");
    const versions = new Set(changing.map(({ newVersion }) => newVersion));
    return pass(`${changesets.length} pending, next version ${[...versions].join(", ") || "none"}`);
  } catch (error) {
    return fail(String(error));
  }
}
