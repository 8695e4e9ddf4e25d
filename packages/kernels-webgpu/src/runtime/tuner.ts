/**
 * The tuner: of several ways to do a step it finds the fastest on this device, once.
 *
 * A kernel asks `context.choose(key, candidates)` while it is lowered. The key names the kernel and
 * all of the problem that the choice depends on; a candidate is whatever the kernel wants to tell its
 * ways apart by, with a name. Without a tuner the first candidate is taken. With one, a step that
 * asks for an unknown key is lowered once for each candidate, and what comes of it is timed on memory
 * of its own while the plan is compiled. What was fastest is kept by its name, for this adapter, in
 * memory and where `ChoiceStore` says.
 */

import type { Candidate, LoweringContext } from "../native.js";

/** Where choices outlast the program. */
export interface ChoiceStore {
  /** What was saved last, if anything. */
  load(): Promise<string | null>;
  /** Keeps a text. */
  save(text: string): Promise<void>;
}

/** Names of the candidates that were fastest, by key, by adapter. */
type Choices = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** Other versions of what is saved are ignored. */
const version = 1;

/** A choice that is still to be made. */
interface Question {
  readonly key: string;
  readonly candidates: readonly Candidate[];
}

/** Makes and keeps choices for one adapter. */
export class Tuner {
  readonly #adapter: string;
  readonly #store: ChoiceStore;
  readonly #chosen = new Map<string, string>();
  #loaded: Promise<void> | null = null;

  constructor(adapter: string, store: ChoiceStore) {
    this.#adapter = adapter;
    this.#store = store;
  }

  /** The candidate that was chosen for a key, if one of these was. */
  find<T extends Candidate>(key: string, candidates: readonly T[]): T | undefined {
    if (candidates.length === 1) return candidates[0];
    const name = this.#chosen.get(key);
    return candidates.find((candidate) => candidate.name === name);
  }

  /**
   * Makes all choices that lowering a step asks for. `lower` lowers it with these choices, and `time`
   * says how long the result takes, in milliseconds.
   */
  async tune<Lowered>(
    lower: (choose: LoweringContext["choose"]) => Lowered,
    time: (lowered: Lowered) => Promise<number>,
  ): Promise<void> {
    await (this.#loaded ??= this.#load());
    for (;;) {
      const questions: Question[] = [];
      lower((key, candidates) => {
        const found = this.find(key, candidates);
        if (found === undefined) questions.push({ key, candidates });
        return found ?? candidates[0];
      });
      const [question] = questions;
      if (question === undefined) return;
      await this.#answer(question, lower, time);
    }
  }

  async #answer<Lowered>(
    { key, candidates }: Question,
    lower: (choose: LoweringContext["choose"]) => Lowered,
    time: (lowered: Lowered) => Promise<number>,
  ): Promise<void> {
    let best = { name: candidates[0]!.name, milliseconds: Infinity };
    for (const { name } of candidates) {
      const lowered = lower((asked, offered) => {
        const tried = asked === key ? offered.find((other) => other.name === name) : undefined;
        return tried ?? this.find(asked, offered) ?? offered[0];
      });
      // What this device cannot run is no choice.
      const milliseconds = await time(lowered).catch(() => Infinity);
      if (milliseconds < best.milliseconds) best = { name, milliseconds };
    }
    this.#chosen.set(key, best.name);
    await this.#save();
  }

  async #load(): Promise<void> {
    const kept = (await this.#read())[this.#adapter] ?? {};
    for (const [key, name] of Object.entries(kept)) this.#chosen.set(key, name);
  }

  /** Adds the choices to what other programs have saved meanwhile. */
  async #save(): Promise<void> {
    const all = await this.#read();
    const own = { ...all[this.#adapter], ...Object.fromEntries(this.#chosen) };
    const text = JSON.stringify({ version, choices: { ...all, [this.#adapter]: own } });
    // Without it the next program chooses again.
    await this.#store.save(text).catch(() => undefined);
  }

  /** What is saved; nothing where it cannot be read. */
  async #read(): Promise<Choices> {
    try {
      const text = await this.#store.load();
      const saved = JSON.parse(text ?? "{}") as { version?: number; choices?: Choices };
      return saved.version === version ? (saved.choices ?? {}) : {};
    } catch {
      return {};
    }
  }
}
