"""Polynomial controls: the exact oracle of the pipeline (the square), and anything else that is no test of a rate."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from approxrates.generators import base
from approxrates.regularity import Regularity
from approxrates.target import Point, Target

_SQUARE = (0.0, 0.0, 1.0)
_MOST_COEFFICIENTS = 64


def _coefficients(values: Sequence[float]) -> tuple[float, ...]:
    """The coefficients as floats, after checking that they are a list of finite numbers."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence):
        raise TypeError(f"coefficients must be a list of numbers. Got {values!r}. Write e.g. coefficients=[0, 0, 1].")
    if not all(isinstance(c, (int, float)) and not isinstance(c, bool) for c in values):
        raise TypeError(f"coefficients must be numbers. Got {list(values)!r}. Write e.g. coefficients=[0, 0, 1].")
    if not 1 <= len(values) <= _MOST_COEFFICIENTS or not all(math.isfinite(c) for c in values):
        raise ValueError(
            f"coefficients must be 1 to {_MOST_COEFFICIENTS} finite numbers. Got {list(values)!r}. "
            "Write e.g. coefficients=[0, 0, 1]."
        )
    return tuple(float(c) for c in values)


def _evaluate(coefficients: tuple[float, ...], x: base.Floats) -> base.Floats:
    """Mean of the polynomial over the coordinates of points ``(n, d)``, shape ``(n,)``."""
    value = np.zeros(x.shape)
    for c in reversed(coefficients):
        value *= x
        value += c
    result: base.Floats = value.mean(axis=1)
    return result


def _exact(coefficients: tuple[Fraction, ...], point: Point) -> Fraction:
    """The same at one point of rationals."""
    powers = (c * t**k for t in point for k, c in enumerate(coefficients))
    return sum(powers, start=Fraction(0)) / len(point)


def polynomial(
    smoothness: float = math.inf, dim: int = 1, seed: int = 0, coefficients: Sequence[float] = _SQUARE
) -> Target:
    r"""A polynomial ``p`` in one variable; in d variables the mean of ``p(x_i)``.

    The linear interpolant at spacing h is off by at most ``h^2 / 8 sum_k k (k - 1) |c_k|``, and for the square by
    ``h^2 / 4`` exactly. No Hölder radius is stated: the smoothness is infinite.

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
        interpolation_gap=base.curvature_gap(curvature) if d == 1 else None,
    )
