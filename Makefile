# Every target sets up the environment it needs; `make help` lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export PATH := $(abspath $(BIN)):$(PATH)
# one warning less per command; DVC's own settings stand in .dvc/config
export DVC_NO_ANALYTICS := 1
# of what spandrel needs only torchvision is missing, which we do not use: it would exchange torch for the one that it fits
SPANDREL = $(BIN)/python -m pip install --quiet --no-deps spandrel==0.4.2

.DEFAULT_GOAL := help
.PHONY: help env repro test gpu lint format profile plots lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: $(READY) ## the environment in .venv, from requirements.lock

$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) --version). Name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable . --group dev
	$(SPANDREL)
	@git rev-parse --git-dir >/dev/null 2>&1 || $(BIN)/dvc config --local core.no_scm true # a download without .git
	@touch $@

repro: env ## rebuild data, model and metrics: dvc repro on params.yaml (the demo, until you change it)
	dvc repro
	@python -m stages summary
	@echo "All on one page, for your browser: reports/report.html"

plots: env ## curves and pictures as DVC shows them, to compare revisions: dvc_plots/index.html
	dvc plots show

test: export OMP_NUM_THREADS := 1 # pytest's processes take the cores already
test: export PYTHONDONTWRITEBYTECODE := # where a container sets it, each of some hundred processes would compile the sources again
test: env ## the whole test suite, on up to four cores
	pytest --numprocesses=logical --maxprocesses=4 --dist=loadfile --no-loadscope-reorder

gpu: env ## what your NVIDIA GPU does: tests, images/s, hours of the whole run, a short training (8 minutes)
	@python -m benchmarks.gpu_check

lint: env ## style, types, direction of imports
	ruff check .
	ruff format --check .
	lint-imports
	pyright

format: env ## format the code
	ruff format .
	ruff check --fix .

profile: env ## put profiles/NAME.yaml in place of params.yaml: make profile NAME=celebahq-network
	@python -m stages profile "$(NAME)"

lock: ## renew requirements.lock from pyproject.toml (torch is left to the platform's build)
	rm -rf $(VENV).lock && $(PYTHON) -m venv $(VENV).lock
	$(VENV).lock/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(VENV).lock/bin/python -m pip install --quiet --editable . --group dev
	$(subst $(BIN),$(VENV).lock/bin,$(SPANDREL))
	{ echo "# Exact versions for reproduction; renew with 'make lock'. torch and its CUDA packages follow the platform."; \
	  $(VENV).lock/bin/python -m pip freeze --exclude-editable | grep -viE '^(torch|triton|cuda|nvidia-[cn])'; } > requirements.lock
	rm -rf $(VENV).lock

clean: ## remove work folders of stopped runs (results, downloads in data/.downloads and DVC's cache stay)
	rm -rf data/.work dvc_plots
