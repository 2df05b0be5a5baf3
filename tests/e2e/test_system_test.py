"""system-test.sh: passes on a pipeline that works, and names what is broken in one that does not."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

from pipeline import INHERITED, ROOT, Pipeline

sys.path.insert(0, str(ROOT / "scripts"))
from member import free_port  # noqa: E402

SCRIPT = ROOT / "system-test.sh"
CHECKS = ["API Gateway Health Check", "Data Ingestion", "List GPUs endpoint",
          "Get GPU details endpoint", "Get telemetry endpoint",
          "Telemetry ordering (newest first)", "Time range filtering",
          "Data structure validation", "Error handling (400 for invalid UUID)",
          "Error handling (404 for non-existent GPU)", "Swagger documentation",
          "Component health check"]
COMPONENTS = ["streamer", "collector", "queue-service", "api-gateway"]


def system_test(*arguments, **settings):
    environment = {**INHERITED, "SYSTEM_TEST_TIMEOUT": "60",
                   **{name: str(value) for name, value in settings.items()}}
    return subprocess.run([SCRIPT, *arguments], env=environment, timeout=240,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)


def marked(done, mark):
    """The checks that the list at the end marks so, without what was found."""
    listed = re.findall(rf"^  {mark} (.*)$", done.stdout, re.MULTILINE)
    return [re.sub(r" \(found \d+ GPU\(s\)\)$", "", title) for title in listed]


@dataclass
class Exchange:
    """An answer on its way through a proxy that breaks one thing."""
    path: str
    query: dict
    status: int
    type: str
    body: bytes

    def change(self, how):
        """Lets `how` change the JSON of the answer."""
        content = json.loads(self.body)
        how(content)
        self.body = json.dumps(content).encode()

    def is_telemetry(self):
        return self.path.endswith("/telemetry") and self.status == 200


@contextmanager
def proxy(url, answer=lambda exchange: None, ask=lambda query: query):
    """The URL of a server that passes on what `url` answers, once `answer` has changed it; `ask`
    may change the query before."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            parts = urlsplit(self.path)
            query = parse_qs(parts.query)
            target = f"{url}{parts.path}?{urlencode(ask(dict(query)), doseq=True)}"
            try:
                with urllib.request.urlopen(target.rstrip("?"), timeout=30) as response:
                    got = response.status, response.headers["Content-Type"], response.read()
            except urllib.error.HTTPError as error:
                with error:
                    got = error.code, error.headers["Content-Type"], error.read()
            exchange = Exchange(parts.path, query, *got)
            answer(exchange)
            self.send_response(exchange.status)
            self.send_header("Content-Type", exchange.type)
            self.send_header("Content-Length", str(len(exchange.body)))
            self.end_headers()
            self.wfile.write(exchange.body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


# What a proxy breaks: how an answer is changed.
def newest_last(exchange):
    if exchange.is_telemetry() and "order" not in exchange.query:
        exchange.change(lambda content: content["telemetry"].reverse())


def another_value(exchange):
    def change(content):
        for sample in content["telemetry"]:  # the first may be newer than /latest
            sample["value"] += 1
    if exchange.is_telemetry() and "start_time" not in exchange.query:
        exchange.change(change)


def without_the_end(exchange):
    def change(content):
        content["telemetry"] = [sample for sample in content["telemetry"]
                                if sample["timestamp"] != exchange.query["end_time"][0]]
        content["count"] = len(content["telemetry"])
    if exchange.is_telemetry() and {"start_time", "end_time"} <= exchange.query.keys():
        exchange.change(change)


def without_a_field(exchange):
    if exchange.path == "/api/v1/gpus":
        exchange.change(lambda content: content["gpus"][-1].pop("namespace"))


def value_as_text(exchange):
    def change(content):
        for sample in content["telemetry"]:
            sample["value"] = str(sample["value"])
    if exchange.is_telemetry():
        exchange.change(change)


def another_total(exchange):
    def change(content):
        content["total"] += 1
    if exchange.path == "/api/v1/gpus":
        exchange.change(change)


def another_gpu(exchange):
    if re.fullmatch("/api/v1/gpus/GPU-[^/]*", exchange.path) and exchange.status == 200:
        exchange.change(lambda content: content.update(hostname="elsewhere"))


def found_what_is_not_there(exchange):
    if exchange.status == 404 and exchange.path.startswith("/api/v1/gpus/"):
        exchange.status, exchange.type, exchange.body = 200, "application/json", b"{}"


def refused_without_a_problem(exchange):
    if exchange.status == 400:
        exchange.type = "text/html"


def swagger_without_its_script(exchange):
    if exchange.path.endswith("swagger-ui-bundle.js"):
        exchange.status = 404


def not_ready(exchange):
    if exchange.path == "/readyz":
        exchange.change(lambda content: content["checks"].update(queue="away"))


def more_dead_letters():
    asked = iter(range(1000))

    def answer(exchange):
        if exchange.path == "/api/v1/pipeline":
            exchange.change(lambda content: content.update(dead=next(asked)))
    return answer


def unhealthy(exchange):
    if exchange.path == "/health":
        exchange.status = 503


def no_gpus(exchange):
    if exchange.path == "/api/v1/gpus":
        exchange.body = b'{"gpus":[],"total":0}'


def without(*names):
    return lambda query: {name: value for name, value in query.items() if name not in names}


class WithPipeline(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="gpu-telemetry-")
        cls.addClassCleanup(folder.cleanup)
        cls.pipeline = Pipeline(Path(folder.name) / "store", SOURCE="simulator",
                                SIMULATOR_GPUS=8, SIMULATOR_HOSTS=2, SIMULATOR_INTERVAL="1s",
                                QUEUE_DATA_DIR=Path(folder.name) / "queue")
        cls.addClassCleanup(cls.pipeline.__exit__)

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="gpu-telemetry-")
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)

    def double_kubectl(self, **settings):
        """Settings with which the script finds a kubectl of the test."""
        tools = self.folder / "tools"
        tools.mkdir(exist_ok=True)
        (tools / "kubectl").symlink_to(Path(__file__).parent / "kubectl_double.py")
        return {"PATH": f"{tools}:{INHERITED['PATH']}", "KUBECTL_DOUBLE": self.folder, **settings}

    def assert_all_passed(self, done):
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(marked(done, "✓"), CHECKS)
        self.assertEqual(marked(done, "✗"), [])
        self.assertIn("[SUCCESS] All system tests passed! ✓", done.stdout)
        self.assertIn("[SUCCESS] GPU Telemetry Pipeline is functioning correctly!", done.stdout)

    def assert_failed(self, done, check, reason=""):
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn(check, marked(done, "✗"))
        self.assertIn(reason, done.stdout)
        self.assertIn("[ERROR] GPU Telemetry Pipeline is NOT functioning correctly", done.stdout)
        self.assertNotIn("All system tests passed", done.stdout)


