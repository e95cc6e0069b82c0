r"""Proven models of sums of bumps on b-adic cells: quadratic polynomials and what they leave out.

On a cell of level L the levels ``k < L`` are known bumps on known parts of their cells: Taylor models, see
:mod:`~approxrates.generators.pieces`. What is finer is bounded as a whole. For bumps between 0 and 1 and signs of at
most 1 the levels ``>= L`` stay within the sum ``S_L(x) = sum_{k >= L} a_k prod_i psi(b^(k-L) x_i)`` of bumps of equal
sign, and:

* *One coordinate is enough.* By Hölder's inequality ``sum_k a_k prod_i psi_i,k <= prod_i (sum_k a_k psi_i,k^d)^(1/d)``,
  with equality on the diagonal: ``sup S_L`` is the supremum of the sum in d = 1 of the bump ``psi^d``.
* *It is a recursion.* ``S_L(x) = a_L psi(x)^d + S_{L+1}(b x)``: see :mod:`~approxrates.generators.tails`.
* *The own level has a known sign.* It is written as ``alpha - beta sum_i t_i^2``, of which the grid says how far it is
  off, in d = 1 together with the finer levels. If every sign is +1, the finer levels lie between 0 and ``S_{L+1}``.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from approxrates.generators.base import ROUND_UP, BumpSum, Floats, cells, chunks
from approxrates.generators.pieces import Pieces, Spline
from approxrates.generators.signs import AllPlus
from approxrates.generators.tails import greatest_below, grid_size, tail_bounds
from approxrates.generators.tensor import product
from approxrates.taylor import UNIT, TaylorModel, n_terms

Cells = NDArray[np.int64]
DEEPEST = 52  # cells of side below 2^-52 have no exact centres in float64
_OWN_CELLS = {2: 128, 3: 32}  # per half coordinate, of the grid that measures the own level in d = 2 and 3
_BENDS = np.linspace(0.0, 2.0, 65)
_SLACK = 1e-12
_CHUNK = 16_384


def checked_cells(base: int, dim: int, level: int, index: Any) -> Cells:
    """Cell numbers of a level as an array ``(n, dim)``.

    Raises:
        ValueError: If the level is no whole number with ``base**level <= 2**52``, or a cell lies outside the cube.
    """
    if not isinstance(level, (int, np.integer)) or level < 0 or base ** int(level) > 1 << DEEPEST:
        most = math.floor(DEEPEST / math.log2(base) + 1e-9)
        raise ValueError(f"level must be a whole number between 0 and {most} for base {base}. Got level={level!r}.")
    numbers = np.asarray(index)
    if numbers.ndim != 2 or numbers.shape[1] != dim or numbers.dtype.kind not in "iu":
        what = f"shape {numbers.shape} of {numbers.dtype}"
        raise ValueError(f"cells must be whole numbers of shape (n, {dim}). Got {what}. Write e.g. [[0]].")
    numbers = numbers.astype(np.int64)
    if numbers.size and not (numbers.min() >= 0 and numbers.max() < base ** int(level)):
        span = f"[{numbers.min()}, {numbers.max()}]"
        raise ValueError(f"cells of level {level} must lie in [0, {base}**{level}). Got {span}. Use a finer level.")
    return numbers


def cell_centres(level: int, index: Cells) -> tuple[Floats, float]:
    """Centres, shape ``(n, dim)``, and half width of dyadic cells, both exact."""
    half = 0.5 ** (level + 1)
    return (2 * index + 1).astype(np.float64) * half, half


@dataclass(frozen=True)
class Own:
    """Model of the levels ``>= L`` on a cell of level L whose sign is s: ``s (constant + square sum_i t_i^2)``.

    Attributes:
        constant: See above.
        square: See above.
        remainder: How far it is off at most.
        below: Bound on the levels ``> L`` alone, for cells of sign 0.
    """

    constant: float
    square: float
    remainder: float
    below: float


def _best_square(
    upper: Floats, lower: Floats, most: Floats, least: Floats, bends: Floats
) -> tuple[float, float, float]:
    """Constant and square whose distance to a function is least; and that distance.

    Args:
        upper: Upper bounds of the function on parts of the box, shape ``(n,)``.
        lower: Lower bounds.
        most: Upper bounds of ``sum_i t_i^2`` on the parts.
        least: Lower bounds.
        bends: Squares tried, with the opposite sign; shape ``(k,)``.
    """
    high = np.array([(upper + bend * most).max() for bend in bends])
    low = np.array([(lower + bend * least).min() for bend in bends])
    best = int(np.argmin(high - low))
    reach = 0.5 * (high[best] - low[best]) * ROUND_UP + _SLACK * (abs(high[best]) + abs(low[best]))
    return float(0.5 * (high[best] + low[best])), -float(bends[best]), float(reach)


def _bounds(pieces: Pieces, n_cells: int) -> tuple[Floats, Floats]:
    """Upper and lower bounds of the bump on equal parts of its cell, each of shape ``(n_cells,)``."""
    a, b, c, e = pieces.factor(2 * np.arange(n_cells) + 1, 2 * n_cells)
    zero = np.zeros(n_cells)
    c, e = zero if c is None else c, zero if e is None else e
    upper = a + np.abs(b) + np.maximum(c, 0.0) + e + _SLACK
    return upper.clip(0.0, 1.0), (a - np.abs(b) + np.minimum(c, 0.0) - e - _SLACK).clip(0.0, 1.0)


def _squares(n_cells: int) -> tuple[Floats, Floats]:
    """Greatest and least ``t^2`` on equal parts of ``[-1, 1]``."""
    ends = np.abs(2.0 * np.arange(n_cells + 1) / n_cells - 1.0)
    most = np.maximum(ends[1:], ends[:-1]) ** 2
    inside = (np.arange(n_cells) == n_cells // 2) & (n_cells % 2 == 1)
    return most + _SLACK, np.where(inside, 0.0, np.minimum(ends[1:], ends[:-1]) ** 2 - _SLACK)


@dataclass(frozen=True)
class BumpModel:
    """The enclosure of a sum of spline bumps: ``(level, cells) -> TaylorModel``, see the text of the module.

    The bump must have an ``order`` m: a spline of m equal pieces with ``m - 2`` continuous derivatives.
    """

    tree: BumpSum

    @functools.cached_property
    def pieces(self) -> Pieces:
        """The polynomials of the bump."""
        return Pieces(cast(Spline, self.tree.bump))

    @functools.cached_property
    def heights(self) -> list[float]:
        """Amplitudes in float64."""
        return [float(a) for a in self.tree.amplitudes]

    @property
    def is_plus(self) -> bool:
        """Whether all signs are +1."""
        return isinstance(self.tree.signs, AllPlus)

    @functools.cached_property
    def own(self) -> list[Own]:
        """What stands for the levels ``>= L``, for each level of the sum."""
        b, d = self.tree.base, self.tree.dim
        upper, lower = (bound**d for bound in _bounds(self.pieces, grid_size(b)))
        tails, result = tail_bounds(b, self.heights, [(upper, lower)] * len(self.heights)), []
        for level, height in enumerate(self.heights):
            (high, low), finer = tails[level], tails[level + 1][0]
            if not self.is_plus:
                below = greatest_below(finer, b)
                low = height * lower - below - _SLACK * (height + below)
            result.append(self._own(height, float(finer.max()), high, low))
        return result

    def _own(self, height: float, below: float, high: Floats, low: Floats) -> Own:
        """The model of one level and the finer ones, from bounds on them on the grid (used in d = 1)."""
        if self.tree.dim == 1:
            constant, square, reach = _best_square(high, low, *_squares(len(high)), height * _BENDS)
            return Own(constant, square, reach, below)
        constant, square, reach = self.alone
        middle = 0.5 * below if self.is_plus else 0.0
        reach = (height * reach + below - middle) * ROUND_UP
        return Own(height * constant + middle, height * square, reach, below)

    @functools.cached_property
    def alone(self) -> tuple[float, float, float]:
        """Constant, square and distance for one bump of height 1 in d > 1, by its values on one octant."""
        d = self.tree.dim
        if d not in _OWN_CELLS:
            return 0.5, 0.0, 0.5
        n = _OWN_CELLS[d]
        upper, lower = (bound[n:] for bound in _bounds(self.pieces, 2 * n))
        most, least = (square[n:] for square in _squares(2 * n))
        high, low = upper, lower
        far, near = most, least
        for _ in range(d - 1):
            high, low = np.multiply.outer(high, upper), np.multiply.outer(low, lower)
            far, near = np.add.outer(far, most), np.add.outer(near, least)
        return _best_square(high.ravel(), low.ravel(), far.ravel(), near.ravel(), _BENDS)

    def rounding(self, level: int) -> float:
        r"""Bound on the errors of all coefficients on a cell of a level, and of their sum.

        A factor has coefficients of sum at most M with errors of ``kappa`` units together, so a product of d has errors
        of ``(d kappa M^(d-1) + d M^d)`` units; amplitude, sign and scaling cost 3 more. Levels are added from fine to
        coarse: level k takes part in ``k + 2`` additions.
        """
        d, half = self.tree.dim, 0.5 / self.tree.base
        size, kappa = self.pieces.magnitude(half), self.pieces.rounding(half)
        product_error = d * kappa * size ** (d - 1) + (d + 3) * size**d
        levels = enumerate(self.heights[:level])
        units = math.fsum(a * (product_error + (k + 2) * size**d) for k, a in levels)
        own = self.own[level] if level < len(self.heights) else Own(0.0, 0.0, 0.0, 0.0)
        return 1.01 * UNIT * (units + (level + 4) * (abs(own.constant) + d * abs(own.square)))

    def __call__(self, level: int, index: Any) -> TaylorModel:
        """Model on the cells of a level, given as whole numbers of shape ``(n, dim)``."""
        numbers = checked_cells(self.tree.base, self.tree.dim, level, index)
        terms, remainder = np.zeros((n_terms(self.tree.dim), len(numbers))), np.zeros(len(numbers))
        for start in range(0, len(numbers), _CHUNK):
            rows = slice(start, start + _CHUNK)
            columns = [np.ascontiguousarray(column) for column in numbers[rows].T]
            terms[:, rows], remainder[rows] = self._on_cells(int(level), columns)
        return TaylorModel(self.tree.dim, terms, (remainder + self.rounding(int(level))) * ROUND_UP)

    def _on_cells(self, level: int, columns: list[Cells]) -> tuple[Floats, Floats]:
        """Terms and remainder, rounding not counted."""
        terms, remainder = self._fine(level, columns)
        for k in range(min(level, len(self.heights)) - 1, -1, -1):
            if not self.heights[k]:
                continue
            width = self.tree.base ** (level - k)
            index = [j // width for j in columns]
            factors = [
                self.pieces.factor(2 * (j - i * width) + 1, 2 * width) for j, i in zip(columns, index, strict=True)
            ]
            added, lost = product(factors)
            added *= self.heights[k]
            if not self.is_plus:
                added *= self._signs(k, index)
            terms += added
            if lost is not None:
                remainder += self.heights[k] * lost
        return terms, remainder

    def _fine(self, level: int, columns: list[Cells]) -> tuple[Floats, Floats]:
        """The part of the cells' own level and of the finer ones."""
        d = self.tree.dim
        terms, remainder = np.zeros((n_terms(d), len(columns[0]))), np.zeros(len(columns[0]))
        if level >= len(self.heights):
            return terms, remainder
        own = self.own[level]
        signs = np.ones(1) if self.is_plus else self._signs(level, columns)
        terms[0] = signs * own.constant
        rows, others = np.triu_indices(d)
        terms[1 + d + np.flatnonzero(rows == others)] = signs * own.square
        remainder[:] = np.where(signs == 0.0, own.below, own.remainder)
        return terms, remainder

    def _signs(self, level: int, index: list[Cells]) -> Floats:
        """Signs of cells."""
        return self.tree.signs.of_cells(level, [j.astype(np.uint64) for j in index])


