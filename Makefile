# Seaway's own commands. `make run` and `make test` need nothing but this tree, a Rust tool chain and (on Debian, as root)
# the package archive; everything else they install or start themselves.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
TARGET := $(or $(CARGO_TARGET_DIR),target)
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
STATIC = $(TARGET)/$(HOST)
NEXTEST := $(shell command -v cargo-nextest 2>/dev/null)
TESTS := $(if $(NEXTEST),cargo nextest run --no-fail-fast,cargo test --no-fail-fast)
PYTHON := python3
IMAGE ?= seaway

.PHONY: help run build fileserver release lint test unit docs-test e2e e2e-gate e2e-full e2e-postgres e2e-compose units image bench setup fmt openapi clean-docker

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

run: ## build and start Seaway on http://localhost:8080 (SQLite, this machine's Docker)
	@tests/setup.sh run
	$(MAKE) --no-print-directory build
	$(TARGET)/debug/seaway serve

build: fileserver
	cargo build --quiet --package seaway
	cp -u $(STATIC)/release/seaway-fileserver $(TARGET)/debug/

# Static sites are images of nothing but their files and this program, so it must not need a C library. The flag reaches only
# the program itself because a target is named.
fileserver:
	RUSTFLAGS="-C target-feature=+crt-static" cargo build --quiet --release --package fileserver --target $(HOST)

release: fileserver ## the binary as it is shipped
	cargo build --release --package seaway
	cp -u $(STATIC)/release/seaway-fileserver $(TARGET)/release/

fmt: ## format the code
	cargo fmt --all

lint: ## formatting, clippy, licences
	cargo fmt --all --check
	cargo clippy --quiet --workspace --all-targets -- -D warnings
	if command -v cargo-deny >/dev/null; then cargo deny --log-level error check bans licenses sources; \
	else echo "cargo-deny is not installed: licences not checked (banned crates are, by a test)"; fi

openapi: ## write docs/openapi.json anew from the endpoints' declarations
	UPDATE=1 cargo test --quiet --package api --test it document

setup: ## install what the tests need, start Docker, make the base images
	@tests/setup.sh

unit: setup ## unit and integration tests, both databases
	$(TESTS) --workspace

docs-test:
	cargo test --quiet --workspace --doc

units: ## the systemd units, checked offline
	tests/units.sh

test: lint units unit docs-test e2e-gate ## everything that must pass before a change lands

e2e: setup build ## the core journeys against the real binary, Docker and git, from an empty state
	$(PYTHON) -m tests.e2e core client

e2e-gate: setup build ## the core journeys on both databases, the client alone, every bad input, Compose
	$(PYTHON) -m tests.e2e core client bad compose postgres

e2e-full: setup build ## all of it, with every fault (kills, a restart of Docker)
	$(PYTHON) -m tests.e2e

e2e-postgres: setup build ## the core journeys on PostgreSQL
	$(PYTHON) -m tests.e2e postgres

e2e-compose: setup build ## docker-compose.yml: Seaway in containers, with PostgreSQL
	$(PYTHON) -m tests.e2e compose

image: setup ## Seaway's own image, from Debian packages only
	tests/images/build.sh runtime
	docker build --file deploy/Dockerfile --build-arg BUILD_IMAGE=seaway-test/rust --build-arg RUN_IMAGE=seaway-test/runtime --tag $(IMAGE) .

bench: setup release ## the four measurements of bench/README.md
	$(PYTHON) -m bench
