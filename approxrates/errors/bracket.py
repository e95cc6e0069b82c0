"""Sup distance of piecewise-linear functions to one target on [0, 1], enclosed by branch and bound over b-adic cells.

On a b-adic cell of level ``k`` the target is within ``gap(k)`` of its linear interpolant
(``Target.interpolation_gap``). That minus a piecewise-linear network is piecewise linear on the cell cut at the
network's break-points, so its maximum is at the end of a part: ``|f - g| <= max over the two ends |I_k f - g| +
gap(k)`` on each part. Parts whose bound cannot exceed the best value found are dropped, the others go down one level.
All networks of a batch go down together, one target call per level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from approxrates.errors.base import UNIT, Array, Pieces
from approxrates.target import Target

_FINEST = 52  # bits of position that a float64 number in [0, 1] resolves
_SHARP = 1e-15
"""Relative width for targets whose gap falls like that of C^2: few parts stay open on a level, so it costs little."""
_BEAM, _BEAM_SHARE = (
    64,
    8,
)  # parts of a network followed down at once: so many, or one in so many cells of the first level
_BUDGET, _PER_CELL = 200_000, 128  # target evaluations where no budget is given: in all, or per cell of the first level
_SETTLED = 0.1  # share of the tolerance below which what a part may still gain is not followed down
_LOCAL = 0.25  # share of the common gap below which half of the cells must be for their own gaps to be used
_INFLATED = 1.0 + 2.0**-20  # covers what is of higher order in u
_CHILDREN = 8  # parts that a cell is cut into in later steps, at most


@dataclass(frozen=True)
class Bracket:
    """``lower <= sup |f - g| <= upper`` for the float64 values of f and g as given, ``lower`` attained at ``where``."""

    lower: float
    upper: float
    where: float
    n_evaluations: int


@dataclass
class _Parts:
    """Parts of cells still open; every array has shape ``(n,)``: owner, cell, ends, g at ends, f at cell ends, gap.

    ``s0, t0, g0, g1`` are the ends of the part of the first level that a part lies in, and g there: all later values of
    g are taken from them in one step, so that rounding does not add up over the levels.
    """

    owner: NDArray[np.intp]
    cell: NDArray[np.int64]
    s: Array
    t: Array
    g_s: Array
    g_t: Array
    f_a: Array
    f_b: Array
    gap: Array
    s0: Array
    t0: Array
    g0: Array
    g1: Array

    def take(self, keep: NDArray[np.bool_]) -> _Parts:
        """The parts selected."""
        return _Parts(*(column[keep] for column in vars(self).values()))


class _Search:
    """One run of branch and bound over a batch."""

    def __init__(self, pieces: Sequence[Pieces], target: Target, tolerance: float, budget: int | None) -> None:
        self.pieces, self.target, self.tolerance = pieces, target, tolerance
        self.base = max(2, target.base)
        self.finest = int(_FINEST * math.log(2) / math.log(self.base))
        n = len(pieces)
        self.reached = np.zeros(n, dtype=np.intp)  # the finest level on which a part was open
        self.lower, self.where = np.full(n, -1.0), np.zeros(n)
        self.dropped = np.zeros(n)  # the largest bound of a part that was dropped
        self.n_evaluations = np.zeros(n, dtype=np.int64)
        self.scale = 1.0
        self.level = start_level(pieces, self.base)
        self.reached[:] = self.level
        self.budget = budget or max(_BUDGET, _PER_CELL * self.base**self.level)
        gap = target.interpolation_gap
        self.is_local = False  # whether the gaps of cells differ so much that each is worth finding
        self.is_smooth = gap is not None and gap(self.level + 1) <= gap(self.level) * self.base**-1.9
        if self.is_smooth:
            self.tolerance = min(tolerance, _SHARP)

    def run(self) -> list[Bracket]:
        """Brackets of all networks."""
        parts = self._start()
        bounds, steps = self._bounds(parts), 0
        self._dive(parts, bounds)
        while True:
            parts, bounds = self._drop(parts, bounds)
            if not len(bounds) or self.level >= self.finest:
                break
            parts = self._refine(parts, self.level + self._stride(steps))
            steps += 1
            self.reached[parts.owner] = self.level
            bounds = self._bounds(parts)
        np.maximum.at(self.dropped, parts.owner, bounds)
        if self.is_smooth or self.target.interpolation_gap is None:
            self._polish()
        upper = np.maximum(self.lower, self.dropped)
        columns = (self.lower, upper, self.where, self.n_evaluations)
        return [Bracket(float(a), float(b), float(c), int(d)) for a, b, c, d in zip(*columns, strict=True)]

    def _start(self) -> _Parts:
        """Every network's break-points merged with the cells of the first level."""
        n_cells = self.base**self.level
        grid = np.arange(n_cells + 1) / n_cells
        on_grid = self.target(grid)
        borders = np.cumsum([len(p.t) for p in self.pieces])[:-1]
        on_breaks = np.split(self.target(np.concatenate([p.t for p in self.pieces])), borders)
        self.scale = max(float(np.abs(on_grid).max()), *(float(np.abs(p.values).max()) for p in self.pieces))
        gaps = self._first_gaps(on_grid)
        parts = []
        for i, (p, f_breaks) in enumerate(zip(self.pieces, on_breaks, strict=True)):
            self._note(np.full(len(p.t), i), p.t, f_breaks, p.values)
            self._note(np.full(len(grid), i), grid, on_grid, p(grid))
            self.n_evaluations[i] += len(p.t) + len(grid)
            mesh = np.union1d(grid, p.t)
            g, cell = p(mesh), np.searchsorted(grid, mesh[:-1], side="right") - 1
            owner = np.full(len(cell), i, dtype=np.intp)
            ends = (mesh[:-1], mesh[1:], g[:-1], g[1:])
            parts.append(_Parts(owner, cell, *ends, on_grid[cell], on_grid[cell + 1], gaps[cell], *ends))
        return _Parts(*(np.concatenate(columns) for columns in zip(*(vars(p).values() for p in parts), strict=True)))

    def _first_gaps(self, on_grid: Array) -> Array:
        """The gap on each cell of the first level: proven, or what is seen one level higher, there and next to it."""
        n_cells = len(on_grid) - 1
        if self.target.interpolation_gap is not None:
            return self._proven_gaps(np.arange(n_cells), first=True)
        share = np.arange(self.base) / self.base
        a, b = on_grid[: -1 : self.base], on_grid[self.base :: self.base]
        off = np.abs(on_grid[:-1].reshape(-1, self.base) - (a[:, None] + share * (b - a)[:, None])).max(axis=1)
        padded = np.pad(off, 1, mode="edge")
        return np.repeat(np.maximum(np.maximum(padded[:-2], padded[1:-1]), padded[2:]), self.base)

    def _proven_gaps(self, cells: NDArray[np.int64], *, first: bool = False) -> Array:
        """Proven gaps of cells of this level: one for all, or each by the target's own model of the cell.

        A model ``c + a t + q t^2`` with remainder R is off the chord of its ends by at most ``|q|``, the target by
        ``|q| + 2 R``. A singular point makes the gap of all cells that of the worst; then the models pay.
        """
        assert self.target.interpolation_gap is not None
        common = np.full(cells.shape, self.target.interpolation_gap(self.level))
        if self.target.enclosure is None or not (first or self.is_local):
            return common
        model = self.target.enclosure(self.level, cells.reshape(-1, 1))
        own = ((np.abs(model.terms[2]) + 2.0 * model.remainder) * (1.0 + 8 * UNIT)).reshape(cells.shape)
        if first:
            self.is_local = bool(np.median(own) < _LOCAL * common.flat[0])
        return np.fmin(common, own) if self.is_local else common

    def _bounds(self, parts: _Parts) -> Array:
        """Upper bounds of ``|f - g|`` on each part.

        Rounding of the chord of f and of g's values, by which g's are off from ``s0, t0``, is added: a chord
        ``a + (b - a) share`` is off by at most u of its value and 4 u of ``|b - a|``.
        """
        n_cells = float(self.base) ** self.level
        rise = parts.f_b - parts.f_a
        at_s = np.abs(parts.f_a + rise * (parts.s * n_cells - parts.cell) - parts.g_s)
        at_t = np.abs(parts.f_a + rise * (parts.t * n_cells - parts.cell) - parts.g_t)
        level = np.maximum(np.abs(parts.f_a), np.abs(parts.f_b)) + np.maximum(np.abs(parts.g_s), np.abs(parts.g_t))
        slack = _INFLATED * UNIT * (level + 4.0 * (np.abs(rise) + np.abs(parts.g1 - parts.g0)))
        result: Array = (np.maximum(at_s, at_t) + parts.gap + slack) * (1.0 + 4 * UNIT)
        return result

    def _drop(self, parts: _Parts, bounds: Array) -> tuple[_Parts, Array]:
        """Without the parts that cannot matter, and without networks whose budget is spent."""
        enough = self.lower * (1.0 + self.tolerance) + UNIT * self.scale
        keep = (bounds > enough[parts.owner]) & (self.n_evaluations[parts.owner] < self.budget)
        np.maximum.at(self.dropped, parts.owner[~keep], bounds[~keep])
        return parts.take(keep), bounds[keep]

    def _dive(self, parts: _Parts, bounds: Array) -> None:
        """Raise the lower ends: follow the most promising parts of each network to the finest level.

        On rough targets nothing can be dropped on the coarse levels until a point near the maximum is known, and a
        search level by level would spend its budget before it comes to one. A part is left where its gap is a small
        share of the tolerance: finer points of it would gain nothing that is asked for.
        """
        level, beam = self.level, max(_BEAM, self.base**self.level // _BEAM_SHARE)
        while self.level < self.finest and not self.is_smooth:
            # The bounds of one level differ by what is known of the errors only, for the gap is the same.
            order = np.lexsort((-bounds, parts.owner))
            first = np.searchsorted(parts.owner[order], parts.owner[order])
            parts = parts.take(order[np.arange(len(order)) - first < beam])
            if self.target.interpolation_gap is not None:
                parts = parts.take(parts.gap > _SETTLED * self.tolerance * self.lower[parts.owner])
            if not len(parts.owner):
                break
            parts = self._refine(parts, self.level + self._stride(2))
            bounds = self._bounds(parts)
        self.level = level

    def _stride(self, steps: int) -> int:
        """Levels to go down at once: few parts are open after two steps, and then calls cost more than points."""
        stride = 1 if steps < 2 else max(1, int(math.log(_CHILDREN) / math.log(self.base) + 1e-9))
        return min(stride, self.finest - self.level)

    def _refine(self, parts: _Parts, level: int) -> _Parts:
        """Every part cut at the b-adic points of a finer level."""
        children, self.level = self.base ** (level - self.level), level
        n_cells = float(self.base) ** level
        cells = parts.cell[:, None] * children + np.arange(children)
        cuts = cells[:, 1:] / n_cells
        f_cuts = self.target(cuts.reshape(-1)).reshape(cuts.shape)
        np.add.at(self.n_evaluations, parts.owner, children - 1)
        length, step = (parts.t0 - parts.s0)[:, None], (parts.g1 - parts.g0)[:, None]

        def values(x: Array) -> Array:
            found: Array = parts.g0[:, None] + step * ((x - parts.s0[:, None]) / length)
            return found

        g_cuts = values(cuts)
        inside = (cuts >= parts.s[:, None]) & (cuts <= parts.t[:, None])
        owners = np.broadcast_to(parts.owner[:, None], cuts.shape)
        off = np.broadcast_to(4.0 * UNIT * np.abs(step), cuts.shape)
        self._note(owners[inside], cuts[inside], f_cuts[inside], g_cuts[inside], off[inside])
        f_a = np.concatenate([parts.f_a[:, None], f_cuts], axis=1)
        f_b = np.concatenate([f_cuts, parts.f_b[:, None]], axis=1)
        s = np.maximum(parts.s[:, None], np.concatenate([parts.s[:, None], cuts], axis=1))
        t = np.minimum(parts.t[:, None], np.concatenate([cuts, parts.t[:, None]], axis=1))
        g_s = np.where(s == parts.s[:, None], parts.g_s[:, None], values(s))
        g_t = np.where(t == parts.t[:, None], parts.g_t[:, None], values(t))
        gap = self._next_gaps(parts, cells, f_cuts)
        owner = np.repeat(parts.owner[:, None], children, axis=1)
        first = (np.repeat(column[:, None], children, axis=1) for column in (parts.s0, parts.t0, parts.g0, parts.g1))
        return _Parts(*(column[s < t] for column in (owner, cells, s, t, g_s, g_t, f_a, f_b, gap, *first)))

    def _next_gaps(self, parts: _Parts, cells: NDArray[np.int64], f_cuts: Array) -> Array:
        """The gap on the children of each part: proven, or what the parent was off by, falling as for C^2 at most."""
        if self.target.interpolation_gap is not None:
            return self._proven_gaps(cells)
        children = f_cuts.shape[1] + 1
        share = np.arange(1, children) / children
        off = np.abs(f_cuts - (parts.f_a[:, None] + share * (parts.f_b - parts.f_a)[:, None])).max(axis=1)
        return np.repeat(np.maximum(off, parts.gap / children**2)[:, None], children, axis=1)

    def _note(self, owner: NDArray[np.intp], x: Array, f: Array, g: Array, off: Array | float = 0.0) -> None:
        """Keep the largest error seen of each network, less its rounding, and where it is; g is off by ``off``."""
        error = np.abs(f - g) - _INFLATED * UNIT * (np.abs(f) + np.abs(g)) - off
        order = np.lexsort((error, owner))
        last = np.flatnonzero(np.diff(owner[order], append=-1))
        best = order[last]
        better = best[error[best] > self.lower[owner[best]]]
        self.lower[owner[better]], self.where[owner[better]] = error[better], x[better]

    def _polish(self) -> None:
        """Close in on the maximum next to the best points: for smooth targets ``lower`` becomes sharp to rounding."""
        offsets = np.linspace(-1.0, 1.0, 17)
        radius = 2.0 * float(self.base) ** -self.reached[:, None].astype(np.float64)
        owner = np.repeat(np.arange(len(self.pieces)), len(offsets))
        for _ in range(6):
            x = np.clip(self.where[:, None] + radius * offsets, 0.0, 1.0)
            g = np.stack([p(row) for p, row in zip(self.pieces, x, strict=True)])
            self._note(owner, x.reshape(-1), self.target(x.reshape(-1)), g.reshape(-1))
            self.n_evaluations += len(offsets)
            radius /= 6.0


def start_level(pieces: Sequence[Pieces], base: int) -> int:
    """The first level: its cells are at most half as long as the pieces of the largest function, on average."""
    wanted = 2.0 * max(64, *(len(p.t) for p in pieces))
    return max(2, math.ceil(math.log(min(wanted, 2.0**16)) / math.log(base) - 1e-9))


def enclose(pieces: Sequence[Pieces], target: Target, tolerance: float, budget: int | None = None) -> list[Bracket]:
    """Brackets of ``sup |f - g|`` for each piecewise-linear function ``g``.

    The bracket of a function does not depend on the others of the batch, if all have the same :func:`start_level`.

    Args:
        pieces: Finite piecewise-linear functions on [0, 1].
        target: ``dim == 1``. Without a proven ``interpolation_gap`` the upper ends are estimates.
        tolerance: Relative width at which to stop.
        budget: Target evaluations per function after which to stop (one more level may be begun); the bracket is then
            wider. By default 200,000, or 128 for each cell of the first level if that is more.
    """
    return _Search(pieces, target, tolerance, budget).run()
