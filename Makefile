# The same recipes serve people and CI. Everything lands in .venv of this checkout.
PY := .venv/bin/python
STAMP := .venv/.installed

.PHONY: demo test check bench docs setup fix
setup: $(STAMP)

$(STAMP): requirements/bootstrap.txt requirements/dev.txt pyproject.toml scripts/setup
	bash scripts/setup

demo: setup
	@.venv/bin/ringfence demo

check: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

test: check
	bash scripts/test

bench: setup
	$(PY) scripts/bench.py

docs: setup
	$(PY) scripts/docs.py

fix: setup
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .
