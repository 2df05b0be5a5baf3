"""What the benchmarks share: processes that run while they are measured, and the figures of a run.

Figures are written as JSON (`--json FILE`), from which bench/report.py makes docs/performance.md.
`python3 bench/measure.py FILE` writes what a run is measured on.
"""

import argparse
import contextlib
import datetime
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/e2e"))
from pipeline import INHERITED, PROGRAM  # noqa: E402

FOLDER = ROOT / "build/bench"
TICKS = os.sysconf("SC_CLK_TCK")


def argument_parser(description, runs):
    """Of a benchmark that repeats its measurements and writes figures."""
    parser = argparse.ArgumentParser(description=description,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=runs)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here as well")
    return parser


class Figures:
    """Values of one benchmark by name, several of each; and which peers they stand beside."""

    def __init__(self, bench, runs):
        self.bench = bench
        self.runs = runs
        self.began = datetime.datetime.now(datetime.timezone.utc)
        self.values = {}
        self.units = {}
        self.peers = {}  # name: version
        self.missing = []  # what could not be measured, and why

    def note(self, name, value, unit):
        self.values.setdefault(name, []).append(value)
        self.units[name] = unit

    def median(self, name):
        """None when it was not measured."""
        return statistics.median(self.values[name]) if name in self.values else None

    def ratio(self, name, peer):
        """None when one of the two was not measured."""
        ours, theirs = self.median(name), self.median(peer)
        return ours / theirs if ours is not None and theirs else None

    def miss(self, what, why):
        self.missing.append(f"{what}: {why}")
        print(f"{self.bench}: not measured: {what}: {why}", flush=True)

    def have(self, what, *programs):
        """Whether these programs are there; else says that `what` is not measured."""
        absent = [str(program) for program in programs if shutil.which(program) is None]
        if absent:
            self.miss(what, f"{', '.join(absent)} is not there; make bench installs and builds it")
        return not absent

    def write(self, path):
        """As JSON; nothing without a path."""
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "bench": self.bench,
            "date": self.began.isoformat(timespec="seconds"),
            "runs": self.runs,
            "machine": machine(),
            "peers": self.peers,
            "missing": self.missing,
            "figures": {name: {"unit": self.units[name], "median": statistics.median(values),
                               "min": min(values), "max": max(values), "values": len(values)}
                        for name, values in self.values.items()},
        }
        path.write_text(json.dumps(content, indent=1) + "\n")


def wait_until(answers, what, timeout=20, pause=0.02):
    """Until `answers()` is true; what it throws counts as false."""
    deadline = time.monotonic() + timeout
    while True:
        with contextlib.suppress(Exception):
            if answers():
                return
        if time.monotonic() > deadline:
            raise SystemExit(f"bench: {what} did not answer within {timeout} s")
        time.sleep(pause)


def answers_200(url):
    return lambda: urllib.request.urlopen(url, timeout=1).status == 200


def metric(url, name):
    """The sum of a metric's series at URL/metrics; 0 while there is none."""
    with urllib.request.urlopen(url + "/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return sum(map(float, re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)))


def bytes_below(folder):
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


class Server:
    """A process that runs while it is measured. `cpu` and `peak` are known after it has ended."""

    def __init__(self, name, arguments, ready, timeout=20, **settings):
        self.name = name
        environment = {**INHERITED, **{key: str(value) for key, value in settings.items()}}
        self.process = subprocess.Popen([str(a) for a in arguments], env=environment,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        self.cpu = self.peak = 0.0
        try:
            wait_until(ready, name, timeout)
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def look(self):
        """Seconds of CPU so far, and the peak of resident memory in MB."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        self.cpu = (int(fields[11]) + int(fields[12])) / TICKS
        self.peak = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) * 1024 / 1e6
        return self.cpu, self.peak

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.look()
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def version_of(*command):
    """The version number that a program says of itself; 'unknown' when it says none."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        said = subprocess.run(command, capture_output=True, text=True, timeout=30)
        found = re.search(r"\d+\.\d+(?:\.\d+)*", said.stdout + "\n" + said.stderr)
        if found:
            return found[0]
    return "unknown"


def machine():
    """What a benchmark runs on."""
    processor = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    cache = ROOT / "build/release/CMakeCache.txt"
    compiler = re.search(r"CMAKE_CXX_COMPILER:\w+=(.*)", cache.read_text()) if cache.exists() else None
    said = ""
    if compiler:
        said = subprocess.run([compiler[1], "--version"], capture_output=True, text=True).stdout
    program = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True).stdout.strip()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": processor[1] if processor else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_GB": round(memory / 1e9, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "compiler": said.splitlines()[0] if said else "unknown",
        "program": program,
        "load": round(os.getloadavg()[0], 2),
    }


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(machine(), indent=1) + "\n")
