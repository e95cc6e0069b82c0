"""Mixed tree: a tensor Faber sum over the levels of each coordinate. Easy for sparse grids."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from approxrates.generators.base import (
    ROUND_UP,
    BumpSum,
    Floats,
    amplitudes,
    cells,
    deepest,
    geometric,
    holder_constant,
    identity,
    rough,
    whole,
)
from approxrates.generators.faber_tree import Hat
from approxrates.generators.models import BumpModel, cell_centres, checked_cells
from approxrates.generators.rounding import summation_units
from approxrates.generators.signs import AllPlus, Words
from approxrates.generators.tensor import product
from approxrates.regularity import Regularity
from approxrates.seeds import hash_further, hash_sign, hash_signs, hash_words, seed_for, signs_of_words
from approxrates.target import Point, Target
from approxrates.taylor import UNIT, TaylorModel, n_terms

DEFAULT_LEVELS = {2: 28, 3: 16}
_CHUNK = 1024  # points per pass: all levels of the last coordinate stay in the cache
_SLACK = 1e-9  # 0.75 * 4 levels of 0.5 are 6 levels, whatever the rounding

Levels = tuple[int, ...]


def depth(budget: float, smoothness: float) -> int:
    """The finest level whose weight ``level * smoothness`` is within a budget."""
    return math.floor(budget / smoothness + _SLACK)


def multi_levels(budget: float, smoothnesses: tuple[float, ...]) -> Iterator[Levels]:
    """All levels ``l`` with ``sum_i smoothnesses[i] l_i <= budget``, in lexicographic order."""
    if not smoothnesses:
        yield ()
        return
    first, *rest = smoothnesses
    for level in range(depth(budget, first) + 1):
        for others in multi_levels(budget - level * first, tuple(rest)):
            yield (level, *others)


def weight_beyond(budget: float, smoothnesses: tuple[float, ...]) -> float:
    """The sum of ``2^(-sum_i smoothnesses[i] l_i)`` over all levels that :func:`multi_levels` leaves out."""
    if not smoothnesses:
        return 0.0
    first, *rest = smoothnesses
    q, last = 2.0**-first, depth(budget, first)
    everything: float = math.prod(geometric(2, r) for r in rest)
    inner = [math.pow(q, k) * weight_beyond(budget - k * first, tuple(rest)) for k in range(last + 1)]
    total: float = math.fsum(inner) + math.pow(q, last + 1) * geometric(2, first) * everything
    return total


def _intervals(x: Floats, finest: int) -> tuple[Words, Floats]:
    """Number of the interval and value of its hat at levels ``0 .. finest``: two arrays ``(finest + 1, n)``.

    Interval j of level k has the number ``2^k + j``: one number for all intervals of all levels.
    """
    hat, walk = Hat(), cells(np.ascontiguousarray(x), 2, finest + 1)
    pairs = [(index + np.uint64(1 << k), hat.values(share.copy())) for k, (index, share) in enumerate(walk)]
    return np.stack([number for number, _ in pairs]), np.stack([values for _, values in pairs])


@dataclass(frozen=True)
class MixedSum:
    """The sum over levels ``l`` of ``heights[l] sum_j s_lj prod_i Hat(2^l_i x_i - j_i)``.

    Attributes:
        smoothnesses: One per coordinate; the height of l is the product of ``2^(-smoothnesses[i] l_i)``.
        budget: Largest ``sum_i smoothnesses[i] l_i``.
        seed: Seed of the signs.
    """

    smoothnesses: tuple[float, ...]
    budget: float
    seed: int

    @functools.cached_property
    def depths(self) -> Levels:
        """The finest level of each coordinate."""
        return tuple(depth(self.budget, r) for r in self.smoothnesses)

    @functools.cached_property
    def heights(self) -> dict[Levels, Fraction]:
        """Height of each level, exact."""
        single = [amplitudes(2, r, k + 1) for r, k in zip(self.smoothnesses, self.depths, strict=True)]
        return {
            level: math.prod((a[k] for a, k in zip(single, level, strict=True)), start=Fraction(1))
            for level in multi_levels(self.budget, self.smoothnesses)
        }

    @property
    def key(self) -> int:
        """Seed of the hash: other signs than those of a tree of the same seed."""
        return seed_for("mixed tree", seed=self.seed)

    @functools.cached_property
    def rows(self) -> dict[Levels, Floats]:
        """Heights in float64 by the levels of all coordinates but the last: one row over the levels of the last."""
        grouped: dict[Levels, list[float]] = {}
        for level, height in self.heights.items():
            grouped.setdefault(level[:-1], []).append(float(height))
        return {level: np.array(row) for level, row in grouped.items()}

    def evaluate(self, x: Floats) -> Floats:
        """Values at points of the cube, ``(n, dim) -> (n,)``."""
        total, last = np.zeros(len(x)), len(self.smoothnesses) - 1
        for start in range(0, len(x), _CHUNK):
            part = total[start : start + _CHUNK]
            columns = np.where(x[start : start + _CHUNK] == 1.0, 0.0, x[start : start + _CHUNK]).T
            axes = [_intervals(c, k) for c, k in zip(columns, self.depths, strict=True)]
            words: dict[Levels, Words] = {}
            for level, heights in self.rows.items():
                # All levels of the last coordinate at once: what the others contribute is the same for them.
                numbers, hats = axes[last][0][: len(heights)], axes[last][1][: len(heights)]
                values = hats * heights[:, None]
                values *= signs_of_words(hash_further(self._words(words, level, axes), numbers))
                for (_, others), k in zip(axes, level, strict=False):
                    values *= others[k]
                for row in values:
                    part += row
        return total

    def _words(self, known: dict[Levels, Words], level: Levels, axes: list[tuple[Words, Floats]]) -> Words:
        """Words of the intervals of the first coordinates; those of fewer coordinates are kept in ``known``."""
        if level not in known:
            number = axes[len(level) - 1][0][level[-1]]
            first = len(level) == 1
            known[level] = (
                hash_words(self.key, 0, number) if first else hash_further(self._words(known, level[:-1], axes), number)
            )
        return known[level]

    def exact(self, point: Point) -> Fraction:
        """Value at a point of rationals."""
        axes, hat = [], Hat()
        for c, finest in zip(point, self.depths, strict=True):
            shares = [divmod(c.numerator << k, c.denominator) for k in range(finest + 1)]
            axes.append(
                [((1 << k) + j, hat.exact(Fraction(rest, c.denominator))) for k, (j, rest) in enumerate(shares)]
            )
        total, key = Fraction(0), self.key
        for level, height in self.heights.items():
            places = [axis[k] for axis, k in zip(axes, level, strict=True)]
            value = math.prod((v for _, v in places), start=height)
            if value:
                total += hash_sign(key, 0, *(number for number, _ in places)) * value
        return total

    def rounding(self) -> float:
        """Bound on ``|float64 value - exact value|``: hats are good to 1 unit, products and heights to ``d + 1``."""
        heights = [float(a) for a in self.heights.values()]
        units = (2 * len(self.smoothnesses) + 2) * math.fsum(heights) + summation_units(heights)
        return 1.01 * UNIT * units


@dataclass(frozen=True)
class MixedModel:
    r"""Models of a mixed sum on dyadic cells of level m: ``(level, cells) -> TaylorModel``.

    A term with all ``l_i < m`` is a product of affine functions there. All others together are at most
    ``prod_i (S_i + T_i) - prod_i S_i``: ``S_i`` is the sum over ``l_i < m`` of ``2^(-r_i l_i)`` times the greatest
    value of the hat on the cell, ``T_i`` bounds the sum over ``l_i >= m`` in one coordinate. (Hats are not negative, so
    signs and the levels beyond the budget can only make it less.)
    """

    total: MixedSum

    @functools.cached_property
    def tails(self) -> list[list[float]]:
        """The ``T_i``, for each coordinate and each m up to one more than its finest level."""
        result = []
        for r, finest in zip(self.total.smoothnesses, self.total.depths, strict=True):
            heights = amplitudes(2, r, finest + 1)
            own = BumpModel(BumpSum(Hat(), 2, 1, heights, AllPlus(2, 1))).own
            everything = ROUND_UP * math.fsum(float(a) for a in heights)
            result.append([everything, *(ROUND_UP * one.below for one in own)])
        return result

    def __call__(self, level: int, index: Any) -> TaylorModel:
        """Model on the cells of a level, given as whole numbers of shape ``(n, dim)``."""
        dim = len(self.total.smoothnesses)
        numbers = checked_cells(2, dim, level, index)
        centres, half = cell_centres(int(level), numbers)
        axes = [self._factors(i, int(level), centres[:, i], half) for i in range(dim)]
        terms, remainder, key = np.zeros((n_terms(dim), len(numbers))), np.zeros(len(numbers)), self.total.key
        sizes, rounding = 0.0, 0.0
        for place, height in self.total.heights.items():
            if max(place) >= level:
                continue
            a = float(height)
            factors = [axis[k] for axis, k in zip(axes, place, strict=True)]
            added, lost = product([(mid, slope, None, None) for _, mid, slope in factors])
            terms += added * (hash_signs(key, 0, *(number for number, _, _ in factors)) * a)
            if lost is not None:
                remainder += a * lost
            sizes += a
            rounding += (dim + 2) * a + sizes
        with_tails, without = np.ones(len(numbers)), np.ones(len(numbers))
        for i, axis in enumerate(axes):
            kept = self._reach(i, axis)
            with_tails *= kept + self.tails[i][min(int(level), len(self.tails[i]) - 1)]
            without *= kept
        # The difference loses digits of its own size only: it is rounded up by those of its parts.
        remainder += with_tails - without + 1e-14 * with_tails
        return TaylorModel(dim, terms, (remainder + 1.01 * UNIT * rounding) * ROUND_UP)

    def _factors(self, i: int, level: int, centre: Floats, half: float) -> list[tuple[Words, Floats, Floats]]:
        """For each known level of a coordinate: interval, value at the centre and half the change, all exact."""
        result = []
        for k in range(min(level, self.total.depths[i] + 1)):
            scaled = centre * 2.0**k
            index = np.floor(scaled)
            share = scaled - index
            slope = np.where(share < 0.5, 2.0, -2.0) * (2.0**k * half)
            result.append((index.astype(np.uint64) + np.uint64(1 << k), 1.0 - np.abs(2.0 * share - 1.0), slope))
        return result

    def _reach(self, i: int, axis: list[tuple[Words, Floats, Floats]]) -> Floats | float:
        """The ``S_i`` of a coordinate."""
        heights = amplitudes(2, self.total.smoothnesses[i], self.total.depths[i] + 1)
        sums = (float(a) * (mid + np.abs(slope)) for a, (_, mid, slope) in zip(heights, axis, strict=False))
        return ROUND_UP * sum(sums, start=np.zeros(1))


def _all_smoothnesses(r: float, dim: int, given: Any) -> tuple[float, ...]:
    """One smoothness per coordinate, the least of them r."""
    if given is None:
        return (r,) * dim
    if isinstance(given, str) or not np.iterable(given):
        raise TypeError(f"smoothnesses must be a list of numbers. Got {given!r}. Write e.g. smoothnesses=[0.5, 0.75].")
    values = tuple(rough("mixed_tree", value, below=1.0) for value in given)
    if len(values) != dim or min(values) != r:
        raise ValueError(
            f"smoothnesses must be dim={dim} numbers, the least of them smoothness={r:g}. Got {list(values)}. "
            f"Write e.g. smoothnesses={[r] * (dim - 1) + [(1 + r) / 2]}."
        )
    return values


def _radius(smoothnesses: tuple[float, ...]) -> float:
    """Hölder constant of order ``min(smoothnesses)`` in Euclidean distance; proof in :func:`mixed_tree`."""
    r = min(smoothnesses)
    sums = [geometric(2, s) for s in smoothnesses]
    along = [holder_constant(2, s, 2.0, 2.0) * math.prod(sums) / own for s, own in zip(smoothnesses, sums, strict=True)]
    return ROUND_UP * math.pow(math.fsum(math.pow(a, 2.0 / (2.0 - r)) for a in along), (2.0 - r) / 2.0)


def mixed_tree(
    smoothness: float,
    dim: int = 2,
    seed: int = 0,
    smoothnesses: Sequence[float] | None = None,
    levels: int | None = None,
) -> Target:
    r"""A random tensor Faber sum: mixed Hölder smoothness ``r = smoothness``, and not better.

    ``f(x) = sum_l 2^(-r |l|_1) sum_j s_lj prod_i Hat(2^l_i x_i - j_i)`` over ``l`` in ``N^d`` with ``|l|_1 <= L``; with
    ``smoothnesses`` over ``sum_i r_i l_i <= r L``, heights ``2^(-sum_i r_i l_i)``, r the least ``r_i``.

    *Mixed seminorm*. ``|Delta_h1 .. Delta_hd f| <= prod_i C(r_i) |h_i|^r_i`` with one difference along each coordinate
    and C the constant of :func:`~approxrates.generators.base.holder_constant` for slope 2, swing 2: the difference of
    a product of hats is at most ``prod_i min(2 2^l_i |h_i|, 2)``, and the sum over l factors.

    *Hölder radius* (order r, Euclidean distance). For a step along coordinate i the other levels sum to
    ``a_i = C(r_i) prod_(j != i) 1 / (1 - 2^(-r_j))``, so ``|f(x) - f(y)| <= sum_i a_i |h_i|^r``, at most
    ``(sum_i a_i^(2/(2-r)))^((2-r)/2) |h|^r`` by Hölder's inequality.

    *Nowhere better*. The second difference in every coordinate at (left end, centre, right end) of the cell (l, j) is
    exactly ``(-2)^d s_lj 2^(-sum_i r_i l_i)``: a term that is finer in some coordinate vanishes at the nodes, one that
    is coarser in some coordinate, and finer in none, is affine in it. With all levels but the i-th fixed and ``l_i``
    large it shows that f is nowhere smoother than ``r_i`` in coordinate i.

    *Rates*. Sparse grids with N nodes reach ``N^(-r)`` up to a power of log N, instead of the ``N^(-r/d)`` of full
    grids; the bits are those of the mixed class, far fewer than the ``eps^(-d/r)`` of the Hölder class of order r.

    Args:
        smoothness: ``0 < r < 1``.
        dim: Input dimension d, 2 or 3.
        seed: Seed of the signs.
        smoothnesses: One number in ``(0, 1)`` per coordinate, the least of them ``smoothness``; by default all equal.
        levels: The L, at most 48; by default 28 in d = 2 and 16 in d = 3. ``tail()`` is large for small r: a target is
            its finite sum.

    Raises:
        TypeError: For values of the wrong kind.
        ValueError: For values out of range.

    Reference:
        Bungartz & Griebel (2004), Acta Numerica 13, 147-269 (sparse grids; recalled); Triebel (2010), Bases in Function
        Spaces, Sampling, Discrepancy, Numerical Integration (Faber bases and mixed smoothness; recalled).
    """
    r, d = rough("mixed_tree", smoothness, below=1.0), whole("dim", dim, 2, 3)
    seed = whole("seed", seed, 0)
    full = DEFAULT_LEVELS[d]
    levels = full if levels is None else whole("levels", levels, 1, min(48, deepest(2)))
    several = _all_smoothnesses(r, d, smoothnesses)
    extra: dict[str, Any] = {} if len(set(several)) == 1 else {"smoothnesses": list(several)}
    if levels != full:
        extra["levels"] = levels
    total = MixedSum(several, r * levels, seed)
    return Target(
        name="mixed_tree",
        regularity=Regularity(r, d, kind="mixed", radius=_radius(several)),
        parameters=identity("mixed_tree", (r, d), seed, extra),
        evaluate=total.evaluate,
        exact_evaluate=total.exact,
        tail_bound=ROUND_UP * weight_beyond(r * levels, several),
        base=2,
        enclosure=MixedModel(total),
        evaluation_error=total.rounding(),
    )
