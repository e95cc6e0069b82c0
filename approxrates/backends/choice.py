"""Which backend serves a problem, by argument, environment and what the machine has."""

from __future__ import annotations

import os

from approxrates.backends.base import Passes, Problem
from approxrates.backends.native import native_passes, obstacle
from approxrates.backends.reference import ReferencePasses

BACKENDS = ("auto", "reference", "native")


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
    if backend == "reference" or why_not:
        return "reference", ReferencePasses(problem)
    return "native", native_passes(problem)
