# Everything a contributor types. `make` alone lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
CLIENTS := $(patsubst tests/clients/%.lock,.venv-clients/%,$(wildcard tests/clients/*.lock))
ARGS ?=
# Of the tests: one more than there are cores, since many wait more than they compute.
PROCESSES ?= $(shell expr $$(nproc) + 1)
# A few that fail are run once more, alone: tests/second_look.py.
TESTS := $(BIN)/python -m pytest -p tests.second_look --numprocesses $(PROCESSES) --dist loadgroup
# `make check`: imports between rooms, scoring, metrics' vectors, the board, what is shown of scores, pages.
CHECKED := tests/test_house.py tests/scorer/test_scoring.py tests/scorer/test_metrics.py \
	tests/app/competing/test_leaderboard.py tests/app/competing/test_score_release.py \
	tests/web/test_gunicorn_hooks.py tests/web/test_formats.py tests/web/test_pages.py
LEFT_OUT := -m "not postgres and not storm and not clients" --deselect tests/scorer/test_metrics.py::test_the_laws_of_every_metric

# Where it is set, each of the hundreds of starts in the tests would compile the whole program again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo check test test-storm test-clients install-newest-clients test-newest-clients lint format bench sbom audit clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

# What serving needs; what tests, linters and benchmarks need beside it, in the same environment.
$(RUN): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Heldout needs Python 3.11 or newer; this is %s (set PYTHON=...)" % sys.version.split()[0])'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes -r requirements.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): $(RUN) requirements-dev.lock
	$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@

install: $(RUN)  ## what serving needs, in .venv

demo: $(RUN)  ## start everything on this machine with real challenges (ARGS=--once: prove it and stop)
	$(BIN)/heldout demo $(ARGS)

check: lint  ## lint, types and the most telling tests, in under a minute: before each commit
	$(BIN)/python -m pytest --quiet --numprocesses $(PROCESSES) $(LEFT_OUT) $(CHECKED) $(ARGS)

test: $(DEV)  ## the tests, without what kills and runs at length
	$(TESTS) -m "not storm and not clients" $(ARGS)

test-storm: $(DEV)  ## kill storms, crash points, long state machines, hosts cut off, the fuzzed API
	$(TESTS) -m storm $(ARGS)

install-newest-clients: .venv-clients/kaggle-2.2.5 .venv-clients/kagglehub-1.0.3

test-newest-clients: $(DEV) install-newest-clients  ## the newest Kaggle client and kagglehub alone, as CI does
	$(BIN)/python -m pytest -m clients -k "(kaggle-2.2.5 or newest or kagglehub) and not nginx" $(ARGS) tests/clients

test-clients: $(DEV) $(CLIENTS)  ## the stock Kaggle clients, each in its own environment, against a real installation
	$(BIN)/python -m pytest -m clients $(ARGS) tests/clients

$(CLIENTS): .venv-clients/%: tests/clients/%.lock
	@rm -rf $@ && $(PYTHON) -m venv $@
	@$@/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $< || { rm -rf $@; exit 1; }

lint: $(DEV)  ## ruff and mypy strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(DEV)  ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(DEV)  ## every benchmark at full size (ARGS=--smoke: minutes become seconds)
	for b in benchmarks/[a-z]*.py benchmarks/integrity benchmarks/chaos; do $(BIN)/python $$b $(ARGS) || exit 1; done

sbom: $(DEV)  ## list every part that comes from others in build/sbom.json (CycloneDX)
	$(BIN)/python tools/supply.py sbom

audit: $(DEV)  ## look what is locked up among known vulnerabilities
	$(BIN)/python tools/supply.py audit

clean:  ## remove the virtual environment and caches (not data)
	rm -rf $(VENV) .venv-clients .pytest_cache .mypy_cache .ruff_cache .hypothesis
