r"""Walks of up and down steps that follow a target, chosen by beam search on the error of the very output they cause.

The decoder of the deep networks reads a cell's digits ``d_0, d_1, ...`` from a word through the analogue numbers
``z_j = d_j + (-1)^{d_j} 2^-k z_{j-1}`` (``z_{-1} = 0``, ``k`` bits a digit; see ``gadgets/words.py``): near 0 or near 1
according to the digit, and exactly known to the encoder. At position ``y`` its output is, in units of the scale ``s``,

    P(y) = sum_{i < j} z_i + relu(z_j - 1 + t) - y / 2,        y = j + t,  0 <= t < 1,

and 0 for ``y <= 0``: a walk whose steps are ``z_j - 1/2``, between ``1/2 - 2^-k`` and ``1/2`` up or down.

The search goes through the digits from the start. A state is (walk, last z, largest error so far); each digit doubles
the states, and the ``beam`` with the least largest error survive (ties by the present error). The search runs in
float32; the error of the digits that it chose is taken in float64, at ``samples`` positions of each fine step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from approxrates.constructions.encoders.base import Floats, Mesh, modulus, spread_cells, values_on
from approxrates.constructions.gadgets.words import code_words
from approxrates.constructions.sizes import check_integer
from approxrates.layers import Dyadic, nearest
from approxrates.target import Target

Digits = NDArray[np.uint8]
_STATES = 1 << 21
"""Samples, or stored digits of states, that a chunk of cells may take: some ten megabytes."""
_KEPT = 1 << 24
"""Samples that are kept for a second pass."""
_SMALL = 1 << 17
"""Fine steps in all up to which several scales are tried on all cells."""
_WIDEST = 128
"""States of the widest beam; their numbers fit in a byte."""
_START = 1.4
"""Scale in units of the modulus that a search begins with."""


@dataclass(frozen=True)
class Walks:
    """Digits of walks, one walk per cell.

    Attributes:
        mesh: Where they run.
        digits: 0 or 1, shape ``(n_cells, steps)``, in walking order.
        starts: Value at the start of each cell, shape ``(n_cells,)``: the target's at the even knot.
        scale: ``s``, exact: steps are about half of it.
        spacing: ``k``, bits per digit.
        errors: Largest sampled error of each cell, shape ``(n_cells,)``.
        end_error: Largest error at the end of a walk, the odd knot.
    """

    mesh: Mesh
    digits: Digits
    starts: Floats
    scale: Dyadic
    spacing: int
    errors: Floats
    end_error: float

    @property
    def error(self) -> float:
        """Largest sampled error over all cells."""
        return float(self.errors.max())

    @property
    def words(self) -> list[Dyadic]:
        """One number in ``[0, 1]`` per cell; the last digit of the walk is the first that is read."""
        return code_words(np.ascontiguousarray(self.digits[:, ::-1]), self.spacing)


def encode_walks(
    target: Target,
    cells: int,
    steps: int,
    *,
    scale: float | Dyadic | None = None,
    spacing: int = 2,
    beam: int = 8,
    samples: int | None = None,
    dead: float = 0.25,
    which: NDArray[np.int64] | None = None,
) -> Walks:
    """Walks that follow a target of one variable on reflected cells.

    Args:
        target: A target with ``dim == 1``, evaluated in float64.
        cells: ``N``, even.
        steps: ``M``, digits per cell.
        scale: ``s``, rounded to 20 bits unless it is a Dyadic; None to search for the best (:func:`best_scale`).
        spacing: Bits per digit, at least 2.
        beam: States that are kept, at most 128; the worst tenth of the cells is searched with wider beams too.
        samples: Positions per fine step where errors are taken; None for 8, and more where steps are few.
        dead: Dead zone in fine steps.
        which: Cells to encode; None for all.

    Returns:
        The walks; deterministic.
    """
    beam = check_integer("beam", beam) or 8
    if beam > _WIDEST:
        raise ValueError(f"beam must be at most {_WIDEST}. Got beam={beam}. Write e.g. beam=16.")
    mesh = Mesh(cells, steps, dead)
    fine = samples or max(8, 1 << max(0, (256 // steps).bit_length() - 1))
    if scale is None:
        return best_scale(target, mesh, spacing=spacing, beam=beam, samples=fine, which=which)
    exact = scale if isinstance(scale, Dyadic) else nearest(scale, math.frexp(scale)[1] - 20)
    chosen = np.arange(cells, dtype=np.int64) if which is None else which
    return _encode(_Goals(target, mesh, chosen, fine), exact, spacing, beam)


class _Goals:
    """Samples of a target in some cells, chunk by chunk; kept in memory where they are few."""

    def __init__(self, target: Target, mesh: Mesh, which: NDArray[np.int64], samples: int) -> None:
        self.target, self.mesh, self.which, self.samples = target, mesh, which, samples
        n_samples = mesh.steps * samples
        self._y = np.concatenate([np.array([-mesh.dead, -mesh.dead / 2]), np.arange(n_samples + 1) / samples])
        self.chunk = max(1, _STATES // n_samples)
        self.is_kept = len(which) * n_samples <= _KEPT
        self._kept: dict[int, Floats] = {}

    def values(self, first: int) -> Floats:
        """Samples of the chunk that begins with the ``first`` cell: two in the dead zone, then all ``y``."""
        if first in self._kept:
            return self._kept[first]
        values = values_on(self.target, self.mesh.points(self.which[first : first + self.chunk], self._y))
        if self.is_kept:
            self._kept[first] = values
        return values


def _encode(goals: _Goals, scale: Dyadic, spacing: int, beam: int) -> Walks:
    """Walks for samples: all cells with one beam, then those that are much worse than the rest with wider ones."""
    steps, n_cells, s = goals.mesh.steps, len(goals.which), float(scale)
    digits, starts = np.empty((n_cells, steps), dtype=np.uint8), np.empty(n_cells)
    errors, end_errors = np.empty(n_cells), np.empty(n_cells)
    for first in range(0, n_cells, goals.chunk):
        part = slice(first, first + goals.chunk)
        values = goals.values(first)
        starts[part] = values[:, 0]
        wanted = (values - values[:, :1]) / s
        found = _search(wanted, steps, goals.samples, spacing, beam)
        for wide in (4 * beam, 16 * beam):
            if wide > _WIDEST:
                continue
            # Few cells decide the largest error; it pays to look harder there.
            bad = np.flatnonzero(found[1] > np.quantile(found[1], 0.9))
            again = _search(wanted[bad], steps, goals.samples, spacing, wide)
            better = again[1] < found[1][bad]
            found[0][bad[better]] = again[0][better]
            for kept, new in zip(found[1:], again[1:], strict=True):
                kept[bad[better]] = new[better]
        digits[part], errors[part], end_errors[part] = found[0], s * found[1], s * found[2]
    return Walks(goals.mesh, digits, starts, scale, spacing, errors, float(end_errors.max()))


def _search(wanted: Floats, steps: int, samples: int, spacing: int, beam: int) -> tuple[Digits, Floats, Floats]:
    """Digits, largest errors and errors at the end for goals in units of the scale; rows are cells."""
    n_cells = len(wanted)
    digits = np.empty((n_cells, steps), dtype=np.uint8)
    chunk = max(1, 4 * _STATES // (steps * beam))
    for first in range(0, n_cells, chunk):
        rows = slice(first, first + chunk)
        digits[rows] = _beam_search(wanted[rows, 2:], steps, samples, 2.0**-spacing, beam)
    off = np.abs(walk_values(digits, spacing, samples) - wanted[:, 2:])
    return digits, np.maximum(off.max(axis=1), np.abs(wanted[:, 1])), off[:, -1]


def analogue(digits: Digits, spacing: int) -> Floats:
    """The numbers ``z_j`` of digits in walking order; same shape, float64 (exact up to ``2^-53``)."""
    z = np.empty(digits.shape)
    last = np.zeros(digits.shape[0])
    for j in range(digits.shape[1]):
        small = last * 2.0**-spacing
        last = np.where(digits[:, j] == 1, 1.0 - small, small)
        z[:, j] = last
    return z


def walk_values(digits: Digits, spacing: int, samples: int) -> Floats:
    """``P`` at ``y = i / samples``, ``i = 0 .. steps samples``; shape ``(n_cells, steps samples + 1)``."""
    z = analogue(digits, spacing)
    n_cells, steps = z.shape
    t = np.arange(samples) / samples
    before = np.concatenate([np.zeros((n_cells, 1)), np.cumsum(z - 0.5, axis=1)], axis=1)
    inside = np.maximum(z[:, :, None] - (1.0 - t), 0.0) - t / 2 + before[:, :-1, None]
    return np.concatenate([inside.reshape(n_cells, steps * samples), before[:, -1:]], axis=1)


def _beam_search(wanted: Floats, steps: int, samples: int, shrink: float, beam: int) -> Digits:
    """Digits in walking order for chunks of cells; ``wanted`` has shape ``(n_cells, steps samples + 1)``."""
    n_cells = len(wanted)
    goal = np.ascontiguousarray(wanted.T.astype(np.float32))
    walk = np.zeros((n_cells, 1), dtype=np.float32)
    last, worst = walk.copy(), walk.copy()
    rows = np.arange(n_cells)[:, None]
    came_from = np.empty((steps, n_cells, beam), dtype=np.uint8)
    for j in range(steps):
        small = last * np.float32(shrink)
        z = np.concatenate([small, 1 - small], axis=1)
        error = np.concatenate([worst, worst], axis=1)
        before = np.concatenate([walk, walk], axis=1)
        for i in range(samples):
            t = np.float32(i / samples)
            off = np.maximum(z - (1 - t), 0)
            off += before
            off -= (goal[j * samples + i] + t / 2)[:, None]
            np.maximum(error, np.abs(off, out=off), out=error)
        before += z - np.float32(0.5)
        now = np.abs(before - goal[(j + 1) * samples][:, None])
        np.maximum(error, now, out=error)
        kept = min(beam, error.shape[1])
        score = error + np.float32(1e-3) * now
        if kept < score.shape[1]:
            best = np.argpartition(score, kept - 1, axis=1)[:, :kept]
        else:
            best = np.broadcast_to(np.arange(kept), (n_cells, kept))
        came_from[j, :, :kept] = best
        walk, last, worst = before[rows, best], z[rows, best], error[rows, best]
    return _traced(came_from, np.argmin(worst, axis=1), beam)


def _traced(came_from: NDArray[np.uint8], best: NDArray[np.intp], beam: int) -> Digits:
    """Follow the survivors back; a state's number is (digit, number of the state before)."""
    steps, n_cells, _ = came_from.shape
    digits = np.empty((n_cells, steps), dtype=np.uint8)
    rows, state = np.arange(n_cells), best
    for j in range(steps - 1, -1, -1):
        number = came_from[j, rows, state].astype(np.intp)
        before = min(beam, 1 << j)
        digits[:, j], state = number // before, number % before
    return digits


