PYTHON := .venv/bin/python
.PHONY: setup test lint bench

setup:
	./xaiva --setup dev

test: setup
	$(PYTHON) -m pytest $(PYTEST_ARGS)

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

bench: setup
	$(PYTHON) -m benchmarks
