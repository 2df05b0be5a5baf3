#!/usr/bin/env python3
"""The API beside Prometheus and nginx, in one run, on the same data and the same questions.

  one GPU    one hour, ten metrics at 10 s (3,600 points), 32 connections: the series shape, the
             spec's shape, Prometheus's matrix of raw samples; nginx sending the bytes of each of
             our two answers from memory
  fleet      an average over 247 GPUs by host, one hour by the minute, 32 connections
  list       all GPUs: 247 of them, and 10,000
  stream     1,000 readers of the live tail: how late samples reach them

Rounds run in turn; prints each, then medians and ratios. Needs a release build, wrk, nginx and
prometheus (scripts/install-dependencies.sh --bench); without one of the latter two it is not
measured, and named.
"""

import datetime
import json
import os
import re
import selectors
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/e2e"))
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "scripts")]
from measure import Figures, argument_parser, version_of  # noqa: E402
from member import free_port  # noqa: E402
from pipeline import Pipeline, run  # noqa: E402

METRICS = ["DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_GPU_TEMP", "DCGM_FI_DEV_POWER_USAGE",
           "DCGM_FI_DEV_SM_CLOCK", "DCGM_FI_DEV_MEM_CLOCK", "DCGM_FI_DEV_FB_USED",
           "DCGM_FI_DEV_FB_FREE", "DCGM_FI_DEV_MEM_COPY_UTIL", "DCGM_FI_DEV_ENC_UTIL",
           "DCGM_FI_DEV_DEC_UTIL"]


def wait_for(url, timeout=60):
    deadline = time.monotonic() + timeout
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.read()
        except OSError:
            if time.monotonic() > deadline:
                raise SystemExit(f"api_bench: {url} does not answer") from None
            time.sleep(0.1)


def seconds(text):
    match = re.fullmatch(r"([\d.]+)(us|ms|s|m|h)", text)
    if not match:
        raise SystemExit(f"api_bench: wrk said a time of '{text}'")
    return float(match[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}[match[2]]


def load(base, paths, folder, duration, connections=32):
    """Requests a second, p50 and p99 in seconds; an error when any answer was none."""
    listed = folder / "paths"
    listed.write_text("\n".join(paths) + "\n")
    said = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{duration}s", "--latency",
                           "-s", ROOT / "bench/paths.lua", base], check=True, capture_output=True,
                          text=True, env={**os.environ, "PATHS": str(listed)}).stdout
    assert "Non-2xx" not in said and "Socket errors" not in said, said
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])
    # Lines of their own: a standard deviation may be 73.50 % of something.
    p50, p99 = (re.search(rf"^\s+{part}%\s+(\S+)", said, re.MULTILINE)[1] for part in (50, 99))
    return rate, seconds(p50), seconds(p99)


