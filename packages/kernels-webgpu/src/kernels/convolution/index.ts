/** The kernel of convolutions. */

export { convolutionKernel } from "./convolution.js";
