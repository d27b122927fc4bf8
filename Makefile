# Yue's targets. `make` with no target lists them. CI (.ci/run) calls only targets of this file.
#
# What may be set from outside: CARGO_TARGET_DIR, CCACHE_DIR, CC, CXX, LIBCLANG_PATH (see scripts/build-env.sh),
# ARGS for the test runner, SEED and the like for the simulation, CI for `--locked` and quiet prompts.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help
.NOTPARALLEL:

CARGO := scripts/cargo.sh
LOCKED := $(if $(CI),--locked)
# All of them, always: of fewer packages, cargo would choose other features of what they share, and build the engine anew.
BUILD := $(CARGO) build --release --workspace --bins $(LOCKED)
ARGS ?=
SEED ?=
STEPS ?=
WITHOUT ?=
OPERATIONS ?=
BUG ?=
SHRINK ?=
FIRST ?=
SLO ?=
CYCLES ?=
CASES ?=
SECONDS ?=
TARGET ?=
KEEP ?=
FILE ?=
SHARD ?=

.PHONY: help
help:
	@printf 'usage: make TARGET\n\n'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: prerequisites
prerequisites: ## install what the build needs (Debian packages); quick when all is there
	@scripts/prerequisites.sh

.PHONY: build
build: prerequisites ## build the release binaries `yue`, `yue-load` and `yue-bench`
	@$(BUILD)

.PHONY: demo
demo: prerequisites ## a fresh server, the first minute of 618 in small, the verdict (SLO=report: latencies do not fail it)
	@$(BUILD)
	@SLO='$(SLO)' scripts/demo.sh

.PHONY: overload
overload: prerequisites ## up to 10 times the capacity: goodput, accepted latency, recovery, report (wants an idle machine; ARGS)
	@$(BUILD)
	@scripts/overload.sh $(ARGS)

.PHONY: test
test: prerequisites ## all tests and doc tests (ARGS=name runs those whose name contains it)
	@scripts/test.sh $(LOCKED) -- $(ARGS)

.PHONY: sim
sim: prerequisites ## the simulation: 10^7 operations (OPERATIONS=n, FIRST=seed); SEED=n [STEPS=n] [WITHOUT='a;b'] replays one, SHRINK=1 shrinks it
	@YUE_SIM_SEED='$(SEED)' YUE_SIM_STEPS='$(STEPS)' YUE_SIM_WITHOUT="$(WITHOUT)" YUE_SIM_OPERATIONS='$(OPERATIONS)' \
	  YUE_SIM_FIRST='$(FIRST)' YUE_SIM_SHRINK='$(SHRINK)' $(CARGO) test -p yue-engine --test simulation $(LOCKED) -- --ignored --exact campaign --nocapture

.PHONY: planted
planted: prerequisites ## plant each known bug into the engine; the simulation must find every one (a table)
	@YUE_SIM_BUG='$(BUG)' $(CARGO) test -p yue-engine --features planted-bugs --test simulation $(LOCKED) \
	  -- --ignored --nocapture --test-threads=1 planted_bugs

.PHONY: attacks
attacks: prerequisites ## attacks on a server with keys: what each is answered, and what others notice of it
	@scripts/attacks.sh $(LOCKED)

.PHONY: torture
torture: ## kill -9, EIO, ENOSPC, power cuts, SIGSTOP on a real server under load (CYCLES=kills, default 200; SEED=n)
	@scripts/prerequisites.sh strace
	@$(BUILD)
	@CYCLES='$(CYCLES)' SEED='$(SEED)' scripts/torture.sh

.PHONY: fuzz
fuzz: prerequisites ## libFuzzer on everything that reads bytes: SECONDS=60 each (TARGET=name; KEEP=1 keeps what it has found worth keeping)
	@SECONDS_EACH='$(SECONDS)' TARGET='$(TARGET)' KEEP='$(KEEP)' scripts/fuzz.sh

.PHONY: mutants
mutants: prerequisites ## the ledger's rules changed one place at a time: a test must notice each (20 minutes; FILE=path, SHARD=k/n; needs cargo-mutants)
	@FILE='$(FILE)' SHARD='$(SHARD)' scripts/mutants.sh

.PHONY: schemathesis
schemathesis: prerequisites ## what the OpenAPI document says, tried 50,000 times against a server (CASES=n, SEED=n); needs python3 and PyPI
	@$(BUILD)
	@CASES='$(CASES)' SEED='$(SEED)' scripts/schemathesis.sh

.PHONY: lint
lint: prerequisites ## formatting and clippy, warnings are errors
	@for script in scripts/*.sh .ci/run; do bash -n "$$script"; done
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --workspace --all-targets $(LOCKED) -- -D warnings

.PHONY: fmt
fmt: prerequisites ## format the sources
	@$(CARGO) fmt --all

.PHONY: deny
deny: prerequisites ## licences, sources, advisories of the dependencies (needs cargo-deny; OFFLINE=1: no advisories)
	@scripts/deny.sh

.PHONY: bench
bench: prerequisites ## the headline figures: engine, history, restart, HTTP (wants an idle machine)
	@$(BUILD)
	@scripts/bench.sh

.PHONY: bench-wallet
bench-wallet: prerequisites ## password checks and a wealth day beside payments, killed inside (ARGS for `yue-bench wealth`)
	@$(BUILD)
	@scripts/bench-wallet.sh $(ARGS)

.PHONY: bench-micro
bench-micro: prerequisites ## the criterion benches of the parts
	@$(CARGO) bench -p yue-bench $(LOCKED) $(ARGS)

.PHONY: env
env: ## print the build's environment; `eval "$(make env)"` lets plain cargo share the build
	@scripts/build-env.sh

.PHONY: clean
clean: ## remove out/ and the default target folder; an own CARGO_TARGET_DIR and the ccache stay
	@scripts/clean.sh
