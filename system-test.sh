#!/usr/bin/env bash
# Tests a running GPU telemetry pipeline from outside, from the first sample to the last error page.
#
#   ./system-test.sh                                  the one in a Kubernetes cluster
#   BASE_URL=http://localhost:8080 ./system-test.sh   one behind a URL (make run, docker compose up)
#
# In a cluster (kubectl must reach it) the API is asked at localhost:API_PORT; where nothing answers
# there, `kubectl port-forward service/api-gateway` is started and ended again. With BASE_URL
# kubectl is not used: instead of the logs, what the API says of the pipeline is judged.
#
#   NAMESPACE            of the pipeline in the cluster (default: default)
#   API_PORT             on this machine (default: 8080)
#   API_SCHEME           http, or https where the API has a certificate (default: http)
#   BASE_URL             where the API is, http:// or https:// (default: none, see above)
#   API_TOKEN_FILE       file with a bearer token, where the API asks for one (default: none)
#   COMPONENTS           labels `app` whose pods and logs are judged in a cluster
#                        (default: streamer collector queue-service api-gateway)
#   SYSTEM_TEST_TIMEOUT  seconds to wait for the API, and then for data (default: 120)
#   CURL_CA_BUNDLE       authorities that an https certificate may come from (default: the system's)
#
# Nothing is changed: all it does is ask. Exit status: 0 all passed, 1 some failed, 2 not run (wrong
# use, a tool is missing, or nothing answers).
# shellcheck disable=SC2016  # $names in single quotes are those of jq
set -uo pipefail

NAMESPACE=${NAMESPACE:-default}
API_PORT=${API_PORT:-8080}
API_SCHEME=${API_SCHEME:-http}
BASE_URL=${BASE_URL:-}
API_TOKEN_FILE=${API_TOKEN_FILE:-}
COMPONENTS=${COMPONENTS:-streamer collector queue-service api-gateway}
SYSTEM_TEST_TIMEOUT=${SYSTEM_TEST_TIMEOUT:-120}

# Timestamps of one GPU that there must be before order and ranges can be judged: two that are asked
# for, and one on either side that must stay out.
readonly DISTINCT_TIMES=4

# --- What is said -------------------------------------------------------------------------------
red='' green='' yellow='' blue='' plain=''
if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
  red=$'\e[31m' green=$'\e[32m' yellow=$'\e[33m' blue=$'\e[34m' plain=$'\e[0m'
fi
info() { echo "${blue}[INFO]${plain} $*"; }
success() { echo "${green}[SUCCESS]${plain} $*"; }
warning() { echo "${yellow}[WARNING]${plain} $*"; }
error() { echo "${red}[ERROR]${plain} $*"; }
refuse() {
  error "$*" >&2
  exit 2
}

problems=() # of the check that runs
problem() { problems+=("$*"); }

# --- Before anything is asked -------------------------------------------------------------------
read_arguments() {
  case ${1:-} in
    '') ;;
    -h | --help)
      sed -n '2,/^# shellcheck/{/^# shellcheck/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    *) refuse "unknown argument '$1': settings are environment variables, ./system-test.sh --help lists them" ;;
  esac
}

