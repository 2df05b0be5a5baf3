#!/usr/bin/env bash
# Installs what is missing to build, run and test this repository, on Debian 12 or newer and
# Ubuntu 24.04 or newer. When nothing is missing it does nothing, and asks no server.
#
#   scripts/install-dependencies.sh [--run|--test|--bench|--dev]... [--list]
#
#   --run    to build and run the program (default)
#   --test   also what `make test` needs
#   --bench  also what `make bench` needs: Google Benchmark, the programs we are measured against
#   --dev    --test, and what speeds up or explains daily work
#   --list   only print the packages, one a line
#
# Several profiles may be named at once.
set -euo pipefail

# The one list. Columns: from which profile on, the package, why. `a|b>=V` is the first that is
# there: distributions call some packages differently. `command:package` is only missing when there is
# no such command: people have Node from elsewhere, and its package would quarrel with that.
packages() {
  cat <<'LIST'
run    g++                                          # C++20 compiler
run    cmake                                        # build system, 3.22 or newer
run    ninja-build                                  # runs the build
run    git                                          # names the commit in `gpu-telemetry version`
run    libboost1.81-dev|libboost-dev>=1.81          # Asio, Result
run    libboost-json1.81-dev|libboost-json-dev>=1.81  # requests of the queue service
run    libssl-dev                                   # digests
run    zlib1g-dev                                   # gzip: CSV files, HTTP bodies
run    libsqlite3-dev                               # catalogue of the embedded store
run    libhiredis-dev                               # RESP, for the queue on Redis
run    libmongoc-dev                                # the MongoDB store
run    libfmt-dev                                   # beneath spdlog
run    libspdlog-dev                                # logs
run    prometheus-cpp-dev                           # metrics
run    node:nodejs                                  # builds the dashboard; 18 or newer
run    npm:npm                                      # fetches what it is built with
run    libgtest-dev                                 # cmake configures the tests with everything else
run    libgmock-dev
test   libbenchmark-dev                             # benchmarks are compiled with the tests
test   python3                                      # lints, end-to-end tests
test   curl                                         # end-to-end tests
test   jq                                           # system-test.sh
test   chromium:chromium                            # opens the dashboard
test   openssl                                      # certificates of end-to-end tests
test   faketime                                     # moves the clock of a process that is tested
test   promtool:prometheus                          # tests of the alerts
test   redis-server                                 # the queue on Redis, tested on a real one
test   default-jdk-headless                         # compiles and runs the MongoDB stand-in of the tests
test   maven                                        # fetches it
test   clang-19                                     # sanitizers, thread-safety analysis, fuzzing
test   libclang-rt-19-dev                           # libFuzzer and the sanitizers
test   llvm-19                                      # names the functions in their reports
test   clang-format-19                              # one version, because they differ
bench  libbenchmark-dev
bench  nginx-light                                  # peer: small HTTP responses
bench  wrk                                          # HTTP load
bench  prometheus                                   # peer: queries and bytes a sample
bench  nats-server                                  # peer: the queue
bench  libnats-dev                                  # its client in C
bench  python3                                      # runs the programs and their peers
bench  python3-venv                                 # peers from PyPI: DuckDB, ClickHouse, polars
bench  redis-server                                 # peer: plain streams; beneath the queue on Redis
bench  chromium:chromium                            # opens the dashboard
bench  default-jdk-headless                         # the MongoDB stand-in that collectors fill
bench  maven                                        # fetches it
dev    ccache                                       # rebuilds from cache
dev    mold                                         # links faster
dev    gcovr                                        # make cover
dev    gdb
LIST
}

die() {
  echo "install-dependencies: $*" >&2
  exit 1
}

profiles=(run)
list_only=false
for argument in "$@"; do
  case $argument in
    --run | --test | --bench) profiles+=("${argument#--}") ;;
    --dev) profiles+=(test dev) ;;
    --list) list_only=true ;;
    -h | --help)
      sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"
      exit 0
      ;;
    *) die "unknown option $argument (expected --run, --test, --bench, --dev or --list)" ;;
  esac
done

wanted=$(IFS='|' && echo "${profiles[*]}")
mapfile -t specs < <(packages | sed 's/ *#.*//' | awk -v w="^($wanted)\$" '$1 ~ w && !seen[$2]++ {print $2}')

command -v apt-get > /dev/null && command -v dpkg-query > /dev/null ||
  die "this system has no apt-get. Install the equivalents of these packages by hand, then build:
$(printf '  %s\n' "${specs[@]}")"

# installed_version NAME, candidate_version NAME: empty when there is none.
installed_version() {
  dpkg-query -W -f '${db:Status-Status} ${Version}\n' "$1" 2> /dev/null | sed -n 's/^installed //p' || true
}
candidate_version() {
  apt-cache policy "$1" 2> /dev/null | sed -n 's/^  Candidate: //p' | grep -v '^(none)$' || true
}

# Prints the first alternative of the spec whose version, as the function $2 sees it, is new enough.
first_that() {
  local spec=$1 version_of=$2 alternative name least version
  if [[ $spec == *:* ]]; then
    if [[ $version_of == installed_version ]] && command -v "${spec%%:*}" > /dev/null; then
      echo "${spec#*:}"
      return 0
    fi
    spec=${spec#*:}
  fi
  for alternative in ${spec//|/ }; do
    name=${alternative%%>=*}
    least=${alternative#"$name"}
    least=${least#>=}
    version=$("$version_of" "$name")
    [[ -n $version ]] || continue
    if [[ -z $least ]] || dpkg --compare-versions "$version" ge "$least"; then
      echo "$name"
      return 0
    fi
  done
  return 1
}

missing=()
for spec in "${specs[@]}"; do
  first_that "$spec" installed_version > /dev/null || missing+=("$spec")
done
if $list_only; then
  for spec in "${specs[@]}"; do
    first_that "$spec" installed_version || first_that "$spec" candidate_version || echo "$spec"
  done
  exit 0
fi
[[ ${#missing[@]} -gt 0 ]] || exit 0

as_root=()
if [[ $(id -u) -ne 0 ]]; then
  names=$(printf ' %s' "${missing[@]}")
  command -v sudo > /dev/null || die "not root, and there is no sudo. As root, install:$names"
  if [[ -t 0 ]]; then as_root=(sudo); else as_root=(sudo -n); fi
  "${as_root[@]}" true || die "sudo does not let us in. As root, install:$names"
fi
apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o Acquire::Retries=3 \
    -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" < /dev/null
}

echo "Missing for '${profiles[*]}': ${missing[*]}"
echo "Asking the package servers what they have (apt-get update)..."
# A foreign repository that fails must not stop us: what counts is whether the packages are found.
apt update > /dev/null || echo "apt-get update failed; trying with the lists that are here" >&2

names=()
for spec in "${missing[@]}"; do
  name=$(first_that "$spec" candidate_version) ||
    die "no package for '$spec'. Is there a network, and is this Debian 12+ or Ubuntu 24.04+ (with
universe)? /etc/os-release says: $(. /etc/os-release && echo "${PRETTY_NAME:-unknown}")"
  names+=("$name")
done
echo "Installing: ${names[*]}"
apt install -y --no-install-recommends "${names[@]}" ||
  die "apt-get could not install: ${names[*]} (its messages are above)"
echo "Installed."
