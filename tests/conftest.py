"""One thread, no display, and nothing global left behind: the same numbers wherever the suite runs."""

import os

import pytest

# Before anything imports numpy or torch: their thread pools are sized when they load.
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(autouse=True)
def _one_thread():
    """Fits run on one torch thread, as they do in worker processes."""
    import torch

    torch.set_num_threads(1)
