/** Narrow weights for inference. */

import { where, zeros, type Tensor } from "@x/tensor";
import { check, checkChoice } from "@x/tensor/checks";
import { Buffer, Embedding, type LoadReport, type Module } from "@x/tensor/nn";
import { AdaptedLinear } from "./adapted-linear.js";
import { QuantizedEmbedding } from "./quantized-embedding.js";
import { isTargeted, linearMapOf, replaceModules, type MapTargets } from "./targets.js";

/** What narrow weights are kept as. */
export type NarrowType = "int8" | "float16";

/** Options of {@link quantize}. */
export interface QuantizeOptions<M extends Module = Module> {
  /** `"int8"`: a byte a weight and a float32 scale a row; `"float16"`: two bytes a weight. */
  readonly dtype: NarrowType;
  /** Which linear maps and embeddings are meant. Default: all but those of kinds of tokens. */
  readonly targets?: MapTargets;
  /** Something the model computes, such as logits: computed before and after, for `outputError`. */
  readonly sample?: (model: M) => Tensor;
}

/** What became of one matrix. */
export interface QuantizedMap {
  /** The name of the first map that uses it. */
  readonly name: string;
  /** Its shape. */
  readonly shape: readonly number[];
  /** `‖W − Ŵ‖ / ‖W‖`, Frobenius norms. */
  readonly error: number;
  /** Bytes of the float32 matrix. */
  readonly bytesBefore: number;
  /** Bytes of what is kept, scales included. */
  readonly bytesAfter: number;
}

/** What {@link quantize} did. */
export interface QuantizationReport {
  /** Every matrix, in the order of the model. */
  readonly maps: readonly QuantizedMap[];
  /** Bytes of all of them before. */
  readonly bytesBefore: number;
  /** Bytes of all of them after. */
  readonly bytesAfter: number;
  /** `‖y − ŷ‖ / ‖y‖` of the sample; `null` without one. */
  readonly outputError: number | null;
}

/** A module with a matrix that can be kept narrow: a linear map, a tied one, an embedding. */
type NarrowMap = Module & { readonly weight: Tensor };

/** Models read the few vectors of kinds of tokens as they are. */
function isTokenTypes(name: string): boolean {
  return name.endsWith("token_type_embedding");
}

interface Matrix {
  readonly name: string;
  readonly weight: Tensor;
  /** The maps that use it. */
  readonly maps: NarrowMap[];
}

/**
 * Keeps the weights of a model's linear maps and embeddings as int8 or float16, for inference. For int8
 * each row (an output of a map, a vector of an embedding) has a scale of its own,
 * `scale = max |W| / 127`, and `W ≈ scale · round(W / scale)`. Products read the narrow weights and widen
 * them on the way: `y = (x Wqᵀ) · scale + b`. The float32 weights are released.
 *
 * A matrix that several maps use, such as that of tied embeddings, is still one matrix. Masks of
 * {@link prune} become zeros of the weights. Narrow weights are not trained; adapters beside them
 * ({@link addLora}) are. The state dictionary has `scale` beside each int8 `weight`; see
 * {@link loadQuantized}.
 *
 * @returns the errors of all matrices and of the sample, and the bytes before and after
 * @throws XError `argument` if the type is unknown, or nothing is there to quantize
 * @example
 * ```ts
 * const model = new Sequential(new Linear(64, 64), new ReLU(), new Linear(64, 4));
 * const x = randn([8, 64]);
 * const sample = (model: Sequential) => model.forward(x);
 * const report = await quantize(model, { dtype: "int8", sample });
 * console.log(report.bytesBefore, report.bytesAfter); // → 17408 4624
 * console.log(report.outputError! < 0.02); // → true
 * ```
 *
 * @see Dettmers et al.: LLM.int8() (2022), for weights with a scale a row
 */
export async function quantize<M extends Module>(
  model: M,
  options: QuantizeOptions<M>,
): Promise<QuantizationReport> {
  const { dtype, targets = (name) => !isTokenTypes(name), sample } = options;
  checkChoice("quantize", "dtype", dtype, ["int8", "float16"]);
  const matrices = findMatrices(model, targets);
  const wasTraining = model.training;
  const output = sample === undefined ? null : await numbers(sample(model.eval()));
  const reports: QuantizedMap[] = [];
  const replacements = new Map<Module, Module>();
  for (const matrix of matrices) {
    const dense = await denseWeight(matrix).realize();
    const { weight, scale } = narrow(dense, dtype);
    await Promise.all([weight.realize(), scale?.realize()]);
    reports.push(await reportOf(matrix.name, dense, weight, scale));
    for (const map of matrix.maps) replacements.set(map, narrowMap(map, weight, scale));
    dense.dispose();
  }
  replaceModules(model, replacements);
  const kept = new Set<Tensor>(model.parameters());
  for (const { weight } of matrices) if (!kept.has(weight)) weight.dispose();
  const outputError = output === null ? null : relativeError(output, await numbers(sample!(model)));
  model.train(wasTraining);
  const total = (bytes: (map: QuantizedMap) => number): number =>
    reports.reduce((sum, map) => sum + bytes(map), 0);
  return {
    maps: reports,
    bytesBefore: total((map) => map.bytesBefore),
    bytesAfter: total((map) => map.bytesAfter),
    outputError,
  };
}

