"""Whoever reaches a port, attacking it: with slow and many connections, requests that two readers
understand differently, paths, malformed bodies and parameters, guessed tokens, old TLS, and with the
text of a CSV file. Each time the service must still answer and still take telemetry in."""

import contextlib
import csv
import http.client
import io
import itertools
import json
import re
import resource
import shutil
import socket
import ssl
import subprocess
import time
import unittest
import urllib.parse
from pathlib import Path

from attack import (HARD_LIMIT, Hostile, QUEUE, ask, connect, cpu_seconds, document, exchange,
                    make_certificate, memory, port_of, receive_all, statuses)
from pipeline import ROOT, wait_for

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

MARKUP = "<img src=x onerror=\"window.__pwned=1;alert('__pwned')\"></script><script>__pwned=1</script>"


class SlowConnections(Hostile):
    COUNT = min(9900, HARD_LIMIT - 600)

    def setUp(self):
        super().setUp()
        if self.COUNT < 2000:
            self.skipTest(f"the hard limit of open files (ulimit -Hn) is {HARD_LIMIT}: too few for "
                          "thousands of connections")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        self.connections = contextlib.ExitStack()
        self.addCleanup(self.connections.close)

    def open(self, service, **how):
        return self.connections.enter_context(connect(service, **how))

    def check_quick(self, service):
        start = time.monotonic()
        self.assertEqual(service.request("/api/v1/gpus").status, 200)
        self.assertLess(time.monotonic() - start, 1)

    def test_requests_that_never_end_keep_nobody_waiting_and_are_ended(self):
        service = self.start(API_MAX_CONNECTIONS=self.COUNT + 100)  # a closed one counts for a moment
        slow = []
        for number in range(self.COUNT):
            slow.append(self.open(service))
            slow[-1].sendall(b"GET /api/v1/gpus HTTP/1.1\r\nHost: a\r\nX: ")
            if number % 1000 == 0:
                self.check_quick(service)
        # A byte at a time, to every other one, until the header's deadline.
        slow[0].setblocking(False)
        ended = b""
        while not ended:
            for connection in slow[2::2]:
                with contextlib.suppress(OSError):
                    connection.send(b"x")
            self.check_quick(service)
            with contextlib.suppress(BlockingIOError):
                ended = slow[0].recv(1 << 16)
                self.assertEqual(statuses(ended), [408])
        self.assertLess(memory(service), (64 << 20) + self.COUNT * (16 << 10))
        for connection in slow[1:]:
            self.assertEqual(statuses(receive_all(connection)), [408])
        self.check_well(service)

    def test_past_the_limit_of_connections_the_answer_says_so(self):
        service = self.start(API_MAX_CONNECTIONS=100)
        for _ in range(150):
            self.open(service).sendall(b"GET / HTTP/1.1\r\n")
        wait_for("a full house", lambda: ask(service, "/livez")[0] == 503)
        status, headers, body = ask(service, "/livez")
        self.assertEqual((status, headers["Retry-After"]), (503, "1"))
        self.assertIn(b"as many connections as it may", body)
        self.connections.close()
        wait_for("room", lambda: ask(service, "/livez")[0] == 200)
        self.check_well(service)

    def test_answers_that_nobody_reads_fill_only_the_room_that_they_have(self):
        service = self.start()
        page = "/swagger/swagger-ui-bundle.js"
        size = len(ask(service, page)[2])
        room = 256 << 20
        for _ in range(4 * room // size):
            self.open(service, receive_buffer=2048).sendall(
                b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % page.encode() * 4)
        wait_for("the warning", lambda: "answers that clients do not read" in service.log())
        self.check_quick(service)
        self.assertLess(memory(service), 2 * room)  # with what the heap keeps
        self.check_well(service)

    def test_bodies_of_strangers_are_not_kept_and_those_of_all_are_bounded(self):
        token = self.folder / "token"
        token.write_text("the-token-of-the-queue\n")
        queue = self.start_queue(QUEUE_TOKEN_FILE=token)
        head = b"POST " + QUEUE.encode() + b"publish HTTP/1.1\r\nHost: a\r\nContent-Length: 60000000\r\n"
        self.assertEqual(statuses(exchange(queue, head + b"\r\n")), [401])
        head += b"Authorization: Bearer the-token-of-the-queue\r\n\r\n"
        part = bytes(40 << 20)
        refused = 0
        for _ in range(14):
            connection = self.open(queue)
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                connection.sendall(head + part)
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError, ConnectionResetError):
                refused += statuses(connection.recv(1 << 16)) == [503]
        self.assertGreater(refused, 0)
        self.assertLess(memory(queue), (512 + 256) << 20)
        self.connections.close()
        with_token = {"Authorization": "Bearer the-token-of-the-queue"}
        body = json.dumps({"topic": "t", "payload": "x" * (1 << 20)})
        wait_for("room", lambda: ask(queue, QUEUE + "publish", body, **with_token)[0] == 200)


