// A user of @x/miniformer, in plain Node against the packed packages: trains, generates, saves, loads.
import { generate, Transformer, TransformerConfig } from "@x/miniformer";
import { addLora, loraStateDict } from "@x/miniformer/adaptation";
import { fromPretrained, savePretrained } from "@x/miniformer/pretrained";
import { ByteTokenizer } from "@x/miniformer/tokenizers";
import { folderStorage, languageModelling, tokenWindows, Trainer } from "@x/miniformer/training";
import { fromData, manualSeed, noGrad } from "@x/tensor";
import { expectClose } from "@x/tensor/testing";

manualSeed(1);
const tokenizer = new ByteTokenizer();
const text = "she sells sea shells by the sea shore. ".repeat(20);
const config = TransformerConfig.tiny({
  vocabSize: tokenizer.vocabSize,
  dModel: 48,
  positions: "rotary",
});
const trainer = new Trainer({
  model: new Transformer(config),
  task: languageModelling({ padding: 32, bytesPerToken: 1 }),
  data: tokenWindows(Uint8Array.from(tokenizer.encode(text)), { length: 32 }),
  validation: [Uint8Array.from(tokenizer.encode(text.slice(7, 40)))],
  steps: 80,
  evaluateEvery: 40,
  learningRate: 5e-3,
  storage: folderStorage("checkpoints"),
});
const { metrics } = await trainer.train();
if (!(metrics!.bitsPerByte! < 0.5)) throw new Error(`${metrics!.bitsPerByte} bits per byte`);

const model = trainer.model.eval();
const write = (writer: Transformer): Promise<string> =>
  generate(writer, "she sells sea ", { tokenizer, maxNewTokens: 25 }).text();
const written = await write(model);
if (written !== "shells by the sea shore. ") throw new Error(`it wrote "${written}"`);

await savePretrained(model, "saved", { tokenizer });
const loaded = await fromPretrained("saved");
const prompt = fromData(Int32Array.from(tokenizer.encode(text.slice(0, 20))), [1, 20]);
await expectClose(
  noGrad(() => loaded.model.forward(prompt)),
  noGrad(() => model.forward(prompt)),
);
if ((await write(loaded.model)) !== written) throw new Error("the loaded model writes otherwise");
if (loaded.tokenizer?.decode([97]) !== "a") throw new Error("the tokenizer must be loaded too");

addLora(loaded.model, { rank: 2 });
const adapters = Object.keys(loraStateDict(loaded.model)).length;
if (adapters !== 8) throw new Error(`two maps of two layers have ${adapters} adapter matrices`);
console.log(`${metrics!.bitsPerByte!.toFixed(2)} bits per byte, writes "${written}"`);
