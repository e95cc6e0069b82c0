"""Whether a network bends exactly on a mesh, by whole-number arithmetic: then no bend is misplaced by rounding.

Float64 numbers are whole numbers times powers of two, so every value inside a network of relu, abs and hard_tanh is
one too. On a mesh cell on which no unit passes a break-point of its activation between the two ends, every unit is
affine, layer after layer, and so is the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates import activations
from approxrates.errors.base import Array
from approxrates.layers import IDENTITY, Layer, unit_groups

Whole = NDArray[Any]
"""Whole numbers of any length, an array of Python integers."""
_MOST_BITS = 4096


def bends_are_exact(layers: Sequence[Layer], mesh: Array) -> bool:
    """Whether the network is affine between neighbouring points of the mesh, exactly; False also if it is not told.

    Args:
        layers: Of relu, abs, hard_tanh and identity units; one input.
        mesh: Points of [0, 1], ascending, shape ``(n,)``.
    """
    values, bits = _whole(mesh[None, :])
    for layer in layers:
        if bits > _MOST_BITS:
            return False
        weight, more = _whole(layer.weight)
        bias, extra = _whole(np.zeros((layer.n_out, 1)) if layer.bias is None else layer.bias[:, None])
        total = max(bits + more, extra)
        values = weight.dot(values) * 2 ** (total - bits - more) + bias * 2 ** (total - extra)
        bits = total
        for code, rows in unit_groups(layer.activations):
            if code == IDENTITY:
                continue
            for mark in activations.get(code).breakpoints:
                side = np.sign(values[rows] - (int(mark) << bits)).astype(np.int64)
                if np.any(side[:, 1:] * side[:, :-1] < 0):
                    return False
            values[rows] = _applied(code, values[rows], 1 << bits)
    return True


def _applied(code: str, values: Whole, one: int) -> Whole:
    """The activation of whole numbers in units of ``1 / one``."""
    if code == "relu":
        return np.maximum(values, 0)
    return np.abs(values) if code == "abs" else np.minimum(np.maximum(values, -one), one)


def _whole(array: Array) -> tuple[Whole, int]:
    """Whole numbers and the ``bits`` by which they are too large: ``array = numbers / 2**bits`` exactly."""
    mantissa, exponent = np.frexp(array)
    least = int(np.min(exponent, where=mantissa != 0.0, initial=53)) - 53
    bits = max(0, -least)
    if bits > _MOST_BITS:
        return np.zeros(array.shape, dtype=object), bits
    digits = np.ldexp(mantissa, 53).astype(np.int64).astype(object)
    shift = (exponent.astype(np.int64) - 53 + bits).astype(object)
    moved = [
        [int(d) << int(s) if d else 0 for d, s in zip(*rows, strict=True)] for rows in zip(digits, shift, strict=True)
    ]
    whole = np.empty(array.shape, dtype=object)
    whole[:] = moved
    return whole, bits
