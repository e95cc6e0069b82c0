"""Starting weights of dense networks: random, from one seed per replica, with the signal kept at every depth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from approxrates.activations import Activation, get

Array = NDArray[np.float64]
N_POINTS = 128
OUTPUT_SCALE = 0.5


def design_points(dim: int, n: int = N_POINTS) -> Array:
    """Points that fill the unit cube evenly, shape ``(dim, n)``: a grid in one dimension, else a Kronecker sequence.

    Reference:
        Roberts (2018), the generalised golden ratio: the steps are powers of the root of ``g^(dim+1) = g + 1``.
    """
    if dim == 1:
        return np.linspace(0.0, 1.0, n)[None, :]
    ratio = 2.0
    for _ in range(60):
        ratio = (1.0 + ratio) ** (1.0 / (dim + 1))
    steps = ratio ** -np.arange(1.0, dim + 1.0)
    points: Array = (0.5 + steps[:, None] * np.arange(n)[None, :]) % 1.0
    return points


def initialise(shapes: Sequence[tuple[int, int]], activation: str, bias: bool, seeds: Sequence[int]) -> Array:
    """Weights of ``len(seeds)`` networks, flat, shape ``(N, P)``; network ``i`` depends on ``seeds[i]`` alone.

    Args:
        shapes: ``(n_out, n_in)`` of each layer, the output layer last.
        activation: Name of the activation of the hidden layers.
        bias: Whether layers have one.
        seeds: One non-negative integer for each network.
    """
    kind = get(activation)
    generators = [np.random.Generator(np.random.Philox(seed)) for seed in seeds]
    signal = np.broadcast_to(design_points(shapes[0][1]), (len(seeds), shapes[0][1], N_POINTS))
    columns: list[Array] = []
    for index, (n_out, n_in) in enumerate(shapes):
        last = index == len(shapes) - 1
        scales = np.full(n_out, OUTPUT_SCALE) if last else _scales(kind, n_out, first=index == 0)
        draws = np.stack([g.standard_normal((n_out, n_in)) for g in generators])
        knots = np.stack([g.integers(0, N_POINTS, n_out) for g in generators])
        z = draws @ signal
        shift = z.mean(axis=2) if last else np.take_along_axis(z, knots[:, :, None], axis=2)[:, :, 0]
        spread = np.sqrt(z.var(axis=2).mean(axis=1, keepdims=True))
        gain = scales / np.where(spread > 0.0, spread, 1.0)
        columns.append((draws * gain[:, :, None]).reshape(len(seeds), -1))
        if bias:
            columns.append(-shift * gain)
        z = z * gain[:, :, None] - (shift * gain)[:, :, None] * bias
        signal = z if last else kind(z)
    return np.concatenate(columns, axis=1)


def _scales(kind: Activation, width: int, *, first: bool) -> Array:
    """The standard deviation that each unit's pre-activation shall have over the domain."""
    units = [get(code) for code in kind.units(width)]
    return np.array([unit.first_scale if first else unit.hidden_scale for unit in units])
