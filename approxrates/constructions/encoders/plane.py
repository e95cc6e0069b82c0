r"""Walks through the fine cells of the plane: which digits make a network follow a function within a small error.

A coarse cell holds ``M^2`` fine cells on a snake path (row by row, each row in the opposite direction). The decoder
gives fine cell ``y`` the value ``R_y = R_0 + sum_{i=1..y} (z_i - 1/2)`` in units of the scale ``s``, where ``z_i`` is
what is left of the code word when digit i is due: ``z = z'/4`` for digit 0 and ``1 - z'/4`` for digit 1, ``z'`` the
number that the next digit finds. So a digit moves the walk by ``-1/2 .. -1/4`` or by ``1/4 .. 1/2``. Digits are read
far end first, the start value ``R_0`` last; the encoder decides in the opposite order, start value first, so that it
knows every ``z`` exactly: a beam of the best walks is extended digit by digit.

*What a walk can always do* (:func:`follow` with ``greedy``). Let neighbouring cells have middle values that differ by
at most ``s / 4``. Stepping down when the walk is above the middle value and up otherwise keeps
``|R_i - middle_i| <= 3/4``: from above, a step changes the difference by something in ``[-3/4, 0]``, from below by
something in ``[0, 3/4]``. The start is within 1/2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from approxrates.constructions.encoders.plane_cells import Grid, constants_error, off_path, on_path, sampled_ranges
from approxrates.layers import Dyadic, nearest
from approxrates.target import Target

Array = NDArray[np.float64]
DIGIT_BITS = 2
"""Bits per digit of a code word."""
_AHEAD = 0.1  # weight of the distance from the middle of the next cell: it decides between walks that are equal so far
_CHUNK = 2_000_000  # entries of the beam's largest work array
_FACTORS = (0.35, 0.5, 0.7, 0.85, 1.0, 1.2, 1.45, 1.75, 2.1)
_SAMPLE = 48  # coarse cells for the search of the scale: the hardest ones, and as many spread out


@dataclass(frozen=True)
class Walks:
    """Walks of many coarse cells.

    Attributes:
        digits: In the order in which they are read, shape ``(n, M^2 - 1 + n_leads)``.
        path: Values ``R_y`` in units of the scale, shape ``(n, M^2)``.
    """

    digits: NDArray[np.uint8]
    path: Array


def follow(low: Array, high: Array, n_leads: int, beam: int, greedy: bool = False) -> Walks:
    """Walks that stay near the ranges ``[low, high]``, shape ``(n, M^2)``, both in units of the scale and positive.

    Args:
        low: Lower end of what the walk should be close to in each fine cell, along the path.
        high: Upper end.
        n_leads: Binary digits of the start value, a whole number.
        beam: Walks that are kept at each step: those of least ``max_y max(R_y - low_y, high_y - R_y)``.
        greedy: One walk, always towards the middle; see the top of the module.
    """
    n, steps = low.shape
    rows = max(1, _CHUNK // (steps * beam))
    parts = [
        _follow(low[k : k + rows], high[k : k + rows], n_leads, 1 if greedy else beam, greedy)
        for k in range(0, n, rows)
    ]
    return Walks(np.concatenate([p.digits for p in parts]), np.concatenate([p.path for p in parts]))


def _starts(middle: Array, n_leads: int, greedy: bool) -> tuple[NDArray[np.int64], Array]:
    """Start values near the middle of the first cell, and the number that the next digit finds; shape ``(n, k)``."""
    around = np.zeros(1) if greedy else np.arange(-2, 3)
    starts = np.clip(np.rint(middle)[:, None] + around, 0, 2**n_leads - 1).astype(np.int64)
    rest = np.ones(starts.shape)  # the word ends with a digit 1
    for place in range(n_leads):
        rest = np.where(starts >> place & 1, rest / 4, 1.0 - rest / 4)  # a one is stored as digit 0
    return starts, rest


def _follow(low: Array, high: Array, n_leads: int, beam: int, greedy: bool) -> Walks:
    """:func:`follow` for a chunk of cells."""
    n, steps = low.shape
    everyone = np.arange(n)
    starts, rest = _starts((low[:, 0] + high[:, 0]) / 2, n_leads, greedy)
    at = starts.astype(np.float64)
    worst = np.maximum(at - low[:, :1], high[:, :1] - at)
    chosen = np.zeros((steps, n, max(beam, starts.shape[1])), dtype=np.uint8)
    parent = np.zeros_like(chosen)
    for step in range(1, steps):
        alive, after = at.shape[1], min(step + 1, steps - 1)
        down = rest / 4
        moved = np.concatenate([at + down - 0.5, at + 0.5 - down], axis=1)
        middle, half = (low[:, step] + high[:, step])[:, None] / 2, (high[:, step] - low[:, step])[:, None] / 2
        size = np.abs(moved - middle)
        error = np.maximum(np.concatenate([worst, worst], axis=1), size + half)
        score = error + _AHEAD * np.abs(moved - (low[:, after] + high[:, after])[:, None] / 2)
        if greedy:
            above = at > middle
            score = np.concatenate([~above, above], axis=1).astype(np.float64)
        keep = min(beam, 2 * alive)
        best = np.broadcast_to(np.arange(2 * alive), (n, 2 * alive))
        if keep < 2 * alive:
            best = np.argpartition(score, keep - 1, axis=1)[:, :keep]
        chosen[step, :, :keep], parent[step, :, :keep] = best >= alive, best % alive
        at = np.take_along_axis(moved, best, axis=1)
        worst = np.take_along_axis(error, best, axis=1)
        rest = np.take_along_axis(np.concatenate([down, 1.0 - down], axis=1), best, axis=1)
    current = worst.argmin(axis=1)
    digits = np.zeros((n, steps - 1 + n_leads), dtype=np.uint8)
    for step in range(steps - 1, 0, -1):  # the last step of the path is the first digit read
        digits[:, steps - 1 - step] = chosen[step, everyone, current]
        current = parent[step, everyone, current].astype(np.intp)
    start = starts[everyone, current]
    places = np.arange(n_leads - 1, -1, -1)
    digits[:, steps - 1 :] = 1 - (start[:, None] >> places & 1)
    return Walks(digits, walk_values(digits, n_leads))


def walk_values(digits: NDArray[np.uint8], n_leads: int) -> Array:
    """Values ``R_y`` of walks with given digits, shape ``(n, M^2)``: what a network makes of them."""
    steps = digits.shape[1] - n_leads + 1
    rest = np.ones(len(digits))
    value = np.zeros(len(digits))
    path = np.empty((len(digits), steps))
    for k in range(digits.shape[1] - 1, -1, -1):
        rest = np.where(digits[:, k] == 1, 1.0 - rest / 4, rest / 4)
        if k >= steps - 1:
            value += np.where(digits[:, k] == 0, 2.0 ** (digits.shape[1] - 1 - k), 0.0)
            if k == steps - 1:
                path[:, 0] = value
        else:
            value = value + rest - 0.5
            path[:, steps - 1 - k] = value
    return path


@dataclass(frozen=True)
class PlaneCoding:
    """Walks on several grids.

    Attributes:
        walks: One for each grid, in units of the scale above ``low``.
        scale: The unit.
        low: Value of a walk at 0.
        bound: Proven bound on the distance of the target from every walk, on every fine cell.
    """

    walks: list[Walks]
    scale: Dyadic
    low: Dyadic
    bound: float


def encode_plane(
    target: Target, grids: Sequence[Grid], n_leads: int, floor: float, least: float, beam: int
) -> PlaneCoding:
    """Walks along the best scale found, or those of the proof should they have the smaller bound.

    Args:
        target: A function of two variables with a Hölder constant.
        grids: The grids; all of equal stretch.
        n_leads: Digits of a start value.
        floor: A lower bound of the target.
        least: Smallest scale.
        beam: As for :func:`follow`.
    """
    steps, side = grids[0].n_fine, (1.0 - 2.0 * grids[0].inner) / grids[0].stretch
    swing = float(target.regularity.radius or 0.0) * (math.sqrt(2.0) * side) ** target.regularity.smoothness
    ranges = [(on_path(low, steps), on_path(high, steps)) for low, high in (sampled_ranges(target, g) for g in grids)]
    jump = max(float(np.abs(np.diff(low + high, axis=1)).max()) / 2 for low, high in ranges)

    def coded(size: float, greedy: bool) -> PlaneCoding:
        last = math.frexp(size)[1] - 17
        scale = nearest(size * (1.0 + 2.0**-15), last)
        base = nearest(floor - float(scale), last)
        walks = [follow(*_in_units(pair, scale, base), n_leads, beam, greedy) for pair in ranges]
        values = [float(base) + float(scale) * walk.path for walk in walks]
        pairs = list(zip(values, ranges, strict=True))
        sampled = max(float(np.maximum(v - low, high - v).max()) for v, (low, high) in pairs)
        surely = max(float(np.abs(v - (low + high) / 2).max()) for v, (low, high) in pairs) + swing
        bound = constants_error(target, grids, [off_path(v, steps) for v in values], sampled, surely)
        rounding = 1e-9 * float(scale) + float(target.evaluation_error or 1e-12)
        return PlaneCoding(walks, scale, base, bound * (1.0 + 1e-9) + rounding)

    best = coded(max(least, _best_factor(ranges, n_leads, floor, max(jump, least)) * max(jump, least)), greedy=False)
    if best.bound > 3.0 * max(jump, least / 4) + swing:
        best = min(best, coded(max(least, 4.0 * jump), greedy=True), key=lambda coding: coding.bound)
    return best


def _in_units(pair: tuple[Array, Array], scale: Dyadic, base: Dyadic) -> tuple[Array, Array]:
    """Ranges in units of the scale above the base."""
    low, high = pair
    return (low - float(base)) / float(scale), (high - float(base)) / float(scale)


def _best_factor(ranges: Sequence[tuple[Array, Array]], n_leads: int, floor: float, unit: float) -> float:
    """The factor of the unit whose walks are best on some coarse cells, with a small beam."""
    low, high = (np.concatenate(sides) for sides in zip(*ranges, strict=True))
    hardest = np.argsort(-np.ptp(low + high, axis=1), kind="stable")[:_SAMPLE]
    some = np.union1d(hardest, np.linspace(0, len(low) - 1, min(_SAMPLE, len(low))).astype(np.intp))
    low, high = low[some], high[some]

    def error(factor: float) -> float:
        scale = factor * unit
        base = floor - scale
        path = base + scale * follow((low - base) / scale, (high - base) / scale, n_leads, 6).path
        return float(np.maximum(path - low, high - path).max())

    return min(_FACTORS, key=error)
