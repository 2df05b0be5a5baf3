#!/usr/bin/env python3
"""Breaks the scaled-out pipeline at random while telemetry flows through it, and counts what is lost.

Streamers share a file and publish it through TCP proxies to queue services; collectors store it in
MongoDB; every service is a process of its own. Until the file is through, at random moments,
processes are killed and started again, frozen past their leases, connections are cut and slowed,
storage refuses, streamers come and go, while somebody reads GPUs from the API. Then everything is
left in peace, and what the API answers is compared with the file, value by value.

Passes when every value of the file is stored exactly once, no answer in between had a value that is
not the file's, no message is dead, the queue is empty and no process ended by itself. The seed decides what happens when; how far the pipeline has come at
that moment is up to the machine.

  tests/chaos/chaos.py --engine redis --samples 1000000 --seconds 600 --seed 7
"""

import argparse
import collections
import contextlib
import http.client
import json
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))
sys.path[1:1] = [str(ROOT / "scripts"), str(ROOT / "tests/e2e")]
from member import Member, free_port, ready  # noqa: E402
from pipeline import PROGRAM, file_values, simulate  # noqa: E402
from proxy import Proxy  # noqa: E402

ROWS_PER_MESSAGE = 100
VISIBILITY = 4  # seconds; a frozen collector loses its leases
SHARD_LEASE = 3  # seconds; a frozen streamer loses its shards


def get(url, timeout=60):
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        return json.loads(answer.read())


class Cluster:
    """All processes and the proxies between them."""

    def __init__(self, folder, engine, csv, interval, timestamps):
        self.folder = Path(folder)
        self.engine = engine
        self.csv = csv
        self.interval = interval
        self.timestamps = timestamps
        self.members = []
        self.retired = []
        self.proxies = {}
        self.queue_ports = []
        self._streamers_made = 0
        self._start_storage()
        self._start_queue()
        for number in range(2):
            self.add_streamer()
        for number in range(3):
            self._add_collector(number)

    def _member(self, name, kind, *arguments, **settings):
        member = Member(self.folder, name, kind, arguments, settings)
        self.members.append(member)
        return member

    def _proxy(self, name, *targets):
        self.proxies[name] = Proxy(*targets)
        return self.proxies[name].port

    def _service(self, name, command, **settings):
        return self._member(name, command, PROGRAM, command, LOG_FORMAT="json", **settings)

    def _start_storage(self):
        self.mongodb_port = free_port()
        (self.folder / "mongodb").mkdir()
        self._member("mongodb", "mongodb", ROOT / "tests/servers/mongodb.sh", "run",
                     self.mongodb_port, self.folder / "mongodb", MONGO_STAND_IN_HEAP="6g")
        self.gateway_port = free_port()
        self._service("gateway", "api-gateway", API_PORT=self.gateway_port,
                      MONGODB_URI=f"mongodb://127.0.0.1:{self.mongodb_port}", LOG_LEVEL="warn")
        ready(self.gateway)

    @property
    def gateway(self):
        return f"http://127.0.0.1:{self.gateway_port}"

    def _start_queue(self):
        settings = {"QUEUE_ENGINE": self.engine, "VISIBILITY_TIMEOUT": f"{VISIBILITY}s",
                    "MAX_RETRIES": 1000, "LOG_LEVEL": "warn"}
        replicas = 1
        if self.engine == "redis":
            replicas = 2
            port = free_port()
            (self.folder / "redis").mkdir()
            self._member("redis", "redis", "redis-server", "--port", port, "--bind", "127.0.0.1",
                         "--dir", self.folder / "redis", "--appendonly", "yes",
                         "--appendfsync", "always", "--save", "")
            settings["REDIS_ADDR"] = f"127.0.0.1:{self._proxy('redis', port)}"
        else:
            settings["QUEUE_DATA_DIR"] = self.folder / "queue"
        for number in range(replicas):
            self.queue_ports.append(free_port())
            self._service(f"queue-service-{number}", "queue-service",
                          QUEUE_PORT=self.queue_ports[-1], **settings)
        for port in self.queue_ports:
            ready(f"http://127.0.0.1:{port}")

    def _queue_url(self, name):
        return f"http://127.0.0.1:{self._proxy(name, *self.queue_ports)}"

    def add_streamer(self):
        number = self._streamers_made
        self._streamers_made += 1
        self._service(f"streamer-{number}", "streamer", CSV_PATH=self.csv, LOOP_MODE="false",
                      TIMESTAMP_MODE=self.timestamps, STREAM_INTERVAL=f"{self.interval:.0f}ms",
                      BATCH_SIZE=ROWS_PER_MESSAGE, EXIT_AT_END="true", METRICS_PORT=0,
                      SHARD_LEASE=f"{SHARD_LEASE}s",
                      QUEUE_SERVICE_URL=self._queue_url(f"streamer-{number}"))

    def _add_collector(self, number):
        self._service(f"collector-{number}", "collector", METRICS_PORT=0, LOG_LEVEL="warn",
                      QUEUE_SERVICE_URL=self._queue_url(f"collector-{number}"),
                      MONGODB_URI="mongodb://127.0.0.1:%d" % self._proxy(
                          f"storage-{number}", self.mongodb_port),
                      VISIBILITY_TIMEOUT=f"{VISIBILITY}s", BATCH_SIZE=4, MAX_CONCURRENT_HANDLERS=4)

    def of_kind(self, *kinds):
        return [member for member in self.members if member.kind in kinds and not member.finished]

    def remove(self, member):
        self.members.remove(member)
        self.retired.append(member)
        return member.retire()

    def statistics(self):
        """The queue's topic, asked without a proxy; nothing while no queue service answers."""
        for port in self.queue_ports:
            with contextlib.suppress(OSError, ValueError):
                topics = get(f"http://127.0.0.1:{port}/api/v1/queue/stats", timeout=2)["topics"]
                return next((topic for topic in topics if topic["topic"] == "telemetry"), None)
        return None

    def in_peace(self):
        for proxy in self.proxies.values():
            proxy.delay = 0.0
            proxy.refuse(False)
        for member in self.members:
            member.thaw()

    def stop(self):
        """In the direction of the data; returns members that did not end well."""
        self.in_peace()
        order = ["streamer", "collector", "queue-service", "api-gateway", "redis", "mongodb"]
        for member in sorted(self.members, key=lambda m: order.index(m.kind)):
            self.remove_quietly(member)
        for proxy in self.proxies.values():
            proxy.close()

    def remove_quietly(self, member):
        self.members = [each for each in self.members if each is not member]
        self.retired.append(member)
        member.retire()

    def everyone(self):
        return [*self.members, *self.retired]


