"""What the tests need that attack a service: one to attack, and ways to send it what no client of a
library would."""

import contextlib
import http.client
import json
import re
import resource
import socket
import subprocess
import tempfile
import unittest
import urllib.parse
from pathlib import Path

from pipeline import Pipeline, PROGRAM, wait_for

LIVE = {"SOURCE": "simulator", "SIMULATOR_GPUS": 16, "SIMULATOR_INTERVAL": "200ms"}
QUEUE = "/api/v1/queue/"
HARD_LIMIT = resource.getrlimit(resource.RLIMIT_NOFILE)[1]


class Hostile(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="gpu-telemetry-")
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)

    def start(self, **settings):
        service = Pipeline(self.folder / "store", **{**LIVE, **settings})
        self.addCleanup(service.__exit__)
        return service

    def start_queue(self, **settings):
        service = Pipeline(self.folder / "none", command="queue-service",
                           **{"QUEUE_PORT": 0, "QUEUE_DATA_DIR": self.folder / "queue", **settings})
        self.addCleanup(service.__exit__)
        return service

    def check_well(self, service, **headers):
        """It answers, and what its source says goes on arriving."""
        self.assertIsNone(service.process.poll(), service.log()[-3000:])
        self.assertEqual(service.request("/api/v1/gpus", headers=headers).status, 200)
        stored = service.metric("gpu_telemetry_samples_stored_total")
        wait_for("more samples",
                 lambda: service.metric("gpu_telemetry_samples_stored_total") > stored)


def port_of(service):
    return urllib.parse.urlsplit(service.url).port


def connect(service, receive_buffer=None, timeout=20):
    connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(timeout)
    connection.connect(("127.0.0.1", port_of(service)))
    return connection


def receive_all(connection):
    """What comes until the other side closes; times out when it does not."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(1 << 16):
            received += part
    return received


def exchange(service, request):
    """Sends bytes, which the server may stop reading, and receives until it closes."""
    with connect(service) as connection:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(request)
        return receive_all(connection)


def statuses(received):
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) [A-Z]", received)]


def ask(service, path, body=None, method=None, **headers):
    """Status, headers and body of one request; anything but an answer raises."""
    connection = http.client.HTTPConnection("127.0.0.1", port_of(service), timeout=20)
    with contextlib.closing(connection):
        connection.request(method or ("GET" if body is None else "POST"), path, body, headers)
        answer = connection.getresponse()
        if answer.headers["Content-Type"] == "text/event-stream":
            return answer.status, answer.headers, b""  # has no end
        return answer.status, answer.headers, answer.read()


def memory(service):
    """Resident bytes."""
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) << 10


def cpu_seconds(service):
    fields = Path(f"/proc/{service.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def document(service):
    printed = subprocess.run([PROGRAM, "openapi", "--service", service], capture_output=True,
                             check=True, timeout=30).stdout
    return json.loads(printed)


def make_certificate(folder):
    """Files of a certificate for 127.0.0.1 that signs itself, and of its key. RSA, with which old
    key exchanges and ciphers would work."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key
