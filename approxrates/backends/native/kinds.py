"""Which activations and losses the compiled loops know, and how they are told to them. Imports no numba."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates.activations import Activation
from approxrates.activations.base import split_at
from approxrates.objectives import LpPower, MeanSquare, Objective

(
    RELU, LEAKY, HARD_TANH, TANH, ABS, RELU2, RELU3, XABSX, QUADRATIC, CUBIC, TRIANGLE, TURNS, SINE, SNAKE, GELU, SILU,
    PIECES,
) = range(17)  # fmt: skip
LAST_BY_VALUE = TANH
"""Of the kinds up to this one the derivative follows from the value, and is not stored."""

_PLAIN = {
    "relu": RELU, "hard_tanh": HARD_TANH, "tanh": TANH, "abs": ABS, "relu2": RELU2, "relu3": RELU3, "xabsx": XABSX,
    "quadratic_bspline": QUADRATIC, "cubic_bspline": CUBIC, "triangle": TRIANGLE, "sin": TURNS, "gelu": GELU,
    "silu": SILU,
}  # fmt: skip
_WITH_NUMBER = {"leaky_relu": (LEAKY, 0.01), "sin": (SINE, math.nan), "snake": (SNAKE, 1.0)}


@dataclass(frozen=True)
class Kinds:
    """The units of a layer as compiled loops take them; the first axis of all arrays is the group of units.

    Attributes:
        kinds: Kind of either group, ``(2,)``.
        parameters: Their parameter, ``(2,)``.
        breaks: Break-points, ``(2, n)``.
        n_breaks: How many of them, ``(2,)``.
        coefficients: Of the pieces, constant first, ``(2, n_pieces, degree + 1)``.
        periods: Period, 0 for none, ``(2,)``.
        drifts: Gain over a period, ``(2,)``.
        split: Units of the first group.
    """

    kinds: NDArray[np.int64]
    parameters: NDArray[np.float64]
    breaks: NDArray[np.float64]
    n_breaks: NDArray[np.int64]
    coefficients: NDArray[np.float64]
    periods: NDArray[np.float64]
    drifts: NDArray[np.float64]
    split: int

    def numbers(self, dtype: Any) -> tuple[NDArray[Any], ...]:
        """All numbers, floats in the given type."""
        floats = (self.parameters, self.breaks, self.coefficients, self.periods, self.drifts)
        parameters, breaks, coefficients, periods, drifts = (a.astype(dtype) for a in floats)
        return parameters, breaks, self.n_breaks, coefficients, periods, drifts


def kinds_of(activation: Activation, width: int) -> Kinds | None:
    """The kinds of a layer of this activation and width, or None if it is not known to the compiled loops."""
    parts = activation.parts or (activation, activation)
    found = [_kind(part) for part in parts]
    if any(kind is None for kind in found):
        return None
    kinds, parameters = zip(*(kind for kind in found if kind is not None), strict=True)
    pieced = [part if kind == PIECES else None for part, kind in zip(parts, kinds, strict=True)]
    rows = [[] if part is None or part.pieces is None else part.pieces for part in pieced]
    breaks = np.zeros((2, max(1, *(len(part.breakpoints) for part in pieced if part is not None), 1)))
    coefficients = np.zeros((2, max(1, *(len(r) for r in rows)), max([1, *(len(p) for r in rows for p in r)])))
    for group, part in enumerate(pieced):
        if part is not None:
            breaks[group, : len(part.breakpoints)] = part.breakpoints
            for i, piece in enumerate(rows[group]):
                coefficients[group, i, : len(piece)] = [float(c) for c in piece]
    return Kinds(
        np.array(kinds, dtype=np.int64),
        np.array(parameters),
        breaks,
        np.array([len(part.breakpoints) if part is not None else 0 for part in pieced], dtype=np.int64),
        coefficients,
        np.array([part.period or 0.0 if part is not None else 0.0 for part in pieced]),
        np.array([part.drift if part is not None else 0.0 for part in pieced]),
        split_at(width) if activation.parts else width,
    )


def power_of(objective: Objective) -> float | None:
    """The exponent of a loss that is a mean of powers of the error, else None."""
    if isinstance(objective, MeanSquare):
        return 2.0
    return float(objective.p) if isinstance(objective, LpPower) else None


def _kind(activation: Activation) -> tuple[int, float] | None:
    """Kind and parameter of one activation."""
    base, _, number = activation.name.partition(":")
    if not number and base in _PLAIN:
        return _PLAIN[base], 0.0
    if base in _WITH_NUMBER:
        kind, default = _WITH_NUMBER[base]
        return kind, float(number) if number else default
    return (PIECES, 0.0) if activation.pieces is not None and activation.trainable else None
