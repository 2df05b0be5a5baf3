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


def folder(requirements=REQUIREMENTS):
    """The environment, made when it is not there."""
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:16]
    environment = ROOT / "build" / "python-tools" / digest
    environment.parent.mkdir(parents=True, exist_ok=True)
    with open(environment.parent / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (environment / "complete").exists():
            steps = [[sys.executable, "-m", "venv", "--clear", environment],
                     [environment / "bin/pip", "--disable-pip-version-check", "install", "--quiet",
                      "-r", requirements]]
            for step in steps:
                done = subprocess.run(step, capture_output=True, text=True)
                if done.returncode != 0:
                    missing(f"cannot install {requirements.relative_to(ROOT)}: {done.stderr[-500:]}")
            (environment / "complete").touch()
    return environment


def missing(why):
    if os.environ.get("CI") == "true":
        raise RuntimeError(why)
    raise unittest.SkipTest(why)


def program(name, requirements=REQUIREMENTS):
    return str(folder(requirements) / "bin" / name)


def run_again_inside(requirements=REQUIREMENTS):
    """Starts this test again with the environment's interpreter, once."""
    environment = folder(requirements)
    python = environment / "bin" / "python"
    if Path(sys.prefix) != environment:
        os.execv(python, [str(python), *sys.argv])
