/** The stable code of the error that a function throws. */

export { codeOf } from "@x/tensor/testing";