class BehindAUrl(WithPipeline):
    def test_a_pipeline_that_works_passes_without_kubectl(self):
        done = system_test(**self.double_kubectl(BASE_URL=self.pipeline.url + "/"))
        self.assert_all_passed(done)
        self.assertIn("✓ Data Ingestion (found 8 GPU(s))", done.stdout)
        self.assertNotIn("\x1b", done.stdout + done.stderr)
        self.assertFalse((self.folder / "calls").exists())

    def test_what_is_broken_is_named(self):
        pairs = [
            (unhealthy, CHECKS[0]), (no_gpus, CHECKS[1]), (another_total, CHECKS[2]),
            (another_gpu, CHECKS[3]), (another_value, CHECKS[4]), (newest_last, CHECKS[5]),
            (without_the_end, CHECKS[6]), (without_a_field, CHECKS[7]),
            (value_as_text, CHECKS[7]), (refused_without_a_problem, CHECKS[8]),
            (found_what_is_not_there, CHECKS[9]), (swagger_without_its_script, CHECKS[10]),
            (not_ready, CHECKS[11]), (more_dead_letters(), CHECKS[11]),
        ]
        cases = [({"answer": answer}, check) for answer, check in pairs]
        cases += [({"ask": without("order")}, CHECKS[5]),
                  ({"ask": without("start_time", "end_time")}, CHECKS[6]),
                  ({"ask": without("start_time")}, CHECKS[6])]

        def run(case):
            with proxy(self.pipeline.url, **case[0]) as url:
                return system_test(BASE_URL=url, SYSTEM_TEST_TIMEOUT=5)

        # The pipeline has what order and ranges need before the first case is judged.
        self.assert_all_passed(system_test(BASE_URL=self.pipeline.url))
        with ThreadPoolExecutor(2) as pool:
            for (how, check), done in zip(cases, pool.map(run, cases)):
                with self.subTest(broken=str(how), check=check):
                    self.assert_failed(done, check)

    def test_a_proxy_that_breaks_nothing_passes(self):
        with proxy(self.pipeline.url) as url:
            self.assert_all_passed(system_test(BASE_URL=url))

    def test_without_data_the_checks_that_need_some_fail_and_the_others_are_made(self):
        with proxy(self.pipeline.url, no_gpus) as url:
            done = system_test(BASE_URL=url, SYSTEM_TEST_TIMEOUT=1)
        self.assert_failed(done, "Data Ingestion", "waited 1 s for the first data")
        self.assertEqual(marked(done, "✗"), CHECKS[1:8])
        self.assertEqual(marked(done, "✓"), [CHECKS[0], *CHECKS[8:]])