def best_scale(
    target: Target,
    mesh: Mesh,
    *,
    spacing: int = 2,
    beam: int = 8,
    samples: int = 8,
    which: NDArray[np.int64] | None = None,
    most_cells: int = 64,
) -> Walks:
    """The walks of the scale with the least sampled error, found on few cells that stand for all.

    Too small a scale cannot follow the steepest climbs, too large a one rounds coarsely. A first pass over all cells
    shows the worst ones; the scale is searched for on these and some spread over all; further passes use what is best.
    """
    everywhere = np.arange(mesh.cells, dtype=np.int64) if which is None else which
    spread = spread_cells(len(everywhere), most_cells)
    unit = modulus(target, mesh, everywhere[spread]) or 2.0**-60
    goals = _Goals(target, mesh, everywhere, samples)

    def encode(goals: _Goals, factor: float) -> Walks:
        scale = factor * unit
        return _encode(goals, nearest(scale, math.frexp(scale)[1] - 20), spacing, beam)

    first = encode(goals, _START)
    worst = np.argsort(-first.errors, kind="stable")[:most_cells]
    few = _Goals(target, mesh, everywhere[np.union1d(worst, spread[: most_cells // 2])], samples)
    tried = {_START: encode(few, _START).error}
    middle = _START
    for ratio in (2.0**0.5, 2.0**0.25, 2.0**0.125, 2.0**0.0625):
        for factor in (middle / ratio, middle * ratio):
            tried.setdefault(factor, encode(few, factor).error)
        middle = min(tried, key=lambda factor: (tried[factor], factor))
    passes = 4 if mesh.steps * len(everywhere) <= _SMALL else 1
    best = [encode(goals, factor) for factor in sorted(tried, key=lambda factor: (tried[factor], factor))[:passes]]
    return min([*best, first], key=lambda walks: walks.error)
