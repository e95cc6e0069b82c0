"""Random Faber-Schauder tree: hats of random sign on every dyadic cell, Hölder smoothness r in (0, 1)."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from approxrates.generators import base
from approxrates.generators.models import bump_sum_enclosure
from approxrates.generators.rounding import bump_sum_error
from approxrates.generators.signs import chosen
from approxrates.regularity import Regularity
from approxrates.target import Target


class Hat:
    """``min(2 u, 2 - 2 u)``."""

    order = 2

    def values(self, u: base.Floats) -> base.Floats:
        """Values at fractions of a cell; overwrites ``u``."""
        u -= 0.5
        np.abs(u, out=u)
        u *= -2.0
        u += 1.0
        return u

    def exact(self, u: Fraction) -> Fraction:
        """Value at a rational fraction of a cell."""
        return 2 * min(u, 1 - u)


def faber_tree(
    smoothness: float, dim: int = 1, seed: int = 0, levels: int = base.DEFAULT_LEVELS, signs: str = "hashed"
) -> Target:
    r"""A random Faber-Schauder tree, Hölder of order ``r = smoothness`` and nowhere better.

    ``f(x) = sum_{k < levels} 2^(-k r) sum_j s_kj prod_i Hat(2^k x_i - j_i)`` with independent signs ``s_kj``.

    *Hölder constant* (Euclidean distance h). A level is 0 on the faces of its cells and has gradient of length at most
    ``2 sqrt(d) 2^k`` inside, so ``|g_k(x) - g_k(y)| <= min(2 sqrt(d) 2^k h, 2)``, and
    :func:`~approxrates.generators.base.holder_constant` gives
    ``radius = (2 / (1 - 2^(r-1)) + 2 / (2^r - 1)) d^(r/2)``.

    *Nowhere better.* Take the second difference in ``x_1`` at (left face, centre, right face) of a cell of level k, the
    other coordinates at the centre. Finer levels vanish there and coarser ones are affine in ``x_1`` on the cell, so
    the difference is exactly ``-2 s_kj 2^(-k r)``: in every cell of every level, and it returns the sign.

    Args:
        smoothness: ``0 < r < 1``.
        dim: Input dimension d.
        seed: Seed of the signs.
        levels: Number of levels, at most 64.
        signs: ``hashed``, or ``stored`` for true random bits on the coarse levels.

    Raises:
        TypeError: For values of the wrong kind.
        ValueError: For values out of range.

    Reference:
        Faber (1909), Schauder (1927); Ciesielski (1960) for the Hölder spaces in terms of the coefficients.
    """
    r, d = base.rough("faber_tree", smoothness, below=1.0), base.whole("dim", dim, 1)
    seed, levels = base.whole("seed", seed, 0), base.whole("levels", levels, 1, base.deepest(2))
    heights = base.amplitudes(2, r, levels)
    tree = base.BumpSum(Hat(), 2, d, heights, chosen(signs, 2, d, seed))
    radius = base.holder_constant(2, r, slope=2.0 * math.sqrt(d), swing=2.0)
    extra: dict[str, Any] = {} if levels == base.DEFAULT_LEVELS else {"levels": levels}
    extra |= {} if signs == "hashed" else {"signs": signs}
    return Target(
        name="faber_tree",
        regularity=Regularity(r, d, radius=radius),
        parameters=base.identity("faber_tree", (r, d), seed, extra),
        evaluate=tree.evaluate,
        exact_evaluate=tree.exact,
        tail_bound=base.tail_sum(2, r, levels),
        base=2,
        enclosure=bump_sum_enclosure(tree),
        evaluation_error=bump_sum_error(tree),
        interpolation_gap=base.gap_function(2, [float(a) for a in heights], base.affine_pieces) if d == 1 else None,
    )
