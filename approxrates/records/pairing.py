"""Ratios of errors, paired by target draw, with intervals that small samples deserve."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from approxrates.rates.intervals import Parts, between, half_width, one_sided

Array = NDArray[np.float64]

MIN_DRAWS = 3
"""Target draws from which on their scatter can be told; with fewer the interval speaks of the draws at hand only."""


@dataclass(frozen=True)
class Ratio:
    """How many times larger one error is than another.

    Attributes:
        log: Logarithm of the ratio; NaN if nothing can be paired.
        parts: Contributions to its variance with their degrees of freedom; empty if no scatter can be told.
        over: What the interval is over: ``"draws"``, ``"replicas"``, or ``""`` without one.
        n: Pairs that the ratio rests on: draws, or runs.
    """

    log: float = math.nan
    parts: Parts = ()
    over: str = ""
    n: int = 0

    @property
    def value(self) -> float:
        """The ratio."""
        return math.exp(self.log)

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95 % interval; NaN if no scatter can be told."""
        if not self.parts:
            return math.nan, math.nan
        half = half_width(self.parts)
        return math.exp(self.log - half), math.exp(self.log + half)

    def exceeds(self, least: float, level: float) -> bool:
        """Whether the ratio is above ``least``, and above 1 by more than chance: one-sided test at ``level``."""
        return bool(self.parts and self.log > math.log(least) and one_sided(self.log, self.parts) < level)


def paired_by_draw(above: Array, below: Array) -> Ratio:
    """Ratio of the errors of two kinds of fits of the same target draws.

    From three draws on: the mean over draws of the log ratio of the medians over replicas, with Student's t over draws,
    for every draw pairs both. With fewer: the mean of the log ratios of geometric means, with Welch's interval over the
    replicas within the draws (a side with one replica, as of a construction, has no scatter).

    Args:
        above: Errors, shape ``(draws, replicas)``; what is not positive and finite is missing.
        below: Errors of the same draws, shape ``(draws, other replicas)``.

    Reference:
        Welch (1947), Biometrika 34, 28-35; Satterthwaite (1946), Biometrics Bulletin 2, 110-114.
    """
    first, second = _logs(above), _logs(below)
    both = np.isfinite(first).any(axis=1) & np.isfinite(second).any(axis=1)
    if not both.any():
        return Ratio()
    first, second = first[both], second[both]
    if len(first) >= MIN_DRAWS:
        differences = np.nanmedian(first, axis=1) - np.nanmedian(second, axis=1)
        return Ratio(float(differences.mean()), between(differences), "draws", len(differences))
    logs = [(row[np.isfinite(row)], other[np.isfinite(other)]) for row, other in zip(first, second, strict=True)]
    middle = float(np.mean([a.mean() - b.mean() for a, b in logs]))
    groups = [side for pair in logs for side in pair]
    parts = tuple((v / len(first) ** 2, f) for g in groups if len(g) > 1 for v, f in between(g))
    # The draw with a single replica on both sides has a scatter that nobody saw: no interval then.
    seen = all(len(a) > 1 or len(b) > 1 for a, b in logs)
    return Ratio(middle, parts if seen else (), "replicas" if seen else "", sum(len(a) for a, _ in logs))


def paired_by_run(above: Array, below: Array) -> Ratio:
    """Ratio of two errors of the same runs, such as before and after training.

    From three draws on: the mean over draws of the median over replicas of the log ratio, with Student's t over draws.
    With fewer: the mean over all runs, with Student's t over runs.

    Args:
        above: Errors, shape ``(draws, replicas)``; what is not positive and finite is missing.
        below: Other errors of the same runs, the same shape.
    """
    differences = _logs(above) - _logs(below)
    differences = differences[np.isfinite(differences).any(axis=1)]
    if not len(differences):
        return Ratio()
    if len(differences) >= MIN_DRAWS:
        medians = np.nanmedian(differences, axis=1)
        return Ratio(float(medians.mean()), between(medians), "draws", len(medians))
    return over_runs(np.exp(differences))


def over_runs(ratios: Array) -> Ratio:
    """Geometric mean of ratios of single runs, with Student's t over the runs, whatever draws they are of."""
    logs = _logs(ratios)
    logs = logs[np.isfinite(logs)]
    if not len(logs):
        return Ratio()
    if len(logs) == 1:
        return Ratio(float(logs[0]), (), "", 1)
    return Ratio(float(logs.mean()), between(logs), "replicas", len(logs))


def _logs(errors: Array) -> Array:
    """Logarithms of the positive finite errors, NaN for the others."""
    usable = np.isfinite(errors) & (errors > 0)
    return np.log(np.where(usable, errors, np.nan))
