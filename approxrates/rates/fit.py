"""``fit_rate``: from errors over sizes, target draws and seeds to a rate with an interval and a verdict."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from approxrates.rates.base import Array, Mask, Rate, listed
from approxrates.rates.cells import best_below_median, cell_centres, checked
from approxrates.rates.estimate import FLOOR_FROM, MIN_SIZES, Estimate, estimate

MIN_SPAN = 8.0
"""Sizes that determine a rate span at least this factor."""
MAX_HALF_WIDTH = 0.25
"""A rate is undetermined if its interval is wider than plus or minus this times ``max(1, p)``."""
DRIFT = 0.05
"""Change of the local slope over the sizes used that matters; together with significance at ``LEVEL`` it is a drift."""
LEVEL = 0.05
RESIDUAL_DRIFT = 0.1
"""After sizes were left out for a drift, what remains of it (times ``max(1, p)``) must be below this."""
MIN_DRAWS = 3
"""Draws from which on their scatter can be told: two that agree by luck give a narrow interval."""
STRAY = 0.02
"""How much the best over seeds may add to the slope by growing or shrinking scatter before the interval is widened."""
UNTESTED_DRIFT = 0.25
"""So must any drift (times ``max(1, p)``) of one draw with fewer than six sizes, too few to test or to fit a floor."""


def fit_rate(
    n_params: ArrayLike,
    errors: ArrayLike,
    *,
    log_power: float = 0.0,
    statistic: str = "median",
    use: ArrayLike | None = None,
) -> Rate:
    r"""Exponent ``p`` of the power law ``E(W) = C W^{-p} (log W)^q`` with an optional floor.

    The law is fitted robustly to log errors. With six sizes or more a floor is always tried, and kept if the corrected
    Akaike criterion prefers it; if it does not, but cannot exclude one, the interval covers both laws. Small sizes are
    left out one by one while the local slope drifts (a test of curvature at 5 %, and a change of slope above 0.05);
    what was left out and why is in ``reasons``. With fewer sizes no floor can be fitted; if the curve flattens, the
    interval reaches up to the local slope at the small end. The exponent ``q`` is given, never fitted: over two decades
    ``p`` and ``q`` cannot be told apart.

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

    Raises:
        ValueError: If there are fewer than four sizes, they do not increase strictly, an error is not positive, or
        shapes
            differ.
        TypeError: If sizes or errors are not numbers.

    Example:
        >>> rate = fit_rate([10, 100, 1000, 10000], [1e-1, 1e-2, 1e-3, 1e-4])
        >>> round(rate.value, 6), rate.verdict
        (1.0, 'determined')

    Reference:
        Yarotsky & Zhevnerchuk (2020), arXiv:1906.09477, for the law. The statistics are in ``docs/rates.md``.
    """
    sizes, cube, allowed = checked(n_params, errors, log_power, statistic, use)
    logs, noise = cell_centres(cube, statistic)
    kept = allowed & np.isfinite(logs).any(axis=0)
    reasons = _remarks(sizes, np.isfinite(cube), allowed)
    found = None
    if kept.sum() >= MIN_SIZES:
        found = _settle(sizes, logs, noise, kept, float(log_power))
        reasons += _account(sizes, kept, found, _first(sizes, logs, noise, kept, found, float(log_power)))
        if statistic == "best":
            found, remarks = _despite_best(found, best_below_median(sizes, cube, found.used))
            reasons += remarks
        failures = _shortcomings(sizes, kept, found)
    else:
        failures = [f"Only {kept.sum()} sizes with errors may be used; a rate needs at least four."]
    return _record(found, sizes, cube, logs, kept, float(log_power), statistic, (*reasons, *failures), bool(failures))


def _settle(sizes: Array, logs: Array, noise: Array, kept: Mask, log_power: float) -> Estimate:
    """Leaves out small sizes until the local slope no longer drifts, or no more can be spared."""
    found = estimate(sizes, logs, noise, kept, log_power)
    while _drifts(found) and _may_drop(sizes, found):
        smaller = found.kept.copy()
        smaller[np.flatnonzero(smaller)[0]] = False
        found = estimate(sizes, logs, noise, smaller, log_power)
    return found


def _first(sizes: Array, logs: Array, noise: Array, kept: Mask, found: Estimate, log_power: float) -> Estimate:
    """The estimate before anything was left out."""
    return found if (found.kept == kept).all() else estimate(sizes, logs, noise, kept, log_power)


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


def _drifts(found: Estimate) -> bool:
    """Whether the local slope changes, significantly and by something that matters."""
    return found.drift_level < LEVEL and abs(found.drift) > DRIFT


def _may_drop(sizes: Array, found: Estimate) -> bool:
    """Whether one more small size can be spared. A curve that flattens and is too short for a floor is not cut."""
    rest = sizes[found.used][1:]
    ambiguous = found.drift < 0 and found.kept.sum() < FLOOR_FROM
    return len(rest) >= MIN_SIZES and rest[-1] / rest[0] >= MIN_SPAN * (1 - 1e-9) and not ambiguous


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
            f"More than half of the runs failed at n_params = {listed(sizes[failing])}; the rest flatter it."
        )
    if present.any(axis=(1, 2)).sum() == 1:
        remarks.append("One target draw: the interval speaks of this target only, from the scatter between sizes.")
    return remarks


def _account(sizes: Array, kept: Mask, found: Estimate, first: Estimate) -> list[str]:
    """What was left out, and what was allowed for."""
    account = []
    dropped = sizes[kept & ~found.kept]
    if len(dropped):
        account.append(
            f"Left out as pre-asymptotic: n_params = {listed(dropped)}. With them the local slope drifts by "
            f"{first.drift:+.2f} over the range (p-value {first.drift_level:.2g}) and the fit gives {first.value:.3f}."
        )
    if found.on_floor.any():
        account.append(
            f"On the fitted floor of {found.floor:.3g}: n_params = {listed(sizes[found.on_floor])}. "
            "They pin the floor, not the exponent."
        )
    if found.floor_in_doubt:
        account.append("A floor is neither needed nor excluded: the interval covers the law with and without one.")
    if found.floor_untested:
        account.append(
            f"A floor cannot be fitted to fewer than {FLOOR_FROM} sizes, and the curve flattens: "
            "the interval reaches up to the local slope of the smallest sizes."
        )
    return account


def _shortcomings(sizes: Array, kept: Mask, found: Estimate) -> list[str]:
    """Why the rate counts as undetermined; empty if it does not."""
    short = []
    used, half, limit = sizes[found.used], found.half_width, MAX_HALF_WIDTH * max(1.0, abs(found.value))
    relative = abs(found.drift) / max(1.0, abs(found.value))
    untested = not len(found.replicates) and found.kept.sum() < FLOOR_FROM and relative > UNTESTED_DRIFT
    if _drifts(found) or untested or ((found.kept != kept).any() and relative > RESIDUAL_DRIFT):
        way = "steepens" if found.drift > 0 else "flattens"
        short.append(
            f"The curve {way}: its local slope changes by {found.drift:+.2f} over the sizes left. "
            "This is not one power law yet; add larger sizes."
        )
    draws = int(np.isfinite(found.replicates).sum())
    if 0 < draws < MIN_DRAWS:
        short.append(f"There are {draws} target draws; their scatter needs at least {MIN_DRAWS}. Add draws.")
    if len(used) < MIN_SIZES:
        short.append(f"Only {len(used)} sizes lie above the floor; a rate needs at least four.")
    elif used[-1] / used[0] < MIN_SPAN * (1 - 1e-9):
        short.append(f"The sizes used span a factor of {used[-1] / used[0]:.2g} only; a rate needs {MIN_SPAN:g}.")
    if half > limit:
        short.append(f"The interval of p = {found.value:.3f} is wider than +-{limit:.2f}. Add draws, sizes or seeds.")
    if found.interval[0] <= 0:
        short.append(f"The errors do not fall significantly: the interval for p begins at {found.interval[0]:.3f}.")
    return short


def _record(
    found: Estimate | None, sizes: Array, cube: Array, logs: Array, kept: Mask, log_power: float, statistic: str,
    reasons: tuple[str, ...], failed: bool,
) -> Rate:  # fmt: skip
    """Everything in one record."""
    seen = np.asarray(np.isfinite(logs).any(axis=0))
    centre, spread = np.full(len(sizes), np.nan), np.full((2, len(sizes)), np.nan)
    centre[seen] = np.exp(np.nanmean(logs[:, seen], axis=0))
    if seen.any():
        spread[:, seen] = np.nanquantile(cube[:, seen], [0.25, 0.75], axis=(0, 2))
    return Rate(
        value=found.value if found else math.nan,
        interval=found.interval if found else (math.nan, math.nan),
        model="power+floor" if found and found.floor > 0 else "power",
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
        log_power=log_power,
        statistic=statistic,
    )
