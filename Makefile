# Needs python3 (3.10 or newer) and make. Every target sets up .venv first.

PYTHON ?= python3
PYTEST_ARGS ?=
# How many processes run tests side by side; benchmarks, which measure, run before them, alone.
JOBS ?= auto

BIN := .venv/bin
READY := .venv/ready

.DEFAULT_GOAL := help
.PHONY: help demo test conformance lint format types layers docs wheel coverage clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) ## run the examples, and show what was captured
	$(BIN)/python -m pytest -v -s --no-header docs/examples/test_quickstart.py docs/examples/test_[!q]*.py

test: $(READY) ## run every test, with branch coverage (not of benchmarks)
	$(BIN)/coverage erase
	$(BIN)/python -m pytest -q tests/benchmarks
	$(BIN)/coverage run -m pytest -n $(JOBS) --ignore=tests/benchmarks $(PYTEST_ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=95 --show-missing --skip-covered

conformance: $(READY) ## Celery's own tests on the engine: downloads them, needs redis-server
	$(BIN)/python tests/conformance/run.py

lint: $(READY) ## ruff: the rules, and the format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(READY) ## ruff: put right what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: $(READY) ## mypy, strict: the package, and the files in tests/typing
	$(BIN)/mypy pytest_taskprogress $(wildcard tests/typing/*.py)

layers: $(READY) ## import-linter: a room imports only from floors below it
	$(BIN)/lint-imports --no-logo

docs: $(READY) ## the documentation, to docs/_build/html
	$(BIN)/sphinx-build -W -n -q --no-color --keep-going -b html docs docs/_build/html

wheel: $(READY) ## sdist, and from it the wheel, to dist/
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist

coverage: $(READY) ## htmlcov/index.html, from the last `make test`
	$(BIN)/coverage html

clean: ## remove everything that make made
	rm -rf .venv dist docs/_build htmlcov .coverage .coverage.* .hypothesis .import_linter_cache \
		.mypy_cache .pytest_cache .ruff_cache
	find pytest_taskprogress tests docs -name __pycache__ -type d -prune -exec rm -rf {} +

# The pip that comes with Python 3.10 and 3.11 knows no dependency groups: 25.1 is the first.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "Python 3.10 or newer is needed, and '$(PYTHON)' is not:" \
			"install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -qq --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install -qq --editable '.[all]' --group dev
	@touch $@
