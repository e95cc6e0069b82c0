"""The constructive start: a good approximation, written as a network of the architecture."""

from __future__ import annotations

import numpy as np

from approxrates import sampling
from approxrates.seeds import seed_for
from approxrates.target import Target
from approxrates.training.starts.base import F64, Architecture, Standardised
from approxrates.training.starts.carry import BENDS
from approxrates.training.starts.channels import Channels
from approxrates.training.starts.fitting import Fitted, fit
from approxrates.training.starts.greedy import choose
from approxrates.training.starts.hinges import ends_of, interpolant, is_hinge
from approxrates.training.starts.splines import spline_features

_POINTS_PER_FEATURE = 6
_LEAST_POINTS = {1: 128, 2: 1024}
_LEAST_POINTS_BEYOND = 2048


def constructive_start(arch: Architecture, target: Standardised, replica: int, seed: int) -> tuple[F64, int]:
    """A network that equals an approximation of the target by a sum of features, laid out in depth.

    Each hidden layer hands on the input and a running sum, and adds the features of the layer before. In one dimension
    the sum is the linear spline interpolant (relu, leaky_relu, abs, hard_tanh) or the spline of the activation's degree
    with least squares (relu2, relu3, xabsx, B-splines); else one of waves or ridge functions that are chosen greedily.
    Replica 0 has even knots or dictionaries, the others random ones.

    Raises:
        ValueError: If the architecture has no such start, saying what is missing.
    """
    found: list[Fitted] = []
    for bend in BENDS:
        rng = None
        if replica:
            rng = np.random.default_rng(seed_for("knots", architecture=arch.to_spec(), replica=replica, seed=seed))
        found.append(build(Channels(arch, bend), target, rng))
        if found[-1].faithful:
            return found[-1].theta, 1
    return min(found, key=lambda one: one.error).theta, 1


def build(channels: Channels, target: Standardised, rng: np.random.Generator | None) -> Fitted:
    """The network on these channels; with random numbers if ``rng`` is given."""
    arch, activation = channels.arch, channels.activation
    points = fitting_points(channels, target)
    y = target(points)
    if arch.dim == 1 and is_hinge(activation):
        ends = ends_of(activation, channels.n_features, rng)
        if target.target.samples is None:
            heights = target(ends[:, None])
            features, coefficients = interpolant(activation, ends, heights)
            return fit(channels, features, coefficients, points, np.interp(points[:, 0], ends, heights))
        return fit(channels, interpolant(activation, ends, np.zeros_like(ends))[0], None, points, y)
    spline = spline_features(activation, channels.n_features, rng, straight=arch.injection) if arch.dim == 1 else None
    assert isinstance(target.target, Target), "refused at the front door"
    chosen = spline or choose(channels, points, y, target.target.regularity.smoothness, rng)
    return fit(channels, chosen, None, points, y)


def fitting_points(channels: Channels, target: Standardised) -> F64:
    """Where coefficients are fitted, ``(M, dim)``: jittered points by target and number of features, or the data."""
    if target.target.samples is not None:
        return target.target.samples[0]
    dim = channels.arch.dim
    n = _POINTS_PER_FEATURE * channels.n_features + _LEAST_POINTS.get(dim, _LEAST_POINTS_BEYOND)
    return sampling.stratified_jitter(n, dim, seed=seed_for("start", target=target.target.key))
