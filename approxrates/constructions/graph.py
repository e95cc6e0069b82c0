"""A small language for networks: write units as formulas, get a strictly feed-forward network with every carry counted.

A formula is an affine combination of units and inputs. A unit sits on the lowest level above everything it reads (or
later, on request). A value read further up is carried there by one identity-weight ReLU unit per level: a network here
has no skip connections, and a carry is a weight like any other. So only values that are never negative can be carried;
the graph refuses to carry a unit whose activation can give negative values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from approxrates.layers import IDENTITY, ONE, Dyadic, SparseLayer, dyadic
from approxrates.network import Network

Number = Dyadic | int | float
_NEVER_NEGATIVE = frozenset(
    {"relu", "relu2", "relu3", "heaviside", "abs", "triangle", "quadratic_bspline", "cubic_bspline"}
)


class Affine:
    """An affine combination ``sum_i w_i unit_i + constant`` with dyadic weights; immutable.

    Sums, differences and multiples by numbers are formulas again. Terms that cancel are dropped; a weight that is
    given as zero stays (see :func:`combination`).

    Attributes:
        terms: Weight by unit number.
        constant: The constant, None if there is none.
    """

    __slots__ = ("constant", "terms")

    def __init__(self, terms: Mapping[int, Dyadic] | None = None, constant: Dyadic | None = None) -> None:
        self.terms: Mapping[int, Dyadic] = terms or {}
        self.constant = constant

    def __add__(self, other: Affine | Number) -> Affine:
        right = affine(other)
        small, large = sorted((self.terms, right.terms), key=len)
        terms = dict(large)
        for unit, weight in small.items():
            _accumulate(terms, unit, weight)
        return Affine(terms, _sum(self.constant, right.constant))

    __radd__ = __add__

    def __neg__(self) -> Affine:
        return self * -1

    def __sub__(self, other: Affine | Number) -> Affine:
        return self + -affine(other)

    def __rsub__(self, other: Number) -> Affine:
        return affine(other) + -self

    def __mul__(self, factor: Number) -> Affine:
        by = dyadic(factor)
        if not by:
            return Affine()
        constant = None if self.constant is None else self.constant * by
        return Affine({unit: weight * by for unit, weight in self.terms.items()}, constant)

    __rmul__ = __mul__

    def __lshift__(self, places: int) -> Affine:
        """``self * 2**places``."""
        return self * Dyadic(1, places)

    def __rshift__(self, places: int) -> Affine:
        return self * Dyadic(1, -places)


def affine(value: Affine | Number) -> Affine:
    """A number as a formula; zero has no constant."""
    if isinstance(value, Affine):
        return value
    number = dyadic(value)
    return Affine(None, number if number else None)


def combination(terms: Iterable[tuple[Affine, Number]], constant: Number | None = None) -> Affine:
    """``sum_i w_i formula_i + constant``, quickly; weights and a constant given as zero stay, as table entries do."""
    total: dict[int, Dyadic] = {}
    offset = None if constant is None else dyadic(constant)
    for formula, factor in terms:
        by = dyadic(factor)
        for unit, weight in formula.terms.items():
            _accumulate(total, unit, weight * by)
        if formula.constant is not None:
            offset = _sum(offset, formula.constant * by)
    return Affine(total, offset)


def _accumulate(terms: dict[int, Dyadic], unit: int, weight: Dyadic) -> None:
    """Add a weight in place; one that cancels another is dropped."""
    before = terms.get(unit)
    if before is None:
        terms[unit] = weight
        return
    total = before + weight
    if total or not weight or not before:
        terms[unit] = total
    else:
        del terms[unit]


def _sum(left: Dyadic | None, right: Dyadic | None) -> Dyadic | None:
    """A sum of constants, None where there is none or where they cancel."""
    if left is None or right is None:
        return right if left is None else left
    total = left + right
    return total if total or not left or not right else None


class Graph:
    """Units of a network that is being written down.

    Args:
        dim: Number of inputs.

    Example:
        >>> graph = Graph(1)
        >>> x = graph.input()
        >>> hat = 2 * graph.relu(x) - 4 * graph.relu(x - Dyadic(1, -1))
        >>> network = graph.network([hat])
        >>> network.n_params, network.depth, [float(y) for y in network([0.0, 0.5, 0.75])]
        (5, 1, [0.0, 1.0, 0.5])
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self._formulas: list[Affine] = []
        self._codes: list[str] = []
        self._labels: list[str] = []
        self._levels: list[int] = [0] * dim
        self._label = ""

    def input(self, axis: int = 0) -> Affine:
        """The coordinate ``x_axis``, in ``[0, 1]``."""
        return Affine({axis: ONE})

    def unit(self, formula: Affine | Number, code: str, level: int = 0) -> Affine:
        """A new unit ``code(formula)``, on ``level`` or the lowest level above what it reads, whichever is higher."""
        reads = affine(formula)
        lowest = 1 + max((self._levels[unit] for unit in reads.terms), default=0)
        self._formulas.append(reads)
        self._codes.append(code)
        self._labels.append(self._label)
        self._levels.append(max(lowest, level))
        return Affine({len(self._levels) - 1: ONE})

    def relu(self, formula: Affine | Number, level: int = 0) -> Affine:
        """A new unit ``max(formula, 0)``; see :meth:`unit`."""
        return self.unit(formula, "relu", level)

    def level(self, *formulas: Affine) -> int:
        """The highest level that formulas read: they can feed a unit on the next one."""
        return max((self._levels[unit] for formula in formulas for unit in formula.terms), default=0)

    @contextmanager
    def part(self, label: str) -> Iterator[None]:
        """Units made inside carry this label in drawings."""
        before, self._label = self._label, label
        try:
            yield
        finally:
            self._label = before

    def network(
        self, outputs: Sequence[Affine], provenance: Mapping[str, Any] | None = None, *, max_width: int | None = None
    ) -> Network:
        """The network that computes formulas: levels as layers, carries in between, unread units left out.

        Raises:
            ValueError: If a unit that may be negative would have to be carried, or a layer is wider than
                ``max_width``, naming it.
        """
        top = 1 + self.level(*outputs)
        needed = self._last_reads(outputs, top)
        by_level: list[list[int]] = [[] for _ in range(top)]
        for unit in needed:
            by_level[self._levels[unit]].append(unit)
        alive, layers = list(range(self.dim)), []
        for level in range(1, top):
            new = sorted(by_level[level])
            carried = [unit for unit in alive if needed.get(unit, 0) > level]
            layers.append(self._layer(alive, new, carried))
            if max_width is not None and len(new) + len(carried) > max_width:
                parts = {self._labels[unit - self.dim] or "?" for unit in new + carried if unit >= self.dim}
                raise ValueError(
                    f"level {level} must have at most {max_width} units. Got {len(new)} new and {len(carried)} carried "
                    f"({', '.join(sorted(parts))})."
                )
            alive = new + carried
        place = {unit: k for k, unit in enumerate(alive)}
        rows = tuple(tuple((place[unit], weight) for unit, weight in out.terms.items()) for out in outputs)
        codes = (IDENTITY,) * len(outputs)
        layers.append(
            SparseLayer(len(alive), rows, tuple(out.constant for out in outputs), codes, ("output",) * len(rows))
        )
        return Network(tuple(layers), provenance or {})

    def _last_reads(self, outputs: Sequence[Affine], top: int) -> dict[int, int]:
        """The last level that reads each unit; units that no output depends on are not there."""
        last: dict[int, int] = {}
        for formula in outputs:
            for unit in formula.terms:
                last[unit] = top
        for unit in range(len(self._levels) - 1, self.dim - 1, -1):
            if unit in last:
                for source in self._formulas[unit - self.dim].terms:
                    last[source] = max(last.get(source, 0), self._levels[unit])
        return last

    def _layer(self, before: Sequence[int], new: Sequence[int], carried: Sequence[int]) -> SparseLayer:
        """One layer: new units, then carries."""
        place = {unit: k for k, unit in enumerate(before)}
        formulas = [self._formulas[unit - self.dim] for unit in new]
        for unit in carried:
            if unit >= self.dim and self._codes[unit - self.dim] not in _NEVER_NEGATIVE:
                code, label = self._codes[unit - self.dim], self._labels[unit - self.dim]
                raise ValueError(
                    f"a carried unit must never be negative. Got a {code} unit ({label or 'no label'}). "
                    "Shift it, or carry its two ReLU parts."
                )
        rows = [tuple((place[source], weight) for source, weight in formula.terms.items()) for formula in formulas]
        rows += [((place[unit], ONE),) for unit in carried]
        bias = [formula.constant for formula in formulas] + [None] * len(carried)
        codes = [self._codes[unit - self.dim] for unit in new] + ["relu"] * len(carried)
        labels = [self._labels[unit - self.dim] for unit in new]
        labels += [(self._labels[unit - self.dim] if unit >= self.dim else "input") + " carry" for unit in carried]
        return SparseLayer(len(before), tuple(rows), tuple(bias), tuple(codes), tuple(labels))
