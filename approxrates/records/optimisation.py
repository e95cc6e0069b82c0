"""Where a family is limited by optimisation: the evidence from refits with a larger budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Row = Mapping[str, Any]

LIMITED_FALL = 0.10
"""An error that falls by more than this share, for a reason other than chance, was limited by optimisation."""

MIN_PAIRS = 3


def shape_of(row: Row) -> tuple[Any, ...]:
    """Width and depth of a run; a table that does not tell them tells networks apart by their size."""
    width, depth = row.get("width"), row.get("depth")
    return (width, depth) if width or depth else (row.get("n_params"),)


def limited_by_refits(
    bins: Mapping[float, Sequence[Row]],
    sizes: NDArray[np.float64],
    refits: Sequence[Row],
    error_of: Callable[[Row], float],
) -> NDArray[np.bool_]:
    """Sizes where a larger budget lowers the error by more than 10 %.

    A refit is compared with the run of the same target draw and the same replica, which started from the same weights:
    the mean of log(after / before) must lie below log 0.9, and below zero by a one-sided t test at 5 %. Medians of a
    few replicas would call every other family limited by chance alone. Sizes without refits are not judged.

    Args:
        bins: Runs of the ordinary budget by size.
        sizes: Sizes, shape ``(k,)``.
        refits: Runs of a larger budget.
        error_of: Error of a run; NaN if it has none.
    """
    return np.array([_falls(bins[size], refits, error_of) for size in sizes], dtype=bool)


def _falls(base: Sequence[Row], refits: Sequence[Row], error_of: Callable[[Row], float]) -> bool:
    """Whether the errors of one size fall under refits."""
    from scipy.special import stdtrit

    shapes = {shape_of(r) for r in base}
    before = {(r.get("target_seed"), r.get("replica")): error_of(r) for r in base}
    pairs = [
        (before.get((r.get("target_seed"), r.get("replica")), math.nan), error_of(r))
        for r in refits
        if shape_of(r) in shapes
    ]
    falls = np.array([math.log(b / a) for a, b in pairs if a > 0 and b > 0 and math.isfinite(a) and math.isfinite(b)])
    if len(falls) < MIN_PAIRS:
        return False
    upper = falls.mean() + stdtrit(len(falls) - 1, 0.95) * falls.std(ddof=1) / math.sqrt(len(falls))
    return bool(falls.mean() < math.log(1 - LIMITED_FALL) and upper < 0)
