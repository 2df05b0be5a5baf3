"""All-in-one, from a file to the answers of its API, as a user runs it."""

import gzip
import json
import os
import signal
import socket
import tempfile
import unittest
from pathlib import Path

from pipeline import Pipeline, ROOT, difference, file_values, run, simulate

BACKFILL = {"LOOP_MODE": "false", "TIMESTAMP_MODE": "source", "STREAM_INTERVAL": "0"}
NOBODY = "GPU-00000000-0000-0000-0000-000000000000"


class WithFolder(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="gpu-telemetry-")
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)
        self.store = self.folder / "store"

    def start(self, path, **settings):
        pipeline = Pipeline(self.store, CSV_PATH=path, **{**BACKFILL, **settings})
        self.addCleanup(pipeline.__exit__)
        return pipeline


class FromFileToAnswers(WithFolder):
    def check_every_value(self, pipeline, expected):
        self.assertEqual(difference(pipeline.values(), expected), [])
        for gpu in pipeline.gpus()[:3]:
            samples = pipeline.telemetry(gpu["uuid"])
            order = [(s["timestamp"], s["metric_name"]) for s in samples]
            by_name = sorted(order, key=lambda key: key[1])
            self.assertEqual(order, sorted(by_name, key=lambda key: key[0], reverse=True))

    def test_every_value_of_a_file_is_answered_also_after_a_rerun_and_after_sigkill(self):
        path = simulate(self.folder / "fleet.csv")
        expected = file_values(path)
        with self.start(path) as pipeline:
            pipeline.wait_until_stored()
            self.check_every_value(pipeline, expected)
            self.assertEqual(pipeline.stop(), 0)
        with self.start(path) as pipeline:
            pipeline.wait_until_stored()
            self.check_every_value(pipeline, expected)
            pipeline.kill()
        with self.start(path) as pipeline:
            self.check_every_value(pipeline, expected)
            self.assertEqual(pipeline.stop(), 0)

    def test_the_sample_file_of_the_project_is_answered(self):
        path = ROOT / "data/dcgm_metrics.csv"
        with self.start(path) as pipeline:
            pipeline.wait_until_stored()
            self.check_every_value(pipeline, file_values(path))

    @unittest.skipUnless("GPU_TELEMETRY_CAPTURE" in os.environ,
                         "GPU_TELEMETRY_CAPTURE names no capture of a real fleet")
    def test_a_real_capture_is_answered(self):
        path = Path(os.environ["GPU_TELEMETRY_CAPTURE"])
        with self.start(path) as pipeline:
            pipeline.wait_until_stored()
            self.check_every_value(pipeline, file_values(path))

    def test_it_reads_standard_input(self):
        path = simulate(self.folder / "fleet.csv", gpus=2, hosts=1, duration="20s")
        with open(path) as file:
            pipeline = Pipeline(self.store, stdin=file, CSV_PATH="-", **BACKFILL)
        with pipeline:
            pipeline.wait_until_stored()
            self.assertEqual(difference(pipeline.values(), file_values(path)), [])

    def test_it_goes_on_serving_after_the_file_has_ended_and_says_what_it_counted(self):
        path = simulate(self.folder / "fleet.csv", gpus=2, hosts=1, duration="20s")
        with self.start(path) as pipeline:
            end = pipeline.wait_for_line("streamer finished: the source has ended")
            self.assertEqual(end["rows_accepted"], len(file_values(path)))
            pipeline.wait_until_stored()
            self.assertEqual(pipeline.request("/readyz").status, 200)
            self.assertEqual(pipeline.metric("gpu_telemetry_samples_stored_total"),
                             len(file_values(path)))

    def test_exit_at_end_leaves_with_everything_stored(self):
        path = simulate(self.folder / "fleet.csv", gpus=2, hosts=1, duration="20s")
        with self.start(path, EXIT_AT_END="true") as pipeline:
            self.assertEqual(pipeline.wait(), 0)
        with self.start(path) as pipeline:
            self.assertEqual(difference(pipeline.values(), file_values(path)), [])

    def test_exit_at_end_fails_when_the_file_could_not_be_read_to_its_end(self):
        path = simulate(self.folder / "fleet.csv", gpus=2, hosts=1, duration="20s")
        cut = self.folder / "fleet.csv.gz"
        cut.write_bytes(gzip.compress(path.read_bytes())[:-100])
        with self.start(cut, EXIT_AT_END="true") as pipeline:
            self.assertEqual(pipeline.wait(), 1)
            self.assertIn("cannot be read any further", pipeline.log())

    def test_the_memory_queue_drains_before_the_process_ends(self):
        path = simulate(self.folder / "fleet.csv", duration="10m")
        with self.start(path, QUEUE_ENGINE="memory", STREAMER_BATCH_SIZE="10") as pipeline:
            pipeline.wait_for_line("streamer finished: the source has ended")
            self.assertEqual(pipeline.stop(), 0)
        with self.start(self.folder / "fleet.csv") as pipeline:
            self.assertEqual(difference(pipeline.values(), file_values(path)), [])

    def test_the_simulator_is_live(self):
        pipeline = Pipeline(self.store, SOURCE="simulator", SIMULATOR_GPUS=16, SIMULATOR_HOSTS=2,
                            SIMULATOR_INTERVAL="100ms")
        with pipeline:
            stored = 0
            while stored < 1000:
                stored = pipeline.metric("gpu_telemetry_samples_stored_total")
            self.assertEqual(len(pipeline.gpus()), 16)
            self.assertEqual(pipeline.stop(), 0)


