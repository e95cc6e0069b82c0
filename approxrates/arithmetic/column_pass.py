"""One pass of columns through a network: how many binary places each unit keeps, and the bound that adds up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates.arithmetic.column_codes import pieces, sides, sine, straight
from approxrates.arithmetic.column_units import Column, Sum, input_column, rounded, sum_columns, to_column
from approxrates.arithmetic.hinges import Hinge, Order, bank, ordered
from approxrates.arithmetic.partitions import Partition, Partitions
from approxrates.arithmetic.uppers import SINES, ZERO, Upper, ceil_log2, lipschitz, over, plus, sensitivities, times
from approxrates.layers import IDENTITY, ONE, Dyadic, SparseLayer
from approxrates.layers import ZERO as NOTHING

_WIDE = 32
"""Layers of more units keep their hinges as formulas until something reads them."""
_BANK = 8
"""So many hinges of one column or more are summed by prefix sums."""


@dataclass(frozen=True, eq=False)
class Pattern:
    """Where the pre-activations of a unit lie with respect to its break-points.

    Attributes:
        partition: The classes of points; ``partition.labels`` is the class of each point.
        places: Per class twice the number of break-points below, int32: for relu 0 if negative and 2 if positive. Odd
            on a break-point, or too near to tell. Two points with the same even place lie on one straight piece.
        exact: Whether nothing was rounded so far: odd places are then exact hits.
    """

    partition: Partition
    places: NDArray[np.int32]
    exact: bool


Trace = Callable[[int, tuple[int, ...], Pattern], None]


@dataclass(frozen=True)
class Plan:
    """What a unit may round.

    Attributes:
        before: Binary places of its pre-activation, where terms are rounded; None for all.
        after: Binary places of its value.
        pre: ``P``, see :mod:`approxrates.arithmetic.columns`.
        post: ``S``.
    """

    before: int | None
    after: int | None
    pre: Upper
    post: Upper


@dataclass
class Pass:
    """The evaluation of one network at one set of points.

    Attributes:
        layers: The layers.
        bits: See :func:`approxrates.arithmetic.columns.evaluate_columns`.
        trace: The same.
        slack: The bound ``E`` so far.
    """

    layers: Sequence[SparseLayer]
    bits: int | None
    trace: Trace | None
    slack: Upper = ZERO
    partitions: Partitions = field(default_factory=Partitions)

    def run(self, axes: Sequence[Any], exponent: int) -> tuple[list[Column], Upper]:
        """The outputs at points given by coordinates, and the bound of their error."""
        self.plans = plan(self.layers, exponent, self.bits)
        self.single = Partition(1, len(axes[0]), np.zeros(len(axes[0]), dtype=np.int32))
        units: list[Column | Hinge] = [input_column(axis, exponent) for axis in axes]
        for index in range(len(self.layers)):
            units = self._layer(index, units)
        return [self._column(unit) for unit in units], self.slack

    def _layer(self, index: int, units: Sequence[Column | Hinge]) -> list[Column | Hinge]:
        """The units of a layer from those of the layer below."""
        layer = self.layers[index]
        self._orders: dict[tuple[int, ...], Order] = {}
        made: list[Column | Hinge] = []
        for j, (row, given, code) in enumerate(zip(layer.rows, layer.bias, layer.activations, strict=True)):
            bias = given or NOTHING
            terms = [(units[source], weight) for source, weight in row if weight]
            if code == "relu" and len(terms) == 1:
                unit, weight = terms[0]
                if not bias and weight == ONE and (isinstance(unit, Hinge) or unit.low >= 0):
                    made.append(unit)  # a value that is never negative, passed on
                    continue
                if isinstance(unit, Column) and layer.n_out > _WIDE:
                    made.append(Hinge(unit, weight, bias, (index, j)))
                    continue
            made.append(self._unit(index, j, self._summed(terms), bias, code))
        if self.trace is not None:
            self._tell_hinges(index, made)
        return made

    def _column(self, unit: Column | Hinge) -> Column:
        """The values of a unit."""
        if isinstance(unit, Column):
            return unit
        if unit.column is None:
            unit.column = self._unit(*unit.place, [(unit.base, unit.slope)], unit.bias, "relu", told=True)
        return unit.column

    def _summed(self, terms: Sequence[tuple[Column | Hinge, Dyadic]]) -> list[tuple[Column, Dyadic]]:
        """Terms with banks of hinges summed and other hinges as columns."""
        groups: dict[int, list[tuple[Hinge, Dyadic]]] = {}
        for unit, weight in terms:
            if isinstance(unit, Hinge):
                groups.setdefault(id(unit.base), []).append((unit, weight))
        large = {key for key, group in groups.items() if len(group) >= _BANK}
        found = [
            (self._column(unit), weight)
            for unit, weight in terms
            if not (isinstance(unit, Hinge) and id(unit.base) in large)
        ]
        for key in large:
            hinges, weights = [unit for unit, _ in groups[key]], [weight for _, weight in groups[key]]
            names = tuple(map(id, hinges))
            if names not in self._orders:
                self._orders[names] = ordered(hinges)
            values, exponent = bank(hinges, weights, self._orders[names])
            found.append((to_column(hinges[0].base.partition, values, exponent, self.partitions, self.single), ONE))
        return found

    def _unit(
        self, index: int, j: int, terms: Sequence[tuple[Column, Dyadic]], bias: Dyadic, code: str, told: bool = False
    ) -> Column:
        """One unit's column; what is rounded goes into the bound."""
        plan = self.plans[index][j]
        slack = None
        if code == "relu":
            # Half a unit per term may be added by the rounding of this very sum.
            slack = 0 if self.trace is None else self._slack(plan.pre, plan.before or 0) + len(terms) + 1
        found = sum_columns(terms, bias, plan.before, self.partitions, self.single, slack)
        if found.n_rounded:
            self._add(plan.pre, (found.n_rounded, -found.exponent - 1))
        if self.trace is not None and code != IDENTITY and not told:
            self._tell(index, j, found, code, plan)
        values, exponent = found.values, found.exponent
        if code == "relu":
            values = np.maximum(values, 0)
        elif code in SINES:
            assert plan.after is not None
            values, exponent = sine(values, exponent, plan.after), plan.after
            self._add(plan.post, (1, -exponent))
        elif code != IDENTITY:
            function = pieces(code)
            assert function is not None
            values, exponent, moved = rounded(*straight(function, values, exponent), plan.after)
            if moved:
                self._add(plan.post, (1, -exponent - 1))
        return to_column(found.partition, values, exponent, self.partitions, self.single)

    def _add(self, sensitivity: Upper, moved: Upper) -> None:
        """Count a rounding."""
        self.slack = plus(self.slack, times(sensitivity, moved))

    def _slack(self, sensitivity: Upper, exponent: int) -> int:
        """The error so far of a value of this sensitivity, in units of ``2**-exponent``, from above."""
        if not self.slack[0] or not sensitivity[0]:
            return 0
        size, power = over(self.slack, sensitivity)
        power += exponent
        return size << power if power >= 0 else -(-size >> -power)

    def _tell(self, index: int, j: int, found: Sum, code: str, plan: Plan) -> None:
        """Trace a unit."""
        assert self.trace is not None
        marks = [NOTHING]
        if code != "relu":
            function = pieces(code)
            assert function is not None
            if function.period is not None:
                raise ValueError(f"patterns need finitely many break-points. Got {code}. Write trace=None.")
            marks = list(function.marks)
        scaled = [(mark << found.exponent).fraction for mark in marks]
        places = sides(
            [-(-mark.numerator // mark.denominator) - 1 for mark in scaled],
            [mark.numerator // mark.denominator + 1 for mark in scaled],
            found.values,
            self._slack(plan.pre, found.exponent),
        )
        self.trace(index, (j,), Pattern(found.partition, places, not self.slack[0]))

    def _tell_hinges(self, index: int, made: Sequence[Column | Hinge]) -> None:
        """Trace the hinges of a layer, those of one column together."""
        assert self.trace is not None
        groups: dict[int, list[Hinge]] = {}
        for unit in made:
            if isinstance(unit, Hinge) and unit.place[0] == index:
                groups.setdefault(id(unit.base), []).append(unit)
        for group in groups.values():
            base = group[0].base
            bends = sorted(hinge.bend() for hinge in group)
            source = self.layers[index].rows[group[0].place[1]]
            number = next(source for source, weight in source if weight)
            slack = self._slack(self.plans[index - 1][number].post, base.exponent) if index else 0
            places = sides([below for below, _ in bends], [above for _, above in bends], base.values, slack)
            units = tuple(hinge.place[1] for hinge in group)
            self.trace(index, units, Pattern(base.partition, places, not self.slack[0]))


def plan(layers: Sequence[SparseLayer], exponent: int, bits: int | None) -> list[list[Plan]]:
    """How many binary places each unit keeps so that all roundings together stay within ``2^-bits``."""
    post = sensitivities(layers)
    pre = [
        [times(s, lipschitz(code)) for s, code in zip(above, layer.activations, strict=True)]
        for layer, above in zip(layers, post, strict=True)
    ]
    if bits is None:
        return [[Plan(None, None, p, s) for p, s in zip(*pair, strict=True)] for pair in zip(pre, post, strict=True)]
    n_units = sum(layer.n_out for layer in layers)
    made = _shares(layers, pre, post, bits + n_units.bit_length())
    for spare in range(_n_rounding(layers, made, exponent).bit_length(), n_units.bit_length()):
        finer = _shares(layers, pre, post, bits + spare)
        if _n_rounding(layers, finer, exponent) <= 1 << spare:
            return finer
    return made


def _shares(
    layers: Sequence[SparseLayer], pre: Sequence[Sequence[Upper]], post: Sequence[Sequence[Upper]], bits: int
) -> list[list[Plan]]:
    """Places of each unit if its roundings may move the outputs by ``2^-bits``."""
    plans = []
    for layer, ps, ss in zip(layers, pre, post, strict=True):
        row_plans = []
        for row, code, p, s in zip(layer.rows, layer.activations, ps, ss, strict=True):
            twice = code not in ("relu", IDENTITY)
            before = max(0, bits + twice + ceil_log2(p) + len(row).bit_length())
            row_plans.append(Plan(before, max(0, bits + twice + ceil_log2(s)), p, s))
        plans.append(row_plans)
    return plans


def _n_rounding(layers: Sequence[SparseLayer], plans: Sequence[Sequence[Plan]], exponent: int) -> int:
    """How many units round, judged by exponents alone."""
    places, count = [exponent] * layers[0].n_in, 0
    for layer, row_plans in zip(layers, plans, strict=True):
        after = []
        for row, bias, code, plan in zip(layer.rows, layer.bias, layer.activations, row_plans, strict=True):
            assert plan.before is not None
            assert plan.after is not None
            needed = max((places[source] - weight.exponent for source, weight in row if weight), default=0)
            needed = max(needed, -bias.exponent if bias else needed)
            kept = min(needed, plan.before)
            function = None if code in SINES or code in ("relu", IDENTITY) else pieces(code)
            value = kept if function is None else max(kept, function.places) + function.finer
            count += needed > plan.before or code in SINES or (function is not None and value > plan.after)
            after.append(plan.after if code in SINES else value if function is None else min(value, plan.after))
        places = after
    return count
