"""What a fitted law says of the next size: the error to expect there, with an interval that a new run falls into."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from approxrates.rates.intervals import Array, Parts, exponential, half_width
from approxrates.rates.shapes import Name, design

SHAPED: dict[str, Name] = {"broken": "broken", "stretched-exponential": "stretched-exponential"}


@dataclass(frozen=True, eq=False)
class Fitted:
    """A law with its coefficients, for the mean curve and for each draw.

    Attributes:
        law: Its name.
        at: Shape of a broken law (log of the break) or stretched exponential (``gamma``); NaN for the others.
        coefficients: Of the mean curve, shape ``(m,)``.
        own: Of each draw with errors, shape ``(draws, m)``.
        centre: Log size at which the first coefficient is the log error.
        log_floor: Log of the floor, or ``-inf``.
        log_power: Known power of the logarithm.
        scatter: Variance of one cell around its draw's own law, with degrees of freedom.
        gram: Inverse of the normal matrix of the fit of one draw, shape ``(m, m)``.
    """

    law: str
    at: float
    coefficients: Array
    own: Array
    centre: float
    log_floor: float
    log_power: float
    scatter: tuple[float, float]
    gram: Array

    def columns(self, x: Array) -> Array:
        """Columns of the linear problem at log sizes, shape ``(len(x), m)``."""
        if self.law in SHAPED:
            shaped: Array = design(SHAPED[self.law], np.array([self.at]), x, self.centre)[0]
            return shaped
        return np.column_stack([np.ones(len(x)), -(x - self.centre)])

    def log_errors(self, x: Array, coefficients: Array) -> Array:
        """Log errors at log sizes for coefficients of shape ``(rows, m)``; shape ``(rows, len(x))``."""
        known = np.zeros(len(x)) if self.law == "stretched-exponential" else self.log_power * np.log(x)
        law: Array = np.logaddexp(coefficients @ self.columns(x).T + known, self.log_floor)
        return law

    def next_error(self, size: float) -> tuple[float, float, float]:
        """Error to expect at a size, and the 95 % interval for that of a new draw (or of this target, with one).

        With several draws: Student's t over the draws' own laws at that size, and the scatter of a cell around them.
        With one: the prediction interval of linear regression.
        """
        x = np.array([math.log(size)])
        middle = float(self.log_errors(x, self.coefficients[None])[0, 0])
        variance, freedom = self.scatter
        parts: Parts
        if len(self.own) > 1:
            ahead = self.log_errors(x, self.own)[:, 0]
            n = len(ahead)
            parts = ((float(np.var(ahead, ddof=1)) * (1 + 1 / n), n - 1.0), (variance, freedom))
        else:
            column = self.columns(x)[0]
            share = 1.0 - math.exp(self.log_floor - middle)
            parts = ((variance * (1 + share**2 * float(column @ self.gram @ column)), freedom),)
        half = half_width(parts)
        return exponential(middle), exponential(middle - half), exponential(middle + half)


def fitted(
    law: str, at: float, coefficients: Array, x: Array, cells: Array, log_floor: float, log_power: float, centre: float
) -> Fitted:
    """Each draw's own coefficients, and the scatter around them.

    Args:
        law: Name of the law.
        at: Its shape, or NaN.
        coefficients: Of the mean curve, shape ``(m,)``.
        x: log of the sizes, shape ``(k,)``.
        cells: Log errors, shape ``(draws, k)``; NaN where missing.
        log_floor: Log of the floor.
        log_power: Known power of the logarithm.
        centre: Log size of the first coefficient.
    """
    m = len(coefficients)
    blank = Fitted(law, at, coefficients, np.empty((0, m)), centre, log_floor, log_power, (math.nan, 1.0), np.eye(m))
    columns, own, square, freedom = blank.columns(x), [], 0.0, 0
    for row in cells:
        seen = np.isfinite(row)
        if seen.sum() < m + 1:
            continue
        theta = coefficients.copy()
        for _ in range(4):  # Gauss-Newton: the floor is all that is not linear here
            law_now = blank.log_errors(x[seen], theta[None])[0]
            slope = columns[seen] * (1.0 - np.exp(log_floor - law_now))[:, None]
            theta = theta + np.linalg.lstsq(slope, row[seen] - law_now, rcond=None)[0]
        rest = row[seen] - blank.log_errors(x[seen], theta[None])[0]
        own.append(theta)
        square, freedom = square + float(rest @ rest), freedom + int(seen.sum()) - m
    gram: Array = np.asarray(np.linalg.pinv(columns.T @ columns), dtype=np.float64)
    if len(own) == 1:  # the shape was fitted as well
        freedom -= int(math.isfinite(at)) + int(math.isfinite(log_floor))
    rows = np.array(own) if own else coefficients[None]
    scatter = (square / max(freedom, 1), float(max(freedom, 1)))
    return Fitted(law, at, coefficients, rows, centre, log_floor, log_power, scatter, gram)