class FewFiles(Hostile):
    """More connections than files that may be open."""

    def publish(self, connection, number):
        connection.request("POST", QUEUE + "publish",
                           json.dumps({"topic": "mine", "payload": str(number)}))
        answer = connection.getresponse()
        answer.read()
        self.assertEqual(answer.status, 200)

    def fetched(self, service):
        _, _, body = ask(service, QUEUE + "fetch?topic=mine&consumer_group=g&max=1000")
        return [int(message["payload"]) for message in json.loads(body)["messages"]]

    def check(self, service, attack):
        """`attack` opens connections while messages are published on one that is there already."""
        numbers = itertools.count()
        publisher = http.client.HTTPConnection("127.0.0.1", port_of(service), timeout=20)
        with contextlib.closing(publisher), contextlib.ExitStack() as opened:
            self.publish(publisher, next(numbers))
            attack(opened)
            before, start = cpu_seconds(service), time.monotonic()
            while time.monotonic() - start < 1:
                self.publish(publisher, next(numbers))
                time.sleep(0.02)
            self.assertLess(cpu_seconds(service) - before, 0.6, "it spins")
        wait_for("an answer", lambda: self.is_alive(service))
        self.assertEqual(sorted(self.fetched(service)), list(range(next(numbers))))

    def is_alive(self, service):
        with contextlib.suppress(OSError, http.client.HTTPException):
            return ask(service, "/livez")[0] == 200

    def open_many(self, service, opened):
        for _ in range(200):
            opened.enter_context(connect(service)).sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")

    def test_connections_leave_files_for_others(self):
        for service in (self.start(open_files=64), self.start_queue(open_files=64)):
            warning = service.wait_for_line("fewer connections than asked for: this process cannot "
                                            "have more")
            self.assertLess(warning["connections"], 64)
            self.check(service, lambda opened: self.open_many(service, opened))
            self.assertNotIn("Too many open files", service.log())

    def test_no_files_at_all_is_logged_waited_out_and_costs_nothing(self):
        service = self.start()
        pid = service.process.pid

        def attack(opened):
            limit = len(list(Path(f"/proc/{pid}/fd").iterdir())) + 10
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, HARD_LIMIT))
            self.open_many(service, opened)
            service.wait_for_line("cannot accept connections")
        self.check(service, attack)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (HARD_LIMIT, HARD_LIMIT))
        self.check_well(service)


BODY = b'{"topic":"open","payload":"x"}'
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
SECRET = b'{"topic":"smuggled","payload":"x"}'
HIDDEN = (b"POST /api/v1/queue/publish HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s"
          % (len(SECRET), SECRET))


def publish(headers, body=b"", host=b"Host: a\r\n", version=b"1.1"):
    return (b"POST /api/v1/queue/publish HTTP/" + version + b"\r\n" + host + headers + b"\r\n\r\n" +
            body)


def get(target=b"/livez", headers=b"Host: a"):
    return b"GET " + target + b" HTTP/1.1\r\n" + headers + b"\r\n\r\n"


TE = b"Transfer-Encoding: chunked"
LENGTH = b"Content-Length: %d" % len(BODY)

