# The environment lives in .venv; every target sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TORCH := $(shell sed -n 's/^\(torch==.*\)/\1/p' constraints.txt)
LLAMA := $(shell sed -n 's/.*"\(xllamacpp==[^"]*\)".*/\1/p' pyproject.toml)
ARGS ?=
FAST := tests/test_house.py tests/test_docs.py tests/harness/metrics tests/harness/records tests/harness/tasks \
	tests/drafters/test_sampling.py tests/drafters/test_positions.py tests/harness/decoding/test_verify.py \
	tests/harness/decoding/test_generate.py -m "not slow"

.PHONY: help setup compare docs example race lint test tests test-fast test-transformers test-launchers test-sweep test-mutations test-vllm test-llama clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(VENV)/.ready ## everything that the other targets need, in .venv

# torch first and alone: later installs keep this build. Of axe-playwright-python the tests read axe-core alone
# (MPL-2.0), in the Chromium that is there: without its dependencies no second browser driver comes along.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet "$(TORCH)"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	$(BIN)/python -m pip install --quiet --no-deps "dflash==0.1.0" "axe-playwright-python==0.1.8"
	@touch $@

compare: setup ## compare MTP and DFlash on the embedded pair, with 14 prompts of each kind
	$(BIN)/python -m harness dataset.limit=98 $(ARGS)

docs: setup ## the documentation as a site, in site/
	$(BIN)/python -m tools.reference docs/reference.md
	$(BIN)/mkdocs build --strict

example: setup ## the example report of the documentation, on an idle machine
	$(BIN)/python -m harness dataset.limit=28 execution=compile hydra.run.dir=outputs/example
	mkdir -p docs/example && sed "s#$(CURDIR)/##g" outputs/example/report.html > docs/example/index.html

race: setup ## the race that README shows, on an idle machine
	$(BIN)/python -m harness dataset.limit=28 execution=compile hydra.run.dir=outputs/race
	$(BIN)/python -m harness.launch.race outputs/race --svg docs/images/race.svg

lint: setup ## style and types
	$(BIN)/ruff check .
	$(BIN)/mypy

# Types are checked by one process, beside the tests.
test: setup ## style, types and all tests
	$(MAKE) --no-print-directory --jobs=2 lint tests

# Compiled files are kept, whatever the environment says: each worker would compile all tests anew, and each process
# that a test starts the harness.
tests: setup
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

test-fast: setup ## the pure rooms and one decoded prompt per drafter, for the loop of work
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 $(FAST) $(ARGS)

test-transformers: ## the tests under another version of transformers, as VERSION=5.17.0, in an environment of its own
	$(if $(VERSION),,$(error VERSION is empty: expected a version of transformers, as in VERSION=5.17.0))
	$(MAKE) .venv-transformers-$(VERSION)/.ready
	OMP_NUM_THREADS=1 .venv-transformers-$(VERSION)/bin/python -m pytest -n 2 --dist worksteal $(ARGS)

# As setup, and then the other version with the tokenizers and huggingface_hub that it asks for.
.venv-transformers-%/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-transformers-$*
	.venv-transformers-$*/bin/python -m pip install --quiet --upgrade pip
	.venv-transformers-$*/bin/python -m pip install --quiet "$(TORCH)"
	.venv-transformers-$*/bin/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	.venv-transformers-$*/bin/python -m pip install --quiet --no-deps "dflash==0.1.0"
	.venv-transformers-$*/bin/python -m pip install --quiet "transformers==$*"
	@touch $@

test-launchers: ## a sweep of four jobs through each launcher, in an environment of its own
	$(PYTHON) -m venv .venv-launchers
	.venv-launchers/bin/python -m pip install --quiet "$(TORCH)"
	.venv-launchers/bin/python -m pip install --quiet --editable ".[dev,launchers]"
	OMP_NUM_THREADS=1 .venv-launchers/bin/python -m pytest -m launchers tests/launchers $(ARGS)

test-sweep: setup ## 24 jobs on the embedded pair, killed twice and resumed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow tests/harness/launch $(ARGS)

test-mutations: ## change the pure rooms one expression at a time: their tests must notice, in an environment of its own
	$(PYTHON) -m venv .venv-mutations
	.venv-mutations/bin/python -m pip install --quiet "$(TORCH)"
	.venv-mutations/bin/python -m pip install --quiet --constraint constraints.txt --editable ".[dev,mutations]"
	OMP_NUM_THREADS=1 .venv-mutations/bin/python tools/mutations.py $(ARGS)

test-vllm: setup ## vLLM's CPU build in an environment of its own, held against the harness on the embedded pair
	PYTHON=$(PYTHON) bash tools/vllm/environment.sh
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m vllm tests/vllm $(ARGS)

test-llama: setup .venv-llama/.ready ## llama.cpp's server from its wheel, held against the harness on the embedded families
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup -m llama tests/llama $(ARGS)

# The wheel alone: the harness talks to a process of this Python.
.venv-llama/.ready: pyproject.toml
	$(PYTHON) -m venv .venv-llama
	.venv-llama/bin/python -m pip install --quiet --no-deps "$(LLAMA)"
	@touch $@

clean: ## take away .venv, and all runs in outputs
	rm -rf $(VENV) multirun mutants
	find outputs -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +
