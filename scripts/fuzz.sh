#!/usr/bin/env bash
# Runs each fuzz target for FUZZ_SECONDS from its seeds in fuzz/corpus/ and from what long runs have
# found (fuzz/found.tar.xz): scripts/fuzz.sh [TARGET...]
# What it discovers is kept in build/fuzz/corpus/ for the next run; an input that crashes a target in
# build/fuzz/crashes/.
set -euo pipefail
cd "$(dirname "$0")/.."
FUZZ_SECONDS=${FUZZ_SECONDS:-5}
JOBS=${JOBS:-$(nproc)}

targets=("$@")
if [[ ${#targets[@]} -eq 0 ]]; then
  for source in fuzz/*_fuzz.cc; do
    [[ -e $source ]] && targets+=("$(basename "$source" .cc)")
  done
fi
[[ ${#targets[@]} -gt 0 ]] || {
  echo "fuzz: no fuzz/*_fuzz.cc" >&2
  exit 1
}
scripts/build.sh asan "${targets[@]}"

[[ -d build/fuzz/corpus ]] || {
  mkdir -p build/fuzz/corpus
  tar xJf fuzz/found.tar.xz -C build/fuzz/corpus
}

run_target() {
  local target=$1 found=build/fuzz/corpus/$1 log=build/fuzz/$1.log
  mkdir -p "$found" build/fuzz/crashes "fuzz/corpus/$target"
  if build/asan/bin/"$target" -max_total_time="$FUZZ_SECONDS" -timeout=10 -rss_limit_mb=2048 \
    -print_final_stats=1 -artifact_prefix="build/fuzz/crashes/$target-" \
    "$found" "fuzz/corpus/$target" > "$log" 2>&1 < /dev/null; then
    printf '  passed  %-28s %s runs\n' "$target" \
      "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
  else
    tail -n 60 "$log"
    printf '  FAILED  %s: reproduce with build/asan/bin/%s FILE (the file is named above)\n' \
      "$target" "$target"
    return 1
  fi
}
export -f run_target
export FUZZ_SECONDS
echo "Running ${#targets[@]} fuzz targets for $FUZZ_SECONDS s each, $JOBS at a time"
printf '%s\0' "${targets[@]}" | xargs -0 -n 1 -P "$JOBS" bash -euo pipefail -c 'run_target "$1"' _