# Each as a server that understands it otherwise would let the hidden request through.
AMBIGUOUS = {
    "length and chunked": publish(b"Content-Length: 4\r\n" + TE, CHUNKED),
    "chunked and length": publish(TE + b"\r\nContent-Length: 4", CHUNKED),
    "two lengths": publish(LENGTH + b"\r\nContent-Length: 0", BODY),
    "a list of lengths": publish(LENGTH + b", 0", BODY),
    "a signed length": publish(b"Content-Length: +0"),
    "a negative length": publish(b"Content-Length: -1"),
    "a hexadecimal length": publish(b"Content-Length: 0x0"),
    "a length past 64 bits": publish(b"Content-Length: 18446744073709551616"),
    "a space before the colon": publish(b"Transfer-Encoding : chunked", CHUNKED),
    "a coding twice": publish(TE + b"\r\n" + TE, CHUNKED),
    "an unknown coding": publish(b"Transfer-Encoding: xchunked", CHUNKED),
    "chunked not last": publish(b"Transfer-Encoding: chunked, identity", CHUNKED),
    "an empty coding": publish(b"Transfer-Encoding: ", CHUNKED),
    "a coding behind a vertical tab": publish(b"Transfer-Encoding:\x0bchunked", CHUNKED),
    "chunked in HTTP/1.0": publish(TE, CHUNKED, version=b"1.0"),
    "a folded line": publish(b"X: 1\r\n " + TE, CHUNKED),
    "a folded first line": publish(TE, CHUNKED, host=b" Host: a\r\n"),
    "text behind a chunk's size": publish(TE, b"%x x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)),
    "a negative chunk": publish(TE, b"-" + CHUNKED),
    "a chunk of 0x": publish(TE, b"0x" + CHUNKED),
    "a chunk past 64 bits": publish(TE, b"1" + b"0" * 16 + CHUNKED),
    "a chunk longer than its size": publish(TE, b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY) - 1, BODY)),
    "chunks with bare LF": publish(TE, CHUNKED.replace(b"\r\n", b"\n")),
    "an extension with a bare LF": publish(TE, CHUNKED.replace(b"\r\n", b";a\nb\r\n", 1)),
    "a request for a trailer": publish(TE, CHUNKED[:-2]),
    "a bare LF in the head": get(headers=b"Host: a\nX: y"),
    "a bare CR in the head": get(headers=b"Host: a\rX: y"),
    "a NUL in the head": get(headers=b"Host: a\r\nX: \0"),
    "another host in the target": get(b"http://b/livez"),
    "a user in the target": get(b"http://user@a/livez"),
    "no host": get(headers=b"X: y"),
    "two hosts": get(headers=b"Host: a\r\nHost: b"),
    "a list of hosts": get(headers=b"Host: a, b"),
    "a host with a path": get(headers=b"Host: a/b"),
    "a header without a name": get(headers=b"Host: a\r\n: x"),
    "a header without a colon": get(headers=b"Host: a\r\nX"),
    "1,000 headers": get(headers=b"Host: a" + b"\r\nX: y" * 1000),
    "a header of 100 kB": get(headers=b"Host: a\r\nX: " + b"y" * 100_000),
    "no version": b"GET /livez\r\n\r\n",
    "a tab in the first line": b"GET\t/livez HTTP/1.1\r\nHost: a\r\n\r\n",
    "another expectation": publish(LENGTH + b"\r\nExpect: magic", BODY),
    "a length of 100 MB": publish(b"Content-Length: 100000000"),
}


class Smuggling(Hostile):
    def test_no_request_hides_in_another(self):
        for service in (self.start(), self.start_queue()):
            for name, request in AMBIGUOUS.items():
                with self.subTest(name, service=service.process.args[-1]):
                    received = exchange(service, request + HIDDEN)
                    self.assertEqual(len(statuses(received)), 1, received)
                    self.assertIn(statuses(received)[0], (400, 413, 417, 431, 501))
                    self.assertIn(b"\r\nConnection: close\r\n", received)
                    self.assertIn(b"application/problem+json", received)
            with self.subTest("garbage behind a body"):
                received = exchange(service, publish(LENGTH, BODY) + b"GARBAGE\r\n\r\n" + HIDDEN)
                self.assertEqual(statuses(received), [200, 400])
            _, _, body = ask(service, QUEUE + "stats")
            topics = {topic["topic"] for topic in json.loads(body)["topics"]}
            self.assertIn("open", topics)
            self.assertNotIn("smuggled", topics)

    def test_the_hidden_request_is_one_that_works(self):
        queue = self.start_queue()
        received = exchange(queue, get() + HIDDEN + get(headers=b"Host: a\r\nConnection: close"))
        self.assertEqual(statuses(received), [200, 200, 200])


