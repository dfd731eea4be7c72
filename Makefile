# `make test` sets everything up by itself: it needs Python 3.11 to 3.13, make and git, nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: install test quick lint bench demo clean

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

# Renders hands, trains the compact net on them for some minutes, freezes it and shows what it and the shipped model find
# in hands that neither has seen.
demo: install
	$(BIN)/python train.py
	$(BIN)/python freeze.py --tag=demo --size=128 --output_dir=out/demo
	$(BIN)/python -m cpm_hand.rendering --out=out/demo/unseen --count=8 --seed=8 --size=320
	$(BIN)/python test.py --graph_path=cpm_lite --graph_path=out/demo/frozengraph.pb --threshold=0 --output_dir=out/demo \
		out/demo/unseen/synth_rendered

bench: export TF_CPP_MIN_LOG_LEVEL = 2
bench: install
	$(BIN)/python benchmarks/step.py
	$(BIN)/python benchmarks/pipeline.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/render.py
	$(BIN)/python benchmarks/predict.py
	$(BIN)/python benchmarks/predict.py --graph_path=cpm_lite --output=out/bench/predict_cpm_lite.json
	$(BIN)/python benchmarks/inference.py --net=full --net=narrow --net=lite
	$(BIN)/python benchmarks/accuracy.py
	$(BIN)/python benchmarks/search.py --calibrate

clean:
	rm -rf $(VENV) build dist out *.egg-info .pytest_cache .ruff_cache
