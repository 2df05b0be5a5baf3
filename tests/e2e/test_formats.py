"""Files that a release before wrote are opened by this one, and a copy of a store is a backup.

    python3 test_formats.py --make    writes formats/VERSION.tar.xz with the program as it is, once
                                      for each release that changes a format
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
from member import free_port  # noqa: E402
from pipeline import PROGRAM, Pipeline, difference, run  # noqa: E402

FORMATS = Path(__file__).with_name("formats")
SIMULATED = ["simulate", "--gpus", "3", "--hosts", "1", "--duration", "10m", "--seed", "7"]
BACKFILL = {"LOOP_MODE": "false", "TIMESTAMP_MODE": "source", "STREAM_INTERVAL": "0",
            "RETENTION": "0"}
# Python from 3.11.4 on.
SAFELY = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
MESSAGES = ["first", "second", "third"]


@contextlib.contextmanager
def queue_service(folder):
    port = free_port()
    environment = {**os.environ, "QUEUE_PORT": str(port), "QUEUE_DATA_DIR": str(folder)}
    process = subprocess.Popen([PROGRAM, "queue-service"], env=environment,
                               stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 20
    try:
        while True:
            try:
                urllib.request.urlopen(url + "/readyz").close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline, "does not start"
                time.sleep(0.05)
        yield url + "/api/v1/queue"
    finally:
        process.terminate()
        process.wait(30)


def ask(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data)) as answer:
        return json.loads(answer.read())


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def fill_store(folder, csv):
    """A store with all values of the simulated fleet; what it answers."""
    csv.write_text(run(*SIMULATED).stdout)
    with Pipeline(folder, CSV_PATH=csv, **BACKFILL) as pipeline:
        pipeline.wait_until_stored()
        values = pipeline.values()
        assert pipeline.stop() == 0
    return values


def answers_of(folder, header):
    """What a store answers that nothing is written to."""
    with Pipeline(folder, CSV_PATH=header, **BACKFILL) as pipeline:
        values = pipeline.values()
        assert pipeline.stop() == 0
    return values


def make():
    version = run("version").stdout.split()[1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        values = fill_store(folder / "store", folder / "fleet.csv")
        with queue_service(folder / "queue") as url:
            for payload in MESSAGES:
                ask(url + "/publish", {"topic": "mine", "payload": payload})
        listed = sorted([*key, value] for key, value in values.items())
        (folder / "values.json").write_text(json.dumps(listed))
        with tarfile.open(FORMATS / f"{version}.tar.xz", "w:xz") as archive:
            for each in ("store", "queue", "values.json"):
                archive.add(folder / each, each)


class Formats(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="gpu-telemetry-")
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)
        self.header = self.folder / "header.csv"
        self.header.write_text(run(*SIMULATED).stdout.splitlines()[0] + "\n")

    def releases(self):
        archives = sorted(FORMATS.glob("*.tar.xz"))
        self.assertNotEqual(archives, [])
        for archive in archives:
            with self.subTest(archive.name):
                folder = self.folder / archive.name
                with tarfile.open(archive) as opened:
                    opened.extractall(folder, **SAFELY)
                yield folder

    def test_the_store_of_each_release_is_read(self):
        for folder in self.releases():
            listed = json.loads((folder / "values.json").read_text())
            expected = {tuple(key): value for *key, value in listed}
            self.assertGreater(len(expected), 1000)
            self.assertEqual(difference(answers_of(folder / "store", self.header), expected), [])

    def test_the_queue_of_each_release_is_read(self):
        for folder in self.releases():
            with queue_service(folder / "queue") as url:
                got = ask(url + "/fetch?topic=mine&consumer_group=me&max=10")["messages"]
            self.assertEqual([message["payload"] for message in got], MESSAGES)

    def test_a_copy_of_the_store_is_a_backup(self):
        expected = fill_store(self.folder / "store", self.folder / "fleet.csv")
        shutil.copytree(self.folder / "store", self.folder / "backup")
        shutil.rmtree(self.folder / "store")
        shutil.copytree(self.folder / "backup", self.folder / "restored")
        checked = run("store", "check", "--path", self.folder / "restored")
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)
        restored = answers_of(self.folder / "restored", self.header)
        self.assertEqual(difference(restored, expected), [])

    def test_a_store_of_a_later_release_is_refused_and_left_as_it_is(self):
        fill_store(self.folder / "store", self.folder / "fleet.csv")
        segment = max((self.folder / "store/journal").glob("*.log"))
        content = bytearray(segment.read_bytes())
        # The version, and the header's checksum: docs/formats/log.md.
        content[8] += 1
        content[36:40] = crc32c(content[:36]).to_bytes(4, "little")
        segment.write_bytes(content)
        done = run("all-in-one", CSV_PATH=self.header, API_PORT=0,
                   EXIT_AT_END="true", STORAGE_URI=f"embedded:{self.folder / 'store'}", **BACKFILL)
        self.assertEqual(done.returncode, 1)
        self.assertIn(segment.name, done.stderr)
        self.assertEqual(segment.read_bytes(), bytes(content))


if __name__ == "__main__":
    if "--make" in sys.argv:
        make()
    else:
        unittest.main(verbosity=2)
