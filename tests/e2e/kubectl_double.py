#!/usr/bin/env python3
"""What system-test.sh asks of kubectl, answered from a folder. KUBECTL_DOUBLE names the folder:

    calls         a line is added for each call
    service       URL of what service/api-gateway leads to; port-forward forwards to it
    pods.json     {app: [whether each pod is ready]}
    logs.json     {app: {"now": [lines since the test began], "before": [earlier lines]}}
"""

import json
import os
import socket
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

FOLDER = Path(os.environ["KUBECTL_DOUBLE"])


def option(name):
    """The value of --name=value or of --name value."""
    for at, argument in enumerate(sys.argv):
        if argument == name:
            return sys.argv[at + 1]
        if argument.startswith(name + "="):
            return argument.split("=", 1)[1]
    raise SystemExit(f"kubectl double: {name} is missing in {sys.argv[1:]}")


def app():
    return option("--selector").removeprefix("app=")


def copy(source, target):
    while data := source.recv(65536):
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)


def port_forward():
    service = FOLDER / "service"
    if not service.exists():
        raise SystemExit('Error from server (NotFound): services "api-gateway" not found')
    target = urlsplit(service.read_text().strip())
    port = int(sys.argv[-1].split(":")[0])
    with socket.create_server(("127.0.0.1", port)) as server:
        while True:
            near, _ = server.accept()
            far = socket.create_connection((target.hostname, target.port))
            for pair in ((near, far), (far, near)):
                threading.Thread(target=copy, args=pair, daemon=True).start()


def get_pods():
    ready = json.loads((FOLDER / "pods.json").read_text()).get(app(), [])
    return json.dumps({"items": [
        {"metadata": {"name": f"{app()}-{number}"},
         "status": {"phase": "Running",
                    "conditions": [{"type": "Ready", "status": "True" if is_ready else "False"}]}}
        for number, is_ready in enumerate(ready)]})


def logs():
    lines = json.loads((FOLDER / "logs.json").read_text()).get(app(), {})
    wanted = list(lines.get("now", []))
    if not any(argument.startswith("--since-time") for argument in sys.argv):
        wanted = lines.get("before", []) + wanted
    return "\n".join(f"[pod/{app()}-0/{app()}] {line}" for line in wanted)


def main():
    with open(FOLDER / "calls", "a") as calls:
        print(*sys.argv[1:], file=calls)
    if "port-forward" in sys.argv:
        port_forward()
    print(get_pods() if "get" in sys.argv else logs())


if __name__ == "__main__":
    main()
