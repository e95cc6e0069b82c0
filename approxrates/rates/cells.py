"""From runs to cells: checked input, one number per (draw, size) with its seed noise, and means over draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from approxrates.rates.intervals import Array, Mask

STATISTICS = ("median", "best")


@dataclass(frozen=True, eq=False)
class Data:
    """Checked input.

    Attributes:
        sizes: Shape ``(k,)``.
        cube: Errors, shape ``(draws, k, seeds)``; NaN for a missing run.
        allowed: Sizes that may be used, shape ``(k,)``.
        censored: Errors that are upper bounds only, shape of ``cube``.
        log_power: Known power of the logarithm.
        floor: Known floor, or None for one to be fitted.
    """

    sizes: Array
    cube: Array
    allowed: Mask
    censored: Mask
    log_power: float
    floor: float | None


def checked(
    n_params: ArrayLike,
    errors: ArrayLike,
    log_power: float,
    statistic: str,
    use: ArrayLike | None,
    floor: float | None,
    censored: ArrayLike | None,
) -> Data:
    """The input in its full shape, or a message that names the mend."""
    sizes = _sizes(n_params)
    cube = _cube(errors, len(sizes))
    if statistic not in STATISTICS:
        raise ValueError(f"statistic must be one of {', '.join(STATISTICS)}. Got {statistic!r}.")
    power = _number("log_power", log_power, "1.0")
    known = None if floor is None else _number("floor", floor, "1e-7")
    if known is not None and not 0 <= known < np.nanmax(cube, initial=0.0):
        raise ValueError(
            f"floor must be non-negative and below the largest error, {np.nanmax(cube, initial=0.0):g}. Got {known:g}. "
            "Leave it out to have it fitted."
        )
    flags = np.zeros(cube.shape, dtype=bool)
    if censored is not None:
        given, shape = np.asarray(censored), np.shape(errors)
        if given.dtype != np.bool_:
            raise TypeError(f"censored must be a boolean mask. Got an array of {given.dtype}. Write True or False.")
        if given.shape != shape:
            raise ValueError(
                f"censored must have the shape of errors, {shape}. Got {given.shape}. Give one flag a run."
            )
        flags = given.reshape(cube.shape) & np.isfinite(cube)
    return Data(sizes, cube, _mask(use, len(sizes)), flags, power, known)


def _cube(errors: ArrayLike, k: int) -> Array:
    """Errors in the shape ``(draws, k, seeds)``."""
    cube = _numbers("errors", errors)
    shape = cube.shape
    cube = cube[None, :, None] if cube.ndim == 1 else cube[None] if cube.ndim == 2 else cube
    if cube.ndim != 3 or cube.shape[1] != k:
        raise ValueError(
            f"errors must have shape (k,), (k, n_seeds) or (draws, k, n_seeds) with k = {k} sizes. "
            f"Got shape {shape}. Write errors in the order of n_params."
        )
    if np.isinf(cube).any():
        raise ValueError("errors must be finite, or NaN for a failed run. Got an infinite error. Write NaN there.")
    if (cube <= 0).any():
        raise ValueError(f"errors must be positive. Got {np.nanmin(cube):g}. Write NaN for a run without an error.")
    return cube


def _number(name: str, value: Any, example: str) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.floating, np.integer)):
        raise TypeError(f"{name} must be a number. Got {value!r}. Write e.g. {name}={example}.")
    if not np.isfinite(value):
        raise ValueError(f"{name} must be finite. Got {value}. Write e.g. {name}={example}.")
    return float(value)


def _mask(use: ArrayLike | None, k: int) -> Mask:
    """Sizes that may be used."""
    mask = np.ones(k, dtype=bool) if use is None else np.asarray(use)
    if mask.dtype != np.bool_:
        raise TypeError(f"use must be a boolean mask. Got an array of {mask.dtype}. Write e.g. use=errors > 1e-6.")
    if mask.shape != (k,):
        raise ValueError(f"use must have shape (k,) = ({k},). Got shape {mask.shape}. Give one boolean for each size.")
    return mask


def _sizes(n_params: ArrayLike) -> Array:
    """Checked sizes."""
    sizes = _numbers("n_params", n_params)
    if sizes.ndim != 1:
        raise ValueError(f"n_params must have shape (k,). Got shape {sizes.shape}. Give a flat list of sizes.")
    if len(sizes) < 4:
        raise ValueError(
            f"n_params must hold at least four sizes. Got {len(sizes)}. Write e.g. n_params=[50, 100, 200, 400]."
        )
    if not (np.isfinite(sizes).all() and (sizes > 1).all()):
        raise ValueError(f"n_params must be finite and greater than 1. Got {sizes.tolist()}. Leave out the others.")
    if not (np.diff(sizes) > 0).all():
        raise ValueError(
            f"n_params must be strictly increasing. Got {sizes.tolist()}. "
            "Sort sizes and errors together, and merge equal sizes."
        )
    return sizes


def _numbers(name: str, values: Any) -> Array:
    """A float64 array."""
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "iuf":
            raise TypeError
    except (TypeError, ValueError):
        raise TypeError(
            f"{name} must be an array of numbers, all rows of equal length. Got {type(values).__name__}. "
            "Write NaN where a run is missing."
        ) from None
    return array.astype(np.float64)


def cell_centres(errors: Array, statistic: str) -> tuple[Array, Array]:
    """Log of the median or best error over seeds, and its variance under resampling of the seeds, each ``(draws, k)``.

    The variance is that of the bootstrap, in closed form: a resample's order statistic is the j-th smallest error with
    a known probability, so nothing is drawn at random. A cell with one seed has variance 0, an empty one is NaN.

    Reference:
        Maritz & Jarrett (1978), J. Amer. Statist. Assoc. 73, 194-196.
    """
    ordered = np.sort(np.log(errors), axis=2)  # NaN last
    counts = np.isfinite(ordered).sum(axis=2)
    centre = np.full(counts.shape, np.nan)
    variance = np.full(counts.shape, np.nan)
    for n in np.unique(counts[counts > 0]):
        here = counts == n
        values = ordered[here][:, :n]
        centre[here] = np.median(values, axis=1) if statistic == "median" else values[:, 0]
        chance = _chances(int(n), statistic)
        mean = values @ chance
        variance[here] = ((values - mean[:, None]) ** 2) @ chance
    return centre, variance


def _chances(n: int, statistic: str) -> Array:
    """Probability that a resample's median (or minimum) is the j-th of ``n`` ordered values."""
    from scipy.special import betainc  # costs 0.2 s, so not at import

    edges = np.arange(n + 1) / n
    chances: Array = (
        -np.diff((1 - edges) ** n) if statistic == "best" else np.diff(betainc((n + 1) / 2, (n + 1) / 2, edges))
    )
    return chances


