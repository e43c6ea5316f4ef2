# `make demo` and `make test` create .venv with the versions pinned in constraints.txt. Once it is current, setup is a
# no-op; `make clean` removes it.
#   make test PYTHON=python3.12
#   make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu   # PyTorch's CPU wheels instead of the default build
#   make test WORKERS=4                                          # pytest processes, about 1 GB of memory each
#   make test PYTEST_ARGS="-m 'not wheel and not real_model'"
PYTHON ?= python3
TORCH_INDEX ?=
WORKERS ?= 2
PYTEST_ARGS ?=

BIN := .venv/bin
READY := .venv/.ready
DOCS_READY := .venv/.docs-ready
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
export TORCH_INDEX

.PHONY: setup demo test check lint format docs clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c '$(SUPPORTED)' || { echo "gcsl needs Python 3.11 to 3.13: make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --editable '.[dev,joblib,optuna,recommendation,slurm]'
	@touch $(READY)

demo: setup
	$(BIN)/gcsl evaluate experiment=demo

test: check
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal $(PYTEST_ARGS)

check: lint
	$(BIN)/mypy

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Writes docs/configuration.md from conf/ and builds the site into build/site.
docs: $(DOCS_READY)
	$(BIN)/python scripts/config_reference.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo "build/site/index.html; with search: $(BIN)/python -m http.server --directory build/site"

$(DOCS_READY): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --editable '.[docs]'
	@touch $(DOCS_READY)

# Keeps runs/: those are results.
clean:
	rm -rf .venv build dist .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
