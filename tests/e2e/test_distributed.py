"""Every service as a process of its own, on each queue engine: each value of a file is stored once,
whatever is added, killed or refused meanwhile."""

import json
import re
import ssl
import subprocess
import sys
import tempfile
import unittest
import urllib.error
import urllib.request
from pathlib import Path

from pipeline import ROOT, Pipeline, difference, file_values, simulate, wait_for

sys.path.insert(0, str(ROOT / "scripts"))
from distributed import Distributed  # noqa: E402
from member import Member, free_port  # noqa: E402

ONCE = {"LOOP_MODE": "false", "TIMESTAMP_MODE": "source", "EXIT_AT_END": "true",
        "STREAM_INTERVAL": "0", "SHARD_LEASE": "2s"}


def setUpModule():
    needs = subprocess.run([ROOT / "tests/servers/mongodb.sh", "install"], capture_output=True,
                           text=True)
    if needs.returncode != 0:
        print(f"skipped: {needs.stderr}", file=sys.stderr)
        sys.exit(77)


def ask(url, method="GET", body=None, token=None, authorities=None):
    """Status and text."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, method=method, headers=headers,
                                     data=json.dumps(body).encode() if body is not None else None)
    context = ssl.create_default_context(cafile=authorities) if authorities else None
    try:
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def get(url, **how):
    status, text = ask(url, **how)
    assert status == 200, (url, status, text)
    return json.loads(text)


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="gpu-telemetry-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def start(self, csv=None, **how):
        if csv:
            how["streaming"] = {**ONCE, "CSV_PATH": csv, **how.get("streaming", {})}
        system = Distributed(self.folder, **how)
        self.addCleanup(self.stop, system)
        return system

    def stop(self, system):
        system.stop()
        for member in system.members:
            self.assertEqual(member.crashes, [], f"{member.name}:\n{member.log()[-3000:]}")

    def statistics(self, system, **how):
        topics = get(system.queues[0] + "/api/v1/queue/stats", **how)["topics"]
        return next((topic for topic in topics if topic["topic"] == "telemetry"), None)

    def wait_until_stored(self, system, **how):
        for streamer in system.of_kind("streamer"):
            streamer.wait_until_finished()

        def is_empty():
            topic = self.statistics(system, **how)
            return topic and topic["messages"] == 0
        wait_for("an empty queue", is_empty)

    def values(self, gateway, **how):
        found = {}
        for gpu in get(gateway + "/api/v1/gpus", **how)["gpus"]:
            path = f"{gateway}/api/v1/gpus/{gpu['uuid']}/telemetry?limit=100000"
            page = get(path, **how)
            while True:
                for sample in page["telemetry"]:
                    key = (gpu["uuid"], sample["metric_name"], sample["timestamp"])
                    self.assertNotIn(key, found, "doubled")
                    found[key] = sample["value"]
                if "next_cursor" not in page:
                    break
                page = get(path + "&cursor=" + page["next_cursor"], **how)
        return found


class Values(Case):
    def check_engine(self, engine):
        csv = simulate(self.folder / "fleet.csv", gpus=16, hosts=2, duration="4m")
        system = self.start(csv, engine=engine)
        self.wait_until_stored(system)
        expected = file_values(csv)
        for gateway in system.gateways:
            self.assertEqual(difference(self.values(gateway), expected), [])
        group = self.statistics(system)["groups"][0]
        self.assertEqual(group["acked_total"], group["delivered_total"])
        self.assertEqual(group["dead"], 0)

    def test_memory_carries_each_value_once(self):
        self.check_engine("memory")

    def test_durable_carries_each_value_once(self):
        self.check_engine("durable")

    def test_redis_carries_each_value_once(self):
        self.check_engine("redis")

    def test_services_say_what_an_operator_looks_for(self):
        csv = simulate(self.folder / "fleet.csv", gpus=2, duration="1m")
        system = self.start(csv, engine="durable", streamers=1, collectors=1, gateways=1)
        self.wait_until_stored(system)
        self.assertRegex(system.of_kind("streamer")[0].log(), "publish")
        self.assertRegex(system.of_kind("streamer")[0].log(), "queue client")
        collector = system.of_kind("collector")[0].log()
        self.assertRegex(collector, "queue client")
        self.assertRegex(collector, "consumer")
        shown = get(system.gateways[0] + "/api/v1/pipeline")
        self.assertTrue(shown["queue"]["reachable"])
        self.assertEqual(shown["depth"], 0)
        status, metrics = ask(system.queues[0] + "/metrics")
        self.assertEqual(status, 200)
        self.assertRegex(metrics, r"gpu_telemetry_queue_\w+")


class OneProcess(Case):
    """The embedded store behind each engine."""

    def check_engine(self, engine, **settings):
        csv = simulate(self.folder / "fleet.csv", gpus=16, hosts=2, duration="4m")
        with Pipeline(self.folder / "store", CSV_PATH=csv, QUEUE_ENGINE=engine,
                      **{**ONCE, "EXIT_AT_END": "false"}, **settings) as pipeline:
            pipeline.wait_until_stored()
            self.assertEqual(difference(pipeline.values(), file_values(csv)), [])
            self.assertEqual(pipeline.stop(), 0)

    def test_memory_fills_the_embedded_store(self):
        self.check_engine("memory")

    def test_durable_fills_the_embedded_store(self):
        self.check_engine("durable")

    def test_redis_fills_the_embedded_store(self):
        port = free_port()
        redis = Member(self.folder, "redis", "redis",
                       ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "",
                        "--dir", self.folder])
        self.addCleanup(redis.retire)
        self.check_engine("redis", REDIS_ADDR=f"127.0.0.1:{port}")


class Trouble(Case):
    def test_streamers_come_and_die_while_they_share_a_file(self):
        # Long enough that a slow machine does not come to its end before the first has died.
        csv = simulate(self.folder / "fleet.csv", gpus=24, hosts=3, duration="15m")
        system = self.start(csv, engine="durable", streaming={"STREAM_INTERVAL": "30ms",
                                                              "BATCH_SIZE": "50"})
        published = lambda: (self.statistics(system) or {}).get("published_total", 0)
        wait_for("the first messages", lambda: published() > 10)
        system.add_streamer()
        self.assertTrue(system.of_kind("streamer")[0].kill())
        now = published()
        wait_for("more messages", lambda: published() > now + 30)
        gone = system.of_kind("streamer")[1]
        self.assertEqual(gone.retire(), 0)
        system.members.remove(gone)
        system.add_streamer()
        self.wait_until_stored(system)
        self.assertEqual(difference(self.values(system.gateways[0]), file_values(csv)), [])

    def check_kills(self, engine):
        csv = simulate(self.folder / "fleet.csv", gpus=24, hosts=3, duration="5m")
        system = self.start(csv, engine=engine, common={"VISIBILITY_TIMEOUT": "2s",
                                                        "MAX_RETRIES": "100"},
                            streaming={"STREAM_INTERVAL": "20ms", "BATCH_SIZE": "50"})
        wait_for("the first messages",
                 lambda: (self.statistics(system) or {}).get("published_total", 0) > 10)
        for kind in ("collector", "queue-service", "redis", "collector", "queue-service"):
            for member in system.of_kind(kind)[:1]:
                self.assertTrue(member.kill())
                starts = member.starts
                wait_for("a new start", lambda: member.starts > starts)
        for url in system.queues:
            wait_for("the queue's return", lambda: self.answers(url))
        self.wait_until_stored(system)
        self.assertEqual(difference(self.values(system.gateways[1]), file_values(csv)), [])
        self.assertEqual(self.statistics(system)["groups"][0]["dead"], 0)

    def answers(self, url):
        try:
            return ask(url + "/readyz")[0] == 200
        except OSError:
            return False

    def test_durable_loses_nothing_to_kills(self):
        self.check_kills("durable")

    def test_redis_loses_nothing_to_kills(self):
        self.check_kills("redis")

    def test_what_no_collector_can_read_becomes_a_dead_letter(self):
        system = self.start(engine="durable", streamers=0, collectors=1, gateways=1)
        queue = system.queues[0] + "/api/v1/queue"
        ask(queue + "/publish", "POST", {"topic": "telemetry", "payload": "no telemetry"})
        url = system.gateways[0] + "/api/v1/pipeline/dead-letters"
        letters = wait_for("a dead letter", lambda: get(url)["messages"])
        self.assertEqual(letters[0]["payload"], "no telemetry")
        self.assertTrue(letters[0]["reason"])
        status, text = ask(url + "/purge", "POST",
                           {"topic": "telemetry", "consumer_group": "collectors"})
        self.assertEqual((status, json.loads(text)["count"]), (200, 1))

    def test_a_gateway_without_its_store_says_so_and_comes_back(self):
        system = self.start(engine="memory", streamers=0, collectors=0, gateways=1)
        self.assertEqual(ask(system.gateways[0] + "/readyz")[0], 200)
        system.mongodb.freeze()
        status, text = ask(system.gateways[0] + "/readyz")
        self.assertEqual(status, 503)
        self.assertNotEqual(json.loads(text)["checks"]["storage"], "ok")
        self.assertEqual(ask(system.gateways[0] + "/livez")[0], 200)
        system.mongodb.thaw()
        wait_for("its return", lambda: ask(system.gateways[0] + "/readyz")[0] == 200)


class Curl(Case):
    """The queue from a terminal."""

    def curl(self, *arguments):
        done = subprocess.run(["curl", "-sS", *arguments], capture_output=True, text=True,
                              timeout=30, check=True)
        return json.loads(done.stdout)

    def test_publish_subscribe_ack_and_dead_letters(self):
        system = self.start(engine="durable", streamers=0, collectors=0, gateways=0,
                            common={"MAX_RETRIES": "0"})
        queue = system.queues[0] + "/api/v1/queue"
        group = "topic=mine&consumer_group=me"
        subscriber = subprocess.Popen(["curl", "-sSN", f"{queue}/subscribe?{group}&prefetch=1"],
                                      stdout=subprocess.PIPE, text=True)
        self.addCleanup(subscriber.stdout.close)
        self.addCleanup(subscriber.wait)
        self.addCleanup(subscriber.kill)
        self.assertEqual(subscriber.stdout.readline(), "event: connected\n")
        for payload in ("one", "two"):
            self.curl("-X", "POST", queue + "/publish",
                      "-d", json.dumps({"topic": "mine", "payload": payload}))

        def next_message():
            for line in subscriber.stdout:
                if line.startswith("data: ") and "message_id" in line:
                    return json.loads(line[6:])
        first = next_message()
        self.assertEqual(first["payload"], "one")
        settled = self.curl("-X", "POST", queue + "/ack", "-d", json.dumps(
            {"topic": "mine", "consumer_group": "me", "message_id": first["message_id"]}))
        self.assertEqual(settled["done"], 1)
        self.assertEqual(next_message()["payload"], "two")
        # A subscriber that goes gives its messages back at once; with no retry left they die.
        subscriber.kill()
        letters = wait_for("a dead letter", lambda: self.curl(f"{queue}/dlq?{group}")["messages"])
        self.assertEqual(letters[0]["payload"], "two")
        redriven = self.curl("-X", "POST", queue + "/dlq/redrive",
                             "-d", '{"topic":"mine","consumer_group":"me"}')
        self.assertEqual(redriven["count"], 1)
        fetched = self.curl(f"{queue}/fetch?{group}&wait=5s")
        self.assertEqual(fetched["messages"][0]["payload"], "two")


class Secured(Case):
    """TLS and a token between all services."""

    def setUp(self):
        super().setUp()
        self.token = self.folder / "token"
        self.token.write_text("first-token-of-the-test\n")
        self.certificate, self.key = self.folder / "cert.pem", self.folder / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=test",
                        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                        "-keyout", self.key, "-out", self.certificate],
                       check=True, capture_output=True)
        self.how = {"scheme": "https", "authorities": str(self.certificate), "common": {
            "TLS_CERT_FILE": self.certificate, "TLS_KEY_FILE": self.key,
            "TLS_CA_FILE": self.certificate, "QUEUE_TOKEN_FILE": self.token}}
        self.trust = {"authorities": str(self.certificate)}

    def test_values_arrive_and_strangers_are_refused(self):
        csv = simulate(self.folder / "fleet.csv", gpus=8, duration="2m")
        system = self.start(csv, engine="durable", **self.how)
        trust = {**self.trust, "token": "first-token-of-the-test"}
        self.wait_until_stored(system, **trust)
        self.assertEqual(difference(self.values(system.gateways[0], **self.trust), file_values(csv)), [])
        stats = system.queues[0] + "/api/v1/queue/stats"
        self.assertEqual(ask(stats, **self.trust)[0], 401)
        self.assertEqual(ask(stats, token="another-token", **self.trust)[0], 401)
        with self.assertRaises(urllib.error.URLError):
            ask(stats)  # without the authority
        for member in system.members:
            if member.kind not in ("redis", "mongodb"):
                self.assertNotIn("first-token", member.log(), member.name)

    def test_a_token_is_changed_without_a_restart(self):
        system = self.start(engine="durable", streamers=0, collectors=1, gateways=0, **self.how)
        stats = system.queues[0] + "/api/v1/queue/stats"
        self.token.write_text("second-token-of-the-test\n")
        wait_for("the new token", lambda: ask(stats, token="second-token-of-the-test",
                                              **self.trust)[0] == 200)
        self.assertEqual(ask(stats, token="first-token-of-the-test", **self.trust)[0], 401)
        log = system.of_kind("queue-service")[0].log()
        self.assertTrue(re.search("a secret was read again", log))


if __name__ == "__main__":
    unittest.main()
