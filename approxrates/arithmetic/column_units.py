"""Units on columns: sums over common refinements, activations, merging of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from approxrates.arithmetic.bigints import SHORT, Integers, bits, compact, extremes, objects, scaled
from approxrates.arithmetic.partitions import Partition, Partitions
from approxrates.layers import Dyadic

_FEW = 64
"""Partitions of fewer classes are left as they are."""
RELAXED = 8
"""Binary places that a sum gives up at most to fit into machine words, which are ten times as fast."""
_SAMPLE = 256
"""Values looked at to see whether many are equal."""


@dataclass(frozen=True, eq=False)
class Column:
    """Values of a unit: ``values[k] * 2**-exponent`` at the points of class ``k``.

    Attributes:
        partition: The classes; ``partition.labels`` is the class of each point.
        values: One integer per class, int64 or object.
        exponent: Binary places; may be negative.
        low: The least value.
        high: The largest value.
    """

    partition: Partition
    values: Integers
    exponent: int
    low: int
    high: int


@dataclass(frozen=True, eq=False)
class Sum:
    """A pre-activation before it is made a column: like :class:`Column`, and how many of its terms were rounded."""

    partition: Partition
    values: Integers
    exponent: int
    n_rounded: int


@dataclass(frozen=True, eq=False)
class Term:
    """A summand in the unit of its sum."""

    partition: Partition
    values: Integers
    low: int
    high: int


def sum_columns(
    terms: Sequence[tuple[Column, Dyadic]],
    bias: Dyadic,
    places: int | None,
    partitions: Partitions,
    single: Partition,
    slack: int | None,
) -> Sum:
    """``sum_i weight_i column_i + bias`` with about ``places`` binary places, each longer term rounded to nearest.

    Args:
        terms: Columns with weights that are not zero.
        bias: The bias.
        places: See above; None for no rounding. Up to ``RELAXED`` fewer if that makes machine words of the sum.
        partitions: Makes refinements.
        single: The partition of one class.
        slack: If ReLU follows: classes for which the sum is surely below ``-slack`` units may be given any sum that
            is. None otherwise.
    """
    needed = max((column.exponent - weight.exponent for column, weight in terms), default=-bias.exponent)
    if bias:
        needed = max(needed, -bias.exponent)
    exponent = needed if places is None or needed <= places else machine_places(terms, bias, places)
    parts, n_rounded = [], 0
    for column, weight in terms:
        shift = exponent - column.exponent + weight.exponent
        n_rounded += shift < 0
        values = scaled(column.values, bits(column.low, column.high), weight.mantissa, shift)
        ends = sorted((rescaled(column.low * weight.mantissa, shift), rescaled(column.high * weight.mantissa, shift)))
        parts.append(Term(column.partition, values, *ends))
    n_rounded += bool(bias) and bias.exponent + exponent < 0
    constant = rescaled(bias.mantissa, bias.exponent + exponent)
    if slack is not None and len({part.partition.serial for part in parts}) > 1:
        parts = without_dead(parts, constant, slack, partitions)
    size = sum(max(abs(part.low), abs(part.high)) for part in parts) + abs(constant)
    kind = np.int64 if size.bit_length() <= SHORT else object
    partition, total = single, np.array([constant], dtype=kind)
    for part in sorted(parts, key=lambda part: (part.partition.n_classes, part.partition.serial)):
        values = part.values if part.values.dtype == kind else part.values.astype(kind)
        partition, ours, theirs = partitions.refinement(partition, part.partition)
        total = (total if ours is None else total[ours]) + (values if theirs is None else values[theirs])
    return Sum(partition, total, exponent, int(n_rounded))


def machine_places(terms: Sequence[tuple[Column, Dyadic]], bias: Dyadic, places: int) -> int:
    """``places``, or up to ``RELAXED`` fewer if the sum then fits into machine words."""
    size = abs(rescaled(bias.mantissa, bias.exponent + places)) + len(terms)
    for column, weight in terms:
        largest = max(abs(column.low), abs(column.high)) * abs(weight.mantissa)
        size += rescaled(largest, places - column.exponent + weight.exponent)
    excess = size.bit_length() + 1 - SHORT
    return places - excess if 0 < excess <= RELAXED else places


def rescaled(number: int, shift: int) -> int:
    """``number * 2**shift``, rounded to nearest where the shift is negative."""
    return number << shift if shift >= 0 else (number + (1 << -shift - 1)) >> -shift


def without_dead(parts: Sequence[Term], constant: int, slack: int, partitions: Partitions) -> list[Term]:
    """The terms with those classes merged that make the sum negative whatever the other terms are."""
    highest = sum(part.high for part in parts) + constant
    merged = []
    for part in parts:
        limit = -slack - 1 - (highest - part.high)  # a class of at most this value is dead
        if part.low > limit or part.partition.n_classes <= _FEW:
            merged.append(part)
            continue
        dead = np.asarray(part.values <= limit, dtype=bool) if part.high > limit else np.ones(len(part.values), bool)
        n_dead = int(dead.sum())
        if n_dead <= max(1, len(dead) // 4):
            merged.append(part)
            continue
        partition, values = merge_classes(part.partition, part.values, dead, partitions)
        merged.append(Term(partition, values, part.low, part.high))
    return merged


def merge_classes(
    partition: Partition, values: Integers, one: NDArray[np.bool_], partitions: Partitions
) -> tuple[Partition, Integers]:
    """All marked classes as one, the last, with the value of the first of them."""
    kept = ~one
    number = np.cumsum(kept, dtype=np.int32) - 1
    last = len(values) - int(one.sum())
    number[one] = last
    shorter = np.empty(last + 1, dtype=values.dtype)
    shorter[:last] = values[kept]
    shorter[last] = values[int(np.argmax(one))]
    return partitions.coarser(partition, number, last + 1), shorter


def to_column(
    partition: Partition, values: Integers, exponent: int, partitions: Partitions, single: Partition
) -> Column:
    """A column of values, with classes of equal values merged where there seem to be many."""
    values, low, high = compact(values)
    if low == high:
        return Column(single, values[:1], exponent, low, high)
    if len(values) > _FEW:
        if low == 0 or high == 0:
            zero = np.asarray(values == 0, dtype=bool)
            if int(zero.sum()) > len(values) // 4:
                partition, values = merge_classes(partition, values, zero, partitions)
        sample = values[:: max(1, len(values) // _SAMPLE)]
        if len(values) > _FEW and 2 * len(set(sample.tolist())) < len(sample):
            distinct, number = np.unique(values, return_inverse=True)
            if 2 * len(distinct) < len(values):
                partition = partitions.coarser(partition, number.reshape(-1), len(distinct))
                values = distinct
    return Column(partition, values, exponent, low, high)


def rounded(values: Integers, exponent: int, places: int | None) -> tuple[Integers, int, bool]:
    """Values with at most so many binary places: the integers, their exponent, and whether they were rounded."""
    if places is None or exponent <= places:
        return values, exponent, False
    low, high = extremes(values)
    return scaled(values, bits(low, high), 1, places - exponent), places, True


def input_column(axis: NDArray[np.integer] | NDArray[np.object_], exponent: int) -> Column:
    """A coordinate of the points as a column."""
    whole = axis if axis.dtype == object else axis.astype(np.int64)
    distinct, number = np.unique(whole, return_inverse=True)
    if distinct.dtype == object:
        distinct = np.array([*map(int, distinct), None], dtype=object)[:-1]
    values, low, high = compact(distinct)
    if bits(low, high) > SHORT:
        values = objects(values)
    return Column(Partition(len(values), len(axis), number.reshape(-1).astype(np.int32)), values, exponent, low, high)
