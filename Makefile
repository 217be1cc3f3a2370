# make train: set up, train on drawn scenes, measure, draw. make test: set up, style, types, imports, tests.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: train test test-slow check clean
train: .venv/.installed
	$(BIN)/python scripts/train.py experiment=shapes
	$(BIN)/python scripts/evaluate.py checkpoint=runs/shapes/latest/best.ckpt split=test

test: check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal -m "not slow"

test-slow: .venv/.test-installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal -m slow

check: .venv/.test-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The stamps are newer than pyproject.toml as long as nothing has to be installed again.
.venv/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/.test-installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@ .venv/.installed

clean:
	rm -rf .venv build *.egg-info
