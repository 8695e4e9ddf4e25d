/**
 * `pnpm swiftshader COMMAND…` runs a command where WebGPU works without a GPU, e.g.
 * `pnpm swiftshader pnpm start --device webgpu`.
 */
import { spawnSync } from "node:child_process";
import { provideSwiftShader } from "./swiftshader.js";

const [file, ...commandArguments] = process.argv.slice(2);
if (file === undefined) throw new Error("Usage: pnpm swiftshader COMMAND [ARGUMENT…]");
provideSwiftShader();
const { status, error } = spawnSync(file, commandArguments, { stdio: "inherit" });
if (error) throw error;
process.exit(status ?? 1);
