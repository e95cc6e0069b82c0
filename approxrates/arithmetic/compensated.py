"""Evaluation with about twice the digits of float64, for activations that are exact on floats (relu, abs, ...).

Every product and sum is split into its rounded value and its exact error (Dekker 1971; Ogita, Rump & Oishi 2005,
Accurate sum and dot product, algorithm 5.3), so that the result is the exact one rounded, up to second order in the
unit round-off.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from approxrates import activations
from approxrates.layers import IDENTITY, Layer, unit_groups

Array = NDArray[np.float64]
EXACT_ON_FLOATS = frozenset({"relu", "abs", "hard_tanh", IDENTITY})
_SPLITTER = 134217729.0  # 2^27 + 1


def evaluate_compensated(layers: Sequence[Layer], x: Array) -> Array:
    """Outputs at points, ``(n, dim) -> (n, n_outputs)``; takes ``n_out * n_in * n`` scalars of memory for each layer.

    Raises:
        ValueError: For activations that are not exact on floats.
    """
    codes = {code for layer in layers for code in layer.activations}
    if not codes <= EXACT_ON_FLOATS:
        raise ValueError(
            f"compensated evaluation needs {', '.join(sorted(EXACT_ON_FLOATS))}. Got {', '.join(sorted(codes))}."
        )
    high, low = np.ascontiguousarray(x.T), np.zeros(x.T.shape)
    with np.errstate(all="ignore"):
        for layer in layers:
            high, low = affine_compensated(layer, high, low)
            for code, rows in unit_groups(layer.activations):
                if code != IDENTITY:
                    activation = activations.get(code)
                    low[rows] *= activation.derivative(high[rows])
                    high[rows] = activation(high[rows])
        result: Array = (high + low).T
    return result


def affine_compensated(layer: Layer, high: Array, low: Array) -> tuple[Array, Array]:
    """``W h + b`` as a rounded value and its error, each ``(n_out, n)``."""
    weight = layer.weight[:, :, None]
    total, error = _product(weight, high[None])
    error += weight * low[None]
    while total.shape[1] > 1:  # a balanced tree of exact sums
        if total.shape[1] % 2:
            pad = ((0, 0), (0, 1), (0, 0))
            total, error = np.pad(total, pad), np.pad(error, pad)
        total, lost = _sum(total[:, ::2], total[:, 1::2])
        error = error[:, ::2] + error[:, 1::2] + lost
    total, error = total[:, 0], error[:, 0]
    if layer.bias is not None:
        total, lost = _sum(total, np.broadcast_to(layer.bias[:, None], total.shape))
        error = error + lost
    return _sum(total, error)


def _sum(a: Array, b: Array) -> tuple[Array, Array]:
    """``a + b`` rounded, and what rounding lost (Knuth)."""
    s = a + b
    c = s - a
    return s, (a - (s - c)) + (b - c)


def _product(a: Array, b: Array) -> tuple[Array, Array]:
    """``a * b`` rounded, and what rounding lost (Dekker)."""
    p = a * b
    a_high, b_high = _upper_half(a), _upper_half(b)
    a_low, b_low = a - a_high, b - b_high
    return p, a_low * b_low - (((p - a_high * b_high) - a_low * b_high) - a_high * b_low)


def _upper_half(a: Array) -> Array:
    """The leading 26 bits."""
    c = _SPLITTER * a
    result: Array = c - (c - a)
    return result
