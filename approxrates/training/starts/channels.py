"""The plan of a constructive start: which units carry the input and the running sum, and which compute features.

Every hidden layer hands on ``x`` and a running sum; the other units are features ``s(a . x - b)`` of what it received
as ``x``, and the next layer adds them to the sum. A network of depth L and width W is so a sum of ``L (W - carriers)``
features, with coefficients that may be anything. With input injection ``x`` is there in every layer and needs no unit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from approxrates import activations
from approxrates.activations import Activation
from approxrates.training.starts.base import F64, Architecture
from approxrates.training.starts.carry import BENDS, Carry, carry_of


@dataclass(frozen=True)
class Features:
    """Units ``s(weights . x + offsets)`` in the order of layers and, within them, of ``Channels.feature_units``.

    Attributes:
        weights: On the input, shape ``(n, dim)``.
        offsets: Shape ``(n,)``.
    """

    weights: F64
    offsets: F64


class Channels:
    """Which units of an architecture carry what.

    Args:
        arch: The architecture.
        bend: Relative cubic error of carriers that are not exact.

    Raises:
        ValueError: If it has no constructive start, saying what would have.
    """

    def __init__(self, arch: Architecture, bend: float = BENDS[0]) -> None:
        _check_kind(arch)
        self.arch = arch
        self.activation = activations.get(arch.activation)
        self.codes = self.activation.units(arch.width)
        code, self.carry = _carrier(arch, self.activation, bend)
        able = [i for i, name in enumerate(self.codes) if name == code]
        m, carried = self.carry.n_units, arch.dim * (not arch.injection)
        self.x_units = np.array(able[: m * carried], dtype=np.intp).reshape(carried, m)
        self.sum_units = np.array(able[m * carried : m * (carried + 1)], dtype=np.intp)
        taken = {*self.x_units.ravel().tolist(), *self.sum_units.tolist()}
        self.feature_units = np.array([i for i in range(arch.width) if i not in taken], dtype=np.intp)

    @property
    def per_layer(self) -> int:
        """Features in a layer."""
        return len(self.feature_units)

    @property
    def n_features(self) -> int:
        """Features of the network."""
        return self.arch.depth * self.per_layer

    @property
    def feature_codes(self) -> list[str]:
        """The activation of each feature, layer after layer."""
        return [self.codes[i] for i in self.feature_units] * self.arch.depth

    def layer_of(self, layer: int) -> slice:
        """The features of a layer."""
        return slice(layer * self.per_layer, (layer + 1) * self.per_layer)

    def carriers(self, points: F64) -> list[F64]:
        """Values of the units that carry ``x`` behind each hidden layer, ``depth`` arrays ``(M, dim * m)``."""
        values, t = [], 2.0 * points - 1.0
        carry, act = self.carry, activations.get(self.codes[int(self.sum_units[0])])
        for _ in range(self.arch.depth if self.x_units.size else 0):
            h = act(t[:, :, None] * carry.slopes + carry.offsets)
            values.append(h.reshape(len(points), -1))
            t = h @ carry.readout + carry.constant
        return values or [points] * self.arch.depth

    def received(self, points: F64) -> list[F64]:
        """What each hidden layer receives as ``x``: the points themselves, or nearly, ``depth`` arrays ``(M, dim)``."""
        if not self.x_units.size:
            return [points] * self.arch.depth
        m, dim = self.carry.n_units, self.arch.dim
        read = [h.reshape(len(points), dim, m) @ self.carry.readout for h in self.carriers(points)[:-1]]
        return [points, *(0.5 * (t + self.carry.constant) + 0.5 for t in read)]

    def values(self, features: Features, points: F64) -> F64:
        """Features as the network computes them, ``(M, n)``."""
        found = np.empty((len(points), self.n_features))
        codes = np.array([self.codes[i] for i in self.feature_units])
        for layer, x in enumerate(self.received(points)):
            part = self.layer_of(layer)
            z = x @ features.weights[part].T + features.offsets[part]
            for code in dict.fromkeys(codes):
                z[:, codes == code] = activations.get(code)(z[:, codes == code])
            found[:, part] = z
        return found

    def bases(self, points: F64) -> list[F64]:
        """One, and the carriers of ``x`` behind each layer, ``depth`` arrays ``(M, 1 + dim * m)``."""
        one = np.ones((len(points), 1))
        return [np.concatenate([one, values], axis=1) for values in self.carriers(points)]

    @property
    def sources(self) -> NDArray[np.intp]:
        """Columns of the layers after the first where the carriers of ``x`` stand, or ``x`` itself."""
        return self.x_units.ravel() if self.x_units.size else self.arch.width + np.arange(self.arch.dim)


def _carrier(arch: Architecture, activation: Activation, bend: float) -> tuple[str, Carry]:
    """The kind of unit that carries numbers, and how: of a mixed layer the exact one, or the one there is room for."""
    found = [(part.name, carry_of(part, bend)) for part in activation.parts or (activation,)]
    able = sorted([(c, code) for code, c in found if c is not None], key=lambda p: (not p[0].exact, p[0].n_units))
    if not able:
        raise ValueError(
            f"start='constructive' needs an activation that can hand on a number: piecewise polynomial of degree 1 to "
            f"3, or smooth and steepest at some point. Got activation={arch.activation!r}. Use start='random'."
        )
    numbers = 1 + arch.dim * (not arch.injection)
    least = [_least_width(activation, code, carry.n_units * numbers) for carry, code in able]
    for width, (carry, code) in zip(least, able, strict=True):
        if width <= arch.width:
            return code, carry
    carry, code = able[least.index(min(least))]
    m = carry.n_units
    raise ValueError(
        f"start='constructive' needs width >= {min(least)} for {arch.activation} in dim={arch.dim}: {m} {code} "
        f"{'units carry' if m > 1 else 'unit carries'} each of {numbers} numbers, and a unit is left for features. "
        f"Got width={arch.width}. Use width={min(least)} or more, or start='random'."
    )


def _least_width(activation: Activation, code: str, needed: int) -> int:
    """The least width with so many units of a kind, and one more of any."""
    width = needed + 1
    while activation.units(width).count(code) < needed:
        width += 1
    return width


def _check_kind(arch: Architecture) -> None:
    """Refuse what no constructive start is known for, whatever the activation."""
    if arch.residual or not arch.bias or arch.n_outputs != 1:
        raise ValueError(
            f"start='constructive' needs bias=True, n_outputs=1 and residual=False. "
            f"Got bias={arch.bias}, n_outputs={arch.n_outputs}, residual={arch.residual}. Use start='random'."
        )
