"""Python packages that some tests need, in a virtual environment below build/.

Made once for each requirements.txt. Where it cannot be made the test is skipped and says why; with
CI=true it fails.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
REQUIREMENTS = HERE / "requirements.txt"


def folder():
    """The environment, made when it is not there."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:16]
    environment = ROOT / "build" / "python-tools" / digest
    environment.parent.mkdir(parents=True, exist_ok=True)
    with open(environment.parent / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (environment / "complete").exists():
            steps = [[sys.executable, "-m", "venv", "--clear", environment],
                     [environment / "bin/pip", "--disable-pip-version-check", "install", "--quiet",
                      "-r", REQUIREMENTS]]
            for step in steps:
                done = subprocess.run(step, capture_output=True, text=True)
                if done.returncode != 0:
                    missing("cannot install tests/e2e/requirements.txt: " + done.stderr[-500:])
            (environment / "complete").touch()
    return environment


def missing(why):
    if os.environ.get("CI") == "true":
        raise RuntimeError(why)
    raise unittest.SkipTest(why)


def program(name):
    return str(folder() / "bin" / name)


def run_again_inside():
    """Starts this test again with the environment's interpreter, once."""
    python = folder() / "bin" / "python"
    if Path(sys.prefix) != folder():
        os.execv(python, [str(python), *sys.argv])
