"""The OpenAPI documents, from outside: a public validator reads them, real answers fit them, and
schemathesis finds no question that is answered otherwise than they say."""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import python_tools

try:
    python_tools.run_again_inside()
except unittest.SkipTest as reason:
    print(f"skipped: {reason}", file=sys.stderr)
    sys.exit(77)

import jsonschema  # noqa: E402
import openapi_spec_validator  # noqa: E402
from pipeline import Pipeline, PROGRAM, simulate  # noqa: E402

BACKFILL = {"LOOP_MODE": "false", "TIMESTAMP_MODE": "source", "STREAM_INTERVAL": "0"}
SECONDS = int(os.environ.get("SCHEMATHESIS_SECONDS", "25"))


def document(service):
    printed = subprocess.run([PROGRAM, "openapi", "--service", service], capture_output=True,
                             text=True, check=True, timeout=30).stdout
    return json.loads(printed)


class Documents(unittest.TestCase):
    def test_a_public_validator_accepts_them(self):
        for service in ("api-gateway", "queue-service"):
            with self.subTest(service=service):
                openapi_spec_validator.validate(document(service))

    def test_every_operation_has_words_an_id_of_its_own_and_answers(self):
        for service in ("api-gateway", "queue-service"):
            seen = set()
            for path, operations in document(service)["paths"].items():
                for method, operation in operations.items():
                    with self.subTest(path=path, method=method):
                        self.assertTrue(operation["summary"])
                        self.assertNotIn(operation["operationId"], seen)
                        seen.add(operation["operationId"])
                        self.assertIn("200", operation["responses"])
                        for parameter in operation.get("parameters", []):
                            self.assertTrue(parameter["description"])

    def test_examples_fit_their_schemas(self):
        for service in ("api-gateway", "queue-service"):
            whole = document(service)
            for name, schema in whole["components"]["schemas"].items():
                for example in schema.get("examples", []):
                    with self.subTest(service=service, schema=name):
                        check(example, schema, whole)


def check(value, schema, whole):
    """Raises when the value does not fit; references are those of the whole document."""
    jsonschema.Draft202012Validator({**schema, "components": whole["components"]}).validate(value)


# What a schema allows may still be refused with 400 for what no schema can say: a range whose start
# lies after its end, a cursor of another question, a step with too many buckets.
SETTINGS = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "401", "403", "404", "409", "429"]
"""


def schemathesis(url, settings, folder, *arguments):
    """Its exit status, the one that is right, and what it said."""
    config = Path(folder) / "schemathesis.toml"
    config.write_text(settings)
    done = subprocess.run(
        [python_tools.program("schemathesis"), "--config-file", config, "run",
         url + "/openapi.json", "--checks", "all", "--seed", "1", "--max-time", str(SECONDS),
         "--no-color", *arguments],
        capture_output=True, text=True, timeout=10 * SECONDS + 60, cwd=folder)
    print(done.stdout[done.stdout.rfind("SUMMARY"):], file=sys.stderr)
    return done.returncode, 0, done.stdout[-20000:] + done.stderr[-2000:]


class Running(unittest.TestCase):
    """A gateway with a simulated fleet that has a past and a present."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="gpu-telemetry-")
        path = simulate(Path(cls.folder.name) / "fleet.csv", gpus=4, hosts=2, duration="10m")
        cls.pipeline = Pipeline(Path(cls.folder.name) / "store", CSV_PATH=path, **BACKFILL)
        cls.pipeline.wait_until_stored()
        cls.uuid = cls.pipeline.gpus()[0]["uuid"]

    @classmethod
    def tearDownClass(cls):
        cls.pipeline.stop()
        cls.folder.cleanup()


class Pipelines(Running):
    def test_the_pipeline_of_one_process_is_shown(self):
        shown = self.pipeline.get("/api/v1/pipeline")
        self.assertTrue(shown["queue"]["reachable"])
        self.assertEqual(shown["depth"], 0)
        self.assertEqual(shown["queue"]["topics"][0]["topic"], "telemetry")
        self.assertEqual(self.pipeline.get("/api/v1/pipeline/dead-letters")["count"], 0)


class Answers(Running):
    def test_real_answers_fit_the_served_document(self):
        whole = self.pipeline.get("/openapi.json")
        gpu = f"/api/v1/gpus/{self.uuid}"
        for target in ("/api/v1/gpus", "/api/v1/gpus?limit=1", gpu, gpu + "/telemetry?limit=5",
                       gpu + "/telemetry?shape=series&step=60s", gpu + "/latest",
                       gpu + "/metrics", gpu + "/attribution", "/api/v1/metrics",
                       "/api/v1/fleet/latest?metric_name=DCGM_FI_DEV_GPU_TEMP",
                       "/api/v1/fleet/summary", "/api/v1/pipeline", "/health", "/livez", "/readyz",
                       "/api/v1/fleet/telemetry?metric_name=DCGM_FI_DEV_GPU_UTIL&step=60s&by=pod"
                       "&start_time=2025-07-18T00:00:00Z&end_time=2025-07-19T00:00:00Z"):
            with self.subTest(target=target):
                path = target.partition("?")[0].replace(self.uuid, "{uuid}")
                operation = whole["paths"][path]["get"]
                schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
                check(self.pipeline.get(target), schema, whole)
        for target in (gpu + "/telemetry?nonsense=1", "/api/v1/gpus/nonsense", "/nowhere"):
            with self.subTest(target=target):
                problem = json.loads(self.pipeline.request(target).body)
                check(problem, whole["components"]["schemas"]["Problem"], whole)

    def test_schemathesis_finds_nothing(self):
        # A GPU that is there, so that questions about one are answered; malformed ones are tried by
        # the others. A stream without an end cannot be waited for.
        settings = SETTINGS + f'[parameters]\n"path.uuid" = "{self.uuid}"\n'
        self.assertEqual(*schemathesis(self.pipeline.url, settings, self.folder.name,
                                       "--exclude-path", "/api/v1/stream"))


if __name__ == "__main__":
    unittest.main()
