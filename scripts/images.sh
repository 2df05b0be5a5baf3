#!/usr/bin/env bash
# Builds or pushes the images of the services with docker or, where there is no Docker engine,
# buildah: scripts/images.sh build|push
#
#   REGISTRY   what comes before the names, such as ghcr.io/example; empty for none
#   TAG        latest unless given
#   TARGETS    which of docker/Dockerfile's targets; all unless given
#   BUILDER    docker or buildah; the first of them that works unless given
#   BUILD_ARGUMENTS   more arguments for the builder, such as "--isolation chroot"
set -euo pipefail
cd "$(dirname "$0")/.."
REGISTRY=${REGISTRY:-}
TAG=${TAG:-latest}
TARGETS=${TARGETS:-streamer collector api queueservice all-in-one}

die() {
  echo "images: $*" >&2
  exit 1
}

if [[ -z ${BUILDER:-} ]]; then
  if command -v docker > /dev/null && docker info > /dev/null 2>&1; then
    BUILDER=docker
  elif command -v buildah > /dev/null; then
    BUILDER=buildah
  elif command -v docker > /dev/null; then
    die "docker is installed, and its engine does not answer. Start it (docker info says what is wrong)."
  else
    die "there is neither docker nor buildah. https://docs.docker.com/get-docker/ says how to get Docker."
  fi
fi

name_of() {
  local name=gpu-telemetry-$1
  [[ $1 != all-in-one ]] || name=gpu-telemetry
  echo "${REGISTRY:+${REGISTRY%/}/}$name:$TAG"
}

build() {
  local revision version
  revision=$(git describe --always --dirty --exclude='*' --abbrev=12 2> /dev/null || echo unknown)
  version=$(git describe --tags --match 'v[0-9]*' 2> /dev/null | sed 's/^v//' || true)
  [[ -n $version ]] || version=$(sed -n 's/^project(.* VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
  local command=(docker build)
  # Docker's own format knows HEALTHCHECK.
  [[ $BUILDER == docker ]] || command=(buildah bud --layers --format docker)
  # shellcheck disable=SC2206  # words
  command+=(${BUILD_ARGUMENTS:-})
  for target in $TARGETS; do
    echo "== $(name_of "$target")"
    "${command[@]}" -f docker/Dockerfile --target "$target" -t "$(name_of "$target")" \
      --build-arg "VERSION=$version" --build-arg "REVISION=$revision" \
      ${JOBS:+--build-arg "JOBS=$JOBS"} .
  done
}

push() {
  [[ -n $REGISTRY ]] || die "REGISTRY= is empty: where should the images go? Such as
make docker-push REGISTRY=ghcr.io/you TAG=v1.0.0"
  for target in $TARGETS; do
    echo "== $(name_of "$target")"
    "$BUILDER" push "$(name_of "$target")"
  done
}

case ${1:-} in
  build) build ;;
  push) push ;;
  *) die "what shall be done? scripts/images.sh build|push" ;;
esac