class WhoMayAsk(WithFolder):
    def test_tokens_origins_and_a_rate_are_settings(self):
        path = simulate(self.folder / "fleet.csv", gpus=2, hosts=1, duration="20s")
        tokens = self.folder / "tokens"
        tokens.write_text("a-token-of-a-reader\nthe-token-of-an-admin:admin\n")
        with self.start(path, API_TOKENS_FILE=tokens, API_RATE_LIMIT=5,
                        CORS_ORIGINS="https://grafana.example") as pipeline:
            self.assertEqual(pipeline.request("/api/v1/gpus").status, 401)
            reader = {"Authorization": "Bearer a-token-of-a-reader",
                      "Origin": "https://grafana.example"}
            answer = pipeline.request("/api/v1/gpus", headers=reader)
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.headers["Access-Control-Allow-Origin"],
                             "https://grafana.example")
            purge = "/api/v1/pipeline/dead-letters/purge"
            self.assertEqual(pipeline.request(purge, method="POST", headers=reader).status, 403)
            statuses = {pipeline.request("/api/v1/gpus", headers=reader).status
                        for _ in range(50)}
            self.assertEqual(statuses, {200, 429})
            self.assertEqual(pipeline.request("/livez").status, 200)

    def test_a_setting_that_is_wrong_is_named_at_the_start(self):
        path = simulate(self.folder / "fleet.csv", gpus=2, hosts=1, duration="20s")
        for name, value in (("CORS_ORIGINS", "grafana.example"),
                            ("API_TOKENS_FILE", self.folder / "nowhere")):
            done = run("all-in-one", CSV_PATH=path, STORAGE_URI=f"embedded:{self.store}",
                       API_PORT="0", **{name: value})
            self.assertEqual(done.returncode, 1)
            self.assertIn(name, done.stderr)


