"""Families of the same networks from different starts, and families of the same target, side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates.records.curves import FamilyCurve

Array = NDArray[np.float64]

LAW = ("target", "target_options", "smoothness", "dim")
"""Columns of a target law."""


def law_of(curve: FamilyCurve) -> tuple[str, ...]:
    """What families must share to approximate the same functions."""
    return law_of_row(curve.key)


def law_of_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The same of a flat row."""
    return tuple(repr(row.get(column)) for column in LAW)


def networks_of(curve: FamilyCurve) -> tuple[tuple[str, str], ...]:
    """The key without the start and without the plan, which may follow the start."""
    return tuple(sorted((k, repr(v)) for k, v in curve.key.items() if k not in ("start", "plan")))


def are_twins(a: FamilyCurve, b: FamilyCurve) -> bool:
    """Whether two trained families differ in the start of training only, or in start and plan."""
    trained = a.method == "train" == b.method
    return trained and a.key.get("start") != b.key.get("start") and networks_of(a) == networks_of(b)


def aligned(curve: FamilyCurve, like: FamilyCurve) -> Array:
    """Errors of a curve by the draws and the sizes of another, shape ``(draws, k, seeds)``; NaN where it has none."""
    return on_sizes(curve, curve.errors, like)


def on_sizes(curve: FamilyCurve, values: Array, like: FamilyCurve) -> Array:
    """Numbers of the runs of a curve by the draws and the sizes of another; NaN where it has none."""
    draws: dict[Any, int] = {draw: i for i, draw in enumerate(curve.draws)}
    places = {at: j for j, at in enumerate(_places(curve))}
    found = np.full((len(like.draws), len(like.sizes), values.shape[2]), np.nan)
    for i, draw in enumerate(like.draws):
        for j, at in enumerate(_places(like)):
            if draw in draws and at in places:
                found[i, j] = values[draws[draw], places[at]]
    return found


def _places(curve: FamilyCurve) -> list[Any]:
    """What tells the sizes of a family: width and depth, or else the size itself."""
    shapes = curve.shapes or (None,) * len(curve.sizes)
    return [shape or size for shape, size in zip(shapes, curve.sizes, strict=True)]


def at_sizes(curve: FamilyCurve, like: FamilyCurve) -> Array:
    """Errors of a curve at the sizes of another, shape ``(draws, k, 1)``, by the draws of the other.

    Median over seeds, joined by straight lines in log-log; NaN beyond the smallest and the largest size, for nothing is
    extrapolated.
    """
    found = np.full((len(like.draws), len(like.sizes), 1), np.nan)
    for i, draw in enumerate(like.draws):
        if draw not in curve.draws:
            continue
        errors = curve.errors[curve.draws.index(draw)]
        usable = np.isfinite(errors) & (errors > 0)
        known = usable.any(axis=1)
        if known.sum() < 1:
            continue
        middle = np.nanmedian(np.log(np.where(usable, errors, np.nan))[known], axis=1)
        x = np.log(curve.sizes[known])
        found[i, :, 0] = np.exp(np.interp(np.log(like.sizes), x, middle, left=math.nan, right=math.nan))
    return found