class Faults:
    """What happens, decided by the seed alone: one fault each `every` seconds on average."""

    def __init__(self, cluster, rng, every):
        self.cluster = cluster
        self.rng = rng
        self.every = every
        self.counts = collections.Counter()
        self._undo = []  # (when, what)
        self._next = time.monotonic() + every
        self.longest_freeze = max(VISIBILITY, SHARD_LEASE) * 1.6
        self.choices = [(self.kill, 10), (self.freeze, 3), (self.cut, 4), (self.slow, 3),
                        (self.refuse_storage, 2), (self.add_streamer, 1), (self.remove_streamer, 1)]

    def tick(self):
        now = time.monotonic()
        due = [each for each in self._undo if each[0] <= now]
        self._undo = [each for each in self._undo if each[0] > now]
        for _, undo in due:
            undo()
        if now >= self._next:
            faults, weights = zip(*self.choices)
            self.rng.choices(faults, weights)[0]()
            self._next = now + self.rng.expovariate(1 / self.every)

    def later(self, seconds, undo):
        self._undo.append((time.monotonic() + seconds, undo))

    def kill(self):
        kind = self.rng.choice(["streamer", "collector", "queue-service", "redis", "api-gateway"])
        victims = self.cluster.of_kind(kind)
        if victims and self.rng.choice(victims).kill():
            self.counts[f"kill {kind}"] += 1

    def freeze(self):
        victims = self.cluster.of_kind("streamer", "collector", "queue-service", "redis",
                                       "api-gateway", "mongodb")
        seconds = self.rng.uniform(0.2, self.longest_freeze)
        if victims and (victim := self.rng.choice(victims)).freeze():
            self.counts[f"freeze {victim.kind}"] += 1
            self.later(seconds, victim.thaw)

    def cut(self):
        name = self.rng.choice(sorted(self.cluster.proxies))
        self.cluster.proxies[name].cut()
        self.counts[f"cut {name.split('-')[0]}"] += 1

    def slow(self):
        name = self.rng.choice(sorted(self.cluster.proxies))
        proxy = self.cluster.proxies[name]
        proxy.delay = self.rng.uniform(0.01, 0.3)
        self.counts[f"slow {name.split('-')[0]}"] += 1
        self.later(self.rng.uniform(0.5, 4), lambda: setattr(proxy, "delay", 0.0))

    def refuse_storage(self):
        proxies = [proxy for name, proxy in self.cluster.proxies.items() if name.startswith("storage")]
        for proxy in proxies:
            proxy.refuse(True)
        self.counts["storage refuses"] += 1
        self.later(self.rng.uniform(0.5, 5), lambda: [proxy.refuse(False) for proxy in proxies])

    def add_streamer(self):
        if len(self.cluster.of_kind("streamer")) < 4:
            self.cluster.add_streamer()
            self.counts["streamer added"] += 1

    def remove_streamer(self):
        streamers = self.cluster.of_kind("streamer")
        if len(streamers) > 1:
            self.cluster.remove(self.rng.choice(streamers))
            self.counts["streamer removed"] += 1


