"""Who may include whom, and no test, benchmark or fuzz target that is built by nobody.

The table is the one place where the rules stand; docs/architecture.md shows them as a picture.
"""

import re
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src"

# The domain headers that carry results, time and nothing of GPUs.
BASICS = ["domain/result.h", "domain/error.h", "domain/clock.h", "domain/duration.h", "domain/time.h"]
# Macros and a mutex, without an include of ours: anybody may annotate what it guards.
ANNOTATIONS = "concurrency/thread_annotations.h"

# What a folder may include beside itself: "room/" is the whole room, a path is one header. The
# longest folder that matches a file decides.
RULES = {
    "domain": [],
    "io": ["domain/", ANNOTATIONS],
    "concurrency": ["domain/", "observability/"],
    "observability": ["domain/", ANNOTATIONS],
    "config": ["domain/", "observability/"],
    "log": [*BASICS, "io/", "observability/", ANNOTATIONS],
    "tls": [*BASICS, "io/", "observability/", ANNOTATIONS],
    "http": [*BASICS, "tls/", "observability/", "concurrency/"],
    "queue": [*BASICS, "io/", "log/", "observability/", "concurrency/"],
    "queue/redis": [*BASICS, "io/", "tls/", "observability/", "concurrency/"],
    # The two that carry a queue over HTTP.
    "queue/http_api": [*BASICS, "io/", "http/", "observability/", "concurrency/"],
    "queue/http_client": [*BASICS, "io/", "http/", "tls/", "observability/", "concurrency/"],
    "sources": ["domain/", "io/", "log/", "observability/", "concurrency/"],
    "wire": ["domain/", "io/", "log/", "observability/", "concurrency/"],
    "storage": ["domain/", "io/", "log/", "observability/", "concurrency/"],
    # Only here do rooms meet.
    "services": ["domain/", "io/", "concurrency/", "observability/", "config/", "log/", "http/", "tls/",
                 "sources/", "wire/", "queue/", "storage/"],
}

# Types of these libraries stay inside the room that uses them.
DRIVERS = re.compile(r"(sqlite3|zlib|zstd|hiredis/.*|bson/.*|mongoc/.*)\.h")

GENERATED = {"gpu_telemetry_revision.h", "redis_scripts_lua.h"}  # by the build
OUR_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+"([^"]+)"', re.MULTILINE)
SYSTEM_INCLUDE = re.compile(r"^[ \t]*#[ \t]*include[ \t]+<([^>]+)>", re.MULTILINE)


def rule_folder(name):
    """The folder of RULES that decides for a file (its path below src/), or None."""
    parts = name.split("/")[:-1]
    while parts:
        folder = "/".join(parts)
        if folder in RULES:
            return folder
        parts.pop()
    return None


def may_include(name, included):
    folder = rule_folder(name)
    if folder is None:
        return False
    room = name.split("/")[0] + "/"
    return included.startswith(room) or any(
        included.startswith(allowed) if allowed.endswith("/") else included == allowed
        for allowed in RULES[folder])


def include_errors(files):
    """The breaches in {path below src/: text}, each as a sentence."""
    errors = []
    for name, text in sorted(files.items()):
        if rule_folder(name) is None:
            errors.append(f"{name}: its folder is not in the table of tests/include_rules_test.py")
            continue
        for included in OUR_INCLUDE.findall(text):
            if included in GENERATED:
                continue
            if included not in files:
                errors.append(f'{name}: "{included}" is no file below src/')
            elif not may_include(name, included):
                errors.append(f'{name}: includes "{included}", but {rule_folder(name)} may include '
                              f"only itself and {', '.join(RULES[rule_folder(name)]) or 'nothing'}")
    return errors


def driver_errors(files):
    """Headers with a driver's types that another room, or a program, reaches."""
    def reached(name, seen):
        for included in OUR_INCLUDE.findall(files.get(name, "")):
            if included in files and included not in seen:
                seen.add(included)
                reached(included, seen)
        return seen

    errors = set()
    for name in files:
        room = name.split("/")[0]
        for header in reached(name, set()):
            if header.split("/")[0] == room and not name.startswith("services/"):
                continue
            for include in SYSTEM_INCLUDE.findall(files[header]):
                if DRIVERS.fullmatch(include):
                    errors.add(f"{header}: includes <{include}> and is reached from {name}")
    return sorted(errors)


def read_sources():
    return {str(path.relative_to(SRC)): path.read_text(encoding="utf-8")
            for path in SRC.rglob("*") if path.suffix in (".h", ".cc", ".inc")}


