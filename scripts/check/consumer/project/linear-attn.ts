// A user of @x/linear-attn, in plain Node against the packed packages.
import {
  AutoregressiveWrapper,
  linearAttention,
  LinearAttentionTransformerLM,
} from "@x/linear-attn";
import { manualSeed, tensor } from "@x/tensor";
import { AdamW } from "@x/tensor/optim";
import { trainAndGenerate } from "./attending-model.js";

await trainAndGenerate("linear", linearAttention());

const text = "she sells sea shells by the sea shore. ".repeat(4);
const letters = [...new Set(text)];
const tokens = tensor([[...text].map((letter) => letters.indexOf(letter))], { dtype: "int32" });
manualSeed(0);
const model = new AutoregressiveWrapper(
  new LinearAttentionTransformerLM({
    numTokens: letters.length,
    dim: 32,
    depth: 2,
    maxSeqLen: 256,
    heads: 4,
    dimHead: 8,
    causal: true,
    nLocalAttnHeads: 2,
    localAttnWindowSize: 16,
    shiftTokens: true,
  }),
);
const optimizer = new AdamW(model.parameters(), { lr: 5e-3 });
for (let step = 0; step < 60; step++) {
  const loss = model.forward(tokens, { returnLoss: true });
  optimizer.zeroGrad();
  loss.backward();
  await optimizer.step();
}
const written = await model.generate(tokens.narrow(1, 0, 10), 28, { temperature: 0 });
const [numbers] = (await written.toArray()) as number[][];
const sentence = numbers!.map((n) => letters[n]).join("");
if (sentence !== "sea shells by the sea shore.") throw new Error(`it wrote "${sentence}"`);
console.log(sentence);
