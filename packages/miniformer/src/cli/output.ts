/** Where a command writes to. */

/** What the terminal is for a command. */
export interface Output {
  /** Whether a progress bar can be drawn. */
  readonly isTerminal: boolean;
  /** A part of the output, line ends included. */
  write(text: string): void;
  /** Why it could not go on. */
  complain(line: string): void;
}

/** What every command is run with. */
export interface Surroundings {
  /** Where it writes to. */
  readonly output: Output;
  /** Ctrl-C. */
  readonly interrupt: AbortSignal;
}
