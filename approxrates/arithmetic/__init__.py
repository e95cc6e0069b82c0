"""Evaluation of layers: one interface, one file for each arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates.arithmetic.balls import evaluate_balls
from approxrates.arithmetic.column_codes import is_supported
from approxrates.arithmetic.columns import ColumnValues, Pattern, evaluate_columns
from approxrates.arithmetic.compensated import EXACT_ON_FLOATS, evaluate_compensated
from approxrates.arithmetic.dyadic_points import dyadic_points
from approxrates.arithmetic.exact import evaluate_exact
from approxrates.arithmetic.float64 import activate, affine, evaluate_float64
from approxrates.layers import AnyLayer, Dyadic, Layer, sparse

__all__ = [
    "ARITHMETICS",
    "EXACT_ON_FLOATS",
    "ColumnValues",
    "Pattern",
    "activate",
    "affine",
    "check_arithmetic",
    "choose_arithmetic",
    "dyadic_points",
    "evaluate",
    "evaluate_balls",
    "evaluate_columns",
    "evaluate_compensated",
    "evaluate_exact",
    "evaluate_float64",
]

ARITHMETICS = ("auto", "float64", "exact", "ball")
_MEMORY = 1 << 30
"""Bytes that the columns of one chunk of points may take if every point is a class of its own."""


def check_arithmetic(name: str) -> str:
    """The name itself, if it is one of ``ARITHMETICS``.

    Raises:
        ValueError: For any other name.
    """
    if name not in ARITHMETICS:
        raise ValueError(
            f"arithmetic must be one of {', '.join(map(repr, ARITHMETICS))}. Got {name!r}. Write arithmetic='exact'."
        )
    return name


def choose_arithmetic(layers: Sequence[AnyLayer]) -> str:
    """What ``"auto"`` stands for: ``"float64"``, ``"columns"`` or ``"ball"``.

    float64 if all layers are float matrices; for exact layers columns, if every activation is continuous and piecewise
    linear with dyadic pieces or ``sin(2 pi t)``; else balls.
    """
    if all(isinstance(layer, Layer) for layer in layers):
        return "float64"
    return "columns" if all(is_supported(code) for layer in layers for code in layer.activations) else "ball"


def evaluate(layers: Sequence[AnyLayer], x: Any, arithmetic: str = "auto") -> Any:
    """Outputs of a network at points.

    Args:
        layers: The layers in order.
        x: Points, shape ``(n, dim)``: an array for float64; else anything of rows whose entries are dyadic numbers or
            that ``Fraction`` accepts (floats are the dyadic numbers they are).
        arithmetic: ``"auto"``, ``"float64"``, ``"exact"`` or ``"ball"``.

    Returns:
        Array of shape ``(n, n_outputs)``; for exact arithmetic a list of ``n`` tuples of fractions; for balls midpoints
        and radii, two arrays.

    Raises:
        ValueError: For an unknown arithmetic, or one that cannot evaluate these layers.
    """
    name = check_arithmetic(arithmetic)
    if name == "auto":
        name = choose_arithmetic(layers)
    if name == "exact":
        return evaluate_exact(layers, [[c.fraction if isinstance(c, Dyadic) else Fraction(c) for c in p] for p in x])
    if name == "float64":
        return evaluate_float64(layers, np.asarray(x, dtype=np.float64))
    if name == "columns":
        return _in_chunks(layers, x)
    found = evaluate_balls(layers, x)
    return found if arithmetic == "ball" else found[0]


def _in_chunks(layers: Sequence[AnyLayer], x: Any) -> NDArray[np.float64]:
    """Values of columns, for so many points at a time that memory stays bounded whatever the classes are."""
    points, exponent = dyadic_points(x)
    exact = [sparse(layer) for layer in layers]
    longest = max((value.bits for layer in exact for value in layer.entries()), default=0)
    live = max(sum(len(row) > 1 for row in layer.rows) for layer in exact)  # others stay formulas, or pass a column on
    size = max(64, _MEMORY // ((live + 4) * (longest // 8 + 64)))
    if len(points) <= size:
        return evaluate_columns(layers, points, exponent).values
    values = np.empty((len(points), layers[-1].n_out))
    order = np.argsort(points[:, 0], kind="stable")  # neighbours share classes
    for start in range(0, len(points), size):
        here = order[start : start + size]
        values[here] = evaluate_columns(layers, points[here], exponent).values
    return values
