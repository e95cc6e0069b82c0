"""Which backend serves a problem, by argument, environment and what the machine has."""

from __future__ import annotations

import os

import torch

from approxrates.backends.base import Passes, Problem
from approxrates.backends.native import native_passes, obstacle
from approxrates.backends.reference import ReferencePasses

BACKENDS = ("auto", "reference", "native")

_WIDEST = {torch.float32: 40, torch.float64: 80}
"""Hidden layers of more units than this are products large enough for the BLAS, which then is faster than our loops.

Measured with eight replicas, four hidden layers and 512 points on one core: ReLU in single precision 1.14 times the
reference's speed at width 32, 0.89 at 48; tanh in double precision 1.22 at 64, 0.71 at 128.
"""


def check_backend(name: str | None) -> str:
    """The backend asked for, by argument or environment.

    Raises:
        ValueError: For an unknown name.
    """
    given = os.environ.get("APPROXRATES_BACKEND", "auto") if name is None else name
    if given not in BACKENDS:
        source = "backend" if name is not None else "the environment variable APPROXRATES_BACKEND"
        raise ValueError(f"{source} must be one of {', '.join(BACKENDS)}. Got {given!r}.")
    return given


def choose(problem: Problem, backend: str) -> tuple[str, Passes]:
    """Name of the backend that serves a problem, and its passes.

    Args:
        problem: What is fitted.
        backend: One of ``BACKENDS``.

    Raises:
        ValueError: If the native backend is demanded and cannot serve, saying why.
    """
    why_not = obstacle(problem.layout, problem.objective, problem.dtype, problem.points.device)
    if backend == "native" and why_not:
        raise ValueError(f"backend='native' cannot be used: {why_not}. Write backend='auto'.")
    if backend == "reference" or why_not or (backend == "auto" and _is_wide(problem)):
        return "reference", ReferencePasses(problem)
    return "native", native_passes(problem)


def _is_wide(problem: Problem) -> bool:
    """Whether the reference is expected to be faster; one hidden layer alone has no product of two wide layers."""
    return problem.layout.depth > 1 and problem.layout.width > _WIDEST.get(problem.dtype, 0)
