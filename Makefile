# Everything a person does with a checkout. `make` alone lists the targets.
# Needs make and a Python 3.11 to 3.13; pip's settings (index, proxy, find-links) are the user's own.

VENV := .venv
BIN := $(VENV)/bin
VSCODE := editors/vscode
HATCHLING := .cache/hatchling
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# Fetches the small model, unless it is here. Fails without a network; the tiny model serves then.
FETCH := $(BIN)/python -P -c 'from dgls_engine.weights.small import small_folder; exit(small_folder() is None)' || \
    $(BIN)/python -P -m dgls models pull small --yes

.DEFAULT_GOAL := help
.PHONY: help setup demo test soak fuzz faults check bench kernels vscode release e2e e2e-vscode e2e-nvim clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(VENV)/.contributor  ## make .venv/bin/dgls, with ruff, mypy, lint-imports and pytest beside it
	@$(FETCH) || echo "The tiny built-in model answers until \`$(BIN)/dgls models pull small\` fetches the small one (93 MB)."

demo: $(VENV)/.runtime  ## watch the model fill a line of each function in five files
	@$(FETCH) || true
	@$(BIN)/python -P -m dgls demo

test: $(VENV)/.contributor  ## run the tests, on up to four cores
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

soak: $(VENV)/.contributor  ## type 100,000 keys into 50 files of a real server; takes 15 to 90 minutes, the last line is JSON
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m tests.stress.soak

fuzz: $(VENV)/.contributor  ## send a million mutated messages, plan any texts, read any settings, open mutated models
	DGLS_FUZZ=1000000 $(BIN)/python -m pytest tests/server/test_fuzz.py tests/server/test_any_settings.py \
	    tests/suggest/test_any_text.py tests/engine/weights/test_mutated_folders.py

faults: $(VENV)/.contributor  ## end, starve and mistreat a real server: one row a fault (Linux)
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m tests.stress.faults

check: $(VENV)/.contributor  ## lint, formatting, types, layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

kernels: $(VENV)/.kernels  ## run the kernels' tests: on a CUDA GPU, or else by Triton's interpreter (Linux)
	$(BIN)/python -m pytest tests/kernels

bench: $(VENV)/.contributor  ## measure; each program's last line is JSON
	$(BIN)/python bench/denoise.py
	$(BIN)/python bench/latency.py
	$(BIN)/python bench/silence.py

vscode: $(VSCODE)/node_modules/.package-lock.json $(HATCHLING)  ## check and build the VS Code extension: dist/dgls-VERSION.vsix
	cd $(VSCODE) && npm run --silent check && npm run --silent test && npm run --silent build
	rm -rf $(VSCODE)/wheel && mkdir -p dist
	PYTHONPATH=$(HATCHLING) $(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-index --no-deps \
	    --no-build-isolation --wheel-dir $(VSCODE)/wheel .
	cp LICENSE $(VSCODE)/LICENSE
	cd $(VSCODE) && npx --no-install vsce package --no-dependencies --no-rewrite-relative-links --out ../../dist/

e2e: e2e-nvim e2e-vscode  ## try both clients in real editors; says why where one is not to be had

e2e-vscode: $(VENV)/.contributor  ## try the extension in a real VS Code, in a headless Chromium
	@if node --version && npm --version; then node $(VSCODE)/e2e/get.mjs; \
	    else echo "SKIPPED: no node and npm"; test -z "$$DGLS_TESTS_NEED_EDITORS"; fi

e2e-nvim: $(VENV)/.e2e  ## the Neovim plugin in a real Neovim, fetched from Debian's archive if there is none
	@$(BIN)/python -m tests.editors.nvim

release: $(VENV)/.contributor $(VSCODE)/node_modules/.package-lock.json $(HATCHLING)  ## build and try wheel, sdist and extension from the last commit: dist/VERSION
	.ci/release

clean:  ## remove what builds and checks left behind; .venv stays
	rm -rf dist build $(VSCODE)/dist $(VSCODE)/build $(VSCODE)/wheel .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# npm's own stamp. Node modules come from wherever the user's npm gets its packages; with them here, all works offline.
$(VSCODE)/node_modules/.package-lock.json: $(VSCODE)/package-lock.json
	cd $(VSCODE) && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

# What builds our wheel, kept out of .venv: nobody else needs it.
$(HATCHLING): | $(VENV)/.python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --target $@ 'hatchling>=1.27'

# A stamp is newer than what it was made from, so a second call does nothing. Byte-compiling all that torch brings
# takes longer than the demo: what is imported gets compiled when it is imported.
$(VENV)/.runtime: pyproject.toml constraints.txt | $(VENV)/.python
	@echo "Installing dgls and what it needs into $(VENV); the first time this takes minutes ..."
	@$(PIP_INSTALL) --no-compile --editable .
	@touch $@

$(VENV)/.contributor: pyproject.toml constraints.txt | $(VENV)/.python
	@echo "Installing dgls, what it needs and a contributor's tools into $(VENV); the first time this takes minutes ..."
	@$(PIP_INSTALL) --no-compile --editable '.[dev]'
	@touch $(VENV)/.runtime $@

# Not pinned: a CUDA build of torch brings a Triton of its own, and that one is kept.
$(VENV)/.kernels: $(VENV)/.contributor
	@$(PIP_INSTALL) --no-compile --editable '.[kernels]'
	@touch $@

$(VENV)/.e2e: $(VENV)/.contributor
	@$(PIP_INSTALL) --no-compile --editable '.[e2e]'
	@touch $@

# An environment that works is kept. 3.11 comes first of the others: it is the version that is tested most. A version
# manager's shim may exist and not run.
FITS := -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null
$(VENV)/.python:
	@if $(BIN)/python $(FITS); then touch $@; exit; fi; \
	for python in python3.11 python3.12 python3.13 python3 python; do \
	    if $$python $(FITS); then $$python -m venv --clear $(VENV) && touch $@; exit; fi; \
	done; \
	echo "dgls needs Python 3.11, 3.12 or 3.13 (with its venv module) on PATH; install one and run make again." >&2; exit 1
