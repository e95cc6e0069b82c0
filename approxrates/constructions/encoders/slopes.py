r"""Digits of paths whose slope moves by ``+-1/2`` at every step: the best ones, by dynamic programming.

A path starts at 0 with slope ``k - 1/2 + b_0`` for a whole number ``k`` and a digit ``b_0``, and at each further node
``j`` its slope moves by ``b_j - 1/2``. So twice the position and twice the slope are whole numbers, and near a given
function only a window of states matters: for all of them the encoder carries the least largest error so far.

Two codes are made of each function and the better one is kept. The *window* code is optimal among paths that stay in
the window. The *sliding* code is for the proof: with error ``e`` and slope error ``d`` it makes ``|d + e/8|`` least at
each node. If second differences are at most 1/4 and ``|e| <= 8``, ``|d + e/8| <= 1`` hold once, they hold for ever:

* ``|d| <= |d + e/8| + |e|/8 <= 2``; the next error is ``e + d = 7/8 e + (d + e/8)``, at most ``7 + 1 = 8``;
* the next ``d + e/8`` is the old one, plus the move ``+-1/2``, minus a second difference, plus ``d/8``. The move
  against its sign leaves at most 1/2 of it, and ``1/2 + 1/4 + 2/8 = 1``.

So the error at nodes never exceeds 8 units, whatever the function: digits of one bit suffice for ``1 < r <= 2``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SLIDING_ERROR = 8
"""Largest error at nodes of the sliding code, in units of the slope's step, for second differences up to 1/4."""

_HEIGHT, _SPREAD = 7, 3  # half the window: 3.5 units of position, 3 units of slope
_MEMORY = 60_000_000  # bytes for the choices that are remembered


@dataclass(frozen=True)
class SlopePaths:
    """Codes of functions, one per row.

    Attributes:
        slopes: The whole numbers ``k``, shape ``(n,)``.
        digits: The ``b_j``, shape ``(n, steps)``.
        errors: Largest distance at the samples, shape ``(n,)``, in units.
    """

    slopes: Ints
    digits: NDArray[np.uint8]
    errors: Floats

    @property
    def nodes(self) -> Floats:
        """Positions at nodes ``0..steps``, shape ``(n, steps + 1)``; exact."""
        slopes = self.slopes[:, None] + np.cumsum(self.digits - 0.5, axis=1)
        return np.concatenate([np.zeros((len(slopes), 1)), np.cumsum(slopes, axis=1)], axis=1)