class Reader(threading.Thread):
    """Asks a gateway for GPUs at random until it is stopped, and compares the values that it gets.

    An answer may lack values that are on their way, but has none that the file has not. Values that
    were stamped as they were read are compared without their times.
    """

    def __init__(self, gateway, expected, timestamps):
        super().__init__(daemon=True)
        self.gateway = gateway
        self.stamped = timestamps == "now"
        self.allowed = {self.value_of(*key, value) for key, value in expected.items()}
        self.uuids = sorted({uuid for uuid, _, _ in expected})
        self.answered = self.unanswered = self.values = 0
        self.wrong = []
        self.stopping = threading.Event()

    def value_of(self, uuid, metric, timestamp, value):
        return uuid, metric, None if self.stamped else timestamp, value

    def run(self):
        pick = random.Random(1)
        while not self.stopping.wait(0.1):  # the pace of asking
            uuid = pick.choice(self.uuids)
            try:
                page = get(f"{self.gateway}/api/v1/gpus/{uuid}/telemetry?limit=5000&order=desc",
                           timeout=2)
            except (OSError, http.client.HTTPException):
                self.unanswered += 1
                continue
            self.answered += 1
            self.values += len(page["telemetry"])
            given = (self.value_of(uuid, each["metric_name"], each["timestamp"], each["value"])
                     for each in page["telemetry"])
            self.wrong += [value for value in given if value not in self.allowed]

    def stop(self):
        self.stopping.set()
        self.join()


class Meter:
    """Redeliveries as the queue services count them, over their restarts."""

    def __init__(self):
        self.total = 0
        self._last = 0

    def note(self, topic):
        if topic is None:
            return
        now = sum(group["redelivered_total"] for group in topic["groups"])
        self.total += now - self._last if now >= self._last else now
        self._last = now


def is_empty(topic):
    return topic is not None and topic["messages"] == 0 and all(
        group["ready"] + group["in_flight"] + group["delayed"] == 0 for group in topic["groups"])


def stored_values(gateway):
    """Every stored value by (uuid, metric, timestamp), and how many came twice."""
    found, doubled = {}, 0
    for gpu in get(gateway + "/api/v1/gpus")["gpus"]:
        path = f"{gateway}/api/v1/gpus/{gpu['uuid']}/telemetry?limit=100000"
        page = get(path)
        while True:
            for sample in page["telemetry"]:
                key = (gpu["uuid"], sample["metric_name"], sample["timestamp"])
                doubled += key in found
                found[key] = sample["value"]
            if "next_cursor" not in page:
                break
            page = get(path + "&cursor=" + page["next_cursor"])
    return found, doubled


def compare(expected, stored, timestamps):
    """How many values are lost, and how many are there that should not be."""
    if timestamps == "source":
        lost = sum(stored.get(key) != value for key, value in expected.items())
        return lost, sum(key not in expected for key in stored)
    # Stamped as they were read: each value of a series must be there as often as in the file.
    count = lambda values: collections.Counter((key[0], key[1], value) for key, value in values.items())
    wanted, got = count(expected), count(stored)
    return sum((wanted - got).values()), sum((got - wanted).values())


