# Python 3.11 or newer, make and pip are enough: every target sets itself up in .venv first.

VENV := .venv
PY := $(VENV)/bin/python
# The first of these that is Python 3.11 or newer; `make setup PYTHON=...` names another one.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$python && break; done)
PIP := $(PY) -m pip --disable-pip-version-check install -qq

.DEFAULT_GOAL := help
.PHONY: help setup demo lab test check bench clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /make \1|/p' Makefile | while IFS='|' read -r target what; do \
		printf '  %-12s%s\n' "$$target" "$$what"; done

demo: $(VENV)/.lab ## run the quickstart notebook here in the terminal (no key, no network)
	@$(PY) notebooks/demo.py

lab: $(VENV)/.lab ## open the quickstart in JupyterLab
	@$(PY) -m jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) notebooks/01_quickstart.ipynb

# Bytecode is kept, whatever the environment says: the tests start hundreds of processes.
test: export PYTHONDONTWRITEBYTECODE =
test: $(VENV)/.dev ## all tests; what a machine has no browser, aimock or corpus for is skipped with the reason
	@echo "All but those that measure seconds or open a browser, four at a time, since much of what they do is wait:"
	@$(PY) -m pytest -q -n 4 --max-worker-restart 0 -m "not alone and not browser"
	@echo "Tests that measure seconds or open a browser, one at a time:"
	@$(PY) -m pytest -q -m "alone or browser"

check: $(VENV)/.dev ## style, types and floors
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(VENV)/bin/lint-imports --no-logo

bench: $(VENV)/.dev .bench/venv/.peers ## measure this package beside its peers, on loopback
	@$(PY) -m tests.bench

setup: $(VENV)/.dev ## only set up: the package and what its tests need

clean: ## remove what the targets made
	rm -rf $(VENV) .bench build

$(VENV)/.lab $(VENV)/.dev: $(VENV)/.%: pyproject.toml | $(PY)
	@echo "Installing the package and its [$*] packages into $(VENV); the first time takes a minute or two."
	@$(PIP) --editable '.[$*]' || { echo "The packages could not be installed; pip says why above." >&2; exit 1; }
	@touch $@

.bench/venv/.peers: tests/bench/peers.txt | $(VENV)/.dev
	@echo "Installing the peers to measure into .bench/venv, apart from the package's own packages."
	@$(PY) -m venv .bench/venv
	@.bench/venv/bin/python -m pip --disable-pip-version-check install -qq --requirement $< \
		|| { echo "The peers could not be installed; pip says why above." >&2; exit 1; }
	@touch $@

# Some systems ship Python without ensurepip: then pip comes from the Python that makes the environment.
$(PY):
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer was not found. Install it, or say where it is:" \
		"make setup PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)."
	@$(PYTHON) -m venv --clear $(VENV) >/dev/null 2>&1 \
		|| { $(PYTHON) -m venv --clear --without-pip $(VENV) && $(PYTHON) -m pip -qq --python $(PY) install pip; } \
		|| { rm -rf $(VENV); echo "$(VENV) could not be made with $(PYTHON)." >&2; exit 1; }
