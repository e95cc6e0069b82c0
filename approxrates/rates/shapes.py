r"""Laws that are linear in log space once a shape is known: the broken power law and the stretched exponential.

With ``z = log W - mean log W``:

    stretched exponential   log E = a - c exp(gamma z),                                      ``c > 0``
    broken power law        log E = a - p z - D f log(1 + exp((z - b) / f)) + q log log W

The shape (``gamma``, or the break ``b``) is searched on ever finer grids, and for each value of it the coefficients
follow from weighted linear least squares (variable projection). The slope of the broken law is ``p`` before and
``p + D`` after the break; ``f`` says how sharp it is and is not fitted, since a dozen sizes cannot tell it.

Reference:
    Golub & Pereyra (1973), SIAM J. Numer. Anal. 10, 413-432 (variable projection). Caballero, Gupta, Rish & Krueger
    (2022), arXiv:2210.14891 (smoothly broken power law, here with one break). Bates & Watts (1988), Nonlinear
    Regression Analysis and Its Applications, chapter 6 (profile intervals).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from approxrates.rates.intervals import Array, quantile
from approxrates.rates.powerlaw import EXACT, huber_weights

Name = Literal["broken", "stretched-exponential"]

SHARPNESS = 0.1
"""The ``f`` of the broken law: nine tenths of the change of slope happen within a factor ``exp(5.9 f) = 1.8``."""
SEGMENT = 4
"""Sizes that the last segment of a broken law must hold, and that the rate after the break is read from."""
GAMMAS = (0.05, 2.0)
"""Range of ``gamma``; towards 0 the stretched exponential becomes a power law."""
_GRID, _ZOOMS = 25, 5
_ROBUST_FROM = 6


@dataclass(frozen=True, eq=False)
class Shape:
    """A law fitted to each of ``rows`` curves, the shape by the first row.

    Attributes:
        name: Which law.
        at: The shape: ``gamma``, or the place of the break as ``log W``.
        coefficients: ``(a, c)`` or ``(a, p, D)``, shape ``(rows, m)``.
        centre: ``mean log W``.
        residuals: Observed minus fitted log error, shape ``(rows, k)``.
        weights: Huber weights of the sizes, from the first row, shape ``(k,)``.
    """

    name: Name
    at: float
    coefficients: Array
    centre: float
    residuals: Array
    weights: Array

    def predict(self, x: Array, log_power: float) -> Array:
        """Log errors at log sizes ``x``, shape ``(rows, len(x))``."""
        fitted: Array = self.coefficients @ design(self.name, np.array([self.at]), x, self.centre)[0].T
        return fitted + _offset(self.name, x, log_power)

    def tangent(self, x: Array) -> Array:
        """Derivative of the fitted log errors of the first row by coefficients and shape, shape ``(len(x), m + 1)``."""
        step = 1e-5
        near = design(self.name, np.array([self.at, self.at - step, self.at + step]), x, self.centre)
        by_shape = (near[2] - near[1]) @ self.coefficients[0] / (2 * step)
        return np.column_stack([near[0], by_shape])


def design(name: Name, shapes: Array, x: Array, centre: float) -> Array:
    """Columns of the linear problem for each shape, shape ``(shapes, len(x), m)``."""
    z = x - centre
    if name == "stretched-exponential":
        columns = [np.ones((len(shapes), len(x))), -np.exp(shapes[:, None] * z)]
    else:
        bend = SHARPNESS * np.logaddexp(0.0, (x - shapes[:, None]) / SHARPNESS)
        columns = [np.ones((len(shapes), len(x))), np.broadcast_to(-z, bend.shape), -bend]
    stacked: Array = np.stack(columns, axis=-1)
    return stacked


def fit_shape(name: Name, x: Array, y: Array, log_power: float) -> Shape:
    """Fits a law to each curve; the shape and the weights by the first of them.

    Args:
        name: Which law.
        x: log of the sizes, shape ``(k,)``.
        y: log of the errors, shape ``(rows, k)``, complete.
        log_power: Known power of the logarithm in a power law.
    """
    centre, known = float(x.mean()), _offset(name, x, log_power)
    weights = np.ones(len(x))
    m = 2 if name == "stretched-exponential" else 3
    for _ in range(3 if len(x) >= _ROBUST_FROM + 1 else 1):
        at = _best_shape(name, x, y[0] - known, weights, centre)
        columns = design(name, np.array([at]), x, centre)[0]
        root = np.sqrt(weights)
        influence = np.linalg.pinv(columns * root[:, None]) * root
        coefficients = (y - known) @ influence.T
        residuals = y - known - coefficients @ columns.T
        pulled = huber_weights(residuals[:1], m + 1)[0]
        if np.abs(pulled - weights).max() < 1e-6:
            break
        weights = pulled
    return Shape(name, at, coefficients, centre, residuals, weights)


def gamma_interval(shape: Shape, x: Array, y: Array) -> tuple[float, float]:
    """95 % profile interval of ``gamma``: values whose sum of squares a likelihood ratio does not reject.

    Args:
        shape: A fitted stretched exponential.
        x: log of the sizes, shape ``(k,)``.
        y: log of the errors that it was fitted to, shape ``(k,)``.
    """
    gammas = np.geomspace(*GAMMAS, 400)
    squares = _squares(shape.name, gammas, x, y, shape.weights, shape.centre)
    freedom = max(len(x) - 3, 1)
    least = float((shape.weights * shape.residuals[0] ** 2).sum()) + len(x) * EXACT**2
    inside = gammas[squares <= least * (1 + quantile(freedom) ** 2 / freedom)]
    if not len(inside):
        return shape.at, shape.at
    step = float(gammas[1] / gammas[0])
    return min(shape.at, float(inside[0]) / step), max(shape.at, float(inside[-1]) * step)


def _offset(name: Name, x: Array, log_power: float) -> Array:
    """Known part of the log errors."""
    offset: Array = log_power * np.log(x) if name == "broken" else np.zeros(len(x))
    return offset


def _best_shape(name: Name, x: Array, y: Array, weights: Array, centre: float) -> float:
    """The shape of least squares, by zooming in on the best of a grid."""
    if name == "stretched-exponential":
        low, high = GAMMAS
    else:  # at least two sizes before the break and SEGMENT after it
        low, high = float(x[1]), float(x[-SEGMENT])
    for _ in range(_ZOOMS):
        grid = np.linspace(low, high, _GRID)
        best = int(np.argmin(_squares(name, grid, x, y, weights, centre)))
        low, high = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, _GRID - 1)])
    return float(grid[best])


def _squares(name: Name, shapes: Array, x: Array, y: Array, weights: Array, centre: float) -> Array:
    """Least sum of squares for each shape; infinite where the errors would rise, shape ``(shapes,)``."""
    root = np.sqrt(weights)
    columns = design(name, shapes, x, centre) * root[:, None]
    basis, upper = np.linalg.qr(columns)
    target = y * root
    along = np.einsum("gkm,k->gm", basis, target)
    rest = target - np.einsum("gkm,gm->gk", basis, along)
    squares: Array = (rest**2).sum(axis=1)
    if name == "stretched-exponential":
        falls = along[:, 1] / upper[:, 1, 1] > 0
        squares = np.where(falls, squares, np.inf)
    return squares
