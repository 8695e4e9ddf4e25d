/** Random numbers: seeds, generators and distributions, the same on every device. */

export {
  bernoulli,
  categorical,
  exponential,
  multinomial,
  normal,
  rand,
  randint,
  randLike,
  randn,
  randnLike,
  randperm,
  truncatedNormal,
  uniform,
  uniformAt,
  type MultinomialOptions,
  type RandomOptions,
  type TruncatedNormalOptions,
  type UniformAtOptions,
} from "./distributions.js";
export { Generator, getDefaultGenerator, manualSeed, type GeneratorState } from "./generator.js";