@dataclass(frozen=True)
class BumpGradient:
    """First derivatives of a sum of spline bumps of order 3 and more."""

    model: BumpModel

    def __call__(self, x: Floats) -> Floats:
        """First derivatives at points of the cube, ``(n, dim) -> (n, dim)``."""
        tree, pieces, result = self.model.tree, self.model.pieces, np.zeros(x.shape)
        for rows, columns in chunks(x):
            walks = [cells(np.where(c == 1.0, 0.0, c), tree.base, len(tree.amplitudes)) for c in columns]
            for level, places in enumerate(zip(*walks, strict=True)):
                size = self.model.heights[level] * float(tree.base) ** level
                signs = tree.signs.of_cells(level, [index for index, _ in places]) * size
                values = [tree.bump.values(fraction.copy()) for _, fraction in places]
                for i, (_, fraction) in enumerate(places):
                    others = math.prod((v for j, v in enumerate(values) if j != i), start=signs)
                    result[rows, i] += pieces.slope(fraction) * others
        return result


def bump_sum_enclosure(tree: BumpSum) -> BumpModel:
    """The enclosure of a sum of spline bumps with signs of at most 1: a ``Target.enclosure``."""
    return BumpModel(tree)


def bump_sum_gradient(tree: BumpSum) -> BumpGradient:
    """First derivatives of a sum of spline bumps of order 3 and more: a ``Target.gradient``."""
    return BumpGradient(BumpModel(tree))
