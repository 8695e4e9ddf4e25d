import { describe, expect, it } from "vitest";
import { hasTile, tilesFor } from "./tile.js";

const small = { workgroupBytes: 16384, workgroupSize: 256 };
const large = { workgroupBytes: 49152, workgroupSize: 1024 };
const sizes = (length: number, size: number, valueSize = size) => ({
  ...{ length, valueSize },
  keySize: size,
  inputSize: size,
});

describe("tiles", () => {
  it("have wide slices where memory allows, since each computes the features again", () => {
    expect(tilesFor(sizes(1000, 64), large)[0]!.slice).toBe(64);
    expect(tilesFor(sizes(1000, 128), small)[0]!.slice).toBeLessThan(32);
  });

  it("are not larger than needed", () => {
    for (const { chunk, slice } of tilesFor(sizes(5, 8, 3), large)) {
      expect(chunk).toBeLessThanOrEqual(16);
      expect(slice).toBe(4);
    }
  });

  it("exist on every device for what is supported, for every chunk that any scan has", () => {
    for (let size = 1; hasTile(size); size++) {
      expect(tilesFor(sizes(1, size), small).length).toBeGreaterThan(0);
      expect(tilesFor(sizes(1000, size, 1), small, 8).length).toBeGreaterThan(0);
    }
    expect(hasTile(256)).toBe(true);
    expect(hasTile(512)).toBe(false);
  });
});
