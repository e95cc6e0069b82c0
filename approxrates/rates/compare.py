"""``compare_rates``: which of two families falls faster, and whose error is smaller at equal size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from approxrates.rates.base import Rate
from approxrates.rates.intervals import Array, Mask, Parts, between, half_width

Verdict = Literal["a falls faster", "b falls faster", "undecided"]


@dataclass(frozen=True, eq=False)
class RateDifference:
    """Contrast of two families.

    Attributes:
        value: Difference of the exponents, first minus second.
        interval: 95 % interval of it.
        error_ratio: Error of the first over the error of the second at equal ``n_params``: geometric mean over the
            common range of sizes and over draws; NaN without a common range.
        error_ratio_interval: 95 % interval of it.
        common_range: Smallest and largest size compared, or None.
        method: ``"paired"`` by target draw, or ``"welch"``.
        verdict: ``"a falls faster"``, ``"b falls faster"`` or ``"undecided"``.
        reasons: One sentence for everything taken for granted or found wanting.
    """

    value: float
    interval: tuple[float, float]
    error_ratio: float
    error_ratio_interval: tuple[float, float]
    common_range: tuple[float, float] | None
    method: Literal["paired", "welch"]
    verdict: Verdict
    reasons: tuple[str, ...]


def compare_rates(a: Rate, b: Rate, *, paired: bool | None = None) -> RateDifference:
    """Difference of two exponents and ratio of the errors at matched sizes, each with a 95 % interval.

    With equally many target draws (two or more) the contrast is paired: draw ``i`` of the one is taken to be draw
    ``i`` of the other, and the interval is Student's t over the differences; otherwise it is Welch's. The scatter
    between sizes that the draws share is added in both.

    Args:
        a: The first rate.
        b: The second rate.
        paired: Whether equal rows of both are the same target draw; by default taken to be so if there are equally
            many.

    Raises:
        TypeError: If one of the two is no Rate.
        ValueError: If ``paired`` is asked for and the numbers of draws differ or are below two.

    Example:
        >>> from approxrates.rates import fit_rate
        >>> slow, fast = (fit_rate([10, 20, 40, 80, 160], [w**-p for w in (10, 20, 40, 80, 160)]) for p in (1.0, 2.0))
        >>> compare_rates(fast, slow).verdict
        'a falls faster'

    Reference:
        Welch (1947), Biometrika 34, 28-35.
    """
    for name, rate in (("a", a), ("b", b)):
        if not isinstance(rate, Rate):
            raise TypeError(
                f"{name} must be a Rate. Got {type(rate).__name__}. Write compare_rates(fit_rate(...), fit_rate(...))."
            )
    equal = len(a.per_draw) == len(b.per_draw) >= 2
    if paired and not equal:
        raise ValueError(
            f"paired must be False for {len(a.per_draw)} and {len(b.per_draw)} draws. "
            "Give both rates the same two draws or more."
        )
    together = equal if paired is None else paired
    both = _both(a, b) if together else np.zeros(0, dtype=bool)
    together = bool(together and both.sum() >= 2)
    if together:
        ((variance, freedom),) = between((a.replicates - b.replicates)[both])
        freedom = min(freedom, a.parts[0][1], b.parts[0][1])  # fewer where draws miss the sizes that matter
        value, parts = a.value - b.value, ((variance, freedom), *a.parts[1:], *b.parts[1:])
    else:
        value, parts = a.value - b.value, a.parts + b.parts
    seeds = ((a.seed_variance + b.seed_variance, math.inf), *((v, math.inf) for v, _ in (a.parts[-1:] + b.parts[-1:])))
    half = max(half_width(parts), half_width(seeds)) if math.isfinite(value) else math.nan
    (a_low, a_high), (b_low, b_high) = _beyond(a), _beyond(b)
    interval = (value - half - a_low - b_high, value + half + a_high + b_low)
    ratio, ratio_interval, span = _error_ratio(a, b, together)
    verdict, reasons = _verdict(a, b, *interval)
    return RateDifference(
        value=value, interval=interval, error_ratio=ratio, error_ratio_interval=ratio_interval,
        common_range=span, method="paired" if together else "welch", verdict=verdict, reasons=reasons,
    )  # fmt: skip


def _beyond(rate: Rate) -> tuple[float, float]:
    """How far the interval of a rate goes below and above what its variance explains: for a floor in doubt."""
    seeds = ((rate.seed_variance, math.inf), *((v, math.inf) for v, _ in rate.parts[-1:]))
    half = max(half_width(rate.parts), half_width(seeds))
    low, high = rate.value - half - rate.interval[0], rate.interval[1] - rate.value - half
    return max(0.0, low), max(0.0, high)


def _both(a: Rate, b: Rate) -> Mask:
    """Draws for which both rates have a pseudo-value, shape ``(draws,)``."""
    if not (len(a.replicates) == len(b.replicates) == len(a.per_draw)):
        return np.zeros(len(a.per_draw), dtype=bool)
    both: Mask = np.isfinite(a.replicates) & np.isfinite(b.replicates)
    return both


def _verdict(a: Rate, b: Rate, low: float, high: float) -> tuple[Verdict, tuple[str, ...]]:
    """Who falls faster, if the interval and both verdicts say so."""
    reasons = [
        f"The rate of {name} is undetermined: {' '.join(r.reasons)}"
        for name, r in (("a", a), ("b", b))
        if r.verdict != "determined"
    ]
    if a.log_power != b.log_power:
        reasons.append(
            f"The rates assume different log powers, {a.log_power:g} and {b.log_power:g}: the difference means little."
        )
    if not reasons and (low > 0 or high < 0):
        return ("a falls faster" if low > 0 else "b falls faster"), ()
    if not reasons:
        reasons.append(f"The interval of the difference, [{low:.3f}, {high:.3f}], contains 0.")
    return "undecided", tuple(reasons)


def _error_ratio(a: Rate, b: Rate, paired: bool) -> tuple[float, tuple[float, float], tuple[float, float] | None]:
    """Ratio of the errors at equal sizes, its interval, and the common range of sizes."""
    low, high = (max(a.n_params[0], b.n_params[0]), min(a.n_params[-1], b.n_params[-1]))
    grid = np.unique(np.concatenate([r.n_params[(r.n_params >= low) & (r.n_params <= high)] for r in (a, b)]))
    if len(grid) < 2:
        return math.nan, (math.nan, math.nan), None
    first, second = (_on_grid(r, np.log(grid)) for r in (a, b))
    at = np.isfinite(first).any(axis=0) & np.isfinite(second).any(axis=0)
    if not at.any():
        return math.nan, (math.nan, math.nan), None
    if paired:
        gaps = first - second
        centre, parts = _mean_over_draws(gaps[:, at])
    elif min(len(first), len(second)) > 1:
        (mean_a, parts_a), (mean_b, parts_b) = (_mean_over_draws(curves[:, at]) for curves in (first, second))
        centre, parts = mean_a - mean_b, parts_a + parts_b
    else:  # one draw on a side: all there is is the scatter of the ratio over sizes
        centre, parts = _mean_over_draws(
            (np.nanmean(first[:, at], axis=0) - np.nanmean(second[:, at], axis=0))[:, None]
        )
    half = half_width(parts) if parts else math.nan
    return math.exp(centre), (math.exp(centre - half), math.exp(centre + half)), (float(grid[0]), float(grid[-1]))


def _on_grid(rate: Rate, x: Array) -> Array:
    """Log of the errors of each draw, interpolated linearly in log size, shape ``(draws, len(x))``; NaN outside."""
    curves = np.full((len(rate.draw_errors), len(x)), np.nan)
    for row, errors in zip(curves, rate.draw_errors, strict=True):
        known = np.isfinite(errors)
        if known.any():
            row[:] = np.interp(x, np.log(rate.n_params[known]), np.log(errors[known]), left=np.nan, right=np.nan)
    return curves


def _mean_over_draws(curves: Array) -> tuple[float, Parts]:
    """Mean of the rows' means, and the variance of that; no parts with fewer than two rows."""
    rows = curves[np.isfinite(curves).any(axis=1)]
    means = np.nanmean(rows, axis=1) if len(rows) else np.array([np.nan])
    return float(means.mean()), between(means) if len(means) > 1 else ()
