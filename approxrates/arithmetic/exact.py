"""Evaluation of layers in rational arithmetic, point by point: slow, and right to the last digit."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from approxrates import activations
from approxrates.layers import IDENTITY, AnyLayer, sparse

Row = tuple[list[tuple[int, Fraction]], Fraction, str]


def evaluate_exact(layers: Sequence[AnyLayer], points: Sequence[Sequence[Fraction]]) -> list[tuple[Fraction, ...]]:
    """Exact outputs at rational points; weights are taken as the dyadic numbers they are.

    Args:
        layers: The layers in order.
        points: ``n`` points of ``dim`` rationals each.

    Returns:
        ``n`` tuples of ``n_outputs`` rationals.

    Raises:
        ValueError: If an activation is not piecewise polynomial, or a weight is not finite.
    """
    for code in sorted({code for layer in layers for code in layer.activations} - {IDENTITY}):
        if activations.get(code).pieces is None:
            raise ValueError(
                f"exact arithmetic needs piecewise-polynomial activations. Got {code}. Use arithmetic='float64'."
            )
    tables = [_rows(layer) for layer in layers]
    return [_propagate(tables, list(point)) for point in points]


def _rows(layer: AnyLayer) -> list[Row]:
    """Each unit's weights with their sources, its bias and its code."""
    try:
        exact = sparse(layer)
    except ValueError:
        raise ValueError(
            "exact arithmetic needs finite weights. Got NaN or infinity. Use arithmetic='float64'."
        ) from None
    return [
        ([(i, w.fraction) for i, w in row if w], Fraction(0) if bias is None else bias.fraction, code)
        for row, bias, code in zip(exact.rows, exact.bias, exact.activations, strict=True)
    ]


def _propagate(tables: Sequence[list[Row]], values: list[Fraction]) -> tuple[Fraction, ...]:
    """One point through all layers."""
    for rows in tables:
        values = [_activate(code, sum((w * values[i] for i, w in sources), bias)) for sources, bias, code in rows]
    return tuple(values)


def _activate(code: str, z: Fraction) -> Fraction:
    """The activation of one unit; the commonest without a look-up."""
    if code == "relu":
        return max(z, Fraction(0))
    return z if code == IDENTITY else activations.get(code).exact(z)
