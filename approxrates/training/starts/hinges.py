"""The linear spline interpolant as a deep network of fixed width."""

from __future__ import annotations

import numpy as np

from approxrates import activations
from approxrates.activations import Activation
from approxrates.seeds import seed_for
from approxrates.training.starts.base import F64, Architecture, Standardised

_KNOT_JITTER = 0.5


def hinge_slopes(activation: Activation) -> tuple[float, float] | None:
    """Slopes left and right of zero if the activation is a hinge there and leaves positive numbers alone, else None."""
    if (
        activation.parts
        or activation.period
        or activation.degree != 1
        or activation.breakpoints != (0.0,)
        or not activation.trainable
    ):
        return None
    left, right = (float(activation(np.array([t]))[0] / t) for t in (-1.0, 1.0))
    return (left, right) if right == 1.0 and left != 1.0 else None


def constructive_start(arch: Architecture, target: Standardised, replica: int, seed: int) -> tuple[F64, int]:
    """The linear spline interpolant on ``depth (width - 2)`` inner knots, as a deep network of fixed width.

    Each hidden layer holds ``x``, a running sum kept positive, and ``width - 2`` hinges, one for each knot; the next
    layer adds the hinges to the sum. Knots are even for replica 0, moved at random by up to a quarter of their
    distance for the others.

    Raises:
        ValueError: If the architecture has no such start, naming those that have.
    """
    _check_constructive(arch)
    slopes = hinge_slopes(activations.get(arch.activation))
    assert slopes is not None
    n_hinges, n_knots = arch.width - 2, arch.depth * (arch.width - 2)
    knots = np.arange(1, n_knots + 1) / (n_knots + 1)
    if replica:
        rng = np.random.default_rng(seed_for("knots", architecture=arch.to_spec(), replica=replica, seed=seed))
        knots = knots + (rng.random(n_knots) - 0.5) * (_KNOT_JITTER / (n_knots + 1))
    ends = np.concatenate([[0.0], knots, [1.0]])
    heights = target(ends[:, None])
    slope = np.diff(heights) / np.diff(ends)
    bends = np.diff(slope)
    return _assemble(arch, slopes[0], knots.reshape(-1, n_hinges), bends.reshape(-1, n_hinges), heights[0], slope[0]), 1


def _assemble(arch: Architecture, left: float, knots: F64, bends: F64, value: float, slope: float) -> F64:
    """Plain parameters of ``value + slope x + sum bends (x - knots)_+``; knots and bends ``(depth, width - 2)``.

    The activation is ``left u + (1 - left) u_+``, so ``u_+ = (activation(u) - left u) / (1 - left)``, and ``u = x -
    knot`` is known from the x channel.
    """
    at = np.concatenate([[0.0], knots.ravel(), [1.0]])
    added = [np.maximum(at[:, None] - k, 0.0) @ b for k, b in zip(knots, bends, strict=True)]
    # The running sum is shifted so that it stays positive at every depth; being piecewise linear it is lowest at a
    # knot.
    shift = 1.05 * max(0.0, -float(np.cumsum(added, axis=0).min())) + 0.1
    gain, back = bends / (1.0 - left), -left * bends / (1.0 - left)
    matrices, biases = [], []
    for layer in range(arch.depth):
        weight, bias = np.zeros((arch.width, 1 if layer == 0 else arch.width)), np.zeros(arch.width)
        weight[0, 0] = 1.0
        weight[2:, 0], bias[2:] = 1.0, -knots[layer]
        if layer == 0:
            bias[1] = shift
        else:
            weight[1, 0], weight[1, 1], weight[1, 2:] = back[layer - 1].sum(), 1.0, gain[layer - 1]
            bias[1] = -float(back[layer - 1] @ knots[layer - 1])
        matrices.append(weight)
        biases.append(bias)
    weight = np.zeros((1, arch.width))
    weight[0, 0], weight[0, 1], weight[0, 2:] = slope + back[-1].sum(), 1.0, gain[-1]
    bias = np.array([value - shift - float(back[-1] @ knots[-1])])
    return np.concatenate(
        [part for w, b in zip([*matrices, weight], [*biases, bias], strict=True) for part in (w.ravel(), b)]
    )


def _check_constructive(arch: Architecture) -> None:
    """Refuse architectures without a constructive start, naming those that have one."""
    known = [name for name in activations.names() if hinge_slopes(activations.get(name)) is not None]
    if (
        arch.dim != 1
        or arch.width < 3
        or not arch.bias
        or arch.n_outputs != 1
        or hinge_slopes(activations.get(arch.activation)) is None
    ):
        raise ValueError(
            f"start='constructive' needs dim=1, width >= 3, bias=True, n_outputs=1 and an activation among "
            f"{', '.join(known)}. "
            f"Got dim={arch.dim}, width={arch.width}, bias={arch.bias}, n_outputs={arch.n_outputs}, "
            f"activation={arch.activation!r}. Use start='random'."
        )
