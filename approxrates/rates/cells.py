"""From runs to cells: checked input, one number per (draw, size) with its seed noise, and means over draws."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from approxrates.rates.base import Array, Mask

STATISTICS = ("median", "best")


def checked(
    n_params: ArrayLike, errors: ArrayLike, log_power: float, statistic: str, use: ArrayLike | None
) -> tuple[Array, Array, Mask]:
    """Sizes ``(k,)``, errors ``(draws, k, seeds)`` and the mask of allowed sizes, or a message that names the mend."""
    sizes = _sizes(n_params)
    k = len(sizes)
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
    if statistic not in STATISTICS:
        raise ValueError(f"statistic must be one of {', '.join(STATISTICS)}. Got {statistic!r}.")
    if isinstance(log_power, bool) or not isinstance(log_power, (int, float, np.floating, np.integer)):
        raise TypeError(f"log_power must be a number. Got {log_power!r}. Write e.g. log_power=1.0.")
    if not np.isfinite(log_power):
        raise ValueError(f"log_power must be finite. Got {log_power}. Write e.g. log_power=1.0.")
    mask = np.ones(k, dtype=bool) if use is None else np.asarray(use)
    if mask.dtype != np.bool_:
        raise TypeError(f"use must be a boolean mask. Got an array of {mask.dtype}. Write e.g. use=errors > 1e-6.")
    if mask.shape != (k,):
        raise ValueError(f"use must have shape (k,) = ({k},). Got shape {mask.shape}. Give one boolean for each size.")
    return sizes, cube, mask


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
