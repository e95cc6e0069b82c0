"""What rounding does to a piecewise-linear network on a mesh, as a proof: the values, and what lies between them.

On a mesh cell let ``z_l(t)``, ``h_l(t)`` run straight between the computed values at its two ends. They satisfy the
equations of the network up to local errors, ``z_l = W_l h_(l-1) + b_l + e_l`` and ``h_l = sigma(z_l) + a_l``, for every
``t`` of the cell: ``e_l`` runs straight itself, so it is bounded by the rounding of a dot product at the two ends
(Higham 2002, Accuracy and Stability, sec. 3.1: ``(n + 2) u`` times the absolute values), and ``a_l`` by the rounding of
the activation plus what its graph is off its chord, where the ends lie on both sides of a break-point: the jump of the
slope times the smaller distance. Nothing is asked of the mesh; a bend that rounding misplaced is such an ``a_l``.

With ``D_l`` the difference of ``h_l`` and the exact values, ``D_l = s_l (W_l D_(l-1) + e_l) + a_l``, where ``s_l`` is
the mean slope of the activation between the two pre-activations. Let these differ by ``G_l`` at most. A unit farther
than ``G_l`` from its break-points has one slope, known exactly. For the others ``s_l`` is replaced by the middle of the
slopes within reach, and half their range times ``G_l`` joins ``a_l``. So ``D_l`` is linear in the local errors with
known coefficients, and the sum of their absolute values bounds it: for ``G_l``, layer after layer, and for the output.
No error is taken to be small or independent of others.

``G_l`` is first bounded by norms. Only units that are not cleared by that are given the sharp bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from approxrates import activations
from approxrates.arithmetic import activate, affine
from approxrates.arithmetic.compensated import affine_compensated
from approxrates.errors.base import UNIT, Array
from approxrates.layers import IDENTITY, Layer, Rows, unit_groups
from approxrates.network import Network

_ENTRIES = 1 << 16
"""Units times cells of a layer that are bounded in one go: work arrays that stay in the cache."""
_UP = 1.0 + 1e-6
"""Sums of fewer than 10^9 positive terms, each a few times rounded, are off by less than this factor."""
_TINY = 2.0**-1060
"""More than underflow takes from any of the expressions here: each operation loses at most 2^-1075."""
_ROUNDED_ONCE = frozenset({"relu", "abs", "hard_tanh", "triangle", IDENTITY})
"""Activations whose float64 values are exact."""
_DENSE = 512
"""Sides of matrices up to which the spectral norm is bounded by powers of the Gram matrix."""


@dataclass(frozen=True, eq=False)
class _Step:
    """One layer on the cells of a mesh; arrays ``(n_out, cells)``.

    Attributes:
        weight: Its weights.
        slope: The slope taken for each unit.
        before: Bound on the local error ahead of the activation, that of computing sensitivities included.
        after: Bound on the local error behind it.
        tiny: What underflow may add, shape ``(cells,)``.
    """

    weight: Array
    slope: Array
    before: Array
    after: Array
    tiny: Array


@dataclass(eq=False)
class _Sides:
    """Where the units of a layer are with respect to the break-points nearest to them, on each cell.

    Attributes:
        slope: Slope left of the marks, ``(n_out, cells)``.
        marks: For groups of units: rows, jump of the slope, how far the cell reaches over the mark on the side on
            which it reaches less far (negative: it does not), and whether it is on the right.
        after: Local errors of the activation, ``(n_out, cells)``.
        wide: Largest ``G`` for which no other mark is within reach, ``(n_out, cells)``, inf if there is none.
    """

    slope: Array
    after: Array
    wide: Array
    marks: list[tuple[Rows, float, Array, NDArray[np.bool_]]] = field(default_factory=list)


def values_and_rounding(network: Network, mesh: Array, *, sharp: bool, quick: bool = False) -> tuple[Array, float]:
    """Values on a mesh, and a bound on ``|their linear interpolant - network|`` on [0, 1]; inf where none is known.

    Args:
        network: Piecewise linear, one input, one output.
        mesh: From 0 to 1, ascending, shape ``(n,)``.
        sharp: Whether to compute with twice the digits; for relu, abs and hard_tanh.
        quick: Whether bounds by norms will do: a third of the time, and larger by a factor that grows with the depth.
    """
    values, bound, layers = np.empty_like(mesh), 0.0, network.dense_layers
    step = max(16, _ENTRIES // max(max(layer.n_in, layer.n_out) for layer in layers))
    if sharp:  # every product is kept: as many scalars as weights times points
        step = max(16, min(step, 8 * _ENTRIES // max(layer.weight.size for layer in layers)))
    norms = [_spectral(layer.weight) for layer in layers]
    with np.errstate(all="ignore"):
        for start in range(0, len(mesh) - 1, step):
            part = slice(start, start + step + 1)
            found, off = _on_cells(layers, norms, mesh[part], sharp, quick)
            if start:  # the products of another block may round the shared point otherwise
                off += abs(float(found[0]) - float(values[start])) * _UP
                found[0] = values[start]
            values[part] = found
            bound = max(bound, off) if math.isfinite(off) else math.inf
        bound = (bound + _interpolating(mesh, values)) * _UP
    return values, bound if math.isfinite(bound) else math.inf


def _interpolating(t: Array, values: Array) -> float:
    """What ``y + (x - t) * slope`` is off by when rounded, at most; floats within a factor of 2 differ exactly."""
    width, rise = np.diff(t), np.diff(values)
    close = t[1:] <= 2.0 * t[:-1]
    same = ((values[1:] <= 2.0 * values[:-1]) & (values[:-1] <= 2.0 * values[1:])) | (values[:-1] == 0.0)
    power = np.frexp(width)[0] == 0.5
    from_zero = t[:-1] == 0.0
    rounded = 1.0 + ~same + ~(close | from_zero) * 2.0 + ~power
    ends = np.maximum(np.abs(values[1:]), np.abs(values[:-1]))
    if not np.all(np.isfinite(rise / width)):
        return math.inf
    return float((UNIT * (rounded * np.abs(rise) + ends)).max()) * _UP + _TINY


def _on_cells(layers: tuple[Layer, ...], norms: list[float], t: Array, sharp: bool, quick: bool) -> tuple[Array, float]:
    """Values at neighbouring mesh points, and the bound on the cells between them."""
    h, low, steps = t[None, :].copy(), np.zeros((1, len(t))) if sharp else None, list[_Step]()
    size, length = np.zeros((1, len(t) - 1)), np.zeros(len(t) - 1)
    for layer, norm in zip(layers, norms, strict=True):
        z, low, own = _affine(layer, h, low)
        before = np.maximum(own[:, 1:], own[:, :-1])
        spread = np.abs(layer.weight) @ size
        rows = np.sqrt((layer.weight**2).sum(axis=1, keepdims=True)) * _UP + _TINY
        reach = (np.minimum(spread, rows * length) + before) * _UP + _TINY
        sides = _sides(layer, z, low)
        h = activate(layer, z.copy())
        if low is not None:
            sides.after += _rim(layer, z, low)
            low = _low(layer, z, low)
        if not quick:
            _sharpen(layer, steps, sides, reach, before)
        slope, radius = _slopes(sides, reach)
        after = (sides.after + radius * reach) * _UP
        size = ((np.abs(slope) + radius) * reach + sides.after) * _UP
        steepest = (np.abs(slope) + radius).max(axis=0)
        far = steepest * (norm * length + _norm(before)) + _norm(sides.after)
        tiny = (layer.n_in + 2) * (layer.n_out + 2) * _TINY * (1.0 + length + _norm(reach))
        length = np.minimum(_norm(size), far * _UP + _TINY)
        if quick:
            continue
        # What rounding does to a sensitivity acts on the error that it is multiplied by.
        before = (before + (layer.n_out + 2) * UNIT * spread + 2 * UNIT * reach) * _UP
        steps.append(_Step(layer.weight, slope, before, after, tiny))
    off = length if quick else _total(steps, np.ones((1, len(t) - 1)), np.arange(len(t) - 1))
    out: Array = h[0] if low is None else h[0] + low[0]
    extra = 0.0 if low is None else UNIT * float(np.abs(out).max())
    worst = float(np.max(off)) + extra
    return out, worst if not math.isnan(worst) else math.inf


def _affine(layer: Layer, h: Array, low: Array | None) -> tuple[Array, Array | None, Array]:
    """Computed pre-activations, their second halves, and bounds on what both are off together, ``(n_out, points)``."""
    sizes = np.abs(layer.weight) @ np.abs(h)
    if layer.bias is not None:
        sizes += np.abs(layer.bias)[:, None]
    if low is None:
        return affine(layer, h), None, ((layer.n_in + 2) * UNIT * _UP) * sizes + (layer.n_in + 2) * _TINY
    z, rest = affine_compensated(layer, h, low)
    # A balanced tree of k levels: errors of (k + 2) u in all, added in 2 k + 3 rounded steps.
    levels = math.ceil(math.log2(layer.n_in + 1)) + 1
    return z, rest, (4 * (levels + 3) ** 2 * UNIT * UNIT * _UP) * sizes + (layer.n_in + 2) * _TINY


def _low(layer: Layer, z: Array, low: Array) -> Array:
    """The second halves behind the activation."""
    low = low.copy()
    for code, rows in unit_groups(layer.activations):
        if code != IDENTITY:
            low[rows] *= activations.get(code).derivative(z[rows])
    return low


def _rim(layer: Layer, z: Array, low: Array) -> Array:
    """Second halves that an activation loses: those of values at 1 or -1 that hard_tanh clips, ``(n_out, cells)``."""
    lost = np.zeros_like(z)
    for code, rows in unit_groups(layer.activations):
        if code == "hard_tanh":
            lost[rows] = np.where(np.abs(z[rows]) == 1.0, np.abs(low[rows]), 0.0)
    return np.maximum(lost[:, 1:], lost[:, :-1])


def _sides(layer: Layer, z: Array, low: Array | None) -> _Sides:
    """Marks and local errors of all units."""
    shape = (len(z), z.shape[1] - 1)
    sides = _Sides(np.ones(shape), np.zeros(shape), np.full(shape, np.inf))
    for code, rows in unit_groups(layer.activations):
        if code == IDENTITY:
            continue
        activation = activations.get(code)
        pieces, block = activation.pieces, z[rows]
        if pieces is None or any(any(piece[2:]) for piece in pieces):
            sides.after[rows] = np.inf
            continue
        constants = [float(piece[0]) for piece in pieces]
        slopes = [float(piece[1]) if len(piece) > 1 else 0.0 for piece in pieces]
        if code not in _ROUNDED_ONCE:
            rounded = 4 * UNIT * (max(map(abs, constants)) + max(map(abs, slopes)) * np.abs(block)) + _TINY
            sides.after[rows] += np.maximum(rounded[:, 1:], rounded[:, :-1])
        if activation.period is not None:
            _periodic(sides, rows, block, activation.breakpoints, slopes, activation.period)
            continue
        sides.slope[rows] = slopes[0]
        rest = None if low is None else np.abs(low[rows])
        for mark, left, right in zip(activation.breakpoints, slopes, slopes[1:], strict=False):
            distance = block - mark
            slack = rest if rest is None or mark == 0.0 else rest + 2 * UNIT * np.abs(distance)
            _mark(sides, rows, right - left, distance[:, 1:], distance[:, :-1], slack)
    return sides


def _mark(sides: _Sides, rows: Rows, jump: float, end: Array, start: Array, slack: Array | None) -> None:
    """Note a break-point, given the distances of both ends of every cell from it, and how far these may be off."""
    if slack is None:
        right, left = np.maximum(end, start), -np.minimum(end, start)
    else:
        right = np.maximum(end + slack[:, 1:], start + slack[:, :-1])
        left = np.maximum(slack[:, 1:] - end, slack[:, :-1] - start)
    over = np.minimum(right, left)
    sides.marks.append((rows, jump, over, right > left))
    sides.after[rows] += (abs(jump) * _UP) * np.maximum(over, 0.0)


def _periodic(
    sides: _Sides, rows: Rows, z: Array, breakpoints: tuple[float, ...], slopes: list[float], period: float
) -> None:
    """The break-points next to each cell on either side; with a period of quarters they are floats."""
    start, end = z[:, :-1], z[:, 1:]
    middle, width = 0.5 * (start + end), np.abs(end - start)
    exact = all((4.0 * b).is_integer() for b in (*breakpoints, period))
    fits = (np.abs(middle) < 2.0**48) & exact
    sides.wide[rows] = np.where(fits, 0.45 * period - 0.5 * width, -np.inf)
    last, nearest = np.full(middle.shape, -np.inf), np.zeros(middle.shape, dtype=np.intp)
    for k, b in enumerate(breakpoints):
        below = b + np.floor((middle - b) / period) * period
        nearest, last = np.where(below > last, k, nearest), np.maximum(below, last)
        jump = slopes[k] - slopes[k - 1]
        for mark in (below, below + period):
            _mark(sides, rows, jump, end - mark, start - mark, None)
    # Left of all these marks the slope is what it is one period later, right of the last one.
    sides.slope[rows] = np.array(slopes)[nearest]


def _sharpen(layer: Layer, steps: list[_Step], sides: _Sides, reach: Array, before: Array) -> None:
    """Replace ``G`` by the sharp bound for the units that it does not clear."""
    if not steps:
        return
    open_ = sides.wide < reach
    for rows, jump, over, _ in sides.marks:
        if jump:
            open_[rows] |= over + reach[rows] * _UP > 0.0
    units, cells = np.nonzero(open_)
    at_once = max(64, 8 * _ENTRIES // max(max(step.weight.shape) for step in steps))
    for i in range(0, len(units), at_once):
        unit, cell = units[i : i + at_once], cells[i : i + at_once]
        found = _total(steps, np.ascontiguousarray(layer.weight[unit].T), cell) + before[unit, cell]
        reach[unit, cell] = np.fmin(reach[unit, cell], found * _UP + _TINY)


def _slopes(sides: _Sides, reach: Array) -> tuple[Array, Array]:
    """The middle of the slopes within reach of every unit, and half their range."""
    slope, radius = sides.slope, np.where(sides.wide < reach, np.inf, 0.0)
    largest = np.abs(slope)
    for rows, jump, over, right in sides.marks:
        both = ~(over + reach[rows] * _UP <= 0.0)
        slope[rows] += jump * np.where(both, 0.5, right)
        radius[rows] += (0.5 * abs(jump)) * both
        largest[rows] += abs(jump)
    return slope, radius + 8 * UNIT * largest  # slopes are rounded fractions


def _total(steps: list[_Step], start: Array, cells: NDArray[np.intp]) -> Array:
    """Bound on ``|sum start * D|`` behind the last step, one column of ``start`` for each of the cells."""
    total, q = np.zeros(len(cells)), start
    every = len(cells) == steps[-1].slope.shape[1] and bool(np.all(cells == np.arange(len(cells))))
    for step in reversed(steps):
        slope, before, after, tiny = (
            a if every else a[..., cells] for a in (step.slope, step.before, step.after, step.tiny)
        )
        p = q * slope
        total += np.einsum("ij,ij->j", np.abs(q), after) + np.einsum("ij,ij->j", np.abs(p), before) + tiny
        if step is not steps[0]:
            q = step.weight.T @ p
    return total * _UP


def _norm(array: Array) -> Array:
    """Euclidean lengths of columns, from above."""
    largest = np.max(array, axis=0)
    scale = np.where(largest > 0.0, largest, 1.0)
    result: Array = np.sqrt(((array / scale) ** 2).sum(axis=0)) * scale * _UP + len(array) * _TINY
    return result


def _spectral(weight: Array) -> float:
    """An upper bound of the spectral norm: ``||A^8||_inf^(1/16)`` with ``A = W^T W``, or the Frobenius norm.

    A product of symmetric matrices of ``n`` rows is off by ``n^2 u`` relative to the norm of the result at most.
    """
    scale = float(np.abs(weight).max(initial=0.0))
    if scale == 0.0 or not math.isfinite(scale):
        return scale
    scaled = weight / scale
    frobenius = float(np.sqrt((scaled**2).sum()))
    if min(weight.shape) > _DENSE:
        return frobenius * scale * _UP
    power = scaled.T @ scaled if weight.shape[1] < weight.shape[0] else scaled @ scaled.T
    factor = 1.0
    for k in range(4):
        norm = float(np.abs(power).sum(axis=1).max())
        factor *= norm ** (0.5 ** (k + 1))
        if k < 3:
            power = (power / norm) @ (power / norm)
    return min(frobenius, factor) * scale * _UP
