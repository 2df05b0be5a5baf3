"""Processes that are killed, frozen and started again, as a cluster's scheduler would."""

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

# Everything that this process's environment says about the program would leak into the others.
INHERITED = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "JAVA_HOME")
             if name in os.environ}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Member:
    """One process that is started again whenever it ends with a failure, until it is retired.

    Its output goes to FOLDER/NAME.log. Thread-safe.
    """

    def __init__(self, folder, name, kind, arguments, settings=None, pause=0.2, tell=None):
        self.name = name
        self.kind = kind
        self.kills = self.freezes = self.starts = 0
        self.crashes = []  # exit statuses that were not ours
        self.finished = False  # ended by itself with 0
        self._arguments = [str(argument) for argument in arguments]
        self._environment = {**INHERITED, **{k: str(v) for k, v in (settings or {}).items()}}
        self.log_path = Path(folder) / f"{name}.log"
        self._log = open(self.log_path, "ab")
        self._pause = pause
        self._tell = tell  # called with a sentence when it is started again
        self._lock = threading.RLock()
        self._expected = False  # the next end of it is our doing
        self._retired = False
        self._process = None
        self._start()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _start(self):
        self._process = subprocess.Popen(self._arguments, env=self._environment, stdout=self._log,
                                         stderr=self._log, stdin=subprocess.DEVNULL,
                                         start_new_session=True)  # Ctrl-C is ours alone
        self.starts += 1

    def _watch(self):
        while True:
            status = self._process.wait()
            with self._lock:
                expected, self._expected = self._expected, False
                if self._retired:
                    # A Java server says 128 and the signal.
                    if status not in (0, -signal.SIGKILL, -signal.SIGTERM, 128 + signal.SIGTERM):
                        self.crashes.append(status)
                    return
                if status == 0:
                    self.finished = True
                    return
                if not expected:
                    self.crashes.append(status)
            time.sleep(self._pause)
            with self._lock:
                if self._retired:
                    return
                self._start()
            if self._tell:
                how = f"signal {-status}" if status < 0 else f"status {status}"
                self._tell(f"{self.name} ended ({how}) and is started again as {self.pid}")

    def kill(self):
        with self._lock:
            if self.finished or self._process.poll() is not None:
                return False
            self._expected = True
            self.kills += 1
            self._process.kill()
            return True

    def freeze(self):
        with self._lock:
            if self.finished or self._process.poll() is not None:
                return False
            self.freezes += 1
            self._process.send_signal(signal.SIGSTOP)
            # A busy machine lets its threads run on for a moment.
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            return True

    def thaw(self):
        with self._lock:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGCONT)

    def retire(self, grace=30):
        """SIGTERM and the exit status; SIGKILL after the grace."""
        with self._lock:
            self._retired = True
            process = self._process
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        try:
            status = process.wait(grace)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            self.crashes.append("did not end on SIGTERM")
            status = None
        self._thread.join(5)
        self._log.close()
        return status

    def log(self):
        return self.log_path.read_text(errors="replace")

    def wait_until_finished(self, timeout=120):
        """Until it has ended by itself, with 0."""
        deadline = time.monotonic() + timeout
        while not self.finished:
            assert not self.crashes, (self.name, self.crashes, self.log()[-3000:])
            assert time.monotonic() < deadline, f"{self.name} did not end:\n{self.log()[-3000:]}"
            time.sleep(0.02)

    @property
    def pid(self):
        return self._process.pid


def ready(url, timeout=60, authorities=None):
    """Waits until /readyz of a service answers 200."""
    context = ssl.create_default_context(cafile=authorities) if authorities else None
    deadline = time.monotonic() + timeout
    while True:
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(url + "/readyz", timeout=2, context=context) as answer:
                if answer.status == 200:
                    return
        if time.monotonic() > deadline:
            raise SystemExit(f"{url}/readyz did not become 200 within {timeout} s")
        time.sleep(0.05)
