/**
 * Cross entropy of rows of logits with classes, and its gradient: neither probabilities nor one-hot
 * targets are ever written.
 */

import type { Node, Operand } from "@x/tensor/device";
import type { LoweringContext, NativeKernel } from "../../native.js";
import { constantCode } from "../../wgsl/functions.js";
import { denseView, product } from "../view.js";
import { RowShader } from "./row-shader.js";
import { logSumExp } from "./softmax.js";

/** What the loss and its gradient have in common: the class of a row, and what classes weigh. */
class ClassRow extends RowShader {
  readonly logits: Operand;
  readonly weight: Operand | null;
  readonly #target: Operand;
  readonly #node: Node;

  constructor(
    context: LoweringContext,
    node: Node,
    [logits, target, third]: readonly Operand[],
    {
      rows = [],
      single,
    }: { readonly rows?: readonly Operand[]; readonly single: readonly Operand[] },
  ) {
    const weight = node.attributes.hasWeight === true ? third! : null;
    const size = logits!.shape.at(-1)!;
    super(
      context,
      { outer: product(logits!.shape) / size, size, inner: 1 },
      { elements: [logits!, ...rows], shared: [weight], single: [target!, ...single] },
    );
    this.logits = logits!;
    this.weight = weight;
    this.#target = target!;
    this.#node = node;
  }

  /** 1 − ε, and ε for each class; `null` where labels are not smoothed. */
  get smoothing(): { readonly hit: string; readonly each: string } | null {
    const smoothing = this.#node.attributes.labelSmoothing as number;
    const [hit, each] = [1 - smoothing, smoothing / this.logits.shape.at(-1)!].map((value) =>
      constantCode(value, "float32", this.shader.helpers),
    );
    return smoothing > 0 ? { hit: hit!, each: each! } : null;
  }

  /** The class of this row: what it is, whether it counts, and a number that belongs to it, or 0. */
  target(): {
    readonly label: string;
    readonly counts: string;
    readonly at: (operand: Operand, isShared: boolean) => string;
  } {
    const label = this.loadSingle(this.#target);
    const isClass = this.name(`${label} >= 0 && ${label} < ${this.logits.shape.at(-1)!}`);
    const place = this.name(`select(0, ${label}, ${isClass})`);
    return {
      label,
      counts: `${label} != ${this.#node.attributes.ignoreIndex as number}`,
      at: (operand, isShared) =>
        this.name(`select(0f, ${this.loadAt(operand, place, isShared)}, ${isClass})`),
    };
  }
}

/** The kernel of `crossEntropy`. */
export const crossEntropyKernel: NativeKernel = {
  op: "crossEntropy",
  lower: ({ name, node, inputs, outputs }, context) => {
    const row = new ClassRow(context, node, inputs, { single: [] });
    const { logits, weight, smoothing } = row;
    row.eachRow(() => {
      const x = row.load(logits);
      const { counts, at } = row.target();
      const logSum = logSumExp(row, x);
      let loss = row.name(`${logSum} - ${at(logits, false)}`);
      if (weight) loss = row.name(`${loss} * ${at(weight, true)}`);
      if (smoothing) {
        const weights = weight && row.loadShared(weight);
        const surprise = row.sum(
          (piece) => `(${logSum} - ${x(piece)})${weights ? ` * ${weights(piece)}` : ""}`,
        );
        loss = row.name(`${loss} * ${smoothing.hit} + ${surprise} * ${smoothing.each}`);
      }
      row.storeSingle(outputs[0]!, `select(0f, ${loss}, ${counts})`);
      row.storeSingle(outputs[1]!, logSum);
    });
    return [row.launch(name)];
  },
};

/** The kernel of `crossEntropyBackward`. */
export const crossEntropyBackwardKernel: NativeKernel = {
  op: "crossEntropyBackward",
  lower: ({ name, node, inputs, outputs }, context) => {
    const [lse, g] = inputs.slice(-2) as [Operand, Operand];
    const dx = denseView(outputs[0]!, "float32", node.outputs[0]!.shape);
    const row = new ClassRow(context, node, inputs, { rows: [dx], single: [lse, g] });
    const { type, logits, weight, smoothing } = row;
    row.eachRow(() => {
      const x = row.load(logits);
      const { label, counts, at } = row.target();
      const [logSum, cotangent] = [row.loadSingle(lse), row.loadSingle(g)];
      const weights = weight && smoothing && row.loadShared(weight);
      const own = weight ? at(weight, true) : "1f";
      const certain = smoothing ? row.name(`${own} * ${smoothing.hit}`) : own;
      // What all probabilities are multiplied with: 1 where every class weighs 1.
      let all = weight ? certain : "1f";
      if (weights) all = row.name(`${all} + ${row.sum(weights)} * ${smoothing.each}`);
      const isInteger = type === "f32" ? "i32" : "vec4i";
      row.store(dx, (piece) => {
        const probability = row.exp(`${x(piece)} - ${logSum}`);
        const hit = `select(${type}(0), ${type}(${certain}), ${row.places(piece)} == ${isInteger}(${label}))`;
        const slope = `${probability} * ${all} - ${hit}`;
        const rest = weights
          ? ` - ${weights(piece)} * ${smoothing.each}`
          : smoothing
            ? ` - ${smoothing.each}`
            : "";
        return `select(${type}(0), (${slope}${rest}) * ${cotangent}, ${counts})`;
      });
    });
    return [row.launch(name)];
  },
};
