#!/usr/bin/env bash
# Runs every benchmark executable: scripts/bench.sh [GOOGLE-BENCHMARK-FLAG...], such as
# --benchmark_filter=Csv. Five repetitions; read the medians. Without flags it goes on with the
# whole programs beside their peers: the HTTP server and nginx; the pipeline, DuckDB, ClickHouse and
# polars; the queue, NATS and Redis; the API and Prometheus; the dashboard; then how the program
# grows. It takes 25 minutes with RUNS=3, and leaves its figures in build/bench/figures/, and as a page
# in build/bench/performance.md; `bench/report.py` makes docs/performance.md of the same figures.
set -euo pipefail
cd "$(dirname "$0")/.."
figures=build/bench/figures

measure_parts() { # GOOGLE-BENCHMARK-FLAG...
  local bench name
  for bench in "${benches[@]}"; do
    name=$(basename "$bench")
    echo
    echo "== $name"
    "$bench" --benchmark_repetitions="${RUNS:-5}" --benchmark_report_aggregates_only=true "$@" \
      ${all:+--benchmark_out="$figures/$name.json"} < /dev/null
  done
}

measure_whole() { # TITLE NAME COMMAND...: with --json
  echo
  echo "== $1"
  "${@:3}" --json "$figures/$2.json" < /dev/null
}

all=
[[ $# -gt 0 ]] || all=1
scripts/build.sh release all
shopt -s nullglob
benches=(build/release/bin/*_bench)
[[ ${#benches[@]} -gt 0 ]] || {
  echo "bench: no benchmark was built" >&2
  exit 1
}
if [[ $all ]]; then
  mkdir -p "$figures"
  rm -f "$figures"/*.json
  python3 bench/measure.py "$figures/machine.json"
fi
measure_parts "$@"
[[ $all ]] || exit 0
echo
echo "== the HTTP server and nginx"
JSON=$figures/http.json bench/http_vs_nginx.sh
measure_whole "the pipeline, DuckDB, ClickHouse and polars" pipeline \
  python3 bench/pipeline_bench.py --runs "${RUNS:-5}"
measure_whole "the queue and the services apart, nginx, NATS JetStream and Redis" queue \
  python3 bench/queue_bench.py --runs "${RUNS:-5}"
measure_whole "the API, Prometheus and nginx" api python3 bench/api_bench.py --runs "${RUNS:-5}"
measure_whole "the dashboard with 10,000 GPUs" dashboard \
  python3 bench/dashboard_bench.py --runs "${RUNS:-5}" || echo "bench: the dashboard is too slow"
measure_whole "growing: fleets, histories, collectors" scaling \
  python3 bench/scaling_bench.py --runs "${RUNS:-3}"
python3 bench/report.py --figures "$figures" --out build/bench/performance.md
