import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Tensor } from "@x/tensor";
import { loadChoices as loadFile, saveChoices as saveFile } from "./choices.node.js";
import { loadChoices, saveChoices } from "./choices.js";
import { webgpu } from "../index.js";
import { expectLikeReference, numbers } from "../../test/like-reference.js";
import { Tuner, type ChoiceStore } from "./tuner.js";
import type { Candidate, LoweringContext } from "../native.js";

afterEach(() => {
  vi.unstubAllGlobals();
  vi.unstubAllEnvs();
});

/** A store in memory that counts. */
function fakeStore(
  text: string | null = null,
): ChoiceStore & { text: string | null; saves: number } {
  return {
    text,
    saves: 0,
    load() {
      return Promise.resolve(this.text);
    },
    save(saved) {
      this.text = saved;
      this.saves++;
      return Promise.resolve();
    },
  };
}

const milliseconds: Readonly<Record<string, number>> = { slow: 3, fast: 1, middle: 2 };
const candidates: [Candidate, ...Candidate[]] = [
  { name: "slow" },
  { name: "fast" },
  { name: "middle" },
];
/** A kernel with two choices, of which one has a single candidate. */
const lower = (choose: LoweringContext["choose"]): string[] => [
  choose("kernel 1", candidates).name,
  choose("kernel 2", [{ name: "only" }]).name,
  choose("kernel 3", [candidates[2]!, candidates[0]]).name,
];

describe("Tuner", () => {
  it("tries every candidate of every choice once, and keeps the fastest", async () => {
    const store = fakeStore();
    const tuner = new Tuner("this", store);
    const tried: string[][] = [];
    const time = (lowered: string[]): Promise<number> => {
      tried.push(lowered);
      return Promise.resolve(lowered.reduce((sum, name) => sum + (milliseconds[name] ?? 0), 0));
    };
    await tuner.tune(lower, time);
    await tuner.tune(lower, time);
    expect(tried.map((names) => names.join(" "))).toEqual([
      "slow only middle",
      "fast only middle",
      "middle only middle",
      "fast only middle",
      "fast only slow",
    ]);
    expect(tuner.find("kernel 1", candidates)).toBe(candidates[1]);
    expect(tuner.find("kernel 4", candidates)).toBeUndefined();
    expect(JSON.parse(store.text!)).toEqual({
      version: 1,
      choices: { this: { "kernel 1": "fast", "kernel 3": "middle" } },
    });
  });

  it("takes what was kept for this adapter, and leaves what was for others", async () => {
    const other = { "kernel 1": "slow" };
    const store = fakeStore(
      JSON.stringify({
        version: 1,
        choices: { this: { "kernel 1": "middle", "kernel 3": "gone" }, other },
      }),
    );
    const tuner = new Tuner("this", store);
    const time = vi.fn((lowered: string[]) => Promise.resolve(milliseconds[lowered[2]!]!));
    await tuner.tune(lower, time);
    // A candidate that is there no longer is no choice.
    expect(time).toHaveBeenCalledTimes(2);
    expect(tuner.find("kernel 1", candidates)?.name).toBe("middle");
    expect(JSON.parse(store.text!)).toMatchObject({
      choices: { this: { "kernel 1": "middle", "kernel 3": "middle" }, other },
    });
  });

  it.each(["", "{", "null", '{"version":0,"choices":{"this":{"kernel 1":"slow"}}}'])(
    "ignores %j and writes it anew",
    async (text) => {
      const store = fakeStore(text);
      const tuner = new Tuner("this", store);
      await tuner.tune(lower, (names) => Promise.resolve(milliseconds[names[0]!]!));
      expect(tuner.find("kernel 1", candidates)?.name).toBe("fast");
      expect(store.text).toMatch(/^\{"version":1,/);
    },
  );

  it("does without a store, and without candidates that fail", async () => {
    const fail = (): Promise<never> => Promise.reject(new Error("no disk"));
    const tuner = new Tuner("this", { load: fail, save: fail });
    await tuner.tune(lower, ([name]) =>
      name === "fast"
        ? Promise.reject(new Error("too large"))
        : Promise.resolve(milliseconds[name!]!),
    );
    expect(tuner.find("kernel 1", candidates)?.name).toBe("middle");
  });

  it("tunes matrix products on the GPU, once for all programs", { timeout: 120_000 }, async () => {
    const folder = await mkdtemp(join(tmpdir(), "x-choices-"));
    try {
      vi.stubEnv("XDG_CACHE_HOME", folder);
      const program = (): Tensor[] => [
        numbers(1, [36, 70])
          .matmul(numbers(2, [70, 40]))
          .relu(),
      ];
      const pipelines: unknown[] = [];
      for (let run = 0; run < 2; run++) {
        const device = await webgpu({ tune: true });
        await expectLikeReference(device, program, { relative: 1e-5, absolute: 1e-5 });
        pipelines.push(device.info.pipelines);
      }
      expect(pipelines[0]).toBeGreaterThan(1);
      expect(pipelines[1]).toBe(1);
      expect(await loadFile()).toContain('"matmul 1x36x40x70 float32 float32":');
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe("where choices are kept", () => {
  it("in the cache folder of the user, in Node", async () => {
    const folder = await mkdtemp(join(tmpdir(), "x-choices-"));
    try {
      vi.stubEnv("XDG_CACHE_HOME", folder);
      expect(await loadFile()).toBeNull();
      await saveFile("one");
      await saveFile("two");
      expect(await loadFile()).toBe("two");
      expect(await readdir(join(folder, "x-kernels-webgpu"))).toEqual(["choices.json"]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it("in the storage of a page", async () => {
    const items = new Map<string, string>();
    vi.stubGlobal("localStorage", {
      getItem: (key: string) => items.get(key) ?? null,
      setItem: (key: string, text: string) => items.set(key, text),
    });
    expect(await loadChoices()).toBeNull();
    await saveChoices("one");
    expect(await loadChoices()).toBe("one");
  });

  it("nowhere, in workers", async () => {
    vi.stubGlobal("localStorage", undefined);
    await saveChoices("one");
    expect(await loadChoices()).toBeNull();
  });
});
