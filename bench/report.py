#!/usr/bin/env python3
"""Writes docs/performance.md from bench/performance.md.in and the figures of a run of all benchmarks.

  bench/report.py [--figures FOLDER] [--out FILE]

The folder has a JSON file of each benchmark, as scripts/bench.sh leaves them. In the text,

  {{BENCH: NAME; FORMAT}}               is a figure
  {{BENCH: NAME / BENCH: NAME; FORMAT}} is the ratio of two
  {{machine: KEY}}, {{peer: NAME}}      say on what, and beside what, it was measured
  {{missing}}                           lists what could not be measured, and why

BENCH is the name of the JSON file. FORMAT has a scale (k, M, G, Ki, Mi, Gi; m and u for seconds, of
which they make ms and us), a point and the number of decimals: `M.2`, `.0`. With `?` and a limit
(`>= 3e6`), it says instead whether that is reached: met or **missed**. A figure that was not measured
is written so; one that no benchmark knows is an error.
"""

import argparse
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCALES = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "m": 1e-3,
          "u": 1e-6}
ABSENT = "not measured"


class Unknown(Exception):
    pass


def google_benchmark(content):
    """Medians of Google Benchmark: the time by name, and NAME: COUNTER."""
    figures = {}
    for run in content["benchmarks"]:
        if run.get("aggregate_name", "median") != "median":
            continue
        name = run["run_name"]
        seconds = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1}[run["time_unit"]]
        figures[name] = run["real_time"] * seconds
        known = {"name", "run_name", "run_type", "aggregate_name", "aggregate_unit", "time_unit"}
        figures |= {f"{name}: {key}": value for key, value in run.items()
                    if isinstance(value, float) and key not in known}
    return figures


class Results:
    def __init__(self, folder):
        self.figures, self.peers, self.missing = {}, {}, []
        for path in sorted(folder.glob("*.json")):
            content = json.loads(path.read_text())
            if path.stem == "machine":
                self.machine = content
            elif "benchmarks" in content:
                self.figures[path.stem] = google_benchmark(content)
            else:
                self.figures[path.stem] = {name: figure["median"]
                                           for name, figure in content["figures"].items()}
                self.peers |= content["peers"]
                self.missing += content["missing"]
        if not self.figures or not hasattr(self, "machine"):
            raise SystemExit(f"report: no figures in {folder}; make bench makes them")

    def figure(self, reference):
        """None when it was not measured."""
        bench, _, name = reference.strip().partition(": ")
        if bench not in self.figures:
            raise Unknown(f"no file {bench}.json")
        if name not in self.figures[bench] and not self.missing:
            raise Unknown(f"{bench}.json has no figure '{name}'")
        return self.figures[bench].get(name)

    def value(self, expression):
        values = [self.figure(reference) for reference in expression.split(" / ")]
        if None in values:
            return None
        return values[0] if len(values) == 1 else values[0] / values[1]

    def expand(self, placeholder):
        if placeholder == "missing":
            return "\n".join(f"- {what}" for what in self.missing) or "Nothing was left out."
        kind, _, name = placeholder.partition(": ")
        if kind in ("machine", "peer"):
            found = self.machine if kind == "machine" else self.peers
            return str(found.get(name, ABSENT))
        expression, _, form = placeholder.rpartition("; ")
        value = self.value(expression)
        return ABSENT if value is None else shown(value, form)


def shown(value, form):
    if verdict := re.fullmatch(r"\? (<=|>=) (\S+)", form):
        limit = float(verdict[2])
        reached = value <= limit if verdict[1] == "<=" else value >= limit
        return "met" if reached else "**missed**"
    parts = re.fullmatch(r"([A-Za-z]*)\.(\d)", form)
    if not parts or parts[1] not in SCALES:
        raise Unknown(f"no format '{form}'")
    return f"{value / SCALES[parts[1]]:,.{parts[2]}f}"


def render(template, results):
    problems = []

    def replace(found):
        try:
            return results.expand(found[1].strip())
        except Unknown as problem:
            line = template[:found.start()].count("\n") + 1
            problems.append(f"line {line}: {found[0]}: {problem}")
            return ABSENT

    text = re.sub(r"{{(.*?)}}", replace, template)
    if problems:
        raise SystemExit("\n".join(f"report: {problem}" for problem in problems))
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figures", type=Path, default=ROOT / "build/bench/figures")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/performance.md")
    parser.add_argument("--list", action="store_true", help="print every figure there is, by name")
    arguments = parser.parse_args()
    results = Results(arguments.figures)
    if arguments.list:
        for bench, figures in results.figures.items():
            for name, value in figures.items():
                print(f"{bench}: {name}; {value:g}")
        return 0
    template = (ROOT / "bench/performance.md.in").read_text()
    arguments.out.write_text(render(template, results))
    print(f"report: {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
