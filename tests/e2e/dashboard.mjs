// Opens each page of the dashboard in Chromium, as test_dashboard.py asks:
//   node dashboard.mjs FOLDER < JSON {base, empty, gpu}
// Writes screenshots to FOLDER and one line of JSON for each page: what it says, errors of its
// scripts, and what axe-core finds against WCAG 2.1 AA.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const web = join(dirname(fileURLToPath(import.meta.url)), "../../web");
const require = createRequire(join(web, "package.json"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const folder = process.argv[2];
const { base, empty, gpu } = JSON.parse(readFileSync(0, "utf8"));

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-dev-shm-usage"],
});

async function look(name, url, { width, scheme = "light", prepare = async () => {}, act = async () => {}, wait }) {
  // axe is put into the page, which its policy rightly forbids.
  const context = await browser.newContext({ viewport: { width, height: 860 }, colorScheme: scheme, bypassCSP: true });
  const page = await context.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(error.message));
  await prepare(page);
  await page.goto(url);
  await page.waitForSelector(wait, { timeout: 15000 });
  await act(page);
  await page.screenshot({ path: join(folder, `${name}-${width}-${scheme}.png`) });
  await page.evaluate(axe);
  const found = await page.evaluate(() =>
    globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"] }),
  );
  const violations = found.violations.map((each) => `${each.id}: ${each.nodes.map((n) => n.target).join(" ")}`);
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth + 1);
  console.log(JSON.stringify({ name, width, scheme, text: await page.innerText("body"), url: page.url(), errors, violations, overflow }));
  await context.close();
}

// What the page's own policy lets happen, without axe.
async function policy(url) {
  const page = await browser.newPage();
  const errors = [];
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  await page.goto(url);
  await page.waitForTimeout(500); // for what a policy would refuse later
  console.log(JSON.stringify({ name: "policy", url, errors }));
  await page.close();
}

for (const width of [1280, 390]) {
  await look("fleet", base + "/", { width, wait: "canvas" });
  await look("fleet", base + "/", { width, scheme: "dark", wait: "canvas" });
  await look("table", base + "/#/?view=table&metric=DCGM_FI_DEV_GPU_TEMP&sort=highest", { width, wait: "tbody tr" });
  await look("none-match", base + "/#/?q=nothing-like-this", { width, wait: ".state" });
  await look("gpu", `${base}/#/gpu/${gpu}?range=30d`, { width, wait: ".panel canvas" });
  await look("gpu", `${base}/#/gpu/${gpu}?range=30d`, { width, scheme: "dark", wait: ".panel canvas" });
  await look("unknown-gpu", `${base}/#/gpu/GPU-00000000-0000-0000-0000-000000000000`, { width, wait: ".state h2" });
  await look("pipeline", base + "/#/pipeline", { width, wait: ".stage" });
  await look("empty", empty + "/", { width, wait: ".state h2" });
}
// As of a store with a damaged column.
for (const width of [1280, 390]) {
  await look("damaged", `${base}/#/gpu/${gpu}?range=1h`, {
    width,
    wait: ".panel canvas",
    prepare: (page) =>
      page.route(/telemetry\?.*FB_FREE/, (route) =>
        route.fulfill({
          status: 500,
          contentType: "application/problem+json",
          body: JSON.stringify({ detail: `what is stored is damaged: GPU ${gpu}, metric DCGM_FI_DEV_FB_FREE` }),
        }),
      ),
    act: (page) => page.waitForSelector("[role=alert]"),
  });
}
await look("keyboard", base + "/", {
  width: 1280,
  wait: "canvas",
  act: async (page) => {
    await page.focus("canvas");
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await page.waitForSelector(".panels");
  },
});
// Two panels more than usual, kept when the time changes.
await look("added", `${base}/#/gpu/${gpu}?metric=DCGM_FI_DEV_PCIE_REPLAY_COUNTER&metric=DCGM_FI_DEV_XID_ERRORS`, {
  width: 1280,
  wait: ".panel canvas",
  act: async (page) => {
    await page.click('[aria-label="Zoom out"]');
    await page.waitForURL(/from=/);
  },
});
await look("failed", base + "/", {
  width: 1280,
  wait: "canvas",
  act: async (page) => {
    await page.context().setOffline(true);
    await page.selectOption(".toolbar select >> nth=0", "DCGM_FI_DEV_POWER_USAGE");
    await page.waitForSelector("[role=alert]");
  },
});
await policy(base + "/");
await policy(base + "/swagger/index.html");
await browser.close();