class Paths(Hostile):
    TARGETS = ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2f..%2fetc%2fpasswd",
               "/%252e%252e%252fetc%252fpasswd", "/..\\..\\etc\\passwd", "/..%5c..%5cetc%5cpasswd",
               "/swagger/../../../etc/passwd", "/swagger/%2e%2e/index.html",
               "/assets/../../../../../../etc/passwd", "/index.html%00.txt", "/index.html%00",
               "//etc/passwd", "/etc/passwd", "///proc/self/environ", "/swagger/..;/index.html",
               "/%c0%ae%c0%ae/etc/passwd", "/%ff", "/./index.html", "file:///etc/passwd",
               "/api/v1/gpus/../../../etc/passwd", "/api/v1/gpus/..%2f..%2fopenapi.json",
               "/%E2%80%A5/etc/passwd", "/" + "../" * 1000 + "etc/passwd"]

    def test_no_path_leads_to_a_file(self):
        service = self.start()
        for target in self.TARGETS:
            with self.subTest(target[:60]):
                received = exchange(service, b"GET " + target.encode() + b" HTTP/1.1\r\nHost: a\r\n"
                                    b"Accept: text/html\r\nConnection: close\r\n\r\n")
                self.assertIn(statuses(received), ([400], [404]))
                self.assertIn(b"application/problem+json", received)
                self.assertNotIn(b"root:", received)
        self.check_well(service)


def in_topic(text):
    return b'{"topic":"t","payload":"x",' + text + b"}"


def of_group(text):
    return b'{"topic":"t","consumer_group":"g",' + text + b"}"


MALFORMED = [
    b"", b"{", b"null", b"1", b'"x"', b"[]", b"{}", b"NaN", b"{" * 100_000, b"[" * 100_000,
    b'{"a":' * 100_000, b'{"topic":[' * 100_000, b"\xff\xfe", b'{"topic":"\xff","payload":"x"}',
    b'{"topic":"t","payload":"\xed\xa0\x80"}', b'{"topic":"t","payload":"\\ud800"}',
    b'\xef\xbb\xbf{"topic":"t","payload":"x"}', b'{"topic":"t","payload":"x"} {}',
    b'{"topic":"t","payload":"x"}x', b'{"topic":"t",}', b"{'topic':'t'}", in_topic(b"/**/"),
    b'{"topic":1,"payload":"x"}', b'{"topic":"t","payload":1}', b'{"topic":"t","payload":{}}',
    b'{"topic":"","payload":"x"}', b'{"topic":"../etc","payload":"x"}',
    b'{"topic":"%s","payload":"x"}' % (b"t" * 100_000), in_topic(b'"topic":"u"'),
    in_topic(b'"payload":"y"'), in_topic(b'"extra":1'), in_topic(b'"payload_base64":"eA=="'),
    in_topic(b'"headers":[]'), in_topic(b'"headers":{"a":1}'), in_topic(b'"id":1'),
    in_topic(b'"headers":{"a":"1","a":"2"}'), in_topic(b'"id":"%s"' % (b"x" * 100_000)),
    b'{"topic":"t","payload_base64":"!!"}', b'{"topic":"t","messages":[]}',
    b'{"topic":"t","messages":{}}', b'{"topic":"t","messages":[1]}',
    of_group(b'"message_id":1e400'), of_group(b'"receipts":[1e999999]'), of_group(b'"receipts":7'),
    of_group(b'"receipts":["r"],"delay":"-5s"'), of_group(b'"receipts":["r"],"delay":"9999999999h"'),
    of_group(b'"receipts":["r"],"visibility":"1e9s"'), of_group(b'"message_ids":["a"],"visibility":5'),
    of_group(b'"message_ids":' + json.dumps(["a"] * 200_000).encode()),
    b'{"source":"s","member":"m","ttl":"99999999h"}', b'{"source":"s","member":"m","ttl":-1}',
    in_topic(b'"progress":{"source":"s","member":"m","steps":[{"shard":99999999999999999999,'
             b'"fence":-1,"from":1,"to":2}]}'),
]

