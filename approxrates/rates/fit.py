"""``fit_rate``: from errors over sizes, target draws and seeds to a rate with an interval and a verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from approxrates.rates.base import Array, Mask, Parts, Rate, Verdict, between, half_width, listed, two_sided
from approxrates.rates.cells import cell_centres, checked, size_means
from approxrates.rates.powerlaw import Law, aicc, fit_law, scale_of

MIN_SIZES = 4
MIN_SPAN = 8.0
"""Sizes that determine a rate span at least this factor."""
MAX_HALF_WIDTH = 0.25
"""A rate is undetermined if its interval is wider than plus or minus this times ``max(1, p)``."""
DRIFT = 0.05
"""Change of the local slope over the sizes used that matters; together with significance at ``LEVEL`` it is called a drift."""
LEVEL = 0.05
RESIDUAL_DRIFT = 0.1
"""After sizes were left out for a drift, what remains of it (times ``max(1, p)``) must be below this."""
UNTESTED_DRIFT = 0.25
"""So must any drift (times ``max(1, p)``) of one draw with fewer than six sizes, too few for a test with power or a floor."""
FLOOR_SHARE = 2 / 3
"""Sizes where more of the error than this is floor do not count as used."""
_FLOOR_FROM = 6


def fit_rate(
    n_params: ArrayLike,
    errors: ArrayLike,
    *,
    log_power: float = 0.0,
    statistic: str = "median",
    use: ArrayLike | None = None,
) -> Rate:
    r"""Exponent ``p`` of the power law ``E(W) = C W^{-p} (log W)^q`` with an optional floor.

    The law is fitted robustly to log errors. With six sizes or more a floor is always tried, and kept if the corrected Akaike
    criterion prefers it. Small sizes are left out one by one while the local slope drifts (a test of curvature at 5 %, and a
    change of slope above 0.05); what was left out and why is in ``reasons``. The exponent ``q`` is given, never fitted: over
    two decades ``p`` and ``q`` cannot be told apart.

    The 95 % interval is Student's t over target draws (leave-one-draw-out pseudo-values) plus the scatter between sizes
    that all draws share, and never narrower than the scatter of seeds within the draws; with one draw it is Student's t over
    the residuals. A rate is "undetermined" if the interval is wider than ``0.25 max(1, p)`` to either side or reaches 0, if
    the slope still drifts, or if fewer than four sizes or less than a factor of 8 in size remain.

    Args:
        n_params: Sizes, shape ``(k,)``, greater than 1 and strictly increasing.
        errors: Errors in one norm, positive; NaN marks a missing or failed run. Shape ``(k,)``, ``(k, n_seeds)`` or
            ``(draws, k, n_seeds)``.
        log_power: The exponent ``q`` of the logarithm.
        statistic: Over seeds: ``"median"`` (describes the algorithm) or ``"best"`` (an upper bound of the infimum).
        use: Sizes that may be used, boolean, shape ``(k,)``; all by default.

    Raises:
        ValueError: If there are fewer than four sizes, they do not increase strictly, an error is not positive, or shapes differ.
        TypeError: If sizes or errors are not numbers.

    Example:
        >>> rate = fit_rate([10, 100, 1000, 10000], [1e-1, 1e-2, 1e-3, 1e-4])
        >>> round(rate.value, 6), rate.verdict
        (1.0, 'determined')

    Reference:
        Yarotsky & Zhevnerchuk (2020), arXiv:1906.09477, for the law. The statistics are in ``docs/rates.md``.
    """
    sizes, cube, allowed = checked(n_params, errors, log_power, statistic, use)
    present = np.isfinite(cube)
    logs, noise = cell_centres(cube, statistic)
    kept = allowed & np.isfinite(logs).any(axis=0)
    reasons = _remarks(sizes, present, allowed)
    if kept.sum() < MIN_SIZES:
        reasons.append(f"Only {kept.sum()} sizes with errors may be used; a rate needs at least four.")
        return _undetermined(sizes, cube, logs, kept, log_power, statistic, reasons)
    fit, bent = _settle(sizes, logs, noise, kept, log_power, reasons)
    used = fit.kept & ~fit.on_floor
    if fit.on_floor.any():
        reasons.append(
            f"On the fitted floor of {fit.floor:.3g}: n_params = {listed(sizes[fit.on_floor])}; they pin the floor, not the exponent."
        )
    shortcomings = _shortcomings(fit, sizes[used])
    verdict: Verdict = "undetermined" if bent or shortcomings else "determined"
    centre, spread = _summary(cube, logs)
    return Rate(
        value=fit.value, interval=(fit.value - fit.half, fit.value + fit.half), model=fit.model, floor=fit.floor, used=used,
        verdict=verdict, reasons=(*reasons, *shortcomings), per_draw=fit.per_draw, replicates=fit.replicates, parts=fit.parts,
        seed_variance=fit.seed_variance,
        n_params=sizes, centre=centre, spread=spread, draw_errors=np.exp(logs), on_floor=fit.on_floor, constant=fit.constant,
        log_power=float(log_power), statistic=statistic,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Fit:
    """One law on one set of sizes, with everything that intervals need."""

    kept: Mask
    law: Law  # row 0: all draws; further rows: one draw left out
    model: str
    per_draw: Array
    replicates: Array
    parts: Parts
    seed_variance: float
    drift: float
    drift_level: float  # p-value of the curvature
    on_floor: Mask
    half: float
    constant: float

    @property
    def value(self) -> float:
        return float(self.law.exponents[0])

    @property
    def floor(self) -> float:
        return float(np.exp(self.law.log_floor[0]))

    @property
    def drifts(self) -> bool:
        return self.drift_level < LEVEL and abs(self.drift) > DRIFT


def _settle(
    sizes: Array, logs: Array, noise: Array, kept: Mask, log_power: float, reasons: list[str]
) -> tuple[_Fit, bool]:
    """Leaves out small sizes until the slope no longer drifts; says whether the rate must count as undetermined."""
    first = fit = _fit(sizes, logs, noise, kept, log_power)
    while fit.drifts and _may_drop(sizes, fit):
        smaller = fit.kept.copy()
        smaller[np.flatnonzero(fit.kept)[0]] = False
        fit = _fit(sizes, logs, noise, smaller, log_power)
    dropped = sizes[kept & ~fit.kept]
    relative = abs(fit.drift) / max(1.0, abs(fit.value))
    untested = len(fit.law.exponents) == 1 and fit.kept.sum() < _FLOOR_FROM and relative > UNTESTED_DRIFT
    bent = fit.drifts or untested or (len(dropped) > 0 and relative > RESIDUAL_DRIFT)
    if len(dropped):
        reasons.append(
            f"Left out as pre-asymptotic: n_params = {listed(dropped)}. With them the local slope drifts by {first.drift:+.2f} "
            f"over the range (p = {first.drift_level:.2g}) and the fit gives {first.value:.3f}."
        )
    if bent:
        way = "steepens" if fit.drift > 0 else "flattens"
        reasons.append(
            f"The curve {way}: its local slope changes by {fit.drift:+.2f} over the sizes left. Not one power law; add larger sizes."
        )
    return fit, bent


def _may_drop(sizes: Array, fit: _Fit) -> bool:
    """Whether one more small size can be left out; a curve too short for a floor that flattens is not cut: it may be one."""
    rest = sizes[fit.kept & ~fit.on_floor][1:]
    flattens = fit.drift < 0 and fit.kept.sum() < _FLOOR_FROM
    return len(rest) >= MIN_SIZES and rest[-1] / rest[0] >= MIN_SPAN * (1 - 1e-9) and not flattens


def _fit(sizes: Array, logs: Array, noise: Array, kept: Mask, log_power: float) -> _Fit:
    """Law, floor or not, intervals and drift on given sizes."""
    x = np.log(sizes[kept])
    offset = log_power * np.log(x) if log_power else np.zeros_like(x)
    present = np.isfinite(logs[:, kept]).any(axis=1)
    cells = logs[present][:, kept]
    law, model = _choose(x, size_means(cells), offset)
    own = fit_law(x, cells, offset, log_floor=float(law.log_floor[0]))
    weights, design = law.weights[0], law.jacobian[0]
    bent = np.column_stack([design, law.share[0] * (x - x.mean()) ** 2])
    lever, drift_lever = _influence(design, weights)[1], _influence(bent, weights)[-1]
    freedom = len(x) - design.shape[1]
    scatter = _size_scatter(own.residuals, weights, design)
    parts, replicates = _parts(law.exponents, scatter * float(lever @ lever), freedom)
    drifts = law.residuals @ drift_lever
    seeds = float(np.nansum((lever / len(cells)) ** 2 * noise[present][:, kept]))
    seed_parts = ((seeds, math.inf), (scatter * float(lever @ lever), math.inf))
    drift_level = 1.0
    if freedom > 1:
        drift_scatter = _size_scatter(own.residuals, weights, bent)
        drift_parts, _ = _parts(drifts, drift_scatter * float(drift_lever @ drift_lever), freedom - 1)
        drift_level = two_sided(float(drifts[0]), drift_parts)
    live = law.share[0] >= 1 - FLOOR_SHARE
    return _Fit(
        kept=kept, law=law, model=model, per_draw=_spread_out(_own_exponents(own), present),
        replicates=_spread_out(replicates, present) if len(replicates) else replicates, parts=parts,
        seed_variance=seeds, drift=-2 * float(drifts[0]) * float(np.ptp(x[live])) if live.any() else 0.0, drift_level=drift_level,
        on_floor=_spread_out(~live, kept).astype(bool), half=max(half_width(parts), half_width(seed_parts)),
        constant=math.exp(float(law.coefficients[0, 0]) + float(law.exponents[0]) * float(x.mean())),
    )  # fmt: skip


def _influence(design: Array, weights: Array) -> Array:
    """Derivative of the weighted least-squares coefficients by the log errors, shape ``(m, k)``."""
    root = np.sqrt(weights)
    influence: Array = np.linalg.pinv(design * root[:, None]) * root
    return influence


def _size_scatter(residuals: Array, weights: Array, design: Array) -> float:
    """Variance of the deviation from the law that all draws share at a size (with one draw: of the residuals).

    A two-way analysis of variance of the draws' own residuals, shape ``(draws, k)``: what the draws do not share is in the
    scatter of their slopes already. Huber-weighted residuals are scaled up again (Huber 1973, Ann. Statist. 1, 799-821).
    """
    n, k = residuals.shape
    freedom = k - design.shape[1]
    pulled: Array = residuals * weights / float(np.mean(weights == 1))
    pulled = pulled - (pulled @ np.linalg.pinv(design).T) @ design.T
    shared = pulled.mean(axis=0)
    if n == 1:
        return float(shared @ shared) / freedom
    between_sizes = n * float(shared @ shared) / freedom
    rest = float(((pulled - shared) ** 2).sum()) / ((n - 1) * freedom)
    return float(max(0.0, between_sizes - rest) / n)


def _parts(estimates: Array, size_variance: float, freedom: float) -> tuple[Parts, Array]:
    """Variance contributions of an estimate, and its pseudo-values: between draws (jackknife) and between sizes.

    Args:
        estimates: From all draws, then with each draw left out, shape ``(1 + draws,)``; or ``(1,)``.
        size_variance: Contribution of the scatter between sizes.
        freedom: Degrees of freedom of that.
    """
    sizes: Parts = ((size_variance, float(freedom)),)
    if len(estimates) == 1:
        return sizes, np.empty(0)
    n = len(estimates) - 1
    replicates = n * estimates[0] - (n - 1) * estimates[1:]
    return between(replicates) + sizes, replicates


def _spread_out(values: Array | Mask, mask: Any) -> Array:
    """Values at the places where the mask is true; NaN (False for booleans) elsewhere."""
    out = np.zeros(len(mask)) if values.dtype == np.bool_ else np.full(len(mask), np.nan)
    out[mask] = values
    return out


def _own_exponents(own: Law) -> Array:
    """Exponent of each draw's own curve; NaN with fewer than four sizes."""
    return np.where((own.weights > 0).sum(axis=1) >= MIN_SIZES, own.exponents, np.nan)