def known_centres(data: Data, statistic: str) -> tuple[Array, Array, Mask]:
    """Log centres and seed variances as ``cell_centres``, NaN where only an upper bound is known; and those cells.

    An error that is an upper bound counts for the median with its probability spread over the smaller errors of its
    cell (Kaplan-Meier from above). Where half of the probability falls below all of them the median is not known. The
    best is not known where the smallest error is such a bound. A size at which most draws are not known is dropped
    whole: those that are left would be the unlucky ones.

    Returns:
        Centres and variances, shape ``(draws, k)``, and the cells with nothing but an upper bound.

    Reference:
        Kaplan & Meier (1958), J. Amer. Statist. Assoc. 53, 457-481; redistribution of mass: Efron (1967), Proc. 5th
        Berkeley Symp. 4, 831-853.
    """
    logs, noise = cell_centres(data.cube, statistic)
    bounds = np.zeros(logs.shape, dtype=bool)
    if not data.censored.any():
        return logs, noise, bounds
    for draw, size in np.argwhere(data.censored.any(axis=2)):
        values, flags = data.cube[draw, size], data.censored[draw, size]
        known = _censored_centre(np.log(values[np.isfinite(values)]), flags[np.isfinite(values)], statistic)
        bounds[draw, size] = not np.isfinite(known)
        logs[draw, size] = known
    present = np.isfinite(data.cube).any(axis=2)
    mostly = bounds.sum(axis=0) > present.sum(axis=0) / 2
    logs[:, mostly] = np.nan
    noise[~np.isfinite(logs)] = np.nan
    return logs, noise, bounds | (mostly & present)


def _censored_centre(logs: Array, flags: Mask, statistic: str) -> float:
    """Median or best of values some of which are upper bounds; NaN if it is not known."""
    order = np.lexsort((~flags, logs))  # of equal values the bound comes first: what it bounds is smaller
    logs, flags = logs[order], flags[order]
    if statistic == "best":
        return float("nan") if flags[0] else float(logs[0])
    mass = np.full(len(logs), 1 / len(logs))
    for i in range(len(logs) - 1, 0, -1):
        if flags[i]:
            mass[:i] += mass[i] / i
            mass[i] = 0.0
    low, high = (int(np.flatnonzero(np.cumsum(mass) > 0.5 + side)[0]) for side in (-1e-9, 1e-9))
    return float("nan") if flags[0] and low == 0 else float((logs[low] + logs[high]) / 2)


def size_means(cells: Array) -> Array:
    """Mean curve over draws (row 0), then with each draw left out, shape ``(1 + draws, k)``; ``(1, k)`` for one draw.

    Draws may miss sizes: what a draw lies above the others is removed before the mean (two-way additive fit).
    """
    n = len(cells)
    if n == 1:
        return cells
    level = np.zeros(n)
    for _ in range(0 if np.isfinite(cells).all() else 50):
        level = np.nanmean(cells - np.nanmean(cells - level[:, None], axis=0), axis=1)
        level -= level.mean()
    levelled = cells - level[:, None]
    mean = np.nanmean(levelled, axis=0)
    counts = np.isfinite(levelled).sum(axis=0)
    total = np.nansum(levelled, axis=0)
    rest = counts - np.isfinite(levelled)
    without = np.where(rest > 0, (total - np.nan_to_num(levelled)) / np.maximum(rest, 1), mean)
    return np.vstack([mean, without])


def best_below_median(sizes: Array, errors: Array, kept: Mask) -> float:
    """Slope on log size of how far the best seed lies below the median, in log error; 0.0 with fewer than three seeds.

    What the best over seeds adds to an exponent if the scatter of the seeds depends on the size.

    Args:
        sizes: Shape ``(k,)``.
        errors: Shape ``(draws, k, seeds)``; cells with fewer than three errors say nothing.
        kept: Sizes used, shape ``(k,)``.
    """
    full = np.isfinite(errors).sum(axis=2) >= 3
    at = kept & full.any(axis=0)
    if at.sum() < 2:
        return 0.0
    logs = np.log(np.where(full[..., None], errors, np.nan))[:, at]
    middle, best = cell_centres(np.exp(logs), "median")[0], cell_centres(np.exp(logs), "best")[0]
    x = np.log(sizes[at])
    lever = x - x.mean()
    return float(lever @ np.nanmean(middle - best, axis=0) / (lever @ lever))
