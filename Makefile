# Every way to use this repository. `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Processes that compile and test at the same time.
JOBS ?= $(shell nproc)
# Where `make run` keeps what it stores.
DATA ?= var
# Seconds that each fuzz target runs.
FUZZ_SECONDS ?= 5
# What the queue stands on in make run-distributed and make chaos: redis or durable.
ENGINE ?= redis
# Of make chaos: how much flows, and in what time.
SAMPLES ?= 1000000
SECONDS ?= 600
export JOBS FUZZ_SECONDS

release := build/release

# Of the images: what comes before their names, and their version.
REGISTRY ?=
TAG ?= latest

.PHONY: help run run-distributed build test test-charts test-images docker-build docker-push local-deploy \
  local-cleanup k8s-deploy system-test charts chaos bench cover fmt lint docs openapi fuzz system-test \
	clean install

help: ## List the targets
	@echo "make TARGET, where TARGET is"
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) \
	  | awk -F ':.*## ' '{ printf "  %-17s%s\n", $$1, $$2 }'
	@echo "Variables: JOBS=$(JOBS) (compilers and tests at once), DATA=$(DATA) (data of make run),"
	@echo "FUZZ_SECONDS=$(FUZZ_SECONDS) (of each fuzz target), ENGINE, SAMPLES, SECONDS, SEED (of make chaos),"
	@echo "REGISTRY, TAG (of the images), NAMESPACE, API_PORT, BASE_URL (of make system-test);"
	@echo "every setting of the program for make run."

run: ## Install, build and start everything in one process, fed by the simulator (API on 127.0.0.1:8080)
	@scripts/install-dependencies.sh --run
	@scripts/build.sh release gpu-telemetry
	@mkdir -p "$(DATA)"
	@export STORAGE_URI="$${STORAGE_URI:-embedded:$(DATA)/store}"; \
	  [[ -n "$${CSV_PATH:-}" ]] || export SOURCE="$${SOURCE:-simulator}"; \
	  exec $(release)/bin/gpu-telemetry all-in-one

run-distributed: ## The same with every service a process of its own, on Redis and MongoDB (free ports)
	@scripts/install-dependencies.sh --test
	@scripts/build.sh release gpu-telemetry
	@exec python3 scripts/distributed.py --engine $(ENGINE)

build: ## Install and build everything, tests and benchmarks included (build/release)
	@scripts/install-dependencies.sh --test
	@scripts/build.sh release all

test: ## Everything CI checks: lints, all tests, sanitizers, a short fuzz run
	@scripts/install-dependencies.sh --test
	@scripts/test.sh

test-charts: ## Check charts, manifests and images as far as helm, kubectl and KUBECONFIG are there
	@scripts/install-dependencies.sh --test
	@python3 tests/charts/test_charts.py

test-images: ## Run the images without any privilege, and system-test against them (after docker-build)
	@scripts/install-dependencies.sh --test
	@REGISTRY="$(REGISTRY)" TAG="$(TAG)" python3 tests/images/test_images.py

docker-build: ## Build the images of the services (REGISTRY, TAG)
	@REGISTRY="$(REGISTRY)" TAG="$(TAG)" scripts/images.sh build

docker-push: ## Push them (REGISTRY, TAG)
	@REGISTRY="$(REGISTRY)" TAG="$(TAG)" scripts/images.sh push

local-deploy: ## Build, and install everything in a kind cluster of its own; API on localhost:8080
	@scripts/deploy.sh local

local-cleanup: ## End that cluster
	@scripts/deploy.sh cleanup

k8s-deploy: ## Build, push and install in the cluster of kubectl's context (REGISTRY, TAG)
	@REGISTRY="$(REGISTRY)" TAG="$(TAG)" scripts/deploy.sh cluster

system-test: ## Check a running system from outside (NAMESPACE and API_PORT, or BASE_URL)
	@./system-test.sh

charts: ## Write what is made from the charts: schemas, read-mes, k8s/
	@scripts/charts.py

chaos: ## Break the scaled-out pipeline at random for SECONDS (SEED repeats a run; ENGINE=redis|durable)
	@scripts/install-dependencies.sh --test
	@scripts/build.sh release gpu-telemetry
	@python3 tests/chaos/chaos.py --engine $(ENGINE) --samples $(SAMPLES) --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

bench: ## Run the benchmarks
	@scripts/install-dependencies.sh --bench
	@scripts/bench.sh

cover: ## Measure which lines the tests run (coverage.html)
	@scripts/install-dependencies.sh --dev
	@scripts/cover.sh

fmt: ## Format the C++ files
	@scripts/install-dependencies.sh --test
	@scripts/lint.sh --fix

lint: ## Check format, include rules and thread-safety annotations
	@scripts/install-dependencies.sh --test
	@scripts/lint.sh

docs: ## Write docs/configuration.md from the program
	@scripts/install-dependencies.sh --run
	@scripts/build.sh release gpu-telemetry
	@$(release)/bin/gpu-telemetry configuration > docs/configuration.md.new
	@mv docs/configuration.md.new docs/configuration.md

openapi: ## Write docs/swagger/ from the program: the OpenAPI documents of the API and of the queue service
	@scripts/install-dependencies.sh --run
	@scripts/build.sh release gpu-telemetry
	@mkdir -p docs/swagger
	@set -e; for format in json yaml; do \
	  $(release)/bin/gpu-telemetry openapi --format $$format > docs/swagger/new; \
	  mv docs/swagger/new docs/swagger/swagger.$$format; \
	  $(release)/bin/gpu-telemetry openapi --service queue-service --format $$format > docs/swagger/new; \
	  mv docs/swagger/new docs/swagger/queue-service.$$format; \
	done

fuzz: ## Run each fuzz target for FUZZ_SECONDS
	@scripts/install-dependencies.sh --test
	@scripts/fuzz.sh

install: ## Install everything that working on the repository needs
	@scripts/install-dependencies.sh --dev

clean: ## Remove what was built (not the data of make run)
	rm -rf build coverage.html coverage.css
