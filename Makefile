PYTHON := .venv/bin/python
PROOFS := all
PYTEST := $(PYTHON) -m pytest -n auto --dist loadgroup --no-loadscope-reorder --junitxml=build/tests.xml $(PYTEST_ARGS)
.PHONY: setup test test-all lint docs bench

setup:
	./xaiva --setup dev

# Lint and types are part of the tests (tests/test_house.py).
test: setup
	$(PYTEST)

# PROOFS="kills media": only these long proofs in full (tests/support/proofs.py), the others as in `make test`.
test-all: setup
	XAIVA_TEST_ALL="$(PROOFS)" $(PYTEST)

lint: setup
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	.venv/bin/lint-imports

# The tables that are taken from the code.
docs: setup
	$(PYTHON) -m cogapp -r CONTRIBUTING.md core/errors.py docs/architecture.md docs/console.md

bench: setup
	$(PYTHON) -m benchmarks
