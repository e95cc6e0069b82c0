# The two commands: `make demo` and `make test`. Both set everything up on a machine that has only Python 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
PEERS := .venv-benchmarks
THREADS := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

.PHONY: demo test lint benchmark-env benchmarks results clean

demo: $(INSTALLED)
	$(BIN)/approxrates demo

test: $(INSTALLED)
	$(THREADS) $(BIN)/python -m pytest -n auto --dist loadfile

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# An environment of its own, with the peers that the benchmarks compare with; needs about 2 GB. pykan, PyHessian
# and curvlinops are installed without their requirements, which would bring another torch.
benchmark-env: $(PEERS)/.installed

$(PEERS)/.installed: tests/benchmarks/requirements.txt pyproject.toml
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	echo '*' > $(PEERS)/.gitignore
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -r tests/benchmarks/requirements.txt -e .
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps pykan==0.2.8 \
		PyHessian==0.1 curvlinops-for-pytorch==3.0.1 backpack-for-pytorch==1.7.1 linear_operator==0.6.1 unfoldNd==0.2.3 einconv==0.1.0
	touch $@

# All comparisons on one core, about a quarter of an hour; writes results/benchmarks. PARTS="throughput peers toys sharpness
# micro" takes some.
benchmarks: benchmark-env
	$(THREADS) $(PEERS)/bin/python tests/benchmarks/run.py $(PARTS)

# Every committed study, from its study.toml, and every calibration; stored runs are kept, so a second call
# redraws the studies and repeats the calibrations only.
results: $(INSTALLED)
	for study in results/*/study.toml; do $(BIN)/approxrates run $$study --workers 2 || exit 1; done
	for probe in results/*/probe.toml; do $(BIN)/approxrates probe $$probe --workers 2 || exit 1; done
	for name in coverage model-choice certificates exact-networks weight-jumps; do $(THREADS) $(BIN)/approxrates calibrate $$name || exit 1; done
	$(BIN)/approxrates gallery results

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "approxrates needs Python 3.11 or newer. Got $$($(PYTHON) --version). Write: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf .venv .venv-benchmarks results/demo .pytest_cache .mypy_cache .ruff_cache
