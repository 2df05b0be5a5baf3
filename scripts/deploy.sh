#!/usr/bin/env bash
# Installs the whole system in a Kubernetes cluster with the umbrella chart: scripts/deploy.sh
#
#   local     builds the images, makes a kind cluster, loads them into it, installs, forwards a port
#   cluster   builds and pushes the images (REGISTRY, TAG), installs in kubectl's present context
#   cleanup   ends the port-forward and the kind cluster
#
# NAMESPACE (default), API_PORT (8080: where the API is forwarded to), VALUES (more files of values,
# with spaces between), TIMEOUT (10m).
set -euo pipefail
cd "$(dirname "$0")/.."
CLUSTER=gpu-telemetry-cluster
RELEASE=gpu-telemetry
NAMESPACE=${NAMESPACE:-default}
API_PORT=${API_PORT:-8080}
TIMEOUT=${TIMEOUT:-10m}
REGISTRY=${REGISTRY:-}
TAG=${TAG:-latest}
STATE=build/port-forward

die() {
  echo "deploy: $*" >&2
  exit 1
}
say() { printf '\n== %s\n' "$*"; }

need() {
  local missing=()
  for tool in "$@"; do
    command -v "$tool" > /dev/null && continue
    case $tool in
      docker) missing+=("docker    https://docs.docker.com/get-docker/") ;;
      kind) missing+=("kind      https://kind.sigs.k8s.io/docs/user/quick-start/#installation") ;;
      kubectl) missing+=("kubectl   https://kubernetes.io/docs/tasks/tools/") ;;
      helm) missing+=("helm      https://helm.sh/docs/intro/install/") ;;
    esac
  done
  [[ ${#missing[@]} -eq 0 ]] || die "these are missing:
$(printf '  %s\n' "${missing[@]}")"
}

need_docker() {
  docker info > /dev/null 2>&1 ||
    die "Docker is installed, and its engine does not answer. Start it (docker info says what is wrong)."
}

stop_port_forward() {
  [[ -f $STATE ]] || return 0
  local pid
  pid=$(cat "$STATE")
  # Only if it is still that process, and not another one with its number.
  if grep -q port-forward "/proc/$pid/cmdline" 2> /dev/null; then kill "$pid"; fi
  rm -f "$STATE"
}

start_port_forward() {
  stop_port_forward
  mkdir -p build
  nohup kubectl -n "$NAMESPACE" port-forward service/api-gateway "$API_PORT:8080" \
    > build/port-forward.log 2>&1 < /dev/null &
  echo $! > "$STATE"
  for _ in $(seq 50); do
    if (: < "/dev/tcp/127.0.0.1/$API_PORT") 2> /dev/null; then return 0; fi
    kill -0 "$(cat "$STATE")" 2> /dev/null || break
    sleep 0.2
  done
  die "the port-forward to localhost:$API_PORT does not work (is the port taken? API_PORT= chooses another):
$(cat build/port-forward.log)"
}

install() {
  local arguments=(--namespace "$NAMESPACE" --create-namespace --wait --timeout "$TIMEOUT"
    --set "global.image.registry=$REGISTRY" --set "global.image.tag=$TAG")
  for file in ${VALUES:-}; do arguments+=(--values "$file"); done
  say "Installing the chart charts/gpu-telemetry in namespace $NAMESPACE"
  helm upgrade --install "$RELEASE" charts/gpu-telemetry "${arguments[@]}" "$@" > /dev/null || {
    kubectl -n "$NAMESPACE" get pods >&2 || true
    die "not everything became ready within $TIMEOUT. What kubectl -n $NAMESPACE describe pod NAME and
kubectl -n $NAMESPACE logs NAME say about a pod that is not ready tells why."
  }
  say "Forwarding localhost:$API_PORT to the API"
  start_port_forward
  cat << TEXT

Deployment complete.

Verification Commands:
  1. Check pods status:
     kubectl get pods -n $NAMESPACE

  2. Test API Gateway health:
     curl http://localhost:$API_PORT/health

  3. List all GPUs:
     curl http://localhost:$API_PORT/api/v1/gpus | jq

Dashboard:  http://localhost:$API_PORT/
Swagger UI: http://localhost:$API_PORT/swagger/index.html
All checks: make system-test
TEXT
}

local_deploy() {
  need docker kind kubectl helm
  need_docker
  say "Building the images"
  TARGETS="streamer collector api queueservice" REGISTRY='' TAG=$TAG BUILDER=docker scripts/images.sh build
  if kind get clusters 2> /dev/null | grep -qx "$CLUSTER"; then
    say "The kind cluster $CLUSTER is there"
  else
    say "Making the kind cluster $CLUSTER"
    kind create cluster --name "$CLUSTER" --wait 120s
  fi
  kubectl config use-context "kind-$CLUSTER" > /dev/null
  say "Loading the images into it"
  for name in streamer collector api queueservice; do
    kind load docker-image "gpu-telemetry-$name:$TAG" --name "$CLUSTER"
  done
  REGISTRY=
  # So that pods take an image that was built again under the same tag.
  install --set-string "global.image.pullPolicy=Never" \
    --set-string "streamer.podAnnotations.built=$(date +%s)" \
    --set-string "collector.podAnnotations.built=$(date +%s)" \
    --set-string "queue-service.podAnnotations.built=$(date +%s)" \
    --set-string "api-gateway.podAnnotations.built=$(date +%s)"
}

cluster_deploy() {
  need docker kubectl helm
  need_docker
  [[ -n $REGISTRY ]] || die "REGISTRY= is empty: the cluster has to get the images from somewhere. Such as
make k8s-deploy REGISTRY=yourusername TAG=v1.0.0"
  local context
  context=$(kubectl config current-context 2> /dev/null) ||
    die "kubectl has no current context. kubectl config get-contexts lists them, use-context chooses one."
  [[ $context != kind-* ]] ||
    die "the context $context is a kind cluster, which needs no registry: make local-deploy"
  kubectl cluster-info > /dev/null 2>&1 ||
    die "the cluster of the context $context does not answer (kubectl cluster-info)."
  say "Building the images"
  TARGETS="streamer collector api queueservice" BUILDER=docker REGISTRY=$REGISTRY TAG=$TAG scripts/images.sh build
  say "Pushing them"
  TARGETS="streamer collector api queueservice" BUILDER=docker REGISTRY=$REGISTRY TAG=$TAG scripts/images.sh push
  install
}

cleanup() {
  stop_port_forward
  need kind
  if kind get clusters 2> /dev/null | grep -qx "$CLUSTER"; then
    kind delete cluster --name "$CLUSTER"
  else
    echo "There is no kind cluster $CLUSTER."
  fi
}

case ${1:-} in
  local) local_deploy ;;
  cluster) cluster_deploy ;;
  cleanup) cleanup ;;
  *) die "what shall be done? scripts/deploy.sh local|cluster|cleanup" ;;
esac
