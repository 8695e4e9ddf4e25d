/**
 * Random attention configurations: lengths, heads, sizes, masks, windows, dropout. The outputs and
 * all gradients of every device against the reference.
 *
 * A failure prints the smallest configuration found and fast-check's seed and path. To run with
 * another seed or number of configurations set DIFFERENTIAL_SEED and DIFFERENTIAL_ATTENTIONS.
 */

import fc from "fast-check";
import { test } from "vitest";
import { gradients } from "../src/autograd/gradients.js";
import { setDevice } from "../src/device/current.js";
import type { Device } from "../src/device/device.js";
import { withGradient, type Value } from "../src/graph/node.js";
import { scaledDotProductAttention } from "../src/ops/attention.js";
import { featureAttention } from "../src/ops/feature-attention.js";
import { cumulativeLinearAttention } from "../src/ops/linear-attention.js";
import { add } from "../src/ops/elementwise.js";
import { drawScalars } from "../src/ops/random.js";
import { reference } from "../src/reference/device.js";
import { fromData } from "../src/tensor/creation.js";
import { sizeOf, type Shape } from "../src/tensor/shape.js";
import { Tensor } from "../src/tensor/tensor.js";
import { compareElements, randomNumbers } from "../src/testing/index.js";
import { devices } from "./devices.js";

// Fixed, so that a run says the same as the one before; explore with other seeds.
const seed = Number(process.env.DIFFERENTIAL_SEED ?? 1);
const wanted = Number(process.env.DIFFERENTIAL_ATTENTIONS ?? 500);

/** Most weights of one configuration: keeps the reference's time within bounds. */
const weightLimit = 250_000;

const length = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 1, max: 20 }) },
  { weight: 2, arbitrary: fc.integer({ min: 21, max: 130 }) },
  { weight: 1, arbitrary: fc.integer({ min: 131, max: 300 }) },
);
const smallSize = fc.integer({ min: 1, max: 20 });
const anySize = fc.oneof(
  { weight: 4, arbitrary: smallSize },
  { weight: 1, arbitrary: fc.constantFrom(32, 64, 65) },
);

const configuration = fc
  .record({
    batch: fc.integer({ min: 1, max: 2 }),
    keyHeads: fc.integer({ min: 1, max: 3 }),
    group: fc.integer({ min: 1, max: 3 }),
    queries: length,
    keys: length,
    size: anySize,
    valueSize: anySize,
    seed: fc.nat(1e6),
    causal: fc.boolean(),
    guide: fc.constantFrom("none", "none", "mask", "bias"),
    /** Which axes of the mask or bias have size 1. */
    flat: fc.tuple(fc.boolean(), fc.boolean(), fc.boolean(), fc.boolean()),
    window: fc.option(fc.tuple(fc.integer({ min: -1, max: 40 }), fc.integer({ min: -1, max: 40 }))),
    dropout: fc.constantFrom(0, 0, 0, 0.3),
    /** Of linear attention: whether it goes on from a state. */
    continues: fc.boolean(),
  })
  .filter(
    ({ batch, keyHeads, group, queries, keys }) =>
      batch * keyHeads * group * queries * keys <= weightLimit,
  );

type Configuration = typeof configuration extends fc.Arbitrary<infer T> ? T : never;

/** What a configuration gives on a device: its outputs and the gradients of its inputs. */
type Build = (configuration: Configuration, device: Device) => Tensor[];

class Inputs {
  readonly #draw: () => number;
  readonly #device: Device;
  readonly values: Value[] = [];

  constructor(own: number, device: Device) {
    this.#draw = randomNumbers(own);
    this.#device = device;
  }

