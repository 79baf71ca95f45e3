# Each target does all the set-up it needs, in its own .venv.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
NO_SKIPS := CELLBENCH_PARITY=required
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check

.PHONY: demo test test-parity check gate pages mutations bench gpu clean help

help:            ## Say what there is
	@grep -E '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

demo: $(VENV)/.ready  ## Compare five cells on two levels: a few minutes, then a table
	$(BIN)/cellbench run --cells lstm,gru,hyperlstm,lstmn,min_gru --output results/local-demo

test: $(VENV)/.ready-to-develop  ## Run all tests
	$(NO_SKIPS) $(BIN)/python -m pytest -q -n auto --dist worksteal

test-parity: $(VENV)/.ready-to-develop  ## Hold every cell to implementations of other projects
	$(NO_SKIPS) $(BIN)/python -m pytest -q -n auto --dist worksteal tests/cells

gate: $(VENV)/.ready-to-develop  ## Is anything slower, larger, or worse at learning than the commit in .ci/base?
	.ci/gate

pages: $(VENV)/.ready-to-develop  ## Write docs/cells.md, docs/tasks.md, and how near cells came to others
	$(NO_SKIPS) $(BIN)/python tests/record_parity.py
	$(BIN)/python tests/write_pages.py

mutations: $(VENV)/.ready-to-develop  ## Change each cell in every way, and see that its tests notice
	$(BIN)/python tests/mutate_cells.py --jobs 2

check: $(VENV)/.ready-to-develop  ## Format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_layers.py

bench: $(VENV)/.ready-to-develop  ## Measure against other code, side by side
	$(BIN)/python -m pytest benchmarks -o python_files='bench_*.py' -o addopts= -p no:xdist -q -s

# On a machine whose Python already has torch for its GPU: make gpu GPU_PYTHON=python3
GPU_PYTHON ?= $(BIN)/python
gpu: $(if $(filter $(BIN)/python,$(GPU_PYTHON)),$(VENV)/.ready-to-develop)  ## What only a CUDA GPU can show: tests, ratios, journals
	$(GPU_PYTHON) -c "import torch; assert torch.cuda.is_available(), 'torch finds no CUDA GPU'"
	$(GPU_PYTHON) -m pytest -q -rs tests/generators tests/cells tests/measure tests/unroll tests/train/test_training_on_cuda.py tests/test_contract.py
	$(GPU_PYTHON) -m pytest benchmarks/bench_gpu.py benchmarks/bench_stack.py benchmarks/bench_scans.py -k "gpu or cudnn or replayed" -o python_files='bench_*.py' -o addopts= -p no:xdist -q -s
	$(GPU_PYTHON) -m cellbench perf --device cuda --cells lstm,hyperlstm,min_gru --time 128,512 --batch 64 --hidden 128 --output results/local-gpu-perf
	$(GPU_PYTHON) -m cellbench gate --device cuda --base "$$(cat .ci/base)" --output results/local-gpu-gate
	$(GPU_PYTHON) -m cellbench run --device cuda --cells lstm,gru,hyperlstm,lstmn,min_gru --output results/local-gpu

clean:           ## Remove what the targets above made, results excepted
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache

$(VENV)/.python:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || \
	  { echo "cellbench needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.ready: $(VENV)/.python pyproject.toml constraints.txt
	$(PIP) --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.ready-to-develop: $(VENV)/.ready tests/parity.txt
	$(PIP) --constraint constraints.txt --group dev
	$(PIP) --no-deps --requirement tests/parity.txt
	@touch $@