def _choose(x: Array, rows: Array, offset: Array) -> tuple[Law, str]:
    """With or without a floor, by AICc on the mean curve."""
    if len(x) < _FLOOR_FROM:
        return fit_law(x, rows, offset), "power"
    power, floored = fit_law(x, rows[:1], offset), fit_law(x, rows[:1], offset, free_floor=True)
    scale = float(scale_of(floored.residuals, 3)[0])
    if aicc(floored.residuals[0], scale, 3) < aicc(power.residuals[0], scale, 2) and floored.exponents[0] > 0:
        return fit_law(x, rows, offset, free_floor=True), "power+floor"
    return fit_law(x, rows, offset), "power"


def _remarks(sizes: Array, present: Mask, allowed: Mask) -> list[str]:
    """What is worth knowing about the data before any fit; ``present`` has shape ``(draws, k, seeds)``."""
    remarks = []
    if not allowed.all():
        remarks.append(f"Excluded by the caller: n_params = {listed(sizes[~allowed])}.")
    empty = allowed & ~present.any(axis=(0, 2))
    if empty.any():
        remarks.append(f"No run has an error at n_params = {listed(sizes[empty])}.")
    failing = allowed & ~empty & (present.mean(axis=(0, 2)) < 0.5)
    if failing.any():
        remarks.append(
            f"More than half of the runs have no error at n_params = {listed(sizes[failing])}; the survivors flatter it."
        )
    if present.any(axis=(1, 2)).sum() == 1:
        remarks.append(
            "One target draw: the interval speaks of this target only, and rests on the scatter between sizes."
        )
    return remarks


