"""The sup norm of ``f - g`` for a ReLU network ``g`` with exact weights on [0, 1], interval by interval.

1. The network is followed on a mesh of intervals (:mod:`approxrates.errors.exact.engine`): a chord with a remainder
   each. Where the remainder matters, the interval is cut at the first bend that causes it, and both halves are followed
   again. What is left after some rounds are index ramps, where code words are garbage: they are followed with the
   rules of :mod:`approxrates.errors.exact.rules`.
2. Chords of small remainder make one piecewise-linear function, compared with the target by branch and bound over
   b-adic cells (:mod:`approxrates.errors.bracket`), the largest remainder added.
3. On each other interval ``|f - g|`` is at most the distance of the farthest points of two ranges: the network's chord
   with its remainder, and the target's values at the ends of the b-adic cells that cover the interval, with
   ``interpolation_gap``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from approxrates.errors.base import UNIT, Array, Pieces
from approxrates.errors.bracket import enclose
from approxrates.errors.exact.engine import POSITION, Found, Rules, Strips
from approxrates.errors.exact.mesh import ONE_UNIT, first_mesh
from approxrates.errors.exact.prepared import PreparedLayer, prepared
from approxrates.errors.exact.rules import tightened
from approxrates.network import Network
from approxrates.target import Target

_CHUNK, _RAMP_CHUNK = 1 << 15, 1 << 10
_ROUNDS, _RAMP_ROUNDS = 5, 3
_PROBES = 2048
_NARROW = 64
"""Intervals so many times shorter than usual are taken for ramps: cutting at their bends leads to ever more of them."""
_SMALL = 5e-4
"""Remainder of a chord, in units of the error, up to which it counts as straight."""
_FAR = 2.0
"""A bound larger than this many times that of the straight part is taken for no bound: the interval is left out."""
_MOST_INTERVALS = 4_000_000
_MOST_RAMPS = 40_000


@dataclass(frozen=True, eq=False)
class Proof:
    """What is known of ``sup |f - g|``.

    Attributes:
        lower: Error at ``where``, less all rounding.
        upper: Bound of the error on the share that was covered.
        share: Measure of the covered part.
        where: See ``lower``.
        pieces: The network's chords.
        n_evaluations: Intervals followed and target values used.
    """

    lower: float
    upper: float
    share: float
    where: float
    pieces: Pieces
    n_evaluations: int


@dataclass(frozen=True, eq=False)
class _Intervals:
    """Intervals and what was found on them: ends as integers ``(n,)``, chord ends ``(2, n)``, remainder ``(n,)``."""

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    ends: Array
    rem: Array
    bend: Array

    def take(self, keep: NDArray[np.bool_]) -> _Intervals:
        """Those selected."""
        return _Intervals(self.left[keep], self.right[keep], self.ends[:, keep], self.rem[keep], self.bend[keep])


def _joined(parts: Sequence[_Intervals]) -> _Intervals:
    """All intervals, ascending."""
    left = np.concatenate([p.left for p in parts])
    order = np.argsort(left, kind="stable")
    right, rem, bend = (np.concatenate([getattr(p, k) for p in parts])[order] for k in ("right", "rem", "bend"))
    return _Intervals(left[order], right, np.concatenate([p.ends for p in parts], axis=1)[:, order], rem, bend)


def prove(network: Network, target: Target, tolerance: float, budget: int | None = None) -> Proof:
    """Bounds of the sup distance on [0, 1].

    Args:
        network: As :func:`approxrates.errors.exact.prepared.can_be_followed` asks.
        target: ``dim == 1``. Without ``interpolation_gap`` and ``evaluation_error`` nothing is proven, ``share = 0``.
        tolerance: Relative width of the enclosure to aim at on the straight part.
        budget: Most intervals to follow, and target evaluations of the search, each.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # numbers beyond the range of floats are unknown ones
        return _Prover(network, target, tolerance, budget).run()


