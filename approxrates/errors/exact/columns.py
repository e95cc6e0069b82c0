"""A unit of a network on many intervals at once: exact values at the ends, and how far it is from straight between.

On an interval ``[a, b]`` a value ``v`` inside the network is known as a chord with a remainder:
``|v(x) - c(x)| <= rem`` for all ``x`` in ``[a, b]``, with ``c`` affine and ``c(a), c(b)`` stored as float64. Where
``v`` is affine outright and its values at both ends are at hand as integers times a power of two, the column is *sure*
there: then nothing is lost however steep the layers above are. Intervals on which a unit does the same share one entry
(a partition of the intervals into classes), so that long integers are multiplied once per class and not once per
interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates.errors.base import UNIT, Array
from approxrates.layers import Dyadic

Integers = NDArray[Any]
"""Shape ``(2, k)``, int64 or Python integers."""
Index = NDArray[np.intp]
_FITS = 62
_WORTH = 32  # zeros at the end of long integers that are worth a search
TINY = 1e-300
"""More than what underflow loses in one rounding."""


@dataclass(frozen=True, eq=False)
class Partition:
    """Which class each interval belongs to, shape ``(n,)``, and how many classes there are; ``full``: one each."""

    index: Index
    count: int
    full: bool = False


@dataclass(eq=False)
class Column:
    """One unit, or one pre-activation, by classes of intervals.

    Attributes:
        part: The classes.
        ends: Float64 ends of the chord, shape ``(2, k)``.
        rem: Distance from the chord, rounding counted, shape ``(k,)``; ``inf`` or NaN where nothing is known.
        ints: Exact end values as ``ints * 2**exponent``, shape ``(2, k)``; None if they are not kept.
        exponent: See ``ints``.
        sure: Where ``ints`` hold and the unit is affine in between, shape ``(k,)``; all False without ``ints``.
    """

    part: Partition
    ends: Array
    rem: Array
    sure: NDArray[np.bool_]
    ints: Integers | None = None
    exponent: int = 0
    is_zero: bool = field(default=False)

    @cached_property
    def objects(self) -> Integers:
        """The exact ends as Python integers."""
        if self.ints is None:
            raise ValueError("a column must be exact for its integers. Got a rounded one. Read ends.")
        return self.ints if self.ints.dtype == object else self.ints.astype(object)


def rounded(ints: Integers, exponent: int) -> tuple[Array, Array]:
    """``ints * 2**exponent`` as float64, and a bound on the distance, the larger of the two ends."""
    spare = 0.0
    if ints.dtype == object:
        extra = max(0, max(ints.max(), -ints.min()).bit_length() - _FITS)
        if extra:  # what is cut off is below the last of 62 bits of the largest
            exponent += extra
            spare = math.ldexp(1.0, max(-1000, exponent)) if exponent <= 1000 else math.inf
            ints = (ints >> extra).astype(np.int64)
    ends = np.ldexp(ints.astype(np.float64), max(-5000, min(5000, exponent)))
    return ends, 4 * UNIT * np.abs(ends).max(axis=0) + spare + TINY


def exact_column(part: Partition, ints: Integers, exponent: int, sure: NDArray[np.bool_] | None = None) -> Column:
    """A column of exact ends, its float form filled in."""
    ends, rem = rounded(ints, exponent)
    held = np.ones(ints.shape[1], dtype=bool) if sure is None else sure
    return Column(part, ends, rem, held, ints, exponent)


def combined_integers(
    terms: Sequence[tuple[Column, Dyadic, Index | None]], bias: Dyadic | None, size: float, count: int
) -> tuple[Integers, int]:
    """``sum w column + bias`` on the ends, exactly.

    Sums that end below ``2^62`` are taken modulo ``2^64``: whatever overflows on the way, the result is right.

    Args:
        terms: Exact columns with their weights and the class of the column for each class of the result (None: as is).
        bias: The constant.
        size: Bound on the absolute value of all results that matter, from float64.
        count: Number of classes of the result.

    Returns:
        ``(ints, exponent)``, shape ``(2, count)``.
    """
    exponents = [column.exponent + weight.exponent for column, weight, _ in terms if weight]
    if bias:
        exponents.append(bias.exponent)
    exponent = min(exponents, default=0)
    short = all(column.ints is not None and column.ints.dtype != object for column, _, _ in terms)
    if short and size < math.ldexp(1.0, max(-1000, min(1000, _FITS + exponent))):
        total = np.full((2, count), _wrapped(bias.mantissa << bias.exponent - exponent) if bias else 0, dtype=np.int64)
        for column, weight, index in terms:
            if weight and column.ints is not None:
                factor = np.int64(_wrapped(weight.mantissa << column.exponent + weight.exponent - exponent))
                total += factor * (column.ints if index is None else column.ints[:, index])
        spare = int(np.bitwise_or.reduce(total.ravel())) if total.size else 0
        zeros = (spare & -spare).bit_length() - 1 if spare else 0
        return (total >> zeros, exponent + zeros) if zeros > 0 else (total, exponent)
    long: Integers = np.full((2, count), bias.mantissa << bias.exponent - exponent if bias else 0, dtype=object)
    for column, weight, index in terms:
        if weight:
            own = column.objects if index is None else column.objects[:, index]
            long = long + own * (weight.mantissa << column.exponent + weight.exponent - exponent)
    if long.size and max(long.max(), -long.min()) < 1 << _FITS:
        return long.astype(np.int64), exponent
    zeros = min((_trailing(value) for value in long.ravel()[:: 1 + long.size // 8].tolist()), default=0)
    if zeros >= _WORTH:
        zeros = min(map(_trailing, long.ravel().tolist()))
        long, exponent = long >> zeros, exponent + zeros
    return long, exponent


def _trailing(value: int) -> int:
    """Zeros at the end of an integer; many for 0."""
    return (value & -value).bit_length() - 1 if value else 1 << 20


def _wrapped(value: int) -> int:
    """A Python integer as the int64 number that it is modulo ``2^64``."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


