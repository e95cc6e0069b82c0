"""Networks with input injection and residual sums as chains of affine layers, and back.

With ``injection`` every layer after the first reads ``[h, x]``: what comes from the layer before, and the network's
input. With ``residual`` the hidden layers after the first add to it: ``h_k = h_{k-1} + sigma(z_k)``. A chain of layers
says the same with units of the code ``identity`` that carry values on: hidden layer ``k`` puts out ``[sigma(z_k),
h_{k-1}, x]`` (the last two where they are needed), and the next layer reads the sum ``h_k`` by weighing both of its
terms alike.

What this takes is wiring, not parameters: the ones of the carrying units, and the second copy of each weight that reads
a sum. Layers say so by ``wiring``, and count neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates.layers import IDENTITY, Layer

Array = NDArray[np.float64]
Map = tuple[Array, Array | None]
"""Weight ``(n_out, n_in)`` and bias ``(n_out,)`` of a layer as it is trained."""


def fold(maps: Sequence[Map], codes: tuple[str, ...], *, injection: bool, residual: bool) -> tuple[Layer, ...]:
    """The chain of layers that computes what the definition says; without either option, the maps themselves.

    Args:
        maps: Weight and bias of each layer, the output layer last: weights ``(width, dim)``, then ``(width, width)`` or
            with injection ``(width, width + dim)``, columns of ``h`` first.
        codes: Activation of each unit of a hidden layer, length ``width``.
        injection: Whether layers after the first read the input too.
        residual: Whether hidden layers after the first add to what they read.
    """
    width, dim = maps[0][0].shape
    layers = []
    for index, (weight, bias) in enumerate(maps):
        last = index == len(maps) - 1
        mine = (IDENTITY,) * len(weight) if last else codes
        if not injection and not residual:
            layers.append(Layer(weight, bias, mine))
            continue
        # What a layer reads: h, or the two terms of which it is the sum; then the input.
        read = [weight] if index == 0 else [weight[:, :width]] * (1 + (residual and index > 1)) + [weight[:, width:]]
        counted = [np.full(block.shape, i != 1 or index < 2 or not residual) for i, block in enumerate(read)]
        rows, mask = np.concatenate(read, axis=1), np.concatenate(counted, axis=1)
        carried = np.zeros((0, rows.shape[1])) if last else _carried(index, width, dim, injection, residual)
        layers.append(_wired(rows, mask, bias, carried, mine))
    return tuple(layers)


def _carried(index: int, width: int, dim: int, injection: bool, residual: bool) -> Array:
    """Rows of ones that carry on ``h``, as the sum of its terms, and the input, through hidden layer ``index``."""
    if index == 0:
        return np.eye(dim) if injection else np.zeros((0, dim))
    terms = 2 if residual and index > 1 else 1
    sums = np.hstack([np.eye(width)] * terms) if residual else np.zeros((0, terms * width))
    inputs = dim if injection else 0
    rows = np.zeros((len(sums) + inputs, terms * width + inputs))
    rows[: len(sums), : terms * width] = sums
    rows[len(sums) :, terms * width :] = np.eye(inputs)
    return rows


def _wired(rows: Array, mask: NDArray[np.bool_], bias: Array | None, carried: Array, codes: tuple[str, ...]) -> Layer:
    """A layer of trained rows with carrying units below."""
    extra = len(carried)
    weight, mask = np.concatenate([rows, carried]), np.concatenate([mask, np.zeros(carried.shape, dtype=bool)])
    wiring = np.concatenate([~mask[: len(rows)], carried != 0.0])
    bias_mask = None
    if bias is not None and extra:
        bias_mask = np.arange(len(rows) + extra) < len(rows)
        bias = np.concatenate([bias, np.zeros(extra)])
    codes = (*codes, *(IDENTITY,) * extra)
    return Layer(weight, bias, codes, mask, bias_mask, wiring) if wiring.any() else Layer(weight, bias, codes)


def unfold(
    layers: Sequence[Layer], shapes: Sequence[tuple[int, int]], *, injection: bool, residual: bool
) -> tuple[Map, ...]:
    """The maps of which :func:`fold` makes these layers.

    Args:
        layers: Layers of a folded network.
        shapes: ``(n_out, n_in)`` of the maps.
        injection: Whether layers after the first read the input too.
        residual: Whether hidden layers after the first add to what they read.

    Raises:
        ValueError: If there are no such maps, saying which layer is the first that differs.
    """
    width, dim = shapes[0]
    inputs = dim if injection else 0
    maps: list[Map] = []
    for index, (layer, (n_out, n_in)) in enumerate(zip(layers, shapes, strict=False)):
        rows = layer.weight[:n_out]
        if index:
            rows = np.concatenate([rows[:, :width], rows[:, rows.shape[1] - inputs :]], axis=1)
        if rows.shape != (n_out, n_in):
            raise ValueError(f"layer {index} must hold a weight of shape {(n_out, n_in)}. Got {layer.weight.shape}.")
        maps.append((rows, None if layer.bias is None else layer.bias[:n_out]))
    expected = fold(maps, layers[0].activations[:width], injection=injection, residual=residual)
    if len(layers) != len(shapes):
        raise ValueError(f"layers must be {len(shapes)} in number. Got {len(layers)}.")
    for index, (layer, folded) in enumerate(zip(layers, expected, strict=True)):
        if not _same(layer, folded):
            raise ValueError(
                f"layer {index} must carry on what later layers read, by ones and by equal copies of weights. Got "
                "other wiring. Use the layers that the architecture makes."
            )
    return tuple(maps)


def _same(one: Layer, other: Layer) -> bool:
    """Whether two layers are equal, masks included."""
    return one.activations == other.activations and all(
        _equal(getattr(one, part), getattr(other, part))
        for part in ("weight", "bias", "weight_mask", "bias_mask", "wiring")
    )


def _equal(one: Any, other: Any) -> bool:
    """Whether two arrays are equal, NaN included, or both absent."""
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other, equal_nan=one.dtype == np.float64)
