"""Sup distance of networks to a target on the unit cube by best-first branch and bound over b-adic cells, d <= 3.

Each cell has an upper bound of ``|f - g|`` (:mod:`approxrates.errors.boxes`). Cells whose bound is below what is wanted
are dropped, of the others the most promising are cut first. Lower bounds are values at points. On rough targets a cell
promises much more than it keeps until it is small, so a beam of cells is followed down to the finest scales from time
to time: nothing can be dropped before a point near the maximum is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from approxrates.errors.base import Array, Ending
from approxrates.errors.boxes import Bounder, Cells, Levels, Owners
from approxrates.network import Network
from approxrates.sampling import badic_grid
from approxrates.target import Target

_BUDGET = {1: 400_000, 2: 6_000_000, 3: 4_000_000}
_REFERENCE_WORK, _LEAST_BUDGET = 8 * 8 * (8 + 32), 20_000
_FIRST_CELLS = {1: 256, 2: 1024, 3: 4096}
_FINEST = 52  # bits of position that a float64 number in [0, 1] resolves
_CUT_SHARE, _FEWEST, _MOST = 4, 64, 4096  # of the open cells so many are cut at once: a quarter, within limits
_CHILDREN = 4  # parts that a cell is cut into, at least
_MOST_CHILDREN = 1 << 16  # parts of one network bounded at once, at most: large bases have many in a cell
_BEAM = 96  # cells of a network followed down at once
_CLOSE = 0.02  # a dive ends where the models leave less than this share of the gap open
_LOOK = 4  # levels between two looks at the values while diving
_POLISH = 10  # rounds of closing in on the best point at the end


@dataclass(frozen=True)
class Enclosed:
    """``lower <= sup |f - g| <= upper``, proven; ``lower`` attained at ``where`` up to rounding."""

    lower: float
    upper: float
    where: tuple[float, ...]
    n_evaluations: int
    ended_by: Ending


class _Open:
    """The open cells of one network."""

    def __init__(self, dim: int) -> None:
        self.bound, self.level, self.cells = np.empty(0), np.empty(0, np.int8), np.empty((0, dim), np.int64)

    def add(self, bound: Array, level: Levels, cells: Cells) -> None:
        """More cells."""
        self.bound = np.concatenate([self.bound, bound])
        self.level = np.concatenate([self.level, level.astype(np.int8)])
        self.cells = np.concatenate([self.cells, cells])

    def best(self, n: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
        """Indices of the ``n`` most promising cells."""
        if n >= len(self.bound):
            return np.arange(len(self.bound))
        return np.argpartition(self.bound, -n)[-n:]

    def keep(self, kept: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> None:
        """Only some of the cells."""
        self.bound, self.level, self.cells = self.bound[kept], self.level[kept], self.cells[kept]


class _Search:
    """One run over networks of one shape."""

    def __init__(self, networks: Sequence[Network], target: Target, gap: float, budget: int | None) -> None:
        self.networks, self.target, self.gap = list(networks), target, gap
        self.bounder = Bounder(networks, target)
        self.base, self.dim, n = self.bounder.base, target.dim, len(networks)
        self.finest = int(_FINEST * np.log(2) / np.log(self.base) + 1e-9)
        self.budget = default_budget(networks[0]) if budget is None else budget
        self.stride = max(1, int(np.ceil(np.log(_CHILDREN) / np.log(float(self.base) ** self.dim) - 1e-9)))
        self.at_once = max(1, _MOST_CHILDREN // self.base ** (self.dim * self.stride))
        self.lower, self.where = np.full(n, -1.0), np.zeros((n, self.dim))
        self.radius = np.ones(n)  # how far around the best point it is worth to look
        self.slack = np.zeros(n)  # what rounding leaves open at the best point
        self.finest_rest = np.zeros(n)  # what the models leave open on the smallest cell there
        self.dropped = np.zeros(n)  # the largest bound of a cell that was dropped
        self.spent = np.zeros(n, dtype=np.int64)
        self.open = [_Open(self.dim) for _ in networks]
        self.active = np.ones(n, dtype=bool)

    def run(self) -> list[Enclosed]:
        """Enclosures of all networks."""
        self._start()
        step, dive = 0, 0
        while self.active.any():
            if step == dive:
                self._dive()
                dive = 2 * dive + 2
            self._cut()
            step += 1
        self._polish()
        return [self._result(i) for i in range(len(self.networks))]

    def _start(self) -> None:
        """The uniform cells of the first level, for all networks."""
        many = float(min(_FIRST_CELLS[self.dim], max(1, self.budget // 4)))
        first = max(0, int(np.log(many) / np.log(self.base) / self.dim + 1e-9))
        axis = np.arange(self.base**first)
        cells = np.stack(np.meshgrid(*[axis] * self.dim, indexing="ij"), axis=-1).reshape(-1, self.dim)
        level, n = np.full(len(cells), first), len(self.networks)
        corners = badic_grid(first, base=self.base, dim=self.dim)
        values, known = self.target(corners), self.bounder.target_models(level, cells)
        for i in range(n):
            self._note(i, corners, values, 2.0 * float(self.base) ** -first)
            bound, _ = self.bounder.bounds(np.full(len(cells), i), level, cells, known)
            self.spent[i] += len(corners) + len(cells)
            self.open[i].add(bound, level, cells)
            self._measure_resolution(i)
            self._settle(i)

    def _measure_resolution(self, i: int) -> None:
        """What is left open by rounding, and by terms finer than float64 resolves, at the best point."""
        cells = np.floor(self.where[i] * float(self.base) ** self.finest).astype(np.int64)
        cells = np.clip(cells, 0, self.base**self.finest - 1)[None]
        rest = self.bounder.bounds(np.array([i]), np.array([self.finest]), cells)[1]
        self.finest_rest[i] = rest[0] if np.isfinite(rest[0]) else 0.0

    def _note(self, i: int, x: Array, values: Array, radius: float) -> None:
        """Keep the largest error of a network over points, if it is larger than what was known."""
        with np.errstate(all="ignore"):
            error = np.abs(values - self.networks[i](x))
        error = np.where(np.isnan(error), np.inf, error)
        k = int(error.argmax())
        if error[k] > self.lower[i]:
            self.lower[i], self.where[i], self.radius[i] = error[k], x[k], radius
            self.slack[i] = self.bounder.error_at(i, x[k])[1]

    def _enough(self, i: int) -> float:
        """The bound below which a cell does not matter: the gap, or what rounding hides anyway."""
        lower, slack = float(self.lower[i]), float(self.slack[i])
        hidden = 4.0 * max(slack, float(self.finest_rest[i]))
        return max(lower * (1.0 + 0.998 * self.gap) - 2.0 * slack, lower + hidden)

    def _active(self) -> list[int]:
        """Networks that are not done with."""
        return [int(i) for i in np.flatnonzero(self.active)]

    def _settle(self, i: int) -> None:
        """Drop the cells that do not matter, and say whether the network is done with."""
        cells = self.open[i]
        kept = (cells.bound > self._enough(i)) & (cells.level < self.finest)
        self.dropped[i] = max(self.dropped[i], cells.bound[~kept].max(initial=0.0))
        cells.keep(kept)
        hopeless = self.dropped[i] == np.inf or self.lower[i] == np.inf
        self.active[i] = len(cells.bound) > 0 and self.spent[i] < self.budget and not hopeless

    def _cut(self) -> None:
        """Cut the most promising cells of every network."""
        owners, bounds, levels, cells = [], [], [], []
        for i in self._active():
            found = self.open[i]
            pick = found.best(min(self.at_once, int(np.clip(len(found.bound) // _CUT_SHARE, _FEWEST, _MOST))))
            owners.append(np.full(len(pick), i))
            bounds.append(found.bound[pick])
            levels.append(found.level[pick].astype(np.int64))
            cells.append(found.cells[pick])
            kept = np.ones(len(found.bound), dtype=bool)
            kept[pick] = False
            found.keep(kept)
        owner, parent, level, cell = self._children(
            np.concatenate(owners), np.concatenate(bounds), np.concatenate(levels), np.concatenate(cells)
        )
        bound = np.minimum(self.bounder.bounds(owner, level, cell)[0], parent)
        for i in self._active():
            rows = slice(*np.searchsorted(owner, [i, i + 1]))
            self.spent[i] += rows.stop - rows.start
            self.open[i].add(bound[rows], level[rows], cell[rows])
            self._settle(i)

    def _children(
        self, owner: Owners, bound: Array, level: Levels, cells: Cells
    ) -> tuple[Owners, Array, Levels, Cells]:
        """The parts of cells, with the owner and bound of the cell that they are part of."""
        deeper = np.minimum(self.stride, self.finest - level)
        results = []
        for step in np.unique(deeper):
            rows = np.flatnonzero(deeper == step)
            axis = np.arange(self.base ** int(step))
            offsets = np.stack(np.meshgrid(*[axis] * self.dim, indexing="ij"), axis=-1).reshape(-1, self.dim)
            parts = (cells[rows, None] * len(axis) + offsets).reshape(-1, self.dim)
            again = np.repeat(rows, len(offsets))
            results.append((owner[again], bound[again], level[again] + step, parts))
        owner, bound, level, cells = (np.concatenate(a) for a in zip(*results, strict=True))
        order = np.argsort(owner, kind="stable")
        return owner[order], bound[order], level[order], cells[order]

    def _dive(self) -> None:
        """Raise the lower bounds: follow the most promising cells of each network down."""
        diving = self._active()
        beams = {i: self._first_beam(self.open[i]) for i in diving}
        for step in range(1, self.finest + 1):
            rows = [(np.full(len(beams[i][0]), i), np.zeros(len(beams[i][0])), *beams[i]) for i in diving]
            if not rows:
                break
            owner, _, level, cells = self._children(*(np.concatenate(a) for a in zip(*rows, strict=True)))
            bound, rest = self.bounder.bounds(owner, level, cells)
            for i in list(diving):
                part = slice(*np.searchsorted(owner, [i, i + 1]))
                self.spent[i] += part.stop - part.start
                # What is left open is the same everywhere on one level of a rough target; elsewhere it misleads.
                score = np.where(np.isfinite(bound[part]), bound[part] - rest[part], -1.0)
                order = np.argsort(-score, kind="stable")[: min(_BEAM, self.at_once)]
                beams[i] = (level[part][order], cells[part][order])
                spent = self.spent[i] >= self.budget
                ends = bool(spent or (beams[i][0] >= self.finest).all() or rest[part][order].max() < self._close(i))
                if ends or step % _LOOK == 0:
                    self._look(i, *beams[i])
                if ends:
                    diving.remove(i)
                    self._measure_resolution(i)

    def _first_beam(self, cells: _Open) -> tuple[Levels, Cells]:
        """Where a dive begins."""
        pick = cells.best(min(_BEAM, self.at_once))
        pick = pick[cells.level[pick] < self.finest]
        return cells.level[pick].astype(np.int64), cells.cells[pick]

    def _close(self, i: int) -> float:
        """What the models may leave open at the end of a dive."""
        return float(_CLOSE * min(self.gap, 0.5) * self.lower[i])

    def _look(self, i: int, level: Levels, cells: Cells) -> None:
        """Values at the corners and centres of cells."""
        side = np.power(float(self.base), -level.astype(np.float64))[:, None, None]
        corners = np.stack(np.meshgrid(*[[0.0, 1.0]] * self.dim, indexing="ij"), axis=-1).reshape(-1, self.dim)
        offsets = np.concatenate([corners, np.full((1, self.dim), 0.5)])
        x = np.clip((cells[:, None] + offsets) * side, 0.0, 1.0).reshape(-1, self.dim)
        self.spent[i] += len(x)
        self._note(i, x, self.target(x), 2.0 * float(side.max()))

    def _polish(self) -> None:
        """Close in on the best points."""
        axis = np.linspace(-1.0, 1.0, {1: 17, 2: 7, 3: 5}[self.dim])
        offsets = np.stack(np.meshgrid(*[axis] * self.dim, indexing="ij"), axis=-1).reshape(-1, self.dim)
        radius = self.radius.copy()
        for _ in range(_POLISH):
            for i in range(len(self.networks)):
                if not np.isfinite(self.lower[i]):
                    continue
                x = np.clip(self.where[i] + radius[i] * offsets, 0.0, 1.0)
                self.spent[i] += len(x)
                self._note(i, x, self.target(x), float(radius[i]))
            radius *= 0.4

    def _result(self, i: int) -> Enclosed:
        """The enclosure of a network, rounding allowed for at the lower end."""
        upper = max(float(self.dropped[i]), float(self.open[i].bound.max(initial=0.0)))
        error, slack = self.bounder.error_at(i, self.where[i])
        lower = max(0.0, error - slack) if np.isfinite(self.lower[i]) else float(self.lower[i])
        left = upper - lower
        if left <= self.gap * lower:
            ended: Ending = "gap"
        else:
            ended = "budget" if len(self.open[i].bound) else "resolution"
        return Enclosed(lower, max(lower, upper), tuple(map(float, self.where[i])), int(self.spent[i]), ended)


def default_budget(network: Network) -> int:
    """Bounds for a network if no budget is given: fewer for networks larger than width 8 and depth 8."""
    # A product of a unit with its inputs, and its activation, which costs about as much as 32 of them.
    work = sum(layer.n_out * (layer.n_in + 32) for layer in network.layers)
    return max(_LEAST_BUDGET, int(_BUDGET[network.dim] * min(1.0, _REFERENCE_WORK / work)))


def enclose_networks(networks: Sequence[Network], target: Target, gap: float, budget: int | None) -> list[Enclosed]:
    """Enclosures of the sup distance for networks of one shape; none depends on the others.

    Args:
        networks: One output each, of one :func:`~approxrates.errors.models.shape_of`, with known bounds of all
            activations and finite weights.
        target: With an ``enclosure``, ``dim <= 3``.
        gap: Relative width at which to stop.
        budget: Bounds and target evaluations per network after which to stop (one more step may be begun).
    """
    return _Search(networks, target, gap, budget).run()
