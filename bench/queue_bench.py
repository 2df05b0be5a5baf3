#!/usr/bin/env python3
"""The queue and the services apart, beside nginx, NATS JetStream and plain Redis, in one run.

  requests   one message of 1 KB a request, 32 connections, from wrk: publish on each engine, and
             nginx answering a fixed body of 1 KB
  batches    100 messages of 1 KB a request: publish, and fetch + ack, on each engine; NATS JetStream
             on files, through its C client
  services   streamer -> queue service -> a consumer that decodes and acks, each a process of its
             own, 1,000 rows a message, the file of pipeline_bench.py

Rounds run in turn, so that a noisy machine is noisy to all of them. Prints each round, then medians,
ratios, and CPU and memory of each process. NATS 2.9 syncs its files every two minutes and Redis runs
with appendfsync always; the durable engine syncs before each answer. Needs a release build, and
nginx, wrk, nats-server with libnats-dev, redis-server (scripts/install-dependencies.sh --bench);
what is not there is not measured, and named.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/e2e"))
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "scripts")]
from measure import Figures, Server, answers_200, argument_parser, version_of  # noqa: E402
from member import free_port  # noqa: E402
from pipeline import PROGRAM  # noqa: E402
from pipeline_bench import ROWS, dataset  # noqa: E402

BIN = PROGRAM.parent
ENGINES = ("memory", "durable", "redis")


def redis(stack, folder):
    port = free_port()
    ping = lambda: subprocess.run(["redis-cli", "-p", str(port), "ping"], capture_output=True,
                                  text=True).stdout.strip() == "PONG"
    return port, stack.enter_context(Server(
        "redis", ["redis-server", "--port", port, "--bind", "127.0.0.1", "--dir", folder,
                  "--appendonly", "yes", "--appendfsync", "always", "--save", ""], ping))


def queue_service(stack, folder, engine, **settings):
    """The servers of a queue service with this engine; the last is the service. And its URL."""
    servers = []
    if engine == "redis":
        redis_port, server = redis(stack, folder)
        servers.append(server)
        settings["REDIS_ADDR"] = f"127.0.0.1:{redis_port}"
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    servers.append(stack.enter_context(Server(
        f"queue-service ({engine})", [PROGRAM, "queue-service"], answers_200(url + "/readyz"),
        QUEUE_ENGINE=engine, QUEUE_PORT=port, QUEUE_DATA_DIR=Path(folder) / "queue",
        BUFFER_SIZE=100_000_000, BUFFER_BYTES="8GiB", LOG_LEVEL="warn", **settings)))
    return servers, url


def nginx(stack, folder):
    port = free_port()
    text = (ROOT / "bench/nginx.conf").read_text()
    for name, value in {"DIRECTORY": folder, "THREADS": os.cpu_count(), "PORT": port,
                        "BODY": "x" * 1024}.items():
        text = text.replace(f"@{name}@", str(value))
    configuration = Path(folder) / "nginx.conf"
    configuration.write_text(text)
    url = f"http://127.0.0.1:{port}"
    server = stack.enter_context(Server(
        "nginx", ["nginx", "-p", folder, "-c", configuration, "-e", "stderr"], answers_200(url)))
    return url, server


def wrk(url, seconds, script=None):
    command = ["wrk", "-t", "2", "-c", "32", "-d", f"{seconds}s"]
    if script:
        command += ["-s", ROOT / "bench" / script]
    done = subprocess.run([*map(str, command), url], capture_output=True, text=True, check=True)
    if re.search(r"Non-2xx|Socket errors", done.stdout):
        raise SystemExit(f"queue_bench: wrk on {url}:\n{done.stdout}")
    return float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)[1])


def tool(name, *arguments):
    done = subprocess.run([BIN / name, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"queue_bench: {name}: {done.stderr}")
    return json.loads(done.stdout)


class Report(Figures):
    def __init__(self, runs):
        super().__init__("queue", runs)
        self.processes = {}

    def rate(self, row, rate, servers=()):
        self.note(row, rate, "messages/s" if row.startswith("batches") else
                  "samples/s" if row.startswith("services") else "requests/s")
        print(f"  {row:44}{rate:14,.0f}/s", flush=True)
        for server in servers:
            cpu, peak = server.look()
            self.processes.setdefault((row, server.name), []).append((cpu, peak))

    def print(self):
        print(f"\n{'medians':46}{'median':>14}{'min':>14}{'max':>14}")
        for row, rates in self.values.items():
            print(f"{row:46}{self.median(row):14,.0f}{min(rates):14,.0f}{max(rates):14,.0f}")
        print(f"\n{'CPU and memory of the processes':46}{'CPU s':>10}{'peak MB':>10}")
        for (row, name), seen in self.processes.items():
            for cpu, peak in seen:
                self.note(f"{row}: {name}: CPU", cpu, "s")
                self.note(f"{row}: {name}: peak", peak, "MB")
            print(f"{row + ': ' + name:66}{self.median(f'{row}: {name}: CPU'):10.2f}"
                  f"{max(peak for _, peak in seen):10.0f}")

    def compare(self, row, peer, wanted):
        ratio = self.ratio(row, peer)
        if ratio is not None:
            print(f"{row} / {peer}: {ratio:.2f} (meant to be at least {wanted})")


def single_requests(report, engines, seconds):
    if "nginx" in report.peers:
        with contextlib.ExitStack() as stack:
            url, server = nginx(stack, stack.enter_context(tempfile.TemporaryDirectory()))
            report.rate("requests: nginx, fixed body", wrk(url, seconds), [server])
    for engine in engines:
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(dir=ROOT / "build/bench"))
            servers, url = queue_service(stack, folder, engine)
            rate = wrk(url + "/api/v1/queue/publish", seconds, "queue_publish.lua")
            report.rate(f"requests: publish, {engine}", rate, servers)


def batches(report, engines, messages):
    for engine in engines:
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(dir=ROOT / "build/bench"))
            servers, url = queue_service(stack, folder, engine)
            done = tool("queue_load", url, "publish", messages, 100, 16)
            report.rate(f"batches: publish, {engine}", done["messages"] / done["seconds"])
            done = tool("queue_load", url, "consume", messages, 100, 16)
            report.rate(f"batches: fetch + ack, {engine}", done["messages"] / done["seconds"], servers)
    if "NATS JetStream" not in report.peers:
        return
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=ROOT / "build/bench"))
        port = free_port()
        url = f"nats://127.0.0.1:{port}"
        monitor = free_port()
        server = stack.enter_context(Server(
            "nats-server", ["nats-server", "-a", "127.0.0.1", "-p", port, "-m", monitor, "-js",
                            "-sd", folder], answers_200(f"http://127.0.0.1:{monitor}/healthz")))
        done = tool("nats_load", url, "publish", messages, 100)
        report.rate("batches: publish, NATS JetStream", done["messages"] / done["seconds"])
        done = tool("nats_load", url, "consume", messages, 100)
        report.rate("batches: fetch + ack, NATS JetStream", done["messages"] / done["seconds"], [server])


def services(report, engines, path):
    for engine in engines:
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(dir=ROOT / "build/bench"))
            servers, url = queue_service(stack, folder, engine)
            consumer = subprocess.Popen([BIN / "queue_load", url, "decode", str(ROWS), "64", "4"],
                                        stdout=subprocess.PIPE, text=True)
            metrics = free_port()
            began = time.perf_counter()
            streamer = stack.enter_context(Server(
                "streamer", [PROGRAM, "streamer"], answers_200(f"http://127.0.0.1:{metrics}/livez"),
                QUEUE_SERVICE_URL=url, CSV_PATH=path, LOOP_MODE="false", TIMESTAMP_MODE="source",
                STREAM_INTERVAL="0", BATCH_SIZE="1000", METRICS_PORT=metrics, LOG_LEVEL="warn"))
            output, _ = consumer.communicate(timeout=300)
            seconds = time.perf_counter() - began
            if consumer.returncode != 0:
                raise SystemExit("queue_bench: the consumer failed")
            samples = json.loads(output)["samples"]
            report.rate(f"services: samples, {engine}", samples / seconds, [*servers, streamer])


def look_for_peers(report, parts, engines):
    """Notes which peers there are, and returns the parts and engines that can be measured."""
    if "requests" in parts:
        if not report.have("single requests", "wrk"):
            parts = [part for part in parts if part != "requests"]
        elif report.have("single requests to nginx", "nginx"):
            report.peers["nginx"] = version_of("nginx", "-v")
    if "batches" in parts and report.have("NATS JetStream", "nats-server", BIN / "nats_load"):
        report.peers["NATS JetStream"] = version_of("nats-server", "-v")
    if "redis" in engines:
        if report.have("the Redis engine", "redis-server", "redis-cli"):
            report.peers["Redis"] = version_of("redis-server", "--version")
        else:
            engines = [engine for engine in engines if engine != "redis"]
    return parts, engines


def main():
    parser = argument_parser(__doc__, runs=3)
    parser.add_argument("--seconds", type=int, default=3, help="of each measurement with wrk")
    parser.add_argument("--messages", type=int, default=200_000, help="of each measurement in batches")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    parser.add_argument("--parts", nargs="+", default=["requests", "batches", "services"],
                        choices=["requests", "batches", "services"])
    parser.add_argument("--file", type=Path, help="a CSV file of 1,049,750 rows for the services")
    arguments = parser.parse_args()
    (ROOT / "build/bench").mkdir(parents=True, exist_ok=True)
    report = Report(arguments.runs)
    parts, engines = look_for_peers(report, arguments.parts, arguments.engines)
    path = arguments.file or ("services" in parts and dataset(ROOT / "build/bench"))
    for number in range(arguments.runs):
        print(f"run {number + 1} of {arguments.runs}")
        if "requests" in parts:
            single_requests(report, engines, arguments.seconds)
        if "batches" in parts:
            batches(report, engines, arguments.messages)
        if "services" in parts:
            services(report, engines, path)
    report.print()
    print()
    for engine in ("memory", "durable"):
        report.compare(f"requests: publish, {engine}", "requests: nginx, fixed body", 0.6)
    for what in ("publish", "fetch + ack"):
        report.compare(f"batches: {what}, durable", f"batches: {what}, NATS JetStream", 2)
    report.write(arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
