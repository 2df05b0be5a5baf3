"""Files as the world makes them, through the real program: what is stored, what is refused and why,
and that /metrics counts exactly what was put in."""

import csv
import gzip
import io
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

from pipeline import Pipeline, difference, run

BACKFILL = {"LOOP_MODE": "false", "TIMESTAMP_MODE": "source", "STREAM_INTERVAL": "0"}

COLUMNS = ["timestamp", "metric_name", "gpu_id", "device", "uuid", "modelName", "Hostname",
           "container", "pod", "namespace", "value", "labels_raw"]
A = "GPU-aaaaaaaa-0000-4000-8000-000000000001"
B = "GPU-bbbbbbbb-0000-4000-8000-000000000002"
NOON = "2025-06-01T12:00:00Z"
UTIL = "DCGM_FI_DEV_GPU_UTIL"
TEMP = "DCGM_FI_DEV_GPU_TEMP"
POWER = "DCGM_FI_DEV_POWER_USAGE"


def row(metric=UTIL, value="50", uuid=A, time=NOON, **more):
    return {"timestamp": time, "metric_name": metric, "gpu_id": "0", "device": "nvidia0",
            "uuid": uuid, "modelName": "NVIDIA H100", "Hostname": "node-1", "container": "",
            "pod": "", "namespace": "", "value": value, "labels_raw": "", **more}


def at(second):
    return f"2025-06-01T12:{second // 60:02}:{second % 60:02}Z"


def text_of(rows, columns=None, end="\n", quoting=csv.QUOTE_MINIMAL):
    out = io.StringIO()
    writer = csv.DictWriter(out, columns or COLUMNS, extrasaction="ignore", lineterminator=end,
                            quoting=quoting)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def line(**changes):
    """One row as a line without its end."""
    return text_of([row(**changes)]).split(b"\n")[1]


HEADER = text_of([]).strip()

# Two GPUs, two metrics, ten scrapes.
ROWS = [row(metric, str(10 * i + step), uuid, at(second))
        for i, (second, metric, step, uuid) in enumerate(
            (s, m, k, u) for s in range(0, 100, 10) for k, m in enumerate((UTIL, POWER))
            for u in (A, B)) if 10 * i + step <= 100 or metric == POWER]
EXPECTED = {(r["uuid"], r["metric_name"], r["timestamp"]): float(r["value"]) for r in ROWS}


class WithFile(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="gpu-telemetry-")
        self.addCleanup(holder.cleanup)
        self.folder = Path(holder.name)
        self.stores = 0

    def store(self):
        self.stores += 1
        return self.folder / f"store-{self.stores}"

    def write(self, content):
        path = self.folder / "input.csv"
        path.write_bytes(content)
        return path

    def start(self, content, **settings):
        pipeline = Pipeline(self.store(), CSV_PATH=self.write(content), **{**BACKFILL, **settings})
        self.addCleanup(pipeline.__exit__)
        pipeline.wait_until_stored()
        return pipeline

    def check(self, content, expected, malformed=0, absent=0, accepted=None, **settings):
        """What is stored, and that every row put in is counted once."""
        with self.start(content, **settings) as pipeline:
            self.assertEqual(difference(pipeline.values(), expected), [])
            rows = pipeline.by_label("gpu_telemetry_source_rows_total", "result")
            self.assertEqual(rows, {"accepted": len(expected) if accepted is None else accepted,
                                    "malformed": malformed, "absent": absent, "other_shard": 0})
            self.assertEqual(pipeline.metric("gpu_telemetry_samples_stored_total"),
                             pipeline.metric("gpu_telemetry_samples_published_total"))
            reasons = pipeline.by_label("gpu_telemetry_readings_rejected_total", "reason")
            self.assertEqual(sum(reasons.values()), absent)
            self.assertEqual(pipeline.stop(), 0, pipeline.log())
            return pipeline, reasons

    def refused(self, content, *words):
        """The program does not start and says why in its last line."""
        done = run("all-in-one", CSV_PATH=self.write(content), API_PORT=0, LOG_FORMAT="json",
                   STORAGE_URI=f"embedded:{self.store()}", **BACKFILL)
        self.assertEqual(done.returncode, 1, done.stderr[-1000:])
        complaint = done.stderr.strip().splitlines()[-1]
        self.assertTrue(complaint.startswith("gpu-telemetry: "), complaint)
        for word in ("input.csv", *words):
            self.assertIn(word, complaint)
        self.assertTrue(complaint.isprintable(), complaint)
        self.assertLess(len(complaint), 400)


