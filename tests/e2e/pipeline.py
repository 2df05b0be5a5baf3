"""Starts the real program, talks to it over HTTP, stops or kills it. Standard library only."""

import csv
import itertools
import json
import os
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import namedtuple
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("GPU_TELEMETRY_PROGRAM", ROOT / "build/release/bin/gpu-telemetry"))

Answer = namedtuple("Answer", "status headers body")

# Everything that this process's environment says about the program would leak into the tests.
INHERITED = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}


def run(*arguments, **settings):
    """Runs a command to its end."""
    environment = {**INHERITED, **{k: str(v) for k, v in settings.items()}}
    return subprocess.run([PROGRAM, *map(str, arguments)], env=environment, timeout=120,
                          capture_output=True, text=True, stdin=subprocess.DEVNULL)


class Pipeline:
    """One all-in-one process on a free port. Settings are environment variables.

    `command`: another service; `open_files`: how many files the process may have open; `enter`:
    a command that runs the one behind it.
    """

    def __init__(self, folder, stdin=subprocess.DEVNULL, command="all-in-one", open_files=None,
                 enter=(), **settings):
        environment = {
            **INHERITED,
            "API_PORT": "0",
            "LOG_FORMAT": "json",
            "STORAGE_URI": f"embedded:{folder}",
            **{name: str(value) for name, value in settings.items()},
        }
        self.lines = []
        self._changed = threading.Condition()
        limit = ["prlimit", f"--nofile={open_files}:{open_files}"] if open_files else []
        self.process = subprocess.Popen([*limit, *enter, PROGRAM, command], env=environment, stdin=stdin,
                                        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                        text=True)
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        try:
            ready = self.wait_for_line("ready")
        except Exception:
            self.kill()
            raise
        self.url = ready["health"].removesuffix("/health")

    def _read_log(self):
        for line in self.process.stderr:
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self.lines.append(None)  # the end
            self._changed.notify_all()

    def wait_for_line(self, *messages, timeout=60):
        """The first log line with one of these messages; an error when the process ends before."""
        deadline = time.monotonic() + timeout
        seen = 0
        with self._changed:
            while True:
                for line in self.lines[seen:]:
                    if line is None:
                        raise AssertionError(f"ended before it said {messages}:\n{self.log()}")
                    fields = parse_line(line)
                    if fields.get("message") in messages:
                        return fields
                seen = len(self.lines)
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"never said {messages}:\n{self.log()}")
                self._changed.wait(left)

    def wait_until_stored(self, timeout=60):
        return self.wait_for_line("everything that the source said is stored", timeout=timeout)

    def log(self):
        return "".join(line for line in self.lines if line)

    def request(self, path, method="GET", headers=None, timeout=30, body=None):
        request = urllib.request.Request(self.url + path, method=method, headers=headers or {},
                                         data=body)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return Answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())

    def get(self, path):
        """The JSON of an answer that must be 200."""
        answer = self.request(path)
        assert answer.status == 200, (path, answer)
        return json.loads(answer.body)

    def gpus(self):
        return self.get("/api/v1/gpus")["gpus"]

    def telemetry(self, uuid, query=""):
        """All samples of a GPU, whatever the number of pages."""
        path = f"/api/v1/gpus/{uuid}/telemetry?{query}"
        page = self.get(path)
        samples = page["telemetry"]
        assert page["count"] == len(page["telemetry"])
        while "next_cursor" in page:
            page = self.get(path + "&cursor=" + page["next_cursor"])
            samples += page["telemetry"]
        return samples

    def values(self):
        """Every stored value as {(uuid, metric, timestamp): value}; none may come twice."""
        found = {}
        for gpu in self.gpus():
            for sample in self.telemetry(gpu["uuid"], "limit=100000"):
                key = (gpu["uuid"], sample["metric_name"], sample["timestamp"])
                assert key not in found, f"doubled: {key}"
                found[key] = sample["value"]
        return found

    def metrics(self):
        answer = self.request("/metrics")
        assert answer.status == 200, f"/metrics: {answer.status} {answer.body[:1000]}"
        return answer.body.decode()

    def metric(self, name):
        """The sum of a metric's series."""
        text = self.metrics()
        series = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
        assert series, f"no {name} in /metrics"
        return sum(map(float, series))

    def by_label(self, name, label):
        """The series of a metric as {value of the label: number}."""
        text = self.metrics()
        series = re.findall(rf'^{name}{{{label}="([^"]*)"}} (\S+)$', text, re.MULTILINE)
        assert series, f"no {name} by {label} in /metrics"
        return {value: float(number) for value, number in series}

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=60):
        status = self.process.wait(timeout)
        self._reader.join(timeout)
        self.process.stderr.close()
        return status

    def stop(self):
        """SIGTERM, and the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self):
        self.process.kill()
        return self.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.kill()


def difference(found, expected):
    """The first few keys in which two dictionaries differ, with both values; None where there is
    none. assertEqual of large ones takes minutes to say as much."""
    differing = (key for key in expected.keys() | found.keys()
                 if found.get(key) != expected.get(key))
    return [(key, found.get(key), expected.get(key)) for key in itertools.islice(differing, 5)]


def parse_line(line):
    try:
        return json.loads(line)
    except ValueError:
        return {}


def simulate(path, gpus=8, hosts=2, duration="2m", interval="10s", seed=1,
             start="2025-01-01T00:00:00Z"):
    done = run("simulate", "--gpus", gpus, "--hosts", hosts, "--duration", duration, "--interval",
               interval, "--seed", seed, "--start", start, "--out", path)
    assert done.returncode == 0, done.stderr
    return path


# What DCGM writes where it has no value (dcgm_structs.h).
BLANK_DOUBLE = 140737488355328.0
BLANK_INT32 = range(0x7FFFFFF0, 0x7FFFFFF4)


def file_values(path):
    """What a CSV file says, by Python's own reader: {(uuid, metric, timestamp): value}."""
    found = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            try:
                value = float(row["value"])
            except ValueError:
                continue
            if value >= BLANK_DOUBLE or value in BLANK_INT32:
                continue
            found[(row["uuid"], row["metric_name"], row["timestamp"])] = value
    return found


def wait_for(what, condition, timeout=60):
    deadline = time.monotonic() + timeout
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"it did not come to this: {what}"
        time.sleep(0.02)
    return answer
