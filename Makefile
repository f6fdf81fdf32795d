# What is done here is done with the Python of .venv, which the targets make for themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

# Stamps in .venv say what is installed; they are older than a changed pyproject.toml or constraints.txt.
RUN := $(VENV)/.installed-run
DEV := $(VENV)/.installed-dev
BENCH := $(VENV)/.installed-bench

.DEFAULT_GOAL := help
.PHONY: help demo test examples check bench chaos docs tutorial setup clean dist lowest release-check image-check cluster-check
.DELETE_ON_ERROR:

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(RUN) ## Train, prune, quantize, export, check, register, promote and serve a model of handwritten digits
	@$(BIN)/python examples/digits/demo.py

test: $(DEV) ## Run all tests
	@$(BIN)/python -m pytest -q --durations=20 -n auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder

examples: $(DEV) ## Run every example below examples/ as its README says
	@$(BIN)/python examples/run.py

check: $(DEV) ## Check format, lint, types and import contracts
	@echo "==> format";           $(BIN)/ruff format --check .
	@echo "==> lint";             $(BIN)/ruff check .
	@echo "==> types";            $(BIN)/mypy
	@echo "==> import contracts"; $(BIN)/lint-imports

bench: $(BENCH) ## Run the benchmarks and keep their figures; ONLY=serve,trainer runs some, QUICK=1 tries them
	@$(BIN)/python benchmarks/run.py --only "$(ONLY)" $(if $(QUICK),--quick)

chaos: $(DEV) ## Kill training at 100 random instants and pipelines at 50, vex the endpoint, promote eight at once
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.train.chaos --kills 100
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.pipeline.chaos --kills 50
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.race --racers 8 --rounds 50
	@if command -v pg_ctlcluster >/dev/null; then \
		OMP_NUM_THREADS=1 $(BIN)/python -m tests.race --racers 8 --rounds 50 --postgres; \
	else echo "PostgreSQL is not installed: the race on it is left out"; fi
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.serve.chaos

docs: $(DEV) ## Make docs/reference/ and the README's picture anew from the code
	@$(BIN)/python -m docs.generate

tutorial: $(DEV) ## Type the tutorial and the README into empty folders, and compare what is printed
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.docs.run_tutorial

dist: $(DEV) ## Build wheel and sdist into dist/
	@rm -rf dist && $(BIN)/python -m tests.release.distributions dist && ls -l dist

lowest: $(DEV) ## Install the lowest versions that are allowed, and run the tests that touch most of them
	@$(BIN)/python -m tests.release lowest

release-check: $(DEV) ## Install what is built into an empty environment, and the lowest versions into another; use both
	@$(BIN)/python -m tests.release

image-check: $(DEV) ## Execute the Dockerfile's steps in a clean Debian root and ask what they build (root, debootstrap)
	@$(BIN)/python -m tests.image $(IMAGE_ARGUMENTS)

cluster-check: $(DEV) ## Train on two machines that are namespaces, by torchrun, and by Slurm (root, iproute2, slurm-wlm)
	@$(BIN)/python -m tests.cluster

setup: $(DEV) ## Make .venv with everything that the other targets need

clean: ## Remove .venv, caches, build products and the examples' workspaces
	rm -rf $(VENV) build dist *.egg-info .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	rm -rf examples/*/.lifecycle examples/*/logs examples/*/lightning_logs examples/*/plugin/build
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

$(BIN)/python:
	@command -v "$(PYTHON)" >/dev/null || { \
		echo "There is no $(PYTHON) here. Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3"; \
		exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed, and $(PYTHON) is $$("$(PYTHON)" -V)." \
			"Name another: make PYTHON=/path/to/python3"; \
		exit 1; }
	@echo "==> making $(VENV) with $$("$(PYTHON)" -V)"
	@"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(RUN): pyproject.toml constraints.txt | $(BIN)/python
	@echo "==> installing PyTorch ($$(grep ^torch== constraints.txt)): half a minute and more"
	@$(PIP) install -qq -c constraints.txt torch
	@echo "==> installing lifecycle and what it stands on, $$(grep -c == constraints.txt) packages at most: 1-2 minutes"
	@$(PIP) install -qq -c constraints.txt -e '.[examples]'
	@touch $@

$(DEV): $(RUN)
	@echo "==> installing the development tools: under a minute"
	@$(PIP) install -qq -c constraints.txt -e '.[dev]'
	@touch $@

$(BENCH): $(RUN)
	@echo "==> installing what the benchmarks compare with"
	@$(PIP) install -qq -c constraints.txt -e '.[bench]'
	@touch $@
