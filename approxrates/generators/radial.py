"""Radial functions: one rough function of the distance to a corner, in any number of variables."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from approxrates.generators import base
from approxrates.generators.faber_tree import faber_tree
from approxrates.generators.profiles import ProfileModel, squared_distance
from approxrates.generators.ridge import Composed
from approxrates.generators.structured import LEVELS, UNIT, node_seed, rough_gap_function, rounding, tree_slope
from approxrates.regularity import Regularity
from approxrates.target import Point, Target

_MOST = 64


@dataclass(frozen=True)
class SquaredDistance:
    """``x -> |x|^2 / d``, from the cube onto ``[0, 1]``."""

    def evaluate(self, x: base.Floats) -> base.Floats:
        """Values at points ``(n, d)``, shape ``(n,)``."""
        total: base.Floats = np.einsum("ij,ij->i", x, x)
        return np.asarray(np.minimum(total / x.shape[1], 1.0))

    def exact(self, point: Point) -> Fraction:
        """Value at a point of rationals."""
        return sum((c * c for c in point), start=Fraction(0)) / len(point)


def radial(smoothness: float, dim: int = 1, seed: int = 0, levels: int = LEVELS) -> Target:
    r"""``g(|x|^2 / d)`` with g a random Faber tree in one variable, Hölder of order ``r = smoothness``.

    The squared distance keeps exact values rational. *Hölder constant*: on the cube
    ``| |x|^2 - |y|^2 | / d <= 2 |x - y| / sqrt(d)``, so the radius is that of g times ``(2 / sqrt(d))^r``.

    *Rounding.* The mean of d squares is off by ``(d + 2) 2^-53`` at most, which g magnifies by its slope.

    *Nowhere better*: where ``x_1 > 0`` the squared distance is a smooth change of variable along ``x_1`` with a
    non-zero derivative, so f is as rough there as g. It carries the bits of one variable only: not information-rich.

    Args:
        smoothness: ``0 < r < 1``.
        dim: Input dimension d.
        seed: Seed of the tree.
        levels: Levels of the tree; more than 20 would magnify the rounding of the distance.

    Raises:
        TypeError: For values of the wrong kind.
        ValueError: For values out of range.

    Reference:
        Chui, Lin & Zhou (2019), Front. Appl. Math. Stat. 5:14, for deep networks on radial functions.
    """
    r, d = base.rough("radial", smoothness, below=1.0), base.whole("dim", dim, 1, _MOST)
    seed, levels = base.whole("seed", seed, 0), base.whole("levels", levels, 1, base.deepest(2))
    g = faber_tree(r, 1, node_seed("radial", seed, 0), levels)
    total = Composed(SquaredDistance(), g.evaluate, g.exact_evaluate or g.exact)
    stretch = 2.0 / math.sqrt(d)
    radius = base.ROUND_UP * (g.regularity.radius or 0.0) * stretch**r
    slope = tree_slope(r, levels, 1) * stretch
    return Target(
        name="radial",
        regularity=Regularity(r, d, radius=radius),
        parameters=base.identity("radial", (r, d), seed, {} if levels == LEVELS else {"levels": levels}),
        evaluate=total.evaluate,
        exact_evaluate=total.exact,
        tail_bound=g.tail_bound,
        base=2,
        enclosure=ProfileModel(d, g, squared_distance),
        evaluation_error=rounding((d + 2) * UNIT, tree_slope(r, levels, 1), g.evaluation_error),
        interpolation_gap=rough_gap_function(radius, r, slope) if d == 1 else None,
    )
