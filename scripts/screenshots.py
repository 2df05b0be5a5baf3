#!/usr/bin/env python3
"""Makes the pictures of the README: docs/images/*.png, from a simulated fleet of the last six hours."""

import datetime
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/e2e"))
from pipeline import Pipeline, run  # noqa: E402

IMAGES = ROOT / "docs/images"
TAKE = """
import { createRequire } from "node:module";
const { chromium } = createRequire(process.env.WEB)("playwright-core");
const [base, gpu, folder] = process.argv.slice(1);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
const pages = [["fleet", "/", "canvas", "light"], ["gpu", `/#/gpu/${gpu}?range=6h`, ".panel canvas", "dark"],
  ["pipeline", "/#/pipeline", ".stage", "light"]];
for (const [name, path, wait, colorScheme] of pages) {
  const page = await browser.newPage({ viewport: { width: 1200, height: 720 }, colorScheme });
  await page.goto(base + path);
  await page.waitForSelector(wait);
  await page.waitForTimeout(name === "pipeline" ? 11000 : 1500);  // its rates are those of some seconds
  await page.screenshot({ path: `${folder}/${name}.png` });
}
await browser.close();
"""


def main():
    IMAGES.mkdir(parents=True, exist_ok=True)
    start = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=6, seconds=-20)
    with tempfile.TemporaryDirectory() as folder:
        csv = Path(folder) / "fleet.csv"
        done = run("simulate", "--gpus", 128, "--hosts", 16, "--duration", "6h", "--interval", "30s",
                   "--start", start.strftime("%Y-%m-%dT%H:%M:%SZ"), "--out", csv)
        assert done.returncode == 0, done.stderr
        with Pipeline(Path(folder) / "store", CSV_PATH=csv, LOOP_MODE="false",
                      TIMESTAMP_MODE="source", STREAM_INTERVAL="0",
                      STREAMER_BATCH_SIZE=1000) as pipeline:
            pipeline.wait_until_stored()
            gpu = pipeline.gpus()[5]["uuid"]
            subprocess.run(["node", "--input-type=module", "--eval", TAKE, pipeline.url, gpu, IMAGES],
                           env={**os.environ, "WEB": str(ROOT / "web/package.json"),
                                "CHROMIUM": os.environ.get("CHROMIUM", "/usr/bin/chromium")},
                           check=True, timeout=120)
            pipeline.stop()
    for image in sorted(IMAGES.glob("*.png")):
        print(f"{image.relative_to(ROOT)}: {image.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
