"""Clang's analysis does see what src/concurrency/thread_annotations.h says.

Without this a slip in the macros would turn every annotation into nothing, silently.
"""

import os
import shutil
import subprocess
import unittest
from pathlib import Path

SRC = Path(__file__).resolve().parent.parent / "src"
CLANG = "clang++-19"

PROGRAM = """
#include "concurrency/thread_annotations.h"
using namespace gpu_telemetry::concurrency;
class Counter {
 public:
  int next() { %s }
 private:
  int bump() GPU_TELEMETRY_REQUIRES(mutex_) { return ++value_; }
  Mutex mutex_;
  ConditionVariable changed_;
  int value_ GPU_TELEMETRY_GUARDED_BY(mutex_) = 0;
};
"""


def compile_errors(body):
    result = subprocess.run(
        [CLANG, "-std=c++20", "-fsyntax-only", "-Wall", "-Wthread-safety", "-Werror", "-I", SRC,
         "-x", "c++", "-"],
        input=PROGRAM % body, capture_output=True, text=True)
    return result.stderr if result.returncode else ""


class ThreadSafety(unittest.TestCase):
    def setUp(self):
        if shutil.which(CLANG) is None:
            message = f"{CLANG} is missing; scripts/install-dependencies.sh --test installs it"
            if os.environ.get("CI"):
                self.fail(message)
            self.skipTest(message)

    def test_accepts_a_guarded_access(self):
        self.assertEqual(compile_errors("MutexLock lock(mutex_); return ++value_;"), "")
        self.assertEqual(compile_errors(
            "MutexLock lock(mutex_); while (value_ == 0) changed_.wait(mutex_); return bump();"), "")

    def test_refuses_an_unguarded_access(self):
        self.assertIn("requires holding mutex 'mutex_'", compile_errors("return ++value_;"))
        self.assertIn("requires holding mutex 'mutex_'", compile_errors("return bump();"))
        self.assertIn("requires holding mutex 'mutex_'",
                      compile_errors("MutexLock lock(mutex_); lock.unlock(); return value_;"))


if __name__ == "__main__":
    unittest.main()
