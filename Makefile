# The two commands: `make demo` and `make test`. Both set everything up on a machine that has only Python 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
THREADS := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

.PHONY: demo test lint benchmarks results clean

demo: $(INSTALLED)
	$(BIN)/approxrates demo

test: $(INSTALLED)
	$(THREADS) $(BIN)/python -m pytest -n auto --dist loadfile

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

benchmarks: $(INSTALLED)
	$(THREADS) $(BIN)/python -m pytest tests/benchmarks --benchmark-only --benchmark-columns=min,median,max,rounds

# Every committed study, from its study.toml, and every calibration; stored runs are kept, so a second call
# redraws the studies and repeats the calibrations only.
results: $(INSTALLED)
	for study in results/*/study.toml; do $(BIN)/approxrates run $$study --workers 2 || exit 1; done
	for name in coverage model-choice certificates exact-networks weight-jumps; do $(THREADS) $(BIN)/approxrates calibrate $$name || exit 1; done
	$(BIN)/approxrates gallery results

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "approxrates needs Python 3.11 or newer. Got $$($(PYTHON) --version). Write: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf .venv results/demo .pytest_cache .mypy_cache .ruff_cache
