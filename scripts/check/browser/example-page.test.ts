/** The page of apps/examples, as built, driven in a browser: it trains in a worker, and writes. */

import { join } from "node:path";
import { chromium, type Browser } from "playwright";
import { afterAll, beforeAll, expect, test } from "vitest";
import { build, preview, type PreviewServer } from "vite";
import { chromiumOptions } from "../../chromium.js";
import { root } from "../check.js";

const web = join(root, "apps/examples/web");
const configFile = join(web, "vite.config.ts");

let browser: Browser;
let server: PreviewServer;

beforeAll(async () => {
  await build({ root: web, configFile, logLevel: "silent" });
  server = await preview({ root: web, configFile, logLevel: "silent", preview: { port: 0 } });
  browser = await chromium.launch(chromiumOptions());
}, 60_000);
afterAll(async () => {
  await browser.close();
  await server.close();
});

test("the page learns its text in a worker and goes on from a beginning", async () => {
  const page = await browser.newPage();
  const errors: string[] = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) errors.push(message.text());
  });
  page.on("pageerror", (error) => errors.push(error.message));
  await page.goto(server.resolvedUrls!.local[0]!);
  const write = page.getByRole("button", { name: "Write" });
  expect(await write.isDisabled()).toBe(true);

  await page.getByRole("button", { name: "Train" }).click();
  await page.locator("#writing button:enabled").waitFor({ timeout: 240_000 });
  const loss = (await page.getByRole("status").first().textContent())!;
  expect(Number(/^Step 300: ([\d.]+) bits per byte$/.exec(loss)?.[1]), loss).toBeLessThan(1);

  await page.getByLabel("Beginning").fill("This is the cow");
  await write.click();
  await page.locator("#writing button:enabled").waitFor({ timeout: 60_000 });
  const written = (await page.locator("#written").textContent())!;
  expect(written).toMatch(/^This is the cow with the crumpled horn\n/);
  expect(errors).toEqual([]);
  await page.close();
});
