// What a user's first program does: it runs in plain Node against the packed packages.
import { getDevice, manualSeed, memory, mseLoss, profile, randn } from "@x/tensor";
import type { Device } from "@x/tensor/device";
import { Linear } from "@x/tensor/nn";
import { AdamW } from "@x/tensor/optim";
import { Generator } from "@x/tensor/random";
import { loadSafetensors, saveSafetensors } from "@x/tensor/safetensors";
import { expectClose } from "@x/tensor/testing";
import { CumulativeTransformerEncoderKV, CumulativeTransformerEncoderLayerKV } from "@x/trim";

manualSeed(0);
const layer = new CumulativeTransformerEncoderLayerKV({
  dModel: 16,
  nHead: 2,
  dimFeedforward: 32,
  dropout: 0,
  batchFirst: true,
});
const model = new CumulativeTransformerEncoderKV(layer, { numLayers: 2 });
const head = new Linear(16, 4);
const optimizer = new AdamW([...model.parameters(), ...head.parameters()], { lr: 0.01 });
const x = randn([2, 32, 16], { generator: new Generator(1) });
const target = x.narrow(2, 0, 4).tanh();

async function step(): Promise<number> {
  const loss = mseLoss(head.forward(model.forward(x, { isCausal: true })), target);
  optimizer.zeroGrad();
  loss.backward();
  await optimizer.step();
  return loss.item();
}

const first = await step();
await step();
const { compileCount } = await profile(step);
if (compileCount !== 0)
  throw new Error(`a step that was seen before compiled ${compileCount} plans`);
let last = first;
for (let i = 0; i < 20; i++) last = await step();
if (!(last < first)) throw new Error(`the loss did not fall: ${first} to ${last}`);

const bytes = await saveSafetensors(model.stateDict());
const copy = new CumulativeTransformerEncoderKV(layer, { numLayers: 2 });
copy.loadStateDict(await loadSafetensors(bytes));
await expectClose(copy.forward(x, { isCausal: true }), model.forward(x, { isCausal: true }));

const device: Device = getDevice();
if (device.name !== "wasm" || memory().total <= 0) throw new Error("the CPU device must be in use");
console.log(`loss ${first.toFixed(3)} to ${last.toFixed(3)}`);