VALUES = ["", "-1", "0", "1e9", "99999999999999999999", "%00", "%ff", "x" * 5000, "../..", "NaN",
          "9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z", "-9999-01-01T00:00:00Z",
          "2025-13-45T99:99:99Z", "' OR 1=1", "%F0%9F%92%A9", "AAAA", "eyJ2IjoxfQ", "{}", "0s", "-1s",
          "1000000000d", "[", "*", "%3Cscript%3E"]


class Malformed(Hostile):
    def check_refused(self, answer, what):
        status, headers, body = answer
        self.assertIn(status, (400, 404, 413, 414, 415, 431), (what, body[:300]))
        self.assertEqual(headers["Content-Type"], "application/problem+json")
        self.assertGreater(len(json.loads(body)["detail"]), 10)

    def test_no_body_is_answered_with_anything_but_what_is_wrong_with_it(self):
        queue = self.start_queue()
        binary = "application/x-gpu-telemetry-queue"
        paths = [path for path, operations in document("queue-service")["paths"].items()
                 if "post" in operations]
        self.assertGreaterEqual(len(paths), 7)
        for path in paths:
            for body in MALFORMED:
                with self.subTest(path=path, body=body[:60]):
                    self.check_refused(ask(queue, path, body), body[:100])
            for body in (b"", b"\0", b"\xff" * 100, bytes(1000), BODY):
                with self.subTest(path=path, binary=body[:60]):
                    self.check_refused(ask(queue, path, body, **{"Content-Type": binary}), body)
            received = exchange(queue, b"POST " + path.encode() + b" HTTP/1.1\r\nHost: a\r\n"
                                b"Content-Length: 100000000\r\n\r\n{")
            self.assertEqual(statuses(received), [413])
        self.assertEqual(ask(queue, QUEUE + "publish", BODY)[0], 200)

    def check_parameters(self, service, name, paths):
        """Each value for each query parameter of each GET, the required ones beside it."""
        right = {"topic": "t", "consumer_group": "g", "metric_name": "DCGM_FI_DEV_GPU_TEMP"}
        answered = set()
        for path, operations in document(name)["paths"].items():
            parameters = operations.get("get", {}).get("parameters", [])
            queries = [each for each in parameters if each["in"] == "query"]
            for parameter, value in itertools.product(queries, VALUES):
                rest = "".join(f"&{each['name']}={right.get(each['name'], '1')}"
                               for each in queries if each.get("required") and each != parameter)
                if parameter["name"] != "wait" and "fetch" in path:
                    rest += "&wait=0s"
                target = path.replace("{uuid}", paths["uuid"])
                target += f"?{parameter['name']}={value.replace(' ', '%20')}{rest}"
                with self.subTest(target[:120]):
                    answer = ask(service, target)
                    if answer[0] != 200:
                        self.check_refused(answer, target[:120])
                    answered.add((path, answer[0]))
        return answered

    def test_no_parameter_is_answered_with_anything_but_what_is_wrong_with_it(self):
        service = self.start()
        uuid = wait_for("a GPU", service.gpus)[0]["uuid"]
        answered = self.check_parameters(service, "api-gateway", {"uuid": uuid})
        self.assertIn(("/api/v1/gpus", 400), answered)
        for target in ("/api/v1/gpus?hostname=" + "x" * 10_000_000, "/" + "x" * 10_000_000):
            self.assertEqual(statuses(exchange(service, get(target.encode()))), [414])
        for uuid in ("GPU-", "x", "GPU-00000000-0000-0000-0000-00000000000g", "%00", "..",
                     "'%20OR%201=1", "x" * 4000, "%F0%9F%92%A9"):
            for rest in ("", "/telemetry", "/latest", "/metrics", "/attribution"):
                with self.subTest(uuid=uuid[:60], rest=rest):
                    self.check_refused(ask(service, f"/api/v1/gpus/{uuid}{rest}"), uuid[:100])
        self.check_well(service)

    def test_no_parameter_of_the_queue_does_either(self):
        queue = self.start_queue()
        answered = self.check_parameters(queue, "queue-service", {"uuid": ""})
        self.assertIn((QUEUE + "fetch", 400), answered)
        self.assertEqual(ask(queue, QUEUE + "publish", BODY)[0], 200)


