import type { Runner } from "../subject.js";
export const runSchedule: Runner = () => { throw new Error("TODO"); };
