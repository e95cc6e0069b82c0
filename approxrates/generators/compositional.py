"""Compositions of functions of two variables along a binary tree: high dimension, low effective dimension."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from approxrates.generators import base
from approxrates.generators.faber_tree import faber_tree
from approxrates.generators.profiles import ComposedModel
from approxrates.generators.structured import UNIT, node_seed, rounding, tree_slope
from approxrates.regularity import Regularity
from approxrates.target import Point, Target

_LEVELS = 16
_SCALE_BITS = 10
_MOST = 64


@dataclass(frozen=True)
class BinaryTree:
    """``g(1)(g(2)(...), g(3)(...))``: node n takes the values of nodes 2 n and 2 n + 1, the last row the coordinates.

    Attributes:
        nodes: The functions of two variables, row by row from the root.
        factor: Below the root, values v become ``1/2 + factor v`` in ``[0, 1]``; a dyadic number.
    """

    nodes: tuple[Target, ...] = field(repr=False)
    factor: Fraction

    def evaluate(self, x: base.Floats) -> base.Floats:
        """Values at points ``(n, d)``, shape ``(n,)``."""
        row = [x[:, i] for i in range(x.shape[1])]
        while len(row) > 1:
            first = len(row) // 2 - 1
            pairs = [np.ascontiguousarray(np.stack(row[2 * i : 2 * i + 2], axis=1)) for i in range(len(row) // 2)]
            row = [self.nodes[first + i].evaluate(pair) for i, pair in enumerate(pairs)]
            if len(row) > 1:
                row = [0.5 + float(self.factor) * values for values in row]
        return row[0]

    def exact(self, point: Point) -> Fraction:
        """Value at a point of rationals."""
        row = list(point)
        while len(row) > 1:
            first = len(row) // 2 - 1
            row = [self.nodes[first + i].exact([row[2 * i : 2 * i + 2]])[0] for i in range(len(row) // 2)]
            if len(row) > 1:
                row = [Fraction(1, 2) + self.factor * value for value in row]
        return row[0]


def compositional(smoothness: float, dim: int = 4, seed: int = 0, levels: int = _LEVELS) -> Target:
    r"""``g(g(x_1, x_2), g(x_3, x_4))`` and so on along a binary tree, each g a random Faber tree of its own.

    All g have Hölder order ``s = r^(1/k)`` for ``d = 2^k``: a composition has the product of the orders, ``r``. Values
    of inner functions, at most ``S = sum_(k < levels) 2^(-k s)`` in size, are mapped into ``[0, 1]`` by ``1/2 + c v``
    with c the largest multiple of ``2^-10`` below ``1 / (2 S)``.

    *Hölder constant.* Let ``R`` be that of a g and ``C`` that of the functions one row below, of order e. The pair of
    their values moves by at most ``C (|u|^(2e) + |v|^(2e))^(1/2) <= C 2^((1-e)/2) |x - y|^e`` for the two halves u, v
    of ``x - y``, by concavity; so the row above has ``R (C 2^((1-e)/2))^s`` of order ``e s``, times c below the root.

    *Tail*: with T that of a g and t that of the row below (0 below the last), ``T + R (sqrt(2) c t)^s``.

    It is Hölder of order r at least; that it is nowhere smoother is not proven, so it is not ``sharp``.

    *Rounding.* If values of a row are off by e, those of the row above are off by ``L sqrt(2) (c e + 2^-52)`` and the
    rounding of a g, with L the slope of a g: arguments lie in ``[0, 1]`` and are formed by two roundings.

    *Effective rate.* To err by ``eps``, the functions of row l (root 0) are needed to ``eps^(1/s^l)``, which takes
    ``eps^(-2/s^(l+1))`` parameters by uniform methods on each of them: the last row binds, with rate ``s^k / 2 = r/2``
    in place of ``r/d``. It is not information-rich in dimension d.

    Args:
        smoothness: ``0 < r < 1``, of the whole composition.
        dim: Input dimension d, a power of two from 4 to 64.
        seed: Seed of all trees.
        levels: Levels of each tree, at most 24: rounding of inner values is magnified by the next row.

    Raises:
        TypeError: For values of the wrong kind.
        ValueError: For values out of range.

    Reference:
        Schmidt-Hieber (2020), Ann. Statist. 48, 1875-1897; Mhaskar & Poggio (2016), arXiv:1608.03287.
    """
    r, d = base.rough("compositional", smoothness, below=1.0), base.whole("dim", dim, 4, _MOST)
    if d & (d - 1):
        raise ValueError(f"dim of compositional must be a power of two from 4 to {_MOST}. Got dim={d}. Use e.g. dim=4.")
    seed, levels = base.whole("seed", seed, 0), base.whole("levels", levels, 1, 24)
    rows = d.bit_length() - 1
    s = r ** (1.0 / rows)
    nodes = tuple(faber_tree(s, 2, node_seed("compositional", seed, n), levels) for n in range(1, d))
    size = sum(base.amplitudes(2, s, levels), start=Fraction(0))
    factor = Fraction(math.floor((1 << _SCALE_BITS) / (2 * size)), 1 << _SCALE_BITS)
    constant, tail = _bounds(nodes[0], s, rows, float(factor))
    total = BinaryTree(nodes, factor)
    return Target(
        name="compositional",
        regularity=Regularity(r, d, radius=constant),
        parameters=base.identity("compositional", (r, d), seed, {} if levels == _LEVELS else {"levels": levels}),
        evaluate=total.evaluate,
        exact_evaluate=total.exact,
        tail_bound=tail,
        base=2,
        enclosure=ComposedModel(nodes, factor),
        evaluation_error=_rounding(nodes[0], tree_slope(s, levels, 2), rows, float(factor)),
    )


def _bounds(node: Target, s: float, rows: int, factor: float) -> tuple[float, float]:
    """Hölder constant and tail of the composition; derived in :func:`compositional`."""
    single, own = node.regularity.radius or 0.0, node.tail_bound
    constant, tail, order = single, own, s
    for _ in range(rows - 1):
        constant = single * (factor * constant * 2.0 ** ((1.0 - order) / 2.0)) ** s
        tail = own + single * (math.sqrt(2.0) * factor * tail) ** s
        order *= s
    return base.ROUND_UP * constant, base.ROUND_UP * tail


def _rounding(node: Target, slope: float, rows: int, factor: float) -> float | None:
    """Bound on the rounding of float64 values; derived in :func:`compositional`."""
    found = node.evaluation_error
    for _ in range(rows - 1):
        if found is None:
            return None
        found = rounding(math.sqrt(2.0) * (factor * found + 2.0 * UNIT), slope, node.evaluation_error)
    return found
