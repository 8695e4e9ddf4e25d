// A user of @x/srf, in plain Node against the packed packages.
import { FastAttention, retrofit, srfAttention } from "@x/srf";
import { manualSeed, noGrad, randn, type Tensor } from "@x/tensor";
import { forkState, MultiheadAttention } from "@x/tensor/nn";
import { expectClose } from "@x/tensor/testing";
import { trainAndGenerate } from "./attending-model.js";

manualSeed(0);
await trainAndGenerate("srf", srfAttention({ headDim: 8, nbFeatures: 32, epsilon: 1e-6 }));

const attention = new FastAttention({ headDim: 16, nbFeatures: 32, causal: true });
const [q, k, v] = [1, 2, 3].map(() => randn([1, 4, 40, 16], { requiresGrad: true })) as [
  Tensor,
  Tensor,
  Tensor,
];
attention.redraw_();
const whole = attention.forward(q, k, v);
whole.square().mean().backward();
if (!((await q.grad!.abs().max().item()) > 0)) throw new Error("queries must have gradients");
const part = (from: number, to: number): [Tensor, Tensor, Tensor] => [
  q.detach().narrow(2, from, to - from),
  k.detach().narrow(2, from, to - from),
  v.detach().narrow(2, from, to - from),
];
const { output, state } = noGrad(() => attention.prefill(...part(0, 37)));
await output.data();
const branch = forkState(state);
for (let i = 37; i < 40; i++) {
  for (const one of [state, branch]) {
    const y = noGrad(() => attention.step(...part(i, i + 1), one));
    await expectClose(y, whole.narrow(2, i, 1), { relative: 1e-3, relativeTo: "largest" });
  }
}

const trained = new MultiheadAttention(16, 2, { batchFirst: true });
const x = randn([2, 32, 16]);
const retrofitted = retrofit(trained, { nbFeatures: 16 }).eval();
const expected = retrofitted.forward(x, x, x, { isCausal: true }).output;
const memory = retrofitted.initState({ batch: 2 });
const prompt = x.narrow(1, 0, 31);
await retrofitted.forward(prompt, prompt, prompt, { isCausal: true, state: memory }).output.data();
const token = x.narrow(1, 31, 1);
const next = retrofitted.forward(token, token, token, { isCausal: true, state: memory }).output;
await expectClose(next, expected.narrow(1, 31, 1), { relative: 1e-4, relativeTo: "largest" });
