#!/usr/bin/env bash
# A MongoDB-protocol server for tests: `mongod` when it is on PATH, else mongo-java-server, which is
# fetched once into build/test-servers/ (7 MB from Maven Central).
#
#   tests/servers/mongodb.sh install            prints which of the two it is
#   tests/servers/mongodb.sh run PORT FOLDER    serves 127.0.0.1:PORT until it is killed; only
#                                               mongod keeps its data in FOLDER
#
# MONGO_STAND_IN_HEAP (512m) is the memory of the stand-in, which keeps everything in it.
#
# This shell becomes the server, so its process id is the server's. Exit code 77: there is neither,
# and standard error says how to get one.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
source=$here/mongo_java_server
# By what is asked for, so that a change of it is another folder.
cache=$root/build/test-servers/mongo-$(cat "$source/pom.xml" "$source/MongoStandIn.java" | sha256sum | cut -c 1-16)

nothing() {
  echo "mongodb.sh: $*. Set TEST_MONGODB_URI, put a mongod on PATH, or let
scripts/install-dependencies.sh --test install default-jdk-headless and maven" >&2
  exit 77
}

install_stand_in() {
  [[ ! -e $cache/complete ]] || return 0
  local program
  for program in java javac mvn; do
    command -v $program > /dev/null || nothing "no mongod and no $program on PATH"
  done
  mkdir -p "$cache"
  (
    flock 9
    [[ ! -e $cache/complete ]] || exit 0
    # Quiet but for errors; -C refuses a file whose checksum is wrong.
    mvn -q -B -C -f "$source/pom.xml" dependency:copy-dependencies \
      -DoutputDirectory="$cache/jars" < /dev/null >&2 ||
      nothing "maven could not fetch mongo-java-server (above)"
    javac -cp "$cache/jars/*" -d "$cache/classes" "$source/MongoStandIn.java" >&2
    touch "$cache/complete"
  ) 9> "$cache/lock"
}

case ${1:-} in
  install)
    if command -v mongod > /dev/null; then
      echo mongod
    else
      install_stand_in
      echo mongo-java-server
    fi
    ;;
  run)
    [[ $# -eq 3 ]] || {
      echo "usage: mongodb.sh run PORT FOLDER" >&2
      exit 2
    }
    if command -v mongod > /dev/null; then
      mkdir -p "$3"
      exec mongod --bind_ip 127.0.0.1 --port "$2" --dbpath "$3" --setParameter ttlMonitorSleepSecs=1
    fi
    install_stand_in
    # Small and quick to start: it lives for seconds.
    exec java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto -Xmx"${MONGO_STAND_IN_HEAP:-512m}" \
      -cp "$cache/classes:$cache/jars/*" MongoStandIn 127.0.0.1 "$2"
    ;;
  *)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
    exit 2
    ;;
esac