class WithAToken(WithPipeline):
    TOKEN = "a-token-of-a-reader"

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="gpu-telemetry-")
        cls.addClassCleanup(folder.cleanup)
        tokens = Path(folder.name) / "tokens"
        tokens.write_text(cls.TOKEN + ":read\n")
        cls.pipeline = Pipeline(Path(folder.name) / "store", SOURCE="simulator",
                                SIMULATOR_GPUS=2, SIMULATOR_HOSTS=1, SIMULATOR_INTERVAL="1s",
                                API_TOKENS_FILE=tokens)
        cls.addClassCleanup(cls.pipeline.__exit__)

    def test_the_token_is_shown_to_the_api_and_never_on_a_command_line(self):
        tools, calls = self.folder / "tools", self.folder / "curl-calls"
        tools.mkdir()
        curl = tools / "curl"
        curl.write_text(f'#!/bin/sh\necho "$@" >> {calls}\nexec {shutil.which("curl")} "$@"\n')
        curl.chmod(0o755)
        token = self.folder / "token"
        token.write_text(self.TOKEN + "\n")
        done = system_test(BASE_URL=self.pipeline.url, API_TOKEN_FILE=token,
                           PATH=f"{tools}:{INHERITED['PATH']}")
        self.assert_all_passed(done)
        self.assertIn("/api/v1/gpus", calls.read_text())
        self.assertNotIn(self.TOKEN, calls.read_text() + done.stdout + done.stderr)

    def test_without_one_it_says_how_to_give_one(self):
        done = system_test(BASE_URL=self.pipeline.url, SYSTEM_TEST_TIMEOUT=1)
        self.assert_failed(done, "Data Ingestion", "API_TOKEN_FILE must name a file with a token")

    def test_a_file_without_a_token_is_refused(self):
        for text in ("", "two words", "two\nlines\n"):
            token = self.folder / "token"
            token.write_text(text)
            done = system_test(BASE_URL=self.pipeline.url, API_TOKEN_FILE=token)
            self.assertEqual(done.returncode, 2)
            self.assertIn("must hold one token", done.stderr)


