# Every target sets up what it needs; `make run` and `make test` work on a fresh clone.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
export PATH := $(CURDIR)/.venv/bin:$(PATH)
unexport PYTHONPATH PYTHONHOME

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Make .venv from the lock (done at once when nothing changed)
	@scripts/setup.sh

.PHONY: run
run: setup ## Start Valkey, Postgres, the service, the drainer and the worker; Ctrl-C stops them (ARGS="--help" for options)
	@exec stakehold up $(ARGS)

.PHONY: demo
demo: setup ## Play the examples and audit the books (ARGS="--play evening" for one)
	@exec stakehold demo $(ARGS)

.PHONY: test
test: setup ## Run all tests (ARGS="-k once" for some)
	@python -m pytest $(ARGS)

.PHONY: check
check: check-style check-types check-imports check-protos check-stubs check-lua check-image check-chart ## Run every check that needs no server

.PHONY: check-style
check-style: setup
	ruff check
	ruff format --check

.PHONY: check-types
check-types: setup
	mypy

.PHONY: check-imports
check-imports: setup
	lint-imports --no-logo

.PHONY: check-protos
check-protos: setup
	scripts/check-protos.sh

.PHONY: check-stubs
check-stubs: setup
	scripts/check-stubs.sh

.PHONY: check-lua
check-lua: setup
	rm -rf build/lua
	python -m lua --compose build/lua
	scripts/luacheck.sh --no-color build/lua

.PHONY: check-image
check-image: setup
	hadolint Dockerfile

.PHONY: check-chart
check-chart: setup
	@for helm in 3 4; do for values in helm/stakehold/values-*.yaml; do \
	  scripts/helm.sh $$helm lint --quiet --strict helm/stakehold --values $$values; \
	done; done

.PHONY: format
format: setup ## Format Python and protos, and fix what can be fixed
	ruff check --fix
	ruff format
	buf format --write

.PHONY: gen
gen: setup ## Generate the stubs from the protos, and accept API changes that break nobody
	scripts/gen.sh
	@[[ ! -f protos/baseline.binpb ]] || buf breaking --against protos/baseline.binpb || \
	  { echo "These changes break callers: undo them, or accept them with \`make accept-protos\`." >&2; exit 1; }
	buf build --exclude-source-info --output protos/baseline.binpb

.PHONY: accept-protos
accept-protos: setup ## Accept API changes that break callers
	buf build --exclude-source-info --output protos/baseline.binpb

.PHONY: bench
bench: setup ## Measure against this machine's ceilings (build/bench.json)
	@exec python -m tests.bench $(ARGS)

.PHONY: bench-memory
bench-memory: setup ## Measure long memory and recovery (ARGS="--full" for a million wallets, build/bench-long-memory.json)
	@exec python -m tests.bench.long_memory $(ARGS)

.PHONY: bench-storm
bench-storm: setup ## Measure goodput, memory and doubles in a storm of retries (build/bench-storm.json)
	@exec python -m tests.bench.storm $(ARGS)

.PHONY: faults
faults: setup ## Break things under load and check that nothing is lost (MINUTES=1 SEED=7, build/faults.json)
	@exec python -m tests.faults $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) $(ARGS)

.PHONY: lock
lock: setup ## Pin the dependencies again after a change in pyproject.toml (UPGRADE=1 for newer ones)
	scripts/lock.sh

.PHONY: clean
clean: ## Remove what was built, but neither .venv nor data
	rm -rf build dist .tools .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

.PHONY: clean-all
clean-all: clean ## Remove .venv and the data of `make run` too
	rm -rf .venv .stakehold
