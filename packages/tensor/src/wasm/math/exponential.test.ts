import { describe, expect, it } from "vitest";
import { interval, relaxedForms, runFloats, ulp } from "../../../test/wasm/run-vector.js";
import { expOfNegative } from "./exponential.js";

describe("expOfNegative", () => {
  for (const relaxed of relaxedForms) {
    it(`is within 2 ulp, relaxed ${relaxed}`, () => {
      for (const inputs of [interval(-87, 0, 200_000), interval(-1, 1e-3, 50_000)]) {
        const results = runFloats((c, x) => expOfNegative(c, x), [inputs], relaxed);
        let worst = 0;
        inputs.forEach((x, i) => {
          const exact = Math.exp(x);
          worst = Math.max(worst, Math.abs(results[i]! - exact) / ulp(exact));
        });
        expect(worst).toBeLessThan(2);
      }
    });

    it(`is exactly 0 far below, and keeps NaN, relaxed ${relaxed}`, () => {
      const payload = new Float32Array(Uint32Array.of(0x7fc00abc, 0xffc00001).buffer);
      const inputs = Float32Array.of(-88, -1e3, -1e30, -Infinity, 0, -0, NaN, ...payload);
      const results = runFloats((c, x) => expOfNegative(c, x), [inputs], relaxed);
      expect([...results]).toEqual([0, 0, 0, 0, 1, 1, NaN, NaN, NaN]);
    });
  }
});
