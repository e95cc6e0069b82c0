"""The error of every point in its parts: architecture, optimisation, sampling, floating-point numbers.

docs/honesty.md has the definition, and what each part can and cannot say.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates.records.curves import FamilyCurve
from approxrates.records.embedding import Shape, holds
from approxrates.records.grouping import error_of, median
from approxrates.records.growth import number
from approxrates.records.twins import law_of_row

Row = Mapping[str, Any]
Array = NDArray[np.float64]

PARTS = ("architecture", "optimisation", "sampling", "float")
SPLIT_COLUMNS = (
    *("norm", "n_params", "width", "depth", "error", *(f"error_{part}" for part in PARTS)),
    *(f"share_{part}" for part in PARTS),
    *("best_known", "best_from", "n_draws"),
)
"""Columns of ``Records.split()``, after those of the family."""

_AT_POINTS = {"sup": "sup_at_points", "l2": "rms_at_points"}
_FLOOR = {"sup": "float_floor_sup", "l2": "float_floor"}


@dataclass(frozen=True)
class Known:
    """An error that somebody has reached on a target.

    Attributes:
        row: The run.
        error: Its error.
        clean: The same less the noise of floating-point numbers in it.
        source: Where it comes from, in a word or two.
    """

    row: Row
    error: float
    clean: float
    source: str


def split_error(error: float, best: float, at_points: float, floor: float) -> tuple[float, float, float, float]:
    """One error in its four parts, none negative, which sum to it.

    ``float`` is the noise floor, at most the error. ``architecture`` is the least error known to be within the reach of
    such networks, floors taken off. What is left, the excess, is ``sampling`` as far as it does not show at the points
    that the network was trained on, and ``optimisation`` as far as it does.

    Args:
        error: Measured error.
        best: Least known error of what such networks contain, their floors taken off; at most ``error - floor``.
        at_points: Error at the training points, in the same norm; NaN if unknown, and the excess is optimisation.
        floor: Noise of floating-point numbers; NaN if unknown, and taken for zero.

    Returns:
        ``(architecture, optimisation, sampling, float)``.

    Example:
        >>> split_error(1.0, 0.5, 0.75, 0.125)
        (0.5, 0.125, 0.25, 0.125)
    """
    noise = min(floor, error) if floor > 0 else 0.0
    architecture = min(best, error - noise)
    excess = error - noise - architecture
    hidden = max(0.0, error - at_points) if math.isfinite(at_points) else 0.0
    sampling = min(hidden, excess)
    return architecture, excess - sampling, sampling, noise


def split_rows(rows: Iterable[Row], curves: Sequence[FamilyCurve]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """For every size of every trained family its key, and the columns of ``SPLIT_COLUMNS``.

    A size is split by the run of median error of each target draw (by the two in the middle, if they are even in
    number): the shares of the parts are averaged over draws, and the median error of the size is divided by them.

    Args:
        rows: All runs of the study: whatever is known on a target counts for every family on it.
        curves: Families of the study by ``n_params``, all in one norm.
    """
    trained = [curve for curve in curves if curve.method == "train"]
    if not trained:
        return []
    known = _known(rows, trained[0].norm)
    found = []
    for curve in trained:
        for j in range(len(curve.sizes)):
            row = _of_size(curve, j, known)
            if row is not None:
                found.append((dict(curve.key), row))
    return found


def _known(rows: Iterable[Row], norm: str) -> dict[tuple[Any, ...], list[Known]]:
    """All errors reached, by target law and draw."""
    found: dict[tuple[Any, ...], list[Known]] = {}
    for row in rows:
        error, floor, start = error_of(row, norm), number(row.get(_FLOOR[norm])), number(row.get(f"start_error_{norm}"))
        own = found.setdefault((law_of_row(row), row.get("target_seed")), [])
        if math.isfinite(error):
            own.append(Known(row, error, error - min(floor, error) if floor > 0 else error, _source(row)))
        if start > 0 and math.isfinite(start):
            # The pieces of the row are those after training: only the shape says what the start is contained in.
            own.append(Known({**row, "pieces": None}, start, start, f"{row.get('start')} start, untrained"))
    return found


def _source(row: Row) -> str:
    """Where an error comes from."""
    if row.get("method") != "train":
        return str(row.get("construction"))
    refit = ", larger budget" if number(row.get("budget") or 1) > 1 else ""
    return f"{row.get('start') or 'random'} start{refit}"


def _of_size(curve: FamilyCurve, j: int, known: Mapping[tuple[Any, ...], Sequence[Known]]) -> dict[str, Any] | None:
    """The columns of one size; None if no run of it has an error."""
    error = median(curve.errors[:, j])
    middles = {draw: rows for i, draw in enumerate(curve.draws) if (rows := _middle(curve, i, j))}
    if not middles or not error > 0:
        return None
    told = _told([row for rows in middles.values() for row in rows], curve.norm)
    splits, bests = [], []
    for draw, rows in middles.items():
        best = _best(curve, j, known[law_of_row(rows[0]), draw])
        parts = np.mean([_of_run(row, curve.norm, best.clean, told) for row in rows], axis=0)
        splits.append(parts / parts.sum())
        bests.append(best)
    shares = dict(zip(PARTS, np.mean(splits, axis=0).tolist(), strict=True))
    shares = {part: share if part in told else math.nan for part, share in shares.items()}
    shape = curve.shapes[j] if curve.shapes else None
    return (
        {"norm": curve.norm, "n_params": float(curve.sizes[j]), "error": error, "n_draws": len(splits)}
        | dict(zip(("width", "depth"), shape or (None, None), strict=True))
        | {f"error_{part}": error * share for part, share in shares.items()}
        | {f"share_{part}": share for part, share in shares.items()}
        | {"best_known": median(np.array([b.error for b in bests]))}
        | {"best_from": Counter(b.source for b in bests).most_common(1)[0][0]}
    )


def _middle(curve: FamilyCurve, i: int, j: int) -> list[Row]:
    """The run of median error of a draw and size, or the two in the middle; none if no run has an error."""
    if curve.runs is None:
        return []
    errors = curve.errors[i, j]
    order = [s for s in np.argsort(errors, kind="stable") if np.isfinite(errors[s]) and errors[s] > 0]
    chosen = order[(len(order) - 1) // 2 : len(order) // 2 + 1]
    return [curve.runs[i, j, s] for s in chosen]


def _told(rows: Sequence[Row], norm: str) -> set[str]:
    """The parts that can be told of runs: sampling and float only if all of them have stored what these are made of."""
    columns = {"sampling": _AT_POINTS[norm], "float": _FLOOR[norm]}
    lacking = {p for p, c in columns.items() if not all(math.isfinite(number(row.get(c))) for row in rows)}
    return set(PARTS) - lacking


def _of_run(row: Row, norm: str, best: float, told: set[str]) -> tuple[float, float, float, float]:
    """The parts of one run, what is not told inside another."""
    at_points = number(row.get(_AT_POINTS[norm])) if "sampling" in told else math.nan
    floor = number(row.get(_FLOOR[norm])) if "float" in told else math.nan
    return split_error(error_of(row, norm), best, at_points, floor)


def _best(curve: FamilyCurve, j: int, known: Sequence[Known]) -> Known:
    """The least error known to be within the reach of the networks of a size, on one draw."""
    shape = curve.shapes[j] if curve.shapes else None
    within = [one for one in known if _reaches(curve, shape, float(curve.sizes[j]), one.row)]
    return min(within, key=lambda one: one.clean)


def _reaches(curve: FamilyCurve, shape: Shape | None, size: float, row: Row) -> bool:
    """Whether networks of a size can do what a run does; without known shapes, the smaller ones of the family count."""
    if shape is not None:
        return holds(shape, curve.activation, str(curve.key.get("architecture_options") or ""), row)
    same = all(repr(row.get(c)) == repr(curve.key.get(c)) for c in ("method", "activation", "architecture"))
    return same and number(row.get("n_params")) <= size
