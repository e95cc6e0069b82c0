r"""Linear interpolation with knots chosen for the target: the error is made equal on all cells.

Candidates for knots come from adaptive bisection, so they crowd where the target is rough. On them the longest cell
whose chord stays within ``eps`` of the target is taken again and again, and ``eps`` is bisected until the cells are as
many as the count allows. A chord from ``(t_i, f_i)`` stays within ``eps`` up to the candidate ``j`` exactly if its
slope is in the intersection of the cones through the candidates between: two running extrema.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from approxrates.approximant import Approximant
from approxrates.references.base import Array, Method
from approxrates.references.linear_spline import piecewise_linear
from approxrates.target import Target

_PER_CELL = 32
"""Candidates for each cell that is wanted."""
_FINEST = 2.0**-46
"""Cells are bisected no further: their ends would lose the digits that tell them apart."""
_HALVINGS = 40


def build(target: Target, n_params: int) -> Approximant:
    """The interpolant with at most ``n_params // 2`` cells and the smallest error that the candidates allow."""
    wanted = n_params // 2
    t, values = candidates(target, max(256, _PER_CELL * wanted))
    chosen = _equal_errors(t, values, wanted)
    cells = len(chosen) - 1
    provenance = {
        "reference": "free_knot_spline",
        "cells": cells,
        "n_candidates": len(t),
        "counted": {"values": cells + 1, "knots": cells - 1},
    }
    return piecewise_linear("free_knot_spline", t[chosen], values[chosen], 2 * cells, provenance)


def candidates(target: Target, n_wanted: int) -> tuple[Array, Array]:
    """At least about ``n_wanted`` points of [0, 1] and the values there, denser where linear pieces fit worse.

    Every round halves the cells whose error is at least half the largest one.
    """
    t = np.arange(65) / 64
    values = target(t[:, None])
    error = _misfit(target, t[:-1], t[1:], values[:-1], values[1:])
    while len(t) < n_wanted and error.max() > 0:
        split = np.flatnonzero(error >= 0.5 * error.max())
        middle = 0.5 * (t[split] + t[split + 1])
        found = target(middle[:, None])
        left = _misfit(target, t[split], middle, values[split], found)
        right = _misfit(target, middle, t[split + 1], found, values[split + 1])
        error[split] = left
        error = np.insert(error, split + 1, right)
        t, values = np.insert(t, split + 1, middle), np.insert(values, split + 1, found)
    return t, values


def _misfit(target: Target, a: Array, b: Array, f_a: Array, f_b: Array) -> Array:
    """Distance of the target to its chords at three points of each cell; 0 for cells that are to be left whole."""
    worst = np.zeros(len(a))
    for share in (0.25, 0.5, 0.75):
        x = a + share * (b - a)
        worst = np.maximum(worst, np.abs(target(x[:, None]) - (f_a + share * (f_b - f_a))))
    return np.where(b - a > _FINEST, worst, 0.0)


def _equal_errors(t: Array, values: Array, wanted: int) -> NDArray[np.intp]:
    """Indices of the knots with the smallest common error and at most ``wanted`` cells."""
    high = float(values.max() - values.min())
    best = _knots(t, values, high, wanted)
    assert best is not None, "a chord is within the range of the values"
    low = 0.0
    for _ in range(_HALVINGS):
        eps = 0.5 * (low + high) if low == 0.0 else np.sqrt(low * high)
        found = _knots(t, values, float(eps), wanted)
        if found is None:
            low = float(eps)
        else:
            high, best = float(eps), found
    return best


def _knots(t: Array, values: Array, eps: float, most: int) -> NDArray[np.intp] | None:
    """Indices of the knots of the longest cells with error at most ``eps``; None if they are more than ``most``."""
    last = len(t) - 1
    knots = [0]
    window = max(16, 2 * last // most)
    while knots[-1] < last:
        if len(knots) > most:
            return None
        here = knots[-1]
        step, closed = _reach(t[here : here + window + 1], values[here : here + window + 1], eps)
        while not closed and here + window < last:
            window *= 2
            step, closed = _reach(t[here : here + window + 1], values[here : here + window + 1], eps)
        knots.append(here + step)
        window = max(16, 3 * step)
    return np.array(knots, dtype=np.intp)


def _reach(t: Array, values: Array, eps: float) -> tuple[int, bool]:
    """How many candidates the longest chord from the first point spans, and whether none beyond the window can."""
    run = t[1:] - t[0]
    slope = (values[1:] - values[0]) / run
    lowest = np.maximum.accumulate(slope - eps / run)
    highest = np.minimum.accumulate(slope + eps / run)
    # The cone of candidate j itself always holds its chord, so only those before it count.
    fits = np.flatnonzero((slope >= lowest) & (slope <= highest))
    return int(fits[-1]) + 1, bool(lowest[-1] > highest[-1])


METHOD = Method(
    name="free_knot_spline",
    statement="With N free knots, linear splines approximate every function whose second derivative is in a space "
    "slightly smaller than L_1/2, such as |x - c|^r, with sup error O(N^-2); r-Hölder functions with O(N^-min(r, 2)).",
    reference="Burchard (1974), doi:10.1080/00036817408839076 (equal errors); DeVore (1998), Acta Numerica 7, sec. 6",
    rate_law="2 on functions that are smooth up to power singularities; min(r, 2) on the whole Hölder class",
    count_law="2 N: N + 1 values and N - 1 inner knots",
    dims=(1,),
    least=lambda dim: 2,
    most=20_000,
    rate=lambda smoothness, dim: min(smoothness, 2.0),
    build=build,
)
