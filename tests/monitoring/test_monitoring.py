"""Alerts, runbooks and dashboards: the alerts do what they say, by Prometheus's own tool; each has its
page; and every metric that is asked for is one that the program has."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))
from pipeline import Pipeline  # noqa: E402

ALERTS = ROOT / "monitoring/alerts.yaml"
RUNBOOKS = ROOT / "docs/runbooks"
DASHBOARDS = sorted((ROOT / "monitoring/grafana").glob("*.json"))
# Those that appear with the first of their kind, and not in a pipeline that is well.
LATER = {"gpu_telemetry_queue_redelivered_total", "gpu_telemetry_queue_expired_total"}


def names(text):
    return {re.sub(r"_(bucket|count|sum)$", "", name)
            for name in re.findall(r"\b(?:gpu_telemetry|process)_\w+", text)}


@unittest.skipUnless(shutil.which("promtool"), "there is no promtool (package prometheus)")
class Alerts(unittest.TestCase):
    def promtool(self, *arguments):
        done = subprocess.run(["promtool", *arguments], cwd=ALERTS.parent, capture_output=True,
                              text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_they_are_well_formed(self):
        self.promtool("check", "rules", "alerts.yaml")

    def test_each_fires_when_it_should_and_a_healthy_hour_is_silent(self):
        self.promtool("test", "rules", "alerts_test.yaml")


class Pages(unittest.TestCase):
    def test_each_alert_has_a_page_and_each_page_an_alert(self):
        named = set(re.findall(r"runbook: (docs/runbooks/\S+)", ALERTS.read_text()))
        self.assertEqual(named, {str(page.relative_to(ROOT)) for page in RUNBOOKS.glob("*.md")})

    def test_each_alert_is_tested(self):
        alerts = set(re.findall(r"- alert: (\w+)", ALERTS.read_text()))
        tests = (ROOT / "monitoring/alerts_test.yaml").read_text()
        for alert in alerts:
            self.assertEqual(tests.count(f"alertname: {alert}\n"), 2, alert)

    def test_links_between_pages_lead_somewhere(self):
        for page in RUNBOOKS.glob("*.md"):
            for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
                self.assertTrue((RUNBOOKS / link).exists(), f"{page.name}: {link}")


class Names(unittest.TestCase):
    def test_the_program_has_every_metric_that_is_asked_for(self):
        asked = names(ALERTS.read_text())
        for dashboard in DASHBOARDS:
            asked |= names(dashboard.read_text())
        with tempfile.TemporaryDirectory(prefix="gpu-telemetry-") as folder:
            with Pipeline(folder, SOURCE="simulator", SIMULATOR_GPUS=4, SIMULATOR_HOSTS=1) as pipeline:
                while pipeline.metric("gpu_telemetry_samples_stored_total") == 0:
                    pass
                pipeline.request("/api/v1/gpus")
                there = names(pipeline.request("/metrics").body.decode())
        source = "".join(path.read_text() for path in (ROOT / "src").rglob("*.cc"))
        for name in LATER:
            self.assertIn(f'"{name}"', source)
        self.assertEqual(asked - there - LATER, set())


class Dashboards(unittest.TestCase):
    def test_they_are_what_grafana_imports(self):
        self.assertEqual([path.stem for path in DASHBOARDS], ["fleet", "pipeline"])
        for path in DASHBOARDS:
            board = json.loads(path.read_text())
            panels = [panel["id"] for panel in board["panels"]]
            self.assertEqual(len(panels), len(set(panels)), path.name)
            self.assertEqual([each["name"] for each in board["templating"]["list"]], ["datasource"])
            for panel in board["panels"]:
                for target in panel["targets"]:
                    self.assertEqual(target["datasource"]["uid"], "${datasource}")


if __name__ == "__main__":
    os.environ.setdefault("GPU_TELEMETRY_PROGRAM", str(ROOT / "build/release/bin/gpu-telemetry"))
    unittest.main(verbosity=2)
