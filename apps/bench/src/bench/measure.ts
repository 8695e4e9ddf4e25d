/** Timing that can be trusted on a busy machine: competitors in turn, medians, ratios within a run. */

/** Something to be timed. */
export interface Competitor {
  readonly name: string;
  /** Runs `runs` times; gives the milliseconds for all of them. */
  turn(runs: number): Promise<number>;
}

/** Times of one competitor, in milliseconds per run. */
export interface Sample {
  readonly median: number;
  readonly fastest: number;
  readonly slowest: number;
}

/** How long to measure. */
export interface Effort {
  /** How often everybody has a turn. */
  readonly rounds: number;
  /** How long a turn lasts at least, in milliseconds. */
  readonly turnMilliseconds: number;
}

/** Once measuring took this long, three rounds are enough. */
const patienceMilliseconds = 6000;
const fewestRounds = 3;
/** What takes longer than this needs no long warm-up. */
const slowMilliseconds = 1000;

/**
 * Times all competitors: after a warm-up each has `rounds` turns, one after the other, so that a
 * slow moment of the machine meets all of them.
 */
export async function measure(
  competitors: readonly Competitor[],
  { rounds, turnMilliseconds }: Effort,
): Promise<Map<string, Sample>> {
  const runs: number[] = [];
  for (const competitor of competitors) {
    // Enough runs for engines to optimise, and to know how many fit into a turn.
    let count = 0;
    let total = 0;
    let latest = 0;
    while (count < 3 || total < 2 * turnMilliseconds) {
      latest = await competitor.turn(1);
      total += latest;
      count++;
      if (latest > slowMilliseconds) break;
    }
    runs.push(Math.max(1, Math.ceil(turnMilliseconds / Math.min(latest, total / count))));
  }
  const times = competitors.map(() => [] as number[]);
  const start = performance.now();
  for (let round = 0; round < rounds; round++) {
    if (round >= fewestRounds && performance.now() - start > patienceMilliseconds) break;
    for (const [i, competitor] of competitors.entries()) {
      times[i]!.push((await competitor.turn(runs[i]!)) / runs[i]!);
    }
  }
  return new Map(competitors.map(({ name }, i) => [name, summarize(times[i]!)]));
}

/** The median of several times, and how far they spread. */
export function summarize(times: readonly number[]): Sample {
  const sorted = [...times].sort((a, b) => a - b);
  return {
    median: sorted[sorted.length >> 1]!,
    fastest: sorted[0]!,
    slowest: sorted.at(-1)!,
  };
}
