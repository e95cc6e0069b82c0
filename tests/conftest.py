"""One thread, no display, and nothing global left behind: the same numbers wherever the suite runs."""

import os

import pytest

# Before anything imports numpy or torch: their thread pools are sized when they load.
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
os.environ.setdefault("MPLBACKEND", "Agg")


def pytest_collection_modifyitems(config, items):
    """Tests marked slow skip, and say so, unless ``-m`` speaks of them: ``-m slow``, or ``-m "slow or not slow"``."""
    if "slow" in config.getoption("markexpr"):
        return
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="slow. Write: python -m pytest -m slow"))


@pytest.fixture(autouse=True)
def _one_thread():
    """Fits run on one torch thread, as they do in worker processes."""
    import torch

    torch.set_num_threads(1)
