"""Services that may use little memory, given more than would fit: bodies, connections, answers that
nobody reads, messages and their overhead, wide queries. The kernel must have no cause to kill one,
and what does not fit is refused with an answer that says so."""

import contextlib
import itertools
import json
import os
import ssl
import threading
import unittest
from pathlib import Path

from attack import (HARD_LIMIT, Hostile, QUEUE, ask, connect, make_certificate, statuses)
from pipeline import simulate, wait_for

MIB = 1 << 20
LIMIT = 256 * MIB


class ControlGroup:
    """A limit of memory for the process that starts with `enter` before its command."""

    def __init__(self, parent, name, limit_file, kills_file):
        self.folder = parent / name
        self.kills_file = self.folder / kills_file
        self.folder.mkdir()
        self.enter = ["sh", "-c", f'echo $$ > {self.folder}/cgroup.procs; exec "$@"', "sh"]
        try:
            (self.folder / limit_file).write_text(str(LIMIT))
        except OSError:
            self.folder.rmdir()
            raise

    def kills(self):
        counts = dict(line.split() for line in self.kills_file.read_text().splitlines())
        return int(counts["oom_kill"])


def make_control_group():
    """In whichever version of control groups this machine has; OSError where none can be made."""
    name = f"gpu-telemetry-{os.getpid()}"
    unified = Path("/sys/fs/cgroup")
    if (unified / "memory").is_dir():
        return ControlGroup(unified / "memory", name, "memory.limit_in_bytes", "memory.oom_control")
    if "memory" not in (unified / "cgroup.subtree_control").read_text().split():
        (unified / "cgroup.subtree_control").write_text("+memory")
    return ControlGroup(unified, name, "memory.max", "memory.events")


class MemoryLimit(Hostile):
    def setUp(self):
        super().setUp()
        try:
            self.group = make_control_group()
        except OSError as error:
            self.skipTest(f"a control group with a limit of memory cannot be made here: {error}")
        self.addCleanup(self.group.folder.rmdir)
        self.connections = contextlib.ExitStack()
        self.addCleanup(self.connections.close)

    def start(self, **settings):
        return super().start(enter=self.group.enter, **settings)

    def start_queue(self, **settings):
        return super().start_queue(enter=self.group.enter, **settings)

    def open(self, service, **how):
        return self.connections.enter_context(connect(service, **how))

    def check_alive(self, service):
        self.assertIsNone(service.process.poll(), service.log()[-2000:])
        self.assertEqual(self.group.kills(), 0)
        wait_for("an answer", lambda: ask(service, "/livez")[0] == 200)


class Requests(MemoryLimit):
    def test_bodies_that_do_not_end_are_held_only_as_far_as_they_fit(self):
        queue = self.start_queue()
        head = b"POST %spublish HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
        length, answers = 20 * MIB, []
        for _ in range(30):
            connection = self.open(queue)
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                connection.sendall(head % (QUEUE.encode(), length) + bytes(length - 1))
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError, ConnectionResetError):
                answers += statuses(connection.recv(1 << 16))
        self.check_alive(queue)
        self.assertEqual(set(answers), {503})
        connection = self.open(queue)
        connection.sendall(head % (QUEUE.encode(), 60 * MIB))
        self.assertEqual(statuses(connection.recv(1 << 16)), [413])

    def test_answers_that_nobody_reads(self):
        service = self.start()
        for _ in range(300):
            self.open(service, receive_buffer=2048).sendall(
                b"GET /swagger/swagger-ui-bundle.js HTTP/1.1\r\nHost: a\r\n\r\n" * 4)
        wait_for("the warning", lambda: "answers that clients do not read" in service.log())
        self.check_alive(service)
        self.check_well(service)

    def test_encrypted_connections(self):
        if HARD_LIMIT < 4096:
            self.skipTest(f"the hard limit of open files (ulimit -Hn) is {HARD_LIMIT}")
        certificate, key = make_certificate(self.folder)
        queue = self.start_queue(TLS_CERT_FILE=certificate, TLS_KEY_FILE=key)
        warning = queue.wait_for_line(
            "fewer connections than asked for: this process cannot have more")
        self.assertEqual(warning["right"], "raise the limit of the memory")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(certificate)
        held = 0
        for _ in range(900):
            raw = self.open(queue)
            with contextlib.suppress(OSError):
                connection = context.wrap_socket(raw, server_hostname="127.0.0.1")
                self.connections.enter_context(connection)
                connection.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
                held += statuses(connection.recv(1 << 16)) == [200]
        self.assertIsNone(queue.process.poll(), queue.log()[-2000:])
        self.assertEqual(self.group.kills(), 0)
        self.assertEqual(held, warning["connections"])


