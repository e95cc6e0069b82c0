"""Evaluation of layers in float64, by matrix products over chunks of points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates import activations
from approxrates.layers import IDENTITY, Layer, unit_groups

Array = NDArray[np.float64]
_CHUNK = 1 << 17
"""Scalars of the widest block of hidden values held at once: a megabyte, so that it stays in cache."""
_SPARSE_SIZE, _SPARSE_SHARE = 1 << 18, 1 / 32
"""A weight matrix at least so large with at most this share of non-zero entries is multiplied as a sparse one."""


def evaluate_float64(layers: Sequence[Layer], x: Array) -> Array:
    """Outputs at points, ``(n, dim) -> (n, n_outputs)``. Overflow gives infinities or NaN, never an exception.

    Args:
        layers: The layers in order.
        x: Points, shape ``(n, dim)``, float64.
    """
    weights = [_operand(layer.weight) for layer in layers]
    out = np.empty((len(x), layers[-1].n_out))
    step = max(64, _CHUNK // max(max(layer.n_out, layer.n_in) for layer in layers))
    for start in range(0, len(x), step):
        h = np.ascontiguousarray(x[start : start + step].T)
        for layer, weight in zip(layers, weights, strict=True):
            h = activate(layer, affine(layer, h, weight))
        out[start : start + step] = h.T
    return out


def affine(layer: Layer, h: Array, weight: Any = None) -> Array:
    """Pre-activations ``W h + b`` of one layer, ``(n_in, n) -> (n_out, n)``."""
    with np.errstate(all="ignore"):
        z: Array = (layer.weight if weight is None else weight) @ h
        if layer.bias is not None:
            z += layer.bias[:, None]
    return z


def activate(layer: Layer, z: Array) -> Array:
    """Apply each unit's activation; ``z`` of shape ``(n_out, n)`` is overwritten and returned."""
    with np.errstate(all="ignore"):
        for code, rows in unit_groups(layer.activations):
            if code == "relu" and isinstance(rows, slice):
                np.maximum(z[rows], 0.0, out=z[rows])
            elif code != IDENTITY:
                z[rows] = activations.get(code)(z[rows])
    return z


def _operand(weight: Array) -> Any:
    """The matrix itself, or a sparse copy where that is much less work."""
    if weight.size < _SPARSE_SIZE or np.count_nonzero(weight) > _SPARSE_SHARE * weight.size:
        return weight
    from scipy.sparse import csr_array

    return csr_array(weight)
