"""What a fit leaves to be said: remarks on the data, what was left out and why, and what is wanting for a rate."""

from __future__ import annotations

import math

import numpy as np

from approxrates.rates.base import Point, listed
from approxrates.rates.choice import LawChoice
from approxrates.rates.estimate import FLOOR_FROM, MIN_SIZES, Estimate
from approxrates.rates.intervals import Array, Mask

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
UNTESTED_DRIFT = 0.25
"""So must any drift (times ``max(1, p)``) of one draw with fewer than six sizes, too few to test or to fit a floor."""
MAX_FLOOR = 0.05
"""Largest share of the smallest error that a given floor may be for a broken law, which is fitted without it."""


def drifts(found: Estimate) -> bool:
    """Whether the local slope changes, significantly and by something that matters."""
    return found.drift_level < LEVEL and abs(found.drift) > DRIFT


def remarks_on(sizes: Array, present: Mask, allowed: Mask) -> list[str]:
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


def bounds_said(sizes: Array, logs: Array, bounds: Mask, found: Estimate | None, cube: Array) -> tuple[list[str], bool]:
    """What errors that are upper bounds only mean for the fit, and whether they leave it without a rate.

    Args:
        sizes: Shape ``(k,)``.
        logs: Log errors known, shape ``(draws, k)``.
        bounds: Cells with an upper bound only, shape ``(draws, k)``.
        found: The fit, or None.
        cube: All errors, shape ``(draws, k, seeds)``.
    """
    if not bounds.any():
        return [], False
    said = []
    lost: Mask = np.asarray(bounds.any(axis=0) & ~np.isfinite(logs).any(axis=0))
    if lost.any():
        said.append(f"Only upper bounds of the error are known at n_params = {listed(sizes[lost])}: left out.")
    some = bounds.any(axis=0) & ~lost
    if some.any():
        said.append(f"Some draws have only upper bounds at n_params = {listed(sizes[some])}: they count as missing.")
    large = np.arange(len(sizes)) >= len(sizes) - len(sizes) // 2
    if lost[large].all():
        said.append("All of the larger half of the sizes have only upper bounds: what happens there is not known.")
        return said, True
    return said, found is not None and _refuted(sizes, bounds, found, cube, said)


def _refuted(sizes: Array, bounds: Mask, found: Estimate, cube: Array, said: list[str]) -> bool:
    """Whether the law runs above the mean of the bounds at a size where all draws have one."""
    at = np.flatnonzero(bounds.all(axis=0))
    if not len(at):
        return False
    with np.errstate(invalid="ignore"):
        ceiling = np.log(np.where(np.isfinite(cube[:, at]), cube[:, at], np.inf).min(axis=2)).mean(axis=0)
    floors = [math.log(found.fitted.next_error(float(w))[1]) for w in sizes[at]]
    above = ceiling < np.array(floors)
    if above.any():
        said.append(
            f"The law runs above the upper bounds at n_params = {listed(sizes[at][above])}: the curve falls faster."
        )
    return bool(above.any())


def account_of(sizes: Array, kept: Mask, found: Estimate, first: Estimate) -> list[str]:
    """What was left out, and what was allowed for."""
    account = []
    dropped = sizes[kept & ~found.kept]
    if len(dropped) and not math.isfinite(found.break_at):
        account.append(
            f"Left out as pre-asymptotic: n_params = {listed(dropped)}. With them the local slope drifts by "
            f"{first.drift:+.2f} over the range (p-value {first.drift_level:.2g}) and the fit gives {first.value:.3f}."
        )
    if math.isfinite(found.break_at):
        account.append(
            f"The slope changes at n_params = {found.break_at:.3g}; p is the exponent after that, from "
            f"{found.kept.sum()} sizes."
        )
    if found.on_floor.any():
        account.append(
            f"On the {'given' if found.floor_known else 'fitted'} floor of {found.floor:.3g}: "
            f"n_params = {listed(sizes[found.on_floor])}. "
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


def choice_said(choice: LawChoice, model: str) -> list[str]:
    """Why the choice of a law leaves no rate; empty if it does not."""
    if model == "stretched-exponential":
        low, high = choice.gamma_interval
        return [
            f"The errors fall like exp(-c W^gamma) with gamma = {choice.gamma:.2f} [{low:.2f}, {high:.2f}], which has "
            "no rate p; the value given is the mean slope over the sizes used."
        ]
    return list(choice.reasons) if choice.contested else []


def floor_ignored(floor: float | None, logs: Array, found: Estimate) -> list[str]:
    """Why a broken law is no rate where the caller knows of a floor that matters: it is fitted without one."""
    if not floor or not math.isfinite(found.break_at):
        return []
    least = float(np.exp(np.nanmean(logs[:, found.kept], axis=0).min()))
    if floor <= MAX_FLOOR * least:
        return []
    return [
        f"The given floor of {floor:.3g} is {floor / least:.0%} of the smallest error, and the law with a break that "
        "fits best has none. Leave out the sizes near the floor, or check it."
    ]


def points_of(
    sizes: Array, allowed: Mask, kept: Mask, bounds: Mask, found: Estimate | None, present: Mask
) -> tuple[Point, ...]:
    """For every size, whether it determines the exponent, and why or why not."""
    points = []
    for i, size in enumerate(sizes):
        if not allowed[i]:
            why = "excluded by the caller"
        elif not present[i]:
            why = "no run has an error"
        elif not kept[i]:
            why = "only upper bounds of the error are known" if bounds[:, i].any() else "no error can be used"
        elif found is None:
            why = "too few sizes for a fit"
        elif found.on_floor[i]:
            why = "on the floor"
        elif not found.kept[i]:
            why = "before the break" if math.isfinite(found.break_at) else "before the asymptotic range"
        else:
            why = "in the range of the law"
        points.append(Point(float(size), bool(found is not None and found.used[i]), why))
    return tuple(points)


def shortcomings(sizes: Array, kept: Mask, found: Estimate) -> list[str]:
    """Why the rate counts as undetermined; empty if it does not."""
    short = []
    used, half, limit = sizes[found.used], found.half_width, MAX_HALF_WIDTH * max(1.0, abs(found.value))
    relative = abs(found.drift) / max(1.0, abs(found.value))
    untested = not len(found.replicates) and found.kept.sum() < FLOOR_FROM and relative > UNTESTED_DRIFT
    cut = bool((found.kept != kept).any()) and not math.isfinite(found.break_at)
    if drifts(found) or untested or (cut and relative > RESIDUAL_DRIFT):
        way = "steepens" if found.drift > 0 else "flattens"
        last = found.value + found.drift / 2
        if found.drift < 0 and last < 0 < found.value:
            short.append(
                f"The curve turns upwards: its local slope falls by {-found.drift:.2f} over the sizes left, to "
                f"{last:.2f}. The large sizes are held back by something else: optimisation, or precision."
            )
        else:
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
