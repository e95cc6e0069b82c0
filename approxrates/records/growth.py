"""How resources grow along a family: exponents of depth and samples, long weights, and what saturates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from approxrates import activations, theory

Row = Mapping[str, Any]

DOUBLE_BITS = 53

STEADY = 0.01
"""Slopes of bits per weight below it are none: padding makes them of a constant. log2(n_params) has about .1."""


def number(value: Any) -> float:
    """A float, NaN for None."""
    return math.nan if value is None else float(value)


def is_known(activation: str) -> bool:
    """Whether the table of activations knows a code; a user's table may name any."""
    try:
        activations.get(activation)
    except ValueError:
        return False
    return True


def slope(rows: list[Row], column: str) -> float:
    """Least-squares slope of the logarithm of a column against log n_params; NaN where it is not known."""
    pairs = sorted({(number(r.get("n_params")), number(r.get(column))) for r in rows})
    pairs = [(n, v) for n, v in pairs if n > 0 and v > 0]
    if len({n for n, _ in pairs}) < 2:
        return math.nan
    size, value = np.log(np.array(pairs)).T
    return float(np.polyfit(size, value, 1)[0])


def has_long_weights(rows: list[Row]) -> bool:
    """Whether a weight of the family has more significant bits than a floating-point number holds."""
    return any(number(r.get("max_bits")) > DOUBLE_BITS for r in rows)


def saturation(key: Mapping[str, Any], rows: list[Row]) -> float | None:
    """Rate that no such family passes on smooth targets.

    ``2/d`` for linear splines on uniform grids; ``2H`` for H layers of piecewise-linear units, whose pieces on a line
    number at most a power H of the width (``theory.depth_limited_rate``).
    """
    if key["construction"] == "interpolation":
        return 2.0 / int(key["dim"])
    depths = {int(r["depth"]) for r in rows if r.get("depth")}
    activation = str(key["activation"])
    if len(depths) == 1 and is_known(activation) and activations.get(activation).piecewise_linear:
        return theory.depth_limited_rate(depths.pop())
    return None


def bits_exponent(rows: list[Row]) -> float | None:
    """The exponent of bits per weight ~ n_params^beta along a family of long weights; None for others or unknown.

    0 for bits that do not grow, whatever their last digits do: a rate above r/d is then a transient.
    """
    if not has_long_weights(rows):
        return None
    beta = slope(rows, "bits_per_weight")
    return None if math.isnan(beta) else beta if beta > STEADY else 0.0


def depth_exponent(rows: list[Row]) -> float:
    """The exponent of depth ~ n_params^a along the family.

    1 where depth grows at fixed width and 0 where it does not grow, whatever the few first sizes look like; along a
    schedule the least-squares slope of log depth against log n_params. NaN if the depth is not known.
    """
    if not any(r.get("depth") for r in rows):
        return math.nan
    shapes = {(r["n_params"], r.get("width"), r["depth"]) for r in rows if r.get("depth") and r.get("n_params")}
    if len({n for n, _, _ in shapes}) < 2 or len({depth for _, _, depth in shapes}) < 2:
        return 0.0
    widths = {width for _, width, _ in shapes}
    if len(widths) == 1 and None not in widths:
        return 1.0
    size, depth = np.log(np.array(sorted((n, depth) for n, _, depth in shapes), dtype=np.float64)).T
    return float(np.polyfit(size, depth, 1)[0])
