/**
 * The scan: feature attention chunk by chunk, with a slice of one head's state in workgroup memory.
 *
 * It goes as the scan of linear attention (`../linear-attention/scan.ts`), with four differences.
 *
 * - Queries a and keys κ are features, computed while rows are loaded; κ_j = exp(b_j − M_j) is relative
 *   to the running maximum at the key itself.
 * - Pairs fade: what key j gives query i is multiplied by exp(M_j − M_i), and so is what a state keeps
 *   from one chunk to the next. Maxima never fall, hence every factor is e^−|difference| ≤ 1.
 * - Everything has one more number: a feature ε of all keys, which does not fade, and a value 1 of all
 *   keys, which gives the sum of weights. So a state has, beside its matrix, a column (of the value
 *   1), a row (of the feature ε) and a corner.
 * - Keys may take no part.
 *
 * With g = ε Σ a, dỹ = dy / Σ w and c = − y · dỹ, which stand for the rows and columns added:
 *
 *   scan                rows  keys  values  weights of pairs
 *   forward  → y, Σ w   a     κ     v       fade · (a · κ) + g
 *   forward  → da       dỹ    v     κ       fade · (dỹ · v + c)
 *   reverse  → dκ       v     dỹ    a       fade · (dỹ · v + c)
 *   reverse  → dv       κ     a     dỹ      fade · (a · κ) + g
 *
 * For a token and head with F features of d numbers, chunks of C and s slices: 4F(e + sd) + 2sFC flops.
 */

import type { Operand } from "@x/tensor/device";
import type { Segments } from "../linear-attention/tile.js";
import type { TiledScan } from "../linear-attention/tiled-steps.js";
import { denseView } from "../view.js";
import type { Facts, FeatureMap } from "./problem.js";
import type { Vectors } from "./vectors.js";

/** A row or column of a state: the sum of vectors, each times a number of its own. */
export interface VectorSum {
  /** Numbers of queries; `null`: 1. */
  readonly coefficients: Operand | null;
  /** Whether it fades. */
  readonly fades: boolean;
}

/** States, [segments, b, hk, …]. */
export interface States {
  /** […, key size, value size] */
  readonly matrix: Operand;
  /** […, key size], the sum of keys. */
  readonly column: Operand;
  /** […, value size], the sum of values. */
  readonly row: Operand;
  /** […, 1], the number of keys. */
  readonly corner: Operand;
}

/** What a workgroup does with its chunks. */
export interface Scan extends TiledScan {
  readonly map: FeatureMap;
  readonly facts: Facts;
  readonly segments: Segments;
  readonly valueSize: number;
  /** Of queries: what is added to the score of a pair, before it fades or after. */
  readonly added: { readonly numbers: Operand; readonly fades: boolean };
  /** What the row and the column of the state sum up; `null`: nobody wants it. */
  readonly rowSum: VectorSum | null;
  readonly columnSum: VectorSum | null;
  readonly rows: { readonly vectors: Vectors; readonly target: Target } | null;
  readonly columns: { readonly keys: Vectors; readonly values: Vectors } | null;
  readonly hasKeyMask: boolean;
  readonly initial: States | null;
  readonly final: States | null;
}

/** Where rows go, [b, heads, length, value size], and what becomes of their sums. */
export interface Target {
  readonly output: number;
  /**
   * - `"quotients"`: they are divided by the sum of weights, which goes to `weights` if that is wanted
   * - a number: that many times the sum of weights is added
   * - `null`: that sum is not needed
   */
  readonly finish: "quotients" | number | null;
  /** [b, h, n]; `null`: nobody wants it. */
  readonly weights: Operand | null;
}

/** The output of rows. */
export function outputView({ rows, valueSize }: Scan): Operand {
  const { vectors, target } = rows!;
  return denseView(target.output, "float32", [...vectors.x.shape.slice(0, 3), valueSize]);
}
