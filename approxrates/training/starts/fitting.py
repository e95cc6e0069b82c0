"""Coefficients of the features of a constructive start, and the parameters of the network that sums them up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from approxrates import activations
from approxrates.training.starts.base import F64
from approxrates.training.starts.channels import Channels, Features

_HEADROOM = 1.25
_ROUNDS = 4
_RIDGES = 10.0 ** np.arange(-14.0, -1.5)
_FAITHFUL = 1.1
_ALLOWED = 1.05
"""The error may grow by this factor for smaller coefficients: large ones that cancel leave nothing to be trained."""


def penalised(columns: F64, base: F64, y: F64, ridge: float | None = None) -> tuple[F64, float]:
    """Coefficients ``(n,)`` of columns beside a base that is fitted freely, and the penalty on their squares.

    Minimises ``mean((base b + columns c - y)^2) + ridge sum (c_j |column_j|)^2``, ``|.|`` the root mean square.

    Args:
        columns: Shape ``(M, n)``.
        base: Shape ``(M, b)``.
        y: Shape ``(M,)``.
        ridge: The penalty; if None, the largest power of ten that costs little.
    """
    from scipy.linalg import qr, svd

    m = len(y)
    q = qr(base, mode="economic", check_finite=False)[0]
    columns, y = columns - q @ (q.T @ columns), y - q @ (q.T @ y)
    scale = np.sqrt(np.mean(columns**2, axis=0))
    scale = np.where(scale > 1e-9 * float(scale.max(initial=0.0)), scale, np.inf)
    u, r = qr(columns / (scale * np.sqrt(m)), mode="economic", check_finite=False)
    left, sigma, right = svd(r, full_matrices=False, check_finite=False)
    part = left.T @ (u.T @ y) / np.sqrt(m)
    outside = max(0.0, float(y @ y) / m - float(part @ part))
    if ridge is None:
        errors = [outside + float(np.sum((part * k / (sigma**2 + k)) ** 2)) for k in _RIDGES]
        ridge = float(_RIDGES[max(i for i, e in enumerate(errors) if e <= _ALLOWED**2 * errors[0])])
    found: F64 = right.T @ (part * sigma / (sigma**2 + ridge)) / scale
    return found, ridge


def plain(columns: F64, y: F64) -> F64:
    """Coefficients ``(n,)`` with the least sum of squared errors, of least norm if there are several."""
    from scipy.linalg import lstsq

    scale = np.sqrt(np.mean(columns**2, axis=0))
    found: F64 = lstsq(columns / scale, y, lapack_driver="gelsy", check_finite=False)[0] / scale
    return found


@dataclass
class Sum:
    """The running sum of a network as it is computed, on given points.

    Attributes:
        channels: The plan.
        values: Features on the points, ``(M, n)``.
        bases: One and the carriers of ``x`` behind each layer, ``depth`` arrays ``(M, b)``.
        coefficients: Of the features, ``(n,)``.
        trends: What is taken off the sum before each layer to keep it small, ``(depth, b)``; zero for the first.
        half: The carriers see the sum divided by this.
        last: Coefficients of the base in the output layer, ``(b,)``.
    """

    channels: Channels
    values: F64
    bases: list[F64]
    coefficients: F64
    trends: F64
    half: float
    last: F64

    def run(self) -> tuple[F64, F64]:
        """Outputs ``(M,)`` without ``last``, and their derivatives ``(M, n)`` by the coefficients."""
        carry, depth = self.channels.carry, self.channels.arch.depth
        act = activations.get(self.channels.codes[int(self.channels.sum_units[0])])
        total = np.zeros(len(self.values))
        slopes = []
        for layer in range(depth):
            z = total[:, None] / self.half * carry.slopes + carry.offsets
            total = self.half * (act(z) @ carry.readout + carry.constant)
            slopes.append(act.derivative(z) @ (carry.readout * carry.slopes))
            total += self.values[:, self.channels.layer_of(layer)] @ self.coefficients[self.channels.layer_of(layer)]
            if layer + 1 < depth:
                total += self.bases[layer] @ self.trends[layer + 1]
        jacobian, factor = self.values.copy(), np.ones(len(self.values))
        for layer in reversed(range(depth)):
            jacobian[:, self.channels.layer_of(layer)] *= factor[:, None]
            factor = factor * slopes[layer]
        return total, jacobian


@dataclass(frozen=True)
class Fitted:
    """A network, and how well it does on the points it was fitted on.

    Attributes:
        theta: Plain parameters ``(P,)``.
        error: Root mean square error of the network.
        promised: The same of the sum of features, were it handed on exactly.
    """

    theta: F64
    error: float
    promised: float

    @property
    def faithful(self) -> bool:
        """Whether the network keeps what its features promise."""
        return self.error <= _FAITHFUL * self.promised + 1e-12


def fit(channels: Channels, features: Features, coefficients: F64 | None, points: F64, y: F64) -> Fitted:
    """The network with these features.

    Args:
        channels: The plan.
        features: Its features.
        coefficients: Of the features; by least squares if None.
        points: Where the sum is fitted, ``(M, dim)``.
        y: Target values there.
    """
    values, bases = channels.values(features, points), channels.bases(points)
    ridge = 0.0
    if coefficients is None:
        coefficients, ridge = penalised(values, bases[-1], y)
    rest = y - values @ coefficients
    promised = _size(rest - bases[-1] @ plain(bases[-1], rest))
    running = _prepared(channels, values, bases, coefficients)
    for _ in range(0 if channels.carry.exact else _ROUNDS):
        outputs, jacobian = running.run()
        running.coefficients, _ = penalised(jacobian, bases[-1], y - outputs + jacobian @ running.coefficients, ridge)
    running.last = plain(bases[-1], y - running.run()[0])
    error = _size(y - running.run()[0] - bases[-1] @ running.last)
    return Fitted(assemble(running, features), error, promised)


def _size(residual: F64) -> float:
    """Root mean square; infinite for numbers that are not."""
    size = float(np.sqrt(np.mean(residual**2)))
    return size if np.isfinite(size) else np.inf


def _prepared(channels: Channels, values: F64, bases: list[F64], coefficients: F64) -> Sum:
    """Trends and scale that keep the running sum small, as they would be for exact carriers."""
    depth = channels.arch.depth
    trends = np.zeros((depth, bases[0].shape[1]))
    total, half = np.zeros(len(values)), 1e-3
    for layer in range(depth - 1):
        part = channels.layer_of(layer)
        total = total + values[:, part] @ coefficients[part]
        trends[layer + 1] = -plain(bases[layer], total)
        total = total + bases[layer] @ trends[layer + 1]
        half = max(half, _HEADROOM * float(np.abs(total).max()))
    return Sum(channels, values, bases, coefficients, trends, half, np.zeros(bases[0].shape[1]))


def assemble(running: Sum, features: Features) -> F64:
    """Plain parameters of the network."""
    channels, carry = running.channels, running.channels.carry
    arch, sums, units = channels.arch, running.channels.sum_units, running.channels.feature_units
    maps = []
    for layer in range(arch.depth + 1):
        n_out, n_in = arch.shapes[layer]
        weight, bias = np.zeros((n_out, n_in)), np.zeros(n_out)
        if layer < arch.depth:
            _feature_rows(channels, features, layer, weight, bias)
            bias[sums] = carry.offsets
        out, slopes = (sums, carry.slopes / running.half) if layer < arch.depth else (np.array([0]), np.ones(1))
        if layer:
            weight[np.ix_(out, sums)] = np.outer(slopes, running.half * carry.readout)
            weight[np.ix_(out, units)] = np.outer(slopes, running.coefficients[channels.layer_of(layer - 1)])
            trend = running.trends[layer] if layer < arch.depth else running.last
            weight[np.ix_(out, channels.sources)] = np.outer(slopes, trend[1:])
            bias[out] += slopes * (running.half * carry.constant + trend[0])
        maps.append((weight, bias))
    return np.concatenate([part for w, v in maps for part in (w.ravel(), v)])


def _feature_rows(channels: Channels, features: Features, layer: int, weight: F64, bias: F64) -> None:
    """Rows of the carriers of ``x`` and of the features of a hidden layer."""
    carry, dim, part = channels.carry, channels.arch.dim, channels.layer_of(layer)
    # ``x = 1/2 + t/2`` with ``t = constant + readout . units``.
    read = np.zeros((dim, weight.shape[1]))
    start = np.zeros(dim)
    if layer == 0 or not channels.x_units.size:
        read[:, slice(weight.shape[1] - dim, None) if layer else slice(0, dim)] = np.eye(dim)
    else:
        for i, units in enumerate(channels.x_units):
            read[i, units] = 0.5 * carry.readout
        start += 0.5 + 0.5 * carry.constant
    weight[channels.feature_units] = features.weights[part] @ read
    bias[channels.feature_units] = features.offsets[part] + features.weights[part] @ start
    for i, units in enumerate(channels.x_units):
        weight[units] = np.outer(carry.slopes, 2.0 * read[i])
        bias[units] = carry.offsets + carry.slopes * (2.0 * start[i] - 1.0)
