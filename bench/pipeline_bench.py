#!/usr/bin/env python3
"""The whole pipeline against DuckDB, ClickHouse and polars, on one file in one run.

Makes (once) a file of 1,049,750 rows in dcgm-exporter's CSV form: 247 GPUs on 31 hosts, ten metrics,
425 scrapes. Then, in turn and several times, so that a noisy machine is noisy to all of them:

  parse    every row read and its value summed, one thread
  ingest   the file to durable and queryable, all cores
  size     bytes on disk for each sample

Prints medians and ratios. The peers come from PyPI into a virtual environment of their own.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/e2e"))
from pipeline import Pipeline, PROGRAM, run  # noqa: E402

ROWS = 1_049_750
COLUMNS = "timestamp, metric_name, gpu_id, device, uuid, modelName, Hostname, container, pod, namespace"

# Each prints the seconds that it took, and for an ingest the bytes that it left on disk.
PEERS = {
    "duckdb parse": """
import duckdb, sys, time
db = duckdb.connect(config={'threads': 1})
began = time.perf_counter()
rows, total = db.execute(f"select count(*), sum(value) from read_csv('{sys.argv[1]}', header=true)").fetchone()
print(time.perf_counter() - began, 0, rows)
""",
    "polars parse": """
import os, sys, time
os.environ['POLARS_MAX_THREADS'] = '1'
import polars
began = time.perf_counter()
frame = polars.read_csv(sys.argv[1], schema_overrides={'value': polars.Float64})
rows, total = frame.height, frame['value'].sum()
print(time.perf_counter() - began, 0, rows)
""",
    "duckdb ingest": f"""
import duckdb, os, sys, time
path = sys.argv[2] + '/bench.duckdb'
db = duckdb.connect(path)
began = time.perf_counter()
db.execute(f"create table samples as select {COLUMNS}, value from read_csv('{{sys.argv[1]}}', header=true)")
db.execute('force checkpoint')
took = time.perf_counter() - began
rows, = db.execute('select count(*) from samples').fetchone()
db.close()
print(took, os.path.getsize(path), rows)
""",
    "clickhouse ingest": f"""
import sys, time
from chdb import session
db = session.Session(sys.argv[2])
db.query('create database if not exists bench engine = Atomic')
db.query('''create table bench.samples (timestamp DateTime, metric_name LowCardinality(String),
  gpu_id LowCardinality(String), device LowCardinality(String), uuid LowCardinality(String),
  modelName LowCardinality(String), Hostname LowCardinality(String),
  container LowCardinality(String), pod LowCardinality(String),
  namespace LowCardinality(String), value Float64)
  engine = MergeTree order by (uuid, metric_name, timestamp)''')
began = time.perf_counter()
db.query(f"insert into bench.samples select parseDateTimeBestEffort(timestamp), metric_name, gpu_id, "
         f"device, uuid, modelName, Hostname, container, pod, namespace, value "
         f"from file('{{sys.argv[1]}}', CSVWithNames, 'timestamp String, metric_name String, "
         f"gpu_id String, device String, uuid String, modelName String, Hostname String, "
         f"container String, pod String, namespace String, value Float64, labels_raw String')")
