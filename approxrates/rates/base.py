"""What a measured rate is, and the interval arithmetic that fits and contrasts share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Verdict = Literal["determined", "undetermined"]
Parts = tuple[tuple[float, float], ...]
"""Independent contributions to the variance of an estimate, each with its degrees of freedom."""

CONFIDENCE = 0.95


@dataclass(frozen=True, eq=False)
class Rate:
    r"""Exponent ``p`` of ``E(W) = C W^{-p} (log W)^q + floor``, with what it rests on.

    Attributes:
        value: The exponent ``p``, positive when errors fall; NaN if fewer than four sizes have errors.
        interval: 95 % interval for ``p``: scatter between sizes, between target draws and between seeds.
        model: ``"power"`` or ``"power+floor"``.
        floor: Fitted floor, in the unit of the errors; 0.0 for ``"power"``.
        used: Sizes that determine ``p``, shape ``(k,)``. Left out are those excluded by the caller, without an error,
            before the asymptotic range, or on the floor.
        verdict: ``"determined"`` or ``"undetermined"``.
        reasons: Why: one sentence for everything left out, taken for granted or found wanting.
        per_draw: Exponent of each target draw's own curve, shape ``(draws,)``; NaN with fewer than four sizes.
        replicates: Leave-one-draw-out pseudo-values of ``p``, shape ``(draws,)``: equal to ``per_draw`` for complete
            data without floor or outliers, and the quantity that paired contrasts use. Empty with one draw.
        parts: Contributions to the variance of ``value`` with degrees of freedom: between draws (if any), between
            sizes.
        seed_variance: Variance of ``value`` under resampling of the seeds within every draw; the interval is never
            narrower than seeds and sizes together make it.
        n_params: Sizes, shape ``(k,)``.
        centre: Error at each size: geometric mean over draws of the ``statistic`` over seeds, shape ``(k,)``.
        spread: Quartiles of all errors at each size, shape ``(2, k)``.
        draw_errors: The ``statistic`` over seeds, shape ``(draws, k)``.
        on_floor: Sizes where more than two thirds of the error is floor, shape ``(k,)``.
        constant: ``C``.
        log_power: ``q``: given, not fitted.
        statistic: ``"median"`` or ``"best"`` over seeds.
    """

    value: float
    interval: tuple[float, float]
    model: str
    floor: float
    used: Mask
    verdict: Verdict
    reasons: tuple[str, ...]
    per_draw: Array
    replicates: Array
    parts: Parts
    seed_variance: float
    n_params: Array
    centre: Array
    spread: Array
    draw_errors: Array
    on_floor: Mask
    constant: float
    log_power: float
    statistic: str

    def predict(self, n_params: ArrayLike) -> Array:
        """Error of the fitted law at other sizes, in the norm of the errors that were fitted; shape of ``n_params``.

        Raises:
            ValueError: If a size is not greater than 1.
        """
        sizes = np.asarray(n_params, dtype=np.float64)
        if not (sizes > 1).all():
            raise ValueError(f"n_params must be greater than 1. Got {sizes.min()}. Write e.g. predict([100, 1000]).")
        law: Array = self.constant * sizes**-self.value * np.log(sizes) ** self.log_power + self.floor
        return law

    def __repr__(self) -> str:
        low, high = self.interval
        return (
            f"Rate(p = {self.value:.4f} [{low:.4f}, {high:.4f}], {self.model}, {self.used.sum()} sizes, {self.verdict})"
        )


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


def listed(sizes: Sequence[float] | Array) -> str:
    """Sizes for a sentence: ``4, 8 and 16``."""
    names = [f"{s:g}" for s in sizes]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
