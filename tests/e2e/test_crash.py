"""SIGKILL at random moments while telemetry comes in: what was ever readable stays readable."""

import http.client
import os
import random
import tempfile
import threading
import time
import unittest
import urllib.error
from pathlib import Path

from pipeline import Pipeline, file_values, simulate

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "25"))
SEED = int(os.environ.get("CRASH_SEED", str(random.randrange(1 << 32))))


class Reader(threading.Thread):
    """Reads GPUs in turn and remembers every value it was ever given."""

    def __init__(self, pipeline, known, rng):
        super().__init__(daemon=True)
        self.pipeline = pipeline
        self.known = known
        self.rng = rng
        self.doubled = []

    def run(self):
        try:
            while True:
                for gpu in self.pipeline.gpus():
                    self.read(gpu["uuid"])
        except (urllib.error.URLError, http.client.HTTPException, OSError):
            pass  # the process is dead

    def read(self, uuid):
        page = self.pipeline.get(f"/api/v1/gpus/{uuid}/telemetry?limit=100000")
        seen = set()
        for sample in page["telemetry"]:
            key = (uuid, sample["metric_name"], sample["timestamp"])
            if key in seen:
                self.doubled.append(key)
            seen.add(key)
            self.known[key] = sample["value"]


class Crash(unittest.TestCase):
    def survive(self, **settings):
        print(f"CRASH_SEED={SEED} CRASH_ROUNDS={ROUNDS}", flush=True)
        rng = random.Random(SEED)
        with tempfile.TemporaryDirectory(prefix="gpu-telemetry-") as name:
            folder = Path(name)
            path = simulate(folder / "fleet.csv", gpus=16, hosts=4, duration="20m")
            expected = file_values(path)
            known = {}
            for round_number in range(ROUNDS):
                with Pipeline(folder / "store", CSV_PATH=path, LOOP_MODE="true",
                              TIMESTAMP_MODE="source", STREAM_INTERVAL="1ms", BATCH_SIZE="50",
                              **settings) as pipeline:
                    reader = Reader(pipeline, known, rng)
                    reader.start()
                    time.sleep(rng.uniform(0.02, 0.5))  # a moment to be killed at
                    pipeline.kill()
                    reader.join()
                    self.assertEqual(reader.doubled, [], f"round {round_number}")
                with Pipeline(folder / "store", CSV_PATH=path, LOOP_MODE="false",
                              TIMESTAMP_MODE="source", STREAM_INTERVAL="1h", BATCH_SIZE="1",
                              **settings) as pipeline:
                    stored = pipeline.values()
                    lost = {key for key in known if key not in stored}
                    self.assertEqual(lost, set(), f"round {round_number}")
                    wrong = {key: value for key, value in stored.items()
                             if expected.get(key) != value}
                    self.assertEqual(wrong, {}, f"round {round_number}")
                    known.update(stored)
                    if rng.random() < 0.5:
                        pipeline.kill()
                    else:
                        self.assertEqual(pipeline.stop(), 0)
            self.assertGreater(len(known), 1000)

    def test_nothing_that_was_readable_is_lost_or_doubled_with_the_durable_queue(self):
        self.survive(QUEUE_ENGINE="durable")

    def test_nothing_that_was_readable_is_lost_or_doubled_with_the_memory_queue(self):
        self.survive(QUEUE_ENGINE="memory")


if __name__ == "__main__":
    unittest.main(verbosity=2)
