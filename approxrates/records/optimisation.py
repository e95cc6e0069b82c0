"""Where a family is limited by optimisation: refits, larger networks that err more, better starts.

See docs/honesty.md for how a flag is decided.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from approxrates.records.embedding import Shape, rises
from approxrates.records.pairing import Ratio, over_runs, paired_by_draw

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

LIMITED_FALL = 0.10
"""An error that could be smaller by more than this share, by more than chance, is limited by optimisation."""
LEAST = 1 / (1 - LIMITED_FALL)
"""The same as a ratio of errors."""
LEVEL = 0.05
"""Level of the one-sided tests."""
MIN_PAIRS = 3
"""Pairs of a run and its refit from which on a size is judged."""

BUDGET, BETWEEN, DEPTH, START = "budget", "between", "depth", "start"
KEPT_OUT = (BUDGET, BETWEEN, DEPTH)
"""Kinds of limits that keep a size out of the regression. A better start does not: that is the optimisation gap."""


def refit_ratio(errors: Array, again: Array) -> Ratio:
    """Ratio of the errors before and after refits of the same runs, over the runs.

    Args:
        errors: Errors with the ordinary budget, shape ``(draws, replicas)``.
        again: Those of the refits, NaN where there is none, the same shape.
    """
    return over_runs(np.divide(errors, again, out=np.full(errors.shape, np.nan), where=again > 0))


def budget_limited(errors: Array, again: Array) -> dict[str, Mask]:
    """Sizes where a larger budget lowers the error by more than 10 %, and those between two such that were not tried.

    A refit is compared with the run of the same target draw and replica, which started from the same weights: the mean
    of log(before / after) must lie above log(1 / .9), and above zero by a one-sided t test at 5 %. Medians of a few
    replicas would call every other family limited by chance alone. A size with fewer than three pairs is not judged; if
    the next judged sizes on both sides are limited, it counts as limited too, for otherwise a regression would rest on
    exactly the sizes that nobody looked at.

    Args:
        errors: Errors with the ordinary budget, shape ``(draws, k, replicas)``.
        again: Those of the refits, NaN where there is none, the same shape.
    """
    ratios = [refit_ratio(errors[:, i], again[:, i]) for i in range(errors.shape[1])]
    judged = np.array([ratio.n >= MIN_PAIRS for ratio in ratios], dtype=bool)
    falls = np.array([r.n >= MIN_PAIRS and r.exceeds(LEAST, LEVEL) for r in ratios], dtype=bool)
    between = np.zeros(len(ratios), dtype=bool)
    places = np.flatnonzero(judged)
    for left, right in itertools.pairwise(places):
        between[left + 1 : right] = falls[left] and falls[right]
    return {BUDGET: falls, BETWEEN: between}


def depth_limited(errors: Array, shapes: Sequence[Shape | None]) -> Mask:
    """Sizes whose errors exceed those of a network that they contain by more than 10 %, and by more than chance.

    Args:
        errors: Errors, shape ``(draws, k, replicas)``.
        shapes: Width and depth at each size.
    """
    return rises(errors, shapes, LEAST, LEVEL)


def start_limited(errors: Array, other: Array) -> Mask:
    """Sizes where another start of the same networks beats this one by more than 10 %, and by more than chance.

    Args:
        errors: Errors, shape ``(draws, k, replicas)``.
        other: Errors from the other start on the same draws and sizes; NaN where there is none.
    """
    ratios = (paired_by_draw(errors[:, i], other[:, i]) for i in range(errors.shape[1]))
    return np.array([ratio.exceeds(LEAST, LEVEL) for ratio in ratios], dtype=bool)


def unresolved(ratio: Ratio) -> bool:
    """Whether refits can neither show a fall of more than 10 % nor exclude it (95 %)."""
    _, high = ratio.interval
    if ratio.n < MIN_PAIRS:
        return True
    return not ratio.exceeds(LEAST, LEVEL) and not (math.isfinite(high) and high < LEAST)
