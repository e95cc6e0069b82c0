"""Points as integers with a common binary exponent: what exact evaluation reads."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates.arithmetic.bigints import SHORT
from approxrates.layers import dyadic

Grid = NDArray[np.int64] | NDArray[np.object_]


def dyadic_points(x: Any) -> tuple[Grid, int]:
    """Points as ``integers * 2**-exponent``, exactly.

    Args:
        x: Shape ``(n, dim)``: floats, which are dyadic numbers, or objects that ``dyadic`` takes.

    Returns:
        Integers of the same shape, int64 if they fit and else Python integers, and the exponent, at least 0.

    Raises:
        ValueError: If a coordinate is not finite, or not dyadic.
    """
    given = np.asarray(x)
    if given.dtype == object:
        numbers = [dyadic(value) for value in given.ravel()]
        exponent = max((-number.exponent for number in numbers), default=0)
        exponent = max(0, exponent)
        return _table([number.mantissa << number.exponent + exponent for number in numbers], given.shape), exponent
    floats = given.astype(np.float64)
    if not np.isfinite(floats).all():
        raise ValueError("x must be finite for exact evaluation. Got NaN or infinity. Leave such points out.")
    fractions, powers = np.frexp(floats)
    mantissas = np.ldexp(fractions, 53).astype(np.int64)
    zeros = np.where(mantissas == 0, 0, np.frexp((mantissas & -mantissas).astype(np.float64))[1] - 1)
    places = np.where(mantissas == 0, 0, 53 - powers - zeros)
    exponent = max(0, int(places.max(initial=0)))
    if int(np.where(mantissas == 0, -1074, powers).max(initial=0)) + exponent <= SHORT:
        return np.ldexp(floats, exponent).astype(np.int64), exponent
    shifts = powers.astype(np.int64) - 53 + exponent
    pairs = zip(mantissas.ravel().tolist(), shifts.ravel().tolist(), strict=True)
    whole = [mantissa << shift if shift >= 0 else mantissa >> -shift for mantissa, shift in pairs]
    return _table(whole, given.shape), exponent


def _table(integers: list[int], shape: tuple[int, ...]) -> Grid:
    """Integers as an array, of int64 if they fit."""
    kind: Any = np.int64 if all(number.bit_length() <= SHORT for number in integers) else object
    flat: Grid = np.array([*integers, 0], dtype=kind)[:-1]
    return flat.reshape(shape)
