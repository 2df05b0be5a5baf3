#!/bin/sh
# Requests per second of our HTTP server and of nginx, both serving one fixed body from memory, one
# after the other in each round so that what else the machine does hits both alike; and the CPU time
# of each server per request, which a busy machine disturbs less. Prints each round, the medians and
# the ratio of requests. Needs wrk, nginx and a release build.
#   bench/http_vs_nginx.sh [ROUNDS [SECONDS [CONNECTIONS [BODY_BYTES [THREADS]]]]]
# JSON=FILE writes the medians there as well, as the other benchmarks' --json does.
set -eu
rounds=${1:-5} seconds=${2:-3} connections=${3:-32} bytes=${4:-1024} threads=${5:-$(nproc)}
root=$(cd "$(dirname "$0")/.." && pwd)
server=$root/build/release/bin/http_fixed_server
our_port=${OUR_PORT:-18480} nginx_port=${NGINX_PORT:-18481}
for tool in wrk nginx "$server"; do
  command -v "$tool" >/dev/null || { echo "needs $tool" >&2; exit 1; }
done

directory=$(mktemp -d)
pids=
cleanup() {
  for pid in $pids; do kill "$pid" 2>/dev/null || true; done
  wait
  rm -rf "$directory"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

body=$(head -c "$bytes" /dev/zero | tr '\0' x)
sed -e "s|@DIRECTORY@|$directory|g; s|@THREADS@|$threads|; s|@PORT@|$nginx_port|; s|@BODY@|$body|" \
  "$root/bench/nginx.conf" >"$directory/nginx.conf"
nginx -p "$directory" -c "$directory/nginx.conf" -e stderr & nginx_pid=$!
pids="$pids $nginx_pid"
"$server" "$our_port" "$bytes" "$threads" & our_pid=$!
pids="$pids $our_pid"

cpu_ticks() { # PID: of it and its children, user and system
  # shellcheck disable=SC2046  # one word for each child
  cat /proc/"$1"/stat $(sed 's|[0-9][0-9]*|/proc/&/stat|g' "/proc/$1/task/$1/children") |
    awk '{sub(/.*\) /, ""); sum += $12 + $13} END {print sum}'
}
measure() { # PORT SECONDS PID FILE: appends "requests/s CPU-us/request"
  before=$(cpu_ticks "$3")
  wrk -t 2 -c "$connections" -d "${2}s" "http://127.0.0.1:$1/" >"$directory/wrk"
  if grep -q 'Non-2xx\|Socket errors' "$directory/wrk"; then cat "$directory/wrk" >&2; exit 1; fi
  after=$(cpu_ticks "$3")
  awk -v ticks=$((after - before)) -v hertz="$(getconf CLK_TCK)" '
    / requests in / {requests = $1}
    /Requests\/sec/ {printf "%.0f %.2f\n", $2, ticks / hertz * 1e6 / requests}' \
    "$directory/wrk" | tee -a "$4"
}
median() { # FILE COLUMN
  awk -v column="$2" '{print $column}' "$1" | sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'
}

sleep 1
measure "$our_port" 1 "$our_pid" /dev/null >/dev/null
measure "$nginx_port" 1 "$nginx_pid" /dev/null >/dev/null
for round in $(seq "$rounds"); do
  ours=$(measure "$our_port" "$seconds" "$our_pid" "$directory/ours")
  nginx=$(measure "$nginx_port" "$seconds" "$nginx_pid" "$directory/nginx")
  echo "round $round (requests/s, CPU us/request): ours $ours, nginx $nginx"
done
ours=$(median "$directory/ours" 1)
nginx=$(median "$directory/nginx" 1)
echo "$connections connections, $bytes bytes, $threads threads, medians of $rounds rounds of ${seconds}s:"
echo "ours $ours/s at $(median "$directory/ours" 2) us, nginx $nginx/s at $(median "$directory/nginx" 2) us," \
  "ratio $(awk "BEGIN {printf \"%.2f\", $ours / $nginx}")"
if [ -n "${JSON:-}" ]; then
  figure() { # NAME UNIT VALUE
    printf '  "%s": {"unit": "%s", "median": %s}' "$1" "$2" "$3"
  }
  {
    printf '{\n "bench": "http", "date": "%s", "runs": %s, "missing": [],\n' \
      "$(date -u +%Y-%m-%dT%H:%M:%S+00:00)" "$rounds"
    printf ' "peers": {"nginx": "%s"},\n "figures": {\n' "$(nginx -v 2>&1 | sed 's|.*/||')"
    figure ours requests/s "$ours" && echo ,
    figure nginx requests/s "$nginx" && echo ,
    figure "ours: CPU" s "$(median "$directory/ours" 2)e-6" && echo ,
    figure "nginx: CPU" s "$(median "$directory/nginx" 2)e-6"
    printf '\n }\n}\n'
  } >"$JSON"
fi