class Tokens(Hostile):
    RIGHT = "Zq3-the.right_token~of/this+test="

    def check_protected(self, service, name):
        wrong = ["", "Bearer", "Bearer ", "Bearer wrong", "Basic " + self.RIGHT, self.RIGHT,
                 "Bearer " + self.RIGHT[:-1], "Bearer " + self.RIGHT + "x",
                 "Bearer " + 2 * self.RIGHT, "Bearer " + "x" * 12_000,
                 "Bearer " + self.RIGHT.swapcase(), "Bearer \t", "Bearer " + self.RIGHT + ",x"]
        operations = [(path, method) for path, methods in document(name)["paths"].items()
                      for method in methods if path.startswith("/api/v1/")]
        self.assertGreater(len(operations), 10)
        for (path, method), given in itertools.product(operations, wrong):
            with self.subTest(path=path, method=method, given=given[:40]):
                target = path.replace("{uuid}", "GPU-00000000-0000-0000-0000-000000000000")
                body = b"{}" if method == "post" else None
                status, headers, _ = ask(service, target, body, method.upper(), Authorization=given)
                self.assertEqual(status, 401)
                self.assertTrue(headers["WWW-Authenticate"].startswith("Bearer"))
        for path, method in operations:
            with self.subTest(path=path, method=method):
                status, _, _ = ask(service, path + "?access_token=" + self.RIGHT,
                                   b"{}" if method == "post" else None, method.upper())
                self.assertEqual(status, 401)

    def test_every_route_is_closed_to_tokens_that_are_nearly_right(self):
        token = self.folder / "token"
        token.write_text(self.RIGHT + "\n")
        common = {"LOG_LEVEL": "debug", "QUEUE_TOKEN_FILE": token}
        right = {"Authorization": "Bearer " + self.RIGHT}
        service = self.start(API_TOKENS_FILE=token, **common)
        self.check_protected(service, "api-gateway")
        self.check_protected(service, "queue-service")
        self.check_well(service, **right)
        queue = self.start_queue(**common)
        self.check_protected(queue, "queue-service")
        self.assertEqual(ask(queue, QUEUE + "publish", BODY, **right)[0], 200)
        for each in (service, queue):
            self.assertEqual(each.stop(), 0)
            self.assertNotIn(self.RIGHT[:-1], each.log())
            self.assertNotIn(urllib.parse.quote(self.RIGHT[:-1]), each.log())