  /** A float32 tensor whose gradient is wanted. */
  floats(shape: Shape): Value {
    const { value } = fromData(this.#elements(shape), shape, {
      device: this.#device,
      requiresGrad: true,
    });
    this.values.push(value);
    return value;
  }

  constantFloats(shape: Shape): Value {
    return fromData(this.#elements(shape), shape, { device: this.#device }).value;
  }

  #elements(shape: Shape): Float32Array {
    return Float32Array.from({ length: sizeOf(shape) }, () => 2.4 * this.#draw() - 1.2);
  }

  booleans(shape: Shape): Value {
    const elements = Uint8Array.from({ length: sizeOf(shape) }, () => Number(this.#draw() < 0.7));
    return fromData(elements, shape, { dtype: "bool", device: this.#device }).value;
  }

  integers(count: number, limit: number): Value {
    const elements = Int32Array.from({ length: count }, () => Math.floor(this.#draw() * limit));
    return fromData(elements, [count], { device: this.#device }).value;
  }
}

function withGradients(inputs: Inputs, outputs: readonly Value[]): Tensor[] {
  const seeds = outputs.map(({ shape }) => inputs.constantFloats(shape));
  const found = withGradient(false, () =>
    gradients({ outputs, seeds, wanted: new Set(inputs.values) }),
  );
  return [...outputs, ...inputs.values.map((value) => found.get(value)!)].map(
    (value) => new Tensor(value),
  );
}

function shapesOf(c: Configuration): Record<"q" | "k" | "v", Shape> {
  return {
    q: [c.batch, c.keyHeads * c.group, c.queries, c.size],
    k: [c.batch, c.keyHeads, c.keys, c.size],
    v: [c.batch, c.keyHeads, c.keys, c.valueSize],
  };
}

const softmaxAttention: Build = (c, device) => {
  const inputs = new Inputs(c.seed, device);
  const shapes = shapesOf(c);
  const [q, k, v] = [inputs.floats(shapes.q), inputs.floats(shapes.k), inputs.floats(shapes.v)];
  const scores = [c.batch, c.keyHeads * c.group, c.queries, c.keys];
  const guideShape = scores.map((n, i) => (c.flat[i] === true ? 1 : n));
  let guide: Value | null = null;
  if (c.guide === "mask") guide = inputs.booleans(guideShape);
  if (c.guide === "bias") guide = inputs.floats(guideShape);
  const draw = drawScalars({ key0: c.seed, key1: 5, counter: 9 });
  const y = scaledDotProductAttention(q, k, v, guide, c.dropout > 0 ? draw : null, {
    causal: c.causal,
    window: c.window,
    scale: 1 / Math.sqrt(c.size),
    dropout: c.dropout,
  });
  return withGradients(inputs, [y]);
};

const linearAttention: Build = (c, device) => {
  const inputs = new Inputs(c.seed, device);
  const shapes = shapesOf(c);
  const [q, k, v] = [inputs.floats(shapes.q), inputs.floats(shapes.k), inputs.floats(shapes.v)];
  const stateShape = [c.batch, c.keyHeads, c.size, c.valueSize];
  const { output, state } = cumulativeLinearAttention(q, k, v, {
    causal: c.causal && c.guide !== "mask",
    mask: c.guide === "mask" ? inputs.integers(c.queries, c.keys) : null,
    state: c.continues ? inputs.floats(stateShape) : null,
    scale: 1 / Math.sqrt(c.size),
  });
  return withGradients(inputs, [output, state]);
};

/** A state as keys before would leave it. */
function featureState(c: Configuration, inputs: Inputs, features: number) {
  const head = [c.batch, c.keyHeads];
  return {
    keyValues: inputs.constantFloats([...head, features, c.valueSize]),
    keys: add(inputs.constantFloats([...head, features]), 1.3),
    maximum: inputs.constantFloats(head),
    values: inputs.constantFloats([...head, c.valueSize]),
    count: add(inputs.constantFloats(head), 3),
  };
}

const featureAttentionOf: Build = (c, device) => {
  const inputs = new Inputs(c.seed, device);
  const shapes = shapesOf(c);
  const [q, k, v] = [inputs.floats(shapes.q), inputs.floats(shapes.k), inputs.floats(shapes.v)];
  const isRandom = c.flat[1];
  const features = isRandom ? 1 + (c.seed % 20) : c.size;
  const results = featureAttention(
    {
      ...{ q, k, v },
      projection: isRandom ? inputs.constantFloats([features, c.size]) : null,
      mask: c.guide === "mask" ? inputs.integers(c.queries, c.keys) : null,
      keyMask: c.flat[0] ? inputs.booleans([c.batch, c.keys]) : null,
      state: c.continues ? featureState(c, inputs, features) : null,
    },
    c.guide === "mask" ? "mask" : c.causal ? "causal" : "full",
    isRandom ? c.size ** -0.25 : 1,
    isRandom ? 1e-3 : 0,
  );
  return [
    ...withGradients(inputs, [results[0]!]),
    ...results.slice(1, 6).map((x) => new Tensor(x)),
  ];
};

function largestMagnitude(numbers: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < numbers.length; i++) largest = Math.max(largest, Math.abs(numbers[i]!));
  return largest;
}

async function compare(build: Build, c: Configuration, device: Device): Promise<void> {
  const expected = await Promise.all(build(c, reference()).map(async (tensor) => tensor.data()));
  const largest = Math.max(...expected.map(largestMagnitude));
  for (const [i, tensor] of build(c, device).entries()) {
    const comparison = compareElements(await tensor.data(), expected[i]!, {
      relative: 2e-5,
      // Gradients may be sums that cancel to nothing; they are of the size of the others before.
      absolute: 4e-6 * Math.max(largest, 1),
      relativeTo: "largest",
    });
    if (comparison.isClose) continue;
    throw new Error(
      `${device.name}: result ${i} must hold ${comparison.expected} at ${comparison.index}, got ${comparison.actual}`,
    );
  }
}

const kinds = { softmaxAttention, linearAttention, featureAttention: featureAttentionOf };
// The reference differs from itself in nothing; it only tries out the configurations.
const cases = devices.flatMap(([name, device]) =>
  (Object.keys(kinds) as (keyof typeof kinds)[]).map((kind) => ({
    name,
    device,
    kind,
    // Feature attention comes on top; on a GPU it takes longest, since its shaders are compiled anew.
    runs: name === "reference" ? 10 : Math.ceil(wanted / (kind === "featureAttention" ? 5 : 2)),
  })),
);

test.each(cases)(
  "$runs times $kind on $name",
  { timeout: 900_000 },
  async ({ device, kind, runs }) => {
    setDevice(device);
    await fc.assert(
      fc.asyncProperty(configuration, async (c) => compare(kinds[kind], c, device)),
      { seed, numRuns: runs },
    );
  },
);
