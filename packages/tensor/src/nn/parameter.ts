/** The tensors that modules own. */

import { reserve } from "../tensor/reserve.js";
import { Tensor } from "../tensor/tensor.js";

/** Options of a parameter. */
export interface ParameterOptions {
  /** Whether gradients are wanted. Default: whether it is float32. */
  readonly requiresGrad?: boolean;
}

/**
 * A tensor that is trained. As a property of a module it is one of the module's parameters.
 *
 * It has memory of its own and starts with a copy of the numbers it is made of, which are computed
 * no earlier than they are needed: a model whose checkpoint is loaded never draws its initial
 * numbers.
 *
 * @example
 * ```ts
 * const scale = new Parameter(ones([3]));
 * console.log(scale.shape, scale.requiresGrad); // → [ 3 ] true
 * ```
 */
export class Parameter extends Tensor {
  /**
   * @param data the initial numbers
   * @throws XError `gradient` if gradients are asked for with another type than float32
   */
  constructor(data: Tensor, options: ParameterOptions = {}) {
    super(reserve(data));
    this.initialize(data);
    if (options.requiresGrad ?? data.dtype === "float32") this.setRequiresGrad();
  }
}

/** Options of a buffer. */
export interface BufferOptions {
  /** Whether it is part of the module's state dictionary. Default true. */
  readonly persistent?: boolean;
}

/**
 * A tensor that a module owns but that is not trained, such as a running mean. As a property of a
 * module it is one of the module's buffers. Change its numbers with `assign`.
 *
 * @example
 * ```ts
 * const count = new Buffer(tensor([0], { dtype: "int32" }));
 * count.assign(count.add(1));
 * console.log(await count.toArray(), count.requiresGrad); // → [ 1 ] false
 * ```
 */
export class Buffer extends Tensor {
  /** Whether it is part of the module's state dictionary. */
  readonly persistent: boolean;

  /** @param data the initial numbers */
  constructor(data: Tensor, options: BufferOptions = {}) {
    super(reserve(data));
    this.initialize(data);
    this.persistent = options.persistent ?? true;
  }
}
