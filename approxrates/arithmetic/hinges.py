"""Many hinges of one column at once: tables, summed by sorting their break-points and adding up slopes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from approxrates.arithmetic.bigints import SHORT, Integers, bits, objects
from approxrates.arithmetic.column_units import Column
from approxrates.layers import Dyadic


@dataclass(eq=False)
class Hinge:
    """A unit ``relu(slope base + bias)`` that is kept as a formula.

    Attributes:
        base: The column that it reads.
        slope: Its weight, not zero.
        bias: Its bias.
        place: Layer and unit.
        column: Its values, once something asked for them.
    """

    base: Column
    slope: Dyadic
    bias: Dyadic
    place: tuple[int, int]
    column: Column | None = None

    def bend(self) -> tuple[int, int]:
        """Where it bends, in units of the base: the integers next below and next above; two apart if it is one."""
        shift = self.bias.exponent - self.slope.exponent + self.base.exponent
        over, under = -self.bias.mantissa << max(0, shift), self.slope.mantissa << max(0, -shift)
        floor = over // under
        return (floor - 1 if floor * under == over else floor), floor + 1


@dataclass(frozen=True, eq=False)
class Order:
    """Hinges by where they bend.

    Attributes:
        order: Numbers of the hinges, ascending.
        passed: For each class of the base how many of them have switched.
    """

    order: tuple[int, ...]
    passed: NDArray[np.intp]


def ordered(hinges: Sequence[Hinge]) -> Order:
    """The order of hinges of one base. Ascending ones switch on above their bend, descending ones off at it."""
    switches = []
    for hinge in hinges:
        below, above = hinge.bend()
        switches.append(above if hinge.slope.mantissa > 0 else below + 1)
    order = sorted(range(len(hinges)), key=switches.__getitem__)
    ends = [switches[k] for k in order]
    values = hinges[0].base.values
    if values.dtype != object:
        limit = 1 << SHORT
        table = np.array([max(-limit, min(limit, end)) for end in ends], dtype=np.int64)
    else:
        table = np.array([*ends, None], dtype=object)[:-1]
    return Order(tuple(order), np.searchsorted(table, values, side="right"))


def bank(hinges: Sequence[Hinge], weights: Sequence[Dyadic], order: Order) -> tuple[Integers, int]:
    """``sum_k weight_k hinge_k`` exactly, per class of the common base: integers and their exponent."""
    base = hinges[0].base
    products = [(weight * hinge.slope, weight * hinge.bias) for hinge, weight in zip(hinges, weights, strict=True)]
    slope_unit = min((slope.exponent for slope, _ in products if slope), default=0)
    bias_unit = min((bias.exponent for _, bias in products if bias), default=0)
    exponent = max(base.exponent - slope_unit, -bias_unit)
    slopes = [slope.mantissa << slope.exponent - base.exponent + exponent if slope else 0 for slope, _ in products]
    biases = [bias.mantissa << bias.exponent + exponent if bias else 0 for _, bias in products]
    rising = [hinge.slope.mantissa > 0 for hinge in hinges]
    sums = []
    for parts in (slopes, biases):
        start = sum(part for part, up in zip(parts, rising, strict=True) if not up)
        steps = (parts[k] if rising[k] else -parts[k] for k in order.order)
        sums.append(list(accumulate(steps, initial=start)))
    size = max(bits(min(sums[0]), max(sums[0])) + bits(base.low, base.high), bits(min(sums[1]), max(sums[1])))
    kind = np.int64 if size < SHORT else object
    slope, bias = (np.array([*part, 0], dtype=kind)[:-1][order.passed] for part in sums)
    return slope * (base.values if kind is np.int64 else objects(base.values)) + bias, exponent
