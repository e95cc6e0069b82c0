"""Polynomial controls: the exact oracle of the pipeline (the square), and anything else that is no test of a rate."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from approxrates.generators import base
from approxrates.generators.models import cell_centres, checked_cells
from approxrates.regularity import Regularity
from approxrates.target import Point, Target
from approxrates.taylor import UNIT, TaylorModel, n_terms

_SQUARE = (0.0, 0.0, 1.0)
_MOST_COEFFICIENTS = 64
_LARGEST = 1e100  # sums of larger ones overflow


def _shown(values: Sequence[Any]) -> str:
    """The coefficients for a message, integers beyond float64 in a word."""
    return ", ".join(repr(c) if isinstance(c, float) or abs(c) <= _LARGEST else "a huge integer" for c in values)


def _coefficients(values: Sequence[float]) -> tuple[float, ...]:
    """The coefficients as floats, after checking that they are a list of finite numbers."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence):
        raise TypeError(f"coefficients must be a list of numbers. Got {values!r}. Write e.g. coefficients=[0, 0, 1].")
    if not all(isinstance(c, (int, float)) and not isinstance(c, bool) for c in values):
        raise TypeError(f"coefficients must be numbers. Got {list(values)!r}. Write e.g. coefficients=[0, 0, 1].")
    if not 1 <= len(values) <= _MOST_COEFFICIENTS or not all(abs(c) <= _LARGEST for c in values):
        raise ValueError(
            f"coefficients must be 1 to {_MOST_COEFFICIENTS} finite numbers, of size at most {_LARGEST:g}. "
            f"Got [{_shown(values)}]. Write e.g. coefficients=[0, 0, 1]."
        )
    return tuple(float(c) for c in values)


def _roundings(coefficients: tuple[float, ...]) -> int:
    """Roundings of Horner's rule: products, the first exact for a power of two, and sums with what is not zero."""
    *lower, leading = coefficients
    exact = abs(math.frexp(leading)[0]) in (0.0, 0.5)
    return len(lower) - (exact and len(lower) > 0) + sum(c != 0.0 for c in lower)


def _evaluate(coefficients: tuple[float, ...], x: base.Floats) -> base.Floats:
    """Mean of the polynomial over the coordinates of points ``(n, d)``, shape ``(n,)``."""
    value = np.zeros(x.shape)
    for c in reversed(coefficients):
        value *= x
        value += c
    result: base.Floats = value.mean(axis=1)
    return result


def _slopes(coefficients: tuple[float, ...], x: base.Floats) -> base.Floats:
    """First derivatives at points ``(n, d)``, shape ``(n, d)``."""
    derived = [k * c for k, c in enumerate(coefficients)][1:]
    value = np.zeros(x.shape)
    for c in reversed(derived):
        value = value * x + c
    result: base.Floats = value / x.shape[1]
    return result


@dataclass(frozen=True)
class PolynomialModel:
    r"""The enclosure on dyadic cells: Taylor's formula at the centre, which is exact for polynomials.

    ``c t^3`` becomes ``3/4 c t``, off by ``|c| / 4``; higher powers count by their coefficients. Horner's rule for the
    k-th coefficient, ``sum_j binom(j, k) c_j x^(j-k) h^k``, costs at most ``2 n + 4`` units of the sum of its terms.
    """

    coefficients: tuple[float, ...]
    dim: int

    def __call__(self, level: int, index: Any) -> TaylorModel:
        """Model on the cells of a level, given as whole numbers of shape ``(n, dim)``."""
        numbers = checked_cells(2, self.dim, level, index)
        centres, half = cell_centres(int(level), numbers)
        d, degree = self.dim, len(self.coefficients) - 1
        terms, remainder = np.zeros((n_terms(d), len(numbers))), np.zeros(len(numbers))
        squares = 1 + d + np.flatnonzero(np.equal(*np.triu_indices(d)))
        rounding = 0.0
        for k in range(degree + 1):
            shares = [math.comb(j, k) * c for j, c in enumerate(self.coefficients)][k:]
            rounding += (2 * degree + 10) * UNIT * math.fsum(map(abs, shares)) * half**k
            for i, x in enumerate(centres.T):
                value = np.zeros(len(x))
                for share in reversed(shares):
                    value = value * x + share
                value *= half**k / d
                if k == 3:
                    terms[1 + i] += 0.75 * value
                row = 0 if k == 0 else 1 + i if k == 1 else squares[i]
                if k < 3:
                    terms[row] += value
                else:
                    remainder += np.abs(value) * (0.25 if k == 3 else 1.0)
        return TaylorModel(d, terms, (remainder + (1 + d) * rounding) * base.ROUND_UP)


def _exact(coefficients: tuple[Fraction, ...], point: Point) -> Fraction:
    """The same at one point of rationals."""
    powers = (c * t**k for t in point for k, c in enumerate(coefficients))
    return sum(powers, start=Fraction(0)) / len(point)


def polynomial(
    smoothness: float = math.inf, dim: int = 1, seed: int = 0, coefficients: Sequence[float] = _SQUARE
) -> Target:
    r"""A polynomial ``p`` in one variable; in d variables the mean of ``p(x_i)``.

    The linear interpolant at spacing h is off by at most ``h^2 / 8 sum_k k (k - 1) |c_k|``, and for the square by
    ``h^2 / 4`` exactly. Horner's rule costs a unit of rounding for each product, but for that of a leading power of
    two, and one for each coefficient added that is not zero; the mean over d > 1 coordinates costs d. Values are good
    to so many units of ``2^-53 sum_k |c_k|``. No Hölder radius is stated: the smoothness is infinite.

    Args:
        smoothness: Infinite; accepted so that every family takes the same arguments.
        dim: Input dimension d.
        seed: Accepted and without meaning.
        coefficients: ``c_0, c_1, ...`` of ``p(t) = sum_k c_k t^k``. The default is the square.

    Raises:
        TypeError: For values of the wrong kind.
        ValueError: For values out of range.
    """
    base.infinite("polynomial", smoothness)
    d = base.whole("dim", dim, 1)
    base.whole("seed", seed, 0)
    numbers = _coefficients(coefficients)
    curvature = sum(k * (k - 1) * abs(c) for k, c in enumerate(numbers))
    return Target(
        name="polynomial",
        regularity=Regularity(math.inf, d),
        parameters=base.identity(
            "polynomial", (math.inf, d), 0, {} if numbers == _SQUARE else {"coefficients": list(numbers)}
        ),
        evaluate=functools.partial(_evaluate, numbers),
        exact_evaluate=functools.partial(_exact, tuple(map(Fraction, numbers))),
        base=2,
        enclosure=PolynomialModel(numbers, d),
        evaluation_error=1.01 * UNIT * (_roundings(numbers) + (d if d > 1 else 0)) * math.fsum(map(abs, numbers)),
        gradient=functools.partial(_slopes, numbers),
        interpolation_gap=base.curvature_gap(curvature) if d == 1 else None,
    )