class TheSameFileWrittenDifferently(WithFile):
    def test_any_way_to_write_csv_gives_the_same_values(self):
        plain = text_of(ROWS)
        shuffled = COLUMNS[7:] + COLUMNS[:7][::-1]
        half = plain.index(b"\n", len(plain) // 2) + 1
        ways = {
            "plain": plain,
            "byte order mark": b"\xef\xbb\xbf" + plain,
            "CRLF": text_of(ROWS, end="\r\n"),
            "byte order mark, CRLF, all quoted":
                b"\xef\xbb\xbf" + text_of(ROWS, end="\r\n", quoting=csv.QUOTE_ALL),
            "no line end at the end": plain.rstrip(b"\n"),
            "blank lines": plain.replace(b"\n", b"\n\n\r\n"),
            "shuffled columns": text_of(ROWS, shuffled),
            "only the required columns": text_of(ROWS, ["value", "uuid", "metric_name",
                                                        "timestamp"]),
            "unknown columns": text_of([{**r, "rack": "7", "": "x"} for r in ROWS],
                                       ["rack", *COLUMNS, ""]),
            "other names of columns": plain.replace(b"uuid", b"GPU_UUID", 1)
                                           .replace(b"Hostname", b"hostname", 1)
                                           .replace(b"modelName", b"model_name", 1),
            "gzip": gzip.compress(plain),
            "gzip of two members, cut inside a row":
                gzip.compress(plain[:half + 20]) + gzip.compress(plain[half + 20:]),
            "gzip of many members":
                b"".join(gzip.compress(plain[i:i + 7]) for i in range(0, len(plain), 7)),
            "gzip with an empty member and zeros behind":
                gzip.compress(plain) + gzip.compress(b"") + bytes(512),
            "spaces around values":
                text_of([{**r, "value": f" {r['value']}\t"} for r in ROWS]),
            "zones":
                text_of([{**r, "timestamp": r["timestamp"].replace("T12", "t17")
                          .replace("Z", "+05:00")} for r in ROWS]),
            "finer than milliseconds":
                text_of([{**r, "timestamp": r["timestamp"].replace("Z", ".000999999Z")}
                         for r in ROWS]),
        }
        for name, content in ways.items():
            with self.subTest(name):
                self.check(content, EXPECTED)

    def test_attributes_come_from_labels_where_columns_are_missing(self):
        labels = ('Hostname="node-9",device="nvidia3",gpu="3",modelName="NVIDIA ""H100""",'
                  'exported_pod="train-0",exported_namespace="research",rack="r7"'
                  ).replace('""', '\\"')
        content = text_of([row(labels_raw=labels)], ["timestamp", "metric_name", "uuid", "value",
                                                     "labels_raw"])
        with self.start(content) as pipeline:
            gpu = pipeline.gpus()[0]
            self.assertEqual((gpu["hostname"], gpu["device_id"], gpu["gpu_index"],
                              gpu["model_name"], gpu["pod"], gpu["namespace"]),
                             ("node-9", "nvidia3", "3", 'NVIDIA "H100"', "train-0", "research"))
            self.assertEqual(gpu["labels"]["rack"], "r7")

    def test_text_of_any_language_comes_back_as_it_went_in(self):
        name = 'nœud "七", \\x, 𝕏\tΩ'
        with self.start(text_of([row(Hostname=name)])) as pipeline:
            self.assertEqual(pipeline.gpus()[0]["hostname"], name)


class RowsThatCannotBeRead(WithFile):
    def test_each_is_skipped_counted_and_harms_no_neighbour(self):
        bad = {
            "torn": line()[:60],
            "one column only": b"x",
            "a column too many": line() + b",",
            "an impossible date": line(time="2025-02-30T00:00:00Z"),
            "an impossible hour": line(time="2025-02-03T24:00:00Z"),
            "no zone": line(time="2025-06-01T12:00:00"),
            "a Unix time": line(time="1748779200"),
            "no time": line(time=""),
            "before DCGM": line(time="1999-12-31T23:59:59Z"),
            "the far future": line(time="9999-01-01T00:00:00Z"),
            "no GPU": line(uuid=""),
            "a malformed UUID": line(uuid="GPU-123"),
            "no metric": line(metric=""),
            "a metric that is no name": line(metric="gpu util"),
            "a NUL in the UUID": line(uuid=A + "\0"),
            "a NUL in the metric": line(metric=UTIL + "\0"),
            "a NUL in the time": line(time=NOON + "\0"),
            "a NUL in the host name": line(Hostname="node\0"),
            "only NULs": bytes(200),
            "not UTF-8": line(Hostname="node-X").replace(b"X", b"\xff\xfe"),
            "labels that are none": line(labels_raw="what is this"),
            "a quote inside a field": line(Hostname="X").replace(b"X", b'no"de'),
            "text behind a quote": line(Hostname="X").replace(b"X", b'"no"de'),
            "2 MiB": line(Hostname="n" * (2 << 20)),
            "20,000 bytes of labels": line(labels_raw='a="%s"' % ("b" * 20000)),
            "2,000 columns": b"," * 2000,
        }
        good = [line(value=str(i), time=at(i)) for i in range(len(bad) + 1)]
        expected = {(A, UTIL, at(i)): float(i) for i in range(len(good))}
        for name, each in bad.items():
            with self.subTest(name):
                content = b"\n".join([HEADER, good[0], each, good[1], b""])
                two = {key: expected[key] for key in list(expected)[:2]}
                pipeline, _ = self.check(content, two, malformed=1)
                skipped = pipeline.wait_for_line("skipped a row that cannot be read")
                self.assertEqual(skipped["line"], 3)
                self.assertTrue(skipped["file"].endswith("input.csv"))
                self.assertGreater(len(skipped["reason"]), 10)
        everything = [HEADER, good[0]]
        for each, after in zip(bad.values(), good[1:]):
            everything += [each, after]
        self.check(b"\n".join(everything) + b"\n", expected, malformed=len(bad))

    def test_a_last_row_without_its_end_is_skipped(self):
        good = text_of([row()])
        for end in (line(time=at(9))[:-20], line(time=at(9), Hostname='"')[:-5], b'"', b"\0"):
            with self.subTest(end):
                self.check(good + end, {(A, UTIL, NOON): 50.0}, malformed=1)

    def test_a_quote_that_is_never_closed_costs_its_own_row_only(self):
        rows = [line(value=str(i), time=at(i)) for i in range(50)]
        rows[20] = line(time=at(20), pod="X").replace(b"X", b'"lost')
        self.check(b"\n".join([HEADER, *rows, b""]),
                   {(A, UTIL, at(i)): float(i) for i in range(50) if i != 20}, malformed=1)

    def test_a_damaged_end_of_gzip_data_keeps_the_rows_before_it(self):
        plain = text_of([row(value=str(i % 100), time=at(i), pod=os.urandom(20).hex())
                         for i in range(2000)])
        whole = gzip.compress(plain)
        with self.start(whole[:len(whole) // 2]) as pipeline:
            ended = pipeline.wait_for_line("streamer ended: the source cannot be read any further")
            self.assertIn("damaged gzip", ended["reason"])
            stored = pipeline.values()
            self.assertGreater(len(stored), 500)
            for i in range(len(stored)):
                self.assertEqual(stored[(A, UTIL, at(i))], i % 100)


class ValuesThatAreNoReadings(WithFile):
    def test_blanks_of_every_kind_are_counted_by_reason_and_never_stored(self):
        unknown = "SITE_OWN_METRIC"
        ecc = "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL"
        given = {
            "blank": [(UTIL, ""), (UTIL, "  "), (UTIL, "N/A"), (UTIL, "nan"), (UTIL, "-NaN"),
                      (POWER, "inf"), (POWER, "-Infinity"), (UTIL, "<<<NULL>>>"),
                      (UTIL, "nan(5)"), (unknown, "1e300"),
                      (TEMP, "9223372036854775792"), (TEMP, "9223372036854775807"),
                      (TEMP, "2147483632"), (POWER, "140737488355328"),
                      (POWER, "140737488355328.000000"), (POWER, "140737488355999.0"),
                      (unknown, "9223372036854775792"), (unknown, "140737488355328.0")],
            "not_found": [(UTIL, "<<<NOT_FOUND>>>"), (TEMP, "9223372036854775793"),
                          (TEMP, "2147483633"), (POWER, "140737488355329.0")],
            "not_supported": [(UTIL, "<<<NOT_SUPPORTED>>>"), (TEMP, "9223372036854775794"),
                              (TEMP, "2147483634"), (POWER, "140737488355330.0")],
            "not_permitted": [(UTIL, "<<<NOT_PERM>>>"), (TEMP, "9223372036854775795"),
                              (TEMP, "2147483635"), (POWER, "140737488355331.0")],
            "not_a_number": [(UTIL, "12abc"), (UTIL, "0x10"), (UTIL, "1,5"), (UTIL, "1 2"),
                             (UTIL, "--1"), (UTIL, "."), (UTIL, "1_000"), (UTIL, "null"),
                             (UTIL, "true"), (UTIL, "٣"), (UTIL, "1\0"),
                             (UTIL, "1" * 400 + "x")],
            "out_of_range": [(UTIL, "101"), (UTIL, "-1"), (TEMP, "5000"), (POWER, "1e999"),
                             (POWER, "-3"), (unknown, "1e400"), (unknown, "1e-400")],
        }
        rows = [row(metric, value, time=at(i)) for i, (metric, value) in enumerate(
            pair for pairs in given.values() for pair in pairs)]
        # Numbers that only look like blanks where the field cannot have them.
        numbers = [(ecc, "2147483632", 2147483632.0), (unknown, "2147483633", 2147483633.0),
                   (unknown, "-0", 0.0), (unknown, "1e18", 1e18), (unknown, "5e-324", 5e-324),
                   (POWER, "700.123456789012345", 700.123456789012345), (UTIL, "1e2", 100.0),
                   (unknown, "9007199254740993", 9007199254740992.0),
                   (unknown, "0.1", 0.1), (UTIL, "007", 7.0)]
        rows += [row(metric, text, uuid=B, time=at(i)) for i, (metric, text, _) in
                 enumerate(numbers)]
        expected = {(B, metric, at(i)): value for i, (metric, _, value) in enumerate(numbers)}
        absent = sum(map(len, given.values()))
        _, reasons = self.check(text_of(rows), expected, absent=absent)
        self.assertEqual(reasons, {reason: len(pairs) for reason, pairs in given.items()})

    def test_both_names_of_a_renamed_field_are_one_metric_under_the_earlier(self):
        content = text_of([row(TEMP, "60"), row(TEMP + "_CELSIUS", "61", time=at(1)),
                           row(TEMP + "_CELSIUS", "62", uuid=B),
                           row("DCGM_FI_DEV_BOARD_POWER_WATTS", "300", uuid=B)])
        self.check(content, {(A, TEMP, NOON): 60, (A, TEMP, at(1)): 61, (B, TEMP, NOON): 62,
                             (B, POWER, NOON): 300})

    def test_unknown_metrics_pass_through(self):
        names = ["DCGM_FI_DEV_NOT_INVENTED_YET", "site:power:avg5m", "_", "a" * 200]
        self.check(text_of([row(name, "-1.5") for name in names]),
                   {(A, name, NOON): -1.5 for name in names})


class RowsOutOfOrder(WithFile):
    def test_of_rows_with_one_gpu_time_and_metric_the_last_counts(self):
        rows = [row(value=str(i % 7)) for i in range(20)]
        self.check(text_of(rows), {(A, UTIL, NOON): 19 % 7}, accepted=20)

    def test_duplicates_far_apart_and_times_backwards_make_one_sample_each(self):
        count = 10_000  # beyond the window in which the source regroups rows
        forward = [row(value=str(i % 100), time=at(i % 3600), uuid=A if i < 3600 else B)
                   for i in range(2 * 3600)]
        backward = [{**each, "value": str(100 - int(each["value"]))} for each in forward[::-1]]
        rows = forward + forward[:count - 2 * 3600] + backward
        expected = {(r["uuid"], UTIL, r["timestamp"]): float(r["value"]) for r in backward}
        # One write at a time: the last write of a key wins, and which of several at once is the last
        # is not defined.
        self.check(text_of(rows), expected, accepted=len(rows), MAX_CONCURRENT_HANDLERS=1)

    def test_instances_of_one_gpu_do_not_overwrite_each_other_or_the_gpu(self):
        def labels(instance):
            return f'UUID="{A}",GPU_I_ID="{instance}",GPU_I_PROFILE="1g.10gb"'
        rows = [row(value="10"), row(value="20", labels_raw=labels(7)),
                row(value="30", labels_raw=labels(8)),
                row(value="21", labels_raw=labels(7), time=at(1))]
        with self.start(text_of(rows)) as pipeline:
            gpus = {gpu["labels"].get("GPU_I_ID", ""): gpu for gpu in pipeline.gpus()}
            self.assertEqual(gpus.keys(), {"", "7", "8"})
            self.assertEqual(gpus[""]["uuid"], A)
            values = pipeline.values()
            for instance, time, value in (("", NOON, 10), ("7", NOON, 20), ("8", NOON, 30),
                                          ("7", at(1), 21)):
                self.assertEqual(values.pop((gpus[instance]["uuid"], UTIL, time)), value)
            self.assertEqual(values, {})
            for instance in "78":
                self.assertRegex(gpus[instance]["uuid"], "^MIG-")
                self.assertEqual(gpus[instance]["labels"]["parent_uuid"], A)


class MoreThanIsAllowed(WithFile):
    def test_gpus_and_metrics_past_the_limits_wait_in_the_dead_letters(self):
        rows = [row(metric, "7", uuid, at(second)) for second in range(3)
                for uuid, metric in ((A, UTIL), (B, UTIL), (A, "MADE_UP_1"))]
        everything = {(r["uuid"], r["metric_name"], r["timestamp"]): 7.0 for r in rows}
        allowed = {key: value for key, value in everything.items() if key[:2] == (A, UTIL)}
        with self.start(text_of(rows), MAX_GPUS=1, MAX_METRICS=1) as pipeline:
            self.assertEqual(difference(pipeline.values(), allowed), [])
            self.assertEqual(pipeline.metric("gpu_telemetry_samples_refused_total"), 6)
            dead = pipeline.get("/api/v1/pipeline/dead-letters")["messages"]
            self.assertTrue(dead)
            self.assertIn(f"GPU {B} would pass MAX_GPUS=1", dead[0]["reason"])
            store = self.folder / f"store-{self.stores}"
        with Pipeline(store, CSV_PATH=self.write(HEADER), **BACKFILL) as pipeline:
            redriven = pipeline.request(
                "/api/v1/pipeline/dead-letters/redrive", "POST",
                {"Content-Type": "application/json"},
                body=b'{"topic": "telemetry", "consumer_group": "collectors"}')
            self.assertEqual(redriven.status, 200, redriven)
            while pipeline.metric("gpu_telemetry_samples_stored_total") < len(rows):
                pass
            self.assertEqual(difference(pipeline.values(), everything), [])


class FilesThatAreNone(WithFile):
    def test_what_is_no_telemetry_is_refused_at_the_start_with_the_reason(self):
        whole = text_of(ROWS)
        for column in ("timestamp", "metric_name", "uuid", "value"):
            rest = [name for name in COLUMNS if name != column]
            self.refused(text_of(ROWS, rest), f"'{column}'", "no column")
        self.refused(b"", "empty", "timestamp")
        self.refused(b"\n\r\n\n", "empty")
        self.refused(b"\xef\xbb\xbf", "empty")
        self.refused(gzip.compress(b""), "empty")
        self.refused(text_of(ROWS, COLUMNS + ["uuid"]), "'uuid'", "twice")
        self.refused(os.urandom(100_000), "not a CSV file of telemetry")
        self.refused(b"\x7fELF" + bytes(100_000), "not a CSV file of telemetry")
        self.refused(b"SQLite format 3\0" + bytes(4096), "not a CSV file of telemetry")
        self.refused(b'{"timestamp": 1}\n', "not a CSV file of telemetry")
        self.refused(whole.decode().encode("utf-16"), "not a CSV file of telemetry")
        self.refused(whole.replace(b",", b";"), "not a CSV file of telemetry")
        self.refused(b"\n".join(whole.split(b"\n")[1:]), "not a CSV file of telemetry")
        self.refused(gzip.compress(whole)[:20], "gzip")
        self.refused(b"\x1f\x8b" + os.urandom(1000), "gzip")

    def test_a_header_without_rows_is_a_file_without_readings(self):
        for content in (HEADER, HEADER + b"\n", gzip.compress(HEADER)):
            self.check(content, {})
        with self.start(HEADER, LOOP_MODE="true") as pipeline:
            pipeline.wait_for_line("the whole file has no reading for this streamer: not read "
                                   "again")
            self.assertEqual(pipeline.gpus(), [])
            self.assertEqual(pipeline.stop(), 0)


class HugeLines(WithFile):
    SIZE = 100 << 20

    def peak(self, pipeline):
        """Most memory that the process ever had, in bytes."""
        status = Path(f"/proc/{pipeline.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024

    def write_huge(self, opening, filling):
        path = self.folder / "huge.csv.gz"
        piece = filling * ((1 << 20) // len(filling))
        with gzip.open(path, "wb", compresslevel=1) as file:
            file.write(HEADER + b"\n" + line(value="1") + b"\n" + opening)
            for _ in range(self.SIZE // len(piece)):
                file.write(piece)
            file.write(b"\n" + line(value="2", time=at(1)) + b"\n")
        return path

    def test_a_line_of_100_mb_costs_no_memory_and_only_itself(self):
        expected = {(A, UTIL, NOON): 1.0, (A, UTIL, at(1)): 2.0}
        with self.start(text_of([row()])) as pipeline:
            ordinary = self.peak(pipeline)
        for name, opening, filling in (("one field", b"", b"x"), ("commas", b"", b","),
                                       ("an open quote", b'"', b"x"), ("quotes", b"", b'""'),
                                       ("NULs", b"", b"\0")):
            with self.subTest(name):
                path = self.write_huge(opening, filling)
                with Pipeline(self.store(), CSV_PATH=path, **BACKFILL) as pipeline:
                    pipeline.wait_until_stored()
                    self.assertEqual(difference(pipeline.values(), expected), [])
                    rows = pipeline.by_label("gpu_telemetry_source_rows_total", "result")
                    self.assertEqual((rows["accepted"], rows["malformed"]), (2, 1))
                    self.assertLess(self.peak(pipeline), ordinary + (24 << 20))

    def test_a_header_of_100_mb_is_refused(self):
        self.refused(b"timestamp," * (self.SIZE // 10), "more than 1024 fields")
        self.refused(b"t" * self.SIZE, "longer than 1 MiB")


class FullDisk(WithFile):
    """On a file system of its own, filled to the brim while the program writes."""

    def setUp(self):
        super().setUp()
        self.disk = self.folder / "disk"
        self.disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=420m", "none", self.disk],
                                 capture_output=True, text=True)
        if mounted.returncode != 0:
            self.skipTest(f"no small file system to fill: {mounted.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", self.disk], check=True)

    def fill(self):
        # Both logs reserve their segments, so that what they hold room for can still be written.
        filler = self.disk / "filler"
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1 << 20))
            except OSError:
                pass
        return filler

    def write_rows(self):
        # Labels that do not compress, and one row a message: 64 MiB of log are full soon.
        rows = [row(value=str(i % 100), time=at(i % 3600), uuid=A if i < 3600 else B,
                    labels_raw='noise="%s"' % os.urandom(8000).hex()[:15500])
                for i in range(7200)]
        expected = {(r["uuid"], UTIL, r["timestamp"]): float(r["value"]) for r in rows}
        return self.write(text_of(rows)), expected

    def start_and_fill(self, path):
        pipeline = Pipeline(self.disk / "store", CSV_PATH=path,
                            **{**BACKFILL, "STREAMER_BATCH_SIZE": 1})
        self.addCleanup(pipeline.__exit__)
        while pipeline.metric("gpu_telemetry_samples_stored_total") < 100:
            pass
        filler = self.fill()
        # Whichever log comes to the end of its segment first.
        refused = pipeline.wait_for_line("storage does not accept writes, messages wait",
                                         "publish has to wait: the queue is full")
        self.assertRegex(refused["reason"], f"{self.disk}.*(full|No space left)")
        return pipeline, filler

    def test_writes_wait_reads_go_on_and_nothing_is_lost_when_space_returns(self):
        path, expected = self.write_rows()
        pipeline, filler = self.start_and_fill(path)
        with pipeline:
            stored = pipeline.values()
            self.assertLessEqual(stored.items(), expected.items())
            self.assertGreaterEqual(len(stored), 100)
            self.assertEqual(pipeline.request("/livez").status, 200)
            filler.unlink()
            pipeline.wait_until_stored()
            self.assertEqual(difference(pipeline.values(), expected), [])
            self.assertEqual(pipeline.stop(), 0, pipeline.log())
        done = run("store", "check", "--path", self.disk / "store")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_what_the_queue_had_accepted_survives_a_kill_on_a_full_disk(self):
        path, expected = self.write_rows()
        pipeline, filler = self.start_and_fill(path)
        accepted = pipeline.metric("gpu_telemetry_samples_published_total")
        stored = pipeline.values()
        pipeline.kill()
        filler.unlink()
        # Nothing more to read: what comes now was in the store or in the queue.
        with Pipeline(self.disk / "store", CSV_PATH=self.write(HEADER), **BACKFILL) as pipeline:
            pipeline.wait_until_stored()
            found = pipeline.values()
            self.assertLessEqual(stored.items(), found.items())
            self.assertLessEqual(found.items(), expected.items())
            self.assertGreaterEqual(len(found), accepted)


if __name__ == "__main__":
    unittest.main(verbosity=2)