took = time.perf_counter() - began
db.query('optimize table bench.samples final')
size = db.query("select sum(bytes_on_disk) from system.parts where active and table = 'samples'", 'CSV')
rows = db.query('select count() from bench.samples', 'CSV')
print(took, int(str(size).strip()), int(str(rows).strip()))
""",
}


def peers_python(folder):
    python = folder / "venv/bin/python"
    if not python.exists():
        print("installing duckdb, chdb and polars from PyPI ...", flush=True)
        venv.create(folder / "venv", with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "duckdb", "chdb", "polars"], check=True)
    return python


def dataset(folder):
    path = folder / "fleet-247x425.csv"
    if not path.exists():
        print(f"making {path} ...", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        done = run("simulate", "--gpus", 247, "--hosts", 31, "--duration", "4250s", "--interval", "10s",
                   "--events=false", "--out", path)
        assert done.returncode == 0, done.stderr
    return path


def run_peer(python, name, path):
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        done = subprocess.run([python, "-c", PEERS[name], path, folder], check=True, text=True,
                              capture_output=True)
        seconds, size, rows = done.stdout.split()
        assert int(rows) == ROWS, (name, rows)
        return float(seconds), int(size)


def run_all_in_one(path, engine):
    """From the file's first byte to everything durable and queryable, then what it takes on disk."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        store = Path(folder) / "store"
        with Pipeline(store, CSV_PATH=path, LOOP_MODE="false", TIMESTAMP_MODE="source",
                      STREAM_INTERVAL="0", STREAMER_BATCH_SIZE="1000", QUEUE_ENGINE=engine) as pipeline:
            ready = pipeline.wait_for_line("ready")
            stored = pipeline.wait_until_stored()
            samples = pipeline.metric("gpu_telemetry_samples_stored_total")
            peak = pipeline.metric("process_resident_memory_bytes")
            pipeline.stop()
        seconds = log_seconds(stored) - log_seconds(ready)
        return seconds, samples, peak


def log_seconds(line):
    clock = line["time"]
    hours, minutes, rest = clock[11:].rstrip("Z").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


def start_up(folder):
    """From exec to the line that says ready, on an empty store."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        began = time.perf_counter()
        with Pipeline(Path(name) / "store", SOURCE="simulator", SIMULATOR_GPUS=8) as pipeline:
            took = time.perf_counter() - began
            pipeline.stop()
    return took


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=ROOT / "build/bench")
    parser.add_argument("--file", type=Path, help="another CSV file of 1,049,750 rows")
    parser.add_argument("--no-peers", action="store_true")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    path = arguments.file or dataset(arguments.folder)
    size = path.stat().st_size
    print(f"{path}: {ROWS:,} rows, {size / 1e6:.0f} MB; {os.cpu_count()} cores; {PROGRAM}\n")

    times = {}
    sizes = {}
    memory = []

    def note(name, seconds, bytes_on_disk=0):
        times.setdefault(name, []).append(seconds)
        if bytes_on_disk:
            sizes[name] = bytes_on_disk
        print(f"  {name:26} {seconds:8.3f} s {ROWS / seconds / 1e6:8.2f} M rows/s", flush=True)

    python = None if arguments.no_peers else peers_python(arguments.folder)
    for number in range(arguments.runs):
        print(f"run {number + 1} of {arguments.runs}")
        for engine in ("durable", "memory"):
            seconds, samples, peak = run_all_in_one(path, engine)
            memory.append(peak)
            note(f"all-in-one ({engine})", seconds)
        if python:
            for name in PEERS:
                note(name, *run_peer(python, name, path))
        note_start = start_up(arguments.folder)
        times.setdefault("start to ready", []).append(note_start)

    print(f"\n{'':28}{'median':>10}{'min':>10}{'max':>10}{'M rows/s':>10}{'GB/s':>8}{'B/sample':>10}")
    for name, taken in times.items():
        middle = statistics.median(taken)
        line = f"{name:28}{middle:10.3f}{min(taken):10.3f}{max(taken):10.3f}"
        if name != "start to ready":
            line += f"{ROWS / middle / 1e6:10.2f}{size / middle / 1e9:8.2f}"
        if name in sizes:
            line += f"{sizes[name] / ROWS:10.2f}"
        print(line)
    print(f"\npeak of resident memory after an ingest: {max(memory) / 1e6:.0f} MB")
    ours = statistics.median(times["all-in-one (durable)"])
    for name in ("duckdb ingest", "clickhouse ingest"):
        if name in times:
            print(f"all-in-one (durable) is {statistics.median(times[name]) / ours:.1f} times as fast as {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
