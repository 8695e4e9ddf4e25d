import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build, type Platform } from "esbuild";
import { afterEach, describe, expect, test, vi } from "vitest";
import { runShader } from "../../test/run-shader.js";
import { requestGpu } from "./request.js";

const runs = promisify(execFile);
const folder = fileURLToPath(new URL("../..", import.meta.url));

afterEach(() => {
  vi.unstubAllGlobals();
});

describe("requestGpu", () => {
  test("finds the GPU of the tests, which computes", async () => {
    const { device, owned } = await requestGpu();
    expect(owned).toBe(true);
    expect(await runShader(device, "x[id.x] = x[id.x] * 2.0 + 1.0;", [0, 1, 2.5])).toEqual([
      1, 3, 6,
    ]);
    device.destroy();
  });

  test("asks for the limits and the useful features of the adapter", async () => {
    const { device, info } = await requestGpu();
    // Devices that ask for nothing have 128 MiB and no features.
    expect(device.limits.maxStorageBufferBindingSize).toBeGreaterThan(128 * 2 ** 20);
    expect(info).toMatchObject({
      maxStorageBufferBindingSize: device.limits.maxStorageBufferBindingSize,
      maxComputeInvocationsPerWorkgroup: device.limits.maxComputeInvocationsPerWorkgroup,
    });
    expect(device.features.has("timestamp-query")).toBe(true);
    expect(info.features).toContain("timestamp-query");
    device.destroy();
  });

  test.runIf(process.platform === "linux" && process.arch === "x64" && !process.env.X_GPU)(
    "finds SwiftShader on Linux, whatever the machine has",
    async () => {
      const { device, info } = await requestGpu();
      expect(info).toMatchObject({ vendor: "google", architecture: "swiftshader" });
      device.destroy();
    },
  );

  test("takes a device as it is", async () => {
    const { device } = await requestGpu({ features: [] });
    const gpu = await requestGpu({ device });
    expect(gpu.device).toBe(device);
    expect(gpu.owned).toBe(false);
    expect(gpu.info.features).toBe("");
    device.destroy();
  });

  test("has no other features than those asked for", async () => {
    const { device } = await requestGpu({ features: ["timestamp-query"] });
    expect(device.features.has("timestamp-query")).toBe(true);
    expect(device.features.has("subgroups")).toBe(false);
    device.destroy();
  });

  test("refuses features that the adapter lacks", async () => {
    await expect(requestGpu({ features: ["timestamp-query", "teapots"] })).rejects.toMatchObject({
      code: "unsupported",
      message:
        "webgpu: the adapter must have the features asked for, got one without teapots. Leave them out of `features`.",
    });
  });

  test("uses navigator.gpu where there is one, and says when it has no adapter", async () => {
    const requestAdapter = vi.fn(() => Promise.resolve(null));
    vi.stubGlobal("navigator", { gpu: { requestAdapter } });
    await expect(requestGpu({ powerPreference: "low-power" })).rejects.toMatchObject({
      code: "device",
      message: expect.stringMatching(/^webgpu: a GPU adapter is needed, got none\. /) as string,
    });
    expect(requestAdapter).toHaveBeenCalledExactlyOnceWith({ powerPreference: "low-power" });
  });

  test("does without a navigator", async () => {
    vi.stubGlobal("navigator", undefined);
    const { device } = await requestGpu();
    device.destroy();
  });

  test("says when an adapter gives no device", async () => {
    // An adapter with no more than what is asked of it.
    const adapter = {
      features: new Set(),
      limits: {} as GPUSupportedLimits,
      requestDevice: () => Promise.reject(new Error("the adapter is consumed")),
    } as Partial<GPUAdapter> as GPUAdapter;
    await expect(requestGpu({ adapter })).rejects.toMatchObject({
      code: "device",
      message:
        "webgpu: the adapter must give a device, got: the adapter is consumed. Pass an adapter from which no device was requested yet.",
    });
  });

  test("keeps devices alive, and lets the process end by itself", async () => {
    expect(await outputOf("compute.ts")).toBe("2 4 6 8\n2 4 6 8\n");
  });

  test("lets the process end after a device was lost", async () => {
    expect(await outputOf("lose.ts")).toBe("device\ndevice\n");
  });
});

describe("what a bundler makes of it", () => {
  test("for Node, without the package: says what to install", async () => {
    expect(await failureOf("node")).toBe(
      "unsupported webgpu: WebGPU is needed, got a Node without it. Install the package that brings it: npm install webgpu.\n",
    );
  });

  test("for browsers: nothing of Node, and a sentence of its own", async () => {
    expect(await bundle("browser")).not.toMatch(/npm install|node:|import\(/);
    expect(await failureOf("browser")).toMatch(
      /^unsupported webgpu: WebGPU is needed, got a runtime without navigator\.gpu\. /,
    );
  });
});

/** What a program of `test/programs` prints, which has to end by itself. */
async function outputOf(name: string): Promise<string> {
  const program = join(folder, "test/programs", name);
  const flags = ["--expose-gc", "--import=tsx", "--conditions=@x/source"];
  return (await runs(process.execPath, [...flags, program], { timeout: 20_000 })).stdout;
}

/** One file with everything that a program needs which asks for a GPU and prints why it got none. */
async function bundle(platform: Platform): Promise<string> {
  const contents = `
    import { requestGpu } from "./src/adapter/request.js";
    requestGpu().catch(({ code, message }) => console.log(code, message));`;
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: folder },
    bundle: true,
    write: false,
    platform,
    format: "esm",
    conditions: ["@x/source"],
  });
  return outputFiles[0]!.text;
}

/** What that program prints in Node, far from any installed package. */
async function failureOf(platform: Platform): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), "x-gpu-"));
  try {
    const program = join(home, "program.mjs");
    await writeFile(program, await bundle(platform));
    return (await runs(process.execPath, [program], { timeout: 20_000 })).stdout;
  } finally {
    await rm(home, { recursive: true });
  }
}
