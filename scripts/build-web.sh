#!/usr/bin/env bash
# Builds the dashboard: scripts/build-web.sh OUTPUT.cc. Called by CMake, when something in web/ has
# changed. Needs node 18 or newer and npm; fetches the packages that web/package-lock.json names.
set -euo pipefail
output=$1
cd "$(dirname "$0")/../web"
for program in node npm; do
  command -v $program > /dev/null || {
    echo "build-web: there is no $program; scripts/install-dependencies.sh installs it" >&2
    exit 1
  }
done
log=$(mktemp)
trap 'rm -f "$log"' EXIT
try() {
  "$@" > "$log" 2>&1 || {
    echo "build-web: failed: $*" >&2
    cat "$log" >&2
    exit 1
  }
}
# Only when the lock file is another one than that of what is there.
if ! cmp -s package-lock.json node_modules/.installed-lock.json; then
  try npm ci --no-audit --no-fund --loglevel=error
  cp package-lock.json node_modules/.installed-lock.json
fi
dist=$(dirname "$output")/web-dist
try node node_modules/typescript/bin/tsc --noEmit
try node node_modules/vite/bin/vite.js build --outDir "$dist" --emptyOutDir
try node pack.mjs "$output" "$dist"
