"""Clocks that step an hour forward and an hour back while the program runs, and while it is down.
Leases, delays and shards count time that passes; what is stored has the times that it came with."""

import json
import time
import unittest
from datetime import datetime, timedelta, timezone
from pathlib import Path

from attack import Hostile, QUEUE, ask
from pipeline import difference, file_values, simulate, wait_for

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
HOUR = 3600


@unittest.skipUnless(LIBRARIES, "libfaketime, which moves a process's clock, is not installed")
class Clock(Hostile):
    def setUp(self):
        super().setUp()
        self.offset = self.folder / "offset"
        self.step_to(0)

    def step_to(self, seconds):
        """At once for every process that was started here: the file is renamed into place."""
        fresh = self.offset.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}\n")
        fresh.rename(self.offset)

    def faked(self, settings):
        return {"LD_PRELOAD": LIBRARIES[0], "FAKETIME_TIMESTAMP_FILE": self.offset,
                "FAKETIME_NO_CACHE": 1, "FAKETIME_DONT_FAKE_MONOTONIC": 1, **settings}

    def start(self, **settings):
        return super().start(**self.faked(settings))

    def start_queue(self, **settings):
        return super().start_queue(**self.faked(settings))

    def post(self, queue, call, **body):
        status, _, answer = ask(queue, QUEUE + call, json.dumps(body))
        self.assertEqual(status, 200, answer[:300])
        return json.loads(answer)

    def fetch(self, queue, wait="0s"):
        status, _, answer = ask(queue,
                                f"{QUEUE}fetch?topic=t&consumer_group=g&max=10&wait={wait}")
        self.assertEqual(status, 200, answer[:300])
        return json.loads(answer)["messages"]


class TheClockIsMoved(Clock):
    def test_for_the_program(self):
        service = self.start()
        self.step_to(HOUR)
        shown = datetime.fromisoformat(service.get("/api/v1/fleet/summary")["time"])
        self.assertLess(abs(shown - datetime.now(timezone.utc) - timedelta(hours=1)),
                        timedelta(minutes=1))


class QueueTime(Clock):
    STEPS = [HOUR, -HOUR, 0]

    def publish(self, queue, *payloads):
        self.post(queue, "publish", topic="t", messages=[{"payload": each} for each in payloads])

    def check_leases(self, queue, step):
        self.publish(queue, "a", "b")
        held, delayed = self.fetch(queue)
        self.post(queue, "nack", topic="t", consumer_group="g", receipts=[delayed["receipt"]],
                  delay="1s")
        self.step_to(step)
        self.assertEqual(self.fetch(queue), [], "a lease ended, or a delay")
        start = time.monotonic()
        self.assertEqual([each["payload"] for each in self.fetch(queue, "10s")], ["b"])
        self.assertLess(time.monotonic() - start, 5, "the delay is longer than it was")
        results = self.post(queue, "ack", topic="t", consumer_group="g",
                            receipts=[held["receipt"]])
        self.assertEqual(results["results"][0]["status"], "done", results)
        again = self.fetch(queue, "10s")
        self.assertEqual([each["payload"] for each in again], ["b"], "its lease does not end")
        self.post(queue, "ack", topic="t", consumer_group="g", receipts=[again[0]["receipt"]])

    def test_leases_and_delays(self):
        for engine in ("durable", "memory"):
            queue = self.start_queue(QUEUE_ENGINE=engine, VISIBILITY_TIMEOUT="4s")
            for step in self.STEPS:
                with self.subTest(engine=engine, step=step):
                    self.check_leases(queue, step)
            queue.stop()

    def test_leases_and_delays_over_a_restart(self):
        for step in self.STEPS:
            with self.subTest(step=step):
                queue = self.start_queue(VISIBILITY_TIMEOUT="2s")
                self.publish(queue, "a", "b", "c")
                held, delayed, _ = self.fetch(queue)
                self.post(queue, "nack", topic="t", consumer_group="g",
                          receipts=[delayed["receipt"]], delay="1s")
                queue.kill()
                self.step_to(step)
                queue = self.start_queue(VISIBILITY_TIMEOUT="2s")
                found = {}
                start = time.monotonic()
                while len(found) < 3:
                    for each in self.fetch(queue, "5s"):
                        found[each["payload"]] = each["receipt"]
                    self.assertLess(time.monotonic() - start, 10, found)
                self.assertEqual(sorted(found), ["a", "b", "c"])
                self.post(queue, "ack", topic="t", consumer_group="g",
                          receipts=list(found.values()))
                queue.stop()

    def shards(self, queue, member, **more):
        return self.post(queue, "shards", topic="t", source="s", member=member, ttl="2s", **more)

    def test_shards(self):
        queue = self.start_queue()
        self.assertEqual(len(self.shards(queue, "one")["held"]), 64)
        fences = {}
        for step in self.STEPS:
            self.step_to(step)
            held = self.shards(queue, "one")["held"]
            fences = fences or {each["shard"]: each["fence"] for each in held}
            self.assertEqual({each["shard"]: each["fence"] for each in held}, fences, step)
        start = time.monotonic()
        wait_for("the shards of one who is gone",
                 lambda: len(self.shards(queue, "two")["held"]) == 64)
        self.assertLess(time.monotonic() - start, 10)


class Pipelines(Clock):
    def test_a_file_is_stored_as_it_is(self):
        file = simulate(self.folder / "fleet.csv", duration="10m", interval="1s")
        service = self.start(SOURCE="csv", CSV_PATH=file, LOOP_MODE="false",
                             TIMESTAMP_MODE="source", STREAM_INTERVAL="50ms",
                             STREAMER_BATCH_SIZE=1000)
        for step in (HOUR, -HOUR, 0, -HOUR):
            stored = service.metric("gpu_telemetry_samples_stored_total")
            wait_for("more samples",
                     lambda: service.metric("gpu_telemetry_samples_stored_total") > stored)
            self.step_to(step)
        service.wait_until_stored()
        self.assertEqual(difference(service.values(), file_values(file)), [])
        self.assertEqual(service.get("/api/v1/pipeline")["dead"], 0)

    def states(self, service):
        return {gpu["state"] for gpu in service.gpus()}

    def test_live_readings_are_all_there_and_those_ahead_are_not_called_live(self):
        settings = {"SIMULATOR_GPUS": 8, "SIMULATOR_HOSTS": 2, "SIMULATOR_INTERVAL": "100ms",
                    "STREAM_INTERVAL": "100ms"}
        service = self.start(**settings)
        for step in (HOUR, -HOUR):
            self.check_well(service)
            self.step_to(step)
        self.check_well(service)
        self.assertEqual(self.states(service), {"stale"}, "their last readings are of the future")
        self.assertTrue(all(gpu["age_seconds"] < -HOUR for gpu in service.gpus()))
        self.assertEqual(service.stop(), 0)
        stopped = service.wait_for_line("stopped")
        self.assertTrue(stopped["drained"])
        for step in (0, HOUR):
            self.step_to(step)
            service = self.start(SOURCE="csv", CSV_PATH=self.empty_file(), LOOP_MODE="false")
            self.assertEqual(len(service.values()), stopped["samples_published"])
            self.assertEqual(service.stop(), 0)

    def empty_file(self):
        file = simulate(self.folder / "small.csv", gpus=1, hosts=1, duration="1s", interval="1s")
        file.write_text(file.read_text().splitlines(keepends=True)[0])
        return file


if __name__ == "__main__":
    unittest.main()