class InACluster(WithPipeline):
    def run_with(self, pods=None, logs=None, service=True, **settings):
        if service:
            (self.folder / "service").write_text(self.pipeline.url)
        (self.folder / "pods.json").write_text(json.dumps(
            {**{app: [True, True] for app in COMPONENTS}, **(pods or {})}))
        (self.folder / "logs.json").write_text(json.dumps(logs or {}))
        self.port = free_port()
        return system_test(**self.double_kubectl(API_PORT=self.port, NAMESPACE="telemetry",
                                                 **settings))

    def test_it_forwards_the_port_while_it_runs_and_reads_each_components_log(self):
        done = self.run_with()
        self.assert_all_passed(done)
        calls = (self.folder / "calls").read_text()
        self.assertIn(f"port-forward --namespace telemetry service/api-gateway {self.port}:8080",
                      calls)
        for app in COMPONENTS:
            self.assertRegex(calls, f"--namespace telemetry logs --selector app={app} ")
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", self.port))

    def test_a_port_that_answers_already_is_used(self):
        port = self.pipeline.url.rsplit(":", 1)[1]
        (self.folder / "pods.json").write_text(json.dumps({"collector": [True]}))
        (self.folder / "logs.json").write_text("{}")
        done = system_test(**self.double_kubectl(API_PORT=port, COMPONENTS="collector"))
        self.assert_all_passed(done)
        self.assertNotIn("port-forward", (self.folder / "calls").read_text())

    def test_an_error_in_a_log_fails_be_it_json_or_text(self):
        for line in ('{"time":"2026-01-01T00:00:00.000Z","level":"error","message":"full"}',
                     "2026-01-01T00:00:00.000Z ERROR full"):
            with self.subTest(line=line):
                shutil.rmtree(self.folder / "tools", ignore_errors=True)
                done = self.run_with(logs={"collector": {"now": [line]}})
                self.assert_failed(done, "Component health check", "collector has logged 1 error")
                self.assertEqual(marked(done, "✗"), ["Component health check"])

    def test_what_went_wrong_before_and_what_only_speaks_of_errors_does_not_fail(self):
        error = '{"time":"2026-01-01T00:00:00.000Z","level":"error","message":"no storage yet"}'
        talk = '{"time":"2026-01-01T00:00:00.000Z","level":"info","message":"\\"level\\":\\"error\\" ERROR"}'
        done = self.run_with(logs={"collector": {"before": [error], "now": [talk]}})
        self.assert_all_passed(done)
        self.assertIn("[WARNING] collector logged 1 error(s) in the ten minutes before", done.stdout)

    def test_pods_that_are_missing_or_not_ready_are_named(self):
        done = self.run_with(pods={"streamer": [], "queue-service": [True, False]})
        self.assert_failed(done, "Component health check",
                           "no pod has the label app=streamer in the namespace telemetry")
        self.assertIn("pod queue-service-1 is not ready", done.stdout)

    def test_without_a_service_it_does_not_run_and_says_what_kubectl_said(self):
        done = self.run_with(service=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn('services "api-gateway" not found', done.stderr)


class WrongUse(unittest.TestCase):
    def assert_refused(self, done, *words):
        self.assertEqual(done.returncode, 2, done.stdout + done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertNotIn("TEST SUMMARY", done.stdout)

    def test_where_nothing_listens_it_does_not_run(self):
        url = f"http://127.0.0.1:{free_port()}"
        self.assert_refused(system_test(BASE_URL=url, SYSTEM_TEST_TIMEOUT=1),
                            f"nothing answers at {url}")

    def test_a_setting_that_cannot_be_is_named(self):
        for name, value in (("BASE_URL", "localhost:8080"), ("API_PORT", "0"), ("API_PORT", "http"),
                            ("API_SCHEME", "ftp"),
                            ("SYSTEM_TEST_TIMEOUT", "2m"), ("NAMESPACE", "Not A Name"),
                            ("API_TOKEN_FILE", "/nowhere/token")):
            with self.subTest(name=name):
                settings = {"BASE_URL": "http://127.0.0.1:1", name: value}
                self.assert_refused(system_test(**settings), f"{name}", value)

    def test_an_argument_is_refused_and_help_is_given(self):
        self.assert_refused(system_test("--namespace=x"), "unknown argument '--namespace=x'")
        done = system_test("--help")
        self.assertEqual(done.returncode, 0)
        for name in ("NAMESPACE", "API_PORT", "BASE_URL", "API_TOKEN_FILE", "SYSTEM_TEST_TIMEOUT"):
            self.assertIn(name, done.stdout)

    def test_a_tool_that_is_missing_is_named_with_the_way_to_install_it(self):
        with tempfile.TemporaryDirectory() as folder:
            for tool in ("bash", "env", "curl", "jq"):
                os.symlink(shutil.which(tool), f"{folder}/{tool}")
            self.assert_refused(system_test(PATH=folder), "kubectl is missing. Install it: https://",
                                "BASE_URL=http://localhost:8080")
            for tool in ("jq", "curl"):
                os.unlink(f"{folder}/{tool}")
                done = system_test(PATH=folder, BASE_URL="http://127.0.0.1:1")
                self.assert_refused(done, f"{tool} is missing. Install it: apt-get install {tool}")


if __name__ == "__main__":
    unittest.main()