def is_named_in_a_cmake_file(path):
    """Whether a CMakeLists.txt of the file's folder, or of one above, lists the file."""
    for folder in path.parents:
        lists = folder / "CMakeLists.txt"
        if lists.exists():
            words = re.sub(r"#[^\n]*", "", lists.read_text(encoding="utf-8"))
            if str(path.relative_to(folder)) in re.split(r'[\s()"]+', words):
                return True
        if folder == ROOT:
            return False
    return False


class IncludeRules(unittest.TestCase):
    def test_refuses_and_allows_what_the_table_says(self):
        files = {"domain/gpu.h": "", "queue/ledger.h": "", "wire/batch_wire.h": "", "http/server.h": "",
                 "domain/time.h": "", "services/x/x.h": "", "queue/memory/m.h": "",
                 "queue/http_api/a.h": "", ANNOTATIONS: ""}
        allowed = [("queue/ledger.h", "domain/time.h"), ("wire/batch_wire.h", "domain/gpu.h"),
                   ("queue/memory/m.h", "queue/ledger.h"), ("queue/http_api/a.h", "http/server.h"),
                   ("services/x/x.h", "wire/batch_wire.h"), ("queue/ledger.h", ANNOTATIONS)]
        refused = [("queue/ledger.h", "domain/gpu.h"), ("queue/ledger.h", "wire/batch_wire.h"),
                   ("domain/gpu.h", "http/server.h"), ("http/server.h", "queue/ledger.h"),
                   ("queue/memory/m.h", "http/server.h"), ("http/server.h", "services/x/x.h"),
                   ("http/server.h", "no/such.h")]
        for name, included in allowed + refused:
            with self.subTest(f"{name} includes {included}"):
                errors = include_errors({**files, name: f'#include "{included}"\n'})
                self.assertEqual(len(errors), int((name, included) in refused), errors)
        self.assertEqual(len(include_errors({"newroom/x.h": ""})), 1)

    def test_sees_a_driver_through_another_header(self):
        files = {"storage/e.h": '#include "storage/inner.h"\n', "storage/inner.h": "#include <sqlite3.h>\n",
                 "storage/e.cc": '#include "storage/inner.h"\n'}
        self.assertEqual(driver_errors(files), [])
        files["services/a.cc"] = '#include "storage/e.h"\n'
        self.assertEqual(len(driver_errors(files)), 1)

    def test_rooms_include_only_what_they_may(self):
        errors = include_errors(read_sources())
        self.assertEqual(errors, [], "\n" + "\n".join(errors))

    def test_no_driver_leaves_its_room(self):
        errors = driver_errors(read_sources())
        self.assertEqual(errors, [], "\n" + "\n".join(errors))

    def test_headers_are_included_once(self):
        wrong = [name for name, text in read_sources().items()
                 if name.endswith(".h") and "#pragma once" not in text]
        self.assertEqual(wrong, [], "without #pragma once")


class Targets(unittest.TestCase):
    def test_every_source_file_belongs_to_a_target(self):
        lost = [str(path.relative_to(ROOT))
                for folder in ("src", "apps", "tests", "bench")
                for path in (ROOT / folder).rglob("*.cc") if not is_named_in_a_cmake_file(path)]
        self.assertEqual(lost, [], "not listed in a CMakeLists.txt of their folder or above")

    def test_every_python_test_is_run_by_ctest(self):
        lost = [str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("*_test.py")
                # gpu_telemetry_e2e takes the name of the test, without .py.
                if not is_named_in_a_cmake_file(path)
                and not is_named_in_a_cmake_file(path.with_suffix(""))]
        self.assertEqual(lost, [], "not listed in a CMakeLists.txt of their folder or above")

    def test_every_fuzz_target_is_built_and_has_seeds(self):
        lists = (ROOT / "fuzz" / "CMakeLists.txt").read_text(encoding="utf-8")
        for path in (ROOT / "fuzz").glob("*.cc"):
            with self.subTest(path.name):
                self.assertTrue(path.stem.endswith("_fuzz"), "scripts/fuzz.sh runs *_fuzz.cc")
                self.assertRegex(lists, rf"gpu_telemetry_fuzz\(\s*{path.stem}\s")
                seeds = list((ROOT / "fuzz" / "corpus" / path.stem).glob("*"))
                self.assertTrue(seeds, f"no seed in fuzz/corpus/{path.stem}/")


if __name__ == "__main__":
    unittest.main()
