"""The rate of the last segment of a broken power law."""

from __future__ import annotations

import math

import numpy as np

from approxrates.rates.cells import size_means
from approxrates.rates.estimate import Estimate, at_draws, effective_draws, influence, size_scatter, variance_parts
from approxrates.rates.forecast import fitted
from approxrates.rates.intervals import Array, Mask, exponential, half_width
from approxrates.rates.shapes import Shape, fit_shape


def last_segment(sizes: Array, logs: Array, noise: Array, kept: Mask, log_power: float) -> Estimate:
    """Broken law on the sizes kept; its exponent is that after the break, as the arguments of ``estimate``.

    The break is fitted anew with each draw left out, so that the pseudo-values carry its uncertainty; with one draw it
    is in the tangent of the fit.
    """
    x = np.log(sizes[kept])
    present = np.isfinite(logs[:, kept]).any(axis=1)
    cells = logs[present][:, kept]
    curves = size_means(cells)
    shapes = [fit_shape("broken", x, row[None], log_power) for row in curves]
    shape, exponents = shapes[0], np.array([_final(s) for s in shapes])
    tangent = shape.tangent(x)
    sensitivity = influence(tangent, shape.weights)
    lever = sensitivity[1] + sensitivity[2]  # of the sum of both slopes
    own, residuals = _own(shape, x, cells, log_power)
    freedom = len(x) - tangent.shape[1]
    size_variance = size_scatter(residuals, shape.weights, tangent) * float(lever @ lever)
    parts, replicates = variance_parts(exponents, size_variance, freedom, effective_draws(cells, x, lever))
    seeds = float(np.nanmedian(noise[present][:, kept])) * float(lever @ lever) / len(cells)
    half = max(half_width(parts), half_width(((seeds, math.inf), (size_variance, math.inf))))
    value, (level, _, bend) = float(exponents[0]), shape.coefficients[0]
    return Estimate(
        value=value, interval=(value - half, value + half), floor=0.0, floor_in_doubt=False, floor_untested=False,
        kept=kept & (sizes >= math.exp(shape.at) * (1 - 1e-9)), on_floor=np.zeros(len(sizes), dtype=bool),
        per_draw=at_draws(present, own), replicates=at_draws(present, replicates), parts=parts, seed_variance=seeds,
        drift=0.0, drift_level=1.0,
        constant=exponential(level + value * shape.centre + bend * (shape.at - shape.centre)),
        fitted=fitted(
            "broken", shape.at, shape.coefficients[0], x, cells, -math.inf, log_power, centre=shape.centre
        ),
        break_at=math.exp(shape.at),
    )  # fmt: skip


def _final(shape: Shape) -> float:
    """Exponent after the break."""
    return float(shape.coefficients[0, 1] + shape.coefficients[0, 2])


def _own(shape: Shape, x: Array, cells: Array, log_power: float) -> tuple[Array, Array]:
    """Exponents after the break of the draws' own fits with the common break, and their residuals; 0 where missing."""
    columns = shape.tangent(x)[:, :3]
    exponents, residuals = np.full(len(cells), np.nan), np.zeros(cells.shape)
    for i, row in enumerate(cells):
        seen = np.isfinite(row)
        if seen.sum() < 4:
            continue
        y = row[seen] - log_power * np.log(x[seen])
        theta = np.linalg.lstsq(columns[seen], y, rcond=None)[0]
        exponents[i], residuals[i, seen] = theta[1] + theta[2], y - columns[seen] @ theta
    return exponents, residuals