def prometheus(folder, csv_path):
    """Prometheus with the same samples in blocks of its own."""
    text = folder / "samples.om"
    by_metric = {}
    with open(csv_path) as file:
        names = file.readline().rstrip("\n").split(",")
        at = {name: names.index(name) for name in ("timestamp", "metric_name", "uuid", "value")}
        host = next(i for i, name in enumerate(names) if name.lower() == "hostname")
        for line in file:
            cells = [cell.strip('"') for cell in line.split(",")[:at["value"] + 1]]
            metric = cells[at["metric_name"]]
            if metric not in METRICS:
                continue
            when = datetime.datetime.fromisoformat(cells[at["timestamp"]].replace("Z", "+00:00"))
            by_metric.setdefault(metric, []).append(
                f'{metric}{{uuid="{cells[at["uuid"]]}",hostname="{cells[host]}"}} '
                f'{cells[at["value"]]} {when.timestamp():.3f}\n')
    with open(text, "w") as out:
        for metric, lines in by_metric.items():
            out.write(f"# TYPE {metric} gauge\n")
            out.writelines(lines)
        out.write("# EOF\n")
    data = folder / "prometheus"
    subprocess.run(["promtool", "tsdb", "create-blocks-from", "openmetrics", text, data], check=True,
                   capture_output=True)
    config = folder / "prometheus.yml"
    config.write_text("global:\n  scrape_interval: 1h\n")
    port = free_port()
    process = subprocess.Popen(["prometheus", f"--config.file={config}", f"--storage.tsdb.path={data}",
                                f"--web.listen-address=127.0.0.1:{port}", "--log.level=error",
                                "--query.lookback-delta=30s"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(f"http://127.0.0.1:{port}/-/ready")
    return process, f"http://127.0.0.1:{port}"


def nginx(folder, files):
    root = folder / "www"
    root.mkdir()
    folder.chmod(0o755)  # started by root, its workers are somebody else
    for name, body in files.items():
        (root / name).write_bytes(body)
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(f"""worker_processes 2; pid {folder}/nginx.pid; error_log /dev/null;
daemon off; events {{ worker_connections 1024; }}
http {{ access_log off; sendfile on; tcp_nopush on; open_file_cache max=10; default_type application/json;
client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
server {{ listen 127.0.0.1:{port}; root {root}; keepalive_requests 1000000; }} }}
""")
    process = subprocess.Popen(["nginx", "-c", config], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    wait_for(f"http://127.0.0.1:{port}/{next(iter(files))}")
    return process, f"http://127.0.0.1:{port}"


def questions(start, end, uuids):
    when = urllib.parse.urlencode({"start_time": start, "end_time": end})
    metrics = "&".join(f"metric_name={name}" for name in METRICS)
    one = [f"/api/v1/gpus/{uuid}/telemetry?{when}&limit=100000&{metrics}" for uuid in uuids]
    stop = datetime.datetime.fromisoformat(end.replace("Z", "+00:00")).timestamp()
    raw = [f'{{uuid="{uuid}",__name__=~"{"|".join(METRICS)}"}}[1h]' for uuid in uuids]
    average = f"avg by (hostname) (avg_over_time({METRICS[0]}[60s]))"
    return {
        "one GPU, series shape": ("ours", [path + "&shape=series" for path in one]),
        "one GPU, the spec's shape": ("ours", one),
        "one GPU, Prometheus": ("prometheus", [
            "/api/v1/query?" + urllib.parse.urlencode({"query": query, "time": stop}) for query in raw]),
        "fleet average by host": ("ours", [
            f"/api/v1/fleet/telemetry?metric_name={METRICS[0]}&step=60s&agg=avg&by=hostname&{when}"]),
        "fleet average, Prometheus": ("prometheus", ["/api/v1/query_range?" + urllib.parse.urlencode(
            {"query": average, "start": stop - 3600, "end": stop, "step": "60"})]),
        "247 GPUs": ("ours", ["/api/v1/gpus"]),
    }


def stream(url, readers, lasts):
    """How late samples reach readers of the live tail, in seconds."""
    port = int(url.rsplit(":", 1)[1])
    selector = selectors.DefaultSelector()
    for _ in range(readers):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.sendall(b"GET /api/v1/stream?metric_name=DCGM_FI_DEV_GPU_UTIL HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_READ)
    late, heard, began = [], set(), time.time()
    while time.time() - began < lasts:
        for key, _ in selector.select(timeout=0.5):
            for stamp in re.findall(rb"\nid: (\d+)", key.fileobj.recv(1 << 20)):
                when = int(stamp) / 1000
                if when > began + 3:  # what is new, once all are connected
                    late.append(time.time() - when)
                    heard.add(key.fd)
    for key in list(selector.get_map().values()):
        key.fileobj.close()
    return late, len(heard)


def start_peers(figures, folder, csv, bodies, processes):
    """The addresses of the peers that there are."""
    bases = {}
    if figures.have("Prometheus", "prometheus", "promtool"):
        process, bases["prometheus"] = prometheus(folder, csv)
        processes.append(process)
        figures.peers["Prometheus"] = version_of("prometheus", "--version")
    if figures.have("nginx", "nginx"):
        process, bases["nginx"] = nginx(folder, bodies)
        processes.append(process)
        figures.peers["nginx"] = version_of("nginx", "-v")
    return bases


def note(figures, name, rate, p50, p99):
    figures.note(name, rate, "requests/s")
    figures.note(f"{name}: p50", p50, "s")
    figures.note(f"{name}: p99", p99, "s")


def beside_peers(figures, folder, duration):
    """The questions to 247 GPUs with two hours of history, and to the peers."""
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    # Prometheus keeps what is older than its newest two hours in blocks.
    begin = now - datetime.timedelta(hours=5)
    text = "%Y-%m-%dT%H:%M:%SZ"
    start, end = ((begin + datetime.timedelta(hours=h)).strftime(text) for h in (0.5, 1.5))
    csv = folder / "fleet.csv"
    made = run("simulate", "--gpus", 247, "--hosts", 31, "--duration", "2h", "--start",
               begin.strftime(text), "--events", "false", "--out", csv)
    assert made.returncode == 0, made.stderr
    processes = []
    with Pipeline(folder / "store", CSV_PATH=csv, LOOP_MODE="false", TIMESTAMP_MODE="source",
                  STREAM_INTERVAL="0", STREAMER_BATCH_SIZE=1000, LOG_LEVEL="info") as ours:
        try:
            ours.wait_until_stored()
            asked = questions(start, end, [gpu["uuid"] for gpu in ours.gpus()])
            bodies = {"series": wait_for(ours.url + asked["one GPU, series shape"][1][0]),
                      "spec": wait_for(ours.url + asked["one GPU, the spec's shape"][1][0])}
            bases = {"ours": ours.url, **start_peers(figures, folder, csv, bodies, processes)}
            points = sum(len(each["values"]) for each in json.loads(bodies["series"])["series"])
            print(f"points of one GPU: ours {points}")
            if "prometheus" in bases:
                theirs = json.loads(wait_for(bases["prometheus"] + asked["one GPU, Prometheus"][1][0]))
                print("points of one GPU: Prometheus "
                      f"{sum(len(s['values']) for s in theirs['data']['result'])}")
            print(f"answer in bytes: series {len(bodies['series']):,}, spec {len(bodies['spec']):,}")
            asked["nginx, bytes of the series shape"] = ("nginx", ["/series"])
            asked["nginx, bytes of the spec's shape"] = ("nginx", ["/spec"])
            for number in range(figures.runs):
                for name, (who, paths) in asked.items():
                    if who not in bases:
                        continue
                    rate, p50, p99 = load(bases[who], paths, folder, duration)
                    note(figures, name, rate, p50, p99)
                    print(f"round {number + 1}  {name:34} {rate:10.0f} /s  p50 {p50 * 1e3:8.2f} ms  "
                          f"p99 {p99 * 1e3:8.2f} ms", flush=True)
            ours.stop()
        finally:
            for process in processes:
                process.terminate()
                process.wait()


def large_list(figures, folder, duration):
    with Pipeline(folder / "large", SOURCE="simulator", SIMULATOR_GPUS=10_000,
                  SIMULATOR_HOSTS=1250) as large:
        while len(large.get("/api/v1/gpus?limit=1")["gpus"]) == 0 or \
                large.get("/api/v1/gpus?limit=1")["total"] < 10_000:
            time.sleep(0.2)  # the pace of asking
        for _ in range(figures.runs):
            note(figures, "10,000 GPUs", *load(large.url, ["/api/v1/gpus"], folder, duration, 4))
        large.stop()


def live_tail(figures, folder, lasts):
    with Pipeline(folder / "live", SOURCE="simulator", SIMULATOR_GPUS=8, SIMULATOR_HOSTS=1,
                  SIMULATOR_INTERVAL="1s") as live:
        late, heard = stream(live.url, 1000, lasts)
        live.stop()
    late.sort()
    if late:
        figures.note("live tail: readers that heard", heard, "readers")
        figures.note("live tail: p50", late[len(late) // 2], "s")
        figures.note("live tail: p99", late[int(len(late) * 0.99)], "s")
        print(f"\nlive tail, {heard} of 1,000 readers heard {len(late):,} samples")


def print_medians(figures):
    print("\nmedians")
    for name in [name for name in figures.values if f"{name}: p50" in figures.values]:
        print(f"  {name:34} {figures.median(name):10.0f} /s  p50 "
              f"{figures.median(f'{name}: p50') * 1e3:8.2f} ms  p99 "
              f"{figures.median(f'{name}: p99') * 1e3:8.2f} ms")
    for ours, theirs in (("one GPU, series shape", "one GPU, Prometheus"),
                         ("one GPU, the spec's shape", "one GPU, Prometheus"),
                         ("fleet average by host", "fleet average, Prometheus"),
                         ("one GPU, series shape", "nginx, bytes of the series shape")):
        ratio = figures.ratio(ours, theirs)
        if ratio is not None:
            print(f"  {ours} : {theirs:34} {ratio:.2f}")
    if figures.median("live tail: p50") is not None:
        print(f"  live tail: late by {figures.median('live tail: p50'):.2f} s (median), "
              f"{figures.median('live tail: p99'):.2f} s (p99)")


def main():
    parser = argument_parser(__doc__, runs=3)
    parser.add_argument("--seconds", type=int, default=3, help="of each measurement")
    arguments = parser.parse_args()
    figures = Figures("api", arguments.runs)
    with tempfile.TemporaryDirectory(prefix="gpu-telemetry-bench-") as name:
        folder = Path(name)
        if figures.have("the API", "wrk"):
            beside_peers(figures, folder, arguments.seconds)
            large_list(figures, folder, arguments.seconds)
        live_tail(figures, folder, max(8, 5 * arguments.seconds))
    print_medians(figures)
    figures.write(arguments.json)


if __name__ == "__main__":
    main()
