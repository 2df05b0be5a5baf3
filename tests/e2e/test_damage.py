"""A flipped bit in each kind of file. It is found and named, no answer has a wrong value, and what is
lost is what stood there and nothing else."""

import json
import random
import re
import shutil
import tempfile
import unittest
from datetime import datetime
from pathlib import Path

from attack import QUEUE, ask
from pipeline import Pipeline, difference, run, simulate

FLIPS = 5
DAMAGED = re.compile(r"what is stored is damaged: .*: GPU (\S+), metric (\S+), from (\S+) to (\S+):")
BATCH = 1000  # rows of a message, and of a record of the journal
REPLAY = {"SOURCE": "csv", "LOOP_MODE": "false", "TIMESTAMP_MODE": "source", "STREAM_INTERVAL": 0,
          "STREAMER_BATCH_SIZE": BATCH, "MEMORY_LIMIT": "16MiB"}  # so that files are sealed soon


def flip(path, seed, part=1.0):
    """Flips a bit in the first part of what stands before the zeros that files are made longer with."""
    content = bytearray(path.read_bytes())
    where = random.Random(seed)
    content[where.randrange(int(len(content.rstrip(b"\0")) * part))] ^= 1 << where.randrange(8)
    path.write_bytes(content)


def identity(gpus):
    return {gpu["uuid"]: {name: gpu[name] for name in ("hostname", "pod", "container", "labels")}
            for gpu in gpus}


class Damage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        holder = tempfile.TemporaryDirectory(prefix="gpu-telemetry-")
        cls.addClassCleanup(holder.cleanup)
        cls.folder = Path(holder.name)
        cls.csv = simulate(cls.folder / "fleet.csv", gpus=64, hosts=8, duration="40m")
        cls.more = simulate(cls.folder / "more.csv", gpus=64, hosts=8, duration="1m",
                            start="2025-01-01T00:40:00Z", seed=2)  # other GPUs
        cls.nothing = cls.folder / "nothing.csv"
        cls.nothing.write_text(cls.csv.read_text().splitlines(keepends=True)[0])


