"""Rows sorted into families and sizes, and the error of a row."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates.records.growth import number

Row = Mapping[str, Any]

FAMILY_COLUMNS = (
    "target",
    "target_options",
    "smoothness",
    "dim",
    "method",
    "construction",
    "method_options",
    "activation",
    "architecture",
    "architecture_options",
    "start",
    "plan",
    "dtype",
    "n_points",
    "seed",
    "l2_penalty",
)
"""What a family is made of, besides the width or depth held fixed in it. Not in it: size, replica, draw, budget."""

NARROW = 1.1
"""Brackets of the sup error up to this factor are a measurement in the middle."""


def error_of(row: Row, norm: str) -> float:
    """Error of one run; NaN if there is none.

    For ``"sup"`` the geometric mean of its lower and upper bound where they are within a tenth; the middle of a wider
    bracket is not a measurement, and the lower end is: the error is attained there. Without a lower bound it is the
    upper one, and one-sided.
    """
    if row.get("status") != "ok":
        return math.nan
    if norm == "l2":
        return number(row.get("error_l2"))
    return middle(number(row.get("error_sup_lower")), number(row.get("error_sup_upper")))


def middle(lower: float, upper: float) -> float:
    """A sup error from its bracket, as ``error_of`` says."""
    if not (lower > 0 and math.isfinite(upper)):
        return upper
    return math.sqrt(lower * upper) if upper <= NARROW * lower else lower


def is_one_sided(row: Row, norm: str) -> bool:
    """Whether the error of a run is only known not to be larger."""
    return norm == "sup" and math.isfinite(error_of(row, norm)) and not number(row.get("error_sup_lower")) > 0


def median(values: NDArray[np.float64]) -> float:
    """Median of the finite values; NaN if there are none."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else math.nan


def grouped(rows: list[Row]) -> list[tuple[dict[str, Any], list[Row]]]:
    """Rows by family; a crossed sweep over width and depth is split by the one that its architecture holds fixed."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(repr(row.get(c)) for c in FAMILY_COLUMNS), []).append(row)
    families: list[tuple[dict[str, Any], list[Row]]] = []
    for members in groups.values():
        key = {c: members[0].get(c) for c in FAMILY_COLUMNS}
        held = "depth" if key["architecture"] == "fixed_depth" else "width"
        if key["method"] != "train" or _is_chain(members):
            families.append((key, members))
            continue
        for value in sorted({int(m[held]) for m in members if m.get(held) is not None}):
            families.append((key | {held: value}, [m for m in members if m.get(held) == value]))
    return families


def _is_chain(rows: list[Row]) -> bool:
    """Whether (width, depth) runs through one schedule, and not through a grid: neither falls as the size grows."""
    shaped = [r for r in rows if r.get("width") and r.get("depth")]
    return is_schedule({(int(r.get("n_params") or 0), int(r["width"]), int(r["depth"])) for r in shaped})


def is_schedule(shapes: Iterable[tuple[int, int, int]]) -> bool:
    """Whether shapes ``(n_params, width, depth)`` follow one another, and do not fill a grid of widths and depths.

    Example:
        >>> is_schedule([(25, 8, 1), (97, 8, 2)]), is_schedule([(97, 8, 2), (241, 8, 4), (321, 16, 2), (865, 16, 4)])
        (True, False)
    """
    ascending = sorted(shapes)
    if len({width for _, width, _ in ascending}) == len(ascending):
        return True
    return all(a[1] <= b[1] and a[2] <= b[2] for a, b in itertools.pairwise(ascending))


def binned(rows: list[Row], x: str) -> dict[float, list[Row]]:
    """Rows by size.

    A size is what was asked for (width and depth, or the limit of a construction), counted by the median of ``x``.
    """
    asked: dict[Any, list[Row]] = {}
    for row in rows:
        nominal = row.get("n_params_limit") or (row.get("n_params"), row.get("width"), row.get("depth"))
        asked.setdefault(nominal, []).append(row)
    bins: dict[float, list[Row]] = {}
    for members in asked.values():
        counted = np.array([number(m.get(x)) for m in members])
        size = median(counted)
        if math.isfinite(size) and size > 0:
            bins.setdefault(size, []).extend(members)
    return bins
