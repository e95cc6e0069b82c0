"""The native backend: compiled by numba from plain Python, optional (``pip install approxrates[native]``)."""

from __future__ import annotations

import functools
import importlib.util

import torch

from approxrates.backends.base import Passes, Problem
from approxrates.backends.layout import Layout
from approxrates.backends.native.kinds import kinds_of, power_of
from approxrates.objectives import Objective

__all__ = ["native_passes", "obstacle"]


@functools.cache
def _is_installed() -> bool:
    """Whether numba can be imported; looked up without importing it."""
    return importlib.util.find_spec("numba") is not None


def obstacle(layout: Layout, objective: Objective, dtype: torch.dtype, device: torch.device) -> str | None:
    """Why the compiled loops cannot serve, in a few words; None if they can."""
    if not _is_installed():
        return "numba is not installed (pip install 'approxrates[native]')"
    if device.type != "cpu":
        return f"the device is {device.type}"
    if dtype not in (torch.float32, torch.float64):
        return f"numbers are {dtype}"
    if kinds_of(layout.activation, layout.width) is None:
        return f"the activation {layout.activation.name} has no compiled form"
    return None if power_of(objective) is not None else f"the loss {type(objective).__name__} has no compiled form"


def native_passes(problem: Problem) -> Passes:
    """Compiled passes; the loops are compiled at the first call on a machine, and kept in a cache on disk."""
    from approxrates.backends.native.calls import NativePasses

    return NativePasses(problem)
