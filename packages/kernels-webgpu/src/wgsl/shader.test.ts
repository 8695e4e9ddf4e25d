import { describe, expect, test } from "vitest";
import { validateShader } from "../../test/null-backend.js";
import { ShaderBuilder, type Width } from "./shader.js";

/** A shader that copies one element, or vector, of each item. */
function copying(dtype: "float16" | "float32", width: Width, ...features: string[]): string {
  const shader = new ShaderBuilder(new Set(features));
  const from = shader.slot(0, dtype, width);
  const to = shader.slot(1, dtype, width);
  return shader.perItem("copy", 100, shader.store(to, "item", shader.load(from, "item"))).shader;
}

describe("ShaderBuilder", () => {
  test("stores float16 as such where the device can", async () => {
    for (const width of [1, 4] as const) {
      const text = copying("float16", width, "shader-f16");
      expect(text).toMatch(/^enable f16;/);
      expect(text).not.toContain("atomic");
      expect(await validateShader(text)).toEqual([]);
    }
  });

  test("stores float16 by its bits elsewhere", async () => {
    const text = copying("float16", 1);
    expect(text).toContain("atomicOr");
    expect(text).not.toContain("enable");
    expect(await validateShader(text)).toEqual([]);
  });

  test("loads and stores vectors", async () => {
    const text = copying("float32", 4);
    expect(text).toContain("array<vec4<f32>>");
    expect(await validateShader(text)).toEqual([]);
  });

  test("says for which types there are vectors", () => {
    expect(new ShaderBuilder(new Set()).holdsVectors("float16")).toBe(false);
    expect(new ShaderBuilder(new Set(["shader-f16"])).holdsVectors("float16")).toBe(true);
    expect(new ShaderBuilder(new Set()).holdsVectors("float32")).toBe(true);
    expect(new ShaderBuilder(new Set()).holdsVectors("bool")).toBe(false);
  });

  test("refuses two widths of one buffer", () => {
    const shader = new ShaderBuilder(new Set());
    shader.slot(0, "float32", 4);
    expect(() => shader.slot(0, "float32")).toThrow(/in one width, got 4 and 1/);
  });
});
