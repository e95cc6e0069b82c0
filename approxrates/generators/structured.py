"""What the structured families share: bounds for trees of functions, where one is put into another."""

from __future__ import annotations

import functools
import math

from approxrates.generators import base
from approxrates.seeds import seed_for

LEVELS = 20
"""Levels of a rough tree inside another function: beyond, rounding of its argument would be seen in its values."""
UNIT = 2.0**-53


def node_seed(family: str, seed: int, node: int) -> int:
    """Seed of one tree among several."""
    return seed_for("tree", family=family, seed=seed, node=node)


def tree_slope(smoothness: float, levels: int, dim: int) -> float:
    """Lipschitz constant of a finite Faber tree: a level has gradient of length at most ``2 sqrt(d) 2^k a_k``."""
    heights = base.amplitudes(2, smoothness, levels)
    return base.ROUND_UP * 2.0 * math.sqrt(dim) * math.fsum(2.0**k * float(a) for k, a in enumerate(heights))


def rounding(inner: float, slope: float, outer: float | None) -> float | None:
    """Bound on the rounding of ``g(t)``: that of t times the slope of g, and that of g; None where g states none."""
    return None if outer is None else base.ROUND_UP * (inner * slope + outer)


def rough_gap(holder: float, smoothness: float, slope: float, level: int) -> float:
    """Distance to linear interpolation at spacing ``h = 2 ** -level`` in d = 1, for ``smoothness <= 1``.

    At the fraction t of a cell it is a mean of two increments over ``t h`` and ``(1 - t) h`` with weights ``1 - t`` and
    ``t``, so by Jensen's inequality at most ``holder (h / 2)^smoothness``, and at most ``slope h / 2``.
    """
    half = 2.0 ** -(base.whole("level", level, 0) + 1)
    return float(base.ROUND_UP * min(holder * half**smoothness, slope * half))


def rough_gap_function(holder: float, smoothness: float, slope: float) -> functools.partial[float]:
    """:func:`rough_gap` as a function of the level that can be pickled."""
    return functools.partial(rough_gap, holder, smoothness, slope)
