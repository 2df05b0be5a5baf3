#!/usr/bin/env python3
"""The whole pipeline against DuckDB, ClickHouse and polars, on one file in one run.

Makes (once) a file of 1,049,750 rows in dcgm-exporter's CSV form: 247 GPUs on 31 hosts, ten metrics,
425 scrapes. Then, in turn and several times, so that a noisy machine is noisy to all of them:

  parse    every row read and its value summed, one thread
  ingest   the file to durable and queryable, all cores
  size     bytes on disk for each sample

Prints medians and ratios. The peers come from PyPI into a virtual environment of their own; one that
cannot be installed is not measured, and named.
"""

import datetime
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/e2e"))
sys.path.insert(0, str(ROOT / "bench"))
from measure import Figures, argument_parser, bytes_below  # noqa: E402
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


# Each package, and what says the version of what is in it.
PACKAGES = {
    "DuckDB": ("duckdb", "duckdb.__version__"),
    "ClickHouse": ("chdb", "str(chdb.query('select version()')).strip().strip('\"')"),
    "polars": ("polars", "polars.__version__"),
}


def look_for_peers(figures, folder):
    """The interpreter that has the peers, and those of PEERS that it has."""
    python = folder / "venv/bin/python"
    try:
        if not python.exists():
            venv.create(folder / "venv", with_pip=True)
        for package, _ in PACKAGES.values():
            if subprocess.run([python, "-c", f"import {package}"], capture_output=True).returncode != 0:
                print(f"installing {package} from PyPI ...", flush=True)
                subprocess.run([python, "-m", "pip", "install", "-q", package], capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        figures.miss(", ".join(PACKAGES), f"no virtual environment: {error}")
        return python, []
    there = set()
    for name, (package, version) in PACKAGES.items():
        version = subprocess.run([python, "-c", f"import {package}; print({version})"],
                                 capture_output=True, text=True)
        if version.returncode != 0:
            figures.miss(name, f"{package} cannot be installed from PyPI")
            continue
        figures.peers[name] = version.stdout.strip()
        there.add(name.lower())
    return python, [peer for peer in PEERS if peer.split()[0] in there]


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
        # DuckDB may draw a progress bar before it.
        seconds, size, rows = done.stdout.split()[-3:]
        assert int(rows) == ROWS, (name, rows)
        return float(seconds), int(size)


class Ingest:
    """What became of one run from a file's first byte to everything durable and queryable."""

    def __init__(self, path, engine):
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            store = Path(folder) / "store"
            with Pipeline(store, CSV_PATH=path, LOOP_MODE="false", TIMESTAMP_MODE="source",
                          STREAM_INTERVAL="0", STREAMER_BATCH_SIZE="1000", QUEUE_ENGINE=engine) as pipeline:
                ready = pipeline.wait_for_line("ready")
                stored = pipeline.wait_until_stored(timeout=600)
                self.samples = pipeline.metric("gpu_telemetry_samples_stored_total")
                self.resident_bytes = pipeline.metric("process_resident_memory_bytes")
                pipeline.stop()
            self.bytes_on_disk = bytes_below(store)
        self.seconds = log_seconds(stored) - log_seconds(ready)


def log_seconds(line):
    return datetime.datetime.fromisoformat(line["time"].replace("Z", "+00:00")).timestamp()


def start_up(folder):
    """From exec to the line that says ready, on an empty store."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        began = time.perf_counter()
        with Pipeline(Path(name) / "store", SOURCE="simulator", SIMULATOR_GPUS=8) as pipeline:
            took = time.perf_counter() - began
            pipeline.stop()
    return took


def print_medians(figures, size):
    print(f"\n{'':28}{'median':>10}{'min':>10}{'max':>10}{'M rows/s':>10}{'GB/s':>8}{'B/sample':>10}")
    for name, taken in figures.values.items():
        if figures.units[name] != "s":
            continue
        middle = figures.median(name)
        line = f"{name:28}{middle:10.3f}{min(taken):10.3f}{max(taken):10.3f}"
        if name != "start to ready":
            line += f"{ROWS / middle / 1e6:10.2f}{size / middle / 1e9:8.2f}"
        disk = figures.median(f"{name}: disk")
        if disk is not None:
            line += f"{disk:10.2f}"
        print(line)
    print(f"\nresident memory after an ingest: {figures.median('resident after an ingest'):.0f} MB")
    for name in ("duckdb ingest", "clickhouse ingest"):
        ratio = figures.ratio(name, "all-in-one (durable)")
        if ratio is not None:
            print(f"all-in-one (durable) is {ratio:.1f} times as fast as {name}")


def main():
    parser = argument_parser(__doc__, runs=5)
    parser.add_argument("--folder", type=Path, default=ROOT / "build/bench")
    parser.add_argument("--file", type=Path, help="another CSV file of 1,049,750 rows")
    parser.add_argument("--no-peers", action="store_true")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    path = arguments.file or dataset(arguments.folder)
    size = path.stat().st_size
    print(f"{path}: {ROWS:,} rows, {size / 1e6:.0f} MB; {os.cpu_count()} cores; {PROGRAM}\n")
    figures = Figures("pipeline", arguments.runs)
    figures.note("file", size, "bytes")

    def note(name, seconds, bytes_on_disk=0):
        figures.note(name, seconds, "s")
        figures.note(f"{name}: rate", ROWS / seconds, "rows/s")
        if bytes_on_disk:
            figures.note(f"{name}: disk", bytes_on_disk / ROWS, "bytes/sample")
        print(f"  {name:26} {seconds:8.3f} s {ROWS / seconds / 1e6:8.2f} M rows/s", flush=True)

    python, peers = (None, []) if arguments.no_peers else look_for_peers(figures, arguments.folder)
    for number in range(arguments.runs):
        print(f"run {number + 1} of {arguments.runs}")
        for engine in ("durable", "memory"):
            ingest = Ingest(path, engine)
            note(f"all-in-one ({engine})", ingest.seconds)
            figures.note("resident after an ingest", ingest.resident_bytes / 1e6, "MB")
        for name in peers:
            note(name, *run_peer(python, name, path))
        figures.note("start to ready", start_up(arguments.folder), "s")
    print_medians(figures, size)
    figures.write(arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
