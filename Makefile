# Every target does all the set-up it needs: Python 3.11 or newer, make, git and the package registry are enough.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
ARGS   ?=
SEEDS  ?= 0..1999

.PHONY: setup demo test lint check simulate lock bench soak runners clean

setup: $(READY)

# --no-deps: the lock file is whole, and older pips, resolving again, ask for extras it does not pin.
$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(0 if sys.version_info >= (3, 11) else 'MiniQuantDesk needs Python 3.11 or newer, found ' + sys.version.split()[0] + '; call make with PYTHON=python3.11')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/python -m pip check --quiet --disable-pip-version-check
	touch $(READY)

demo: $(READY)
	$(BIN)/desk demo $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: $(READY) lint
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)
	$(BIN)/desk simulate --seeds $(SEEDS)

check: test

simulate: $(READY)
	$(BIN)/desk simulate $(ARGS)

bench: $(READY)
	$(BIN)/python -m bench $(ARGS)

# Long runs: `make soak ARGS="crash --kills 100 --faults plan.yaml"`, `make soak ARGS=drills`.
soak: $(READY)
	$(BIN)/python -m soak $(ARGS)

# Dask and Ray for `desk sweep --runner dask` or `ray`, beside what is there; then the same sweep on each of them.
runners: $(VENV)/.runners
	$(BIN)/python -m pytest -n 0 tests/flows/test_sweep.py $(ARGS)

$(VENV)/.runners: $(READY) requirements-runners.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-runners.lock
	$(BIN)/python -m pip check --quiet --disable-pip-version-check
	touch $(VENV)/.runners

# The second file has only what Dask and Ray need beside the first.
LOCKED = $$(sed -n 's/^\([a-z0-9._-]*\)==.*/--no-emit-package \1/p' requirements.lock)

lock: $(READY)
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet \
		--extra dev pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet \
		--extra dask --extra ray -c requirements.lock $(LOCKED) pyproject.toml -o requirements-runners.lock
	sed -i.bak '/^# The following packages were excluded/,$$d' requirements-runners.lock && rm requirements-runners.lock.bak

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