/** The matrices that are meant, each once, with all maps of the model that use them. */
function findMatrices(model: Module, targets: MapTargets): Matrix[] {
  const maps = model
    .namedModules()
    .filter((entry): entry is [string, NarrowMap] => isWide(entry[1]) && entry[0] !== "");
  const found: Matrix[] = [];
  const taken = new Set<Module>();
  for (const [name, map] of maps) {
    if (taken.has(map) || !isTargeted(targets, name, map)) continue;
    const { weight } = map;
    const users = maps
      .map(([, other]) => other)
      .filter((other) => other.weight === weight && maskOf(other) === maskOf(map));
    for (const user of users) taken.add(user);
    found.push({ name, weight, maps: users });
  }
  check(
    found.length > 0,
    "argument",
    () =>
      `quantize: the model must have linear maps or embeddings of float32 that the targets mean, got none in ${model.constructor.name}. Correct the targets.`,
  );
  return found;
}

function isWide(module: Module): module is NarrowMap {
  const isMap = module instanceof Embedding || linearMapOf(module) !== null;
  return isMap && (module as NarrowMap).weight.dtype === "float32";
}

/** Of two maps with one weight, one may be pruned. */
function maskOf(map: Module): Tensor | null {
  return map instanceof AdaptedLinear ? map.mask : null;
}

function denseWeight({ maps, weight }: Matrix): Tensor {
  const adapted = maps.find((map) => map instanceof AdaptedLinear);
  return (adapted?.denseWeight() ?? weight.mul(1)).detach();
}

function narrow(dense: Tensor, dtype: NarrowType): { weight: Buffer; scale: Buffer | null } {
  if (dtype === "float16") return { weight: new Buffer(dense.half()), scale: null };
  const largest = dense.abs().amax(1);
  // Rows of zeros stay so with any scale.
  const scale = where(largest.gt(0), largest.div(127), 1);
  const whole = dense.div(scale.unsqueeze(-1)).round().clamp(-127, 127);
  return { weight: new Buffer(whole.cast("int8")), scale: new Buffer(scale) };
}

function narrowMap(module: NarrowMap, weight: Buffer, scale: Buffer | null): Module {
  if (module instanceof Embedding) return new QuantizedEmbedding(module, weight, scale);
  return new AdaptedLinear(linearMapOf(module)!, { weight, scale, mask: null });
}

async function reportOf(
  name: string,
  dense: Tensor,
  weight: Tensor,
  scale: Tensor | null,
): Promise<QuantizedMap> {
  const wide = scale === null ? weight.float() : weight.float().mul(scale.unsqueeze(-1));
  const [difference, size] = await Promise.all([
    dense.sub(wide).square().sum().item(),
    dense.square().sum().item(),
  ]);
  const { shape } = dense;
  const bytes = weight.dtype === "int8" ? 1 : 2;
  return {
    name,
    shape,
    error: size === 0 ? 0 : Math.sqrt(difference / size),
    bytesBefore: 4 * dense.size,
    bytesAfter: bytes * dense.size + (scale === null ? 0 : 4 * scale.size),
  };
}

async function numbers(x: Tensor): Promise<ArrayLike<number>> {
  return x.detach().data();
}

function relativeError(expected: ArrayLike<number>, actual: ArrayLike<number>): number {
  let [difference, size] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i]! - expected[i]!) ** 2;
    size += expected[i]! ** 2;
  }
  return size === 0 ? 0 : Math.sqrt(difference / size);
}

/**
 * Gives a model of float32 weights what was saved of a quantized one: each linear map and embedding whose
 * `weight` is int8 or float16 in the state dictionary is kept so, without computing anything.
 *
 * @returns as `Module.loadStateDict` does
 * @throws XError `checkpoint` if the state does not fit the model
 * @example
 * ```ts
 * const [saved, model] = [new Sequential(new Linear(8, 4)), new Sequential(new Linear(8, 4))];
 * await quantize(saved, { dtype: "int8" });
 * loadQuantized(model, saved.stateDict());
 * const x = randn([2, 8]);
 * console.log(await model.forward(x).sub(saved.forward(x)).abs().amax().item()); // → 0
 * ```
 */
export function loadQuantized(
  model: Module,
  state: ReadonlyMap<string, Tensor> | Readonly<Record<string, Tensor>>,
): LoadReport {
  const given: ReadonlyMap<string, Tensor> =
    state instanceof Map
      ? (state as ReadonlyMap<string, Tensor>)
      : new Map(Object.entries(state as Readonly<Record<string, Tensor>>));
  const own = model.stateDict();
  const replacements = new Map<Module, Module>();
  const made = new Map<Tensor, { weight: Buffer; scale: Buffer | null }>();
  for (const [name, map] of model.namedModules()) {
    if (!isWide(map) || name === "") continue;
    const wide = map.weight;
    // Of the names of a matrix that several maps use, one suffices.
    const names = Object.keys(own).filter((key) => own[key] === wide);
    const dtype = names.map((key) => given.get(key)?.dtype).find((type) => type !== undefined);
    if (dtype !== "int8" && dtype !== "float16") continue;
    let parts = made.get(wide);
    if (parts === undefined) {
      const weight = new Buffer(zeros(wide.shape, { dtype }));
      const scale = dtype === "int8" ? new Buffer(zeros([wide.shape[0]!])) : null;
      made.set(wide, (parts = { weight, scale }));
    }
    replacements.set(map, narrowMap(map, parts.weight, parts.scale));
  }
  replaceModules(model, replacements);
  return model.loadStateDict(given);
}
