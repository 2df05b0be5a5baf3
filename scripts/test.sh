#!/usr/bin/env bash
# What CI checks, cheapest first; stops at the first step that fails. STEPS names some of them:
#   STEPS="release asan" scripts/test.sh
set -euo pipefail
cd "$(dirname "$0")/.."
JOBS=${JOBS:-$(nproc)}
STEPS=${STEPS:-format release tsan clang asan fuzz}

# Tests of one preset: run_ctest PRESET [CTEST-ARGUMENT...]
run_ctest() {
  local preset=$1
  shift
  ctest --preset "$preset" -j "$JOBS" --no-tests=error "$@" < /dev/null
}

step_format() { scripts/lint.sh format; }
step_release() {
  scripts/build.sh release all
  run_ctest release
}
step_asan() {
  scripts/build.sh asan unit_tests server_tests gpu-telemetry
  run_ctest asan -L 'unit|redis|mongo'  # mongo: a round of chaos is one of them
}
step_tsan() {
  scripts/build.sh tsan unit_tests
  run_ctest tsan -L unit
}
step_clang() { scripts/lint.sh clang; }
step_fuzz() { scripts/fuzz.sh; }

describe() {
  case $1 in
    format) echo "C++ files are formatted" ;;
    release) echo "optimised build, all tests and lints" ;;
    asan) echo "unit, server and chaos tests under the address and undefined-behaviour sanitizers" ;;
    tsan) echo "unit tests under the thread sanitizer" ;;
    clang) echo "clang's warnings and thread-safety analysis" ;;
    fuzz) echo "each fuzz target, ${FUZZ_SECONDS:-5} s" ;;
    *)
      echo "test: unknown step '$1' (expected format, release, tsan, clang, asan or fuzz)" >&2
      exit 1
      ;;
  esac
}

declare -A seconds
finished=()
summary() {
  local status=$?
  echo
  for step in "${finished[@]}"; do
    printf '  passed  %4d s  %-8s %s\n' "${seconds[$step]}" "$step" "$(describe "$step")"
  done
  if [[ $status -ne 0 ]]; then
    printf '  FAILED          %-8s %s\n' "${current:-}" "$(describe "${current:-release}")"
    echo "make test: failed; what failed is above"
  else
    echo "make test: passed, ${#finished[@]} of ${#finished[@]} steps in $SECONDS s"
  fi
  exit "$status"
}

for step in $STEPS; do describe "$step" > /dev/null; done
trap summary EXIT
for step in $STEPS; do
  current=$step
  begin=$SECONDS
  echo
  echo "== $step: $(describe "$step")"
  "step_$step"
  seconds[$step]=$((SECONDS - begin))
  finished+=("$step")
done