class Store(Damage):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.stores = {}
        for name, end in (("stopped", Pipeline.stop), ("killed", Pipeline.kill)):
            cls.stores[name] = cls.folder / name
            with Pipeline(cls.stores[name], CSV_PATH=cls.csv, **REPLAY) as pipeline:
                pipeline.wait_until_stored()
                pipeline.stop()
            # Not enough for another file: it stands in the journal and in the log of the catalogue.
            with Pipeline(cls.stores[name], CSV_PATH=cls.more,
                          **{**REPLAY, "MEMORY_LIMIT": "1GiB"}) as pipeline:
                pipeline.wait_until_stored()
                cls.values, cls.gpus = pipeline.values(), identity(pipeline.gpus())
                end(pipeline)

    def for_each_flip(self, which, pattern, check):
        """Calls `check` with copies of a store, each with a bit of one file flipped, and its name."""
        paths = sorted(self.stores[which].glob(pattern))
        self.assertTrue(paths, pattern)
        for seed in range(FLIPS):
            path = paths[seed % len(paths)].relative_to(self.stores[which])
            with self.subTest(f"{which} {path}", seed=seed), \
                    tempfile.TemporaryDirectory(dir=self.folder) as folder:
                copy = Path(folder) / "store"
                shutil.copytree(self.stores[which], copy)
                flip(copy / path, seed)
                check(copy, path.name)

    def open(self, store):
        return Pipeline(store, CSV_PATH=self.nothing, **REPLAY)

    def check_named(self, store, name):
        checked = run("store", "check", "--path", store)
        self.assertNotEqual(checked.returncode, 0)
        self.assertIn(name, checked.stdout + checked.stderr)

    def check_whole(self, pipeline):
        self.assertEqual(difference(pipeline.values(), self.values), [])
        self.assertEqual(identity(pipeline.gpus()), self.gpus)

    def test_no_damage_is_seen_where_there_is_none(self):
        for store in self.stores.values():
            checked = run("store", "check", "--path", store)
            self.assertEqual(checked.returncode, 0, checked.stderr)

    def test_the_catalogue(self):
        def check(store, name):
            self.check_named(store, name)
            with self.open(store) as pipeline:
                self.check_whole(pipeline)
                self.assertIn(f"{name}: ", pipeline.log())
        for name in ("catalogue.db", "catalogue.db-copy"):
            self.for_each_flip("stopped", name, check)

    def test_the_log_of_the_catalogue(self):
        # What stands in it stands in the journal too. Damage to its last transaction looks like the
        # end that a crash tears off, and is not named.
        def check(store, _):
            with self.open(store) as pipeline:
                self.check_whole(pipeline)
        self.for_each_flip("killed", "catalogue.db-wal", check)

    def test_the_journal(self):
        # Of one that was not closed, damage to the last record looks like a torn end.
        def check(store, name):
            self.check_named(store, name)
            with self.open(store) as pipeline:
                found = pipeline.values()
                self.assertEqual({key: self.values.get(key) for key in found}, found)
                self.assertLessEqual(len(self.values) - len(found), BATCH)
                self.assertIn(name, pipeline.log())
        self.for_each_flip("stopped", "journal/*.log", check)

    def test_the_files(self):
        def check(store, name):
            self.check_named(store, name)
            with self.open(store) as pipeline:
                self.assertEqual(identity(pipeline.gpus()), self.gpus)
                self.assertEqual(pipeline.request("/api/v1/fleet/latest?metric_name="
                                                  "DCGM_FI_DEV_GPU_UTIL").status, 200)
                self.check_columns(pipeline)
                self.assertIn(name, pipeline.log())
        self.for_each_flip("stopped", "files/*.gts", check)

    def check_columns(self, pipeline):
        """Each metric of each GPU: what is answered is right, or nothing is. One bit costs one
        column, or those that have the same times where they are stored once."""
        found, refused = {}, []
        for uuid, metric in sorted({key[:2] for key in self.values}):
            answer = pipeline.request(f"/api/v1/gpus/{uuid}/telemetry?limit=100000"
                                      f"&metric_name={metric}")
            if answer.status != 200:
                detail = json.loads(answer.body)["detail"]
                self.assertEqual(answer.status, 500)
                told = DAMAGED.search(detail)
                self.assertTrue(told, detail)
                self.assertEqual(told.group(1, 2), (uuid, metric))
                refused.append((uuid, metric, *map(datetime.fromisoformat, told.group(3, 4))))
                continue
            for each in json.loads(answer.body)["telemetry"]:
                found[uuid, metric, each["timestamp"]] = each["value"]
        self.assertEqual({key: self.values.get(key) for key in found}, found)
        self.assertNotIn("it is set aside", pipeline.log())
        times = {}
        for uuid, metric, timestamp in self.values:
            times.setdefault((uuid, metric), []).append(datetime.fromisoformat(timestamp))
        lost = {tuple(sorted(time for time in times[uuid, metric] if start <= time <= end))
                for uuid, metric, start, end in refused}
        self.assertLessEqual(len(lost), 1)
        answered = {key[:2] for key in found}
        self.assertEqual(len(found), sum(key[:2] in answered for key in self.values))


class Queue(Damage):
    def test_the_log_of_the_queue(self):
        payloads = [f"message {number} " + "x" * 200 for number in range(200)]
        for seed in range(FLIPS):
            with self.subTest(seed=seed):
                folder = self.folder / f"queue-{seed}"
                with self.start(folder) as queue:
                    for payload in payloads:
                        body = json.dumps({"topic": "t", "payload": payload})
                        self.assertEqual(ask(queue, QUEUE + "publish", body)[0], 200)
                    queue.kill()
                log = next(folder.glob("*.log"))
                flip(log, seed, part=0.9)  # the last message is the end that may be torn
                with self.start(folder) as queue:
                    _, _, body = ask(queue, QUEUE + "fetch?topic=t&consumer_group=g&max=1000")
                    found = [each["payload"] for each in json.loads(body)["messages"]]
                    self.assertLessEqual(set(found), set(payloads))
                    self.assertGreaterEqual(len(found), len(payloads) - 1)
                    self.assertIn("The queue's log is damaged", queue.log())
                    self.assertIn(log.name, queue.log())

    def start(self, folder):
        return Pipeline(folder, command="queue-service", QUEUE_PORT=0, QUEUE_DATA_DIR=folder)


if __name__ == "__main__":
    unittest.main()
