#!/usr/bin/env python3
"""Runs the whole pipeline on this machine, every service a process of its own.

Redis, a server of MongoDB's protocol, 2 queue services, 2 streamers, 3 collectors and 2 API
gateways, on free ports. Whoever ends is started again, so that any of them may be killed to watch
the others go on. Ctrl-C stops all of it, in the direction of the data.

  make run-distributed                 a simulated fleet
  CSV_PATH=FILE make run-distributed   a file, again and again (LOOP_MODE=false: once)

Settings of the streamers are taken from the environment (SOURCE, CSV_PATH, SIMULATOR_GPUS, ...).
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
from member import Member, free_port, ready  # noqa: E402

PROGRAM = Path(os.environ.get("GPU_TELEMETRY_PROGRAM", ROOT / "build/release/bin/gpu-telemetry"))
ORDER = ["streamer", "collector", "api-gateway", "queue-service", "redis", "mongodb"]


class Distributed:
    """All processes. `common` are settings of every service, `streaming` those of streamers."""

    def __init__(self, folder, engine="redis", streamers=2, collectors=3, gateways=2,
                 streaming=None, common=None, scheme="http", authorities=None, tell=None):
        self.folder = Path(folder)
        self.engine = engine
        self.members = []
        self.streaming = streaming or {}
        self.common = {"LOG_FORMAT": "json", **(common or {})}
        self.scheme = scheme
        self.authorities = authorities
        self.tell = tell
        self.queues = []
        self.gateways = []
        self._streamers_made = 0
        try:
            self._start_storage()
            self._start_queue()
            for number in range(collectors):
                self._start_collector(number + 1)
            for number in range(gateways):
                self._start_gateway(number + 1)
            for _ in range(streamers):
                self.add_streamer()
            for url in [*self.queues, *self.gateways]:
                ready(url, authorities=authorities)
        except BaseException:
            self.stop()
            raise

    def _member(self, name, kind, *arguments, **settings):
        member = Member(self.folder, name, kind, arguments, settings, tell=self.tell)
        self.members.append(member)
        return member

    def _service(self, name, kind, **settings):
        return self._member(name, kind, PROGRAM, kind, **{**self.common, **settings})

    def _url(self, port):
        return f"{self.scheme}://127.0.0.1:{port}"

    def _start_storage(self):
        port = free_port()
        (self.folder / "mongodb").mkdir()
        self.mongodb_uri = f"mongodb://127.0.0.1:{port}"
        self.mongodb = self._member("mongodb", "mongodb", ROOT / "tests/servers/mongodb.sh", "run",
                                    port, self.folder / "mongodb")

    def _start_queue(self):
        settings = {"QUEUE_ENGINE": self.engine, "QUEUE_DATA_DIR": self.folder / "queue"}
        replicas = 1
        if self.engine == "redis":
            replicas = 2
            port = free_port()
            (self.folder / "redis").mkdir()
            self._member("redis", "redis", "redis-server", "--port", port, "--bind", "127.0.0.1",
                         "--dir", self.folder / "redis", "--appendonly", "yes",
                         "--appendfsync", "always", "--maxmemory-policy", "noeviction",
                         "--save", "")
            settings["REDIS_ADDR"] = f"127.0.0.1:{port}"
        for number in range(replicas):
            port = free_port()
            self.queues.append(self._url(port))
            self._service(f"queue-service-{number + 1}", "queue-service", QUEUE_PORT=port,
                          **settings)
        for url in self.queues:
            ready(url, authorities=self.authorities)

    def _queue_of(self, number):
        return self.queues[number % len(self.queues)]

    def add_streamer(self, **settings):
        self._streamers_made += 1
        number = self._streamers_made
        return self._service(f"streamer-{number}", "streamer", METRICS_PORT=free_port(),
                             QUEUE_SERVICE_URL=self._queue_of(number),
                             **{**self.streaming, **settings})

    def _start_collector(self, number):
        self._service(f"collector-{number}", "collector", METRICS_PORT=free_port(),
                      QUEUE_SERVICE_URL=self._queue_of(number), MONGODB_URI=self.mongodb_uri)

    def _start_gateway(self, number):
        port = free_port()
        self.gateways.append(self._url(port))
        self._service(f"api-gateway-{number}", "api-gateway", API_PORT=port,
                      QUEUE_SERVICE_URL=self._queue_of(number), MONGODB_URI=self.mongodb_uri)

    def of_kind(self, kind):
        return [member for member in self.members if member.kind == kind]

    def stop(self):
        """In the direction of the data. Members of a kind stop together."""
        for kind in ORDER:
            threads = [threading.Thread(target=member.retire) for member in self.of_kind(kind)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def describe(system):
    print(f"""
The pipeline runs. Logs: {system.folder}
  API       {system.gateways[0]}/api/v1/gpus   {system.gateways[0]}/swagger/index.html
            {system.gateways[1]}/api/v1/gpus
  queue     {system.queues[0]}/api/v1/queue/stats
  storage   {system.mongodb_uri}""")
    print("  processes " + "\n            ".join(
        f"{member.pid:>7}  {member.name}" for member in system.members))
    print(f"""
Try    curl {system.gateways[0]}/api/v1/gpus
       curl {system.gateways[0]}/api/v1/pipeline
       curl -X POST {system.queues[0]}/api/v1/queue/publish -d '{{"topic":"mine","payload":"hello"}}'
       curl '{system.queues[-1]}/api/v1/queue/fetch?topic=mine&consumer_group=me'
       kill -9 any of the processes: it is started again, and nothing is lost
Ctrl-C stops everything.""", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=["redis", "durable", "memory"], default="redis",
                        help="what the queue stands on")
    parser.add_argument("--folder", help="where data and logs go (default: a temporary one)")
    arguments = parser.parse_args()
    needs = subprocess.run([ROOT / "tests/servers/mongodb.sh", "install"], capture_output=True,
                           text=True)
    if needs.returncode != 0:
        print(needs.stderr, file=sys.stderr)
        return 1
    streaming = {name: value for name, value in os.environ.items()
                 if name.startswith(("SIMULATOR_", "STREAM")) or name in (
                     "SOURCE", "CSV_PATH", "LOOP_MODE", "TIMESTAMP_MODE", "BATCH_SIZE",
                     "EXIT_AT_END", "SHARD_LEASE")}
    if "CSV_PATH" not in streaming:
        streaming.setdefault("SOURCE", "simulator")
    else:
        streaming["CSV_PATH"] = str(Path(streaming["CSV_PATH"]).resolve())
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    folder = Path(arguments.folder or tempfile.mkdtemp(prefix="gpu-telemetry-"))
    folder.mkdir(parents=True, exist_ok=True)
    print("starting ...", flush=True)
    system = Distributed(folder, engine=arguments.engine, streaming=streaming,
                         tell=lambda sentence: print(f"  {sentence}", flush=True))
    try:
        describe(system)
        ended.wait()
    finally:
        print("\nstopping: streamers, collectors, gateways, queue, storage ...", flush=True)
        system.stop()
    unwell = {member.name: member.crashes for member in system.members if member.crashes}
    if unwell:
        print(f"ended badly: {unwell}; logs: {folder}")
        return 1
    if not arguments.folder:
        shutil.rmtree(folder, ignore_errors=True)
    print("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
