"""The images, as a cluster runs them: read-only, as user 65532, without capabilities and without new
privileges. The services are containers, what they stand on are processes of this machine; then
system-test.sh judges the whole.

Needs the images (make docker-build) and docker or podman. TAG and REGISTRY as there; RUN_ARGUMENTS
are more arguments for `docker run`."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
from distributed import Distributed  # noqa: E402
import member  # noqa: E402
from member import free_port, ready  # noqa: E402

# Containers have only what they are given; docker and podman themselves may need more.
member.INHERITED.update(os.environ)

IMAGES = {"streamer": "streamer", "collector": "collector", "api-gateway": "api",
          "queue-service": "queueservice"}
LEAST_PRIVILEGE = ["--read-only", "--user", "65532", "--cap-drop", "ALL",
                   "--security-opt", "no-new-privileges"]


def find_engine():
    for engine in ("docker", "podman"):
        if shutil.which(engine) and subprocess.run([engine, "info"],
                                                   capture_output=True).returncode == 0:
            return engine
    return None


ENGINE = find_engine()


def image(target):
    registry = os.environ.get("REGISTRY", "")
    name = "gpu-telemetry" + (f"-{target}" if target else "")
    return f"{registry.rstrip('/') + '/' if registry else ''}{name}:{os.environ.get('TAG', 'latest')}"


def run(target, *arguments, settings=None, options=()):
    command = [ENGINE, "run", "--rm", "--network", "host", *LEAST_PRIVILEGE,
               *shlex.split(os.environ.get("RUN_ARGUMENTS", "")), *options]
    for name, value in (settings or {}).items():
        command += ["--env", f"{name}={value}"]
    return [*map(str, command), image(target), *map(str, arguments)]


class Containers(Distributed):
    def _service(self, name, kind, **settings):
        options = []
        if kind == "queue-service" and settings["QUEUE_ENGINE"] == "durable":
            folder = self.folder / "volume"
            folder.mkdir()
            os.chown(folder, 65532, 65532)
            options = ["--volume", f"{folder}:/var/lib/gpu-telemetry"]
            settings["QUEUE_DATA_DIR"] = "/var/lib/gpu-telemetry/queue"
        settings = {**self.common, **settings}
        return self._member(name, kind, *run(IMAGES[kind], settings=settings, options=options))


class Images(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not ENGINE:
            raise unittest.SkipTest("neither docker nor podman works here")
        for target in (*IMAGES.values(), ""):
            there = subprocess.run([ENGINE, "image", "inspect", image(target)], capture_output=True)
            if there.returncode != 0:
                raise unittest.SkipTest(f"there is no image {image(target)}: make docker-build")
        if os.geteuid() != 0 and ENGINE == "docker":
            raise unittest.SkipTest("gives a folder to user 65532, which needs root")

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="gpu-telemetry-")
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)

    def system_test(self, url):
        done = subprocess.run([ROOT / "system-test.sh"], capture_output=True, text=True,
                              env={**os.environ, "BASE_URL": url})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def check(self, engine):
        needs = subprocess.run([ROOT / "tests/servers/mongodb.sh", "install"], capture_output=True,
                               text=True)
        if needs.returncode != 0:
            self.skipTest(needs.stderr)
        streaming = {"SOURCE": "simulator", "SIMULATOR_GPUS": "16", "SIMULATOR_HOSTS": "2",
                     "SIMULATOR_INTERVAL": "1s"}
        with Containers(self.folder, engine=engine, streaming=streaming) as system:
            self.system_test(system.gateways[0])
        unwell = {member.name: member.crashes for member in system.members if member.crashes}
        self.assertEqual(unwell, {})

    def test_the_services_over_a_queue_on_disk(self):
        self.check("durable")

    def test_the_services_over_redis(self):
        self.check("redis")

    def test_everything_in_one_container(self):
        port = free_port()
        os.chown(self.folder, 65532, 65532)
        command = run("", settings={"SOURCE": "simulator", "SIMULATOR_INTERVAL": "1s",
                                    "API_PORT": port},
                      options=["--volume", f"{self.folder}:/var/lib/gpu-telemetry"])
        container = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            ready(f"http://127.0.0.1:{port}")
            self.system_test(f"http://127.0.0.1:{port}")
        finally:
            container.terminate()
            self.assertEqual(container.wait(40), 0)
        self.assertTrue((self.folder / "store").exists())

    def test_each_is_labelled_and_watched(self):
        for target in (*IMAGES.values(), ""):
            with self.subTest(image(target)):
                done = subprocess.run([ENGINE, "image", "inspect", image(target)],
                                      capture_output=True, text=True, check=True)
                about = json.loads(done.stdout)[0]
                config = about["Config"]
                self.assertEqual(config["User"], "65532:65532")
                self.assertEqual(config["Labels"]["org.opencontainers.image.licenses"], "MIT")
                self.assertTrue(config["Labels"]["org.opencontainers.image.version"])
                # docker has it in Config, podman beside it.
                watched = config.get("Healthcheck") or about.get("Healthcheck")
                self.assertIn("gpu-telemetry health", str(watched))

    def test_what_troubleshooting_uses_is_there(self):
        command = run("streamer", options=["--entrypoint", "sh"])
        done = subprocess.run([*command, "-c", "ls -la /data/ && cat /data/dcgm_metrics.csv | head -1"],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("metric_name", done.stdout)

    def test_nothing_can_be_written_but_the_volume(self):
        command = run("api", options=["--entrypoint", "sh"])
        for path in ("/x", "/var/lib/gpu-telemetry/x", "/usr/local/bin/gpu-telemetry"):
            done = subprocess.run([*command, "-c", f"echo x > {path}"], capture_output=True, text=True)
            self.assertNotEqual(done.returncode, 0, path)


if __name__ == "__main__":
    unittest.main(verbosity=2)
