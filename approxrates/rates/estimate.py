"""One law on one set of sizes: with a floor or without, its interval, and whether the local slope drifts."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from approxrates.rates.cells import size_means
from approxrates.rates.forecast import Fitted, fitted
from approxrates.rates.intervals import Array, Mask, Parts, between, exponential, half_width, two_sided
from approxrates.rates.powerlaw import Law, aicc, fit_law, robust_square, scale_of

MIN_SIZES = 4
FLOOR_FROM = 6
"""Sizes from which on a floor can be fitted."""
FLOOR_SHARE = 2 / 3
"""Sizes where more of the error than this is floor do not count as used."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """A fitted law with what intervals and verdict need.

    Attributes:
        value: The exponent ``p``.
        interval: 95 % interval; includes that of the law with a floor if ``floor_in_doubt``, and reaches to the local
            rate at the small end if ``floor_untested``.
        floor: 0.0 without a floor.
        floor_in_doubt: No floor was fitted, but the data do not exclude one.
        floor_known: The floor was given.
        floor_untested: The curve flattens over fewer sizes than a floor can be fitted to.
        kept: Sizes fitted, shape ``(k,)``.
        on_floor: Sizes that are mostly floor, shape ``(k,)``.
        per_draw: Exponents of the draws' own curves, shape ``(draws,)``; NaN where unknown.
        replicates: Pseudo-values, shape ``(draws,)``, or empty with one draw.
        parts: Variance of ``value``: between draws, between sizes.
        seed_variance: Variance of ``value`` under resampling of seeds, from that of the median cell: the mean would be
            ruled by single bad runs, which the median over seeds has kept out of the estimate.
        drift: Change of the local rate over the sizes that are not floor; positive if the curve steepens.
        drift_level: P-value of that change.
        constant: ``C``.
        fitted: The law itself.
        break_at: Size at which a broken law breaks; NaN for the others.
    """

    value: float
    interval: tuple[float, float]
    floor: float
    floor_in_doubt: bool
    floor_untested: bool
    kept: Mask
    on_floor: Mask
    per_draw: Array
    replicates: Array
    parts: Parts
    seed_variance: float
    drift: float
    drift_level: float
    constant: float
    fitted: Fitted
    floor_known: bool = False
    break_at: float = math.nan

    @property
    def used(self) -> Mask:
        """Sizes that determine the exponent, shape ``(k,)``."""
        used: Mask = self.kept & ~self.on_floor
        return used

    @property
    def half_width(self) -> float:
        """Half the length of the interval: the sides differ where it allows for a floor."""
        return (self.interval[1] - self.interval[0]) / 2


def estimate(
    sizes: Array, logs: Array, noise: Array, kept: Mask, log_power: float, floor: float | None = None
) -> Estimate:
    """Law on the sizes kept; log errors and their seed variance have shape ``(draws, k)``; ``floor`` is a known one."""
    if floor is not None:
        return _estimate(sizes, logs, noise, kept, log_power, with_floor=False, known=floor)
    prefers, doubtful = _floor_evidence(sizes[kept], logs[:, kept], log_power)
    chosen = _estimate(sizes, logs, noise, kept, log_power, with_floor=prefers)
    if kept.sum() < FLOOR_FROM:
        return _allowing_for_a_floor(chosen)
    if not doubtful:
        return chosen
    other = _estimate(sizes, logs, noise, kept, log_power, with_floor=True)
    hull = (min(chosen.interval[0], other.interval[0]), max(chosen.interval[1], other.interval[1]))
    return replace(chosen, interval=hull, floor_in_doubt=True)


def _allowing_for_a_floor(found: Estimate) -> Estimate:
    """The interval of too few sizes for a floor, with its upper end at the local rate of the smallest ones.

    A floor flattens the large sizes and leaves the small ones alone, so the exponent above it is the local rate at the
    small end: half the drift over the range more than that of the middle. Steepening is no sign of a floor.
    """
    if found.drift >= 0:
        return found
    low, high = found.interval
    return replace(found, interval=(low, high - found.drift / 2), floor_untested=True)


def _floor_evidence(sizes: Array, logs: Array, log_power: float) -> tuple[bool, bool]:
    """Whether AICc prefers a floor, and whether it does not but the data do not exclude one either.

    The criterion counts cells; each draw has a constant and an exponent of its own, and all share the floor. With one
    draw this is AICc on the sizes. A floor is not excluded if it lowers the sum of squares by more than one mean
    square; or, with one draw, at all: the scatter of so few residuals hides a floor of a third of the last error.
    """
    if len(sizes) < FLOOR_FROM:
        return False, False
    x = np.log(sizes)
    offset = log_power * np.log(x)
    cells = logs[np.isfinite(logs).any(axis=1)]
    present = np.isfinite(cells)
    floored = fit_law(x, size_means(cells)[:1], offset, free_floor=True)
    if floored.exponents[0] <= 0:
        return False, False
    without = fit_law(x, cells, offset)
    with_floor = fit_law(x, cells, offset, log_floor=float(floored.log_floor[0]))
    scale = float(np.median(scale_of(np.where(present, with_floor.residuals, np.nan), 2)))
    square, rest = robust_square(without.residuals, scale), robust_square(with_floor.residuals, scale)
    n_cells, n_coefficients = int(present.sum()), 2 * len(cells)
    if aicc(rest, n_cells, n_coefficients + 1) < aicc(square, n_cells, n_coefficients):
        return True, False
    spare = 0.0 if len(cells) == 1 else rest / max(n_cells - n_coefficients - 1, 1)
    return False, square - rest > spare + 1e-20


def _estimate(
    sizes: Array, logs: Array, noise: Array, kept: Mask, log_power: float, *, with_floor: bool,
    known: float | None = None,
) -> Estimate:  # fmt: skip
    """Law with or without a floor, its interval and drift."""
    x = np.log(sizes[kept])
    offset = log_power * np.log(x)
    present = np.isfinite(logs[:, kept]).any(axis=1)
    cells = logs[present][:, kept]
    log_floor = math.log(known) if known else -math.inf
    law = fit_law(x, size_means(cells), offset, free_floor=with_floor, log_floor=log_floor)
    log_floor = float(law.log_floor[0])
    own = fit_law(x, cells, offset, log_floor=log_floor)
    value, lever = float(law.exponents[0]), influence(law.jacobian[0], law.weights[0])[1]
    freedom = len(x) - law.jacobian.shape[2]
    size_variance = size_scatter(own.residuals, law.weights[0], law.jacobian[0]) * float(lever @ lever)
    parts, replicates = variance_parts(law.exponents, size_variance, freedom, effective_draws(cells, x, lever))
    seeds = float(np.nanmedian(noise[present][:, kept])) * float(lever @ lever) / len(cells)
    half = max(half_width(parts), half_width(((seeds, math.inf), (size_variance, math.inf))))
    drift, drift_level = _drift(x, law, own)
    own_exponents = np.where((own.weights > 0).sum(axis=1) >= MIN_SIZES, own.exponents, np.nan)
    on_floor = np.zeros(len(sizes), dtype=bool)
    on_floor[kept] = law.share[0] < 1 - FLOOR_SHARE
    return Estimate(
        value=value, interval=(value - half, value + half), floor=math.exp(log_floor), floor_in_doubt=False,
        floor_untested=False, kept=kept, on_floor=on_floor, per_draw=at_draws(present, own_exponents),
        replicates=at_draws(present, replicates), parts=parts, seed_variance=seeds, drift=drift,
        drift_level=drift_level,
        constant=exponential(float(law.coefficients[0, 0]) + value * float(x.mean())), floor_known=known is not None,
        fitted=fitted(
            "power", math.nan, law.coefficients[0, :2], x, cells, log_floor, log_power, centre=float(x.mean())
        ),
    )  # fmt: skip


def _drift(x: Array, law: Law, own: Law) -> tuple[float, float]:
    """Change of the local rate over the range that is not floor, by a term quadratic in log size; and its p-value."""
    bent = np.column_stack([law.jacobian[0], law.share[0] * (x - x.mean()) ** 2])
    freedom = len(x) - bent.shape[1]
    live = law.share[0] >= 1 - FLOOR_SHARE
    if freedom < 1 or not live.any():
        return 0.0, 1.0
    lever = influence(bent, law.weights[0])[-1]
    rows = law.residuals @ lever
    variance = size_scatter(own.residuals, law.weights[0], bent) * float(lever @ lever)
    parts, _ = variance_parts(rows, variance, freedom)
    return -2 * float(rows[0]) * float(np.ptp(x[live])), two_sided(float(rows[0]), parts)


def influence(design: Array, weights: Array) -> Array:
    """Derivative of the weighted least-squares coefficients by the log errors, shape ``(m, k)``."""
    root = np.sqrt(weights)
    influence: Array = np.asarray(np.linalg.pinv(design * root[:, None]) * root, dtype=np.float64)
    return influence


def size_scatter(residuals: Array, weights: Array, design: Array) -> float:
    """Variance of the deviation from the law that all draws share at a size (with one draw: of the residuals).

    A two-way analysis of variance of the draws' own residuals, shape ``(draws, k)``: what the draws do not share is in
    the scatter of their slopes already. Residuals are Huber-weighted, and scaled up again for it (Huber 1973, Ann.
    Statist. 1, 799-821).
    """
    n, k = int(residuals.shape[0]), int(residuals.shape[1])
    freedom = k - int(design.shape[1])
    pulled: Array = residuals * weights / float(np.mean(weights == 1))
    pulled -= (pulled @ np.linalg.pinv(design).T) @ design.T
    shared: Array = pulled.mean(axis=0)
    if n == 1:
        return float(shared @ shared) / freedom
    between_sizes = float(n * (shared @ shared)) / freedom
    rest = float(((pulled - shared) ** 2).sum()) / ((n - 1) * freedom)
    return max(0.0, (between_sizes - rest) / n)


def effective_draws(cells: Array, x: Array, lever: Array) -> float:
    """How many draws an exponent rests on: the number of draws, or fewer where some miss the sizes that matter.

    What the exponent gains if the slope of one draw grows by 1 is the draw's share ``c`` of it, in the two-way additive
    fit of ``size_means``; the number is ``(sum |c|)^2 / sum c^2`` (Kish 1965, Survey Sampling, Wiley).

    Args:
        cells: Log errors, shape ``(draws, k)``; NaN where missing.
        x: log of the sizes, shape ``(k,)``.
        lever: Derivative of the exponent by the mean log errors, shape ``(k,)``.
    """
    n, present = len(cells), np.isfinite(cells)
    if present.all():
        return float(n)
    draw, size = np.nonzero(present)
    columns = np.column_stack([draw[:, None] == np.arange(n), size[:, None] == np.arange(len(x))])
    by_cell = lever @ np.linalg.pinv(columns.astype(np.float64))[n:]
    shares = np.abs(np.bincount(draw, weights=by_cell * (x - x.mean())[size], minlength=n))
    return float(shares.sum() ** 2 / (shares @ shares))


def variance_parts(
    estimates: Array, size_variance: float, freedom: float, effective: float = math.inf
) -> tuple[Parts, Array]:
    """Variance contributions of an estimate, and its pseudo-values: between draws (jackknife) and between sizes.

    Args:
        estimates: From all draws, then with each draw left out, shape ``(1 + draws,)``; or ``(1,)``.
        size_variance: Contribution of the scatter between sizes.
        freedom: Degrees of freedom of that.
        effective: Number of draws that the estimate rests on, if that is fewer.
    """
    sizes: Parts = ((size_variance, float(freedom)),)
    if len(estimates) == 1:
        return sizes, np.empty(0)
    n = len(estimates) - 1
    replicates = n * estimates[0] - (n - 1) * estimates[1:]
    ((variance, most),) = between(replicates)
    return ((variance, min(most, max(effective - 1.0, 1.0))), *sizes), replicates


def at_draws(mask: Any, values: Array) -> Array:
    """Values at the places where the mask is true, NaN elsewhere; an empty array stays empty."""
    if not len(values):
        return values
    out = np.full(len(mask), np.nan)
    out[mask] = values
    return out
