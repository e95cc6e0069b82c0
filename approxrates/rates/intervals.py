"""Interval arithmetic that fits, contrasts and forecasts share: variance parts, Student's t, and its p-values."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Parts = tuple[tuple[float, float], ...]
"""Independent contributions to the variance of an estimate, each with its degrees of freedom."""

CONFIDENCE = 0.95


def standard_error(parts: Parts) -> tuple[float, float]:
    """Standard error of a sum of independent contributions, and its degrees of freedom.

    Reference:
        Satterthwaite (1946), Biometrics Bulletin 2, 110-114.
    """
    total = sum(variance for variance, _ in parts)
    if total <= 0:
        return 0.0, math.inf
    inverse = sum((variance / total) ** 2 / freedom for variance, freedom in parts)
    return math.sqrt(total), 1 / inverse if inverse > 0 else math.inf


def half_width(parts: Parts) -> float:
    """Half width of the 95 % t interval of an estimate with these contributions to its variance."""
    error, freedom = standard_error(parts)
    return error * quantile(freedom) if error > 0 else 0.0


def quantile(freedom: float) -> float:
    """The 0.975 quantile of Student's t distribution; of the normal distribution for infinite ``freedom``."""
    from scipy.special import ndtri, stdtrit  # costs 0.2 s, so not at import

    tail = (1 + CONFIDENCE) / 2
    return float(stdtrit(freedom, tail)) if math.isfinite(freedom) else float(ndtri(tail))


def two_sided(estimate: float, parts: Parts) -> float:
    """P-value of the hypothesis that an estimate is zero; 0.0 for an exact estimate other than zero."""
    from scipy.special import stdtr

    error, freedom = standard_error(parts)
    if error == 0:
        return float(estimate == 0)
    return float(2 * stdtr(min(freedom, 1e6), -abs(estimate) / error))


def between(values: Array) -> Parts:
    """Contribution of the scatter of independent values to the variance of their mean."""
    return ((float(np.var(values, ddof=1)) / len(values), len(values) - 1.0),)


def one_sided(excess: float, parts: Parts) -> float:
    """P-value of the hypothesis that an estimate which lies ``excess`` above a bound is in truth not above it."""
    from scipy.special import ndtr, stdtr

    error, freedom = standard_error(parts)
    if error == 0:
        return float(excess <= 0)
    return float(stdtr(freedom, -excess / error) if math.isfinite(freedom) else ndtr(-excess / error))


def exponential(power: float) -> float:
    """``exp``, infinite where float64 ends: constants and forecasts of very steep laws are that large."""
    return math.exp(power) if power < 709.0 else math.inf
