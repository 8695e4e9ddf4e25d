/** The page of apps/bench, as built, driven in a browser, on both devices. */

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { chromium, type Browser, type Locator, type Page } from "playwright";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { build, preview, type PreviewServer } from "vite";
import { isolation } from "../../../apps/bench/web/headers.js";
import { chromiumOptions } from "../../chromium.js";
import { root } from "../check.js";
import { findInk, type Ink } from "./ink.js";

const web = join(root, "apps/bench/web");
/** Where screenshots are left, for people to look at. */
const screenshots = join(root, "apps/bench/dist/screenshots");

/** The strictest policies under which everything works: threads are started from blobs. */
const strict = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src 'self' data:";
const withThreads = `${strict}; worker-src 'self' blob:`;

let browser: Browser;
const servers: PreviewServer[] = [];

beforeAll(async () => {
  await mkdir(screenshots, { recursive: true });
  await build({ root: web, configFile: join(web, "vite.config.ts"), logLevel: "silent" });
  browser = await chromium.launch(chromiumOptions());
}, 60_000);
afterAll(async () => {
  await browser.close();
  for (const server of servers) await server.close();
});

/** Serves the built page with some headers; gives its address. */
async function serve(headers: Record<string, string>): Promise<string> {
  const server = await preview({
    root: web,
    // Its headers would be added.
    configFile: false,
    build: { outDir: "../dist/web" },
    logLevel: "silent",
    preview: { headers, port: 0, host: "localhost" },
  });
  servers.push(server);
  return server.resolvedUrls!.local[0]!;
}

/** Opens the page. What it prints as an error is collected. */
async function open(headers: Record<string, string>): Promise<{ page: Page; errors: string[] }> {
  const page = await browser.newPage({
    colorScheme: "light",
    viewport: { width: 1000, height: 900 },
  });
  const errors: string[] = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) errors.push(message.text());
  });
  page.on("pageerror", (error) => errors.push(error.message));
  await page.goto(await serve(headers));
  return { page, errors };
}

/** Starts the job of a panel and waits for its end; gives its last sentence. */
async function run(panel: Locator): Promise<string> {
  await panel.getByRole("button", { name: "Start" }).click();
  return ended(panel);
}

async function ended(panel: Locator): Promise<string> {
  const over = panel.locator("button[name=start]:enabled");
  await over.waitFor({ timeout: 240_000 });
  return (await panel.getByRole("status").textContent())!;
}

/** Where the accent colour is on a picture of an element. */
async function inkOf(element: Locator, name: string): Promise<Ink> {
  const picture = await element.screenshot({ path: join(screenshots, `${name}.png`) });
  return findInk(await browser.newPage(), picture, [0x24, 0x57, 0xd6]);
}

const kinds = [
  [
    "cross-origin isolated",
    { ...isolation, "Content-Security-Policy": withThreads },
    "trim",
    /2 threads/,
  ],
  ["not isolated", { "Content-Security-Policy": strict }, "thinformer", /one thread/],
] as const;

describe.each(kinds)("a page that is %s", (kind, headers, cpu, threads) => {
  test.each([
    ["CPU", cpu, threads],
    ["GPU", "trim", /through WebGPU: google swiftshader/],
  ] as const)("trains on the %s with %s", async (device, mechanism, sentence) => {
    const { page, errors } = await open(headers);
    await page.getByLabel(device, { exact: true }).check();

    const training = page.locator("#training");
    await training.getByLabel("Model").selectOption("tiny");
    await training.getByLabel("Attention").selectOption(mechanism);
    await training.getByLabel("Steps", { exact: true }).fill("40");
    await training.getByLabel("Bytes to write").fill("40");
    const result = await run(training);
    const [, after, before] = /takes ([\d.]+) bits per byte, ([\d.]+) before/.exec(result) ?? [];
    expect(Number(before), result).toBeGreaterThan(6);
    expect(Number(after), result).toBeLessThan(Number(before) - 1.5);
    expect(await training.locator(".device").textContent()).toMatch(sentence);
    const writing = (await training.locator(".writing").textContent())!;
    expect(writing).toMatch(/^The tensor /);
    expect(new TextEncoder().encode(writing).length).toBeGreaterThanOrEqual(51);

    const name = `${kind} ${device}`.replaceAll(" ", "-").toLowerCase();
    await page.screenshot({ path: join(screenshots, `${name}.png`), fullPage: true });
    const line = await inkOf(training.locator(".loss canvas"), `${name}-loss`);
    // It goes across the picture, and down.
    expect(line.right - line.left).toBeGreaterThan(0.6);
    expect(line.heightAtRight).toBeLessThan(line.heightAtLeft - 0.2);
    expect(errors).toEqual([]);
    await page.close();
  });
});

