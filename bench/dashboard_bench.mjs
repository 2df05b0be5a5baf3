// Opens the fleet in Chromium and works on it, as dashboard_bench.py asks:
//   node dashboard_bench.mjs BASE RUNS
// Writes one line of JSON: milliseconds of each run, by what was measured. `first paint` and `grid
// painted` count from the navigation; the others are what the browser's Event Timing says, from the
// input to the frame that shows its effect (16 stands for 16 or less, its finest).
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const web = join(dirname(fileURLToPath(import.meta.url)), "../web");
const { chromium } = createRequire(join(web, "package.json"))("playwright-core");
const [base, runs] = process.argv.slice(2);

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-dev-shm-usage"],
});
const measured = {};
const note = (name, value) => (measured[name] ??= []).push(Math.round(value));

function watch() {
  globalThis.inputs = [];
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) globalThis.inputs.push(entry.duration);
  }).observe({ type: "event", durationThreshold: 16 });
  // The grid is painted in the frame after the canvas has got its height.
  const look = () => {
    const canvas = document.querySelector("canvas");
    if (canvas && canvas.height > 200) requestAnimationFrame(() => (globalThis.gridAt ??= performance.now()));
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}

// The slowest input of what `act` does.
async function interact(page, name, act) {
  await page.waitForTimeout(300); // for events of what came before
  await page.evaluate(() => (globalThis.inputs.length = 0));
  await act();
  await page.waitForTimeout(700); // Event Timing reports after the frame
  note(name, Math.max(16, ...(await page.evaluate(() => globalThis.inputs))));
}

for (let run = 0; run < Number(runs); ++run) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 } });
  const page = await context.newPage();
  await page.addInitScript(watch);
  await page.goto(base + "/");
  await page.waitForFunction(() => globalThis.gridAt);
  const times = await page.evaluate(() => ({
    paint: performance.getEntriesByName("first-contentful-paint")[0].startTime,
    grid: globalThis.gridAt,
  }));
  note("first paint", times.paint);
  note("grid painted", times.grid);
  await interact(page, "press a cell", async () => {
    await page.mouse.move(300, 500);
    await page.mouse.down();
    await page.mouse.move(300, 20);
    await page.mouse.up();
  });
  await page.focus("canvas");
  await interact(page, "arrow right", () => page.keyboard.press("ArrowRight"));
  await interact(page, "arrow down", () => page.keyboard.press("ArrowDown"));
  await page.focus("input[type=search]");
  await interact(page, "type in the search", () => page.keyboard.type("node-01", { delay: 120 }));
  await interact(page, "empty the search", async () => {
    await page.keyboard.press("Control+A");
    await page.keyboard.press("Delete");
  });
  await interact(page, "show the table", () => page.click("text=Table"));
  await interact(page, "show the grid", () => page.click("text=Grid"));
  await page.focus("label:has-text('Order') select");
  await interact(page, "sort by value", () => page.keyboard.press("ArrowDown"));
  await page.focus("label:has-text('Colour') select");
  await interact(page, "colour by another metric", () => page.keyboard.press("ArrowDown"));
  await context.close();
}
console.log(JSON.stringify(measured));
await browser.close();