class _Prover:
    """One run."""

    def __init__(self, network: Network, target: Target, tolerance: float, budget: int | None) -> None:
        self.layers: list[PreparedLayer] = prepared(network)
        self.mesh, self.target = first_mesh(network), target
        self.tolerance, self.budget = tolerance, budget
        self.most = _MOST_INTERVALS if budget is None else budget
        self.spent = 0
        self.off = target.evaluation_error if target.evaluation_error is not None else 0.0
        self.small = self._first_guess() * _SMALL

    def run(self) -> Proof:
        """The proof."""
        straight, rest = self._straight()
        pieces = self._pieces(straight, rest)
        allowance = pieces.rounding + self.off + _position_error(self.target)
        bracket = enclose([pieces], self.target, self.tolerance, self.budget)[0]
        upper = bracket.upper + allowance
        lower, where = self._lowest(_joined([straight, rest]))
        if self._is_straight(bracket.where, straight) and bracket.lower - allowance > lower:
            lower, where = bracket.lower - allowance, bracket.where
        bounds, ramps = self._ramps(rest, upper)
        covered = bounds <= _FAR * upper
        left_out = float((ramps.right - ramps.left)[~covered].sum()) / ONE_UNIT
        upper = max(upper, lower, float(bounds[covered].max(initial=0.0)))
        known = self.target.interpolation_gap is not None and self.target.evaluation_error is not None
        share = 0.0 if not known else 1.0 if covered.all() else min(1.0 - left_out, 1.0 - UNIT)
        return Proof(max(lower, 0.0), upper, share, where, pieces, self.spent + bracket.n_evaluations)

    def _first_guess(self) -> float:
        """About the size of the error, from some ends of intervals."""
        step = max(1, (len(self.mesh) - 1) // _PROBES)
        right = self.mesh[1::step]
        left = self.mesh[:-1:step][: len(right)]
        left = left + (right - left) // 3  # knots may be where there is no error
        found = self._follow(left, left + 1, 1e-12, math.inf)  # so short that they have no bends to speak of
        f = self.target(left / ONE_UNIT)
        errors = np.abs(found.ends[0] - f) - found.rem
        errors = errors[np.isfinite(errors)]
        floor = 2.0**-35 * float(np.abs(f).max(initial=0.0)) + 1e-290
        return max(floor, float(errors.max(initial=0.0)))

    def _follow(
        self,
        left: NDArray[np.int64],
        right: NDArray[np.int64],
        resolution: float,
        bends: float,
        rules: Rules | None = None,
    ) -> _Intervals:
        """The network on intervals, batch by batch."""
        size = _CHUNK if rules is None else _RAMP_CHUNK
        found: list[Found] = []
        for start in range(0, len(left), size):
            chunk = slice(start, start + size)
            found.append(Strips(self.layers, left[chunk], right[chunk], resolution, bends, rules).run())
        self.spent += len(left)
        ends = np.concatenate([f.ends for f in found], axis=1)
        return _Intervals(left, right, ends, *(np.concatenate([getattr(f, k) for f in found]) for k in ("rem", "bend")))

    def _straight(self) -> tuple[_Intervals, _Intervals]:
        """Intervals on which the network is straight but for a small remainder, and the others."""
        left, right = self.mesh[:-1], self.mesh[1:]
        narrow = float(np.median(right - left)) / _NARROW
        done, stuck = [], []
        for step in range(_ROUNDS + 1):
            found = self._follow(left, right, self.small * 2.0**-10, self.small * 2.0**-6)
            good = found.rem <= self.small
            done.append(found.take(good))
            open_ = found.take(~good)
            width = open_.right - open_.left
            cut = np.isfinite(open_.bend) & (width > max(1.0, narrow))
            if step == _ROUNDS or self.spent + 2 * int(cut.sum()) > self.most:
                cut[:] = False
            stuck.append(open_.take(~cut))
            open_ = open_.take(cut)
            if not len(open_.left):
                break
            left, right = _cut(open_)
        return _joined(done), _joined(stuck)

    def _pieces(self, straight: _Intervals, rest: _Intervals) -> Pieces:
        """Chords of all intervals as one function: at every point the value from the side of less remainder."""
        everything = _joined([straight, rest])
        n = len(everything.left)
        values = np.zeros(n + 1)
        rem = np.full(n + 1, np.inf)
        values[:-1], rem[:-1] = everything.ends[0], everything.rem
        better = everything.rem < rem[1:]
        values[1:], rem[1:] = (
            np.where(better, everything.ends[1], values[1:]),
            np.where(better, everything.rem, rem[1:]),
        )
        t = np.append(everything.left, ONE_UNIT) / ONE_UNIT
        # Inside ramps the target stands in for the network: their bounds are found by themselves.
        values = np.where(rem <= self.small, values, self.target(t))
        largest = float(straight.rem.max(initial=0.0))
        # An end value from the neighbour is within both remainders of the own one.
        return Pieces(t, values, 3.0 * largest + 8 * UNIT * float(np.abs(values).max()), n)

    def _lowest(self, found: _Intervals) -> tuple[float, float]:
        """The largest error at an end of an interval, less what is unknown there."""
        best, where = -math.inf, 0.0
        for position, ends in ((found.left, found.ends[0]), (found.right, found.ends[1])):
            x = position / ONE_UNIT
            f = self.target(x)
            error = np.abs(f - ends) - found.rem - self.off - 4 * UNIT * (np.abs(f) + np.abs(ends))
            error = np.where(np.isnan(error), -np.inf, error)
            k = int(error.argmax())
            if error[k] > best:
                best, where = float(error[k]), float(x[k])
        return best, where

    def _is_straight(self, x: float, straight: _Intervals) -> bool:
        """Whether a point lies in a straight interval."""
        position = round(x * ONE_UNIT)
        k = int(np.searchsorted(straight.left, position, side="right")) - 1
        return k >= 0 and position <= int(straight.right[k])

    def _ramps(self, rest: _Intervals, allowed: float) -> tuple[Array, _Intervals]:
        """Bounds of the error on the intervals that are not straight; those above ``allowed`` are cut and retried."""
        done: list[_Intervals] = []
        kept: list[Array] = []
        left, right = rest.left, rest.right
        for step in range(_RAMP_ROUNDS + 1):
            if not len(left):
                break
            found = self._follow(left, right, self.small * 2.0**-10, self.small, tightened)
            bounds = self._bounds(found)
            if step == _RAMP_ROUNDS or len(left) > _MOST_RAMPS:
                good = np.ones(len(left), dtype=bool)
            else:
                good = (bounds <= allowed) | (right - left < 4)
            done.append(found.take(good))
            kept.append(bounds[good])
            left, right = _quartered(found.take(~good))
        if not done:
            return np.zeros(0), rest
        order = np.argsort(np.concatenate([d.left for d in done]), kind="stable")
        return np.concatenate(kept)[order], _joined(done)

    def _bounds(self, found: _Intervals) -> Array:
        """Bounds of ``|f - g|`` from the ranges of both on each interval."""
        low, high = target_range(self.target, found.left, found.right)
        least, most = found.ends.min(axis=0) - found.rem, found.ends.max(axis=0) + found.rem
        bound = np.maximum(high - least, most - low) * (1.0 + 8 * UNIT) + self.off
        bound += 8 * UNIT * (np.abs(low) + np.abs(high) + np.abs(found.ends).max(axis=0))
        return np.where(np.isnan(bound), np.inf, bound)


def _cut(open_: _Intervals) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Both parts of each interval, cut at its bend."""
    width = open_.right - open_.left
    at = open_.left + np.clip(np.rint(width * open_.bend).astype(np.int64), 1, width - 1)
    return np.concatenate([open_.left, at]), np.concatenate([at, open_.right])


def _quartered(open_: _Intervals) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Four parts of each interval of at least four units."""
    width = open_.right - open_.left
    cuts = [open_.left + (width >> 2) * k for k in range(4)] + [open_.right]
    return np.concatenate(cuts[:-1]), np.concatenate(cuts[1:])


def target_range(target: Target, left: NDArray[np.int64], right: NDArray[np.int64]) -> tuple[Array, Array]:
    """Least and largest value of a target on intervals, from the b-adic cells that cover them.

    On a cell the target is within ``interpolation_gap(level)`` of a chord between its values at the ends. The level is
    the finest whose cells are no shorter than the interval, so three cells cover it. Without a gap, the values at these
    cell ends alone: an estimate.
    """
    base = max(2, target.base)
    finest = int(POSITION * math.log(2) / math.log(base))
    width = np.maximum(right - left, 1)
    levels = np.clip(np.floor((POSITION - np.log2(width)) * math.log(2) / math.log(base) + 1e-9), 0, finest)
    low, high = np.empty(len(left)), np.empty(len(left))
    for level in np.unique(levels):
        members = np.flatnonzero(levels == level)
        n_cells = base ** int(level)
        first = np.array([int(v) * n_cells >> POSITION for v in left[members]], dtype=np.int64)
        last = np.array([-(-int(v) * n_cells >> POSITION) for v in right[members]], dtype=np.int64)
        last = np.maximum(last, np.minimum(first + 1, n_cells))
        reach = int((last - first).max())
        knots = np.minimum(first[:, None] + np.arange(reach + 1), last[:, None])
        values = target(knots.ravel() / n_cells).reshape(knots.shape)
        gap = 0.0 if target.interpolation_gap is None else target.interpolation_gap(int(level))
        gap += _position_error(target)
        low[members], high[members] = values.min(axis=1) - gap, values.max(axis=1) + gap
    return low, high


def _position_error(target: Target) -> float:
    """What rounded b-adic points do: nothing in a base ``2^k``, else the target's variation over one rounding."""
    gap = target.interpolation_gap
    if gap is None or target.base & (target.base - 1) == 0:
        return 0.0
    return 4.0 * float(gap(int(POSITION * math.log(2) / math.log(target.base))))
