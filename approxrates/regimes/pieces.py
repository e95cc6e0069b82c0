"""Stretches of a series that do one thing: stay at the edge, rise, fall, or keep flat."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from approxrates.regimes.base import Thresholds
from approxrates.regimes.series import F64, Series

_NORMAL_QUARTILE = 0.3186  # a quarter of the normal law lies within so many standard deviations

Kind = Literal["edge", "rise", "fall", "flat", "untold"]
Line = tuple[int, int, float, float]
"""Bins from, up to (not included), and the fitted values at the first and at the last of them."""


@dataclass(frozen=True)
class Piece:
    """Bins ``begin`` up to, not including, ``end``.

    Attributes:
        kind: What they do.
        begin: First bin.
        end: Bin after the last.
        change: Of the log sharpness, as fitted: from the first of them to the first of the next piece.
    """

    kind: Kind
    begin: int
    end: int
    change: float = 0.0


def pieces_of(series: Series, rules: Thresholds) -> list[Piece]:
    """The whole series in pieces, in order; neighbours differ in kind."""
    runs = edge_runs(series, rules)
    stretches = list(itertools.pairwise([0, *itertools.chain(*runs), len(series)]))[::2]
    noise = noise_of([series.level[a:b] for a, b in stretches])
    found: list[Piece] = []
    at = 0
    for begin, end in [*runs, (len(series), len(series))]:
        found += _moves(series.clock[at:begin], series.level[at:begin], at, noise, rules)
        if end > begin:
            found.append(Piece("edge", begin, end))
        at = end
    return found


def edge_runs(series: Series, rules: Thresholds) -> list[tuple[int, int]]:
    """Runs of bins at the edge of stability, by the criteria of the package."""
    distance = series.edge_ratio - 1.0
    near = np.flatnonzero(np.abs(distance) <= rules.stay)
    groups = np.split(near, 1 + np.flatnonzero(np.diff(near) > 1)) if len(near) else []
    trimmed = [_trimmed(distance, int(group[0]), int(group[-1]) + 1, rules) for group in groups]
    return [(begin, end) for begin, end in trimmed if end > begin and _is_edge(series, begin, end, rules)]


def _trimmed(distance: F64, begin: int, end: int, rules: Thresholds) -> tuple[int, int]:
    """A run without its approach (from below up to ``enter``, from above down to it) and without its leaving."""
    from_above = begin == 0 or distance[begin - 1] > 0.0
    while begin < end and (distance[begin] < -rules.enter or (from_above and distance[begin] > rules.enter)):
        begin += 1
    while begin < end < len(distance) and abs(distance[end - 1]) > rules.enter:
        end -= 1
    return begin, end


def _is_edge(series: Series, begin: int, end: int, rules: Thresholds) -> bool:
    """Whether a run near the edge lasts, has no trend, and reaches the edge."""
    inside = series.records(begin, end)
    steps, ratio = series.steps[inside], series.sharpness[inside] * series.learning_rate / 2.0
    if begin == 0 and end < len(series):
        return False
    if steps[-1] - steps[0] < rules.least_steps or (1.0 + steps[-1]) < rules.least_span * (1.0 + steps[0]):
        return False
    return not _passes(series, begin, end, rules) and float(np.mean(ratio >= 1.0 - rules.reach)) >= rules.reaching


def _passes(series: Series, begin: int, end: int, rules: Thresholds) -> bool:
    """Whether a run has a trend, and is entered on one side of the edge and left on the other."""
    if begin == 0 or end == len(series):
        return False
    first, last = _line(series.clock[begin:end], series.level[begin:end])
    slope = (last - first) / max(float(series.clock[end - 1] - series.clock[begin]), 1e-9)
    before, after = series.edge_ratio[begin - 1] - 1.0, series.edge_ratio[end] - 1.0
    return before * after < 0.0 and abs(slope) >= rules.steep


def _moves(clock: F64, level: F64, offset: int, noise: float, rules: Thresholds) -> list[Piece]:
    """Rises, falls and plateaus of a stretch of bins, the first of which is number ``offset``."""
    if not len(clock):
        return []
    lines = _cut(clock, level, max(noise, rules.model_error), rules.price)
    joined = _joined(_kinds(clock, lines, noise, rules))
    kept = [p if abs(p.change) >= rules.least_change or p.kind == "untold" else Piece("flat", p.begin, p.end, p.change)
            for p in joined]  # fmt: skip
    return [Piece(p.kind, p.begin + offset, p.end + offset, p.change) for p in _joined(kept)]


def _kinds(clock: F64, lines: list[Line], noise: float, rules: Thresholds) -> list[Piece]:
    """What each straight piece does."""
    found: list[Piece] = []
    for number, (begin, end, first, last) in enumerate(lines):
        ended = number + 1 == len(lines)
        change = (last if ended else lines[number + 1][2]) - first
        span = float(clock[end - 1 if ended else end] - clock[begin])
        doubt = 3.0 * noise * float(np.sqrt(12.0 / (end - begin))) if end - begin > 1 else 3.0 * noise
        slope = change / span if span > 0.0 else 0.0
        direction: Kind = "rise" if change > 0 else "fall"
        before = found[-1].kind if found else "flat"
        kind: Kind
        if abs(change) < doubt and doubt > rules.unclear:
            kind = "untold"
        elif abs(change) < doubt or abs(slope) <= rules.gentle:
            kind = "flat"
        elif abs(slope) >= rules.steep or abs(change) >= 2.0 * rules.least_change or before == direction:
            kind = direction
        else:
            kind = "flat"
        found.append(Piece(kind, begin, end, change))
    return found


def _joined(pieces: list[Piece]) -> list[Piece]:
    """Neighbours of one kind as one piece."""
    found = []
    for kind, same in itertools.groupby(pieces, key=lambda p: p.kind):
        group = list(same)
        found.append(Piece(kind, group[0].begin, group[-1].end, sum(p.change for p in group)))
    return found


def noise_of(stretches: Sequence[F64]) -> float:
    """Standard deviation of the noise of stretches of a series, from the lower quartile of their second differences.

    The quartile, and not the median, because in a short series every second one may be bent by what happens there.
    """
    second = np.abs(np.concatenate([np.empty(0), *(np.diff(level, 2) for level in stretches)]))
    return float(np.quantile(second, 0.25) / (_NORMAL_QUARTILE * np.sqrt(6.0))) if len(second) else 0.0


def _line(clock: F64, level: F64) -> tuple[float, float]:
    """Values of the least-squares line at both ends."""
    if len(clock) == 1:
        return float(level[0]), float(level[0])
    slope, start = np.polyfit(clock - clock[0], level, 1)
    return float(start), float(start + slope * (clock[-1] - clock[0]))


def _cut(clock: F64, level: F64, noise: float, price: float) -> list[Line]:
    """The cut into straight pieces of at least two bins that costs least: squared errors and a price for each."""
    m = len(clock)
    cost = line_costs(clock, level) / noise**2
    each = price * np.log(max(m, 2))
    best, came = np.full(m + 1, np.inf), np.zeros(m + 1, dtype=np.int64)
    best[0] = 0.0
    for end in range(1, m + 1):
        begins = np.arange(0, max(end - 1, 1))
        totals = best[begins] + cost[begins, end - 1] + each
        came[end] = int(np.argmin(totals))
        best[end] = totals[came[end]]
    ends = [m]
    while ends[-1] > 0:
        ends.append(int(came[ends[-1]]))
    return [(a, b, *_line(clock[a:b], level[a:b])) for a, b in itertools.pairwise(ends[::-1])]


def line_costs(clock: F64, level: F64) -> NDArray[np.float64]:
    """Sums of squared errors of the least-squares lines through bins i to j, both included, ``(m, m)``; 0 below."""
    x, y = clock - clock.mean(), level - level.mean()

    def sums(values: F64) -> F64:
        total = np.concatenate([[0.0], np.cumsum(values)])
        return np.asarray(total[None, 1:] - total[:-1, None])

    n, sx, sy, sxx, sxy, syy = (sums(v) for v in (np.ones_like(x), x, y, x * x, x * y, y * y))
    with np.errstate(divide="ignore", invalid="ignore"):
        spread, both = sxx - sx * sx / n, sxy - sx * sy / n
        error = syy - sy * sy / n - np.where(n > 1.5, both * both / spread, 0.0)
    return np.triu(np.maximum(np.nan_to_num(error, nan=0.0, posinf=0.0, neginf=0.0), 0.0))
