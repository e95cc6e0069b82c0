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
from approxrates.arithmetic import EXACT_ON_FLOATS, activate, affine, evaluate_compensated, evaluate_float64
from approxrates.errors.base import UNIT, Array, Pieces
from approxrates.errors.dyadic import bends_are_exact
from approxrates.layers import IDENTITY, Layer, unit_groups
from approxrates.network import Network

_LIMIT = 1 << 17
"""Mesh points beyond which the break-points are not followed."""
_ROUNDING_ENTRIES = 1 << 16
"""Units times cells of a layer for which rounding is bounded in one go: work arrays that stay in the cache."""
_COMPENSATED_WORK = 300_000
"""Multiplications up to which the values on the mesh are computed with twice the digits."""
_EXACT_WORK = 100_000
"""Multiplications up to which it is tried whether the bends lie exactly on the mesh."""
_MANY = 16.0
"""Errors of the units before one add up like independent ones, this many times over, where it is asked which side of a
break-point a unit is on."""
_STRAIGHT = 2.0**-44
"""A bend is counted as one if the mesh value is off the chord by more than this share of the largest value."""


def pieces_of(network: Network) -> Pieces | None:
    """The network as a piecewise-linear function; None if it overflows or has too many break-points to follow.

    Args:
        network: Piecewise linear, ``dim == 1``, one output.
    """
    mesh = _mesh(network)
    if mesh is None:
        return None
    values = evaluate_float64(network.layers, mesh[:, None])[:, 0]
    at_values, at_bends = _rounding(network, mesh)
    work = _work(network) * len(mesh)
    if network.activations <= EXACT_ON_FLOATS and work <= _COMPENSATED_WORK:
        if work <= _EXACT_WORK and bends_are_exact(network.layers, mesh):
            at_bends = 0.0
        # At the rims of hard_tanh the second half of the digits is lost: 1 less 2^-60 becomes 1.
        sharp = (
            values if "hard_tanh" in network.activations else evaluate_compensated(network.layers, mesh[:, None])[:, 0]
        )
        if sharp is not values and np.all(np.isfinite(sharp)):
            values, at_values = sharp, UNIT * float(np.abs(sharp).max()) + 8 * UNIT * at_values
    return Pieces(mesh, values, at_values + at_bends, _count(mesh, values))


def pieces_of_linear(t: Array, values: Array) -> Pieces:
    """A function given by its values on a mesh from 0 to 1, affine in between: float64 interpolation is off by 4 u."""
    return Pieces(t, values, 4 * UNIT * float(np.abs(values).max()), _count(t, values))


def _work(network: Network) -> int:
    """Multiplications for one point."""
    return sum(layer.weight.size for layer in network.layers)


def _mesh(network: Network) -> Array | None:
    """0, 1 and every point between where some unit bends, ascending."""
    t = np.array([0.0, 1.0])
    h = t[None, :]
    for layer in network.layers:
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


def _rounding(network: Network, mesh: Array) -> tuple[float, float]:
    """First-order bounds on what rounding does to the values on the mesh, and to what lies between by misplacing bends.

    A dot product of ``n`` terms and a bias is off by at most ``(n + 2) u`` times the sum of the absolute values
    (Higham 2002, Accuracy and Stability, sec. 3.1), for any order of summation. What each unit's error does to the
    output is the derivative of the output with respect to it on that cell; the sum over all units is taken, and its
    maximum over cells. A bend is misplaced by the error of the crossing unit, which the output feels with the same
    derivative: with one hidden layer those of the units that bend at the same place, else all errors up to there are
    taken, for many units may bend together. Where a unit is so close to a break-point that its
    own error may put it on the other side, on the whole cell, its derivative is not known: then its error joins with
    the steepest slope within reach.
    """
    middle = 0.5 * (mesh[1:] + mesh[:-1])
    # Every cell counts: where large terms cancel on a few narrow cells only, a sample of the cells would miss them.
    step = max(16, _ROUNDING_ENTRIES // max(max(layer.n_in, layer.n_out) for layer in network.layers))
    chunks = [_cell_rounding(network, middle[i : i + step]) for i in range(0, len(middle), step)]
    at_values, at_bends = map(float, np.max(np.array(chunks), axis=0))
    if network.depth == 1 and network.layers[-1].activations == (IDENTITY,):
        at_bends = max(_common_bends(network, mesh[i : i + step]) for i in range(0, len(mesh), step))
    return (at_values, at_bends) if math.isfinite(at_values) else (math.inf, math.inf)


def _cell_rounding(network: Network, middle: Array) -> tuple[float, float]:
    """The bounds of :func:`_rounding` on the cells with these middles, shape ``(n,)``."""
    h, slopes, local, doubts = middle[None, :], [], [], []
    squares = np.zeros_like(h)
    with np.errstate(all="ignore"):
        for layer in network.layers:
            bias = 0.0 if layer.bias is None else np.abs(layer.bias)[:, None]
            own = (layer.n_in + 2) * UNIT * (np.abs(layer.weight) @ np.abs(h) + bias)
            before = layer.weight**2 @ squares
            off = own + _MANY * np.sqrt(before)
            z = affine(layer, h)
            slope = _slope(layer, z)
            steepest, doubtful = _steepest(layer, z, off, slope)
            local.append(own)
            slopes.append(slope)
            squares = steepest**2 * (own**2 + before)
            doubts.append(np.where(doubtful, steepest * off, 0.0))
            h = activate(layer, z)
        adjoint, shares = np.ones((1, len(middle))), []
        backwards = (reversed(a) for a in (network.layers, slopes, local, doubts))
        for layer, slope, own, doubt in zip(*backwards, strict=True):
            shares.append(np.abs(adjoint * slope) * own + np.abs(adjoint) * doubt)
            adjoint = layer.weight.T @ (adjoint * slope)
        hidden = sum((share.sum(axis=0) for share in shares[1:]), np.zeros(len(middle)))
        return float((hidden + shares[0].sum(axis=0)).max()), float(hidden.max())


def _common_bends(network: Network, t: Array) -> float:
    """What misplaced bends of one hidden layer do, at most: all units that may bend at one of the points are off."""
    hidden, last = network.layers
    with np.errstate(all="ignore"):
        z = affine(hidden, t[None, :])
        bias = 0.0 if hidden.bias is None else np.abs(hidden.bias)[:, None]
        own = (hidden.n_in + 2) * UNIT * (np.abs(hidden.weight) @ np.abs(t[None, :]) + bias)
        jump = np.abs(_slope(hidden, z + 2.0 * own) - _slope(hidden, z - 2.0 * own))
        return float((np.abs(last.weight) @ (jump * own)).max())


def _steepest(layer: Layer, z: Array, off: Array, slope: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Largest slope sizes within ``off`` of ``z``, and which units may be on either side of a break-point there."""
    before, after = _slope(layer, z - off), _slope(layer, z + off)
    steepest: Array = np.maximum(np.abs(slope), np.maximum(np.abs(before), np.abs(after)))
    return steepest, (before != slope) | (after != slope)


def _slope(layer: Layer, z: Array) -> Array:
    """Derivatives of the activations at ``z``, shape of ``z``."""
    slope = np.ones_like(z)
    for code, rows in unit_groups(layer.activations):
        if code != IDENTITY:
            slope[rows] = activations.get(code).derivative(z[rows])
    return slope


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
    return 1 + int(np.count_nonzero(off_chord > _STRAIGHT * max(float(np.abs(v).max()), 1e-300)))
