# Everything a developer types. Needs Python 3.11 or newer, pip, make and git; installs the rest into
# .venv (newest versions, constraints/dev.txt), .venv-lowest (oldest, constraints/lowest.txt) and, with a
# Python 3.12, .venv-databricks (those of a Databricks runtime, constraints/databricks.txt).
# A second call installs nothing, until pyproject.toml or the constraints change.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
unexport PYTHONDONTWRITEBYTECODE # else each of the hundred processes that tests start compiles everything for itself

# The first interpreter that is new enough and can make environments; or say PYTHON=/path/to/python.
USABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for name in python3 python3.11 python3.12 python3.13 python; do \
	if $$name -c '$(USABLE)' >/dev/null 2>&1; then echo $$name; break; fi; done)

# databricks-connect installs on Python 3.12 only. Tried by running it: a shim of pyenv may lead nowhere.
PYTHON312 ?= $(shell for name in python3.12 $${PYENV_ROOT:-$$HOME/.pyenv}/versions/3.12*/bin/python \
	"$$(uv python find --no-python-downloads 3.12 2>/dev/null)"; do \
	if $$name -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 12))' >/dev/null 2>&1; \
	then echo $$name; break; fi; done)

BIN := .venv/bin
LOWEST := .venv-lowest/bin
DATABRICKS := .venv-databricks/bin
WORKERS ?= 3
# Suites that hold for every client of Spark, and those of databricks-connect; the longest first.
ON_DATABRICKS := tests/test_journey_spark.py tests/databricks tests/digest/test_spark.py tests/engines/test_spark.py \
	tests/data/test_contract_sql.py tests/data/test_split_sql.py tests/data/test_spark_source.py
PIP_INSTALL := -m pip install --quiet --quiet --disable-pip-version-check

.PHONY: help demo setup test browser check format docs lowest databricks bench pins clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1 \t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: .venv/demo.stamp ## the whole life cycle on real data, in a minute
	@$(BIN)/mlkit demo

setup: .venv/dev.stamp ## the environment for development, in .venv

test: .venv/dev.stamp browser ## all tests, newest versions (ARGS='-k name' for some of them)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder $(ARGS)

# Pages are tested in a real one. Where it cannot be had, those tests say that they did not run.
browser:
	@if ! command -v chromium >/dev/null && command -v apt-get >/dev/null && test "$$(id -u)" = 0; then \
		echo 'Installing chromium, in which pages are tested (once)'; \
		{ apt-get -qq update && DEBIAN_FRONTEND=noninteractive \
		apt-get -qq install --no-install-recommends chromium fonts-dejavu-core; } >/dev/null 2>&1 || true; \
	fi

check: .venv/dev.stamp ## style, types, import contracts, budgets, documentation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/python tests/checks/budgets.py
	@$(MAKE) --no-print-directory docs

format: .venv/dev.stamp ## let ruff write the style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Not quiet: with -q a strict build would pass broken links. The variable silences an announcement.
docs: .venv/dev.stamp ## the documentation, into site/
	$(BIN)/python -m tests.checks.reference --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

lowest: .venv-lowest/test.stamp ## the quick tests, oldest supported versions
	$(LOWEST)/python -m pytest -n $(WORKERS) --dist loadscope -m 'not newest_only and not slow' $(ARGS)

# Servers live in .venv and are talked to by an unmodified databricks-connect from .venv-databricks.
databricks: ## databricks-connect, on the versions of a Databricks runtime
	@if test -n '$(PYTHON312)'; then \
		$(MAKE) --no-print-directory .venv/dev.stamp .venv-databricks/test.stamp && \
		$(BIN)/python -m tests.databricks.serve \
		$(DATABRICKS)/python -m pytest -n $(WORKERS) --dist loadscope --no-loadscope-reorder \
		$(ON_DATABRICKS) $(ARGS); \
	else \
		echo 'did not run: databricks-connect: no Python 3.12 here; say where: make databricks PYTHON312=...'; \
		test "$$CI" != true; \
	fi

bench: .venv/dev.stamp ## the measurements
	for script in tests/benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit; done

# Newest versions of everything, tried in a fresh environment; review the change, then `make test check`.
pins: ## write constraints/dev.txt anew
	rm -rf .venv-pins
	$(PYTHON) -m venv .venv-pins
	.venv-pins/bin/python $(PIP_INSTALL) -e '.[dev,demo,docs]'
	{ sed -n '/^#/p' constraints/dev.txt; .venv-pins/bin/python -m pip freeze --exclude-editable; } > constraints/dev.new
	mv constraints/dev.new constraints/dev.txt
	rm -rf .venv-pins

clean: ## remove environments, caches and builds (not .mlkit: that holds models)
	rm -rf .venv .venv-lowest .venv-databricks .venv-pins
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist site

.venv/bin/python .venv-lowest/bin/python:
	@test -n '$(PYTHON)' || { echo 'Python 3.11 or newer is needed; say where: make PYTHON=/path/to/python' >&2; exit 1; }
	$(PYTHON) -m venv $(patsubst %/bin/python,%,$@)

.venv-databricks/bin/python:
	$(PYTHON312) -m venv $(patsubst %/bin/python,%,$@)

.venv/demo.stamp: pyproject.toml constraints/dev.txt | .venv/bin/python
	@echo 'Installing mlkit into .venv (once, takes a minute or two)'
	@$(BIN)/python $(PIP_INSTALL) -c constraints/dev.txt -e '.[demo]'
	@touch $@

.venv/dev.stamp: pyproject.toml constraints/dev.txt | .venv/bin/python
	@echo 'Installing mlkit and the tools of its developers into .venv (once, takes a minute or two)'
	@$(BIN)/python $(PIP_INSTALL) -c constraints/dev.txt -e '.[dev,demo,docs]'
	@touch .venv/demo.stamp $@

.venv-lowest/test.stamp: pyproject.toml constraints/lowest.txt | .venv-lowest/bin/python
	@echo 'Installing the oldest supported versions into .venv-lowest (once, takes a minute or two)'
	@$(LOWEST)/python $(PIP_INSTALL) -c constraints/lowest.txt -e '.[test,demo]'
	@touch $@

# The list is complete, so nothing is resolved; without compiling what is never imported it takes half the time.
.venv-databricks/test.stamp: pyproject.toml constraints/databricks.txt | .venv-databricks/bin/python
	@echo 'Installing the versions of a Databricks runtime into .venv-databricks (once, takes a minute or two)'
	@$(DATABRICKS)/python $(PIP_INSTALL) --no-compile --no-deps -r constraints/databricks.txt -e .
	@$(DATABRICKS)/python -m pip --disable-pip-version-check check
	@touch $@
