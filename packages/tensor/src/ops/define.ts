/** Operations defined outside the vocabulary. */

import { check, XError } from "../error.js";
import {
  formatSpec,
  makeOp,
  type Attributes,
  type GradientRule,
  type Op,
  type Spec,
  type Value,
} from "../graph/node.js";
import { withConstants } from "./leaf.js";
import { checkShape, sameShape } from "../tensor/shape.js";

/** What `definePrimitive` is given. */
export interface PrimitiveDefinition {
  readonly name: string;
  readonly infer: (inputs: readonly Spec[], attributes: Attributes) => readonly Spec[];
  readonly compose: (inputs: readonly Value[], attributes: Attributes) => readonly Value[];
  readonly gradient?: GradientRule;
}

/**
 * Makes a primitive whose rules are checked: shapes inferred must be shapes, and the definition must
 * give what was inferred. Its name has a part in front of a dot (`library.operation`), so that it
 * cannot be mistaken for one of the vocabulary's, for which devices have kernels.
 */
export function definePrimitive(definition: PrimitiveDefinition): Op {
  const { name, infer, compose, gradient } = definition;
  check(
    /^[\w@/-]+(\.[\w-]+)+$/.test(name),
    "argument",
    () =>
      `defineOp: the name must have the form library.operation, got "${name}". Put the name of your library in front.`,
  );
  return makeOp({
    name,
    kind: "primitive",
    infer: (inputs, attributes) => {
      const specs = infer(inputs, attributes);
      for (const spec of specs) checkShape(name, spec.shape);
      return specs;
    },
    compose: (inputs, attributes) => {
      const specs = infer(inputs, attributes);
      const values = withConstants(() => compose(inputs, attributes));
      checkComposed(name, specs, values);
      return values;
    },
    ...(gradient && { gradient }),
  });
}

function checkComposed(name: string, specs: readonly Spec[], values: readonly Value[]): void {
  const agree =
    values.length === specs.length &&
    values.every(
      (value, i) => value.dtype === specs[i]!.dtype && sameShape(value.shape, specs[i]!.shape),
    );
  if (agree) return;
  const format = (list: readonly Spec[]): string => list.map(formatSpec).join(", ");
  throw new XError(
    "shape",
    `${name}: compose must return what infer promised (${format(specs)}), got ${format(values)}. Correct one of the two.`,
  );
}
