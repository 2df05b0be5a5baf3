#!/usr/bin/env bash
# Builds with gcov, runs all tests and writes coverage.html (by file) and build/coverage/html/ (by
# line).
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/build.sh coverage all
find build/coverage -name '*.gcda' -delete
ctest --preset coverage -j "${JOBS:-$(nproc)}" --no-tests=error < /dev/null
# Measured once, then written twice.
report=build/coverage/coverage.json
mkdir -p build/coverage/html
gcovr --root . --filter 'src/' --exclude '.*_(test|bench)\.(cc|h)$' --exclude '.*_contract\.(cc|h)$' \
  --exclude-throw-branches --exclude-unreachable-branches -j "${JOBS:-$(nproc)}" \
  --json "$report" build/coverage
gcovr --root . -a "$report" --html coverage.html --html-self-contained --print-summary
gcovr --root . -a "$report" --html-details build/coverage/html/index.html
echo "Wrote coverage.html; line by line in build/coverage/html/index.html"
