"""Arrays of integers of any length: int64 where everything fits, else Python integers in arrays of objects."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[Any]
"""One axis, dtype int64 or object (Python integers)."""

SHORT = 62
"""Sums and products of at most so many bits are formed in int64."""
_LONG = 1 << 14
"""Factors that are both longer are multiplied by flint, which has fast Fourier transforms."""


def bits(low: int, high: int) -> int:
    """Bits of the largest size in a range."""
    return max(low.bit_length(), high.bit_length())


def extremes(values: Integers) -> tuple[int, int]:
    """Least and largest value; of no values 0 and 0."""
    if not len(values):
        return 0, 0
    return int(values.min()), int(values.max())


def objects(values: Integers) -> Integers:
    """As Python integers."""
    return values if values.dtype == object else values.astype(object)


def compact(values: Integers) -> tuple[Integers, int, int]:
    """The values as int64 if they are short, and their extremes."""
    low, high = extremes(values)
    if values.dtype == object and bits(low, high) <= SHORT:
        values = values.astype(np.int64)
    return values, low, high


def scaled(values: Integers, size: int, factor: int, shift: int) -> Integers:
    """``values * factor * 2**shift``, rounded to the nearest integer where the shift is negative.

    Args:
        values: Integers of at most ``size`` bits.
        size: See above.
        factor: Any integer.
        shift: Any integer.
    """
    if shift >= 0:
        return _product(values, size, factor << shift)
    product = _product(values, size, factor, spare=1)
    half = 1 << -shift - 1
    if product.dtype != object:
        return np.zeros_like(product) if -shift > SHORT else (product + np.int64(half)) >> np.int64(-shift)
    rounded = (product + half) >> -shift
    return compact(rounded)[0]


def _product(values: Integers, size: int, factor: int, spare: int = 0) -> Integers:
    """``values * factor``; int64 if ``spare`` bits more fit too."""
    length = factor.bit_length()
    if values.dtype != object and size + length + spare <= SHORT:
        return values if factor == 1 else values * np.int64(factor)
    values = objects(values)
    if factor == 1:
        return values
    if min(size, length) <= _LONG:
        return values * factor
    return np.array([*(_long_product(int(value), factor) for value in values), None], dtype=object)[:-1]


def _long_product(left: int, right: int) -> int:
    """A product of long integers; powers of two inside the first one are shifts."""
    if not left:
        return 0
    zeros = (left & -left).bit_length() - 1
    odd = left >> zeros
    if odd.bit_length() <= _LONG:
        return (right * odd) << zeros
    from flint import fmpz

    return int(fmpz(odd) * fmpz(right)) << zeros
