#!/usr/bin/env python3
"""How the whole program scales, on fleets that the built-in simulator makes.

  fleet       8 to 100,000 GPUs of ten metrics: samples/s from a file's first byte to everything
              durable and queryable; then a longer history through a pipe: bytes a sample in the
              store's files, all that the folder takes after the program has stopped, and memory
  history     64 GPUs with 1 hour to 30 days of history, a scrape a minute: one metric of one GPU, and
              the fleet's average by host, over the newest hour and over all there is. One connection;
              long ranges by `step`, so that each answer has about 300 points a series
  collectors  1 to 8 collectors, each a process, empty a durable queue into one server of MongoDB's
              protocol: mongod if it is on PATH, else the stand-in of the tests, which keeps
              everything in memory and may be the limit. Says how many cores it used

Prints each figure, then medians. Needs a release build, and a JDK and Maven for the stand-in
(scripts/install-dependencies.sh --test); without a server the collectors are not measured.
"""

import contextlib
import datetime
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/e2e"))
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "scripts")]
from measure import (FOLDER, Figures, Server, answers_200, argument_parser, bytes_below,  # noqa: E402
                     metric, version_of, wait_until)
from member import free_port  # noqa: E402
from pipeline import PROGRAM, Pipeline, run  # noqa: E402
from pipeline_bench import Ingest  # noqa: E402

METRICS = 10  # of a simulated GPU without events
POWER = "DCGM_FI_DEV_POWER_USAGE"
FLEETS = (8, 100, 1_000, 10_000, 100_000)
HISTORY_GPUS = 64
HISTORIES = {  # how long, and the bucket of a question about all of it
    "1 hour": (datetime.timedelta(hours=1), "60s"),
    "1 day": (datetime.timedelta(days=1), "300s"),
    "7 days": (datetime.timedelta(days=7), "1800s"),
    "30 days": (datetime.timedelta(days=30), "7200s"),
}
COLLECTORS = (1, 2, 4, 8)
NO_EVENTS = "--events=false"  # with them the number of samples varies