def encode(samples: Floats, per_step: int) -> SlopePaths:
    """The best digits of functions given by samples.

    Args:
        samples: Values at ``i / per_step``, shape ``(n, steps * per_step + 1)``, in units; the first ones near 0.
        per_step: Samples per step.

    Returns:
        For each function the better of the window code and the sliding code.
    """
    steps = (samples.shape[1] - 1) // per_step
    states = (2 * _HEIGHT + 1) * (2 * _SPREAD + 1)
    chunk = max(1, _MEMORY // (states * max(steps, 64)))
    parts = [samples[first : first + chunk] for first in range(0, len(samples), chunk)]
    paths = [_better(_window(part, per_step), _sliding(part, per_step)) for part in parts]
    return SlopePaths(
        np.concatenate([path.slopes for path in paths]),
        np.concatenate([path.digits for path in paths]),
        np.concatenate([path.errors for path in paths]),
    )


def _better(first: SlopePaths, second: SlopePaths) -> SlopePaths:
    """Row by row the code of smaller error."""
    take = first.errors <= second.errors
    digits = np.where(take[:, None], first.digits, second.digits)
    return SlopePaths(np.where(take, first.slopes, second.slopes), digits, np.minimum(first.errors, second.errors))


def _sliding(samples: Floats, per_step: int) -> SlopePaths:
    """The code of the proof."""
    nodes = samples[:, ::per_step]
    rises = np.diff(nodes, axis=1)
    n, steps = rises.shape
    slopes = np.rint(rises[:, 0] - 0.5).astype(np.int64)
    digits = np.ones((n, steps), dtype=np.uint8)
    position, slope = np.zeros(n), slopes + 0.5
    for j in range(steps):
        if j:
            wanted = rises[:, j] - (position - nodes[:, j]) / 8.0
            digits[:, j] = wanted > slope
            slope = slope + (digits[:, j] - 0.5)
        position = position + slope
    unmeasured = SlopePaths(slopes, digits, np.empty(0))
    return SlopePaths(slopes, digits, errors_at(samples, per_step, unmeasured))


def errors_at(samples: Floats, per_step: int, paths: SlopePaths) -> Floats:
    """Largest distance of paths from the samples, shape ``(n,)``."""
    nodes = paths.nodes
    largest: Floats = np.abs(nodes[:, -1] - samples[:, -1])
    for i in range(per_step):
        part = i / per_step
        there = nodes[:, :-1] * (1.0 - part) + nodes[:, 1:] * part
        largest = np.maximum(largest, np.abs(there - samples[:, i:-1:per_step]).max(axis=1))
    return largest


def _window(samples: Floats, per_step: int) -> SlopePaths:
    """The best code in the window, by dynamic programming over twice the position and twice the slope."""
    nodes = samples[:, ::per_step]
    n, steps = nodes.shape[0], nodes.shape[1] - 1
    heights = np.arange(-_HEIGHT, _HEIGHT + 1)[None, :, None]
    spreads = np.arange(-_SPREAD, _SPREAD + 1)[None, None, :]
    n_states = heights.size * spreads.size
    parity = (1 + np.arange(steps)) % 2
    mid_p = np.rint(2 * nodes[:, :-1]).astype(np.int64)
    mid_q = (2 * np.rint((2 * np.diff(nodes, axis=1) - parity) / 2) + parity).astype(np.int64)
    cost = np.where(heights == -mid_p[:, 0, None, None], 0.0, np.inf) + np.zeros((1, 1, spreads.size))
    choices = np.zeros((steps, n, n_states), dtype=np.bool_)
    arrived = np.full((n, n_states + 1), np.inf)
    for j in range(steps):
        p, q = mid_p[:, j, None, None] + heights, mid_q[:, j, None, None] + 2 * spreads
        if j:
            found = [_gather(arrived, mid_p, mid_q, j, p, q, move) for move in (-1, 1)]
            choices[j] = (found[1] < found[0]).reshape(n, n_states)
            cost = np.minimum(found[0], found[1])
        for i in range(1, per_step + 1):
            there = 0.5 * p + (0.5 * i / per_step) * q - samples[:, j * per_step + i, None, None]
            cost = np.maximum(cost, np.abs(there))
        if not j:
            cost = np.maximum(cost, np.abs(samples[:, 0, None, None]))
        arrived[:, :-1] = cost.reshape(n, n_states)
    return _trace_back(arrived[:, :-1], choices, mid_p, mid_q)


def _gather(arrived: Floats, mid_p: Ints, mid_q: Ints, j: int, p: Ints, q: Ints, move: int) -> Floats:
    """Costs of the states from which states ``(p, q)`` at node ``j`` are reached by a move of the slope."""
    before = q - move
    row = p - before - mid_p[:, j - 1, None, None] + _HEIGHT
    column = (before - mid_q[:, j - 1, None, None]) // 2 + _SPREAD
    n_columns = 2 * _SPREAD + 1
    inside = (row >= 0) & (row <= 2 * _HEIGHT) & (column >= 0) & (column < n_columns)
    place = np.where(inside, row * n_columns + column, arrived.shape[1] - 1)
    return np.take_along_axis(arrived, place.reshape(len(place), -1), axis=1).reshape(place.shape)


def _trace_back(final: Floats, choices: NDArray[np.bool_], mid_p: Ints, mid_q: Ints) -> SlopePaths:
    """The digits that lead to the best last state."""
    steps, n, _ = choices.shape
    n_columns, rows = 2 * _SPREAD + 1, np.arange(n)
    state = final.argmin(axis=1)
    errors = final[rows, state]
    digits = np.ones((n, steps), dtype=np.uint8)
    p = mid_p[:, -1] + state // n_columns - _HEIGHT
    q = mid_q[:, -1] + 2 * (state % n_columns - _SPREAD)
    for j in range(steps - 1, 0, -1):
        digits[:, j] = choices[j, rows, state]
        q = q - (2 * digits[:, j].astype(np.int64) - 1)
        p = p - q
        row = np.clip(p - mid_p[:, j - 1] + _HEIGHT, 0, 2 * _HEIGHT)
        state = row * n_columns + np.clip((q - mid_q[:, j - 1]) // 2 + _SPREAD, 0, n_columns - 1)
    return SlopePaths((q - 1) // 2, digits, errors)
