import { spawn } from "node:child_process";
import { describe, expect, it } from "vitest";

/** Runs a program from source in a process of its own; gives what it printed and its exit code. */
async function run(program: string): Promise<{ output: string; code: number | null }> {
  const entry = JSON.stringify(new URL("../src/index.ts", import.meta.url).href);
  const source = `import * as x from ${entry};\n${program}`;
  const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", source]);
  let output = "";
  child.stdout.on("data", (text: Buffer) => (output += text.toString()));
  child.stderr.on("data", (text: Buffer) => (output += text.toString()));
  const code = await new Promise<number | null>((resolve) => child.on("exit", resolve));
  return { output, code };
}

/** Compares products and what follows them with float64; prints the largest relative error. */
const comparison = `
  const tensors = (device) => {
    x.setDevice(device);
    const numbers = (n, seed) => Float32Array.from({ length: n }, (_, i) => Math.sin(seed + i * 1.7));
    return [[1, 1, 1], [5, 7, 9], [64, 64, 64], [130, 70, 33], [257, 128, 192]].flatMap(([m, k, n]) => {
      const a = x.fromData(numbers(m * k, 1), [m, k]);
      const b = x.fromData(numbers(k * n, 2), [k, n]);
      return [
        a.matmul(b),
        b.transpose(0, 1).matmul(a.transpose(0, 1)).softmax(-1),
        a.matmul(b).gelu().sum(0),
        a.exp().mul(0.5).tanh(),
      ];
    });
  };
  const actual = tensors(x.wasm());
  const expected = tensors(x.reference());
  let worst = 0;
  for (const [i, tensor] of actual.entries()) {
    const [got, wanted] = [await tensor.data(), await expected[i].data()];
    const scale = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    got.forEach((value, j) => { worst = Math.max(worst, Math.abs(value - wanted[j]) / scale); });
  }
`;

// What there is to show depends on the runtime; the suite runs on both.
describe(
  "enableRevectorization",
  Number(process.versions.node.split(".")[0]) >= 24 ? onNewerNode : onOlderNode,
);

function onNewerNode(): void {
  it("computes the same with 256-bit operations", async () => {
    const { output, code } = await run(`
      x.enableRevectorization();
      ${comparison}
      console.log(x.wasm().info.revectorized, worst < 3e-6 ? "agrees" : worst);
    `);
    expect(output.trim()).toBe("true agrees");
    expect(code).toBe(0);
  });

  it("comes before the first use of the device", async () => {
    const { output } = await run(`
      await x.ones([2]).add(1).data();
      try { x.enableRevectorization(); } catch (error) { console.log(error.code, error.message); }
    `);
    expect(output).toMatch(/^unsupported enableRevectorization: .* got a device in use\. Call it/);
  });
}

function onOlderNode(): void {
  it("says that it needs a newer Node, and everything works without", async () => {
    const { output } = await run(`
      try { x.enableRevectorization(); } catch (error) { console.log(error.code, error.message); }
      ${comparison}
      console.log(x.wasm().info.revectorized, worst < 3e-6 ? "agrees" : worst);
    `);
    expect(output).toMatch(
      /^unsupported enableRevectorization: .* got Node 2\d.*\nfalse agrees\n$/,
    );
  });
}
