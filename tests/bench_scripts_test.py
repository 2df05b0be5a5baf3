"""Every benchmark written in Python starts, so that what moves elsewhere does not break it unseen."""

import subprocess
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class BenchScripts(unittest.TestCase):
    def test_each_says_what_it_measures(self):
        scripts = sorted((ROOT / "bench").glob("*_bench.py"))
        self.assertTrue(scripts)
        for script in [*scripts, ROOT / "bench/report.py"]:
            with self.subTest(script=script.name):
                told = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True,
                                      timeout=30)
                self.assertEqual(told.returncode, 0, told.stderr)
                self.assertIn("usage:", told.stdout)


if __name__ == "__main__":
    unittest.main()
