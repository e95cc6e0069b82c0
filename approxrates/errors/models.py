r"""Networks as quadratics with remainders on boxes, many networks and boxes at once.

On the box ``c + h t``, ``t`` in ``[-1, 1]^d``, every value inside the network is ``p(t) + e``: ``p`` quadratic, ``|e|``
bounded. An affine layer acts on ``p`` linearly and on the bound with absolute values. An activation is replaced by its
quadratic with remainder over the range of its argument (:mod:`approxrates.activations.enclosures`): with
``p = c_0 + L + Q`` (constant, linear, quadratic part, sizes ``l`` and ``q``) and ``s = L + Q + e``,

``f0 + f1 s + f2 s^2 = f0 + f1 (L + Q) + f2 L^2 + [f1 e + f2 (2 L Q + Q^2 + 2 (L + Q) e + e^2)]``

and the bracket joins the remainder. Where the remainder would exceed half the range of the activation, that range is
taken instead, as a constant.

Rounding. A dot product of ``n`` terms and a bias is off by at most ``(n + 2) u`` times the sum of the absolute values,
in any order of summation (Higham 2002, Accuracy and Stability, sec. 3.1); it is applied to each coefficient. Products
of coefficients are off by a few ``u`` of their size. All of it joins the remainder, which is inflated by more than the
rounding of its own computation, a sum of positive terms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from approxrates import activations
from approxrates.activations.enclosures import Encloser, encloser
from approxrates.errors.base import UNIT, Array
from approxrates.layers import IDENTITY, Rows, unit_groups
from approxrates.network import Network
from approxrates.taylor import TaylorModel, n_terms

_UP = 1.0 + 64 * UNIT
_TINY, _LEAST = 1e-290, 1e-300
"""More than what underflow loses in a layer, and in an activation."""


@dataclass(frozen=True, eq=False)
class _StackedLayer:
    """One layer of all networks: weights ``(R, n_out, n_in)``, their sizes, biases ``(R, n_out)``, units by kind."""

    weight: Array
    size: Array
    bias: Array
    kinds: tuple[tuple[Encloser | None, Rows], ...]


@dataclass(frozen=True, eq=False)
class Stack:
    """Networks of one shape with their weights side by side."""

    networks: tuple[Network, ...]
    layers: tuple[_StackedLayer, ...]
    straight: bool

    @property
    def dim(self) -> int:
        """Input dimension."""
        return self.networks[0].dim

    @property
    def width(self) -> int:
        """Most units of a layer."""
        return max(int(layer.weight.shape[1]) for layer in self.layers)


def shape_of(network: Network) -> tuple[object, ...]:
    """What networks must share to be stacked."""
    return tuple((layer.weight.shape, layer.activations) for layer in network.dense_layers)


def can_be_enclosed(network: Network) -> bool:
    """Whether bounds are known for all its activations."""
    codes = network.activations - {IDENTITY}
    return all(encloser(activations.get(code)) is not None for code in codes)


def stacked(networks: Sequence[Network]) -> Stack:
    """Networks of one :func:`shape_of`, one output each, side by side."""
    layers = []
    for rows in zip(*(network.dense_layers for network in networks), strict=True):
        weight = np.stack([layer.weight for layer in rows])
        bias = np.stack([np.zeros(layer.n_out) if layer.bias is None else layer.bias for layer in rows])
        kinds = tuple(
            (None if code == IDENTITY else encloser(activations.get(code)), units)
            for code, units in unit_groups(rows[0].activations)
        )
        layers.append(_StackedLayer(weight, np.abs(weight), bias, kinds))
    straight = all(network.is_piecewise_linear for network in networks)
    return Stack(tuple(networks), tuple(layers), straight)


def network_models(stack: Stack, owner: NDArray[np.intp], centres: Array, half: Array) -> TaylorModel:
    """Models of networks on boxes.

    Args:
        stack: Networks of one shape.
        owner: Which network each row of boxes is for, shape ``(G,)``.
        centres: Centres, shape ``(G, B, dim)``; they may be off by ``2 u``, coordinates being at most 1.
        half: Half widths, shape ``(G, B)``; 0 for points.

    Returns:
        The models of the ``G B`` boxes, row by row.
    """
    (groups, boxes, dim), full = centres.shape, n_terms(stack.dim)
    # Straight pieces give no squares, so these are not carried along.
    kept = 1 + dim if stack.straight else full
    h = np.zeros((groups, dim, kept, boxes))
    h[:, :, 0] = centres.transpose(0, 2, 1)
    for i in range(dim):
        h[:, i, 1 + i] = half
    e = np.full((groups, dim, boxes), 4 * UNIT)
    with np.errstate(all="ignore"):
        for layer in stack.layers:
            n_out, n_in = layer.weight.shape[1:]
            e += (n_in + 4) * UNIT * np.abs(h).sum(axis=2) + _LEAST
            e = layer.size[owner] @ e
            z = (layer.weight[owner] @ h.reshape(groups, n_in, kept * boxes)).reshape(groups, n_out, kept, boxes)
            bias = layer.bias[owner][:, :, None]
            z[:, :, 0] += bias
            e = (e + (n_in + 4) * UNIT * np.abs(bias) + _TINY) * (_UP + n_in * UNIT)
            h = z
            for enclose, rows in layer.kinds:
                if enclose is not None:
                    h[:, rows], e[:, rows] = _activated(enclose, z[:, rows], e[:, rows], dim)
    terms = np.zeros((full, groups * boxes))
    terms[:kept] = h[:, 0].transpose(1, 0, 2).reshape(kept, -1)
    return TaylorModel(dim, terms, e[:, 0].reshape(-1))


def _activated(enclose: Encloser, z: Array, e: Array, dim: int) -> tuple[Array, Array]:
    """Models after an activation: coefficients ``(G, units, terms, B)`` and remainders ``(G, units, B)``."""
    centre, linear, squares = z[:, :, 0], z[:, :, 1 : 1 + dim], z[:, :, 1 + dim :]
    length = np.abs(linear).sum(axis=2)
    bent = np.abs(squares).sum(axis=2) if squares.shape[2] else None
    reach = length if bent is None else length + bent
    found = enclose(centre, (reach + e) * _UP)
    slope, curvature = np.abs(found.slope), np.abs(found.curvature)
    rest = found.remainder + slope * e + 8 * UNIT * (np.abs(found.value) + slope * reach)
    out = np.empty_like(z)
    out[:, :, 0] = found.value
    np.multiply(linear, found.slope[:, :, None], out=out[:, :, 1 : 1 + dim])
    if bent is not None:
        rest += curvature * ((2.0 * reach + e) * e + (2.0 * length + bent) * bent + 8 * UNIT * reach * reach)
        np.multiply(squares, found.slope[:, :, None], out=out[:, :, 1 + dim :])
        for index, (i, j) in enumerate(zip(*np.triu_indices(dim), strict=True)):
            product = found.curvature * linear[:, :, i] * linear[:, :, j]
            out[:, :, 1 + dim + index] += product if i == j else 2.0 * product
    rest *= _UP
    coarse = ~(rest <= found.spread)
    if coarse.any():
        out[:, :, 0] = np.where(coarse, found.level, found.value)
        out[:, :, 1:] = np.where(coarse[:, :, None], 0.0, out[:, :, 1:])
        rest = np.where(coarse, found.spread, rest)
    return out, rest
