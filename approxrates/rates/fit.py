"""``fit_rate``: from errors over sizes, target draws and seeds to a rate with an interval and a verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from approxrates.rates.base import Rate
from approxrates.rates.cells import Data, best_below_median, checked, known_centres, size_means
from approxrates.rates.choice import BROKEN_FROM, CHOICE_FROM, LawChoice, choose
from approxrates.rates.estimate import FLOOR_FROM, MIN_SIZES, Estimate, estimate
from approxrates.rates.forecast import Fitted, fitted
from approxrates.rates.intervals import Array, Mask
from approxrates.rates.powerlaw import fit_law
from approxrates.rates.segments import last_segment
from approxrates.rates.shapes import fit_shape
from approxrates.rates.verdicts import (
    DRIFT,
    MIN_SPAN,
    account_of,
    bounds_said,
    choice_said,
    drifts,
    floor_ignored,
    points_of,
    remarks_on,
    shortcomings,
)  # fmt: skip

STRAY = 0.02
"""How much the best over seeds may add to the slope by growing or shrinking scatter before the interval is widened."""


def fit_rate(
    n_params: ArrayLike,
    errors: ArrayLike,
    *,
    log_power: float = 0.0,
    statistic: str = "median",
    use: ArrayLike | None = None,
    floor: float | None = None,
    censored: ArrayLike | None = None,
) -> Rate:
    r"""Exponent ``p`` of the power law ``E(W) = C W^{-p} (log W)^q`` with an optional floor.

    The law is fitted robustly to log errors. With six sizes or more a floor is always tried, and kept if the corrected
    Akaike criterion prefers it; if it does not, but cannot exclude one, the interval covers both laws. Small sizes are
    left out one by one while the local slope drifts (a test of curvature at 5 %, and a change of slope above 0.05);
    what was left out and why is in ``reasons``. With fewer sizes no floor can be fitted; if the curve flattens, the
    interval reaches up to the local slope at the small end. The exponent ``q`` is given, never fitted: over two decades
    ``p`` and ``q`` cannot be told apart.

    From six sizes on the power law competes with a broken one, whose last segment then gives the rate, and with a
    stretched exponential, which has none; see ``choose_law``. A choice that AICc and the prediction of the two largest
    sizes do not agree on makes the rate undetermined.

    The 95 % interval is Student's t over target draws (leave-one-draw-out pseudo-values) plus the scatter between sizes
    that all draws share, and never narrower than the scatter of seeds within the draws; with one draw it is Student's t
    over the residuals. It is an interval for the slope over the sizes used, not for an asymptotic exponent. A rate is
    "undetermined" if the interval is longer than ``0.5 max(1, p)`` or reaches 0, if there are two target draws, if the
    slope still drifts, or if fewer than four sizes or less than a factor of 8 in size remain.

    Args:
        n_params: Sizes, shape ``(k,)``, greater than 1 and strictly increasing.
        errors: Errors in one norm, positive; NaN marks a missing or failed run. Shape ``(k,)``, ``(k, n_seeds)`` or
            ``(draws, k, n_seeds)``.
        log_power: The exponent ``q`` of the logarithm.
        statistic: Over seeds: ``"median"`` (describes the algorithm) or ``"best"`` (an upper bound of the infimum).
        use: Sizes that may be used, boolean, shape ``(k,)``; all by default.
        floor: A floor that is known, in the unit of the errors; 0.0 for none. Fitted if None.
        censored: True where an error is only an upper bound (a fit that ran out of budget, a one-sided certificate),
            boolean, shape of ``errors``. Whether an error is flagged must not depend on how lucky its run was.

    Raises:
        ValueError: If there are fewer than four sizes, they do not increase strictly, an error is not positive, the
            floor is not below the largest error, or shapes differ.
        TypeError: If sizes or errors are not numbers, or a mask is not boolean.

    Example:
        >>> rate = fit_rate([10, 100, 1000, 10000], [1e-1, 1e-2, 1e-3, 1e-4])
        >>> round(rate.value, 6), rate.verdict
        (1.0, 'determined')

    Reference:
        Yarotsky & Zhevnerchuk (2020), arXiv:1906.09477, for the law. The statistics are in ``docs/rates.md``.
    """
    data = checked(n_params, errors, log_power, statistic, use, floor, censored)
    rate = _fitted(data, statistic)
    if data.cube.shape[2] < 2:
        return rate
    return replace(rate, best=_best_over_seeds(data, rate))


def _best_over_seeds(data: Data, rate: Rate) -> tuple[float, float, float] | None:
    """Exponent and interval of the best over seeds, by the law that was chosen for ``rate``."""
    if rate.statistic == "best":
        return (rate.value, *rate.interval) if math.isfinite(rate.value) else None
    logs, noise, _ = known_centres(data, "best")
    kept = data.allowed & np.isfinite(logs).any(axis=0)
    if kept.sum() < (BROKEN_FROM if rate.model == "broken" else MIN_SIZES):
        return None
    curve = _Curve(data.sizes, logs, noise, data.log_power, data.floor)
    found = curve.broken(kept) if rate.model == "broken" else _settle(curve, kept)
    found, _ = _despite_best(found, best_below_median(data.sizes, data.cube, found.used))
    return (found.value, *found.interval)


def _fitted(data: Data, statistic: str) -> Rate:
    """The rate of one statistic over seeds."""
    sizes, cube = data.sizes, data.cube
    logs, noise, bounds = known_centres(data, statistic)
    kept = data.allowed & np.isfinite(logs).any(axis=0)
    reasons = remarks_on(sizes, np.isfinite(cube), data.allowed)
    if kept.sum() < MIN_SIZES:
        said, _ = bounds_said(sizes, logs, bounds, None, cube)
        short = f"Only {kept.sum()} sizes with errors may be used; a rate needs at least four."
        return _record(data, statistic, logs, kept, bounds, None, None, (*reasons, *said, short), failed=True)
    curve = _Curve(sizes, logs, noise, data.log_power, data.floor)
    found = _settle(curve, kept)
    choice = _choice(curve, kept, found)
    model = "power"
    if choice.chosen == "broken" and choice.decided:
        found, model = curve.broken(kept), "broken"
    elif choice.chosen == "stretched-exponential" and choice.decided:
        model = "stretched-exponential"
    asymptotic = model != "stretched-exponential" and _asymptotic(curve, found)
    reasons += account_of(sizes, kept, found, found if (found.kept == kept).all() else curve.estimate(kept))
    said, lost = bounds_said(sizes, logs, bounds, found, cube)
    if statistic == "best":
        found, remarks = _despite_best(found, best_below_median(sizes, cube, found.used))
        reasons += remarks
    failures = [*choice_said(choice, model), *floor_ignored(data.floor, logs, found), *shortcomings(sizes, kept, found)]
    every, failed = (*reasons, *said, *failures), lost or bool(failures)
    rate = _record(data, statistic, logs, kept, bounds, found, choice, every, failed)
    if model == "stretched-exponential":
        return replace(rate, model=model, gamma=choice.gamma, gamma_interval=choice.gamma_interval,
                       fitted=_stretched(curve, kept), floor=0.0)  # fmt: skip
    return replace(rate, asymptotic=asymptotic and not failed)


@dataclass(frozen=True, eq=False)
class _Curve:
    """What every fit to the same data needs: sizes, log errors and their seed variance, and what is known."""

    sizes: Array
    logs: Array
    noise: Array
    log_power: float
    floor: float | None

    def estimate(self, kept: Mask) -> Estimate:
        """The power law on the sizes kept."""
        return estimate(self.sizes, self.logs, self.noise, kept, self.log_power, self.floor)

    def broken(self, kept: Mask) -> Estimate:
        """The last segment of the broken law on the sizes kept."""
        return last_segment(self.sizes, self.logs, self.noise, kept, self.log_power)

    def exponent(self, kept: Mask, found: Estimate) -> float:
        """Exponent of the mean curve on other sizes, with the kind of floor that an estimate has."""
        x, cells = np.log(self.sizes[kept]), self.logs[:, kept]
        mean = size_means(cells[np.isfinite(cells).any(axis=1)])[:1]
        free = found.floor > 0 and not found.floor_known and len(x) >= FLOOR_FROM
        known = math.log(found.floor) if found.floor > 0 else -math.inf
        law = fit_law(x, mean, self.log_power * np.log(x), free_floor=free, log_floor=known)
        return float(law.exponents[0])


def _settle(curve: _Curve, kept: Mask) -> Estimate:
    """Leaves out small sizes until the local slope no longer drifts, or no more can be spared.

    Where the errors of the rest would rise, it is not the small sizes that are at fault, and they stay.
    """
    found = curve.estimate(kept)
    while drifts(found) and _may_drop(curve.sizes, found):
        rest = curve.estimate(_without_smallest(found.kept))
        if rest.value <= 0 < found.value:
            break
        found = rest
    return found


def _without_smallest(kept: Mask) -> Mask:
    """The sizes but the smallest."""
    smaller = kept.copy()
    smaller[np.flatnonzero(smaller)[0]] = False
    return smaller


def _may_drop(sizes: Array, found: Estimate) -> bool:
    """Whether one more small size can be spared. A curve that flattens and is too short for a floor is not cut."""
    rest = sizes[found.used][1:]
    ambiguous = found.drift < 0 and found.kept.sum() < FLOOR_FROM and not found.floor_known
    return len(rest) >= MIN_SIZES and rest[-1] / rest[0] >= MIN_SPAN * (1 - 1e-9) and not ambiguous


def _choice(curve: _Curve, kept: Mask, found: Estimate) -> LawChoice:
    """The law of all sizes if it has a break or nothing was left out; else of the asymptotic range, if long enough."""
    of_all = choose(curve.sizes[kept], curve.logs[:, kept], curve.log_power, curve.floor)
    rest = found.kept
    if (rest == kept).all() or rest.sum() < CHOICE_FROM or (of_all.chosen == "broken" and of_all.decided):
        return of_all
    return choose(curve.sizes[rest], curve.logs[:, rest], curve.log_power, curve.floor)


def _asymptotic(curve: _Curve, found: Estimate) -> bool:
    """Whether no drift is left and the exponent stays when the smallest size used is left out."""
    if found.used.sum() <= MIN_SIZES or drifts(found):
        return False
    other = curve.exponent(_without_smallest(found.kept), found)
    return abs(other - found.value) <= max(DRIFT, found.half_width)


def _stretched(curve: _Curve, kept: Mask) -> Fitted:
    """The stretched exponential of the sizes kept."""
    x = np.log(curve.sizes[kept])
    cells = curve.logs[:, kept]
    cells = cells[np.isfinite(cells).any(axis=1)]
    shape = fit_shape("stretched-exponential", x, size_means(cells)[:1], curve.log_power)
    return fitted(shape.name, shape.at, shape.coefficients[0], x, cells, -math.inf, curve.log_power, shape.centre)


def _despite_best(found: Estimate, stray: float) -> tuple[Estimate, list[str]]:
    """The interval reaching to the slope without what scatter that depends on the size adds to the best over seeds."""
    if abs(stray) <= STRAY:
        return found, []
    way, (low, high) = "grows" if stray > 0 else "shrinks", found.interval
    wider = (low - max(stray, 0.0), high + max(-stray, 0.0))
    remark = (
        f"The scatter of the seeds {way} with size, which by itself changes the slope of the best by {stray:+.3f}; "
        "the interval is widened by it. The median is free of it."
    )
    return replace(found, interval=wider), [remark]


def _record(
    data: Data, statistic: str, logs: Array, kept: Mask, bounds: Mask, found: Estimate | None,
    choice: LawChoice | None, reasons: tuple[str, ...], failed: bool,
) -> Rate:  # fmt: skip
    """Everything in one record."""
    sizes, cube = data.sizes, data.cube
    seen = np.asarray(np.isfinite(logs).any(axis=0))
    present = np.asarray(np.isfinite(cube).any(axis=(0, 2)))
    centre, spread = np.full(len(sizes), np.nan), np.full((2, len(sizes)), np.nan)
    centre[seen] = np.exp(np.nanmean(logs[:, seen], axis=0))
    if present.any():
        spread[:, present] = np.nanquantile(cube[:, present], [0.25, 0.75], axis=(0, 2))
    broken = found is not None and math.isfinite(found.break_at)
    return Rate(
        value=found.value if found else math.nan,
        interval=found.interval if found else (math.nan, math.nan),
        model="broken" if broken else "power+floor" if found and found.floor > 0 else "power",
        floor=found.floor if found else 0.0,
        used=found.used if found else kept,
        verdict="undetermined" if failed else "determined",
        reasons=reasons,
        per_draw=found.per_draw if found else np.full(len(logs), np.nan),
        replicates=found.replicates if found else np.empty(0),
        parts=found.parts if found else (),
        seed_variance=found.seed_variance if found else math.nan,
        n_params=sizes,
        centre=centre,
        spread=spread,
        draw_errors=np.exp(logs),
        on_floor=found.on_floor if found else np.zeros(len(sizes), dtype=bool),
        constant=found.constant if found else math.nan,
        log_power=data.log_power,
        statistic=statistic,
        points=points_of(sizes, data.allowed, kept, bounds, found, present),
        choice=choice,
        break_at=found.break_at if found else math.nan,
        fitted=found.fitted if found else None,
    )