def simulation(gpus, interval, passes, *arguments):
    return ["simulate", "--gpus", gpus, "--hosts", max(1, gpus // 8), "--interval", f"{interval}s",
            "--duration", f"{interval * passes}s", NO_EVENTS, *arguments]


def passes_for(gpus, samples, at_least):
    return max(at_least, samples // (gpus * METRICS))


@contextlib.contextmanager
def piped_history(folder, gpus, interval, passes, *arguments):
    """A pipeline that has stored all of a simulated history, and is done with sealing it."""
    source = subprocess.Popen([PROGRAM, *map(str, simulation(gpus, interval, passes, *arguments))],
                              stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    try:
        with Pipeline(folder, stdin=source.stdout, CSV_PATH="-", LOOP_MODE="false", RETENTION="0",
                      TIMESTAMP_MODE="source", STREAM_INTERVAL="0",
                      STREAMER_BATCH_SIZE="1000") as pipeline:
            source.stdout.close()
            pipeline.wait_until_stored(timeout=1800)
            assert source.wait() == 0, "the simulator failed"
            sealed = -1.0
            while sealed != (sealed := metric(pipeline.url, "gpu_telemetry_store_file_samples")):
                time.sleep(1)  # the pace of asking
            yield pipeline
            if pipeline.process.poll() is None:
                pipeline.stop()
    finally:
        source.kill()
        source.wait()


def fleet(figures, gpus, samples, history):
    name = f"fleet {gpus:,}"
    passes = passes_for(gpus, samples, at_least=5)
    path = FOLDER / f"scaling-{gpus}.csv"
    made = run(*simulation(gpus, 10, passes, "--out", path))
    assert made.returncode == 0, made.stderr
    try:
        for _ in range(figures.runs):
            ingest = Ingest(path, "durable")
            assert ingest.samples == gpus * METRICS * passes, (name, ingest.samples)
            say(figures, f"{name}: rate", ingest.samples / ingest.seconds, "samples/s")
    finally:
        path.unlink()
    passes = passes_for(gpus, history, at_least=5)
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        store = Path(folder) / "store"
        with piped_history(store, gpus, 10, passes) as pipeline:
            resident = metric(pipeline.url, "process_resident_memory_bytes")
            sealed = metric(pipeline.url, "gpu_telemetry_store_file_samples")
            if sealed:
                say(figures, f"{name}: sealed",
                    metric(pipeline.url, "gpu_telemetry_store_file_bytes") / sealed, "bytes/sample")
            else:
                figures.miss(f"{name}: sealed", "so short a history is still in the journal")
            say(figures, f"{name}: resident", resident / 1e6, "MB")
            pipeline.stop()
        say(figures, f"{name}: folder", bytes_below(store) / (gpus * METRICS * passes), "bytes/sample")


def history(figures, name, asks):
    lasts, step = HISTORIES[name]
    end = datetime.datetime.now(datetime.timezone.utc).replace(second=0, microsecond=0)
    text = "%Y-%m-%dT%H:%M:%SZ"
    start = end - lasts
    whole = urllib.parse.urlencode({"start_time": start.strftime(text), "end_time": end.strftime(text),
                                    "metric_name": POWER, "step": step})
    newest = urllib.parse.urlencode({
        "start_time": (end - datetime.timedelta(hours=1)).strftime(text),
        "end_time": end.strftime(text), "metric_name": POWER})
    passes = int(lasts.total_seconds()) // 60
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder, \
            piped_history(Path(folder) / "store", HISTORY_GPUS, 60, passes, "--start",
                          start.strftime(text)) as pipeline:
        uuids = [gpu["uuid"] for gpu in pipeline.gpus()]
        one = [f"/api/v1/gpus/{uuid}/telemetry?shape=series&" for uuid in uuids]
        questions = {
            "newest hour, one GPU": [path + newest for path in one],
            "newest hour, by host": [f"/api/v1/fleet/telemetry?by=hostname&step=60s&{newest}"],
            "all, one GPU": [path + whole for path in one],
            "all, by host": [f"/api/v1/fleet/telemetry?by=hostname&{whole}"],
        }
        for _ in range(figures.runs):
            for question, paths in questions.items():
                say(figures, f"history {name}: {question}", ask(pipeline.url, paths, asks), "s")


def ask(url, paths, asks):
    """The median time of a question, from its first byte sent to the answer's last."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=60)
    taken = []
    for number in range(asks):
        began = time.perf_counter()
        connection.request("GET", paths[number % len(paths)])
        answer = connection.getresponse()
        body = answer.read()
        taken.append(time.perf_counter() - began)
        assert answer.status == 200, (paths[number % len(paths)], body)
    connection.close()
    document = json.loads(body)
    assert any(series["values"] for series in document["series"]), "an answer without values"
    return statistics.median(taken)


def collectors(figures, counts, samples):
    found = subprocess.run([ROOT / "tests/servers/mongodb.sh", "install"], capture_output=True,
                           text=True)
    if found.returncode != 0:
        return figures.miss("collectors on one MongoDB", found.stderr.strip())
    server = found.stdout.strip()
    figures.peers["MongoDB"] = (version_of("mongod", "--version") if server == "mongod" else
                                f"{server}, a stand-in")
    passes = passes_for(HISTORY_GPUS, samples, at_least=1)
    samples = HISTORY_GPUS * METRICS * passes
    path = FOLDER / "scaling-collectors.csv"
    made = run(*simulation(HISTORY_GPUS, 10, passes, "--out", path))
    assert made.returncode == 0, made.stderr
    try:
        for _ in range(figures.runs):
            with tempfile.TemporaryDirectory(dir=FOLDER) as folder, mongodb(folder) as store:
                # A Java server is slow at first.
                empty_queue(store, Path(folder) / "warm", path, samples, 2)
                for count in counts:
                    rate, cores = empty_queue(store, Path(folder) / str(count), path, samples, count)
                    say(figures, f"collectors {count}: rate", rate, "samples/s")
                    say(figures, f"collectors {count}: server", cores, "cores")
    finally:
        path.unlink()


@contextlib.contextmanager
def mongodb(folder):
    port = free_port()
    data = Path(folder) / "mongodb"
    data.mkdir()

    def listens():
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=1)) as probe:
            probe.connect()
            return True

    with Server("MongoDB", [ROOT / "tests/servers/mongodb.sh", "run", port, data], listens, timeout=60,
                MONGO_STAND_IN_HEAP="2g") as server:
        server.uri = f"mongodb://127.0.0.1:{port}"
        yield server


def empty_queue(store, folder, path, samples, count):
    """Samples/s of so many collectors from a full queue to MongoDB, and the cores that it used."""
    folder.mkdir()
    port = free_port()
    queue = f"http://127.0.0.1:{port}"
    with contextlib.ExitStack() as stack:
        stack.enter_context(Server("queue service", [PROGRAM, "queue-service"],
                                   answers_200(queue + "/readyz"), QUEUE_ENGINE="durable",
                                   QUEUE_PORT=port, QUEUE_DATA_DIR=folder / "queue",
                                   BUFFER_SIZE="1000000", BUFFER_BYTES="1GiB"))
        filled = run("streamer", QUEUE_SERVICE_URL=queue, CSV_PATH=path, LOOP_MODE="false",
                     TIMESTAMP_MODE="source", STREAM_INTERVAL="0", EXIT_AT_END="true",
                     STREAMER_BATCH_SIZE="100", METRICS_PORT="0")
        assert filled.returncode == 0, filled.stderr
        cpu, _ = store.look()
        began = time.perf_counter()
        urls = []
        for number in range(count):
            port = free_port()
            urls.append(f"http://127.0.0.1:{port}")
            stack.enter_context(Server(f"collector {number + 1}", [PROGRAM, "collector"],
                                       lambda: True, METRICS_PORT=port, QUEUE_SERVICE_URL=queue,
                                       MONGODB_URI=store.uri, MONGODB_DATABASE=f"bench_{folder.name}"))
        stored = lambda: sum(metric(url, "gpu_telemetry_samples_stored_total") for url in urls)
        wait_until(lambda: stored() >= samples, f"storing with {count} collectors", timeout=600,
                   pause=0.1)  # asking takes time of the same cores
        seconds = time.perf_counter() - began
        return samples / seconds, (store.look()[0] - cpu) / seconds


def say(figures, name, value, unit):
    figures.note(name, value, unit)
    print(f"  {name:44}{shown(value, unit)}", flush=True)


def shown(value, unit):
    return f"{value * 1e3:14,.2f} ms" if unit == "s" else f"{value:14,.2f} {unit}"


def main():
    parser = argument_parser(__doc__, runs=3)
    parser.add_argument("--quick", action="store_true", help="a smoke test: small, one run of each")
    parser.add_argument("--parts", nargs="+", default=["fleet", "history", "collectors"],
                        choices=["fleet", "history", "collectors"])
    arguments = parser.parse_args()
    quick = arguments.quick
    FOLDER.mkdir(parents=True, exist_ok=True)
    figures = Figures("scaling", 1 if quick else arguments.runs)
    if "fleet" in arguments.parts:
        for gpus in FLEETS[:3] if quick else FLEETS:
            fleet(figures, gpus, *((50_000, 100_000) if quick else (2_000_000, 9_000_000)))
    if "history" in arguments.parts:
        for name in list(HISTORIES)[:2] if quick else HISTORIES:
            history(figures, name, 20 if quick else 200)
    if "collectors" in arguments.parts:
        collectors(figures, COLLECTORS[:2] if quick else COLLECTORS, 20_000 if quick else 200_000)
    print("\nmedians")
    for name in figures.values:
        print(f"  {name:44}{shown(figures.median(name), figures.units[name])}")
    figures.write(arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
