"""Distances in the Sobolev spaces W^{1,p}: of functions and their first derivatives together.

The derivatives of the network are computed exactly (up to rounding), forwards through its layers together with its
values; those of the target are ``Target.gradient``. At a kink either one-sided derivative is taken: kinks have measure
zero. Integrals and estimates of their error are those of :mod:`approxrates.errors.quadrature`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from approxrates import activations
from approxrates.approximant import Approximant
from approxrates.arithmetic import activate, affine
from approxrates.errors.base import Array
from approxrates.errors.breakpoints import pieces_of
from approxrates.errors.quadrature import Rule, cell_rule, piece_rule, sample_rule
from approxrates.layers import IDENTITY, unit_groups
from approxrates.network import Network
from approxrates.target import Target

_CHUNK = 1 << 18  # derivatives of one layer held at once
_CLIMBERS, _CLIMBS = 32, 24
_ROUNDING = 2.0**-48
"""What values and derivatives of networks and targets may be off by, as a share of the largest."""
SobolevMethod = Literal["pieces", "cells", "samples", "search"]


@dataclass(frozen=True)
class SobolevError:
    """Distance of a network ``g`` to a target ``f`` in ``W^{1,p}`` on the unit cube.

    With ``e = f - g``: ``seminorm^p = sum_i ||d_i e||_p^p`` and ``norm^p = ||e||_p^p + seminorm^p`` (norms in L^p); for
    ``p = inf`` the largest of these norms.

    Attributes:
        p: Exponent.
        seminorm: That of the first derivatives.
        norm: Functions and derivatives together.
        seminorm_error: Estimated absolute error of ``seminorm``; inf if there is no estimate.
        norm_error: The same for ``norm``.
        is_lower_bound: Whether ``seminorm`` and ``norm`` are values at points, so that the truth may be larger: so for
            ``p = inf``.
        where: For ``p = inf`` the point where ``seminorm`` is attained (from one side, if it is a kink), else None.
        method: ``"pieces"`` (Gauss rules between the break-points), ``"cells"`` (on uniform cells), ``"samples"``, or
            ``"search"`` (``p = inf``: the best nodes of the rule, moved uphill).
    """

    p: float
    seminorm: float
    norm: float
    seminorm_error: float
    norm_error: float
    is_lower_bound: bool
    where: tuple[float, ...] | None
    method: SobolevMethod


def sobolev_error(network: Network | Approximant, target: Target, p: float = 2.0) -> SobolevError:
    """Distance of a network to a target in the norm of the Sobolev space ``W^{1,p}`` on the unit cube.

    Args:
        network: One output, ``network.dim == target.dim``, activations with derivatives; or a piecewise-linear
            ``Approximant``.
        target: What it shall approximate; it must have a gradient.
        p: Exponent, from 1 to ``math.inf``.

    Raises:
        ValueError: If the target has no gradient or the network no derivative, if dimensions differ, the network has
            several outputs, or ``p < 1``.
        TypeError: If an argument is of the wrong kind.

    Example:
        >>> import approxrates as ar
        >>> smooth = ar.Regularity(smoothness=math.inf, dim=1)
        >>> square = ar.Target.from_callable(lambda x: x[:, 0] ** 2, smooth, gradient=lambda x: 2 * x)
        >>> error = sobolev_error(ar.construct("interpolation", square, cells=8), square)
        >>> f"{error.seminorm:.9f}", f"{1 / 8 / math.sqrt(3):.9f}", error.method
        ('0.072168784', '0.072168784', 'pieces')

    Reference:
        Gühring, Kutyniok & Petersen (2020), arXiv:1902.07896, for rates of relu networks in these norms.
    """
    p = _checked(network, target, p)
    jets, mesh = _jets(network)
    gradient = target.gradient
    assert gradient is not None, "checked"

    def error(x: Array) -> tuple[Array, float]:
        """Differences of derivatives and values, ``(n, dim + 1)``, and how far rounding may take them."""
        ours, theirs = (np.column_stack([slopes, values]) for values, slopes in (jets(x), (target(x), gradient(x))))
        with np.errstate(all="ignore"):
            return np.abs(theirs - ours), _ROUNDING * float(np.abs(ours).max() + np.abs(theirs).max())

    rule, method = _rule(target, mesh)
    if math.isinf(p):
        return _largest(lambda x: error(x)[0], rule, mesh)
    sizes, rounding = error(rule.points)
    seminorm, norm = (rule.norm(_vector_norm(part, p), p, rounding) for part in (sizes[:, :-1], sizes))
    return SobolevError(p, seminorm[0], norm[0], seminorm[1], norm[1], False, None, method)


def _checked(network: Network | Approximant, target: Target, p: float) -> float:
    """The exponent, if all arguments fit together."""
    if not isinstance(target, Target):
        raise TypeError(f"target must be a Target. Got {type(target).__name__}. Write ar.load_target(...).")
    if not isinstance(network, (Network, Approximant)):
        raise TypeError(f"network must be a Network. Got {type(network).__name__}. Write ar.Network.from_torch(...).")
    if isinstance(p, bool) or not isinstance(p, (int, float)):
        raise TypeError(f"p must be a number. Got {p!r}. Write e.g. p=2, or p=math.inf.")
    if not p >= 1:
        raise ValueError(f"p must be at least 1. Got p={p}. Write e.g. p=2, or p=math.inf.")
    if network.dim != target.dim:
        raise ValueError(f"network must take dim={target.dim} inputs like the target. Got dim={network.dim}.")
    if isinstance(network, Network) and network.n_outputs != 1:
        raise ValueError(
            f"network must have one output. Got n_outputs={network.n_outputs}. Keep one row of its last layer."
        )
    if isinstance(network, Network) and not network.is_float:
        raise ValueError(
            "sobolev_error works in float64 and needs weights that float64 holds. "
            f"Got a network with weights of up to {network.max_bits} bits. Use approximation_error, which is exact."
        )
    if target.gradient is None:
        raise ValueError(
            f"sobolev_error needs a target with a gradient: r > 1 of the catalogue, or Target.from_callable(f, "
            f"regularity, gradient=df). Got {target.name} without one."
        )
    return float(p)


def _jets(network: Network | Approximant) -> tuple[Callable[[Array], tuple[Array, Array]], Array | None]:
    """Values and derivatives as a function of points, and the mesh between whose points the function is affine.

    Raises:
        ValueError: If there is no derivative.
    """
    if isinstance(network, Approximant):
        if network.linear_pieces is None:
            raise ValueError(
                f"sobolev_error needs derivatives: of a network, or of piecewise-linear functions in d = 1. Got "
                f"{network.name}, which has values only."
            )
        t, v = network.linear_pieces
        rates = np.diff(v) / np.diff(t)

        def straight(x: Array) -> tuple[Array, Array]:
            piece = np.clip(np.searchsorted(t, x[:, 0], side="right") - 1, 0, len(rates) - 1)
            return np.interp(x[:, 0], t, v), rates[piece][:, None]

        return straight, t
    for code in sorted(network.activations - {IDENTITY}):
        if activations.get(code).slope is None:
            raise ValueError(f"network must have units with derivatives. Got {code} units. Use continuous ones.")
    mesh = None
    if network.dim == 1 and network.is_piecewise_linear and network.is_finite:
        pieces = pieces_of(network)
        mesh = None if pieces is None else pieces.t
    return lambda x: values_and_gradients(network, x), mesh


def values_and_gradients(network: Network, x: Array) -> tuple[Array, Array]:
    """Values and first derivatives of a network with one output.

    Args:
        network: Its activations have derivatives; at a kink the derivative of either side is taken.
        x: Points, shape ``(n, dim)``.

    Returns:
        Values ``(n,)`` and derivatives ``(n, dim)``. Overflow gives infinities or NaN, never an exception.
    """
    values, slopes, layers = np.empty(len(x)), np.empty(x.shape), network.dense_layers
    step = max(16, _CHUNK // (network.dim * max(max(layer.n_in, layer.n_out) for layer in layers)))
    for start in range(0, len(x), step):
        h = np.ascontiguousarray(x[start : start + step].T)
        tangents = np.broadcast_to(np.eye(network.dim)[:, :, None], (network.dim, *h.shape))
        with np.errstate(all="ignore"):
            for layer in layers:
                z = affine(layer, h)
                tangents = np.matmul(layer.weight, tangents)
                for code, rows in unit_groups(layer.activations):
                    if code != IDENTITY:
                        tangents[:, rows] *= activations.get(code).derivative(z[rows])
                h = activate(layer, z)
        values[start : start + step], slopes[start : start + step] = h[0], tangents[:, 0].T
    return values, slopes


def _rule(target: Target, mesh: Array | None) -> tuple[Rule, SobolevMethod]:
    """Nodes for the smoothness of the target, and what they are called."""
    if target.regularity.smoothness < 2.0 or target.dim > 3:
        return sample_rule(target.dim), "samples"
    return (cell_rule(target.dim), "cells") if mesh is None else (piece_rule(mesh), "pieces")


def _vector_norm(rows: Array, p: float) -> Array:
    """The l^p norm of each row of non-negative numbers, without overflow or underflow; NaN counts as inf."""
    rows = np.where(np.isnan(rows), math.inf, rows)
    scale: Array = rows.max(axis=1)
    if math.isinf(p):
        return scale
    known = np.isfinite(scale) & (scale > 0.0)
    shares = np.divide(rows, scale[:, None], out=np.zeros_like(rows), where=known[:, None])
    result: Array = np.where(known, scale, 1.0) * (shares**p).sum(axis=1) ** (1.0 / p)
    return np.where(known, result, scale)


def _largest(error: Callable[[Array], Array], rule: Rule, mesh: Array | None) -> SobolevError:
    """The largest error and the largest derivative found: at nodes, moved uphill, and on both sides of every bend."""

    def largest(columns: slice) -> Callable[[Array], Array]:
        return lambda x: _vector_norm(error(x)[:, columns], math.inf)

    dim = rule.points.shape[1]
    radius = len(rule.points) ** (-1.0 / dim)
    points = np.concatenate([rule.points, _corners(dim)])
    if mesh is not None:
        # The nearest floats on both sides of a bend: a derivative is largest there if that of the target is monotone.
        both = np.concatenate([np.nextafter(mesh, 2.0), np.nextafter(mesh, -1.0)])
        points = np.concatenate([points, np.clip(both, 0.0, 1.0)[:, None]])
    (slope, where), (value, _) = (
        _climbed(largest(part), points, radius) for part in (slice(None, -1), slice(-1, None))
    )
    return SobolevError(math.inf, slope, max(slope, value), math.inf, math.inf, True, where, "search")


def _corners(dim: int) -> Array:
    """Corners of the cube, at most 1024 of them."""
    bits = min(dim, 10)
    corners: Array = ((np.arange(2**bits)[:, None] >> np.arange(dim).clip(max=62)) & 1).astype(np.float64)
    return corners


def _climbed(measure: Callable[[Array], Array], points: Array, radius: float) -> tuple[float, tuple[float, ...]]:
    """The largest value found by moving the best points to better neighbours, at half the distance each time."""
    values = measure(points)
    order = np.argsort(-values, kind="stable")[:_CLIMBERS]
    x, best = points[order], values[order]
    dim = points.shape[1]
    offsets = np.concatenate([np.eye(dim), -np.eye(dim)])
    for _ in range(_CLIMBS):
        around = np.clip(x[:, None] + radius * offsets, 0.0, 1.0)
        found = measure(around.reshape(-1, dim)).reshape(len(x), -1)
        pick = found.argmax(axis=1)[:, None]
        reached = np.take_along_axis(found, pick, axis=1)[:, 0]
        moved = np.take_along_axis(around, pick[..., None], axis=1)[:, 0]
        better = reached > best
        x, best = np.where(better[:, None], moved, x), np.where(better, reached, best)
        radius *= 0.5
    k = int(best.argmax())
    return float(best[k]), tuple(map(float, x[k]))