class Messages(MemoryLimit):
    # A batch of what has more overhead than payload.
    BATCH = 1000
    PAYLOAD = "x" * 20

    def fill(self, queue, **message):
        """Publishes until it is full, and says how many it took."""
        messages = [{"payload": self.PAYLOAD, **message}] * self.BATCH
        body = json.dumps({"topic": "t", "messages": messages})
        for batches in itertools.count():
            status, headers, answer = ask(queue, QUEUE + "publish", body)
            if status != 200:
                self.assertEqual(status, 429, answer[:300])
                self.assertIn("Retry-After", headers)
                return batches * self.BATCH
            self.assertLess(batches, 10_000)

    def drain(self, queue):
        taken = 0
        while True:
            _, _, body = ask(queue, QUEUE + "fetch?topic=t&consumer_group=g&max=1000")
            receipts = [message["receipt"] for message in json.loads(body)["messages"]]
            if not receipts:
                return taken
            status, _, answer = ask(queue, QUEUE + "ack", json.dumps(
                {"topic": "t", "consumer_group": "g", "receipts": receipts}))
            self.assertEqual(status, 200, answer[:300])
            taken += len(receipts)

    def check_full(self, engine):
        settings = {"QUEUE_ENGINE": engine, "BUFFER_SIZE": 100_000_000}
        queue = self.start_queue(**settings)
        taken = self.fill(queue)
        self.assertGreater(taken, 100_000)
        self.check_alive(queue)
        return settings, queue, taken

    def test_small_messages_in_memory(self):
        _, queue, taken = self.check_full("memory")
        self.assertEqual(self.drain(queue), taken)
        self.check_alive(queue)

    def test_small_messages_on_disk_also_when_they_are_read_again(self):
        settings, queue, taken = self.check_full("durable")
        queue.kill()
        queue = self.start_queue(**settings)
        self.assertEqual(self.drain(queue), taken)
        self.check_alive(queue)

    def test_dead_letters(self):
        queue = self.start_queue(QUEUE_ENGINE="memory", BUFFER_SIZE=100_000_000)
        body = json.dumps({"topic": "t", "messages": [{"payload": "x" * 1000}] * self.BATCH})
        for _ in range(300):
            self.assertEqual(ask(queue, QUEUE + "publish", body)[0], 200)
            _, _, answer = ask(queue, QUEUE + "fetch?topic=t&consumer_group=g&max=1000")
            receipts = [message["receipt"] for message in json.loads(answer)["messages"]]
            status, _, answer = ask(queue, QUEUE + "nack", json.dumps(
                {"topic": "t", "consumer_group": "g", "receipts": receipts,
                 "dead_letter": "no good"}))
            self.assertEqual(status, 200, answer[:300])
        self.check_alive(queue)

    def test_all_topics_and_groups_with_consumers_that_wait(self):
        queue = self.start_queue(QUEUE_ENGINE="memory")
        for topic, group in itertools.product(range(100), range(100)):
            query = f"fetch?topic={'t' * 90}{topic}&consumer_group={'g' * 90}{group}"
            self.assertEqual(ask(queue, f"{QUEUE}{query}&consumer_id={'c' * 190}")[0], 200)
        self.check_alive(queue)


class Queries(MemoryLimit):
    def test_many_wide_ones_at_once(self):
        file = simulate(self.folder / "fleet.csv", gpus=1000, hosts=100, duration="10m")
        service = self.start(SOURCE="csv", CSV_PATH=file, LOOP_MODE="false",
                             TIMESTAMP_MODE="source", STREAM_INTERVAL=0,
                             STREAMER_BATCH_SIZE=1000)
        service.wait_until_stored()
        uuid = service.gpus()[0]["uuid"]
        presence = service.get(f"/api/v1/gpus/{uuid}/metrics")["metrics"][0]
        of_one = f"/api/v1/gpus/{uuid}/telemetry?limit=100000"
        of_all = (f"/api/v1/fleet/telemetry?metric_name={presence['metric_name']}&by=gpu&step=10s"
                  f"&start_time={presence['first_seen']}&end_time={presence['last_seen']}")
        targets = [of_one, of_one + "&shape=series", of_all, "/api/v1/gpus?limit=100000"]
        answers = []

        def read(target):
            status, _, body = ask(service, target)
            answers.append((status, len(body) > 10_000))

        # Some read slowly, some do not read at all.
        for target in targets * 30:
            self.open(service, receive_buffer=2048).sendall(
                b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % target.encode())
        readers = [threading.Thread(target=read, args=(target,)) for target in targets * 10]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        self.check_alive(service)
        self.assertEqual(answers, [(200, True)] * len(readers))


if __name__ == "__main__":
    unittest.main()