class Joins:
    """Partitions of ``n`` intervals and their common refinements, each found once."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.full = Partition(np.arange(n), n, full=True)
        self.whole = Partition(np.zeros(n, dtype=np.intp), 1)
        self._known: dict[tuple[int, ...], tuple[Partition, dict[int, Index]]] = {}
        self._alive: list[Partition] = []

    def join(self, parts: Sequence[Partition]) -> tuple[Partition, list[Index | None]]:
        """The common refinement, and for each partition the class that each new class lies in (None: the same)."""
        distinct = {id(p): p for p in parts if p.count > 1}
        if not distinct:
            return self.whole, [None] * len(parts)
        if len(distinct) == 1:
            (only,) = distinct.values()
            return only, [None if p is only else np.zeros(only.count, dtype=np.intp) for p in parts]
        if any(p.full for p in distinct.values()):
            return self.full, [None if p.full else p.index for p in parts]
        key = tuple(sorted(distinct))
        if key not in self._known:
            self._known[key] = self._refined([distinct[k] for k in key])
            self._alive += distinct.values()
        joint, maps = self._known[key]
        if joint.full:
            return joint, [p.index for p in parts]
        zeros = np.zeros(joint.count, dtype=np.intp)
        return joint, [maps[id(p)] if p.count > 1 else zeros for p in parts]

    def _refined(self, parts: Sequence[Partition]) -> tuple[Partition, dict[int, Index]]:
        """The common refinement of different partitions."""
        index, count = parts[0].index, parts[0].count
        for part in parts[1:]:
            values, index = np.unique(index * part.count + part.index, return_inverse=True)
            count = len(values)
        if 2 * count > self.n:
            return self.full, {}
        first = np.zeros(count, dtype=np.intp)
        first[index] = np.arange(self.n)
        return Partition(index, count), {id(p): p.index[first] for p in parts}

    def coarsened(self, column: Column) -> Column:
        """The same column with one class for all intervals of equal ends, where neighbours mostly are equal."""
        ints = column.ints
        if not column.part.full or ints is None or ints.dtype == object or self.n < 64:
            return column
        new = np.ones(self.n, dtype=bool)
        np.any(ints[:, 1:] != ints[:, :-1], axis=0, out=new[1:])
        # Equal ends say nothing where the unit bends between them: such intervals stay classes of their own.
        new[1:] |= ~(column.sure[1:] & column.sure[:-1])
        firsts = np.flatnonzero(new)
        if 4 * len(firsts) > self.n:
            return column
        class_of = np.cumsum(new) - 1
        if column.sure.all():
            _, chosen, inverse = np.unique(ints[:, firsts], axis=1, return_index=True, return_inverse=True)
            firsts, class_of = firsts[chosen], inverse.ravel()[class_of]
        part = Partition(class_of, len(firsts)) if len(firsts) > 1 else self.whole
        rem, sure = column.rem[firsts], column.sure[firsts]
        return Column(part, column.ends[:, firsts], rem, sure, ints[:, firsts], column.exponent, column.is_zero)
