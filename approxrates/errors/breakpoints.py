"""All break-points of a piecewise-linear network on [0, 1], layer by layer.

On a mesh between whose points all units of a layer are affine, the next pre-activations are affine too; a unit bends
where one of them crosses a break-point of its activation. These crossings are solved for exactly, up to rounding, and
join the mesh. So nothing can hide between grid points: a spike is a set of break-points like any other.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from approxrates import activations
from approxrates.arithmetic import EXACT_ON_FLOATS, activate, affine
from approxrates.errors.base import UNIT, Array, Pieces
from approxrates.errors.rounding import values_and_rounding
from approxrates.layers import IDENTITY, Layer, unit_groups
from approxrates.network import Network

_LIMIT = 1 << 17
"""Mesh points beyond which the break-points are not followed."""
_COMPENSATED_WORK = 300_000
"""Multiplications up to which the values on the mesh are computed with twice the digits."""
_MOST_WORK, _BLURRED = 9_000_000, 1e-9
"""The same where float64 leaves more than this share of the largest value open; one layer of 2,048 units."""
_TOGETHER = 2.0**-40
"""Share of the largest value by which what is not counted may bend the function; beyond it every cell counts."""
_STRAIGHT = 2.0**-44
"""A bend is counted as one if the mesh value is off the chord by more than this share of the largest value."""


def pieces_of(network: Network, *, quick: bool = False) -> Pieces | None:
    """The network as a piecewise-linear function; None if it overflows or has too many break-points to follow.

    Args:
        network: Piecewise linear, ``dim == 1``, one output.
        quick: Whether a rough bound on the rounding will do.
    """
    mesh = _mesh(network)
    if mesh is None:
        return None
    if quick:
        values, rounding = values_and_rounding(network, mesh, sharp=False, quick=True)
        return Pieces(mesh, values, rounding, _count(mesh, values), is_quick=True)
    work = _work(network) * len(mesh) if network.activations <= EXACT_ON_FLOATS else math.inf
    values, rounding = values_and_rounding(network, mesh, sharp=work <= _COMPENSATED_WORK)
    if work <= _COMPENSATED_WORK and not math.isfinite(rounding):  # the halves of huge numbers overflow
        values, rounding = values_and_rounding(network, mesh, sharp=False)
    elif _COMPENSATED_WORK < work <= _MOST_WORK and rounding > _BLURRED * float(np.abs(values).max()):
        again = values_and_rounding(network, mesh, sharp=True)
        values, rounding = again if again[1] < rounding else (values, rounding)
    return Pieces(mesh, values, rounding, _count(mesh, values))


def pieces_of_linear(t: Array, values: Array) -> Pieces:
    """A function given by its values on a mesh from 0 to 1, affine in between: float64 interpolation is off by 4 u."""
    return Pieces(t, values, 4 * UNIT * float(np.abs(values).max()), _count(t, values))


def _work(network: Network) -> int:
    """Multiplications for one point."""
    return sum(layer.weight.size for layer in network.dense_layers)


def _mesh(network: Network) -> Array | None:
    """0, 1 and every point between where some unit bends, ascending."""
    t = np.array([0.0, 1.0])
    h = t[None, :]
    for layer in network.dense_layers:
        z = affine(layer, h)
        if not np.all(np.isfinite(z)):
            return None  # overflow inside: what bends where is lost
        bends = _bends(layer, z)
        if bends is None:
            return None
        if len(bends[0]):
            t, z = _inserted(t, z, *bends)
        if len(t) > _LIMIT:
            return None
        h = activate(layer, z)
    return t


def _bends(layer: Layer, z: Array) -> tuple[NDArray[np.intp], NDArray[np.intp], Array] | None:
    """Units, cells and levels of all crossings strictly inside cells; None if there are too many."""
    units, cells, levels = [], [], []
    for code, rows in unit_groups(layer.activations):
        activation = activations.get(code)
        if code == IDENTITY or not activation.breakpoints:
            continue
        index, block = np.arange(layer.n_out)[rows], z[rows]
        for level in activation.breakpoints:
            if activation.period is None:
                above, on = block > level, block == level
                row, cell = np.nonzero((above[:, 1:] != above[:, :-1]) & ~(on[:, 1:] | on[:, :-1]))
                level_of = np.full(len(row), level)
            else:
                found = _periodic(block, level, activation.period)
                if found is None:
                    return None
                row, cell, level_of = found
            units.append(index[row])
            cells.append(cell)
            levels.append(level_of)
    if not units:
        return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp), np.empty(0)
    return np.concatenate(units), np.concatenate(cells), np.concatenate(levels)


def _periodic(block: Array, level: float, period: float) -> tuple[NDArray[np.intp], NDArray[np.intp], Array] | None:
    """Crossings of ``level + n * period`` for all whole ``n``."""
    low, high = np.minimum(block[:, 1:], block[:, :-1]), np.maximum(block[:, 1:], block[:, :-1])
    first, last = np.floor((low - level) / period) + 1, np.ceil((high - level) / period) - 1
    many = np.maximum(last - first + 1, 0)
    if many.sum() > _LIMIT:
        return None
    row, cell = np.nonzero(many)
    repeats = many[row, cell].astype(np.intp)
    steps = np.arange(repeats.sum()) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    levels = level + period * (np.repeat(first[row, cell], repeats) + steps)
    return np.repeat(row, repeats), np.repeat(cell, repeats), levels


def _inserted(t: Array, z: Array, unit: NDArray[np.intp], cell: NDArray[np.intp], level: Array) -> tuple[Array, Array]:
    """Mesh and pre-activations with the crossings put in; the crossing unit is put exactly on its level."""
    start, end = z[unit, cell], z[unit, cell + 1]
    share = np.clip((level - start) / (end - start), 0.0, 1.0)
    new_t = t[cell] + share * (t[cell + 1] - t[cell])
    new_z = z[:, cell] * (1.0 - share) + z[:, cell + 1] * share
    new_z[unit, np.arange(len(unit))] = level
    merged, index = np.unique(np.concatenate([t, new_t]), return_index=True)
    return merged, np.concatenate([z, new_z], axis=1)[:, index]


def _count(mesh: Array, values: Array) -> int:
    """Pieces, where neighbours of equal slope are one and points closer than rounding are one."""
    if not np.all(np.isfinite(values)):
        return 1
    keep = np.concatenate([[True], np.diff(mesh) > 2.0**-40])
    t, v = mesh[keep], values[keep]
    if len(t) < 3:
        return 1
    share = (t[1:-1] - t[:-2]) / (t[2:] - t[:-2])
    off_chord = np.abs(v[1:-1] - (v[:-2] + share * (v[2:] - v[:-2])))
    size = max(float(np.abs(v).max()), 1e-300)
    bends = np.concatenate([[True], off_chord > _STRAIGHT * size, [True]])
    if float(np.abs(v - np.interp(t, t[bends], v[bends])).max()) > _TOGETHER * size:
        return len(mesh) - 1  # bends too small to count one by one make a curve: no lower bound may rest on so few
    return int(bends.sum()) - 1
