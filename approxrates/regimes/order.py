"""From pieces to regimes: the order in which they come, and the reasons."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from approxrates.regimes.base import Interval, Regime, Thresholds
from approxrates.regimes.pieces import Piece, pieces_of
from approxrates.regimes.series import Series


@dataclass(frozen=True)
class _Named:
    """A piece with its regime, and what is to be said of it besides its numbers."""

    regime: Regime
    begin: int
    end: int
    remark: str


def intervals(series: Series, rules: Thresholds) -> list[Interval]:
    """The regimes of a series, in order and without gaps."""
    pieces = _without_pauses(series, pieces_of(series, rules), rules)
    edge = next((i for i, piece in enumerate(pieces) if piece.kind == "edge"), len(pieces))
    named = _before_edge(series, pieces[:edge], edge < len(pieces), rules) + _from_edge(pieces[edge:])
    found = []
    for (regime, remark), same in itertools.groupby(named, key=lambda n: (n.regime, n.remark)):
        group = list(same)
        begin, end = group[0].begin, group[-1].end
        found.append(Interval(regime, series.step(begin), series.step(end), _reason(series, begin, end, remark)))
    return found


def _without_pauses(series: Series, pieces: list[Piece], rules: Thresholds) -> list[Piece]:
    """Short plateaus joined to what is around them, and short gaps in an edge closed."""
    found: list[Piece] = []
    for i, piece in enumerate(pieces):
        after = pieces[i + 1].kind if i + 1 < len(pieces) else None
        before = found[-1].kind if found else None
        brief_start = piece.begin == 0 and series.step(piece.end) < rules.least_steps
        short = brief_start or _span(series, piece) < rules.pause
        pause = piece.kind == "flat" and short and (before is not None or after is not None)
        gap = before == after == "edge" and short
        if not (pause or gap):
            found.append(piece)
        elif found and (gap or before != "edge"):
            found[-1] = _grown(found[-1], piece)
        else:
            found.append(Piece(after or piece.kind, piece.begin, piece.end, piece.change))
    return _same_joined(found)


def _same_joined(pieces: list[Piece]) -> list[Piece]:
    """Neighbours of one kind as one piece."""
    found: list[Piece] = []
    for piece in pieces:
        if found and found[-1].kind == piece.kind:
            found[-1] = _grown(found[-1], piece)
        else:
            found.append(piece)
    return found


def _grown(piece: Piece, more: Piece) -> Piece:
    """A piece with the next one joined to it."""
    return Piece(piece.kind, piece.begin, more.end, piece.change + more.change)


def _span(series: Series, piece: Piece) -> float:
    """Length of a piece on the clock, up to the begin of the next."""
    return float(np.log1p(series.step(piece.end)) - np.log1p(series.step(piece.begin)))


def _before_edge(series: Series, pieces: list[Piece], edge_follows: bool, rules: Thresholds) -> list[_Named]:
    """Regimes of what comes before the edge, or of everything if there is none."""
    settled = _settled(series, pieces, rules)
    named = [_Named(Regime.TRANSIENT, p.begin, p.end, _transient_remark(pieces, settled)) for p in pieces[:settled]]
    risen = False
    for i, piece in enumerate(pieces[settled:], start=settled):
        regime, remark = Regime.UNDECIDED, "noise could hide a large change"
        if piece.kind == "rise" and series.edge_ratio[piece.begin] > 1.0 + rules.enter:
            remark, risen = "sharpness grows above the edge", True
        elif piece.kind == "rise":
            regime, remark, risen = Regime.SHARPENING, "sharpness grows", True
        elif piece.kind == "flat" and not risen:
            regime, remark = Regime.SATURATION, "sharpness keeps its level" + ("" if i else " from the start")
        elif piece.kind == "flat":
            last = not edge_follows and i == len(pieces) - 1
            remark = "sharpness keeps its level after sharpening, " + (
                "off the edge" if last else "off the edge as yet"
            )
        elif piece.kind == "fall":
            remark = "sharpness falls after " + ("sharpening" if risen else "saturation")
        named.append(_Named(regime, piece.begin, piece.end, remark))
    return named


def _settled(series: Series, pieces: list[Piece], rules: Thresholds) -> int:
    """How many of the pieces are the transient."""
    start, settled, fallen, plateau = series.level[0], 0, False, False
    for i, piece in enumerate(pieces):
        if piece.kind == "rise" and plateau:
            break
        plateau |= piece.kind == "flat" and fallen
        fallen |= piece.kind == "fall"
        if piece.kind == "fall" and series.level[piece.end - 1] <= start + rules.least_change:
            settled = i + 1
    kinds = [piece.kind for piece in pieces]
    if not settled and kinds[:1] == ["rise"] and "flat" in kinds and "rise" in kinds[kinds.index("flat") :]:
        settled = kinds.index("flat")
    return settled


def _transient_remark(pieces: list[Piece], settled: int) -> str:
    """What the transient is."""
    kinds = [piece.kind for piece in pieces[:settled]]
    if "fall" not in kinds:
        return "sharpness rises to a first plateau, and rises on after it"
    end = "" if settled < len(pieces) else " and has not settled"
    return ("sharpness jumps and falls back" if "rise" in kinds else "sharpness falls from its first value") + end


def _from_edge(pieces: list[Piece]) -> list[_Named]:
    """Regimes from the first edge on."""
    left = {
        "rise": "sharpness leaves the edge upwards",
        "fall": "sharpness leaves the edge downwards",
        "flat": "sharpness keeps its level off the edge",
        "untold": "noise could hide a large change",
    }
    return [
        _Named(Regime.EDGE, p.begin, p.end, "sharpness hovers about 2/eta")
        if p.kind == "edge"
        else _Named(Regime.UNDECIDED, p.begin, p.end, left[p.kind])
        for p in pieces
    ]


def _reason(series: Series, begin: int, end: int, remark: str) -> str:
    """The remark with the numbers: sharpness from where to where, in units of the edge, and the loss."""
    records = series.records(begin, end)
    loss, ratio = series.loss[records], series.edge_ratio[begin:end]
    text = f"{remark}: {ratio[0]:.3g} to {ratio[-1]:.3g} of 2/eta"
    if remark.endswith("about 2/eta"):
        exact = series.sharpness[records] * series.learning_rate / 2.0
        text = (
            f"{remark}: mean {exact.mean():.3f} of it, {100 * np.mean(exact >= 1.0):.0f} % of the records at or above"
        )
    rises = f"; it grew between {np.mean(np.diff(loss) > 0):.0%} of the records" if len(loss) > 1 else ""
    return f"{text}; loss {loss[0]:.2e} to {loss[-1]:.2e}{rises}"
