# Treenail: `make demo` shows what it does, `make test` proves it. `make help` lists the rest.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# PROFILE=release builds Treenail as it is shipped; the default is quick to build.
PROFILE ?= dev
CARGO_FLAGS := --locked --profile $(PROFILE)
OUTPUT := target/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))

# Catalogues and workloads that some tests compare with: data beside the checkout, or wherever TREENAIL_DATA says. Without it they are skipped.
TREENAIL_DATA ?= $(abspath $(wildcard ../shared/data))
ifneq ($(TREENAIL_DATA),)
export TREENAIL_DATA
endif

# Cargo where it may be silent for minutes.
CARGO_WITH_NOTICES := tests/lab/build/cargo.sh
CONTROL_PLANE := target/lab/bin/control-plane
CONTROL_PLANE_SOURCES := $(addprefix tests/lab/control-plane/,go.mod go.sum main.go) tests/lab/build/control-plane.sh
MOTO := target/lab/moto/installed
MOTO_SOURCES := tests/lab/moto/requirements.txt tests/lab/build/moto.sh

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: build ## play the demo on a real cluster (KEEP=1 leaves it up, WITHOUT=webhook or controller shows what is missing)
	@$(OUTPUT)/lab demo $(if $(KEEP),--keep) $(if $(WITHOUT),--without=$(WITHOUT))

.PHONY: bench-latency
bench-latency: build ## measure how long a lone pod waits for its launch (PROFILE=release for the shipped build)
	@$(OUTPUT)/lab latency

.PHONY: test
test: lab ## run every test, those on the real control plane included
	@$(CARGO_WITH_NOTICES) test --locked --workspace --no-run
	cargo test --locked --workspace --no-fail-fast

.PHONY: test-core
test-core: ## run the tests of everything but EC2's client: builds without the AWS SDK, in a minute
	cargo test --locked --no-default-features --lib

.PHONY: build
build: prerequisites ## build Treenail and the lab's parts
	@test -x $(CONTROL_PLANE) -a -x $(OUTPUT)/lab || echo "building the control plane and Treenail from source, this once: 10 minutes on 2 quiet cores; the AWS SDK takes up to 7.5 GB of memory"
	@$(MAKE) --jobs 2 lab cargo-build

# Tests turn on a feature of tokio, and with it everything above tokio is another build, the AWS SDK too. There are no examples: to name
# them makes cargo build the dependencies as the tests need them, so that both share one build. What is shipped does without.
.PHONY: cargo-build
cargo-build:
	@$(CARGO_WITH_NOTICES) build $(CARGO_FLAGS) --workspace --bins $(if $(filter dev,$(PROFILE)),--examples)

.PHONY: lab
lab: prerequisites $(CONTROL_PLANE) $(MOTO) ## build the lab's parts: control plane and EC2 endpoint

$(CONTROL_PLANE): $(CONTROL_PLANE_SOURCES)
	@tests/lab/build/control-plane.sh $(@D)

# After the control plane, so that two cores are shared by two builds and not by three.
$(MOTO): $(MOTO_SOURCES) | $(CONTROL_PLANE)
	@tests/lab/build/moto.sh $(@D)

.PHONY: prerequisites
prerequisites:
	@tests/lab/build/prerequisites.sh

.PHONY: format
format: ## format the sources
	cargo fmt --all
	gofmt -w tests/lab/control-plane

.PHONY: format-check
format-check:
	cargo fmt --all --check
	@unformatted=$$(gofmt -l tests/lab/control-plane); test -z "$$unformatted" || { echo "not gofmt-ed: $$unformatted"; exit 1; }

.PHONY: lint
lint: ## clippy, warnings are errors
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --package treenail --no-default-features --lib --tests -- -D warnings

TABLES := src/cloud/ec2/tables/generate.py

.PHONY: gen
gen: cargo-build ## write the generated files (the CRDs; the tables from the catalogue in the folder TREENAIL_DATA)
	$(OUTPUT)/treenail crds --write manifests/crds
	$(TABLES)

.PHONY: gen-check
gen-check: cargo-build ## fail if a generated file is not current
	@$(OUTPUT)/treenail crds --check manifests/crds
	@$(TABLES) --check

.PHONY: doc
doc: ## build the API documentation, warnings are errors
# Examples are named for the reason that is given at cargo-build: so the AWS SDK is not checked a second time after `make lint`.
	RUSTDOCFLAGS=-Dwarnings cargo doc --locked --workspace --no-deps --lib --examples

.PHONY: ci
ci: prerequisites format-check ## what decides whether a change lands
	@$(MAKE) --jobs 2 lab lint
	@$(MAKE) doc
# The tests compare the CRDs.
	@$(TABLES) --check
	@$(MAKE) test-core
	@$(MAKE) test

.PHONY: clean
clean: ## remove everything that was built
	rm -rf target
