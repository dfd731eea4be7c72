# `make test` sets everything up by itself: it needs Python >= 3.11, make and git, nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: install test quick lint bench clean

install: $(VENV)/installed

# Installed anew when the list of dependencies changes.
$(VENV)/installed: setup.py pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e .[dev]
	touch $@

test: install lint
	$(BIN)/python -m pytest -q -m "slow or not slow"

quick: install
	$(BIN)/python -m pytest -q

lint: install
	$(BIN)/ruff check .

bench: export TF_CPP_MIN_LOG_LEVEL = 2
bench: install
	$(BIN)/python benchmarks/step.py
	$(BIN)/python benchmarks/pipeline.py
	$(BIN)/python benchmarks/memory.py

clean:
	rm -rf $(VENV) build dist out *.egg-info .pytest_cache .ruff_cache
