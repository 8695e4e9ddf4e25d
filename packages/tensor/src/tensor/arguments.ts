/** Checks of numbers and choices that users pass; the sentences of all of them are made here. */

import { check } from "../error.js";

/** What a number must do, in words that follow "must", and whether it does. */
export type Rule = readonly [wanted: string, fits: (number: number) => boolean];

/** Any finite number. */
export const finite: Rule = ["be a finite number", Number.isFinite];

/** A finite number above 0. */
export const positive: Rule = ["be a finite number above 0", (x) => Number.isFinite(x) && x > 0];

/** A finite number of at least 0. */
export const nonNegative: Rule = [
  "be a finite number of at least 0",
  (x) => Number.isFinite(x) && x >= 0,
];

/** A number from 0 to 1. */
export const probability: Rule = ["lie between 0 and 1", (x) => x >= 0 && x <= 1];

/** Any whole number. */
export const whole: Rule = ["be a whole number", Number.isSafeInteger];

/** A whole number above 0. */
export const count: Rule = wholeFrom(1);

/** A whole number of at least `least` and, where it is given, at most `most`. */
export function wholeFrom(least: number, most: number = Infinity): Rule {
  return [
    `be a whole number ${most === Infinity ? `of at least ${least}` : `from ${least} to ${most}`}`,
    (x) => Number.isSafeInteger(x) && x >= least && x <= most,
  ];
}

/** An even number. */
export const even: Rule = ["be even", (x) => x % 2 === 0];

/** A number that another, of that name, divides. */
export function multipleOf(divisor: number, name: string): Rule {
  return [`be a multiple of ${name} (${divisor})`, (x) => x % divisor === 0];
}

/** Checks that each of the numbers, alone or in lists, named by its property, keeps the rule. */
export function checkNumbers(
  op: string,
  [wanted, fits]: Rule,
  numbers: Readonly<Record<string, unknown>>,
): void {
  for (const [name, value] of Object.entries(numbers)) {
    for (const number of [value].flat())
      check(
        typeof number === "number" && fits(number),
        "argument",
        () => `${op}: ${name} must ${wanted}, got ${String(number)}. Correct it.`,
      );
  }
}

/** Checks that `value` is one of the choices. */
export function checkChoice(
  op: string,
  name: string,
  value: unknown,
  choices: readonly string[],
): void {
  check(
    choices.includes(value as string),
    "argument",
    () =>
      `${op}: ${name} must be one of ${choices.map((choice) => `"${choice}"`).join(", ")}, got ${typeof value === "string" ? `"${value}"` : String(value)}. Choose one of them.`,
  );
}
