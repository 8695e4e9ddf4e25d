/** Named argument words of a kernel. */

import { i32, type I32 } from "../../assembler/index.js";
import type { LaunchArgument } from "../../launch.js";

/** The words of one launch by name; numbers stand for `int` arguments. */
export type Words<Name extends string> = Readonly<Record<Name, number | LaunchArgument>>;

/** Where the words of a kernel stand, for the code that reads them and the launch that writes them. */
export class ArgumentLayout<Name extends string> {
  private readonly names: readonly Name[];

  constructor(names: readonly Name[]) {
    this.names = names;
  }

  /** Bytes of the named words; what follows them is up to the kernel. */
  get bytes(): number {
    return this.names.length * 4;
  }

  /** Reads a word. */
  load(base: I32, name: Name): I32 {
    return i32.load(base, this.names.indexOf(name) * 4);
  }

  /** The words in order. */
  write(words: Words<Name>): LaunchArgument[] {
    return this.names.map((name) => {
      const word: number | LaunchArgument = words[name];
      return typeof word === "number" ? { kind: "int", value: word } : word;
    });
  }
}
