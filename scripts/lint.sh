#!/usr/bin/env bash
# Checks without running the program: scripts/lint.sh [format|rules|clang|--fix]; all without a word.
set -euo pipefail
cd "$(dirname "$0")/.."

# The version is part of the name: each formats a little differently.
formatter=clang-format-19

cpp_files() { git ls-files -z --cached --others --exclude-standard -- '*.h' '*.cc'; }

lint_format() {
  command -v $formatter > /dev/null || {
    echo "lint: $formatter is missing; scripts/install-dependencies.sh --test installs it" >&2
    return 1
  }
  cpp_files | xargs -0 -r $formatter --dry-run --Werror || {
    echo "lint: some files are not formatted; make fmt does it" >&2
    return 1
  }
}

lint_rules() {
  for test in tests/{include_rules,co_await,thread_safety}_test.py; do
    python3 "$test" --quiet || return 1
  done
}

# Rooms are annotated (src/concurrency/thread_annotations.h); only clang reads that.
lint_clang() { scripts/build.sh asan rooms; }

case ${1:-all} in
  --fix) cpp_files | xargs -0 -r $formatter -i ;;
  format) lint_format ;;
  rules) lint_rules ;;
  clang) lint_clang ;;
  all)
    lint_format
    lint_rules
    lint_clang
    ;;
  *)
    echo "lint: unknown check '$1' (expected format, rules, clang or --fix)" >&2
    exit 1
    ;;
esac
