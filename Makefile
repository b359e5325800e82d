# The commands of this repository. `make help` lists them.
# A fresh Debian machine with Python 3.11+ and make needs nothing else: each target sets up what it needs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
VENDOR := cloud/console/static/vendor
ASSETS := $(VENDOR)/.installed
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help setup assets demo test test-servers check format lock bench faults soak fuzz screenshots clean

help:           ## what each target does
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 18

$(STAMP): pyproject.toml requirements.lock deploy/setup/venv.sh
	@sh deploy/setup/venv.sh "$(PYTHON)" "$(VENV)"
	@touch $@

$(ASSETS): cloud/console/package.json cloud/console/package-lock.json $(STAMP)
	@sh deploy/setup/assets.sh "$(BIN)/python"
	@touch $@

setup: $(STAMP) $(ASSETS)   ## environment in .venv, browser assets in the console

assets: $(ASSETS)           ## htmx, uPlot: pinned in cloud/console/package-lock.json

demo: setup                 ## the whole system with a simulated estate; ARGS=--once checks it and exits
	@$(BIN)/anju-sim demo $(ARGS)

test-servers: setup         ## TimescaleDB, Mosquitto's like and Chromium for the tests (needs root or apt rights)
	@PATH="$(abspath $(BIN)):$$PATH" sh deploy/setup/test-servers.sh

test: setup test-servers    ## all tests, against real servers and a real browser
	$(BIN)/pytest $(ARGS)

check: setup                ## lint, types, import rules, generated files up to date
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m contract.schemas --check
	$(BIN)/python -m cloud.alarms.rules.schema --check

format: setup               ## mend what the linter can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: setup                 ## requirements.lock anew from pyproject.toml
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --extra dev --no-header --quiet pyproject.toml --output-file requirements.lock

bench: setup                ## measure, side by side; a table and build/bench.json
	$(BIN)/python -m tests.bench $(ARGS)

faults: setup test-servers  ## the long fault suite; build/faults.json
	$(BIN)/pytest -m faults tests/faults $(ARGS)

soak: setup test-servers    ## half an hour of every fault at once: nothing may grow; build/soak.json (ARGS="--minutes 2")
	$(BIN)/python -m tests.faults.soak $(ARGS)

fuzz: setup                 ## hostile bytes for every decoder, 10 minutes each (ARGS=--hypothesis without atheris); build/fuzz.json
	@$(BIN)/python -c "import atheris" 2>/dev/null || $(BIN)/uv pip install --quiet --python $(BIN)/python "atheris>=3.0" || true
	$(BIN)/python -m tests.fuzz $(ARGS)

screenshots: setup test-servers ## the README's pictures anew, and every page in every form in build/screenshots
	$(BIN)/python -m tests.acceptance.screenshots

clean:                      ## what was built here; the demo's data stay (.demo)
	rm -rf $(VENV) build dist $(VENDOR) cloud/console/node_modules
