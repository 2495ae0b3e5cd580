# `make demo` and `make test` need nothing but Python 3.11 to 3.13 and make; they set up what else they use.
PYTHON ?= $(shell for p in python3.12 python3.13 python3.11 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin

PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
LOCKED := $(PIP) --no-build-isolation --require-hashes --requirement
PROJECT := $(PIP) --no-build-isolation --no-deps --editable .

.PHONY: demo demo-dashboard test check newest failures fuzz bench peers format docs audit lock clean

demo: $(VENV)/.demo ## Label sample reviews through an embedded Kafka broker.
	$(BIN)/streamer demo

demo-dashboard: $(VENV)/.demo ## Trends, moderation and the dashboard on a replayed stream, until Ctrl-C.
	$(BIN)/streamer dashboard --demo

test: JOBS ?= 3
test: check ## Lint, types and tests, JOBS at a time, on the best Kafka that this machine has; then their coverage.
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder
	$(BIN)/coverage combine --quiet
	$(BIN)/python -m tests.covered

check: $(VENV)/.test ## Lint and types alone.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

newest: ## The same with the newest versions that pyproject.toml allows, in an environment of its own, made anew.
	$(call need_python)
	rm -rf .venv-newest
	$(PYTHON) -m venv .venv-newest
	.venv-newest/bin/python -m pip install --quiet --upgrade pip
	.venv-newest/bin/python -m pip install --quiet --editable '.[demo,tracing,training]' --group dev
	touch .venv-newest/.build .venv-newest/.test
	$(MAKE) test VENV=.venv-newest

failures: $(VENV)/.test ## The failure suite, all of it, two hours with the soaks: what docs/reliability.md is made of.
	rm -rf runs/failures
	$(BIN)/pytest tests/failures --failures --reliability runs/failures

fuzz: RUNS ?= 1000000
fuzz: $(VENV)/.test ## Inputs by the million on whatever reads what others write: RUNS for each of the targets.
	$(PIP) --group fuzz
	for target in codec tokenise markup artefact settings tables; do $(BIN)/python -m tests.fuzz $$target --runs $(RUNS) || exit 1; done

bench: ARGS ?= throughput
bench: $(VENV)/.test ## Measure a part and record it: throughput, or another, as in ARGS="stages --reviews 1000".
	$(BIN)/python -m benchmarks $(ARGS)

peers: $(VENV)/.peers ## What the benchmark end_to_end compares with, in an environment of its own.

format: $(VENV)/.test ## Put the code into its form.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.test ## Write the generated parts of docs/ anew.
	$(BIN)/python docs/generate.py

audit: $(VENV)/.test ## Look for known vulnerabilities in what is installed; fails where the index has no data on it.
	$(BIN)/pip-audit --strict --skip-editable
	$(BIN)/pip-audit --strict --disable-pip --require-hashes --requirement requirements.lock

# One resolution for all of them, which each then keeps to; and at the end a try of each on what they are for. torch has
# no wheels for macOS before 14, nor for Intel Macs; jieba is source only, and a lock that needs to build more is refused.
RESOLVE = $(BIN)/uv pip compile --quiet --python $(BIN)/python --universal --python-version 3.11
lock: $(VENV)/.build ## Pin the newest versions, with hashes, of what the images, the demo, the tests and builds need.
	$(RESOLVE) pyproject.toml --upgrade --all-extras --group dev --group build --output-file $(VENV)/all.lock
	$(call pin,requirements.lock,pyproject.toml --all-extras)
	$(call pin,requirements-demo.lock,pyproject.toml --extra demo)
	$(call pin,requirements-dev.lock,pyproject.toml --extra demo --extra tracing --extra training --group dev)
	$(call pin,requirements-build.lock,--group build)
	for lock in requirements*.lock; do for python in 3.11 3.12 3.13; do \
		for platform in x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu aarch64-apple-darwin; do \
		MACOSX_DEPLOYMENT_TARGET=14.0 $(BIN)/uv pip install --quiet --dry-run --target $(VENV)/none --no-deps \
		--only-binary :all: --no-binary jieba --python-version $$python --python-platform $$platform \
		--require-hashes --requirement $$lock || exit 1; \
		done; done; done

define pin
cp $(VENV)/all.lock $(1)
$(RESOLVE) $(2) --generate-hashes --custom-compile-command "make lock" --output-file $(1)
endef

clean: ## Remove what the other targets made.
	rm -rf $(VENV) .venv-newest .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist

# Each of these is made again when a file that it names has changed: what `git pull` brings is installed.
$(VENV)/.build: requirements-build.lock
	$(call need_python)
	$(BIN)/python -m pip --version > /dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(LOCKED) $<
	@touch $@

$(VENV)/.demo: requirements-demo.lock pyproject.toml $(VENV)/.build
	$(call tell_size)
	$(LOCKED) $<
	$(PROJECT)
	@touch $@

$(VENV)/.test: requirements-dev.lock pyproject.toml $(VENV)/.build
	$(call tell_size)
	$(LOCKED) $<
	$(PROJECT)
	@touch $@

# It sees all of the other environment, so that torch is not there twice; what it wants older comes first. Its own are the
# newest versions: a comparison is with what others run today.
$(VENV)/.peers: $(VENV)/.test
	$(BIN)/python -m venv $(VENV)/peers
	$(VENV)/peers/bin/python -m pip install --quiet --upgrade pip setuptools
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> "$$($(VENV)/peers/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/main.pth"
	$(VENV)/peers/bin/python -m pip install --quiet --group peers
	@touch $@

define need_python
@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 with venv is needed (Debian: apt install python3-venv)"; exit 1; }
endef

define tell_size
@echo "Installing into $(VENV); torch alone is some 3 GB, so this takes a few minutes the first time."
endef
