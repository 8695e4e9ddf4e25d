/** State dictionaries: what is saved of a module, and how it is loaded. */

import { XError } from "../error.js";
import { isFloat } from "../tensor/dtype.js";
import { formatShape, sameShape } from "../tensor/shape.js";
import { Tensor } from "../tensor/tensor.js";

/** The tensors of a module by their PyTorch names. */
export type StateDict = Record<string, Tensor>;

/** Options of `loadStateDict`. */
export interface LoadOptions {
  /** Whether missing and unexpected names are an error. Default true. */
  readonly strict?: boolean;
}

/** What `loadStateDict` found. */
export interface LoadReport {
  /** Names that the module has and the given state has not; their tensors are unchanged. */
  readonly missing: string[];
  /** Names that the given state has and the module has not. */
  readonly unexpected: string[];
}

type GivenState = ReadonlyMap<string, Tensor> | Readonly<Record<string, Tensor>>;

/** At most so many names are listed in a message. */
const listed = 10;

/** Loads `given` into the tensors `own` of the module called `owner`. */
export function loadState(
  owner: string,
  own: StateDict,
  given: GivenState,
  { strict = true }: LoadOptions,
): LoadReport {
  const source: ReadonlyMap<string, Tensor> =
    given instanceof Map
      ? (given as ReadonlyMap<string, Tensor>)
      : new Map(Object.entries(given as Readonly<Record<string, Tensor>>));
  const loaded = new Set<Tensor>();
  for (const [name, target] of Object.entries(own)) if (source.has(name)) loaded.add(target);
  const missing = Object.keys(own).filter((name) => !loaded.has(own[name]!));
  const unexpected = [...source.keys()].filter((name) => !Object.hasOwn(own, name));
  const misfits: string[] = [];
  for (const [name, tensor] of source) {
    const target = Object.hasOwn(own, name) ? own[name]! : null;
    const misfit = target === null ? null : misfitOf(target, tensor);
    if (misfit !== null) misfits.push(`${name} (${misfit})`);
  }

  const complaints: string[] = [];
  if (strict && missing.length > 0) complaints.push(`missing ${list(missing)}`);
  if (strict && unexpected.length > 0) complaints.push(`unexpected ${list(unexpected)}`);
  if (misfits.length > 0) complaints.push(`not fitting ${list(misfits)}`);
  if (complaints.length > 0) {
    const advice =
      misfits.length > 0
        ? "Make the module with the sizes of the checkpoint"
        : "Load the checkpoint of the same kind of module, or pass strict: false";
    throw new XError(
      "checkpoint",
      `loadStateDict: the state must fit ${owner}, got ${complaints.join("; ")}. ${advice}.`,
    );
  }

  for (const [name, tensor] of source) {
    if (!Object.hasOwn(own, name)) continue;
    const target = own[name]!;
    target.initialize(tensor.dtype === target.dtype ? tensor : tensor.detach().cast(target.dtype));
  }
  return { missing, unexpected };
}

/** Why a tensor cannot become the numbers of `target`, or `null`. */
function misfitOf(target: Tensor, given: unknown): string | null {
  if (!(given instanceof Tensor)) return "not a tensor";
  if (!sameShape(target.shape, given.shape)) {
    return `shape ${formatShape(given.shape)} instead of ${formatShape(target.shape)}`;
  }
  const fits = target.dtype === given.dtype || (isFloat(target.dtype) && isFloat(given.dtype));
  return fits ? null : `type ${given.dtype} instead of ${target.dtype}`;
}

function list(names: readonly string[]): string {
  const shown = names.slice(0, listed).join(", ");
  return names.length > listed ? `${shown} and ${names.length - listed} more` : shown;
}
