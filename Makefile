# Each target sets up .venv by itself from requirements.lock: with uv where it is found, else with python3 -m venv and pip.
PROFILE ?= demo
CORES ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu)
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
EXTRAS := .venv/extras
export TF_CPP_MIN_LOG_LEVEL = 3

.PHONY: report book figures paper stale test benchmark lab extras demo lint lock clean

report book: $(READY)  ## run the notebooks of a profile (PROFILE=smoke|demo|full) and bind them into a book
	$(BIN)/snakemake --quiet host reason --config profile=$(PROFILE) --cores $(CORES) --show-failed-logs --rerun-incomplete $(SNAKEMAKE)

figures: $(READY)  ## redraw every committed table and figure from data/predictions, without corpora or training
	$(BIN)/snakemake figures --quiet host reason --cores 1 --force --rerun-incomplete

paper: $(READY)  ## for authors: every figure as PDF for one and two columns, tables as LaTeX, the report for print, in build/paper
	$(BIN)/snakemake paper --quiet host reason --cores 1 --force --rerun-incomplete

stale: $(READY)  ## list committed runs that the code or report.yaml would no longer give
	@$(BIN)/serlib stale

test: $(READY)  ## the tests: units, style, every notebook in profile smoke
	$(BIN)/pytest -n $(CORES)

benchmark: $(READY)  ## clips per second of feature extraction, against librosa; milliseconds from sound to emotion, of every model
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/pytest benchmarks/features.py -s --benchmark-disable-gc
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/latency.py

lab: $(READY)  ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

extras: $(EXTRAS)  ## add what is optional: openSMILE (free for research, not for products) and what the demo needs

demo: $(EXTRAS) build/notebooks/06_cnn_lstm/run.json  ## a page that hears you, in your browser, from this machine alone
	$(BIN)/serlib demo

build/notebooks/06_cnn_lstm/run.json: | $(READY)
	@echo "Training a network for the demo, on TESS where it is found, else on the synthetic corpus mini (2 to 6 minutes) ..."
	@mkdir -p build && $(BIN)/jupyter execute notebooks/06_cnn_lstm.ipynb > build/demo_training.log 2>&1 || (cat build/demo_training.log; exit 1)

lint: $(READY)  ## style and types
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

LOCK := uv pip compile pyproject.toml --universal --fork-strategy fewest --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-annotate --no-header
lock:  ## rewrite both lock files from pyproject.toml (needs uv)
	$(LOCK) --extra test --upgrade -o requirements.lock
	$(LOCK) --extra opensmile --extra demo -c requirements.lock -o requirements-extras.lock

clean:  ## remove build/: runs of every profile, networks trained there, pages
	rm -rf build

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(v not in [(3, 11), (3, 12)] and f"Python 3.11 or 3.12 is needed, {sys.executable} is {v[0]}.{v[1]}. Try: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	@echo "Setting up .venv from requirements.lock (once; a few minutes, about 3 GB) ..."
	@if command -v uv >/dev/null; then \
	  rm -rf .venv && uv venv --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv && \
	  uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock && \
	  uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e . ; \
	else \
	  $(PYTHON) -m venv --clear .venv && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . ; \
	fi
	@# librosa keeps what numba compiles beside itself; two processes that do so at once leave code that crashes
	@EAGER_IMPORT=1 $(BIN)/python -c 'import librosa'
	@touch $@

$(EXTRAS): $(READY) requirements-extras.lock
	@echo "Adding the optional packages of requirements-extras.lock ..."
	@if command -v uv >/dev/null; then uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-extras.lock; \
	else $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-extras.lock; fi
	@touch $@
