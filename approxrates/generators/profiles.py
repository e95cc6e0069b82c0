r"""Proven models of a tree in one variable after a smooth form, and of trees in one another, on b-adic cells.

*After a form* ``t(x)``, itself a Taylor model on the cell: its values fill an interval. Cells of the tree about a
quarter as long cover it; the tree's own models of these are proven. A quadratic polynomial in t is fitted to them by
least squares, and how far it is off each of them, by the extremes of a quadratic, is the remainder. So the remainder is
nearly the distance of this tree from this polynomial on this interval, and has the tree's rate. The polynomial of the
form is then put in; where it is so bent that the range of g says more, that is taken.

*Rounding.* The interval is made longer by the rounding of the form, so it holds the exact t; what the polynomial makes
of that rounding counts.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from approxrates.generators.base import ROUND_UP, Floats
from approxrates.generators.models import Cells, checked_cells
from approxrates.generators.singular import within
from approxrates.target import Target
from approxrates.taylor import UNIT, TaylorModel, n_terms

_CHUNK = 4_096
_PARTS = 4  # cells of the tree in the interval, at least
_NODES = np.array([-0.8, 0.0, 0.8])
_DEEPEST = 46  # bits of the finest cells that the place of an interval, good to a few units, can tell apart


@dataclass(frozen=True)
class ProfileModel:
    """The enclosure of ``g(t(x))``, see the text of the module.

    Attributes:
        dim: Number of coordinates of x.
        tree: The g, a target in one variable with an enclosure.
        form: ``(centres of shape (n, dim), half width) -> model`` of t on cells; t lies in ``[0, 1]``.
    """

    dim: int
    tree: Target = field(repr=False)
    form: Callable[[Floats, float], TaylorModel] = field(repr=False)

    def __call__(self, level: int, index: Any) -> TaylorModel:
        """Model on the cells of a level, given as whole numbers of shape ``(n, dim)``."""
        b = self.tree.base
        numbers, half = checked_cells(b, self.dim, level, index), 0.5 / float(b) ** int(level)
        centres = (2 * numbers + 1).astype(np.float64) * half
        terms, remainder = np.zeros((n_terms(self.dim), len(numbers))), np.zeros(len(numbers))
        for start in range(0, len(numbers), _CHUNK):
            rows = slice(start, start + _CHUNK)
            model = self._on_cells(self.form(centres[rows], half))
            terms[:, rows], remainder[rows] = model.terms, model.remainder
        return TaylorModel(self.dim, terms, remainder)

    def _on_cells(self, inner: TaylorModel) -> TaylorModel:
        """Models of g after models of t."""
        bits = math.log2(self.tree.base)
        low, high = (end.clip(0.0, 1.0) for end in inner.range())
        deep = np.ceil((math.log2(_PARTS) - np.log2(np.maximum(high - low, 2.0**-_DEEPEST))) / bits - 1e-6)
        deep = deep.clip(0, math.floor(_DEEPEST / bits))
        count = float(self.tree.base) ** deep
        first = np.minimum(np.floor(low * count), count - 1.0)
        n = np.minimum(np.floor(high * count), count - 1.0) - first + 1.0
        terms, error, ends = np.zeros((3, len(low))), np.zeros(len(low)), np.zeros((2, len(low)))
        for level, parts in np.unique(np.stack([deep, n]), axis=1).T.astype(np.int64).tolist():
            rows = np.flatnonzero((deep == level) & (n == parts))
            terms[:, rows], error[rows], ends[:, rows] = self._window(level, first[rows].astype(np.int64), parts)
        # The place in the window. Its middle and half width are exact; the difference and the quotient are rounded.
        place = inner.terms.copy()
        place[0] -= (first + 0.5 * n) / count
        place /= 0.5 * n / count
        sizes = np.abs(place).sum(axis=0)
        outer = TaylorModel(self.dim, place, inner.remainder / (0.5 * n / count) * ROUND_UP + 4.0 * UNIT * sizes)
        square = outer * outer
        found = terms[1] * outer.terms + terms[2] * square.terms
        found[0] += terms[0]
        lost = error + np.abs(terms[1]) * outer.remainder + np.abs(terms[2]) * square.remainder
        lost = lost + 8.0 * UNIT * (np.abs(terms[0]) + np.abs(terms[1]) * sizes + np.abs(terms[2]) * sizes**2)
        return within(TaylorModel(self.dim, found, lost * ROUND_UP), *ends)

    def _window(self, level: int, first: Cells, n: int) -> tuple[Floats, Floats, Floats]:
        """A quadratic polynomial on ``n`` cells from the first on, how far g is off it at most, and bounds of g."""
        assert self.tree.enclosure is not None
        own, where = np.unique(first[:, None] + np.arange(n), return_inverse=True)
        model, where = self.tree.enclosure(level, own[:, None]), where.reshape(len(first), n)
        centre, width = (2.0 * np.arange(n) + 1.0) / n - 1.0, 1.0 / n
        v = (centre[:, None] + width * _NODES).ravel()
        values = (np.stack([np.ones(3), _NODES, _NODES**2], axis=1) @ model.terms)[:, where]
        solution = np.linalg.pinv(np.stack([np.ones_like(v), v, v**2], axis=1))
        fitted = solution @ np.moveaxis(values, 0, 2).reshape(len(first), -1).T
        a, b, c = fitted[:, :, None]
        line = np.stack([a + b * centre + c * centre**2, (b + 2.0 * c * centre) * width, c * width**2 + 0.0 * centre])
        parts = model.terms[:, where]
        off = TaylorModel(1, (parts - line).reshape(3, -1), model.remainder[where].ravel())
        low, high = (end.reshape(where.shape) for end in off.range())
        most, least = high.max(axis=1), low.min(axis=1)
        fitted[0] += 0.5 * (most + least)
        rounding = 16.0 * UNIT * (np.abs(fitted).sum(axis=0) + np.abs(parts).sum(axis=0).max(axis=1))
        lowest, highest = model.range()
        ends = np.stack([lowest[where].min(axis=1), highest[where].max(axis=1)])
        return fitted, 0.5 * (most - least) * ROUND_UP + rounding, ends


@dataclass(frozen=True)
class Mirrored:
    """The enclosure of ``g(1 - x)`` in one variable."""

    tree: Target = field(repr=False)

    def __call__(self, level: int, index: Any) -> TaylorModel:
        """Model on the cells of a level, given as whole numbers of shape ``(n, 1)``."""
        assert self.tree.enclosure is not None
        numbers = checked_cells(self.tree.base, 1, level, index)
        model = self.tree.enclosure(int(level), self.tree.base ** int(level) - 1 - numbers)
        return TaylorModel(1, model.terms * np.array([[1.0], [-1.0], [1.0]]), model.remainder)


@dataclass(frozen=True)
class Affine:
    """Model of ``sum_i w_i x_i``, ``1 - x_i`` in place of ``x_i`` where the sign is negative, ``w_i`` of sum 1.

    Attributes:
        shares: The weights, each good to one rounding.
        signs: +1 or -1 for each coordinate.
    """

    shares: tuple[float, ...]
    signs: tuple[int, ...]

    def __call__(self, centres: Floats, half: float) -> TaylorModel:
        """Model on cells; sums of d products of rounded numbers of sum 1 are good to ``d + 4`` units."""
        d = len(self.shares)
        terms = np.zeros((n_terms(d), len(centres)))
        for i, (share, sign) in enumerate(zip(self.shares, self.signs, strict=True)):
            terms[0] += share * (centres[:, i] if sign > 0 else 1.0 - centres[:, i])
            terms[1 + i] = sign * share * half
        return TaylorModel(d, terms, np.full(len(centres), 2.0 * (d + 4) * UNIT))


def squared_distance(centres: Floats, half: float) -> TaylorModel:
    """Model of ``|x|^2 / d`` on cells: exact but for roundings of positive numbers of sum 1 at most."""
    d = centres.shape[1]
    terms = np.zeros((n_terms(d), len(centres)))
    rows, columns = np.triu_indices(d)
    terms[0] = np.einsum("ij,ij->i", centres, centres) / d
    terms[1 : 1 + d] = 2.0 * half * centres.T / d
    terms[1 + d + np.flatnonzero(rows == columns)] = half * half / d
    return TaylorModel(d, terms, np.full(len(centres), 2.0 * (d + 4) * UNIT))


@dataclass(frozen=True)
class ComposedModel:
    r"""The enclosure of functions of two variables along a binary tree: models in the last row, ranges above it.

    The values of two functions of a row fill a rectangle. Cells of the function above, at most as wide as its longer
    side, cover it, nine at most; the ranges of their models are joined. If a row has ranges of size ``h^e``, the next
    one has ``h^(e s)``.
    """

    nodes: tuple[Target, ...] = field(repr=False)
    factor: Fraction

    def __call__(self, level: int, index: Any) -> TaylorModel:
        """Model on the dyadic cells of a level, given as whole numbers of shape ``(n, dim)``: constants."""
        d = len(self.nodes) + 1
        numbers = checked_cells(2, d, level, index)
        first, factor = d // 2 - 1, float(self.factor)
        row: list[tuple[Floats, Floats]] = []
        for i in range(d // 2):
            enclosure = self.nodes[first + i].enclosure
            assert enclosure is not None
            row.append(enclosure(int(level), np.ascontiguousarray(numbers[:, 2 * i : 2 * i + 2])).range())
        while len(row) > 1:
            # Two roundings of numbers of at most 1.
            inside = [(0.5 + factor * low - 2 * UNIT, 0.5 + factor * high + 2 * UNIT) for low, high in row]
            first = len(row) // 2 - 1
            row = [_range(self.nodes[first + i], *inside[2 * i : 2 * i + 2]) for i in range(len(row) // 2)]
        low, high = row[0]
        terms = np.zeros((n_terms(d), len(numbers)))
        terms[0] = 0.5 * (low + high)
        return TaylorModel(d, terms, 0.5 * (high - low) * ROUND_UP + 2 * UNIT * (np.abs(low) + np.abs(high)))


def _range(node: Target, *sides: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """Bounds of a function of two variables on rectangles."""
    assert node.enclosure is not None
    lows, highs = (np.stack([side[k].clip(0.0, 1.0) for side in sides], axis=1) for k in (0, 1))
    width = np.maximum((highs - lows).max(axis=1), 2.0**-_DEEPEST)
    deep = np.ceil(-np.log2(width)).clip(0, _DEEPEST).astype(np.int64)
    low, high = np.full(len(lows), np.inf), np.full(len(lows), -np.inf)
    for level in np.unique(deep):
        rows = np.flatnonzero(deep == level)
        count = 2 ** int(level)
        begin = np.minimum(np.floor(lows[rows] * count), count - 1).astype(np.int64)
        end = np.minimum(np.floor(highs[rows] * count), count - 1).astype(np.int64)
        for step in itertools.product(range(int((end - begin).max(initial=0)) + 1), repeat=2):
            # Beyond the rectangle a cell is asked twice, which changes nothing.
            found = node.enclosure(int(level), np.minimum(begin + np.array(step), end)).range()
            low[rows], high[rows] = np.minimum(low[rows], found[0]), np.maximum(high[rows], found[1])
    return low, high
