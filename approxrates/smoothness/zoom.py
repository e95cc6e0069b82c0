"""Local maxima of differences: a kink between the nodes of a grid is found by ever finer offsets around the best place.

On a grid of spacing s, the largest difference at step h falls short by about ``(s / h)^r`` of itself where the only
rough point is between two nodes: for small r that spoils all steps, the fine ones most.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from approxrates.smoothness.base import Floats
from approxrates.smoothness.sampled import Sampled

_HALF = 8  # offsets to each side of a round; the next round looks between two of them
_RESOLUTION = 2.0**-40  # of a spacing: float64 numbers of the cube are no closer


def zoomed(
    evaluate: Callable[[Floats], Floats],
    field: Sampled,
    order: int,
    strides: list[int],
    peaks: list[list[tuple[int, ...]]],
) -> Floats:
    """The largest difference near the best place of the grid, at every step.

    Args:
        evaluate: The function, ``(n, d) -> (n,)``.
        field: Its grid, with ``points``.
        order: Order of the differences.
        strides: Steps in spacings, k of them.
        peaks: For each step and each axis of the grid the index of the largest difference in ``field.values``.

    Returns:
        Sizes, shape ``(k,)``; never below those of the grid but for rounding.
    """
    assert field.points is not None, "data have no values between their points"
    wide = len(field.axes)
    indices = np.array(peaks, dtype=np.float64).reshape(len(strides) * wide, -1)
    line, place = indices[:, : indices.shape[1] - wide].astype(np.int64), indices[:, -wide:]
    jump = np.repeat(np.array(strides, dtype=np.float64), wide)[:, None] * np.tile(np.eye(wide), (len(strides), 1))
    last = np.array([field.values.shape[a] for a in field.axes]) - 1.0 - order * jump
    weights = np.array([(-1.0) ** (order - k) * math.comb(order, k) for k in range(order + 1)])
    moves = np.arange(-_HALF, _HALF + 1) / _HALF
    best, window = np.zeros(len(place)), 1.0
    while window > _RESOLUTION:
        for axis in range(wide):
            offsets = window * moves[:, None] * np.eye(wide)[axis]
            trial = np.clip(place[:, None, :] + offsets, 0.0, last[:, None, :])
            nodes = trial[:, :, None, :] + np.arange(order + 1)[:, None] * jump[:, None, None, :]
            values = evaluate(field.points(line, nodes)).reshape(nodes.shape[:-1])
            changes = np.abs(values @ weights)
            found = np.argmax(changes, axis=1)
            place, best = trial[np.arange(len(place)), found], changes[np.arange(len(place)), found]
        window /= _HALF
    return np.asarray(best.reshape(len(strides), wide).max(axis=1))
