PYTHON := .venv/bin/python
.PHONY: setup test lint bench

setup:
	./xaiva --setup dev

# Lint and types are part of the tests (tests/test_house.py).
test: setup
	$(PYTHON) -m pytest $(PYTEST_ARGS)

lint: setup
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	.venv/bin/lint-imports

bench: setup
	$(PYTHON) -m benchmarks