def _shortcomings(fit: _Fit, used: Array) -> list[str]:
    """Why the exponent counts as undetermined, apart from a drift; empty if it does not."""
    found = []
    if len(used) < MIN_SIZES:
        found.append(f"Only {len(used)} sizes lie above the floor; a rate needs at least four.")
    elif used[-1] / used[0] < MIN_SPAN * (1 - 1e-9):
        found.append(
            f"The sizes used span a factor of {used[-1] / used[0]:.2g} only; a rate needs a factor of {MIN_SPAN:g}."
        )
    low, limit = fit.value - fit.half, MAX_HALF_WIDTH * max(1.0, abs(fit.value))
    if fit.half > limit:
        found.append(
            f"The interval is wider than +-{limit:.2f}: p = {fit.value:.3f} +- {fit.half:.3f}. Add target draws, sizes or seeds."
        )
    if low <= 0:
        found.append(f"The errors do not fall significantly with size: the interval for p begins at {low:.3f}.")
    return found


def _undetermined(
    sizes: Array, cube: Array, logs: Array, kept: Mask, log_power: float, statistic: str, reasons: list[str]
) -> Rate:
    """The record of a fit that could not be made."""
    centre, spread = _summary(cube, logs)
    return Rate(
        value=math.nan, interval=(math.nan, math.nan), model="power", floor=0.0, used=kept, verdict="undetermined",
        reasons=tuple(reasons), per_draw=np.full(len(logs), np.nan), replicates=np.empty(0), parts=(), seed_variance=math.nan, n_params=sizes,
        centre=centre, spread=spread, draw_errors=np.exp(logs), on_floor=np.zeros_like(kept), constant=math.nan,
        log_power=float(log_power), statistic=statistic,
    )  # fmt: skip


def _summary(cube: Array, logs: Array) -> tuple[Array, Array]:
    """Geometric mean over draws ``(k,)`` and quartiles over all runs ``(2, k)`` at each size; NaN at sizes without errors."""
    seen = np.isfinite(logs).any(axis=0)
    centre, spread = np.full(len(seen), np.nan), np.full((2, len(seen)), np.nan)
    centre[seen] = np.exp(np.nanmean(logs[:, seen], axis=0))
    spread[:, seen] = np.nanquantile(cube[:, seen], [0.25, 0.75], axis=(0, 2))
    return centre, spread
