/** From scores to weights. */

import type { ShaderBuilder } from "../../wgsl/shader.js";

/**
 * Makes callable `weigh(scores, shift)`, e^(score − shift) and exactly 0 for hidden keys, whose scores
 * are −∞; and `finite(x)`, which is 0 where x is −∞, so that it can be a shift.
 *
 * −∞ and NaN are told by their bits: compilers may assume that there are none, and the builtin makes
 * a number of NaN on some devices.
 */
export function declareWeighing(shader: ShaderBuilder): void {
  shader.declare(`fn isHidden(x: vec4f) -> vec4<bool> { return bitcast<vec4u>(x) == vec4u(0xff800000u); }
fn finite(x: vec4f) -> vec4f { return select(x, vec4f(), isHidden(x)); }
fn weigh(scores: vec4f, shift: vec4f) -> vec4f {
let x = scores - shift;
let isNan = (bitcast<vec4u>(x) & vec4u(0x7fffffffu)) > vec4u(0x7f800000u);
return select(select(exp(x), x, isNan), vec4f(), isHidden(scores));
}`);
}
