"""The dashboard in Chromium, on a real all-in-one: what each page shows with data, without, and when
the server is away, at the width of a desk and of a phone. Screenshots stay in build/screenshots/."""

import datetime
import json
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from pipeline import ROOT, Pipeline

SHOTS = ROOT / "build/screenshots"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def setUpModule():
    if not CHROMIUM or not shutil.which("node"):
        print("skipped: needs chromium and node (scripts/install-dependencies.sh --test)",
              file=sys.stderr)
        sys.exit(77)


class Dashboard(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="gpu-telemetry-")
        folder = Path(cls.folder.name)
        cls.full = Pipeline(folder / "full", SOURCE="simulator", SIMULATOR_GPUS=16,
                            SIMULATOR_HOSTS=2, SIMULATOR_INTERVAL="1s")
        cls.none = Pipeline(folder / "none", CSV_PATH="/dev/null", LOOP_MODE="false")
        cls.full.wait_for_line("ready")
        deadline = datetime.datetime.now() + datetime.timedelta(seconds=30)
        while not cls.full.gpus():
            assert datetime.datetime.now() < deadline, "no GPU appeared"
        SHOTS.mkdir(parents=True, exist_ok=True)
        asked = json.dumps({"base": cls.full.url, "empty": cls.none.url,
                            "gpu": cls.full.gpus()[0]["uuid"]})
        done = subprocess.run(["node", ROOT / "tests/e2e/dashboard.mjs", SHOTS], input=asked,
                              env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": cls.folder.name,
                                   "CHROMIUM": CHROMIUM},
                              capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stdout[-500:] + done.stderr[-3000:]
        cls.pages = [json.loads(line) for line in done.stdout.splitlines()]

    @classmethod
    def tearDownClass(cls):
        cls.full.stop()
        cls.none.stop()
        cls.folder.cleanup()

    def texts(self, name):
        found = [page["text"] for page in self.pages if page["name"] == name]
        self.assertTrue(found, name)
        return found

    def test_no_page_has_errors_or_is_wider_than_the_window(self):
        for page in self.pages:
            with self.subTest(page=page["name"], width=page.get("width")):
                self.assertEqual(page["errors"], [])
                self.assertFalse(page.get("overflow", False))

    def test_every_page_meets_wcag_aa(self):
        for page in self.pages:
            with self.subTest(page=page["name"], width=page.get("width"),
                              scheme=page.get("scheme")):
                self.assertEqual(page.get("violations", []), [])

    def test_the_fleet_is_told_in_totals(self):
        for text in self.texts("fleet"):
            self.assertIn("16 / 16", text)
            self.assertIn("Mean utilisation", text)
            self.assertIn("Power now", text)

    def test_the_table_names_hosts_and_values(self):
        for text in self.texts("table"):
            self.assertIn("node-001", text)
            self.assertIn("°C", text)

    def test_a_gpu_is_shown_with_its_panels_and_its_users(self):
        for text in self.texts("gpu"):
            for part in ("Utilisation", "Temperature", "Power", "Who ran on it", "Copy as curl"):
                self.assertIn(part, text)

    def test_a_damaged_metric_is_named_and_the_others_are_shown(self):
        for text in self.texts("damaged"):
            self.assertIn("Memory free cannot be shown: what is stored is damaged", text)
            for part in ("Utilisation", "Temperature", "Memory used", "Who ran on it"):
                self.assertIn(part, text)

    def test_what_is_not_there_is_said(self):
        self.assertIn("No GPU has been heard of yet", self.texts("empty")[0])
        self.assertIn("No GPU matches", self.texts("none-match")[0])
        self.assertIn("There is no such thing", self.texts("unknown-gpu")[0])
        self.assertIn("cannot be reached", self.texts("failed")[0])

    def test_the_pipeline_is_shown_in_the_direction_of_the_data(self):
        for text in self.texts("pipeline"):
            places = [text.index(stage) for stage in ("Streamers", "Queue", "Collectors", "Storage")]
            self.assertEqual(places, sorted(places))

    def test_added_panels_stay_when_the_time_changes(self):
        page = next(page for page in self.pages if page["name"] == "added")
        for metric in ("PCIE_REPLAY_COUNTER", "XID_ERRORS"):
            self.assertIn(f"metric=DCGM_FI_DEV_{metric}", page["url"])

    def test_the_keyboard_reaches_a_gpu(self):
        page = next(page for page in self.pages if page["name"] == "keyboard")
        self.assertIn("#/gpu/GPU-", page["url"])


if __name__ == "__main__":
    unittest.main()
