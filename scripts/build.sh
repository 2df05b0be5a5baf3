#!/usr/bin/env bash
# Configures a preset of CMakePresets.json and builds targets of it: scripts/build.sh PRESET TARGET...
set -euo pipefail
cd "$(dirname "$0")/.."
preset=$1
shift
log=build/$preset/configure.log
mkdir -p "build/$preset"
if ! cmake --preset "$preset" > "$log" 2>&1; then
  cat "$log" >&2
  echo "build: cmake could not configure the preset '$preset' (above). A missing library is installed by
scripts/install-dependencies.sh --test; after a change of compiler run make clean." >&2
  exit 1
fi
if ! cmake --build --preset "$preset" -j "${JOBS:-$(nproc)}" --target "$@"; then
  echo "build: building '$*' failed in the preset '$preset' (the first error is above)" >&2
  exit 1
fi
