"""Evaluation of layers in float64, by matrix products over chunks of points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates import activations
from approxrates.layers import IDENTITY, AnyLayer, Layer, SparseLayer, unit_groups

Array = NDArray[np.float64]
_CHUNK = 1 << 17
"""Scalars of the widest block of hidden values held at once: a megabyte, so that it stays in cache."""
_SPARSE_SIZE, _SPARSE_SHARE = 1 << 18, 1 / 32
"""A weight matrix at least so large with at most this share of non-zero entries is multiplied as a sparse one."""


def evaluate_float64(layers: Sequence[AnyLayer], x: Array) -> Array:
    """Outputs at points, ``(n, dim) -> (n, n_outputs)``. Overflow gives infinities or NaN, never an exception.

    Dyadic weights that are longer than a float64 number are rounded: deep constructions lose all meaning so.

    Args:
        layers: The layers in order.
        x: Points, shape ``(n, dim)``, float64.
    """
    weights = [_operand(layer) for layer in layers]
    out = np.empty((len(x), layers[-1].n_out))
    step = max(64, _CHUNK // max(max(layer.n_out, layer.n_in) for layer in layers))
    for start in range(0, len(x), step):
        h = np.ascontiguousarray(x[start : start + step].T)
        for layer, weight in zip(layers, weights, strict=True):
            h = activate(layer, affine(layer, h, weight))
        out[start : start + step] = h.T
    return out


def affine(layer: AnyLayer, h: Array, weight: Any = None) -> Array:
    """Pre-activations ``W h + b`` of one layer, ``(n_in, n) -> (n_out, n)``."""
    with np.errstate(all="ignore"):
        z: Array = (_operand(layer) if weight is None else weight) @ h
        bias = layer.bias if isinstance(layer, Layer) else _float_bias(layer)
        if bias is not None:
            z += bias[:, None]
    return z


def activate(layer: AnyLayer, z: Array) -> Array:
    """Apply each unit's activation; ``z`` of shape ``(n_out, n)`` is overwritten and returned."""
    with np.errstate(all="ignore"):
        for code, rows in unit_groups(layer.activations):
            if code == "relu" and isinstance(rows, slice):
                np.maximum(z[rows], 0.0, out=z[rows])
            elif code != IDENTITY:
                z[rows] = activations.get(code)(z[rows])
    return z


def _operand(layer: AnyLayer) -> Any:
    """The weight matrix itself, or a sparse copy where that is much less work."""
    from scipy.sparse import csr_array

    if isinstance(layer, Layer):
        weight = layer.weight
        if weight.size < _SPARSE_SIZE or np.count_nonzero(weight) > _SPARSE_SHARE * weight.size:
            return weight
        return csr_array(weight)
    values = np.array([float(weight) for row in layer.rows for _, weight in row])
    sources = np.array([source for row in layer.rows for source, _ in row], dtype=np.intp)
    starts = np.cumsum([0, *map(len, layer.rows)])
    return csr_array((values, sources, starts), shape=(layer.n_out, layer.n_in))


def _float_bias(layer: SparseLayer) -> Array:
    """Biases as floats, 0 where there is none."""
    return np.array([0.0 if b is None else float(b) for b in layer.bias])
