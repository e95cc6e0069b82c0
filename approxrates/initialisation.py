"""Starting weights of dense networks: random, from one seed per replica, with the signal kept at every depth.

A gain computed for infinite width does not keep the signal of a narrow deep network: at width 8 its fluctuations
multiply from layer to layer, for ``relu2`` doubly exponentially, and even where the size of the signal is kept it
becomes constant over the domain. So each layer is fitted to the signal that reaches it (as in Mishkin & Matas 2016,
arXiv:1511.06422, and Salimans & Kingma 2016, arXiv:1602.07868), on fixed points of ``[0, 1]^d``:

1. The rows of a hidden layer are orthonormal, those of the first and last normal.
2. Their common scale makes the standard deviation *over the domain*, root mean square over the units, the number of the
   activation's :class:`~approxrates.activations.InitRule`; of the outputs, 0.5.
3. Biases put zero, where most activations bend, at the value of a random point of the domain, so no unit is dead; for
   a share of the units of hinge-like activations instead just outside the range of the signal, so that the folds do not
   multiply at every layer. Outputs have mean zero.
4. With input injection the columns of ``x`` are scaled to the spread of the units beside it: an input counts as one
   more unit. With residual sums the signal that a layer is fitted to is the sum.
"""

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
        Roberts (2018), "The unreasonable effectiveness of quasirandom sequences": the steps are powers of the root of
        ``g^(dim+1) = g + 1``.
    """
    if dim == 1:
        return np.linspace(0.0, 1.0, n)[None, :]
    root = 2.0
    for _ in range(60):
        root = (1.0 + root) ** (1.0 / (dim + 1))
    steps = root ** -np.arange(1.0, dim + 1.0)
    points: Array = (0.5 + steps[:, None] * np.arange(n)[None, :]) % 1.0
    return points


def initialise(
    shapes: Sequence[tuple[int, int]],
    activation: str,
    bias: bool,
    seeds: Sequence[int],
    *,
    injection: bool = False,
    residual: bool = False,
) -> Array:
    """Weights of ``len(seeds)`` networks, flat, shape ``(N, P)``; network ``i`` depends on ``seeds[i]`` alone.

    Args:
        shapes: ``(n_out, n_in)`` of each layer, the output layer last.
        activation: Name of the activation of the hidden layers.
        bias: Whether layers have one.
        seeds: One non-negative integer for each network.
        injection: Whether layers after the first read ``[h, x]``.
        residual: Whether hidden layers after the first add to what they read.
    """
    kind = get(activation)
    generators = [np.random.Generator(np.random.Philox(seed)) for seed in seeds]
    n = len(generators)
    inputs: Array = np.broadcast_to(design_points(shapes[0][1]), (n, shapes[0][1], N_POINTS))
    signal = inputs
    columns: list[Array] = []
    for index, (n_out, n_in) in enumerate(shapes):
        inner, last = 0 < index < len(shapes) - 1, index == len(shapes) - 1
        draws = np.stack([g.standard_normal((n_out, n_in)) for g in generators])
        rows, read = _orthonormal(draws) if inner else draws, signal
        if injection and index:
            rows[:, :, signal.shape[1] :] *= _ratio(signal, inputs)
            read = np.concatenate([signal, inputs], axis=1)
        z = rows @ read
        spread = np.sqrt(z.var(axis=2).mean(axis=1, keepdims=True))
        wanted = np.full((1, n_out), OUTPUT_SCALE) if last else _wanted_scales(kind, n_out, inner)
        gain = wanted / np.where(spread > 0.0, spread, 1.0)
        zero = z.mean(axis=2) if last else _zeros(kind, z, inner, generators)
        z = (z - bias * zero[:, :, None]) * gain[:, :, None]
        if not last:
            # Without a bias a layer of relu units may be dead as a whole; its mirror image then is not.
            gain = np.where((kind(z).var(axis=2) > 0.0).any(axis=1)[:, None], gain, -gain)
            values = kind(np.where(gain[:, :, None] < 0.0, -z, z))
            signal = signal + values if residual and inner else values
        columns.append((rows * gain[:, :, None]).reshape(n, -1))
        if bias:
            columns.append(-zero * gain)
    return np.concatenate(columns, axis=1)


def _ratio(signal: Array, inputs: Array) -> Array:
    """How much wider the units of a signal spread than the inputs do, root mean square over each, shape ``(N, 1, 1)``.

    An injected input times this number counts as much as a unit.
    """
    spread, natural = (np.sqrt(h.var(axis=2).mean(axis=1))[:, None, None] for h in (signal, inputs))
    ratio: Array = np.where(spread > 0.0, spread / natural, 1.0)
    return ratio


def _orthonormal(draws: Array) -> Array:
    """Random matrices with orthonormal rows, uniformly distributed, from normal ones with at least as many columns.

    Reference:
        Mezzadri (2007), arXiv:math-ph/0609050: the signs of the diagonal make it uniform.
    """
    q, r = np.linalg.qr(draws if draws.shape[1] == draws.shape[2] else draws.transpose(0, 2, 1))
    rotations: Array = q * np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None, :]
    return rotations if draws.shape[1] == draws.shape[2] else rotations.transpose(0, 2, 1)


def _wanted_scales(kind: Activation, width: int, inner: bool) -> Array:
    """The standard deviation that each unit's pre-activation shall have over the domain, shape ``(1, width)``."""
    rules = [get(code).init for code in kind.units(width)]
    return np.array([[rule.hidden_scale if inner else rule.first_scale for rule in rules]])


def _zeros(kind: Activation, z: Array, inner: bool, generators: Sequence[np.random.Generator]) -> Array:
    """The value of each unit's signal ``z``, shape ``(N, width, points)``, that its bias shall move to zero."""
    width = z.shape[1]
    rules = [get(code).init for code in kind.units(width)]
    knots = np.stack([g.integers(0, N_POINTS, width) for g in generators])
    passes = np.stack([g.uniform(size=width) for g in generators]) < np.array([rule.pass_through for rule in rules])
    margins = np.stack([g.uniform(size=width) for g in generators]) * np.array([rule.margin for rule in rules])
    inside = np.take_along_axis(z, knots[:, :, None], axis=2)[:, :, 0]
    outside = z.min(axis=2) - margins * np.ptp(z, axis=2)
    zeros: Array = np.where(passes, outside, inside) if inner else inside
    return zeros