test.each([
  ["CPU", ["linear", "thinformer"]],
  ["GPU", ["SRF"]],
] as const)("attention is measured on the %s", async (device, others) => {
  const { page, errors } = await open(isolation);
  await page.getByLabel(device, { exact: true }).check();
  const attention = page.locator("#attention");
  await attention.getByLabel("Longest N").selectOption("256");
  for (const other of others) await attention.getByLabel(other).check();
  expect(await run(attention)).toBe("Done.");
  const rows = await attention.locator(".measured tbody tr").allInnerTexts();
  const cells = rows.map((row) => row.split("\t"));
  const mechanisms = ["softmax", "trim", ...others.map((name) => name.toLowerCase())];
  expect(cells.map(([length, mechanism]) => `${length} ${mechanism}`)).toEqual(
    [64, 128, 256].flatMap((length) => mechanisms.map((name) => `${length} ${name}`)),
  );
  for (const [, mechanism, milliseconds, , error, distance] of cells) {
    expect(Number(milliseconds)).toBeGreaterThan(0);
    // Other mechanisms are not known in float64; that they are attention shows in the distance.
    if (mechanism === "softmax" || mechanism === "trim") expect(Number(error)).toBeLessThan(1e-4);
    else expect(Number(distance)).toBeLessThan(2);
  }
  const chart = attention.locator(".times canvas");
  const line = await inkOf(chart, `attention-${device.toLowerCase()}`);
  expect(line.right - line.left).toBeGreaterThan(0.6);
  expect(line.heightAtRight).toBeGreaterThan(line.heightAtLeft);
  expect(errors).toEqual([]);
  await page.close();
});

test("a job can be paused, resumed and stopped, and the page answers all the time", async () => {
  const { page, errors } = await open(isolation);
  const training = page.locator("#training");
  const status = training.getByRole("status");
  await training.getByLabel("Model").selectOption("tiny");
  await training.getByLabel("Steps", { exact: true }).fill("100000");
  await training.getByRole("button", { name: "Start" }).click();
  await status.getByText(/^Step \d\d+ of 100000/).waitFor();
  await training.getByRole("button", { name: "Pause" }).click();
  // A step may have been under way.
  await page.waitForTimeout(500);
  const steps = (): Promise<number> =>
    training.locator("progress").evaluate((element) => (element as HTMLProgressElement).value);
  const paused = await steps();
  await page.waitForTimeout(300);
  expect(await steps()).toBe(paused);
  await training.getByRole("button", { name: "Resume" }).click();
  await expect.poll(steps).toBeGreaterThan(paused);
  const slowest = await page.evaluate(
    async () =>
      new Promise<number>((resolve) => {
        let worst = 0;
        let last = performance.now();
        const tick = (now: number): void => {
          worst = Math.max(worst, now - last);
          last = now;
          if (now < start + 1000) requestAnimationFrame(tick);
          else resolve(worst);
        };
        const start = last;
        requestAnimationFrame(tick);
      }),
  );
  expect(slowest).toBeLessThan(500);
  await training.getByRole("button", { name: "Stop" }).click();
  expect(await ended(training)).toMatch(/^Stopped after \d+ steps: /);
  expect(errors).toEqual([]);
  await page.close();
});

test("where WebGPU or a text is missing, a sentence says so", async () => {
  const { page } = await open({});
  await page.addInitScript(() => {
    Object.defineProperty(navigator, "gpu", { value: undefined });
  });
  await page.route("**/repository.txt", (route) => route.fulfill({ status: 404 }));
  await page.reload();
  expect(await page.locator("#abilities").textContent()).toMatch(
    /^This browser offers no WebGPU here, .* This page is not cross-origin isolated, /,
  );
  expect(await page.getByLabel("GPU", { exact: true }).isDisabled()).toBe(true);
  expect(await run(page.locator("#training"))).toMatch(
    /^text: it must be readable, got the answer 404 of the server\. Choose a text of your own\.$/,
  );
  await page.close();
});

test("threads that a policy forbids are done without", async () => {
  const { page } = await open({ ...isolation, "Content-Security-Policy": strict });
  const attention = page.locator("#attention");
  await attention.getByLabel("Longest N").selectOption("256");
  expect(await run(attention)).toBe("Done.");
  expect(await attention.locator(".device").textContent()).toMatch(/one thread/);
  await page.close();
});
