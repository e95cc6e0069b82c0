"""One thread, no display, and nothing global left behind: the same numbers wherever the suite runs."""

import os

for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread():
    """Fits run on one torch thread, as they do in worker processes."""
    torch.set_num_threads(1)
