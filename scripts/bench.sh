#!/usr/bin/env bash
# Runs every benchmark executable: scripts/bench.sh [GOOGLE-BENCHMARK-FLAG...], such as
# --benchmark_filter=Csv. Five repetitions; read the medians. Without flags it goes on with the
# whole programs beside their peers: the HTTP server and nginx; the pipeline, DuckDB, ClickHouse and
# polars; the queue, NATS and Redis; the API and Prometheus; then how the program grows.
# RUNS=3 makes these shorter.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/build.sh release all
shopt -s nullglob
benches=(build/release/bin/*_bench)
[[ ${#benches[@]} -gt 0 ]] || {
  echo "bench: no benchmark was built" >&2
  exit 1
}
for bench in "${benches[@]}"; do
  echo
  echo "== $(basename "$bench")"
  "$bench" --benchmark_repetitions=5 --benchmark_report_aggregates_only=true "$@" < /dev/null
done
[[ $# -eq 0 ]] || exit 0
echo
echo "== the HTTP server and nginx"
bench/http_vs_nginx.sh
echo
echo "== the pipeline, DuckDB, ClickHouse and polars"
python3 bench/pipeline_bench.py --runs "${RUNS:-5}" < /dev/null
echo
echo "== the queue and the services apart, nginx, NATS JetStream and Redis"
python3 bench/queue_bench.py --runs "${RUNS:-5}" < /dev/null
echo
echo "== the API, Prometheus and nginx"
python3 bench/api_bench.py --runs "${RUNS:-5}" < /dev/null
echo
echo "== growing: fleets, histories, collectors"
python3 bench/scaling_bench.py --runs "${RUNS:-3}" < /dev/null
if command -v chromium > /dev/null && command -v node > /dev/null; then
  echo
  echo "== the dashboard with 10,000 GPUs"
  python3 bench/dashboard_bench.py --runs "${RUNS:-5}" < /dev/null
fi
