r"""Exact values of deep piecewise linear networks at many points: columns with one big integer per class of points.

A unit's values are a *column*: a partition of the points, one integer per class, and a binary exponent for all. In a
deep construction most units depend on the point through its cell only, so words of thousands of bits are handled once
per cell; classes that ReLU sends to zero are merged, hinges of one table are summed by prefix sums, and integers of at
most 62 bits are machine words.

**Rounding, and the proof of the bound.** Without it everything is exact, and the columns that follow each point grow as
long as the longest weight. The digits that cannot matter are dropped instead. Let ``S_j`` bound the sum over the
outputs of the Lipschitz constants with respect to the value of unit ``j`` after its activation, and ``P_j = K_j S_j``
the same before it, with ``K_j`` the Lipschitz constant of the activation:

    S_output = 1,   S_j = sum over units k that read j of P_k |w_kj|.

Let the units be numbered along the network, and let ``y_k`` be the outputs when units 1 to ``k`` are computed with
rounding and all later ones exactly from those values: ``y_0`` is the exact output, ``y_n`` the computed one. ``y_k``
and ``y_{k-1}`` differ in one place: the pre-activation of unit ``k``, read from the same values, was moved by
``delta_k``, and its value after the activation by ``eta_k`` more. What follows is one and the same exact map, so
every output moves by at most ``P_k delta_k + S_k eta_k``, and with the triangle inequality

    |computed - exact| <= E = sum_k P_k delta_k + S_k eta_k.

``delta_k`` is half a unit of the last place for each term that is rounded to nearest. ``S`` and the sum are formed of
integers and rounded up (:mod:`approxrates.arithmetic.uppers`). A rounding is allowed where its share of ``E`` is at
most ``2^-bits`` (``2^(8 - bits)`` if that makes machine words) over the number of units that may round. Merging is no
rounding: a class is merged into another only if both have one value, or if an upper bound of the computed pre-
activation shows that ReLU gives 0 for both.

The same sum bounds each pre-activation: what has been added up when unit ``k`` is computed is at least ``P_k`` times
the error of its pre-activation, since ``P_k`` times the constant from ``j`` to ``k`` is at most ``P_j`` (the paths
through ``k`` are some of all paths). So signs are told for certain, or told to be uncertain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from approxrates.arithmetic.column_codes import is_supported
from approxrates.arithmetic.column_pass import Pass, Pattern, Trace
from approxrates.arithmetic.column_units import Column
from approxrates.arithmetic.uppers import SINES, ZERO, Upper, float_above, plus, upper
from approxrates.layers import AnyLayer, Dyadic, SparseLayer, sparse

__all__ = ["Column", "ColumnValues", "Pattern", "Trace", "evaluate_columns"]


@dataclass(frozen=True)
class ColumnValues:
    """Outputs at points, with a proven bound of the rounding.

    Attributes:
        values: The outputs as float64, shape ``(n, n_outputs)``.
        radius: No value is further than this from the exact output of the network, the rounding to float64 included.
        columns: The outputs before that rounding, as :class:`Column`: integers per class of points.
        slack: What rounding inside the network may have moved an output by, as ``(m, e)``: at most ``m 2^e``;
            ``(0, 0)`` if the columns are exact.
    """

    values: NDArray[np.float64]
    radius: float
    columns: tuple[Column, ...]
    slack: Upper

    def exact(self, point: int, output: int = 0) -> Dyadic:
        """The output at one point before the rounding to float64: the exact one if ``slack`` is zero."""
        column = self.columns[output]
        return Dyadic(int(column.values[column.partition.labels[point]]), -column.exponent)


def evaluate_columns(
    layers: Sequence[AnyLayer],
    points: NDArray[np.integer] | NDArray[np.object_],
    exponent: int,
    *,
    bits: int | None = 50,
    trace: Trace | None = None,
) -> ColumnValues:
    """Outputs of a network at dyadic points; see the module for the method and the proof.

    Args:
        layers: The layers in order. Activations: continuous and piecewise linear with dyadic pieces (relu, leaky_relu,
            abs, hard_tanh, identity, triangle, your own), and ``sin(2 pi t)``.
        points: Integers, shape ``(n, dim)``, dtype int64 or object; a point is ``points[i] * 2**-exponent``.
        exponent: See above.
        bits: Rounding inside the network moves no output by more than ``2^-bits``, or ``2^(8 - bits)`` where that lets
            sums fit into machine words; ``radius`` says by how much at most. None for no rounding at all, for
            piecewise linear networks. Fewer bits are faster.
        trace: Called as ``trace(layer, units, pattern)`` for the units that bend, in order; see :class:`Pattern`.
            ``units`` are several if they read one and the same column: then the pattern is that of all of them.
            Units that pass on a value that cannot be negative do not bend and are not told.

    Returns:
        Values, radius, and columns.

    Raises:
        ValueError: For other activations, weights that are not finite, or points of a wrong shape.
    """
    exact = checked_layers(layers, bits, trace is not None)
    grid = np.asarray(points)
    if grid.ndim != 2 or grid.shape[1] != exact[0].n_in:
        raise ValueError(f"points must have shape (n, dim) with dim={exact[0].n_in}. Got shape {grid.shape}.")
    if grid.dtype.kind not in "iuO":
        raise ValueError(f"points must be integers, with a common exponent. Got dtype {grid.dtype}.")
    columns, slack = Pass(exact, bits, trace).run(list(grid.T), exponent)
    values = np.empty((len(grid), len(columns)))
    rounding = 0.0
    for k, column in enumerate(columns):
        per_class, error = to_float64(column)
        values[:, k] = per_class[column.partition.labels]
        rounding = max(rounding, float_above(plus(slack, error)))
    return ColumnValues(values, rounding, tuple(columns), slack)


def checked_layers(layers: Sequence[AnyLayer], bits: int | None, traced: bool) -> list[SparseLayer]:
    """The layers as sparse ones, refused if columns cannot evaluate them."""
    codes = sorted({code for layer in layers for code in layer.activations})
    bad = [code for code in codes if not is_supported(code)]
    if bad:
        raise ValueError(
            "columns need continuous piecewise linear activations with dyadic pieces, or sin. "
            f"Got {', '.join(bad)}. Use arithmetic='ball'."
        )
    if SINES.intersection(codes) and (bits is None or traced):
        raise ValueError("sines have neither exact values nor patterns. Write bits=50 and trace=None.")
    return [sparse(layer) for layer in layers]


def to_float64(column: Column) -> tuple[NDArray[np.float64], Upper]:
    """The values of a column as the nearest float64 numbers, and a bound of what that moved them by."""
    size = max(abs(column.low), abs(column.high))
    exact = size.bit_length() <= 53 and abs(column.exponent) < 900
    if column.values.dtype != object and abs(column.exponent) < 900:
        floats = np.ldexp(column.values.astype(np.float64), -column.exponent)
    else:
        floats = np.array([float(Dyadic(int(value), -column.exponent)) for value in column.values], dtype=np.float64)
    if size.bit_length() - column.exponent > 1023:
        return floats, (1, 1 << 12)  # some may be infinite
    return floats, ZERO if exact else plus(upper(size, -column.exponent - 53), upper(1, -1075))