is_number_in() { [[ $1 =~ ^[0-9]{1,6}$ ]] && ((10#$1 >= $2 && 10#$1 <= $3)); }

check_settings() {
  is_number_in "$API_PORT" 1 65535 || refuse "API_PORT is '$API_PORT'; it must be a port, 1 to 65535"
  is_number_in "$SYSTEM_TEST_TIMEOUT" 1 86400 ||
    refuse "SYSTEM_TEST_TIMEOUT is '$SYSTEM_TEST_TIMEOUT'; it must be whole seconds, 1 to 86400"
  [[ $API_SCHEME =~ ^https?$ ]] || refuse "API_SCHEME is '$API_SCHEME'; it must be http or https"
  [[ -z $BASE_URL || $BASE_URL =~ ^https?://[^/[:space:]]+ ]] ||
    refuse "BASE_URL is '$BASE_URL'; it must be like http://localhost:8080"
  [[ $NAMESPACE =~ ^[a-z0-9]([-a-z0-9]*[a-z0-9])?$ ]] ||
    refuse "NAMESPACE is '$NAMESPACE'; it must be the name of a Kubernetes namespace"
}

need() { # need TOOL HOW-TO-INSTALL
  command -v "$1" > /dev/null || refuse "$1 is missing. Install it: $2"
}

check_tools() {
  ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 404)) ||
    refuse "this is bash $BASH_VERSION; 4.4 or newer is needed: apt-get install bash, or brew install bash"
  need curl "apt-get install curl, or brew install curl"
  need jq "apt-get install jq, or brew install jq"
  [[ -n $BASE_URL ]] ||
    need kubectl "https://kubernetes.io/docs/tasks/tools/. To test a pipeline outside of a cluster set BASE_URL, for example BASE_URL=http://localhost:$API_PORT"
}

# The token goes to curl in a file: others on the machine can read command lines.
prepare_token() {
  [[ -n $API_TOKEN_FILE ]] || return 0
  [[ -r $API_TOKEN_FILE ]] || refuse "API_TOKEN_FILE: $API_TOKEN_FILE cannot be read"
  local token
  token=$(tr -d '\r' < "$API_TOKEN_FILE")
  [[ $token =~ ^[!-~]+$ ]] ||
    refuse "API_TOKEN_FILE: $API_TOKEN_FILE must hold one token and nothing else"
  (umask 077 && printf 'Authorization: Bearer %s\n' "$token" > "$work/authorization")
  curl_options+=(-H "@$work/authorization")
}

# --- Asking the API -----------------------------------------------------------------------------
curl_options=(-sS -g --max-time 30 -H 'Accept: application/json, */*;q=0.5')

# ask FILE PATH: the body in FILE, STATUS and TYPE of the answer. False, and a problem, when there is
# no answer. A server that asks for patience (429) gets it.
ask() {
  local file=$1 path=$2 answer attempt
  for attempt in {1..10}; do
    if ! answer=$(curl "${curl_options[@]}" -o "$file" -w '%{http_code} %{content_type}' "$base$path" 2> "$work/curl.log"); then
      STATUS=000 TYPE=''
      problem "GET $path: $(head -n 1 "$work/curl.log")"
      return 1
    fi
    STATUS=${answer%% *} TYPE=${answer#* }
    [[ $STATUS == 429 ]] || break
    sleep "$((attempt < 3 ? 1 : 3))"
  done
}

excerpt() { head -c 300 "$1" | tr -c '[:print:]' ' '; }

# fetch FILE PATH: an answer that must be 200 and JSON.
fetch() {
  ask "$1" "$2" || return 1
  if [[ $STATUS == 401 || $STATUS == 403 ]]; then
    problem "GET $2: status $STATUS; API_TOKEN_FILE must name a file with a token that may read"
  elif [[ $STATUS != 200 ]]; then
    problem "GET $2: status $STATUS instead of 200: $(excerpt "$1")"
  elif [[ $TYPE != application/json* ]]; then
    problem "GET $2: Content-Type '$TYPE' instead of application/json"
  elif ! jq -e 'type == "object"' "$1" > /dev/null 2>&1; then
    problem "GET $2: not a JSON object: $(excerpt "$1")"
  else
    return 0
  fi
  return 1
}

# What the filters below share. Times are compared as text of one length: RFC 3339 in UTC, with three
# digits of a second or none.
readonly JQ_DEFINITIONS='
def is_time: type == "string" and test("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{3})?Z$");
def instant: rtrimstr("Z") | split(".") | .[0] + "." + (.[1] // "000");
def times: map(.timestamp) | unique_by(instant) | reverse;
def reach: if .next_cursor then .telemetry | map(.timestamp | instant) | min else "" end;
def behind($reach): map(select((.timestamp | instant) > $reach));
def within($first; $last): map(select((.timestamp | instant) as $t
  | $t >= ($first | instant) and $t <= ($last | instant)));
def by_key: map({key: (.metric_name + " at " + .timestamp), value: .value}) | from_entries;
def show: tojson | .[0:120];
def differs($expected; $what): by_key as $got | $expected | by_key | to_entries[]
  | select($got[.key] != .value)
  | "\($what): \(.key) is \($got[.key] | show) instead of \(.value | show)";
def out_of_order($rising): [map([(.timestamp | instant), .metric_name]) as $keys
  | range(1; $keys | length) | . as $i | $keys[$i - 1] as $a | $keys[$i] as $b
  | select((if $rising then $a[0] > $b[0] else $a[0] < $b[0] end) or ($a[0] == $b[0] and $a[1] >= $b[1]))
  | "entry \($i) (\($b | join(" "))) follows \($a | join(" "))"] | .[0] // empty;
'

# judge FILE FILTER [JQ-ARGUMENT...]: the filter says what is wrong, a string each; nothing is good.
judge() {
  local file=$1 filter=$2 found status
  shift 2
  found=$(jq -r "$@" "$JQ_DEFINITIONS $filter" "$file" 2>&1)
  status=$?
  ((status != 3)) || refuse "$(jq --version) does not understand this script; 1.6 or newer is needed: $found"
  if ((status != 0)); then
    problem "the answer has not the shape that the API documents: $(head -n 1 <<< "$found")"
    return 1
  fi
  [[ -n $found ]] || return 0
  local lines
  mapfile -t lines <<< "$found"
  problem "${lines[0]}$( ((${#lines[@]} == 1)) || echo " (and $((${#lines[@]} - 1)) more)")"
  return 1
}

# wait_until COMMAND...: tries once a second. False when the time is up; the problems are those of the
# last try.
wait_until() {
  local before=("${problems[@]}") deadline=$((SECONDS + SYSTEM_TEST_TIMEOUT))
  until problems=("${before[@]}") && "$@"; do
    ((SECONDS < deadline)) || return 1
    sleep 1
  done
}

# --- Reaching the API ---------------------------------------------------------------------------
forward=''
finish() {
  [[ -z $forward ]] || { kill "$forward" && wait "$forward"; } 2> /dev/null
  rm -rf "$work"
}

answers() { ask "$work/health.json" /health; }

forward_answers() {
  kill -0 "$forward" 2> /dev/null ||
    refuse "kubectl port-forward service/api-gateway (namespace $NAMESPACE) ended: $(tail -n 1 "$work/forward.log")"
  answers
}

reach_api() {
  if [[ -n $BASE_URL ]]; then
    info "Waiting for $base (at most $SYSTEM_TEST_TIMEOUT s)..."
    wait_until answers || refuse "nothing answers at $base: ${problems[*]}"
    return
  fi
  if ! answers; then
    info "Nothing answers at $base; starting kubectl port-forward service/api-gateway..."
    kubectl port-forward --namespace "$NAMESPACE" service/api-gateway "$API_PORT:8080" \
      > "$work/forward.log" 2>&1 < /dev/null &
    forward=$!
    wait_until forward_answers ||
      refuse "nothing answers through kubectl port-forward service/api-gateway (namespace $NAMESPACE): ${problems[*]}"
  fi
}

# --- The checks ---------------------------------------------------------------------------------
is_healthy() {
  fetch "$work/health.json" /health && judge "$work/health.json" '
    (select(.status != "healthy") | "/health: status is \(.status | show) instead of \"healthy\""),
    (select(.timestamp | is_time | not) | "/health: timestamp is \(.timestamp | show)")'
}

check_health() { wait_until is_healthy; }

# The GPU that was heard of last is the one that the other checks ask for.
choose_gpu() {
  fetch "$work/gpus.json" /api/v1/gpus || return 1
  uuid=$(jq -r '.gpus | max_by(.last_seen // "") | .uuid // ""' "$work/gpus.json" 2> /dev/null)
  if [[ ! $uuid =~ ^(GPU|MIG)-[0-9a-fA-F-]{36}$ ]]; then
    problem "no GPU has been stored: $(excerpt "$work/gpus.json")"
    return 1
  fi
  gpu_path=/api/v1/gpus/$uuid
  fetch "$work/telemetry.json" "$gpu_path/telemetry" && judge "$work/telemetry.json" '
    if (.telemetry | length) == 0 then "no telemetry of \(.gpu_uuid | show) has been stored" else empty end'
}

check_ingestion() {
  wait_until choose_gpu || {
    uuid=''
    problem "waited $SYSTEM_TEST_TIMEOUT s for the first data"
    return 1
  }
  title="Data Ingestion (found $(jq '.gpus | length' "$work/gpus.json") GPU(s))"
}

check_list() {
  fetch "$work/list.json" /api/v1/gpus && judge "$work/list.json" '
    (if .total != (.gpus | length) then "total is \(.total | show), but there are \(.gpus | length) GPUs" else empty end),
    (.gpus | group_by(.uuid)[] | select(length > 1) | "\(.[0].uuid | show) is listed \(length) times"),
    (if any(.gpus[]; .uuid == $uuid) then empty else "\($uuid) was listed before, and is not now" end)' \
    --arg uuid "$uuid" || return 1
  fetch "$work/page.json" '/api/v1/gpus?limit=1' && judge "$work/page.json" '
    (if (.gpus | length) != 1 then "limit=1 gives \(.gpus | length) GPUs" else empty end),
    (if .total < ($all[0].total) then "limit=1: total is \(.total | show), it was \($all[0].total)" else empty end)' \
    --slurpfile all "$work/list.json"
}

check_details() {
  fetch "$work/gpu.json" "$gpu_path" && judge "$work/gpu.json" '
    . as $gpu | ($list[0].gpus[] | select(.uuid == $uuid)) as $listed
    | ("uuid", "device_id", "gpu_index", "model_name", "hostname")
    | select($gpu[.] != $listed[.] or $gpu[.] == null)
    | "\(.) is \($gpu[.] | show); in the list it is \($listed[.] | show)"' \
    --arg uuid "$uuid" --slurpfile list "$work/gpus.json"
}

# Newest values, telemetry, and telemetry of one instant are three ways to one value.
check_telemetry() {
  fetch "$work/latest.json" "$gpu_path/latest" && fetch "$work/telemetry.json" "$gpu_path/telemetry" ||
    return 1
  judge "$work/telemetry.json" '$latest[0].latest as $newest
    | (if .gpu_uuid != $uuid then "gpu_uuid is \(.gpu_uuid | show) instead of \($uuid)" else empty end),
      (if .count != (.telemetry | length) then "count is \(.count | show), but there are \(.telemetry | length) samples" else empty end),
      (if ($newest | length) == 0 then "/latest of \($uuid) has no value" else empty end),
      (reach as $reach | .telemetry | differs($newest | behind($reach); "telemetry beside /latest"))' \
    --arg uuid "$uuid" --slurpfile latest "$work/latest.json" || return 1
  local time
  time=$(jq -r "$JQ_DEFINITIONS .latest | times[0]" "$work/latest.json")
  fetch "$work/instant.json" "$gpu_path/telemetry?start_time=$time&end_time=$time" &&
    judge "$work/instant.json" '.telemetry
      | (map(select(.timestamp != $time))[] | "a sample of \(.timestamp) in an answer for \($time) alone"),
        differs($latest[0].latest | map(select(.timestamp == $time)); "telemetry of one instant beside /latest"),
        differs($all[0].telemetry | map(select(.timestamp == $time)); "telemetry of one instant beside all of it")' \
      --arg time "$time" --slurpfile latest "$work/latest.json" --slurpfile all "$work/telemetry.json"
}

has_several_times() {
  fetch "$work/telemetry.json" "$gpu_path/telemetry" && judge "$work/telemetry.json" '
    (.telemetry | times | length) as $n
    | if $n < $least then "\($n) timestamps of one GPU are too few, \($least) are needed" else empty end' \
    --argjson least "$DISTINCT_TIMES"
}

# Two timestamps that follow each other, and neither the newest nor the oldest of the answer; rather
# older ones, because what is newest may still be arriving. Sets `earlier` and `later`.
choose_range() {
  earlier='' later=''
  wait_until has_several_times || {
    problem "waited $SYSTEM_TEST_TIMEOUT s for more"
    return 1
  }
  read -r earlier later < <(jq -r "$JQ_DEFINITIONS .telemetry | times
    | ([length - 3, 8] | min) as \$i | \"\(.[\$i + 1]) \(.[\$i])\"" "$work/telemetry.json")
}

check_order() {
  choose_range || return 1
  judge "$work/telemetry.json" '.telemetry | out_of_order(false) | "newest first: \(.)"' || return 1
  local newest
  newest=$(jq -r "$JQ_DEFINITIONS .telemetry | times[0]" "$work/telemetry.json")
  fetch "$work/rising.json" "$gpu_path/telemetry?order=asc&start_time=$earlier&end_time=$newest" &&
    judge "$work/rising.json" '.telemetry
      | (out_of_order(true) | "order=asc: \(.)"),
        (if .[0].timestamp != $earlier then "order=asc begins at \(.[0].timestamp | show) instead of \($earlier)" else empty end),
        differs($all[0].telemetry | within($earlier; $newest); "order=asc beside newest first")' \
      --arg earlier "$earlier" --arg newest "$newest" --slurpfile all "$work/telemetry.json"
}

check_ranges() {
  [[ -n $earlier ]] || choose_range || return 1
  local query="$gpu_path/telemetry?start_time=$earlier&end_time=$later"
  fetch "$work/range.json" "$query" && fetch "$work/after.json" "$gpu_path/telemetry" || return 1
  # What was there before must be in it; what is in it must be in the range, and be there afterwards.
  judge "$work/range.json" '.telemetry
    | (map(.timestamp) | unique) as $got
    | (($earlier, $later) | select(IN($got[]) | not)
       | "\(.), an end of the range \($earlier) to \($later), is missing in it"),
      (length as $n | (within($earlier; $later) | length) | select(. != $n)
       | "\($n - .) samples outside of the range \($earlier) to \($later)"),
      differs($before[0].telemetry | within($earlier; $later); "a range beside all of it"),
      (. as $range | $after[0] | reach as $reach
       | .telemetry | differs($range | behind($reach); "all of it beside a range"))' \
    --arg earlier "$earlier" --arg later "$later" \
    --slurpfile before "$work/telemetry.json" --slurpfile after "$work/after.json" || return 1
  check_open_ranges && check_empty_range
}

# A range with one end: the first sample behind it is the one at it.
check_open_ranges() {
  fetch "$work/from.json" "$gpu_path/telemetry?order=asc&limit=1&start_time=$later" &&
    judge "$work/from.json" '.telemetry[0].timestamp
      | select(. != $time) | "start_time=\($time) alone begins at \(. | show)"' --arg time "$later" &&
    fetch "$work/until.json" "$gpu_path/telemetry?limit=1&end_time=$earlier" &&
    judge "$work/until.json" '.telemetry[0].timestamp
      | select(. != $time) | "end_time=\($time) alone begins at \(. | show)"' --arg time "$earlier"
}

check_empty_range() {
  local from to
  fetch "$work/first.json" "$gpu_path/telemetry?order=asc&limit=1" || return 1
  read -r from to < <(jq -r '.telemetry[0].timestamp[0:19] + "Z" | fromdateiso8601
    | "\(. - 3601 | todateiso8601) \(. - 1 | todateiso8601)"' "$work/first.json")
  fetch "$work/none.json" "$gpu_path/telemetry?start_time=$from&end_time=$to" &&
    judge "$work/none.json" 'select(.count != 0 or .telemetry != [])
      | "a range before the first sample, \($from) to \($to), has \(.count | show) samples"' \
      --arg from "$from" --arg to "$to"
}

check_structure() {
  fetch "$work/list.json" /api/v1/gpus && judge "$work/list.json" '
    def texts: "uuid", "device_id", "gpu_index", "model_name", "hostname", "container", "pod", "namespace";
    def wrong($where; $name): "\($where): \($name) is \(if has($name) then (.[$name] | show) else "missing" end)";
    (if (.total | type) != "number" then wrong("GPU list"; "total") else empty end),
    (.gpus[] | (.uuid | show) as $gpu
     | (texts as $name | select((.[$name] | type) != "string") | wrong($gpu; $name)),
       (("uuid", "device_id", "hostname", "model_name") as $name | select(.[$name] == "") | wrong($gpu; $name)),
       (("first_seen", "last_seen") as $name | select(.[$name] | is_time | not) | wrong($gpu; $name)),
       (select((.first_seen | is_time) and (.last_seen | is_time) and (.first_seen | instant) > (.last_seen | instant))
        | "\($gpu): first_seen \(.first_seen) is after last_seen \(.last_seen)"),
       (select(.state != "live" and .state != "stale" and .state != "gone") | wrong($gpu; "state")),
       (select((.age_seconds | type) != "number" or .age_seconds < 0) | wrong($gpu; "age_seconds")),
       (select(has("scrape_interval_seconds") | not) | wrong($gpu; "scrape_interval_seconds")),
       (select((.scrape_interval_seconds | type) as $t | $t != "number" and $t != "null") | wrong($gpu; "scrape_interval_seconds")),
       (select((.labels | type) != "object" or any(.labels[]; type != "string")) | wrong($gpu; "labels")))' || return 1
  fetch "$work/telemetry.json" "$gpu_path/telemetry" && judge "$work/telemetry.json" '
    def wrong($where; $name): "\($where): \($name) is \(if has($name) then (.[$name] | show) else "missing" end)";
    (select((.gpu_uuid | type) != "string") | wrong("telemetry"; "gpu_uuid")),
    (select((.count | type) != "number") | wrong("telemetry"; "count")),
    (.telemetry | to_entries[] | "telemetry[\(.key)]" as $where | .value
     | (select((.metric_name | type) != "string" or (.metric_name | test("^[a-zA-Z_:][a-zA-Z0-9_:]*$") | not)) | wrong($where; "metric_name")),
       (select((.value | type) != "number") | wrong($where; "value")),
       (select(.timestamp | is_time | not) | wrong($where; "timestamp")))'
}

# refused STATUS PATH: must be answered with that status and an RFC 9457 problem.
refused() {
  local wanted=$1 path=$2
  ask "$work/refusal.json" "$path" || return 1
  if [[ $STATUS != "$wanted" ]]; then
    problem "GET $path: status $STATUS instead of $wanted"
  elif [[ $TYPE != application/problem+json* ]]; then
    problem "GET $path: Content-Type '$TYPE' instead of application/problem+json"
  else
    judge "$work/refusal.json" '
      (select(.status != $wanted) | "status in the problem is \(.status | show) instead of \($wanted)"),
      (("title", "detail") as $name | select((.[$name] | type) != "string" or .[$name] == "")
       | "the problem has no \($name)")' --argjson wanted "$wanted"
    return
  fi
  return 1
}

check_malformed() {
  local some=${uuid:-$unknown}
  refused 400 /api/v1/gpus/not-a-uuid && refused 400 /api/v1/gpus/not-a-uuid/telemetry &&
    refused 400 "/api/v1/gpus/$some/telemetry?start_time=2026-01-02T00:00:00Z&end_time=2026-01-01T00:00:00Z" &&
    refused 400 "/api/v1/gpus/$some/telemetry?start_time=yesterday"
}

check_unknown() {
  refused 404 "/api/v1/gpus/$unknown" && refused 404 "/api/v1/gpus/$unknown/telemetry" &&
    refused 404 "/api/v1/gpus/$unknown/latest"
}

# The page, everything that it loads, and the document that it shows.
check_swagger() {
  local page=/swagger/index.html parts part
  ask "$work/swagger.html" "$page" || return 1
  if [[ $STATUS != 200 || $TYPE != text/html* ]] || ! grep -qi swagger-ui "$work/swagger.html"; then
    problem "GET $page: no Swagger UI (status $STATUS, Content-Type '$TYPE')"
    return 1
  fi
  mapfile -t parts < <(grep -oE '(src|href)="[^":]+[.](js|css)"' "$work/swagger.html" | cut -d '"' -f 2)
  for part in "${parts[@]}"; do
    [[ $part == /* ]] || part=/swagger/${part#./}
    ask "$work/part" "$part" || return 1
    [[ $STATUS == 200 && -s $work/part ]] || {
      problem "GET $part, which the Swagger UI loads: status $STATUS"
      return 1
    }
  done
  fetch "$work/openapi.json" /openapi.json && judge "$work/openapi.json" '. as $document
    | (select(.openapi | tostring | startswith("3.") | not) | "/openapi.json: openapi is \(.openapi | show)"),
      (("/api/v1/gpus", "/api/v1/gpus/{uuid}", "/api/v1/gpus/{uuid}/telemetry") as $path
       | select($document.paths[$path].get == null) | "/openapi.json does not describe GET \($path)")'
}

# --- Components, in a cluster: pods and logs ----------------------------------------------------
ask_kubectl() { # ask_kubectl FILE ARGUMENT...
  local file=$1
  shift
  kubectl --namespace "$NAMESPACE" "$@" > "$file" 2> "$work/kubectl.log" < /dev/null && return 0
  problem "kubectl $1 $2: $(head -n 1 "$work/kubectl.log")"
  return 1
}

check_pods() { # check_pods APP
  ask_kubectl "$work/pods.json" get pods --selector "app=$1" --output json && judge "$work/pods.json" '
    (select(.items == []) | "no pod has the label app=\($app) in the namespace \($namespace)"),
    (.items[] | select(.metadata.deletionTimestamp == null)
     | select(any(.status.conditions[]?; .type == "Ready" and .status == "True") | not)
     | "pod \(.metadata.name) is not ready (\(.status.phase))")' \
    --arg app "$1" --arg namespace "$NAMESPACE"
}

# Lines of the level error, of JSON as of text.
error_lines() { grep -E '"level":"error"|^\[pod/[^]]*\] [0-9TZ:. -]+ERROR ' "$1"; }

check_log() { # check_log APP
  ask_kubectl "$work/log" logs --selector "app=$1" --prefix --tail=-1 --max-log-requests=100 \
    --since-time="$began" || return 1
  local lines
  mapfile -t lines < <(error_lines "$work/log")
  ((${#lines[@]} == 0)) || {
    problem "$1 has logged ${#lines[@]} error(s) since $began: ${lines[0]:0:400}"
    return 1
  }
  # What went wrong while it started is worth a look, and no failure.
  ask_kubectl "$work/log" logs --selector "app=$1" --prefix --tail=-1 --max-log-requests=100 \
    --since=10m || return 1
  mapfile -t lines < <(error_lines "$work/log")
  ((${#lines[@]} == 0)) ||
    warning "$1 logged ${#lines[@]} error(s) in the ten minutes before: ${lines[0]:0:400}"
}

check_cluster_components() {
  local app good=true
  for app in $COMPONENTS; do
    check_pods "$app" && check_log "$app" || good=false
  done
  $good
}

# --- Components, behind a URL: what they say of themselves --------------------------------------
remember_dead_letters() {
  dead_before=null
  [[ -n $BASE_URL ]] || return 0
  ask "$work/pipeline.json" /api/v1/pipeline && [[ $STATUS == 200 ]] &&
    dead_before=$(jq '.dead | numbers' "$work/pipeline.json" 2> /dev/null)
  dead_before=${dead_before:-null}
  problems=()
}

check_metrics() {
  ask "$work/metrics" /metrics || return 1
  [[ $STATUS == 200 ]] || {
    problem "GET /metrics: status $STATUS instead of 200"
    return 1
  }
  local odd
  odd=$(grep -vE '^(#.*)?$|^[a-zA-Z_:][a-zA-Z0-9_:]*(\{.*\})? [^ ]+( -?[0-9]+)?$' "$work/metrics" | head -n 1)
  if [[ -n $odd ]]; then
    problem "GET /metrics: a line that is not of the Prometheus text format: ${odd:0:200}"
  elif ! grep -q '^gpu_telemetry_build_info{' "$work/metrics"; then
    problem "GET /metrics: no gpu_telemetry_build_info"
  elif grep -E '^gpu_telemetry_store_damage_total(\{.*\})? ' "$work/metrics" | grep -qvE ' 0$'; then
    problem "the store is damaged (gpu_telemetry_store_damage_total); gpu-telemetry store check names the damage"
  else
    return 0
  fi
  return 1
}

check_pipeline() {
  fetch "$work/pipeline.json" /api/v1/pipeline || return 1
  if jq -e '.queue.configured == false' "$work/pipeline.json" > /dev/null; then
    warning "the API does not know the queue (QUEUE_SERVICE_URL is not set there): not judged"
    return 0
  fi
  judge "$work/pipeline.json" '
    (select(.queue.reachable != true) | "the API does not reach the queue: \(.queue.error | show)"),
    (select(.collectors != null and .collectors < 1) | "no collector takes messages from the queue"),
    (select($before != null and .dead != null and .dead > $before)
     | "\(.dead - $before) message(s) became dead letters while this ran; /api/v1/pipeline/dead-letters has the reasons")' \
    --argjson before "$dead_before" || return 1
  local dead
  dead=$(jq '.dead // 0' "$work/pipeline.json")
  ((dead == 0)) || warning "$dead dead letter(s) wait; /api/v1/pipeline/dead-letters has the reasons"
}

check_plain_components() {
  fetch "$work/ready.json" /readyz && judge "$work/ready.json" '
    (select(.status != "ready") | "/readyz: status is \(.status | show)"),
    (.checks // {} | to_entries[] | select(.value != "ok") | "/readyz: \(.key) is \(.value | show)")' &&
    check_metrics && check_pipeline
}

check_components() {
  if [[ -n $BASE_URL ]]; then check_plain_components; else check_cluster_components; fi
}

# --- Running them, and the end ------------------------------------------------------------------
results=()
failed=0
run_check() { # run_check TITLE FUNCTION [needs-data]
  title=$1
  problems=()
  local good=false text
  if [[ ${3:-} == needs-data && -z $uuid ]]; then
    problem "not checked, because no data arrived"
  elif "$2"; then
    good=true
  fi
  if $good; then
    results+=("  ${green}✓${plain} $title")
    success "$title"
    return
  fi
  failed=$((failed + 1))
  results+=("  ${red}✗${plain} $title")
  error "$title"
  for text in "${problems[@]}"; do
    results+=("      $text")
    echo "    $text"
  done
}

run_checks() {
  run_check "API Gateway Health Check" check_health
  run_check "Data Ingestion" check_ingestion
  run_check "List GPUs endpoint" check_list needs-data
  run_check "Get GPU details endpoint" check_details needs-data
  run_check "Get telemetry endpoint" check_telemetry needs-data
  run_check "Telemetry ordering (newest first)" check_order needs-data
  run_check "Time range filtering" check_ranges needs-data
  run_check "Data structure validation" check_structure needs-data
  run_check "Error handling (400 for invalid UUID)" check_malformed
  run_check "Error handling (404 for non-existent GPU)" check_unknown
  run_check "Swagger documentation" check_swagger
  run_check "Component health check" check_components
}

summarize() {
  echo
  echo "=========================================="
  echo "           TEST SUMMARY"
  echo "=========================================="
  if ((failed == 0)); then
    success "All system tests passed! ✓"
  else
    error "$failed of 12 system tests failed ✗"
  fi
  echo
  echo "Test Results:"
  printf '%s\n' "${results[@]}"
  echo
  if ((failed == 0)); then
    success "GPU Telemetry Pipeline is functioning correctly!"
  else
    error "GPU Telemetry Pipeline is NOT functioning correctly"
    [[ -n $BASE_URL ]] || info "Look at: kubectl get pods -n $NAMESPACE; kubectl logs -n $NAMESPACE -l app=COMPONENT"
  fi
  echo "=========================================="
}

main() {
  read_arguments "$@"
  check_settings
  check_tools
  work=$(mktemp -d "${TMPDIR:-/tmp}/system-test.XXXXXX") || refuse "no temporary folder can be made"
  trap finish EXIT
  trap 'exit 130' INT TERM
  prepare_token
  base=${BASE_URL%/}
  if [[ -z $base ]]; then
    base=$API_SCHEME://localhost:$API_PORT
    export no_proxy=localhost,127.0.0.1${no_proxy:+,$no_proxy}
  fi
  uuid='' gpu_path='' earlier='' later=''
  printf -v unknown 'GPU-00000000-0000-4000-8000-%04x%04x%04x' "$RANDOM" "$RANDOM" "$RANDOM"

  info "Testing the GPU telemetry pipeline at $base"
  reach_api
  # By the clock of the other side: logs are read from here on.
  began=$(jq -r '.timestamp // ""' "$work/health.json" 2> /dev/null)
  [[ $began =~ ^[0-9T:.-]+Z$ ]] || began=$(date -u +%Y-%m-%dT%H:%M:%SZ)
  remember_dead_letters
  run_checks
  summarize
  ((failed == 0))
}

main "$@"
