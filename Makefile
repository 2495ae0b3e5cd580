# `make demo` and `make test` need nothing but Python 3.11 to 3.13 and make; they set up what else they use.
PYTHON ?= $(shell for p in python3.12 python3.13 python3.11 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo demo-dashboard test check failures fuzz bench peers format docs audit lock clean

demo: $(VENV)/.demo ## Label sample reviews through an embedded Kafka broker.
	$(BIN)/streamer demo

demo-dashboard: $(VENV)/.demo ## Trends, moderation and the dashboard on a replayed stream, until Ctrl-C.
	$(BIN)/streamer dashboard --demo

test: JOBS ?= 3
test: check ## Lint, types and tests, JOBS at a time, on the best Kafka that this machine has.
	$(BIN)/pytest -n $(JOBS) --dist loadfile

check: $(VENV)/.test ## Lint and types alone.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

failures: $(VENV)/.test ## The failure suite, all of it, two hours with the soaks: what docs/reliability.md is made of.
	rm -rf runs/failures
	$(BIN)/pytest tests/failures --failures --reliability runs/failures

fuzz: RUNS ?= 1000000
fuzz: $(VENV)/.test ## Inputs by the million on whatever reads what others write: RUNS for each of the targets.
	$(BIN)/pip install --quiet --group fuzz
	for target in codec tokenise artefact settings; do $(BIN)/python -m tests.fuzz $$target --runs $(RUNS) || exit 1; done

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

lock: $(VENV)/.test ## Pin what is needed at run time, extras too, to the newest versions, with hashes.
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
		--upgrade --quiet --custom-compile-command "make lock" --output-file requirements.lock

clean: ## Remove what the other targets made.
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 with venv is needed (Debian: apt install python3-venv)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.demo: $(BIN)/python pyproject.toml
	@echo "Installing into $(VENV); torch alone is some 3 GB, so this takes a few minutes the first time."
	$(BIN)/pip install --quiet --editable '.[demo]'
	@touch $@

$(VENV)/.test: $(BIN)/python pyproject.toml
	@echo "Installing into $(VENV); torch alone is some 3 GB, so this takes a few minutes the first time."
	$(BIN)/pip install --quiet --editable '.[demo,tracing,training]' --group dev
	@touch $@

# It sees all of the other environment, so that torch is not there twice; what it wants older comes first.
$(VENV)/.peers: $(VENV)/.test
	$(BIN)/python -m venv $(VENV)/peers
	$(VENV)/peers/bin/python -m pip install --quiet --upgrade pip setuptools
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
		> "$$($(VENV)/peers/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/main.pth"
	$(VENV)/peers/bin/python -m pip install --quiet --group peers
	@touch $@