class Tls(Hostile):
    EVERY_CIPHER = "ALL:eNULL:@SECLEVEL=0"

    def setUp(self):
        super().setUp()
        self.certificate, key = make_certificate(self.folder)
        self.service = self.start(TLS_CERT_FILE=self.certificate, TLS_KEY_FILE=key)

    def client(self, least=ssl.TLSVersion.TLSv1, most=ssl.TLSVersion.TLSv1_3, ciphers=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.certificate)
        context.set_ciphers(ciphers or self.EVERY_CIPHER)
        context.options &= ~ssl.OP_NO_COMPRESSION
        with contextlib.suppress(AttributeError):
            context.options |= ssl.OP_LEGACY_SERVER_CONNECT
        import warnings
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of the versions
            context.maximum_version, context.minimum_version = most, least
        return context

    def connect(self, **how):
        raw = connect(self.service)
        try:
            return self.client(**how).wrap_socket(raw, server_hostname="127.0.0.1")
        except BaseException:
            raw.close()
            raise

    def check_answers(self, **how):
        with self.connect(**how) as connection:
            connection.sendall(get(headers=b"Host: a\r\nConnection: close"))
            self.assertEqual(statuses(receive_all(connection)), [200])
            return connection.version(), connection.cipher()[0], connection.compression()

    def test_only_new_versions_with_strong_ciphers_are_spoken(self):
        for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
            with self.subTest(version), self.assertRaises((ssl.SSLError, ConnectionError)):
                self.connect(least=version, most=version)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            spoken, _, compression = self.check_answers(least=version, most=version)
            self.assertEqual(spoken.replace(".", "_"), version.name)
            self.assertIsNone(compression)
        known = [cipher["name"] for cipher in self.client().get_ciphers()
                 if cipher["protocol"] != "TLSv1.3"]
        strong = [name for name in known
                  if name.startswith("ECDHE") and ("GCM" in name or "CHACHA" in name)]
        weak = [name for name in known if name not in strong]
        for name in ("AES128-SHA", "ECDHE-RSA-AES128-SHA", "ADH-AES128-SHA", "NULL-SHA256",
                     "AES128-GCM-SHA256"):
            self.assertIn(name, weak, "this client could not have spoken it")
        for name in weak:
            with self.subTest(name), self.assertRaises((ssl.SSLError, ConnectionError)):
                self.connect(most=ssl.TLSVersion.TLSv1_2, ciphers=name + ":@SECLEVEL=0")
        self.check_answers()

    def test_a_client_cannot_negotiate_again(self):
        asked = subprocess.run(["openssl", "s_client", "-tls1_2", "-connect",
                                f"127.0.0.1:{port_of(self.service)}"], input="R\n", text=True,
                               capture_output=True, timeout=20)
        self.assertIn("RENEGOTIATING", asked.stdout + asked.stderr)
        self.assertIn("no renegotiation", asked.stdout + asked.stderr)
        self.check_answers()

    def test_plain_http_is_closed_without_an_answer(self):
        for request in (get(), b"\x16\x03\x01\xff\xff" + bytes(100), bytes(1000), b"\x80\x2e\x01"):
            with self.subTest(request[:20]), connect(self.service) as connection:
                connection.sendall(request)
                connection.shutdown(socket.SHUT_WR)
                self.assertNotIn(b"HTTP/1.1", receive_all(connection))
        self.check_answers()

    def test_handshakes_that_stall_hold_nobody_up(self):
        with contextlib.ExitStack() as stalled:
            hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32)
            for number in range(500):
                connection = stalled.enter_context(connect(self.service))
                connection.sendall(hello[:number % len(hello)])
            start = time.monotonic()
            self.check_answers()
            self.assertLess(time.monotonic() - start, 1)


COLUMNS = ["timestamp", "metric_name", "gpu_id", "device", "uuid", "modelName", "Hostname",
           "container", "pod", "namespace", "value", "labels_raw"]
TEXT_COLUMNS = {"gpu_id": "gpu_index", "device": "device_id", "modelName": "model_name",
                "Hostname": "hostname", "container": "container", "pod": "pod",
                "namespace": "namespace"}
# Taken as they are: whoever shows them has to escape them.
SHOWN = [MARKUP, "'\"><svg onload=__pwned=1>", "javascript:__pwned=1", "=cmd|' /C calc'!A0",
         "+1+1", "@SUM(1)", "\u202egpj.exe\u202c", "\u2028\u2029", "{{__pwned=1}}", "${__pwned=1}",
         "a\"b\\c", "a\nb", "-->", "]]>", "%3Cscript%3E", "\ufeffx", "a,b;c", "\\u003cscript\\u003e"]
# Of no row that is stored.
REFUSED = ["a\0b", "\x1b[2J", "a\rb", "\x07", "\x7f", "n" * 1_000_000, b"\xff\xfe".decode("latin1")]


def uuid_of(number):
    return f"GPU-aaaaaaaa-0000-4000-8000-{number:012}"


