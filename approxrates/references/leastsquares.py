"""Least squares on scattered points, for methods that are linear in what they fit."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from approxrates.references.base import Array
from approxrates.target import Target

_PER_COLUMN = 4
_LEAST = 512
_CHUNK = 8192


@dataclass(frozen=True, eq=False)
class LinearFit:
    """``x -> features(x) @ coefficients + constant``."""

    features: Callable[[Array], Array]
    coefficients: Array
    constant: float

    def __call__(self, x: Array) -> Array:
        """Values, ``(n, dim) -> (n,)``, a block of points at a time."""
        parts = [self.features(x[i : i + _CHUNK]) @ self.coefficients for i in range(0, len(x), _CHUNK)]
        result: Array = (np.concatenate(parts) if parts else np.zeros(0)) + self.constant
        return result


def fit_linear(features: Callable[[Array], Array], x: Array, y: Array) -> LinearFit:
    """The least-squares fit with a constant, by ``sklearn.linear_model.LinearRegression``."""
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit(features(x), y)
    return LinearFit(features, np.asarray(model.coef_, dtype=np.float64), float(model.intercept_))


def fit_points(target: Target, n_columns: int, *, seed: int) -> tuple[Array, Array]:
    """Points and values to fit ``n_columns`` columns to: the data of a target, or scrambled Sobol points.

    Four points for each column keep the fit stable; in d = 1, 2, 3 the corners are among them.
    """
    if target.samples is not None:
        return target.samples
    from scipy.stats import qmc

    n = max(_LEAST, _PER_COLUMN * n_columns)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning)  # that n is no power of two
        x = qmc.Sobol(target.dim, scramble=True, rng=np.random.default_rng(seed)).random(n)
    if target.dim <= 3:
        x = np.concatenate([np.stack(np.meshgrid(*[[0.0, 1.0]] * target.dim), axis=-1).reshape(-1, target.dim), x])
    return x, target(x)