class Answers(WithFolder):
    def setUp(self):
        super().setUp()
        path = simulate(self.folder / "fleet.csv", gpus=4, hosts=2, duration="10m")
        self.pipeline = self.start(path)
        self.pipeline.wait_until_stored()
        self.uuid = self.pipeline.gpus()[0]["uuid"]

    def problem(self, path, status):
        answer = self.pipeline.request(path)
        self.assertEqual(answer.status, status, (path, answer.body))
        self.assertEqual(answer.headers["Content-Type"], "application/problem+json")
        document = json.loads(answer.body)
        self.assertEqual(document["status"], status)
        return document["detail"]

    def test_shapes_are_those_of_the_specification(self):
        listed = self.pipeline.get("/api/v1/gpus")
        self.assertEqual(listed["total"], 4)
        wanted = {"uuid", "device_id", "gpu_index", "model_name", "hostname", "container", "pod",
                  "namespace"}
        for gpu in listed["gpus"]:
            self.assertLessEqual(wanted, gpu.keys())
            alone = self.pipeline.get("/api/v1/gpus/" + gpu["uuid"])
            self.assertGreaterEqual(alone.pop("age_seconds"), gpu.pop("age_seconds"))
            self.assertEqual(alone, gpu)
        page = self.pipeline.get(f"/api/v1/gpus/{self.uuid}/telemetry?limit=3")
        self.assertEqual(page["gpu_uuid"], self.uuid)
        self.assertEqual(page["count"], 3)
        for sample in page["telemetry"]:
            self.assertEqual(sample.keys(), {"metric_name", "value", "timestamp"})
        health = self.pipeline.get("/health")
        self.assertEqual(health["status"], "healthy")
        self.assertRegex(health["timestamp"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z$")
        self.assertEqual(self.pipeline.request("/livez").status, 200)

    def test_a_time_range_is_inclusive(self):
        samples = self.pipeline.telemetry(self.uuid)
        times = sorted({s["timestamp"] for s in samples})
        start, end = times[3], times[-3]
        expected = [s for s in samples if start <= s["timestamp"] <= end]
        found = self.pipeline.telemetry(self.uuid, f"start_time={start}&end_time={end}")
        self.assertEqual(found, expected)

    def test_pages_of_any_size_make_the_same_answer(self):
        whole = self.pipeline.telemetry(self.uuid)
        for limit in (1, 7, 100, len(whole)):
            self.assertEqual(self.pipeline.telemetry(self.uuid, f"limit={limit}"), whole)
        first = self.pipeline.request(f"/api/v1/gpus/{self.uuid}/telemetry?limit=5")
        link = first.headers["Link"]
        self.assertIn('rel="next"', link)
        second = self.pipeline.get(link[1:link.index(">")])
        self.assertEqual(second["telemetry"], whole[5:10])

    def test_a_time_may_have_an_offset_also_when_its_plus_is_not_percent_encoded(self):
        times = sorted({s["timestamp"] for s in self.pipeline.telemetry(self.uuid)})
        utc = times[3]
        ahead = utc.replace("T00", "T02").removesuffix("Z")
        path = f"/api/v1/gpus/{self.uuid}/telemetry"
        expected = self.pipeline.telemetry(self.uuid, f"start_time={utc}&end_time={utc}")
        self.assertGreater(len(expected), 1)
        for written in (ahead + "%2B02:00", ahead + "+02:00", ahead.replace("T", "%20") + "+02:00",
                        ahead.replace("T", "+") + ".000+02:00"):
            query = f"?start_time={written}&end_time={written}"
            self.assertEqual(self.pipeline.get(path + query)["telemetry"], expected)
            first = self.pipeline.request(path + query + "&limit=1")
            link = first.headers["Link"]
            rest = self.pipeline.get(link[1:link.index(">")].replace("limit=1&", ""))
            self.assertEqual(rest["telemetry"], expected[1:])

    def test_a_parameter_given_twice_is_refused(self):
        telemetry = f"/api/v1/gpus/{self.uuid}/telemetry"
        for name in ("start_time", "end_time"):
            self.assertIn(name, self.problem(
                f"{telemetry}?{name}=2025-01-01T00:00:00Z&{name}=2025-01-01T00:00:00Z", 400))
        self.assertIn("limit", self.problem(telemetry + "?limit=1&limit=2", 400))
        self.assertIn("cursor", self.problem(telemetry + "?cursor=1&cursor=2", 400))

    def test_bad_requests_are_named(self):
        telemetry = f"/api/v1/gpus/{self.uuid}/telemetry"
        self.assertIn("malformed GPU UUID", self.problem("/api/v1/gpus/invalid-uuid", 400))
        self.problem("/api/v1/gpus/invalid-uuid/telemetry", 400)
        self.assertIn("start_time", self.problem(telemetry + "?start_time=yesterday", 400))
        self.assertIn("end_time", self.problem(telemetry + "?end_time=2025-01-01", 400))
        self.assertIn("after end_time", self.problem(
            telemetry + "?start_time=2026-02-01T00:00:00Z&end_time=2026-01-01T00:00:00Z", 400))
        for limit in ("0", "100001", "-1", "1.5", "many", ""):
            self.assertIn("limit", self.problem(telemetry + "?limit=" + limit, 400))
        self.assertIn("cursor", self.problem(telemetry + "?cursor=00", 400))
        cursor = self.pipeline.get(telemetry + "?limit=1")["next_cursor"]
        other = self.pipeline.gpus()[1]["uuid"]
        self.assertIn("another query",
                      self.problem(f"/api/v1/gpus/{other}/telemetry?cursor={cursor}", 400))
        self.problem("/api/v1/gpus/" + NOBODY, 404)
        self.problem(f"/api/v1/gpus/{NOBODY}/telemetry", 404)
        self.problem("/api/v2/gpus", 404)

    def test_a_wrong_method_is_answered_with_those_allowed(self):
        answer = self.pipeline.request("/api/v1/gpus", method="DELETE")
        self.assertEqual(answer.status, 405)
        self.assertIn("GET", answer.headers["Allow"])

    def test_metrics_are_in_the_prometheus_text_format(self):
        answer = self.pipeline.request("/metrics")
        self.assertIn("version=0.0.4", answer.headers["Content-Type"])
        for name in ("gpu_telemetry_source_rows_total", "gpu_telemetry_readings_rejected_total",
                     "gpu_telemetry_samples_published_total", "gpu_telemetry_samples_stored_total",
                     "gpu_telemetry_queue_ready_messages",
                     "gpu_telemetry_queue_in_flight_messages", "gpu_telemetry_queue_dead_messages",
                     "gpu_telemetry_queue_oldest_age_seconds",
                     "gpu_telemetry_write_duration_seconds_count",
                     "gpu_telemetry_http_request_duration_seconds_count",
                     "gpu_telemetry_build_info", "process_resident_memory_bytes"):
            self.pipeline.metric(name)


class StartingAndStopping(WithFolder):
    def fails(self, status, *words, arguments=(), **settings):
        done = run("all-in-one", *arguments, LOG_FORMAT="json",
                   **{"STORAGE_URI": f"embedded:{self.store}", "API_PORT": "0", **settings})
        self.assertEqual(done.returncode, status, done.stderr)
        complaint = done.stderr.strip().splitlines()[-1]
        self.assertTrue(complaint.startswith("gpu-telemetry: "), done.stderr)
        for word in words:
            self.assertIn(word, complaint)

    def test_what_is_wrong_at_the_start_is_one_clear_line(self):
        path = simulate(self.folder / "fleet.csv", gpus=1, hosts=1, duration="10s")
        self.fails(1, "/no/such/file.csv", CSV_PATH="/no/such/file.csv")
        if not os.path.exists("/data/dcgm_metrics.csv"):  # the default, which nobody has by hand
            self.fails(1, "/data/dcgm_metrics.csv", "CSV_PATH", "SOURCE=simulator")
        self.fails(1, "STREAM_INTERVAL='soon'", "100ms", CSV_PATH=path, STREAM_INTERVAL="soon")
        self.fails(2, "--no-such-flag", arguments=["--no-such-flag"])
        self.fails(2, "--api-port='http'", "0..65535", arguments=["--api-port", "http"])
        blocker = self.folder / "file"
        blocker.write_text("not a folder")
        self.fails(1, str(blocker), CSV_PATH=path, STORAGE_URI=f"embedded:{blocker}/store")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            self.fails(1, str(port), "in use", CSV_PATH=path, API_PORT=port)

    def test_a_required_column_that_is_missing_is_named(self):
        path = self.folder / "bad.csv"
        path.write_text("timestamp,metric_name,value\n2026-01-01T00:00:00Z,m,1\n")
        self.fails(1, "uuid", str(path), CSV_PATH=path)

    def test_a_second_process_on_one_store_is_refused(self):
        path = simulate(self.folder / "fleet.csv", gpus=1, hosts=1, duration="10s")
        with self.start(path):
            self.fails(1, str(self.store), CSV_PATH=path)

    def test_signals_drain_and_exit_with_status_0(self):
        path = simulate(self.folder / "fleet.csv")
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.start(path, LOOP_MODE="true", STREAM_INTERVAL="1ms") as pipeline:
                pipeline.signal(number)
                self.assertEqual(pipeline.wait(), 0, pipeline.log())
                self.assertTrue(pipeline.wait_for_line("stopped")["drained"])

    def test_the_overview_and_every_help_page_go_to_standard_output(self):
        for words in (["--help"], ["all-in-one", "--help"], ["simulate", "--help"],
                      ["store", "check", "--help"], ["health", "--help"]):
            done = run(*words)
            self.assertEqual(done.returncode, 0)
            self.assertIn("usage: gpu-telemetry", done.stdout)
        self.assertEqual(run().returncode, 2)
        self.assertEqual(run("no-such-command").returncode, 2)
        half = run("store")
        self.assertEqual(half.returncode, 2)
        self.assertIn("'store check'", half.stderr)

    def test_health_says_whether_a_service_is_ready(self):
        path = simulate(self.folder / "fleet.csv", gpus=1, hosts=1, duration="10s")
        with self.start(path) as pipeline:
            done = run("health", "--url", pipeline.url + "/readyz")
            self.assertEqual(done.returncode, 0, done.stderr)
            url = pipeline.url
            pipeline.stop()
        self.assertEqual(run("health", "--url", url + "/readyz").returncode, 1)

    def test_store_check_reads_a_whole_store_and_names_damage(self):
        path = simulate(self.folder / "fleet.csv")
        with self.start(path) as pipeline:
            pipeline.wait_until_stored()
            busy = run("store", "check", "--path", self.store)
            self.assertEqual(busy.returncode, 1)
            pipeline.stop()
        whole = run("store", "check", "--path", self.store)
        self.assertEqual(whole.returncode, 0, whole.stdout + whole.stderr)
        self.assertIn("no damage", whole.stdout)
        segment = sorted((self.store / "journal").iterdir(), key=lambda f: f.stat().st_size)[-1]
        with open(segment, "r+b") as file:
            content = file.read(65536)
            middle = len(content.rstrip(b"\0")) // 2
            file.seek(middle)
            file.write(bytes([content[middle] ^ 0xFF]))
        damaged = run("store", "check", "--path", self.store)
        self.assertEqual(damaged.returncode, 1, damaged.stdout)
        self.assertIn(segment.name, damaged.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
