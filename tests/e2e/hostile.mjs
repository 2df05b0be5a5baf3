// Opens pages of the dashboard whose data is hostile, as test_hostile.py asks:
//   node hostile.mjs < JSON {base, gpu}
// Writes one line of JSON for each page: what it says, and whether anything of the data ran. The
// pages' own policy is put aside, so that nothing but the escaping keeps a script from running.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const web = join(dirname(fileURLToPath(import.meta.url)), "../../web");
const { chromium } = createRequire(join(web, "package.json"))("playwright-core");
const { base, gpu } = JSON.parse(readFileSync(0, "utf8"));

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-dev-shm-usage"],
});
const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, bypassCSP: true });

async function look(name, path, wait, act = async () => {}) {
  const page = await context.newPage();
  const dialogs = [];
  const errors = [];
  const strangers = [];
  page.on("dialog", (dialog) => {
    dialogs.push(dialog.message());
    dialog.dismiss();
  });
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("request", (request) => request.url().startsWith(base) || strangers.push(request.url()));
  await page.goto(base + path);
  await page.waitForSelector(wait, { timeout: 15000 });
  await act(page);
  const pwned = await page.evaluate(() => globalThis.__pwned !== undefined);
  // Elements that only the data can have brought in.
  const brought = await page.evaluate(() => document.querySelectorAll("[onerror], [onload], img[src='x'], script:not([src])").length);
  console.log(JSON.stringify({ name, text: await page.innerText("body"), pwned, brought, dialogs, errors, strangers }));
  await page.close();
}

await look("fleet", "/", "canvas", async (page) => {
  await page.focus("canvas");
  await page.keyboard.press("ArrowRight");
});
await look("table", "/#/?view=table", "tbody tr");
await look("gpu", `/#/gpu/${gpu}?range=30d`, ".panel canvas");
await look("pipeline", "/#/pipeline", ".stage", (page) => page.waitForSelector("text=__pwned", { state: "attached" }));
await look("swagger", "/swagger/index.html", ".opblock");
await browser.close();
