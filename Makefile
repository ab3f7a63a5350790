# Everything happens in .venv; nothing else needs to be installed.
.DEFAULT_GOAL := help
SHELL := /bin/bash

VENV := .venv
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
PIP := $(VENV)/bin/python -m pip install --quiet --no-cache-dir --disable-pip-version-check --constraint constraints.txt

# Byte code of our own modules would land beside their sources.
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: help install install-dev run test test-fast soak lint format bench reference

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | expand -t 14

install: $(VENV)/.installed ## Make .venv with everything that running needs

install-dev: $(VENV)/.installed-dev ## The same, and everything that testing needs

run: install ## Start everything; with an empty database also play the demo (ARGS=--once ends after it)
	@exec $(VENV)/bin/contexten serve --demo $(ARGS)

test: install-dev lint ## Check style, types and layers, then run all tests
	$(VENV)/bin/pytest -n 2 --dist loadgroup $(ARGS)

test-fast: install-dev ## Unit and component tests alone
	$(VENV)/bin/pytest -n 2 tests/unit tests/component $(ARGS)

soak: install-dev ## What takes long: fifty writers for a minute, on both databases
	CONTEXTEN_SOAK_SECONDS=60 $(VENV)/bin/pytest tests/soak $(ARGS)

lint: install-dev ## Check style, types and layers
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

format: install-dev ## Put the code in its format
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench: install-dev ## Measure, side by side in one run, and write bench/results/
	@$(PIP) --editable '.[bench]' && $(VENV)/bin/python -m bench.engine
	$(VENV)/bin/python -m bench.lifecycle $(ARGS)
	$(VENV)/bin/python -m bench.errors
	$(VENV)/bin/python -m bench.performance
	$(VENV)/bin/python -m bench.ingress
	$(VENV)/bin/python -m bench.codebase
	$(VENV)/bin/python -m bench.prompts
	$(VENV)/bin/python -m bench.prompt_lint

reference: install-dev ## Write docs/reference/openapi.json anew
	$(VENV)/bin/python -m contexten.server.openapi > docs/reference/openapi.json

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed, and none was found" >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)" >&2
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing what running needs (about a minute the first time)" >&2
	@$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "Installing what testing needs" >&2
	@$(PIP) --editable '.[dev]'
	@touch $@
