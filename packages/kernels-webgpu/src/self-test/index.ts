/**
 * Whether a device computes what it should: every kernel against the float64 reference.
 *
 * @module
 */

export { formatSelfTest, formatSelfTestCase } from "./format.js";
export {
  selfTest,
  type SelfTestCaseResult,
  type SelfTestOptions,
  type SelfTestResult,
} from "./self-test.js";