def flow(cluster, faults, meter, limit):
    """Until every streamer has finished; then until the queue is empty. Returns whether both came."""
    deadline = time.monotonic() + limit
    said = 0.0
    while cluster.of_kind("streamer"):
        faults.tick()
        time.sleep(0.05)  # the pace of the faults
        if time.monotonic() - said > 5:
            said = time.monotonic()
            topic = cluster.statistics()
            meter.note(topic)
            print(f"  {limit - (deadline - said):5.0f} s: {sum(faults.counts.values())} faults, published "
                  f"{topic['published_total'] if topic else '?'}, waiting {topic['messages'] if topic else '?'}",
                  flush=True)
        if said > deadline:
            return False
    cluster.in_peace()
    deadline = time.monotonic() + max(120, limit / 4)
    while not is_empty(topic := cluster.statistics()):
        time.sleep(0.1)  # the pace of asking
        if time.monotonic() > deadline:
            print(f"the queue did not run empty: {topic}")
            return False
    meter.note(topic)
    return True


def run(arguments, folder):
    rng = random.Random(arguments.seed)
    gpus = min(64, max(8, arguments.samples // 10 // 50))  # more are slow to compare, not to store
    scrapes = max(1, arguments.samples // 10 // gpus)
    csv = simulate(Path(folder) / "fleet.csv", gpus=gpus, hosts=max(1, gpus // 8),
                   duration=f"{scrapes * 10}s", seed=arguments.seed % 1000)
    expected = file_values(csv)
    messages = len(expected) / ROWS_PER_MESSAGE
    interval = arguments.seconds * 1000 * 2 / messages  # two streamers share them
    print(f"{len(expected):,} values of {gpus} GPUs, engine {arguments.engine}, seed {arguments.seed}, "
          f"timestamps {arguments.timestamps}", flush=True)
    cluster = Cluster(folder, arguments.engine, csv, interval, arguments.timestamps)
    faults = Faults(cluster, rng, arguments.every)
    meter = Meter()
    reader = Reader(cluster.gateway, expected, arguments.timestamps)
    reader.start()
    began = time.monotonic()
    try:
        through = flow(cluster, faults, meter, arguments.seconds * 5 + 120)
        reader.stop()
        ready(cluster.gateway)
        took = time.monotonic() - began
        topic = cluster.statistics() or {"groups": []}
        dead = sum(group["dead"] for group in topic["groups"])
        stored, doubled = stored_values(cluster.gateway)
    finally:
        reader.stop()
        cluster.stop()
    lost, strange = compare(expected, stored, arguments.timestamps)
    crashes = {member.name: member.crashes for member in cluster.everyone() if member.crashes}
    result = {
        "engine": arguments.engine, "seed": arguments.seed, "seconds": round(took),
        "values": len(expected), "stored": len(stored), "faults": dict(sorted(faults.counts.items())),
        "kills": sum(member.kills for member in cluster.everyone()),
        "reads": {"answered": reader.answered, "unanswered": reader.unanswered,
                  "values": reader.values, "wrong": reader.wrong[:5]},
        "redeliveries": meter.total, "lost": lost, "doubled": doubled + strange, "dead_letters": dead,
        "crashes": crashes, "through": through,
    }
    print(json.dumps(result, indent=2))
    return through and not (lost or doubled or strange or dead or crashes or reader.wrong)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=["redis", "durable"], default="redis")
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--seconds", type=float, default=20, help="that the file would take in peace")
    parser.add_argument("--every", type=float, default=0.7, help="seconds between faults, on average")
    parser.add_argument("--timestamps", choices=["source", "now"], default="source")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--keep", action="store_true", help="keep the logs even when it passes")
    arguments = parser.parse_args()
    needs = subprocess.run([ROOT / "tests/servers/mongodb.sh", "install"], capture_output=True, text=True)
    if needs.returncode != 0:
        print(needs.stderr, file=sys.stderr)
        return needs.returncode
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # stops all of it
    folder = tempfile.TemporaryDirectory(prefix="gpu-telemetry-chaos-")
    passed = False
    try:
        passed = run(arguments, folder.name)
    finally:
        if passed and not arguments.keep:
            folder.cleanup()
        else:
            folder._finalizer.detach()
            print(f"logs: {folder.name}")
    print("chaos: passed" if passed else f"chaos: FAILED (seed {arguments.seed})")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
