"""Who computes losses, gradients and Jacobians: the reference in plain torch, or compiled loops; equal up to rounding.

``"auto"`` takes the compiled loops where they can serve: numba is installed, the fit is on the CPU, and activation and
loss have a compiled form. The environment variable ``APPROXRATES_BACKEND`` sets another default.
"""

from __future__ import annotations

from approxrates.backends.base import CompiledSteps, Passes, Problem
from approxrates.backends.choice import BACKENDS, check_backend, choose
from approxrates.backends.ensemble import Ensemble
from approxrates.backends.layout import LANES, Layout, padded
from approxrates.backends.native import obstacle

__all__ = [
    "BACKENDS",
    "LANES",
    "CompiledSteps",
    "Ensemble",
    "Layout",
    "Passes",
    "Problem",
    "check_backend",
    "choose",
    "obstacle",
    "padded",
]
