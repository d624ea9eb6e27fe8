# Two commands for a fresh machine: `make quickstart` and `make test`. Both set up .venv themselves.
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
QUIET := TF_CPP_MIN_LOG_LEVEL=3
WORKERS ?= 2 # of the tests; each takes up to 3 GB of memory

# The first Python 3.11 to 3.13 that really starts (version managers leave stubs that do not).
PYTHON ?= $(shell for p in python3.12 python3.13 python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)

.PHONY: help setup quickstart test test-full torch check audit cards papers tables bench soak ui screenshots clean

help:
	@echo "make quickstart   set up .venv, train 4 architectures x 3 seeds on drawn shapes, compare them"
	@echo "make test         set up .venv, run the tests; HYPOTHESIS_PROFILE=explore draws other examples"
	@echo "make test-full    all tests, also the hours of all networks with all choices"
	@echo "make torch        add PyTorch to .venv, for the tests that read and measure it"
	@echo "make check        lint, format, types, import contracts, bandit"
	@echo "make audit        known vulnerabilities of the pinned packages (asks its index on the network)"
	@echo "make ui           the MLflow UI on the runs of this folder"
	@echo "make screenshots  the README's pictures of the quickstart, in .pictures/ (needs Chromium)"
	@echo "make cards        rewrite counts and deviations in models/cards.json from the networks"
	@echo "make papers       rewrite the papers' configs in experiments/configs/papers from the cards"
	@echo "make tables       train papers' tables in small on SOURCE=folder:DIR, write experiments/papers/RESULTS.md"
	@echo "make bench        start-up, sweep and memory figures of this machine"
	@echo "make soak         200 runs with workers that die, losses that burst, files that rot, a server that goes"

$(VENV)/.ready: pyproject.toml .constraints.txt
	@test -n "$(PYTHON)" || { echo "No Python 3.11, 3.12 or 3.13 found; install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) -m venv failed; on Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }
	@echo "Installing into $(VENV) (about 3 GB, once)..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c .constraints.txt -e .
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c .constraints.txt -e '.[dev]'
	@touch $@

setup: $(VENV)/.ready

quickstart: $(VENV)/.ready
	@$(QUIET) $(BIN)/ilsvrc sweep experiments/configs/quickstart.yaml
	@$(QUIET) $(BIN)/ilsvrc compare quickstart --out comparison
	@$(QUIET) $(BIN)/ilsvrc report quickstart --out comparison/report.html
	@echo
	@echo "See the runs in a browser:  $(BIN)/ilsvrc ui --open"

test: $(VENV)/.ready-dev
	@$(QUIET) $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

test-full: $(VENV)/.ready-dev
	@$(QUIET) $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m '' --timeout 7200

# Apart from `dev`: on Linux the package of most indexes is a CUDA build of several GB.
torch: $(VENV)/.ready-dev
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c .constraints.txt torch

check: $(VENV)/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml models pipelines tuning experiments

# Not part of `check`: it asks a database on the network, which changes without the code.
audit: $(VENV)/.ready-dev
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip-audit>=2.9'
	$(BIN)/pip-audit --strict --requirement .constraints.txt --no-deps --disable-pip

cards: $(VENV)/.ready
	@$(QUIET) $(BIN)/python -m models.recount

papers: $(VENV)/.ready
	@$(BIN)/python -m experiments.inspection.paper_configs

# What ends goes on where it stopped; more SEEDS add to those that are done.
SOURCE ?= cifar
SEEDS ?= 1
TABLE = @$(QUIET) $(BIN)/ilsvrc paper $(1) data.source=$(SOURCE) --seeds $(SEEDS)

tables: $(VENV)/.ready
	$(call TABLE,resnet --table table-6 --row '20 layers' --row '56 layers' --scale 1/64)
	$(call TABLE,alexnet --table claims --scale 1/128 --row 'as published' \
		--row 'pooling that does not overlap' --row 'without dropout' \
		train.optimizer.learning_rate=0.002)
	$(call TABLE,vgg --table table-3 --row A --row B --row C --scale 1/256)
	$(call TABLE,vgg --table table-3 --row A --row B --row C --scale 1/256 train.epochs=20)
	$(call TABLE,googlenet --table reduction --scale 1/512)
	$(call TABLE,resnet --table table-3 --scale 1/256 \
		--row 'ResNet-34 A' --row 'ResNet-34 B' --row 'ResNet-34 C')
	@$(BIN)/ilsvrc paper --results experiments/papers/RESULTS.md

bench: $(VENV)/.ready
	@$(BIN)/ilsvrc bench suite --quickstart

soak: $(VENV)/.ready
	@$(QUIET) PYTHONPATH=tests/support:tests/support/servers $(BIN)/python tests/support/by_hand/soak.py

ui: $(VENV)/.ready
	@$(BIN)/ilsvrc ui --open

screenshots: quickstart
	@$(QUIET) $(BIN)/ilsvrc ui --experiment quickstart --pictures .pictures

clean:
	rm -rf $(VENV) build *.egg-info
