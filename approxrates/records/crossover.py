"""Whether a constructed family has overtaken the linear interpolant of equal size."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LAST = 2
"""So many of the largest sizes must lie below the interpolant, or above it, for an answer."""


def past_crossover(sizes: Array, errors: Array, of_sizes: Array, of_errors: Array) -> bool | None:
    """True if the last errors of a family lie below the interpolant's at equal size, False if they lie above.

    Errors of the interpolant are joined by straight lines in logarithms, the first and the last of them continued.

    Args:
        sizes: Sizes of the family, shape ``(k,)``, increasing.
        errors: Its errors, shape ``(k,)``; what is not finite and positive is left out.
        of_sizes: Sizes of the interpolant, shape ``(n,)``, increasing.
        of_errors: Its errors, shape ``(n,)``.

    Returns:
        None if there are too few numbers, or the last sizes disagree.
    """
    size, error = _logarithms(of_sizes, of_errors)
    own_size, own_error = (v[-LAST:] for v in _logarithms(sizes, errors))
    if len(size) < 2 or len(own_size) < LAST:
        return None
    below = {bool(own_error[i] < _continued(float(own_size[i]), size, error)) for i in range(LAST)}
    return below.pop() if len(below) == 1 else None


def _logarithms(sizes: Array, errors: Array) -> tuple[Array, Array]:
    """Of the pairs that have one."""
    found = np.array([math.isfinite(e) and e > 0 for e in errors], dtype=bool)
    return np.log(sizes[found]), np.log(errors[found])


def _continued(at: float, x: Array, y: Array) -> float:
    """A broken line at a place, its first and last pieces continued."""
    k = int(np.clip(np.searchsorted(x, at), 1, len(x) - 1))
    return float(y[k - 1] + (at - x[k - 1]) * (y[k] - y[k - 1]) / (x[k] - x[k - 1]))
