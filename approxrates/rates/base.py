"""What a measured rate is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from approxrates.rates.choice import LawChoice
from approxrates.rates.forecast import SHAPED, Fitted
from approxrates.rates.intervals import Array, Mask, Parts, half_width, one_sided

Verdict = Literal["determined", "undetermined"]


class Point(NamedTuple):
    """One size of a fit.

    Attributes:
        n_params: The size.
        used: Whether it determines the exponent.
        why: Why, or why not.
    """

    n_params: float
    used: bool
    why: str


@dataclass(frozen=True, eq=False)
class Rate:
    r"""Exponent ``p`` of ``E(W) = C W^{-p} (log W)^q + floor``, with what it rests on.

    A ``"broken"`` power law has two exponents, and ``p`` is that of the large sizes. A ``"stretched-exponential"``
    ``exp(-c W^gamma)`` has none: the verdict is "undetermined", and ``value`` is the mean slope over the sizes used.

    Attributes:
        value: The exponent ``p``, positive when errors fall; NaN if fewer than four sizes have errors.
        interval: 95 % interval for ``p``: scatter between sizes, between target draws and between seeds.
        model: ``"power"``, ``"power+floor"``, ``"broken"`` or ``"stretched-exponential"``.
        floor: Floor, fitted or given, in the unit of the errors; 0.0 without one.
        used: Sizes that determine ``p``, shape ``(k,)``. Left out are those excluded by the caller, without an error,
            before the asymptotic range or the break, or on the floor.
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
        constant: ``C``; infinite if it is beyond float64.
        log_power: ``q``: given, not fitted.
        statistic: ``"median"`` or ``"best"`` over seeds.
        best: Exponent and 95 % interval ``(value, low, high)`` of the best over seeds; None with one seed, or without
            enough sizes.
        points: For every size, whether it determines ``p``, and why or why not.
        asymptotic: Whether the sizes used look like one power law: no drift of the local slope is left, and leaving
            out the smallest of them moves ``p`` by less than 0.05 or the half width of its interval. False where that
            cannot be tried, with four sizes or fewer.
        choice: How the law was chosen; None with fewer than four sizes.
        gamma: ``gamma`` of ``exp(-c W**gamma)``, if that is the model; else NaN.
        gamma_interval: 95 % profile interval of ``gamma``.
        break_at: Size at which the slope changes, for ``"broken"``; else NaN.
        fitted: The law with its coefficients and scatter, which ``next_error`` needs.
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
    best: tuple[float, float, float] | None = None
    points: tuple[Point, ...] = ()
    asymptotic: bool = False
    choice: LawChoice | None = None
    gamma: float = math.nan
    gamma_interval: tuple[float, float] = (math.nan, math.nan)
    break_at: float = math.nan
    fitted: Fitted | None = None

    def predict(self, n_params: ArrayLike) -> Array:
        """Error of the fitted law at other sizes, in the norm of the errors that were fitted; shape of ``n_params``.

        Raises:
            ValueError: If a size is not greater than 1.
        """
        sizes = np.asarray(n_params, dtype=np.float64)
        if not (sizes > 1).all():
            raise ValueError(f"n_params must be greater than 1. Got {sizes.min()}. Write e.g. predict([100, 1000]).")
        if self.fitted is not None and (self.model in SHAPED or not math.isfinite(self.constant)):
            x = np.log(sizes).ravel()
            shaped: Array = np.exp(self.fitted.log_errors(x, self.fitted.coefficients[None])[0]).reshape(sizes.shape)
            return shaped
        law: Array = self.constant * sizes**-self.value * np.log(sizes) ** self.log_power + self.floor
        return law

    def next_error(self, n_params: float | None = None) -> tuple[float, float, float]:
        """Error to expect at the next size, and a 95 % prediction interval: ``(median, low, high)``.

        It is an interval for what a new measurement gives there, the ``statistic`` over seeds of one new target draw
        (with one draw: of this target). It holds as long as the law does: a floor or a break beyond the sizes measured
        is not foreseen.

        Args:
            n_params: The size; by default the next of the progression.

        Raises:
            ValueError: If the size is not greater than 1, or no law was fitted.
            TypeError: If the size is no number.
        """
        if self.fitted is None:
            raise ValueError("A forecast needs a fitted law. This rate has fewer than four sizes. Add sizes.")
        if n_params is not None and not _is_number(n_params):
            raise TypeError(f"n_params must be a number. Got {n_params!r}. Write e.g. next_error(2000).")
        seen = self.n_params
        size = float(seen[-1] * np.exp(np.median(np.diff(np.log(seen))))) if n_params is None else float(n_params)
        if not (size > 1 and math.isfinite(size)):
            raise ValueError(f"n_params must be finite and greater than 1. Got {size}. Write e.g. next_error(2000).")
        return self.fitted.next_error(size)

    def p_value(self, bound: float, side: Literal["above", "below"]) -> float:
        """P-value of the one-sided test that the exponent is *not* ``side`` (above or below) of ``bound``.

        The test has the variance of the interval and its allowance for floors: the p-value is below .025 exactly if
        the interval lies on that side of the bound. NaN without a fit.

        Args:
            bound: The exponent to compare with.
            side: ``"above"``: small if the rate is above the bound; ``"below"``: small if it is below.

        Raises:
            ValueError: For another side, or a bound that is not finite.
            TypeError: If the bound is no number.
        """
        if not _is_number(bound):
            raise TypeError(f'bound must be a number. Got {bound!r}. Write e.g. p_value(1.0, "above").')
        if not math.isfinite(bound):
            raise ValueError(f'bound must be finite. Got bound={bound}. Write e.g. p_value(1.0, "above").')
        if side not in ("above", "below"):
            raise ValueError(f'side must be "above" or "below". Got {side!r}. Write p_value(1.0, "above").')
        if not math.isfinite(self.value):
            return math.nan
        sizes = self.parts[-1:]
        seeds: Parts = ((self.seed_variance, math.inf), *((variance, math.inf) for variance, _ in sizes))
        half = max(half_width(self.parts), half_width(seeds))
        excess = self.interval[0] + half - bound if side == "above" else bound - self.interval[1] + half
        return max(one_sided(excess, self.parts), one_sided(excess, seeds))

    def __repr__(self) -> str:
        low, high = self.interval
        return (
            f"Rate(p = {self.value:.4f} [{low:.4f}, {high:.4f}], {self.model}, {self.used.sum()} sizes, {self.verdict})"
        )


def _is_number(value: object) -> bool:
    """Whether a value is a single number, of Python or numpy."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def listed(sizes: Sequence[float] | Array) -> str:
    """Sizes for a sentence: ``4, 8 and 16``."""
    names = [f"{s:g}" for s in sizes]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
