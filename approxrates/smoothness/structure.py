"""Structure functions: the largest difference of an order at each step."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from approxrates.seeds import seed_for
from approxrates.smoothness.base import Floats
from approxrates.smoothness.sampled import Sampled
from approxrates.smoothness.zoom import Peaks, zoomed

COARSE, FINE = 4, 4  # factors from the largest and the smallest step that are left out: 2 octaves each
SPAN = 2.0**7  # of the steps that remain, the finest ones are used: the exponent is a limit
_MOST_PAIRED = 3_000


def structure_function(
    field: Sampled, order: int, evaluate: Callable[[Floats], Floats] | None = None
) -> tuple[Floats, Floats, Peaks | None]:
    r"""``S_o(h) = max |Delta_h^o f|`` over all places and axes, at steps ``h = 2^i`` and ``3 2^i`` spacings.

    For a function that is Hölder of order r and no better, ``S_o(h)`` is of size ``h^min(r, o)``. The best place of the
    grid is found first; with the function itself at hand, the maximum is then sought near it, down to the resolution
    of float64 numbers (:mod:`~approxrates.smoothness.zoom`).

    Args:
        field: Values on a grid.
        order: The o.
        evaluate: The function, ``(n, d) -> (n,)``; None for data.

    Returns:
        Steps, descending, and sizes, each of shape ``(k,)``; and where the differences start, None for data.
    """
    strides = sorted({c * 2**i for i in range(40) for c in (1, 3) if c * 2**i * order < field.n}, reverse=True)
    largest, peaks = [], []
    for stride in strides:
        found = [_largest(field, axis, stride, order) for axis in field.axes]
        largest.append(max(size for size, _ in found))
        peaks.append([place for _, place in found])
    steps, sizes = np.array(strides) * field.spacing, np.array(largest)
    if evaluate is None or field.points is None:
        return steps, sizes, None
    nearby, starts = zoomed(evaluate, field, order, strides, peaks)
    return steps, np.maximum(sizes, nearby), starts


def _largest(field: Sampled, axis: int, stride: int, order: int) -> tuple[float, tuple[int, ...]]:
    """The largest difference along an axis on the grid, and the index where it starts."""
    change = np.moveaxis(field.values, axis, 0)
    for _ in range(order):
        change = change[stride:] - change[:-stride]
    sizes = np.moveaxis(np.abs(change), 0, axis)
    place = np.unravel_index(np.argmax(sizes), sizes.shape)
    return float(sizes[place]), tuple(int(i) for i in place)


def pair_function(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """The modulus of continuity over pairs of scattered data: sizes at steps of half octaves, descending.

    Args:
        x: Points, shape ``(n, d)``; a random 3,000 of them if there are more.
        y: Values, shape ``(n,)``.
    """
    if len(x) > _MOST_PAIRED:
        chosen = np.random.default_rng(seed_for("pairs", n=len(x))).choice(len(x), _MOST_PAIRED, replace=False)
        x, y = x[chosen], y[chosen]
    first, second = np.triu_indices(len(x), 1)
    distance = np.linalg.norm(x[first] - x[second], axis=1)
    change = np.abs(y[first] - y[second])
    edges = distance.max() * 2.0 ** -np.arange(0.0, math.log2(distance.max() / distance.min()), 0.5)
    by_distance = np.argsort(distance)
    distance, running = distance[by_distance], np.maximum.accumulate(change[by_distance])
    return edges, np.asarray(running[np.searchsorted(distance, edges * (1 + 1e-12), side="right") - 1])


def chosen(steps: Floats, above_noise: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The scales of the regression: 7 octaves at the fine end of what is above the noise, without the outermost."""
    inner = above_noise & (steps <= steps[0] / COARSE * 1.001) & (steps >= steps[-1] * FINE * 0.999)
    if not inner.any():
        return np.asarray(inner)
    return np.asarray(inner & (steps <= steps[inner].min() * SPAN * 1.001))
