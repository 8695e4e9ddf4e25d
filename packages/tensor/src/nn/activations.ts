/** Functions between layers, as modules and by name. */

import { XError } from "../error.js";
import { checkChoice, checkNumbers, finite, positive, whole } from "../tensor/arguments.js";
import type { Tensor } from "../tensor/tensor.js";
import { Module } from "./module.js";

/** A function that is applied to every element. */
export type Activation = (x: Tensor) => Tensor;

/** The names that `activationByName` knows. */
export type ActivationName =
  | "relu"
  | "gelu"
  | "geluTanh"
  | "silu"
  | "swish"
  | "tanh"
  | "sigmoid"
  | "leakyRelu"
  | "elu"
  | "softplus"
  | "identity";

const activations: Readonly<Record<ActivationName, Activation>> = {
  relu: (x) => x.relu(),
  gelu: (x) => x.gelu(),
  geluTanh: (x) => x.gelu({ approximate: "tanh" }),
  silu: (x) => x.silu(),
  swish: (x) => x.silu(),
  tanh: (x) => x.tanh(),
  sigmoid: (x) => x.sigmoid(),
  leakyRelu: (x) => x.leakyRelu(),
  elu: (x) => x.elu(),
  softplus: (x) => x.softplus(),
  identity: (x) => x,
};

/**
 * The function with a name; a function is given back as it is.
 *
 * @throws XError `argument` if there is no function of that name
 * @example
 * ```ts
 * const activation = activationByName("relu");
 * console.log(await activation(tensor([-1, 2])).toArray()); // → [ 0, 2 ]
 * ```
 */
export function activationByName(activation: ActivationName | Activation): Activation {
  if (typeof activation === "function") return activation;
  const known = Object.hasOwn(activations, activation) ? activations[activation] : undefined;
  if (known === undefined) {
    throw new XError(
      "argument",
      `activationByName: the activation must be a function or one of ${Object.keys(activations).join(", ")}, got ${typeof activation === "string" ? `"${String(activation)}"` : typeof activation}. Choose one of them.`,
    );
  }
  return known;
}

/** `max(x, 0)`, with derivative 0 at 0. */
export class ReLU extends Module {
  /** The function of every element. */
  forward(x: Tensor): Tensor {
    return x.relu();
  }
}

/** `x` where it is positive, else `negativeSlope · x`. */
export class LeakyReLU extends Module {
  /** The slope below 0. */
  readonly negativeSlope: number;

  /** @param negativeSlope the slope below 0 */
  constructor(negativeSlope: number = 0.01) {
    super();
    checkNumbers("LeakyReLU", finite, { negativeSlope });
    this.negativeSlope = negativeSlope;
  }

  /** The function of every element. */
  forward(x: Tensor): Tensor {
    return x.leakyRelu(this.negativeSlope);
  }
}

/** `x` where it is positive, else `α (eˣ − 1)`. */
export class ELU extends Module {
  /** The limit at −∞ is `−alpha`. */
  readonly alpha: number;

  /** @param alpha the limit at −∞ is `−alpha` */
  constructor(alpha: number = 1) {
    super();
    checkNumbers("ELU", finite, { alpha });
    this.alpha = alpha;
  }

  /** The function of every element. */
  forward(x: Tensor): Tensor {
    return x.elu(this.alpha);
  }
}

/** Options of `GELU`. */
export interface GELUOptions {
  /** `"none"` (the default) is exact; `"tanh"` approximates. */
  readonly approximate?: "none" | "tanh";
}

/** `x Φ(x)` with the normal distribution Φ, exact or approximated with tanh. */
export class GELU extends Module {
  /** `"none"` is exact; `"tanh"` approximates. */
  readonly approximate: "none" | "tanh";

  /** @throws XError `argument` if the approximation is unknown */
  constructor(options: GELUOptions = {}) {
    super();
    this.approximate = options.approximate ?? "none";
    checkChoice("GELU", "approximate", this.approximate, ["none", "tanh"]);
  }

  /** The function of every element. */
  forward(x: Tensor): Tensor {
    return x.gelu({ approximate: this.approximate });
  }
}

/** `x · sigmoid(x)`, also called swish. */
export class SiLU extends Module {
  /** The function of every element. */
  forward(x: Tensor): Tensor {
    return x.silu();
  }
}

/** `tanh(x)` */
export class Tanh extends Module {
  /** The function of every element. */
  forward(x: Tensor): Tensor {
    return x.tanh();
  }
}

/** `1 / (1 + e⁻ˣ)` */
export class Sigmoid extends Module {
  /** The function of every element. */
  forward(x: Tensor): Tensor {
    return x.sigmoid();
  }
}

/** `log(sigmoid(x))`, without underflow. */
export class LogSigmoid extends Module {
  /** The function of every element. */
  forward(x: Tensor): Tensor {
    return x.logSigmoid();
  }
}

/** Options of `Softplus`. */
export interface SoftplusOptions {
  /** How sharp the bend is. Default 1. */
  readonly beta?: number;
  /** Above `threshold / beta` the function is `x` itself. Default 20. */
  readonly threshold?: number;
}

/** `log(1 + e^(βx)) / β` */
export class Softplus extends Module {
  /** How sharp the bend is. */
  readonly beta: number;
  /** Above `threshold / beta` the function is `x` itself. */
  readonly threshold: number;

  /** @throws XError `argument` if `beta` is not above 0 */
  constructor(options: SoftplusOptions = {}) {
    super();
    this.beta = options.beta ?? 1;
    this.threshold = options.threshold ?? 20;
    checkNumbers("Softplus", positive, { beta: this.beta });
    checkNumbers("Softplus", finite, { threshold: this.threshold });
  }

  /** The function of every element. */
  forward(x: Tensor): Tensor {
    return x.softplus({ beta: this.beta, threshold: this.threshold });
  }
}

/** `eˣ / Σ eˣ` along an axis. */
export class Softmax extends Module {
  /** The axis along which the result adds up to 1. */
  readonly dim: number;

  /** @param dim the axis along which the result adds up to 1 */
  constructor(dim: number = -1) {
    super();
    checkNumbers("Softmax", whole, { dim });
    this.dim = dim;
  }

  /** The probabilities. */
  forward(x: Tensor): Tensor {
    return x.softmax(this.dim);
  }
}

/** The logarithm of softmax along an axis, without overflow. */
export class LogSoftmax extends Module {
  /** The axis along which the probabilities add up to 1. */
  readonly dim: number;

  /** @param dim the axis along which the probabilities add up to 1 */
  constructor(dim: number = -1) {
    super();
    checkNumbers("LogSoftmax", whole, { dim });
    this.dim = dim;
  }

  /** The logarithms of the probabilities. */
  forward(x: Tensor): Tensor {
    return x.logSoftmax(this.dim);
  }
}
