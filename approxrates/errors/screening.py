"""Errors at many points, of which few matter: in single precision where that is far below them, else in double.

A grid in two dimensions has 66,049 points, and a norm by samples 16,384. Single precision takes a fifth of the time
(tanh, sin) to a half (relu). Some points are computed in both precisions, the one of the largest error among them;
unless all agree to 1e-4 of it, everything is computed in double precision. What is reported as found at a point is
always computed again in double precision.
"""

from __future__ import annotations

import numpy as np

from approxrates import activations
from approxrates.approximant import Approximant
from approxrates.errors.base import Array, values_of
from approxrates.layers import IDENTITY, Layer, unit_groups
from approxrates.network import Network
from approxrates.target import Target

_AGREED = 1e-4
"""Share of the largest error that single precision may be off by."""
_PROBES = 256
_FEW = 2048
"""Points below which nothing is gained."""
_CHUNK = 1 << 17
"""Scalars of the widest block of hidden values, half a megabyte."""
_MOST_KEPT, _RECALLED = 16, 16
_kept: dict[tuple[str, str], Array] = {}


def known_values(target: Target, x: Array, name: str) -> Array:
    """Values of a target at points that serve many networks; those of the last few targets are kept.

    Only of targets whose parameters say all about them, and that still have the values kept at some of the points: two
    functions may bear one name.

    Args:
        target: What is asked.
        x: Points, shape ``(n, dim)``.
        name: Of the points: other points, another name.
    """
    key = (target.key, name)
    probes = slice(None, None, max(1, len(x) // _RECALLED))
    if key in _kept and np.array_equal(_kept[key][probes], target(x[probes])):
        return _kept[key]
    values: Array = target(x)
    if target.evaluation_error is not None and target.samples is None:
        values.flags.writeable = False
        _kept[key] = values
        while len(_kept) > _MOST_KEPT:
            _kept.pop(next(iter(_kept)))
    return values


def errors_at(function: Network | Approximant, x: Array, values: Array) -> Array:
    """``|values - function(x)|`` at points ``(n, dim)``, good to 1e-4 of the largest; infinite where not a number.

    Args:
        function: One output.
        x: Points, shape ``(n, dim)``.
        values: Of the target there, shape ``(n,)``.
    """
    if isinstance(function, Network) and function.is_float and len(x) >= _FEW:
        error = np.abs(values - _single(function.dense_layers, x))
        probes = np.append(np.arange(0, len(x), len(x) // _PROBES), error.argmax())
        known = exact_errors_at(function, x[probes], values[probes])
        if np.abs(error[probes] - known).max() <= _AGREED * known.max():  # never, if one is not a number
            return error
    return exact_errors_at(function, x, values)


def exact_errors_at(function: Network | Approximant, x: Array, values: Array) -> Array:
    """The same in double precision."""
    error = np.abs(values - values_of(function, x))
    result: Array = np.where(np.isnan(error), np.inf, error)
    return result


def _single(layers: tuple[Layer, ...], x: Array) -> Array:
    """Outputs computed in single precision, shape ``(n,)``."""
    rounded = [
        (layer.weight.astype(np.float32), None if layer.bias is None else layer.bias.astype(np.float32)[:, None])
        for layer in layers
    ]
    step = max(64, _CHUNK // max(max(layer.n_in, layer.n_out) for layer in layers))
    out = np.empty(len(x))
    with np.errstate(all="ignore"):
        for start in range(0, len(x), step):
            h = np.ascontiguousarray(x[start : start + step].T, dtype=np.float32)
            for layer, (weight, bias) in zip(layers, rounded, strict=True):
                h = weight @ h
                if bias is not None:
                    h += bias
                for code, rows in unit_groups(layer.activations):
                    if code != IDENTITY:
                        h[rows] = activations.get(code)(h[rows])
            out[start : start + step] = h[0]
    return out
