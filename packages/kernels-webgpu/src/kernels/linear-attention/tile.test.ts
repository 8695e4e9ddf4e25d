import { describe, expect, it } from "vitest";
import { hasTile, segmentsFor, tilesFor } from "./tile.js";

describe("tiles", () => {
  it("are as large as workgroup memory allows", () => {
    const best = (keySize: number, bytes: number) => tilesFor(1000, keySize, 64, bytes)[0];
    expect(best(64, 32768)).toEqual({ chunk: 32, slice: 32 });
    expect(best(256, 32768)).toEqual({ chunk: 32, slice: 16 });
    expect(best(64, 16384)).toEqual({ chunk: 32, slice: 16 });
    expect(best(256, 16384)).toEqual({ chunk: 16, slice: 8 });
    expect(best(4096, 16384)).toBeUndefined();
  });

  it("are not larger than needed", () => {
    expect(tilesFor(5, 8, 20, 32768)[0]).toEqual({ chunk: 16, slice: 32 });
    expect(tilesFor(17, 8, 3, 32768)[0]).toEqual({ chunk: 32, slice: 16 });
  });

  it("exist on every device for the states that are supported", () => {
    for (const length of [1, 20]) {
      for (let size = 1; hasTile(size); size++) {
        expect(tilesFor(length, size, 1, 16384).length).toBeGreaterThan(0);
      }
    }
    expect(hasTile(512)).toBe(true);
    expect(hasTile(1024)).toBe(false);
  });
});

describe("segments", () => {
  it("are as many as fill a device", () => {
    expect(segmentsFor(100, 512)).toEqual({ chunks: 100, count: 1, each: 100 });
    expect(segmentsFor(100, 32)).toEqual({ chunks: 100, count: 25, each: 4 });
    expect(segmentsFor(10, 1)).toEqual({ chunks: 10, count: 10, each: 1 });
    expect(segmentsFor(7, 1)).toEqual({ chunks: 7, count: 1, each: 7 });
  });
});
