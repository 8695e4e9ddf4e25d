/** Looking at pictures: where a colour is. */

import type { Page } from "playwright";

/** Where a colour is on a picture, in shares of its width and height; heights grow upwards. */
export interface Ink {
  readonly left: number;
  readonly right: number;
  readonly heightAtLeft: number;
  readonly heightAtRight: number;
}

/** Looks for a colour on a PNG. The page, which serves to decode it, is closed. */
export async function findInk(page: Page, png: Buffer, color: readonly number[]): Promise<Ink> {
  const given = { address: `data:image/png;base64,${png.toString("base64")}`, color };
  const ink = await page.evaluate(async ({ address, color }) => {
    const bitmap = await createImageBitmap(await (await fetch(address)).blob());
    const { width, height } = bitmap;
    const context = new OffscreenCanvas(width, height).getContext("2d")!;
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, width, height);
    const columns: { x: number; y: number }[] = [];
    for (let x = 0; x < width; x++) {
      const found: number[] = [];
      for (let y = 0; y < height; y++) {
        const place = 4 * (y * width + x);
        if (color.every((part, i) => Math.abs(part - data[place + i]!) < 24)) found.push(y);
      }
      const sum = found.reduce((a, b) => a + b, 0);
      if (found.length > 0) columns.push({ x: x / width, y: 1 - sum / found.length / height });
    }
    const first = columns[0];
    const last = columns.at(-1);
    return {
      left: first?.x ?? NaN,
      right: last?.x ?? NaN,
      heightAtLeft: first?.y ?? NaN,
      heightAtRight: last?.y ?? NaN,
    };
  }, given);
  await page.close();
  return ink;
}
