"""Dictionaries of ridge functions ``s(a . x - b)``, from which the features of a start are chosen.

Directions and places fill sphere and cube evenly: a Kronecker sequence for replica 0, random numbers for the others.
Activations that are powers on both sides of zero come in one steepness, as another one changes nothing; all others in
many, from the whole cube to a fraction of the distance between units.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from approxrates import activations
from approxrates.activations import Activation, Family
from approxrates.training.points import SMOOTH_FROM
from approxrates.training.starts.base import F64
from approxrates.training.starts.fourier import waves


@dataclass(frozen=True)
class Dictionary:
    """Candidates for features.

    Attributes:
        codes: Kinds of units.
        kinds: Kind of each candidate, as a place in ``codes``, ``(D,)``.
        weights: Shape ``(D, dim)``.
        offsets: Shape ``(D,)``.
    """

    codes: list[str]
    kinds: NDArray[np.intp]
    weights: F64
    offsets: F64

    def values(self, points: F64) -> F64:
        """Values at points ``(M, dim)``, ``(M, D)``."""
        z: F64 = points @ self.weights.T + self.offsets
        for i, code in enumerate(self.codes):
            z[:, self.kinds == i] = activations.get(code)(z[:, self.kinds == i])
        return z


def dictionary(
    feature_codes: list[str], dim: int, surplus: float, smoothness: float, rng: np.random.Generator | None
) -> Dictionary:
    """Candidates for every kind of unit.

    Args:
        feature_codes: The activation of each feature that is wanted.
        dim: Dimension of the input.
        surplus: Candidates for each feature wanted.
        smoothness: Of the target.
        rng: Random numbers; even sequences if None.
    """
    codes, kinds, weights, offsets = list(dict.fromkeys(feature_codes)), [], [], []
    for i, code in enumerate(codes):
        count = int(surplus * feature_codes.count(code)) + 2
        activation = activations.get(code)
        if activation.family is Family.PERIODIC and activation.period:
            found = waves(activation.period, dim, count, rng)
        else:
            found = _ridges(activation, dim, count, _steepest(len(feature_codes), dim, smoothness), rng)
        kinds.append(np.full(len(found[1]), i))
        weights.append(found[0])
        offsets.append(found[1])
    return Dictionary(codes, np.concatenate(kinds), np.concatenate(weights), np.concatenate(offsets))


def _steepest(n: int, dim: int, smoothness: float) -> float:
    """The steepest candidates: what ``n`` features that share the cube can resolve, less for smoother targets.

    The factors were chosen by the errors of the starts for tanh and gelu at r = 0.5, 1.5, 2.5 and an analytic target.
    """
    factor = (4.0 if smoothness <= 1.0 else 2.0 if smoothness < SMOOTH_FROM else 1.0) * min(dim, 2)
    steepest: float = max(2.0, factor * n ** (1.0 / dim))
    return steepest


def is_homogeneous(activation: Activation) -> bool:
    """Whether the activation is a multiple of one power on either side of zero."""
    if activation.pieces is None or activation.period or activation.breakpoints != (0.0,):
        return False
    return all(not any(row[: activation.degree]) for row in activation.pieces)


def _ridges(
    activation: Activation, dim: int, count: int, steepest: float, rng: np.random.Generator | None
) -> tuple[F64, F64]:
    """Weights ``(count, dim)`` and offsets ``(count,)`` of units that are zero somewhere in the cube."""
    u = kronecker(count, 2 * dim + 1) if rng is None else rng.random((count, 2 * dim + 1))
    steepness = np.ones(count) if is_homogeneous(activation) else steepest ** u[:, -1]
    weights = steepness[:, None] * _directions(u[:, :dim])
    return weights, -np.einsum("ij,ij->i", weights, u[:, dim:-1])


def _directions(u: F64) -> F64:
    """Directions ``(n, dim)`` spread like the points ``u`` of the cube."""
    if u.shape[1] == 1:
        return np.where(u < 0.5, 1.0, -1.0)
    from scipy.special import ndtri

    normal = ndtri(np.clip(u, 1e-9, 1 - 1e-9))
    directions: F64 = normal / np.linalg.norm(normal, axis=1, keepdims=True)
    return directions


def kronecker(n: int, dim: int) -> F64:
    """Evenly spread points of the cube, shape ``(n, dim)``, of which any first ones are evenly spread too.

    Reference:
        Roberts (2018), "The unreasonable effectiveness of quasirandom sequences": the steps are powers of the root of
        ``g^(dim+1) = g + 1``.
    """
    root = 2.0
    for _ in range(60):
        root = (1.0 + root) ** (1.0 / (dim + 1))
    points: F64 = (0.5 + root ** -np.arange(1.0, dim + 1.0) * np.arange(1, n + 1)[:, None]) % 1.0
    return points
