"""Functions with jumps: steps, and indicators of what lies above a graph. Only L^p errors make sense for them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from approxrates.generators import base
from approxrates.generators.bump_tree import bump_tree
from approxrates.generators.structured import node_seed
from approxrates.regularity import Regularity
from approxrates.seeds import hash_words
from approxrates.target import Point, Target

_JUMPS = 8
_EDGE = 1.5
_PLACE_BITS = 30
_MIDDLE, _ROOM = Fraction(15, 32), Fraction(3, 8)


@dataclass(frozen=True)
class Steps:
    """0 and 1 in turn: the number of places up to x, modulo 2."""

    places: tuple[Fraction, ...]

    def evaluate(self, x: base.Floats) -> base.Floats:
        """Values at points ``(n, 1)``, shape ``(n,)``."""
        before = np.searchsorted(np.array([float(p) for p in self.places]), x[:, 0], side="right")
        return (before % 2).astype(np.float64)

    def exact(self, point: Point) -> Fraction:
        """Value at a point of rationals."""
        return Fraction(sum(p <= point[0] for p in self.places) % 2)


@dataclass(frozen=True)
class Horizon:
    """1 where ``x_d > 15/32 + height tree(x_1, ..., x_(d-1))``, else 0."""

    height: Fraction
    tree: Target = field(repr=False)

    def evaluate(self, x: base.Floats) -> base.Floats:
        """Values at points ``(n, d)``, shape ``(n,)``."""
        edge = float(_MIDDLE) + float(self.height) * self.tree.evaluate(np.ascontiguousarray(x[:, :-1]))
        return (x[:, -1] > edge).astype(np.float64)

    def exact(self, point: Point) -> Fraction:
        """Value at a point of rationals."""
        return Fraction(int(point[-1] > _MIDDLE + self.height * self.tree.exact([point[:-1]])[0]))


def jump(smoothness: float = 0.5, dim: int = 1, seed: int = 0, jumps: int = _JUMPS, edge: float = _EDGE) -> Target:
    r"""Steps in one variable; in more, the indicator of ``x_d > g(x_1, ..., x_(d-1))`` with g a tree of order ``edge``.

    *What smoothness means here*: the Besov number in L^2, 1/2. The steps lie in ``B^(1/2)_(2, inf)`` and in nothing
    better: ``||f(. + h) - f||_2^2`` is the measure of the places from which h crosses the edge, between two multiples
    of h for small h, since g with ``edge > 1`` has a bounded gradient and the edge has a positive finite area.
    Linear and uniform methods reach ``1 / (2 d)`` in L^2. (In L^p it is 1/p; in the sup norm the distance to the
    continuous functions is 1/2, so no sequence of continuous networks converges: :attr:`Regularity.is_continuous`.)

    *Effective rate in L^2, d > 1*: ``edge / (2 (d - 1))`` up to logarithms, by ReLU networks that follow the edge
    (Petersen & Voigtlaender 2018), and no better for its class. In d = 1 any rate: eight numbers tell the function.

    *The edge*: ``g = 15/32 + c tree`` stays within ``[3/32, 27/32]``; c is the largest multiple of ``2^-10`` below 3/8
    over the sum of the tree's amplitudes.

    Float values are exact but for points within rounding of the edge, where they may be the value of the other side.
    So no error of float values is stated, and no enclosure: on a cell that the edge crosses no polynomial is within
    less than 1/2, however small the cell. Errors in the sup norm are measured, not certified.

    Args:
        smoothness: 0.5.
        dim: Input dimension d.
        seed: Seed of the places or of the tree.
        jumps: Number of steps in d = 1, at most 64; without meaning in d > 1.
        edge: Hölder order of g in d > 1, between 1 and 6, no integer; without meaning in d = 1.

    Raises:
        TypeError: For values of the wrong kind.
        ValueError: For values out of range.

    Reference:
        Petersen & Voigtlaender (2018), Neural Networks 108, 296-330, arXiv:1709.05289, for horizon functions.
    """
    if smoothness != 0.5:
        raise ValueError(f"smoothness of jump must be 0.5, its Besov number in L^2. Got smoothness={smoothness!r}.")
    d, seed = base.whole("dim", dim, 1), base.whole("seed", seed, 0)
    jumps = base.whole("jumps", jumps, 1, 64)
    order = base.rough("the edge of jump", edge, below=6.0)
    if order < 1:
        raise ValueError(f"edge must be between 1 and 6. Got edge={order:g}. Use e.g. edge=1.5.")
    total = _steps(seed, jumps) if d == 1 else _horizon(seed, d, order)
    settings = {"jumps": (jumps, _JUMPS)} if d == 1 else {"edge": (order, _EDGE)}
    extra: dict[str, Any] = {key: value for key, (value, usual) in settings.items() if value != usual}
    return Target(
        name="jump",
        regularity=Regularity(0.5, d, "jump"),
        parameters=base.identity("jump", (0.5, d), seed, extra),
        evaluate=total.evaluate,
        exact_evaluate=total.exact,
        base=2,
    )


def _steps(seed: int, jumps: int) -> Steps:
    """Steps at distinct odd multiples of ``2^-30``, one in each of as many equal cells as there are steps."""
    words = hash_words(node_seed("jump", seed, 0), 0, np.arange(jumps, dtype=np.uint64))
    whole = 1 << _PLACE_BITS
    numerators = [(i * whole + int(w) % whole) // jumps | 1 for i, w in enumerate(words)]
    return Steps(tuple(Fraction(n, whole) for n in sorted(set(numerators))))


def _horizon(seed: int, d: int, order: float) -> Horizon:
    """The indicator over a bump tree in the first coordinates."""
    tree = bump_tree(order, d - 1, node_seed("jump", seed, 1))
    swing = 1.0 / (1.0 - float(tree.base) ** -order)
    return Horizon(Fraction(math.floor(1024 * float(_ROOM) / swing), 1024), tree)
