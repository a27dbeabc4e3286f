# make demo and make test do all their set-up themselves.
PYTHON ?= python3.11
BIN := .venv/bin
SETUP := .venv/.complete

.PHONY: setup setup-arm demo test test-slow check clean

$(SETUP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	touch $(SETUP)

setup: $(SETUP)

# A small aarch64 system in build/aarch64, for `verify --isa aarch64`.
setup-arm: setup
	$(BIN)/python -m litecompress.arm.build

demo: setup
	$(BIN)/litecompress run recipes/demo.yaml -o out/demo --force

test: setup
	$(BIN)/pytest

test-slow: setup
	$(BIN)/pytest -m slow

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv out
