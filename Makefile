# Starbridge: every task a developer or an operator of the repository runs. `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup build fmt lint catalogue chart test test-unit test-sim test-ablation test-coverage test-mutants test-e2e test-faults test-faults-ci drills demo bench bench-desk soak fuzz clean

# What was downloaded or built for tests and demo is kept here, so that only the first run needs a network.
export STARBRIDGE_CACHE ?= $(CURDIR)/.starbridge
ORDERS ?= tests/data/superstore-orders.csv

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is missing on this machine (Debian packages, Kafka, Python packages); needs a network once
	@.ci/setup

build: setup ## Build everything, tests included
	cargo build --workspace --all-targets --locked
	@# The end-to-end tests alone are built with fewer features of their dependencies: here, not in their own time.
	cargo test -p e2e --locked --no-run

fmt: ## Format the code
	cargo fmt --all

lint: setup ## Formatting, clippy, licences, dependency directions, readme pair, catalogue, file sizes
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo deny --offline --log-level error check bans licenses sources
	python3 .ci/lint.py

catalogue: ## Write deploy/catalogue/ (every error code with cause and way out, in both languages)
	STARBRIDGE_WRITE=1 cargo test --quiet --locked -p document --test catalogue

chart: build ## Lint and render the chart, and try its settings on the services
	"$(STARBRIDGE_CACHE)/python/bin/python" .ci/chart.py

test: build lint chart test-unit test-sim test-e2e ## Everything that must hold: build, lints, unit, property and end-to-end tests

test-unit: setup ## Unit and property tests, no server needed
	cargo test --workspace --exclude e2e --locked

test-sim: build ## Simulated histories of the whole road (SEEDS=2000); SEED=n replays one and tells its story
	@target/debug/simulate $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),2000))

test-ablation: setup ## Switch each rule of the protocol off: does the simulation notice? (minutes; not part of test)
	@cargo run --quiet --locked -p simulation --features ablation --bin ablate

test-coverage: setup ## Which lines of the cores the simulated histories walk through (SEEDS=2000); needs LLVM's tools; not part of test
	@python3 .ci/coverage.py --seeds $(or $(SEEDS),2000)

test-mutants: setup ## Are small mistakes in the cores noticed? MUTANTS=200 from SEED=1 (RESUME=1 goes on; half an hour); needs cargo-mutants; not part of test
	@python3 -m venv "$(STARBRIDGE_CACHE)/mutants"
	@"$(STARBRIDGE_CACHE)/mutants/bin/pip" install --quiet --disable-pip-version-check tree-sitter==0.26.1 tree-sitter-rust==0.24.2
	@"$(STARBRIDGE_CACHE)/mutants/bin/python" .ci/mutants.py --mutants $(or $(MUTANTS),200) --seed $(or $(SEED),1)

test-e2e: build ## Tests against the real Kafka, the real Redis and the simulated Galaxies
	cargo test -p e2e --locked --lib --bins --test compose --test dashboards --test golden -- --test-threads=1
	@# A scenario mostly waits for servers: two at a time.
	cargo test -p e2e --locked --test broker --test desk --test road -- --test-threads=2

# Services that can be made to die at named places are built apart: no other build has such places.
test-faults: setup ## Real processes under faults drawn by seed, RUNS=4 from SEED=1, about six minutes each (RESUME=1 goes on); not part of test
	@cargo build --locked --target-dir target/armed -p extractor -p transformer -p loader -p control -p starctl -p simulator -p history -p e2e --bins \
		--features extractor/killpoints,transformer/killpoints,loader/killpoints,control/killpoints
	@target/armed/debug/faults --points --out $(or $(OUT),target/faults) --runs $(or $(RUNS),4) --seed $(or $(SEED),1) \
		$(if $(BILLS),--bills $(BILLS)) $(if $(RESUME),--resume) $(if $(KEEP),--keep)

# The binaries of the normal build know no places to die at, so this costs no build of its own. Of a run's bills 500 are
# there from the beginning; the others arrive between the blows.
test-faults-ci: build ## Two short runs of test-faults, without places to die at: minutes; the share of CI
	@rm -rf target/faults-ci
	@target/debug/faults --out target/faults-ci --runs 2 --seed 11 --bills 800

drills: build ## Take one thing away at a time and measure the time to the first new bill; about an hour (KINDS=loader,broker; RESUME=1 goes on); not part of test
	@target/debug/drill --out $(or $(OUT),target/drills) $(if $(KINDS),--kinds $(KINDS)) $(if $(RESUME),--resume)

demo: build ## Carry real orders from one simulated Galaxy to another and compare them (ORDERS=other.csv)
	@target/debug/demo --orders $(ORDERS) $(if $(DEMO_REPLAY),--replay) $(if $(DEMO_STAY),--stay)

bench: setup ## Measure speed, memory and calls: one JSON line a figure on standard output (minutes; not part of test)
	@cargo build --profile bench --locked -p extractor -p transformer -p loader -p simulator --bins
	@cargo bench --locked -p e2e --bench figures -- mapping transactions road

bench-desk: setup ## Measure the desk: its index rebuilt, asked by 1,000 selectors, with a million letters, and the rate of replays (half an hour; not part of test)
	@cargo build --profile bench --locked -p extractor -p transformer -p loader -p control -p starctl -p simulator --bins
	@cargo bench --locked -p e2e --bench figures -- desk desk-of-many desk-rate

soak: build ## Documents at a steady rate with faults for HOURS=0.5 hours, KNOWN=150000 known first: nothing may grow or be missing
	@target/debug/soak --hours $(or $(HOURS),0.5) $(if $(RATE),--rate $(RATE)) $(if $(KNOWN),--known $(KNOWN))

fuzz: setup ## Anything at all for every reader, SECONDS=60 for each target (TARGET=wire::page for one); not part of test
	BOLERO_RANDOM_TEST_TIME_MS=$(or $(SECONDS),60)000 cargo test --locked -p inputs --test fuzz -- $(TARGET) --test-threads=2

clean: ## Remove build results and downloads
	cargo clean
	rm -rf "$(STARBRIDGE_CACHE)"
