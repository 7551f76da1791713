# Everything a developer does here. `make help` lists it; a second run of anything is quick.

VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --no-input
ARGS   ?=
# How many processes the tests run in; auto: two a core, because many tests wait.
WORKERS ?= auto
# How often `make faults` kills the server; SEED repeats what a run has chosen.
KILLS  ?= 60
# An environment is made anew when one of these changes; CI's also when its constraints do.
META   := setup.cfg pyproject.toml $(PIP_CONSTRAINT)
# What the tests need beside the package itself.
TESTING := cli,test,uvloop
# What a module is compiled to is kept: each process of the tests would compile all of it again.
unexport PYTHONDONTWRITEBYTECODE
# The interpreter of .venv: the first of these that runs, is 3.11 or newer and can make an environment.
# `make PYTHON=... VENV=...` takes another.
PYTHON ?=

.DEFAULT_GOAL := help
.PHONY: run test test-rooms node-clients dev lint types contracts docs faults bench bench-instructions simulate constraints clean help

run: $(VENV)/.for-run  ## install what is needed and start the server (ARGS="--port 9000")
	@exec $(BIN)/turnkeeper serve $(ARGS)

test: $(VENV)/.for-test  ## run every test (ARGS="-k cancel -x"; WORKERS=0 for one process)
	$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

# The rooms' own tests, in which alone a version of Python or of a library can make a difference: but for the browser's,
# and for the searches of the pure core.
test-rooms: $(VENV)/.for-test  ## run the tests of the rooms (VENV=.venv-3.13 PYTHON=python3.13)
	$(BIN)/python -m pytest -n $(WORKERS) tests/actors tests/web -m "not (browser or exhaustive)" $(ARGS)

node-clients: tests/clients/node_modules/.package-lock.json  ## install the clients that the tests drive in Node; needs npm
	@echo "ready: tests/clients/node_modules"

dev: $(VENV)/.for-test $(VENV)/.for-lint $(VENV)/.for-docs  ## an editable install with every tool, in .venv
	@echo "ready: . $(BIN)/activate"

lint: $(VENV)/.for-lint  ## ruff, rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.for-test $(VENV)/.for-lint  ## mypy and pyright, strict, on a throwaway plain install
	.ci/types $(BIN)

contracts: $(VENV)/.for-lint  ## which file may import which, on a throwaway plain install
	.ci/contracts $(BIN)

docs: $(VENV)/.for-docs  ## build the docs into docs/_build/html; a warning is an error
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

faults: $(VENV)/.for-test  ## kill -9 a server under load, again and again, and look for what it lost (KILLS=1000 SEED=7)
	$(BIN)/python -m tests.faults.run --kills $(KILLS) $(if $(SEED),--seed $(SEED)) $(ARGS)

bench: $(VENV)/.for-test $(VENV)/.for-bench  ## the benchmarks, and their page in the docs (ARGS="--help")
	$(BIN)/python tests/benchmarks/run.py --docs docs/reference $(ARGS)

bench-instructions: $(VENV)/.for-test  ## instructions per operation, beside a floor's; needs valgrind (ARGS="--check")
	$(BIN)/python tests/benchmarks/instructions/run.py $(ARGS)

simulate: $(VENV)/.for-test  ## how long messages wait while one user floods a server, and its page in the docs
	$(BIN)/python -m tests.actors.admission.simulation.run

constraints: $(VENV)/.made  ## look up the newest versions of all that CI installs, and write them down for it
	$(BIN)/python .ci/constraints.py '$(TESTING),lint,docs'

clean:  ## remove what was made
	rm -rf .venv .venv-* build dist docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info tests/clients/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*##/\1:/p' $(MAKEFILE_LIST) | awk -F: '{printf "  make %-20s%s\n", $$1, $$2}'

$(VENV)/.for-run: $(VENV)/.made $(META)
	@echo "installing turnkeeper and its command into $(VENV); the first time this can take a minute"
	@$(PIP) install -qq -e '.[cli,metrics]'
	@touch $@

$(VENV)/.for-test: $(VENV)/.made $(META)
	@echo "installing turnkeeper and what its tests need into $(VENV); the first time this can take a minute"
	@$(PIP) install -qq -e '.[$(TESTING)]'
	@touch $@ $(VENV)/.for-run

# npm writes that file when all is there.
tests/clients/node_modules/.package-lock.json: tests/clients/package-lock.json
	npm ci --prefix tests/clients --loglevel error

$(VENV)/.for-bench: $(VENV)/.made $(META)
	@echo "installing what the benchmarks need into $(VENV); the first time this can take a minute"
	@$(PIP) install -qq -e '.[bench]'
	@touch $@

$(VENV)/.for-lint: $(VENV)/.made $(META)
	@echo "installing the linters and type checkers into $(VENV); the first time this can take a minute"
	@$(PIP) install -qq -e '.[lint]'
	@touch $@

$(VENV)/.for-docs: $(VENV)/.made $(META)
	@echo "installing what builds the docs into $(VENV); the first time this can take a minute"
	@$(PIP) install -qq -e '.[docs]'
	@touch $@

$(VENV)/.made:
	@python=$$(.ci/python $(PYTHON)) && echo "making $(VENV) with $$($$python -V)" && $$python -m venv --clear $(VENV)
	@touch $@
