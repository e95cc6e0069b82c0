r"""Robust fits of a power law, with or without a floor, to many curves at once.

The law in log space, with ``x = log W``:

    log E = log( exp(c - p (x - mean x) + q log x) + exp(l) ),        ``l = -inf`` without a floor.

It is fitted in log space by Levenberg-Marquardt iterations on all curves together, with Huber weights against single
bad sizes. Taking logarithms before fitting matters: parabolas and least squares in linear space are biased even on
noise-free data.

Reference:
    Huber (1964), Ann. Math. Statist. 35, 73-101; Hurvich & Tsai (1989), Biometrika 76, 297-307 (AICc).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

HUBER = 3.0
"""Residuals beyond this many standard deviations are pulled in."""
EXACT = 1e-10
"""Relative accuracy beyond which errors count as exact: keeps the scale and the AICc of noise-free data finite."""
_ROBUST_FROM = 6
_STARTS = np.log([0.97, 0.8, 0.5, 0.15])


@dataclass(frozen=True, eq=False)
class Law:
    """A power law fitted to each of ``rows`` curves over ``k`` sizes.

    Attributes:
        coefficients: ``(c, p)`` or ``(c, p, l)``, shape ``(rows, 2 or 3)``.
        log_floor: ``l``, shape ``(rows,)``; ``-inf`` without a floor.
        residuals: Observed minus fitted log error, shape ``(rows, k)``; 0 at missing cells.
        jacobian: Derivative of the fitted log errors, shape ``(rows, k, 2 or 3)``.
        share: Part of the fitted error that is power law, shape ``(rows, k)``.
        weights: Huber weights, 0 at missing cells, shape ``(rows, k)``.
    """

    coefficients: Array
    log_floor: Array
    residuals: Array
    jacobian: Array
    share: Array
    weights: Array

    @property
    def exponents(self) -> Array:
        """``p`` of each curve, shape ``(rows,)``."""
        return self.coefficients[:, 1]


def fit_law(x: Array, y: Array, offset: Array, *, free_floor: bool = False, log_floor: float = -np.inf) -> Law:
    """Fits one power law to each curve.

    Args:
        x: log of the sizes, shape ``(k,)``.
        y: log of the errors, shape ``(rows, k)``; NaN where missing.
        offset: Known part ``q log x`` of the power law, shape ``(k,)``.
        free_floor: Fit a floor to each curve; otherwise it is ``log_floor``.
        log_floor: log of the known floor, common to all curves.
    """
    present = np.isfinite(y)
    filled = np.where(present, y, 0.0)
    weights = present.astype(np.float64)
    theta = _start(x, filled, offset, weights, log_floor)
    free = 3 if free_floor else 2
    if free_floor:  # the first curve shows the others where to begin
        theta[:] = _best_start(x, filled[:1], offset, weights[:1], theta[:1])
        theta = _descend(x, filled, offset, weights, theta, free, steps=15)
    linear = np.isneginf(log_floor) and not free_floor
    for _ in range(6 if len(x) >= _ROBUST_FROM else 0):
        pulled = present * huber_weights(np.where(present, _state(x, filled, offset, theta)[0], np.nan), free)
        if np.abs(pulled - weights).max() < 1e-6:
            break
        weights = pulled
        theta = _descend(x, filled, offset, weights, theta, free, steps=4 if linear else 8)
    residuals, jacobian, share = _state(x, filled, offset, theta)
    return Law(theta[:, :free], theta[:, 2], residuals * present, jacobian[..., :free], share, weights)


def robust_square(residuals: Array, scale: float) -> float:
    """Sum of squares in which residuals beyond ``HUBER`` times the scale count linearly; 0 counts for missing cells."""
    bend = HUBER * max(scale, EXACT)
    size = np.abs(residuals)
    return float(np.where(size <= bend, size**2, 2 * bend * size - bend**2).sum())


def aicc(square: float, n_cells: int, n_coefficients: int) -> float:
    """Corrected Akaike criterion of a least-squares fit in log space; ``inf`` if there are too few cells for it."""
    parameters = n_coefficients + 1
    spare = n_cells - parameters - 1
    if spare <= 0:
        return np.inf
    fit = n_cells * np.log(square / n_cells + EXACT**2)
    return float(fit + 2 * parameters + 2 * parameters * (parameters + 1) / spare)


def scale_of(residuals: Array, n_coefficients: int) -> Array:
    """Standard deviation of each curve's log residuals by their median size, shape ``(rows,)``; without NaN cells."""
    n_cells = np.isfinite(residuals).sum(axis=1)
    inflated = np.sqrt(n_cells / np.maximum(n_cells - n_coefficients, 1))
    ordered = np.sort(np.abs(residuals), axis=1)  # NaN last
    rows, last = np.arange(len(residuals)), np.maximum(n_cells - 1, 0)
    median = (ordered[rows, last // 2] + ordered[rows, (last + 1) // 2]) / 2
    scale: Array = 1.4826 * median * inflated
    return scale


def huber_weights(residuals: Array, n_coefficients: int) -> Array:
    """Huber's weights, shape ``(rows, k)``."""
    bend = HUBER * np.maximum(scale_of(residuals, n_coefficients), EXACT)[:, None]
    weights: Array = np.nan_to_num(np.minimum(1.0, bend / np.maximum(np.abs(residuals), 1e-300)))
    return weights


def _state(x: Array, y: Array, offset: Array, theta: Array) -> tuple[Array, Array, Array]:
    """Residuals, Jacobian and power-law share at given coefficients."""
    lever = x - x.mean()
    power = theta[:, :1] - theta[:, 1:2] * lever + offset
    total = np.logaddexp(power, theta[:, 2:])
    share = np.exp(power - total)
    return y - total, np.stack([share, -lever * share, 1 - share], axis=-1), share


def _start(x: Array, y: Array, offset: Array, weights: Array, log_floor: float) -> Array:
    """Ordinary least squares without a floor."""
    theta = np.zeros((len(y), 3))
    theta[:, 2] = -np.inf
    theta = _descend(x, y, offset, weights, theta, free=2, steps=4)
    theta[:, 2] = log_floor
    return theta if np.isneginf(log_floor) else _descend(x, y, offset, weights, theta, free=2, steps=20)


def _best_start(x: Array, y: Array, offset: Array, weights: Array, theta: Array) -> Array:
    """The best of several floors, each between the smallest error and a fraction of it."""
    smallest = np.where(weights > 0, y, np.inf).min(axis=1)
    early = np.arange(len(x)) < (len(x) + 1) // 2
    steep = _start(x[early], y[:, early], offset[early], weights[:, early], -np.inf)[:, 1]
    best, lowest = theta, np.full(len(y), np.inf)
    for shift in _STARTS:
        trial = theta.copy()
        trial[:, 1] = np.maximum(steep, theta[:, 1])
        trial[:, 2] = smallest + shift
        trial = _descend(x, y, offset, weights, trial, free=3, steps=30)
        loss = (weights * _state(x, y, offset, trial)[0] ** 2).sum(axis=1)
        best = np.where((loss < lowest)[:, None], trial, best)
        lowest = np.minimum(loss, lowest)
    return best


def _descend(x: Array, y: Array, offset: Array, weights: Array, theta: Array, free: int, steps: int) -> Array:
    """Levenberg-Marquardt on the first ``free`` coefficients of every row; a step that does not help is not taken."""
    ceiling = np.where(weights > 0, y, -np.inf).max(axis=1)
    damping = np.full(len(y), 1e-6 if free == 2 else 1e-3)
    residuals, jacobian, _ = _state(x, y, offset, theta)
    loss = (weights * residuals**2).sum(axis=1)
    for _ in range(steps):
        design = jacobian[..., :free]
        weighted = design * weights[..., None]
        normal = np.einsum("rki,rkj->rij", weighted, design)
        diagonal = np.einsum("rii->ri", normal)
        diagonal += damping[:, None] * diagonal + 1e-14
        step = np.linalg.solve(normal, np.einsum("rki,rk->ri", weighted, residuals)[..., None])[..., 0]
        trial = theta.copy()
        trial[:, :free] += np.clip(step, -3.0, 3.0) if free == 3 else step
        if free == 3:
            trial[:, 2] = np.clip(trial[:, 2], ceiling - 60.0, ceiling)
        trial_residuals, trial_jacobian, _ = _state(x, y, offset, trial)
        trial_loss = (weights * trial_residuals**2).sum(axis=1)
        better = trial_loss < loss
        settled = np.where(better, loss - trial_loss, 0.0) <= 1e-13 * loss
        theta = np.where(better[:, None], trial, theta)
        residuals = np.where(better[:, None], trial_residuals, residuals)
        jacobian = np.where(better[:, None, None], trial_jacobian, jacobian)
        loss = np.where(better, trial_loss, loss)
        damping = np.clip(np.where(better, damping / 8, damping * 8), 1e-12, 1e6)
        if (settled & (better | (damping > 1e3) | np.isneginf(theta[:, 2]))).all():
            break
    return theta
