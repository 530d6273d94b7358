# Everything runs in its own virtual environment; `make help` lists the commands.
PYTHON ?= python3
VENV ?= .venv
ARGS ?=
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help search test slow check lint types docs tutorial figures schemas lock clean

help:  ## list these commands
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/make \1#\2/p' Makefile | awk -F'#' '{ printf "%-12s %s\n", $$1, $$2 }'

search: $(STAMP)  ## search the space; more options: make search ARGS="--data PATH"
	@$(BIN)/study search --max-epochs 10 $(ARGS)

test: $(STAMP)  ## run all tests but the slow ones
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

slow: $(STAMP)  ## run the slow tests: whole studies, new processes, faults, clusters, exports
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m slow

# Tests last: the end of the output is their summary.
check: lint types docs slow test  ## style, types, layers, the documentation, all tests with the built wheel

lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-logo

types: $(STAMP)
	@$(BIN)/mypy

docs: $(STAMP)  ## build the documentation site into site/; warnings are errors
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

tutorial: $(STAMP)  ## run the tutorial notebook and store its outputs
	@$(BIN)/python -m nbconvert --to notebook --execute --inplace --log-level WARN docs/tutorial.ipynb

figures: $(STAMP)  ## draw the figures of the documentation
	@$(BIN)/python docs/figures.py

schemas: $(STAMP)  ## write docs/schemas/ from the stored records
	@$(BIN)/python -m concrete_study.results.schemas

$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit( \
	"Error: Python 3.11, 3.12 or 3.13 is needed; $(PYTHON) is %d.%d.\nTry: make $(MAKECMDGOALS) PYTHON=python3.12" % v)'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) from requirements.lock: once, one or two minutes, 3 GB on disk."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# One lock for Linux, macOS and Python 3.11 to 3.13, with the tools of `make check`. It
# names no index: pip and uv use the configured one.
lock: $(STAMP)  ## update requirements.lock to the newest versions
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip compile pyproject.toml --group dev --upgrade --universal --fork-strategy fewest \
		--python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-emit-find-links --custom-compile-command "make lock" --quiet --output-file requirements.lock

clean:  ## remove the virtual environment, caches and builds; keep studies and images
	@rm -rf $(VENV) dist build site .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	@find concrete_study cli study search models datasets results tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
