"""Residual boosting: one network after the other is fitted to what the ones before leave over.

A single network stalls where its Jacobian loses numerical rank, some nine digits below the target; a second one, fitted
to the residual brought to unit size, passes that. Their sum is one block-diagonal network, and counts so.

Reference:
    Wang & Lai (2024), doi:10.1016/j.jcp.2024.112865 (multi-stage networks); Friedman (2001), doi:10.1214/aos/1013203451
    (boosting).
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from approxrates.layers import Layer
from approxrates.training.points import Sampling

F64 = NDArray[np.float64]


def remainder(sampling: Sampling, outputs: Sequence[F64], bias: bool) -> Sampling:
    """What is left over of standardised values, standardised again.

    Args:
        sampling: Points and values of the round before.
        outputs: The network's outputs at each set, ``(k, M)``.
        bias: Whether the networks have biases, which can make up for a mean.
    """
    left = [v - o for v, o in zip(sampling.values, outputs, strict=True)]
    weights = sampling.weights[-1]
    mean = float((left[-1] * weights).sum() / len(left[-1])) if bias else 0.0
    scale = float(np.sqrt(((left[-1] - mean) ** 2 * weights).sum() / len(left[-1]))) or 1.0
    return dataclasses.replace(sampling, values=np.stack([(v - mean) / scale for v in left]), mean=mean, scale=scale)


def scaled(layers: Sequence[Layer], mean: float, scale: float) -> tuple[Layer, ...]:
    """``mean + scale * network``: both go into the last layer; a network without biases has no mean."""
    *hidden, last = layers
    bias = None if last.bias is None else last.bias * scale + mean
    return (*hidden, dataclasses.replace(last, weight=last.weight * scale, bias=bias))


def unscaled(layers: Sequence[Layer], mean: float, scale: float) -> tuple[Layer, ...]:
    """The inverse of :func:`scaled`, up to rounding; exact for mean zero and scale one."""
    *hidden, last = layers
    bias = None if last.bias is None else (last.bias - mean) / scale
    return (*hidden, dataclasses.replace(last, weight=last.weight / scale, bias=bias))


def block_diagonal(networks: Sequence[Sequence[Layer]]) -> tuple[Layer, ...]:
    """The sum of networks of equal depth as one network; the zeros between the blocks are not counted."""
    if len(networks) == 1:
        return tuple(networks[0])
    made = []
    for index, layers in enumerate(zip(*networks, strict=True)):
        same_inputs, summed = index == 0, index == len(networks[0]) - 1
        made.append(_joined(layers, same_inputs=same_inputs, summed=summed))
    return tuple(made)


def _joined(layers: Sequence[Layer], *, same_inputs: bool, summed: bool) -> Layer:
    """Layers side by side: blocks on the diagonal, in one column over shared inputs, in one row if summed."""
    rows = [slice(0, layers[0].n_out)] * len(layers) if summed else _spans([layer.n_out for layer in layers])
    columns = [slice(0, layers[0].n_in)] * len(layers) if same_inputs else _spans([layer.n_in for layer in layers])
    weight = np.zeros((rows[-1].stop, columns[-1].stop))
    mask = np.zeros(weight.shape, dtype=bool)
    for layer, r, c in zip(layers, rows, columns, strict=True):
        weight[r, c], mask[r, c] = layer.weight, True
    biases = [layer.bias for layer in layers if layer.bias is not None]
    bias = None if not biases else np.sum(biases, axis=0) if summed else np.concatenate(biases)
    codes = layers[0].activations if summed else tuple(code for layer in layers for code in layer.activations)
    return Layer(weight, bias, codes, None if mask.all() else mask, None)


def _spans(sizes: Sequence[int]) -> list[slice]:
    """Consecutive ranges of these sizes."""
    ends = np.cumsum([0, *sizes]).tolist()
    return [slice(a, b) for a, b in itertools.pairwise(ends)]