class Text(Hostile):
    """Hostile text in each column of a file."""

    def setUp(self):
        super().setUp()
        out = io.StringIO()
        writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
        writer.writeheader()
        self.shown = {}
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        plain = {"timestamp": now, "metric_name": "DCGM_FI_DEV_GPU_UTIL", "gpu_id": "0",
                 "device": "nvidia0", "modelName": "NVIDIA H100", "Hostname": "node-1",
                 "container": "", "pod": "", "namespace": "", "value": "50"}
        for text in SHOWN:
            self.shown[uuid_of(len(self.shown))] = text
            everywhere = dict.fromkeys(TEXT_COLUMNS, text)
            label = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            writer.writerow({**plain, **everywhere, "uuid": uuid_of(len(self.shown) - 1),
                             "labels_raw": f'rack="{label}"'})
        self.malformed = 0
        for text, column in itertools.product(REFUSED, TEXT_COLUMNS):
            self.malformed += 1
            writer.writerow({**plain, column: text, "uuid": uuid_of(900 + self.malformed)})
        for column in ("uuid", "metric_name", "timestamp"):
            for text in SHOWN:
                self.malformed += 1
                writer.writerow({**plain, "uuid": uuid_of(899), column: text})
        # What is not UTF-8 is written as the bytes that it is.
        content = out.getvalue().encode().replace("\xff\xfe".encode(), b"\xff\xfe")
        path = self.folder / "hostile.csv"
        path.write_bytes(content)
        self.service = self.start(SOURCE="csv", CSV_PATH=path, LOOP_MODE="false", STREAM_INTERVAL=0,
                                  TIMESTAMP_MODE="source", MAX_RETRIES=0)
        self.service.wait_until_stored()

    def test_text_is_data_in_every_answer(self):
        found = {gpu["uuid"]: gpu for gpu in self.service.gpus()}
        self.assertEqual(found.keys(), self.shown.keys())
        for uuid, text in self.shown.items():
            with self.subTest(text):
                gpu = found[uuid]
                for member in TEXT_COLUMNS.values():
                    self.assertEqual(gpu[member], text)
                self.assertEqual(gpu["labels"]["rack"], text)
                asked = self.service.get("/api/v1/gpus?hostname=" + urllib.parse.quote(text))
                self.assertEqual([each["uuid"] for each in asked["gpus"]], [uuid])
        rows = self.service.by_label("gpu_telemetry_source_rows_total", "result")
        self.assertEqual((rows["accepted"], rows["malformed"]), (len(SHOWN), self.malformed))
        for line in self.service.log().splitlines():
            self.assertTrue(line.isprintable() or "\u202e" in line or "\ufeff" in line, line[:300])
            json.loads(line)

    def test_exports_have_numbers_times_and_names_alone(self):
        cell = r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z|GPU-[0-9a-f-]{36}|[A-Za-z_:][\w:]*|[\d.e+-]+)"
        for uuid in self.shown:
            answer = self.service.request(f"/api/v1/gpus/{uuid}/telemetry",
                                          headers={"Accept": "text/csv"})
            self.assertTrue(answer.headers["Content-Type"].startswith("text/csv"))
            lines = answer.body.decode().removesuffix("\r\n").split("\r\n")
            self.assertEqual(len(lines), 2)
            for line in lines:
                self.assertRegex(line, f"^{cell}(,{cell})*$")
        sample = re.compile(r'[a-zA-Z_:][\w:]*(\{([a-zA-Z_]\w*="([^"\\\n]|\\["\\n])*",?)*\})? '
                            r'(-?[\d.e+-]+|[+-]Inf|NaN)')
        for line in self.service.request("/metrics").body.decode().splitlines():
            self.assertTrue(line.startswith("# ") or sample.fullmatch(line), line)

    @unittest.skipUnless(CHROMIUM and shutil.which("node"), "needs chromium and node")
    def test_the_dashboard_shows_it_as_text_and_runs_none_of_it(self):
        letter = {"topic": "telemetry", "payload": MARKUP, "headers": {"h": MARKUP}}
        self.assertEqual(ask(self.service, QUEUE + "publish", json.dumps(letter))[0], 200)
        wait_for("a dead letter",
                 lambda: self.service.get("/api/v1/pipeline/dead-letters")["count"])
        asked = json.dumps({"base": self.service.url, "gpu": uuid_of(0)})
        done = subprocess.run(["node", ROOT / "tests/e2e/hostile.mjs"], input=asked, text=True,
                              env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(self.folder),
                                   "CHROMIUM": CHROMIUM}, capture_output=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr[-3000:])
        pages = {page["name"]: page for page in map(json.loads, done.stdout.strip().split("\n"))}
        self.assertEqual(pages.keys(), {"fleet", "table", "gpu", "pipeline", "swagger"})
        for page in pages.values():
            with self.subTest(page["name"]):
                self.assertFalse(page["pwned"])
                self.assertEqual((page["dialogs"], page["errors"], page["strangers"]), ([], [], []))
                self.assertEqual(page["brought"], 0)
        self.assertIn(MARKUP, pages["table"]["text"])
        self.assertIn(MARKUP, pages["gpu"]["text"])


if __name__ == "__main__":
    unittest.main()
