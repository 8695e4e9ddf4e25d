import { describe, expect, test } from "vitest";
import { validateShader } from "./null-backend.js";

describe("validateShader", () => {
  test("finds nothing wrong with a valid shader", async () => {
    const faults = await validateShader(`
      @group(0) @binding(0) var<storage, read_write> x: array<f32>;
      @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
        x[id.x] = x[id.x] * 2.0 + 1.0;
      }`);
    expect(faults).toEqual([]);
  });

  test("knows optional features", async () => {
    const faults = await validateShader(`
      enable f16;
      enable subgroups;
      @group(0) @binding(0) var<storage, read_write> x: array<f16>;
      @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
        x[id.x] = subgroupAdd(x[id.x]);
      }`);
    expect(faults).toEqual([]);
  });

  test("says where the fault is", async () => {
    const wgsl = "@compute @workgroup_size(64) fn main() {\n  let x: f32 = 1u;\n}";
    expect(await validateShader(wgsl)).toEqual([
      "2:7 cannot initialize 'let' of type 'f32' with value of type 'u32'",
    ]);
  });

  test("holds the shader against the limits of the device", async () => {
    const [fault] = await validateShader("@compute @workgroup_size(1024) fn main() {}");
    expect(fault).toMatch(/workgroup_size\(1024, 1, 1\) that exceeds the maximum/);
  });

  test("asks for the entry point", async () => {
    const [fault] = await validateShader("@compute @workgroup_size(64) fn other() {}");
    expect(fault).toMatch(/Entry point .*main.* doesn't exist/);
  });
});
