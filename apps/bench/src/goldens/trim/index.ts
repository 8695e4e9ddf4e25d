import type { Part } from "../areas.js";
export const partsOfTrim = (): Part[] => { throw new Error("TODO"); };
