"""A ReLU network on many intervals: one chord with a proven remainder each, and where it bends first.

*Proof.* Let ``x`` run over one interval. Claim: every unit ``v`` satisfies ``|v(x) - c_v(x)| <= rem_v``, ``c_v`` affine
with the stored ends; and where ``v`` is *sure*, it is affine with exactly the stored integers at the ends. By induction
over layers:

- The input is affine, with exact ends.
- ``p = sum w v + b``: of affine functions the ends add up exactly, so ``p`` is sure if all ``v`` are; otherwise chords
  and remainders add up, remainders with ``|w|``. Float64 sums of ``n`` products with rounded weights are off by at most
  ``(n + 4) u sum |w| |c|`` (Higham 2002, sec. 3.1) and join the remainder.
- ``relu(p)``, ``p`` sure and not of opposite signs at the two ends: ``p`` has one sign in between, being affine, and
  ``relu(p)`` is ``p`` or 0: sure again.
- ``relu(p)`` else, ``l`` and ``r`` the ends of the chord: ReLU is 1-Lipschitz, so ``relu(p)`` is within ``rem_p`` of
  ``relu(c_p)``, and that is within ``|l| |r| / (|l| + |r|)`` of the chord of its ends if ``l < 0 < r`` (the distance of
  the chord at the zero of ``c_p``, where the difference of a convex function with one kink and its chord is largest),
  and equal to it otherwise. If ``p >= 0`` or ``p <= 0`` for certain, the remainder is ``rem_p`` or 0. Also ``0 <=
  relu(p) <= u`` with ``u = max(l, r) + rem_p``, which is ``u / 2`` off the constant ``u / 2``: the smaller one is
  taken.

So equal exact patterns at both ends give remainder 0 but for rounding, a kink within ``eta`` of an end gives one of
``eta`` times its slope, and nothing between the ends is ever sampled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates.errors.base import UNIT, Array
from approxrates.errors.exact.columns import (
    TINY,
    Column,
    Index,
    Joins,
    Partition,
    combined_integers,
    exact_column,
    rounded,
)
from approxrates.errors.exact.prepared import PreparedLayer
from approxrates.layers import ONE, Dyadic

POSITION = 52
"""Ends of intervals are integers times ``2^-52``: float64 holds them, and so the target is asked at the same points."""
_UP = 1.0 + 2.0**-40
_LEAST = 2.0**-1022
"""Smaller floats have fewer than 53 bits."""
Rules = Callable[["Strips", int, int, Column], Column]


@dataclass(frozen=True, eq=False)
class Found:
    """The network on ``n`` intervals: chord ends ``(2, n)``, remainder ``(n,)``, first bend ``(n,)``.

    The bend is a share of the interval strictly between 0 and 1, or NaN.
    """

    ends: Array
    rem: Array
    bend: Array


class Strips:
    """One pass over a batch of intervals.

    Args:
        layers: The network.
        left: Left ends, multiples of ``2^-52``, shape ``(n,)``.
        right: Right ends.
        resolution: What may be lost to rounding, in the units of the output: units of larger influence stay exact.
        bends: Kinks that move the output by more than this are reported.
        rules: Improves loose columns (see :mod:`approxrates.errors.exact.rules`); None for none.
    """

    def __init__(
        self,
        layers: Sequence[PreparedLayer],
        left: NDArray[np.int64],
        right: NDArray[np.int64],
        resolution: float,
        bends: float,
        rules: Rules | None = None,
    ) -> None:
        self.layers, self.resolution, self.bends, self.rules = layers, resolution, bends, rules
        self.n = len(left)
        self.joins = Joins(self.n)
        self.bend = np.full(self.n, np.nan)
        position = exact_column(self.joins.full, np.stack([left, right]), -POSITION)
        self.before: list[Column] = []  # units two layers down
        self.pre: list[Column] = []  # pre-activations of the layer below
        self.units: list[Column] = [position]  # units of the layer below

    def run(self) -> Found:
        """The output on every interval."""
        with np.errstate(all="ignore"):
            for depth in range(len(self.layers)):
                self._advance(depth)
        output = self.units[0]
        index = output.part.index
        ends, rem = output.ends[:, index], output.rem[index]
        return Found(ends, np.where(np.isnan(rem) | ~np.isfinite(ends).all(axis=0), np.inf, rem), self.bend)

    def _advance(self, depth: int) -> None:
        """One layer up."""
        layer = self.layers[depth]
        pre: list[Column] = []
        carried = self.carried(depth)
        for unit, row in enumerate(layer.rows):
            if carried[unit]:
                pre.append(self.units[row[0][0]])
                continue
            column = self.formula(row, layer.bias[unit], self.units, float(layer.sensitivity[unit]))
            if self.rules is not None and not column.sure.all():
                column = self.rules(self, depth, unit, column)
            pre.append(column if self.rules is not None else self.joins.coarsened(column))
        units = [
            self.activated(column, float(s)) if on and not same else column
            for column, on, same, s in zip(pre, layer.relu, carried, layer.sensitivity, strict=True)
        ]
        self.before, self.pre, self.units = self.units, pre, units

    def carried(self, depth: int) -> list[bool]:
        """Which units of a layer are a ReLU unit of the layer below, unchanged: it is never negative."""
        layer = self.layers[depth]
        return [
            depth > 0 and len(row) == 1 and bias is None and row[0][1] == ONE and self.layers[depth - 1].relu[row[0][0]]
            for row, bias in zip(layer.rows, layer.bias, strict=True)
        ]

    def formula(
        self, row: Sequence[tuple[int, Dyadic]], bias: Dyadic | None, units: Sequence[Column], sensitivity: float
    ) -> Column:
        """``sum w unit + bias``."""
        if len(row) == 1 and row[0][1] == ONE and bias is None:
            return units[row[0][0]]
        terms = [(units[source], weight) for source, weight in row if not units[source].is_zero]
        part, maps = self.joins.join([column.part for column, _ in terms])
        placed = [(column, weight, index) for (column, weight), index in zip(terms, maps, strict=True)]
        ends, rem, size = self._rounded_sum(placed, bias, part)
        exact = all(column.ints is not None for column, _ in terms) and (
            sensitivity * size * 2.0**-50 > self.resolution or part.count <= 64
        )
        if not exact:
            return Column(part, ends, rem, np.zeros(part.count, dtype=bool))
        sure = np.ones(part.count, dtype=bool)
        for column, _, index in placed:
            if not column.sure.all():
                sure &= column.sure if index is None else column.sure[index]
        if not sure.any():
            return Column(part, ends, rem, sure)
        bound = float((np.abs(ends).max(axis=0) + rem)[sure].max())
        ints, exponent = combined_integers(placed, bias, bound, part.count)
        sharp, off = rounded(ints, exponent)
        return Column(part, np.where(sure, sharp, ends), np.where(sure, off, rem), sure, ints, exponent)

    def _rounded_sum(
        self, terms: Sequence[tuple[Column, Dyadic, Index | None]], bias: Dyadic | None, part: Partition
    ) -> tuple[Array, Array, float]:
        """Chord ends, remainder, and the size of the largest end."""
        constant = float(bias) if bias is not None else 0.0
        ends = np.full((2, part.count), constant)
        size = np.full((2, part.count), abs(constant))
        rem = np.zeros(part.count)
        for column, weight, index in terms:
            factor = float(weight)
            own, spread = column.ends, column.rem
            if index is not None:
                own, spread = own[:, index], spread[index]
            product = factor * own
            ends += product
            size += np.abs(product)
            rem += abs(factor) * spread
            if abs(factor) < _LEAST and weight:  # rounded by more than a part in 2^53, perhaps to 0
                rem += 2.0**-1074 * (np.abs(own).max(axis=0) + spread)
        rem += (len(terms) + 4) * UNIT * np.maximum(size[0], size[1]) + TINY
        rem *= _UP
        return ends, rem, float(np.abs(ends).max(initial=0.0))

    def activated(self, column: Column, sensitivity: float) -> Column:
        """``relu`` of a column."""
        if column.ints is not None:
            first, last = column.ints
            opposite = ((first < 0) & (last > 0)) | ((first > 0) & (last < 0))
            sure = column.sure & ~opposite.astype(bool)
            ints: Any = np.maximum(column.ints, 0)
        else:
            sure, ints = column.sure, None
        straight = np.maximum(column.ends, 0.0)
        rem = column.rem
        is_zero = False
        if not sure.all():
            rem, straight = self._bent(column, straight, sure, sensitivity)
        if ints is not None and not sure.any():
            ints = None
        is_zero = not rem[~sure].any() and not straight.any() and (ints is None or not ints.any())
        if ints is not None and is_zero:
            rem = np.zeros_like(rem)
        return Column(column.part, straight, rem, sure, ints, column.exponent, is_zero)

    def _bent(
        self, column: Column, straight: Array, sure: NDArray[np.bool_], sensitivity: float
    ) -> tuple[Array, Array]:
        """Remainders and ends of ``relu`` where it is not sure; the bends that matter are noted."""
        alive = column.ends.min(axis=0) >= column.rem
        # An end beyond the range of floats is -inf with an infinite remainder: nothing is known there.
        dead = (-column.ends.max(axis=0) >= column.rem) & np.isfinite(column.rem)
        off = np.where(dead, 0.0, column.rem)
        ends = np.where(dead, 0.0, straight)
        open_ = np.flatnonzero(~(alive | dead | sure))
        if len(open_):
            off[open_], ends[:, open_], dent = self._across(column.ends[:, open_], column.rem[open_])
            matters = open_[dent * sensitivity > self.bends]
            if len(matters):
                low, high = column.ends[0, matters], column.ends[1, matters]
                share = np.full(column.part.count, np.nan)
                share[matters] = low / (low - high)
                found = share[column.part.index]
                new = np.isnan(self.bend) & (found > 0.0) & (found < 1.0)
                self.bend[new] = found[new]
        return np.where(sure, column.rem, off), np.where(sure, straight, ends)

    def _across(self, chord: Array, rem: Array) -> tuple[Array, Array, Array]:
        """Remainder and ends of ``relu`` where the sign is open, and how far its graph is from its chord."""
        low, high = chord[0], chord[1]
        least, most = np.minimum(low, high), np.maximum(low, high)
        crosses = (least < 0.0) & (most > 0.0)
        # The quotient first: the product of two small numbers may be less than floats hold.
        dent = np.where(crosses, -least / np.where(crosses, most - least, 1.0) * most, 0.0) * _UP
        ends, off = np.maximum(chord, 0.0), rem + dent
        top = (most + rem) * _UP
        if self.rules is not None:
            # Between the line of slope top / (top + bottom) through 0 and its parallel through the right end.
            bottom = (rem - least) * _UP
            slope = top / (top + bottom)
            lift = 0.5 * slope * bottom * _UP
            strip = (slope * rem + lift + 8 * UNIT * (np.abs(low) + np.abs(high) + lift)) * _UP
            better = strip < off
            ends, off = np.where(better, slope * chord + lift, ends), np.where(better, strip, off)
        flat = 0.5 * top < off
        return np.where(flat, 0.5 * top, off), np.where(flat, 0.5 * top, ends), dent
