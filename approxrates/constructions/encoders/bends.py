r"""Digits of quadratic splines whose second derivative moves by ``+-1/2`` at every node, by dynamic programming.

A path starts at 0 with whole slope ``v`` and curvature ``k - 1/2 + b_0``; at each further node ``j`` its curvature
moves by ``b_j - 1/2``, and position and slope are continuous. Whatever the digits are, the parities of ``2 curvature``,
``2 slope`` and ``4 position`` at a node are fixed: one state in each unit of curvature and of slope and in each half
unit of position. For a window of states near the given function the encoder carries the least largest error so far.

Of two codes of each function the better one is kept: the best one in the window, and a *sliding* code for the proof.
With ``F`` the function at nodes let ``F'' = F_{j+2} - 2 F_{j+1} + F_j`` and ``F' = F_{j+1} - F_j - F'' / 2``. The
errors ``e, d, k`` of position, slope and curvature, the last one on the step after the node, move by

    e <- e + d + k / 2,    d <- d + k + t / 2,    k <- k +- 1/2 - t,    t the third difference,

with no further remainder. The sliding code makes ``|sigma|`` least at each node, ``sigma = k + d/8 + e/256``. As long
as ``|sigma| <= 1`` and ``|t| <= 1/8``, put ``k = sigma - d/8 - e/256``: then ``(e, d)`` is driven by ``sigma`` and
``t`` through the matrix ``[[511/512, 15/16], [-1/256, 7/8]]``, whose eigenvalues are below 0.95, and sums of absolute
responses bound it: ``|e| < 275``, ``|d| < 13.5``, ``|k| < 2.5`` if ``|e| <= 1/4`` and ``|d|, |k| <= 1/2`` at first.
Now ``sigma`` moves, but for the ``+-1/2``, by ``65/512 k + d/256 - 15/16 t``, which is less than 1/2: with the sign
against it ``|sigma| <= 1/2 + 1/2`` again, and so for ever.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SLIDING_ERROR = 275
"""Largest error at nodes of the sliding code, in units, for third differences up to 1/8."""

_HEIGHT, _SPREAD, _BEND = 7, 3, 2  # half windows: 3.5 units of position, 3 of slope, 2 of curvature
_SHAPE = (2 * _HEIGHT + 1, 2 * _SPREAD + 1, 2 * _BEND + 1)
_STATES = _SHAPE[0] * _SHAPE[1] * _SHAPE[2]
_MEMORY = 60_000_000  # bytes for the choices that are remembered


@dataclass(frozen=True)
class BendPaths:
    """Codes of functions, one per row.

    Attributes:
        slopes: Whole first slopes, shape ``(n,)``.
        bends: The whole numbers ``k``, shape ``(n,)``.
        digits: The ``b_j``, shape ``(n, steps)``.
    """

    slopes: Ints
    bends: Ints
    digits: NDArray[np.uint8]

    def states(self) -> tuple[Floats, Floats, Floats]:
        """Positions and slopes at nodes ``0..steps``, curvatures on the steps; exact."""
        curvatures: Floats = self.bends[:, None].astype(np.float64)
        curvatures = curvatures + np.cumsum(self.digits.astype(np.float64) - 0.5, axis=1)
        zeros = np.zeros((len(curvatures), 1))
        slopes: Floats = self.slopes[:, None] + np.concatenate([zeros, np.cumsum(curvatures, axis=1)], axis=1)
        rises = slopes[:, :-1] + 0.5 * curvatures
        return np.concatenate([zeros, np.cumsum(rises, axis=1)], axis=1), slopes, curvatures

    def sampled(self, per_step: int) -> Floats:
        """Positions at ``i / per_step``, shape ``(n, steps * per_step + 1)``."""
        nodes, slopes, curvatures = self.states()
        part = np.arange(per_step) / per_step
        inside = nodes[:, :-1, None] + slopes[:, :-1, None] * part + curvatures[:, :, None] * (part**2 / 2)
        return np.concatenate([inside.reshape(len(nodes), -1), nodes[:, -1:]], axis=1)


def encode(samples: Floats, per_step: int) -> BendPaths:
    """For each function the better of the window code and the sliding code.

    Args:
        samples: Values at ``i / per_step``, shape ``(n, steps * per_step + 1)``, in units; the first ones near 0.
        per_step: Samples per step.
    """
    steps = (samples.shape[1] - 1) // per_step
    chunk = max(1, min(_MEMORY // (_STATES * max(steps, 64)), 256))
    parts = [_window(samples[first : first + chunk], per_step) for first in range(0, len(samples), chunk)]
    found = BendPaths(
        np.concatenate([path.slopes for path in parts]),
        np.concatenate([path.bends for path in parts]),
        np.concatenate([path.digits for path in parts]),
    )
    proven = _sliding(samples[:, ::per_step])
    errors = [np.abs(path.sampled(per_step) - samples).max(axis=1) for path in (found, proven)]
    take = errors[0] <= errors[1]
    digits = np.where(take[:, None], found.digits, proven.digits)
    return BendPaths(np.where(take, found.slopes, proven.slopes), np.where(take, found.bends, proven.bends), digits)


def _sliding(nodes: Floats) -> BendPaths:
    """The code of the proof."""
    n, steps = nodes.shape[0], nodes.shape[1] - 1
    second = np.diff(nodes, 2, axis=1)
    second = np.concatenate([second, second[:, -1:]], axis=1)
    first = np.diff(nodes, axis=1) - second / 2
    slopes, bends = np.rint(first[:, 0]).astype(np.int64), np.rint(second[:, 0] - 0.5).astype(np.int64)
    digits = np.ones((n, steps), dtype=np.uint8)
    position, slope, curvature = np.zeros(n), slopes.astype(np.float64), bends + 0.5
    for j in range(steps):
        if j:
            wanted = second[:, j] - (slope - first[:, j]) / 8 - (position - nodes[:, j]) / 256
            digits[:, j] = wanted > curvature
            curvature = curvature + (digits[:, j] - 0.5)
        position = position + slope + curvature / 2
        slope = slope + curvature
    return BendPaths(slopes, bends, digits)


@dataclass(frozen=True)
class _Middle:
    """The middle of the window at each node: four times the position, twice the slope, twice the curvature."""

    p: Ints
    v: Ints
    k: Ints

    def states(self, j: int) -> tuple[Ints, Ints, Ints]:
        """All states of the window at node ``j``, shapes ``(n, 11, 1, 1)`` and so on."""
        cut = (slice(None), j, None, None, None)
        p = self.p[cut] + 2 * np.arange(-_HEIGHT, _HEIGHT + 1)[:, None, None]
        v = self.v[cut] + 2 * np.arange(-_SPREAD, _SPREAD + 1)[None, :, None]
        return p, v, self.k[cut] + 2 * np.arange(-_BEND, _BEND + 1)[None, None, :]

    def place(self, j: int, p: Ints, v: Ints, k: Ints) -> Ints:
        """Number of states in the window at node ``j``; the number of states where they are outside."""
        cut = (slice(None), j, *(None,) * (p.ndim - 1))
        at = ((p - self.p[cut]) // 2 + _HEIGHT, (v - self.v[cut]) // 2 + _SPREAD, (k - self.k[cut]) // 2 + _BEND)
        inside = np.ones((), dtype=np.bool_)
        for index, size in zip(at, _SHAPE, strict=True):
            inside = inside & (index >= 0) & (index < size)
        return np.where(inside, (at[0] * _SHAPE[1] + at[1]) * _SHAPE[2] + at[2], _STATES)


def _middle(nodes: Floats) -> _Middle:
    """Central differences, rounded to the parities that paths have."""
    steps = nodes.shape[1] - 1
    second = np.diff(nodes, 2, axis=1)
    curvature = np.concatenate([second[:, :1], (second[:, :-1] + second[:, 1:]) / 2, second[:, -1:]], axis=1)
    slope = np.concatenate(
        [nodes[:, 1:2] - nodes[:, :1] - curvature[:, :1] / 2, (nodes[:, 2:] - nodes[:, :-2]) / 2], axis=1
    )
    j = np.arange(steps)
    odd_k, odd_v = (j + 1) % 2, (j * (j + 1) // 2) % 2

    def rounded(values: Floats, odd: Ints) -> Ints:
        return (2 * np.rint((values - odd) / 2) + odd).astype(np.int64)

    return _Middle(rounded(4 * nodes[:, :-1], odd_v), rounded(2 * slope, odd_v), rounded(2 * curvature, odd_k))


def _window(samples: Floats, per_step: int) -> BendPaths:
    """The best code in the window."""
    nodes = samples[:, ::per_step]
    n, steps = nodes.shape[0], nodes.shape[1] - 1
    middle = _middle(nodes)
    choices = np.zeros((steps, n, _STATES), dtype=np.bool_)
    arrived = np.full((n, _STATES + 1), np.inf)
    for j in range(steps):
        p, v, k = middle.states(j)
        if j:
            # Digit b: the curvature before was k - (2 b - 1), and it acted for one step.
            found = []
            for move in (-1, 1):
                k_before = k - move
                v_before = v - k_before
                place = middle.place(j - 1, p - 2 * v_before - k_before, v_before, k_before)
                found.append(np.take_along_axis(arrived, place.reshape(n, -1), axis=1))
            choices[j] = found[1] < found[0]
            cost = np.minimum(found[0], found[1]).reshape(n, *_SHAPE)
        else:
            start = np.where(p == 0, np.abs(samples[:, 0])[:, None, None, None], np.inf)
            cost = np.broadcast_to(start, (n, *_SHAPE))
        for i in range(1, per_step + 1):
            part = i / per_step
            there = (0.25 * p - samples[:, j * per_step + i, None, None, None]) + (
                (0.5 * part) * v + (0.25 * part * part) * k
            )
            cost = np.maximum(cost, np.abs(there))
        arrived[:, :-1] = cost.reshape(n, _STATES)
    return _trace_back(arrived[:, :-1], choices, middle)


def _trace_back(final: Floats, choices: NDArray[np.bool_], middle: _Middle) -> BendPaths:
    """The digits that lead to the best last state."""
    steps, n, _ = choices.shape
    rows, state = np.arange(n), final.argmin(axis=1)
    i_p, i_v, i_k = np.unravel_index(state, _SHAPE)
    p = middle.p[:, -1] + 2 * (i_p - _HEIGHT)
    v = middle.v[:, -1] + 2 * (i_v - _SPREAD)
    k = middle.k[:, -1] + 2 * (i_k - _BEND)
    digits = np.ones((n, steps), dtype=np.uint8)
    for j in range(steps - 1, 0, -1):
        digits[:, j] = choices[j, rows, np.minimum(state, _STATES - 1)]
        k = k - (2 * digits[:, j].astype(np.int64) - 1)
        v = v - k
        p = p - 2 * v - k
        state = middle.place(j - 1, p, v, k)
    return BendPaths(v // 2, (k - 1) // 2, digits)
