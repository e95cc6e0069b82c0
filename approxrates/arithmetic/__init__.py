"""Evaluation of layers: one interface, one file for each arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from approxrates.arithmetic.compensated import EXACT_ON_FLOATS, evaluate_compensated
from approxrates.arithmetic.exact import evaluate_exact
from approxrates.arithmetic.float64 import activate, affine, evaluate_float64
from approxrates.layers import AnyLayer

__all__ = [
    "ARITHMETICS",
    "EXACT_ON_FLOATS",
    "activate",
    "affine",
    "check_arithmetic",
    "evaluate",
    "evaluate_compensated",
    "evaluate_exact",
    "evaluate_float64",
]

ARITHMETICS = ("auto", "float64", "exact")


def check_arithmetic(name: str) -> str:
    """``"float64"`` or ``"exact"``. Weights are float64 numbers, so ``"auto"`` is float64.

    Raises:
        ValueError: For any other name.
    """
    if name not in ARITHMETICS:
        raise ValueError(
            f"arithmetic must be one of {', '.join(map(repr, ARITHMETICS))}. Got {name!r}. Write arithmetic='exact'."
        )
    return "float64" if name == "auto" else name


def evaluate(layers: Sequence[AnyLayer], x: Any, arithmetic: str = "auto") -> Any:
    """Outputs of a network at points.

    Args:
        layers: The layers in order.
        x: Points, shape ``(n, dim)``: an array for float64; for exact arithmetic anything of rows whose entries
            ``Fraction`` accepts (floats are the dyadic numbers they are).
        arithmetic: ``"auto"``, ``"float64"`` or ``"exact"``.

    Returns:
        Array of shape ``(n, n_outputs)``; for exact arithmetic a list of ``n`` tuples of fractions.

    Raises:
        ValueError: For an unknown arithmetic, or one that cannot evaluate these layers.
    """
    if check_arithmetic(arithmetic) == "exact":
        return evaluate_exact(layers, [[Fraction(c) for c in point] for point in x])
    return evaluate_float64(layers, np.asarray(x, dtype=np.float64))
