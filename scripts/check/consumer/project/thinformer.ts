// A user of @x/thinformer, in plain Node against the packed packages.
import { arange, manualSeed, randn, type Tensor } from "@x/tensor";
import { khCompress, thinformerAttention, ThinformerAttention } from "@x/thinformer";
import { trainAndGenerate } from "./attending-model.js";

manualSeed(0);
await trainAndGenerate("thinformer", thinformerAttention({ g: 1, blockSize: 16 }));

const attention = new ThinformerAttention({ g: 2 });
const [query, key, value] = [1, 2, 3].map(() =>
  randn([1, 1024, 4, 32], { requiresGrad: true }),
) as [Tensor, Tensor, Tensor];
const { output, indices } = attention.forward(query, key, value, { needIndices: true });
if (output.shape.join() !== "1,1024,4,32") throw new Error(`output of shape ${output.shape}`);
if (indices?.shape.join() !== "1,128,4") throw new Error(`indices of shape ${indices?.shape}`);
output.square().mean().backward();
// Gradients flow through the chosen keys alone.
const reached = await key.grad!.abs().sum(-1).gt(0).sum().item();
if (!(reached > 0 && reached <= 4 * 128)) throw new Error(`gradients of ${reached} keys`);

const keyMask = arange(100).lt(arange(2).mul(80).add(20).unsqueeze(1));
const { mask } = khCompress(randn([2, 100, 1, 8]), randn([2, 100, 1, 8]), { g: 0, keyMask });
const kept = await mask!.sum(1).toArray();
if (JSON.stringify(kept) !== "[4,8]") throw new Error(`kept ${JSON.stringify(kept)} keys`);
