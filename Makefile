# lhfile: `make` lists what there is. Each target installs what it lacks (setup/install.sh) and nothing else is needed.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run build test check fmt bench soak bless clean-data

# Where the tools of the tests live, outside the checkout: a fresh clone finds them there.
export LHFILE_CACHE ?= $(HOME)/.cache/lhfile
# The same features everywhere, so that check, test and bless share what is built. `make run` has none of them.
TESTED := --locked --features fault-points
TOOLS := $(LHFILE_CACHE)/venv/bin
# Database and store that the tests of the service run on, one pair after the other.
PAIRS := sqlite+disk postgres+s3
# Most tests of the service wait for its servers more than they compute: one more at once than there are cores.
AT_ONCE := --test-threads=$(shell expr $$(nproc) + 1)
# Tests that bring a whole cluster with them, whatever the pair: they run once.
CLUSTER := chaos::

# The logs of servers that a failed test prints bury its reason: said again as the last words, where one looks first.
say_why = { echo "lhfile: why, from target/pairs/$(1).log:"; grep -a -A 4 'panicked at' target/pairs/$(1).log; exit 1; }

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Install what is missing, build, and serve on 127.0.0.1:50051 with the data in ./data (ARGS="..." goes to `lhfile serve`)
	@setup/install.sh run
	@echo "lhfile: building; the first time this compiles all dependencies and takes some minutes"
	@cargo build --release --locked
	@echo
	@echo "In another terminal, in this folder:"
	@echo "  export PATH=\$$PWD/target/release:\$$PATH"
	@echo "  export LHFILE_TOKEN=\$$(lhfile token --service me --permission '*' --chat '*')"
	@echo "  lhfile chat put 42 --status active"
	@echo "  lhfile upload tests/samples/sample.pdf --chat 42"
	@echo
	@exec target/release/lhfile serve $(ARGS)

build: ## Build the release binary, target/release/lhfile
	@setup/install.sh run
	cargo build --release --locked

test: ## Install what the tests need and run all of them
	@setup/install.sh test
	@echo "lhfile: building the tests; the first time this compiles all dependencies and takes some minutes"
	cargo test $(TESTED) --doc
	cargo test $(TESTED) --lib --bins --test architecture --test generated
	@mkdir -p target/pairs
	@for pair in $(PAIRS); do \
		echo "lhfile: the tests of the service, on $$pair"; \
		LHFILE_TEST_PAIR=$$pair cargo test $(TESTED) --test it -- --skip $(CLUSTER) $(AT_ONCE) 2>&1 | tee target/pairs/$$pair.log || \
			$(call say_why,$$pair); \
	done
	@echo "lhfile: the tests of several nodes, which kill them, the database and the store"
	@cargo test $(TESTED) --test it $(CLUSTER) -- --test-threads=1 2>&1 | tee target/pairs/cluster.log || \
		$(call say_why,cluster)
	@for pair in $(PAIRS) cluster; do echo "lhfile: on $$pair: $$(sed -n 's/^test result: //p' target/pairs/$$pair.log)"; done

check: ## Format, lints, documentation and proto, every warning an error; changes nothing
	@setup/install.sh check
	cargo fmt --check
	$(TOOLS)/buf lint proto
	$(TOOLS)/buf format --diff --exit-code proto
	cargo clippy $(TESTED) --all-targets -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc $(TESTED) --no-deps --document-private-items

fmt: ## Format the Rust and proto files in place
	@setup/install.sh check
	cargo fmt
	$(TOOLS)/buf format --write proto

bench: ## Measure the budgets beside their goals on each pair, about half an hour
	@setup/install.sh test
	@for pair in $(PAIRS); do \
		echo "lhfile: the budgets on $$pair"; \
		cargo bench --locked --bench budgets -- --pair $$pair $(ARGS); \
	done

soak: ## The long and large runs, some hours: tests marked #[ignore], in release
	@setup/install.sh test
	cargo test --release $(TESTED) --lib --bins --test architecture --test generated -- --ignored --test-threads=1
	@mkdir -p target/pairs
	@for pair in $(PAIRS); do \
		echo "lhfile: the long runs of the service, on $$pair"; \
		LHFILE_TEST_PAIR=$$pair cargo test --release $(TESTED) --test it -- --ignored --nocapture --test-threads=1 \
			--skip $(CLUSTER) 2>&1 | tee target/pairs/soak-$$pair.log; \
	done
	@echo "lhfile: the long run of several nodes"
	@cargo test --release $(TESTED) --test it $(CLUSTER) -- --ignored --nocapture --test-threads=1 2>&1 | \
		tee target/pairs/soak-cluster.log
	@for pair in $(PAIRS) cluster; do \
		echo "lhfile: long runs on $$pair: $$(sed -n 's/^test result: //p' target/pairs/soak-$$pair.log)"; \
	done

bless: ## Write the generated pages anew (tests named generated_*), to be read as a diff
	@setup/install.sh test
	LHFILE_BLESS=1 cargo test $(TESTED) --lib --tests generated_
	@git --no-pager diff --stat

clean-data: ## Remove ./data: all files, the database and the secret of `make run`
	rm -rf ./data
