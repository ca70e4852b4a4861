# make          set up .venv and run the main job
# make test     everything that must pass: checks, tests, coverage
# make help     the other targets

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

# The matrices are small: more threads only wait for each other.
export OPENBLAS_NUM_THREADS ?= 1

BIN := .venv/bin
# What the package needs to run, and on top what the tests need: each a stamp of its own.
STAMP := .venv/.synced
TEST_STAMP := .venv/.synced-test

# The first interpreter that is new enough and can make a virtual environment; evaluated on use.
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
	>/dev/null 2>&1 && echo $$python && break; done)

# uv does not read pip's configuration: hand over its index, if there is one, and trust the same
# certificates as the rest of the system.
UV = export UV_SYSTEM_CERTS="$${UV_SYSTEM_CERTS:-true}" UV_HTTP_TIMEOUT="$${UV_HTTP_TIMEOUT:-180}"; \
	index=$$($(BIN)/python -m pip config list | sed -n "s/^.*\.index-url='\(.*\)'$$/\1/p" | tail -n 1); \
	if [[ -n "$$index" ]]; then export UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$$index}"; fi; \
	$(BIN)/uv

# The packages of a lock, hashes checked, and the package itself, editable.
define sync
$(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes $(1)
$(BIN)/uv pip install --quiet --offline --python $(BIN)/python --no-deps --no-build-isolation --editable .
endef

EXTRAS := figures client logs workers dask report
GROUPS := test check docs setup
compile = $(UV) pip compile pyproject.toml $(1) --universal --python-version 3.11 \
	--fork-strategy fewest --generate-hashes --no-annotate --no-header --no-emit-index-url \
	--no-emit-find-links --quiet $(UPGRADE)

.PHONY: all setup test-setup test check pytest docs notebooks analyses holdout slow results paper lock clean help

all: setup  ## Set up .venv and run the main job
	$(BIN)/offroute correct

setup: $(STAMP)  ## Make .venv as requirements.lock says, with the package editable

test-setup: $(TEST_STAMP)  ## The same with what checks, tests, documentation and paper need

# Touched last, so that an interrupted set-up starts again.
$(STAMP): requirements.lock pyproject.toml
	@if [[ -z "$(PYTHON)" ]]; then \
		echo "offroute needs Python 3.11 or newer with its venv module; found none." \
			"Install it (Debian: apt-get install python3 python3-venv)" \
			"or say which to use: make PYTHON=/path/to/python3.11" >&2; exit 1; fi
	rm -f $(TEST_STAMP)
	$(PYTHON) -m venv .venv
	sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > .venv/uv.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.lock
	$(call sync,requirements.lock)
	@touch $@

$(TEST_STAMP): requirements-test.lock $(STAMP)
	$(call sync,requirements-test.lock)
	@touch $@

test: check pytest  ## check, then all tests that are not slow, with the coverage gate

check: $(TEST_STAMP)  ## Style, types, layers, dependencies, spelling, docstrings, drift
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry src
	$(BIN)/codespell
	$(BIN)/numpydoc lint $$(find src -name '*.py')
	$(BIN)/python scripts/make_environment.py --check
	$(BIN)/python scripts/make_results.py --check
	$(BIN)/python scripts/make_figure.py --check
	$(BIN)/python scripts/make_readme.py --check
	$(BIN)/python scripts/make_benchmarks.py --check
	$(BIN)/python scripts/make_notebooks.py --check

# A worker for each processor, up to eight: each holds a Python with all libraries. Tests of a file
# share fits; in their order the many short ones come last.
JOBS ?= $(shell n=$$(nproc 2>/dev/null || echo 1); echo $$((n > 8 ? 8 : n)))
pytest: $(TEST_STAMP)
	$(BIN)/pytest --cov -n $(JOBS) --dist loadfile --no-loadscope-reorder

SITE := docs/_build/html
docs: $(TEST_STAMP)  ## The documentation in docs/_build/html; a warning is an error
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/sphinx-build -j 2 -W --keep-going --quiet \
		--doctree-dir $(SITE)/.doctrees -b html docs $(SITE)

notebooks: $(TEST_STAMP)  ## Rewrite the notebooks beside analyses/*.py
	$(BIN)/python scripts/make_notebooks.py

analyses: $(TEST_STAMP)  ## Execute the notebooks into pages in out/analyses
	$(BIN)/python scripts/make_notebooks.py --html out/analyses

holdout: $(TEST_STAMP)  ## Held-out families, later disclosures, fixed pass-through, predictions
	$(BIN)/python scripts/study_evidence.py
	$(BIN)/python scripts/study_estimators.py

slow: $(TEST_STAMP)  ## The tests marked slow, then the long studies; they resume where they stopped
	$(BIN)/pytest -m slow
	$(BIN)/python scripts/study_coverage.py --output studies/coverage.csv
	$(BIN)/python scripts/study_common_error.py --output studies/common_error.csv
	$(BIN)/python scripts/study_sbc.py --output studies/sbc.csv
	$(BIN)/python scripts/study_mechanisms.py --output studies/mechanisms.csv
	$(BIN)/python scripts/study_unit_logs.py
	$(BIN)/python scripts/study_intervals.py
	$(BIN)/python scripts/study_selection.py
	$(BIN)/python scripts/study_weights.py
	$(BIN)/python scripts/study_evidence.py
	$(BIN)/python scripts/study_estimators.py
	$(BIN)/python benchmarks/cells.py --rows 10_000_000 --out benchmarks/results/cells.csv
	$(BIN)/python benchmarks/cells.py --rows 100_000_000 --rounds 1 --out benchmarks/results/cells_large.csv

results: $(TEST_STAMP)  ## Rewrite results/, the figure, README.md and the Estimates in CHANGELOG.md
	$(BIN)/python scripts/make_results.py
	$(BIN)/python scripts/make_figure.py
	$(BIN)/python scripts/make_readme.py
	$(BIN)/python scripts/make_benchmarks.py

paper: $(TEST_STAMP)  ## Figures, PDF and HTML of the paper in paper/build/, from results/
	$(BIN)/python scripts/make_paper.py

lock: $(TEST_STAMP)  ## Recompile requirements.lock; make lock UPGRADE=--upgrade takes the newest versions
	$(call compile,$(EXTRAS:%=--extra %) --extra spark $(GROUPS:%=--group %)) -o requirements-test.lock
	$(call compile,$(EXTRAS:%=--extra %) --group setup -c requirements-test.lock) -o requirements.lock
	$(BIN)/python scripts/make_environment.py

clean:  ## Remove .venv and what tools left behind
	rm -rf .venv dist build docs/_build docs/api .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help:  ## This list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12
