#!/usr/bin/env python3
"""The dashboard's fleet page on 10,000 simulated GPUs, in Chromium: when it is painted, and how long
after an input its effect is seen. Prints medians and worst of some runs, beside what they may be at
most; ends with 1 when a median is past that. The server runs on the same cores."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/e2e"))
sys.path.insert(0, str(ROOT / "bench"))
from measure import Figures, argument_parser, version_of  # noqa: E402
from pipeline import Pipeline  # noqa: E402

FIRST_PAINT = 1000  # ms at most
INTERACTION = 100


def measure(chromium, gpus, runs):
    with tempfile.TemporaryDirectory(prefix="gpu-telemetry-bench-") as folder:
        with Pipeline(folder, SOURCE="simulator", SIMULATOR_GPUS=gpus,
                      SIMULATOR_HOSTS=max(1, gpus // 8), SIMULATOR_INTERVAL="10s") as pipeline:
            deadline = time.monotonic() + 60
            while pipeline.get("/api/v1/fleet/summary")["gpus"]["live"] < gpus:
                assert time.monotonic() < deadline, "not all simulated GPUs appeared"
                time.sleep(0.2)
            done = subprocess.run(
                ["node", ROOT / "bench/dashboard_bench.mjs", pipeline.url, str(runs)],
                env={**os.environ, "CHROMIUM": chromium}, capture_output=True, text=True,
                timeout=120 + 60 * runs)
            assert done.returncode == 0, done.stderr
            pipeline.stop()
    return json.loads(done.stdout)


def main():
    parser = argument_parser(__doc__, runs=5)
    parser.add_argument("--gpus", type=int, default=10_000)
    arguments = parser.parse_args()
    figures = Figures("dashboard", arguments.runs)
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    slow = False
    if not chromium:
        figures.miss("the dashboard", "no chromium (scripts/install-dependencies.sh --test)")
    elif figures.have("the dashboard", "node"):
        figures.peers["Chromium"] = version_of(chromium, "--version")
        print(f"{arguments.gpus:,} GPUs, {arguments.runs} runs   median   worst   at most")
        for name, times in measure(chromium, arguments.gpus, arguments.runs).items():
            for taken in times:
                figures.note(name, taken / 1000, "s")
            limit = FIRST_PAINT if "paint" in name else INTERACTION
            median = figures.median(name) * 1000
            slow |= median > limit
            print(f"{name:<27}{median:>6.0f} ms{max(times):>5} ms{limit:>7} ms"
                  f"{'   too slow' if median > limit else ''}")
    figures.write(arguments.json)
    sys.exit(slow)


if __name__ == "__main__":
    main()
