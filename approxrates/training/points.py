"""The points a target is sampled on: sets that are swapped, and the full set on which networks are compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from approxrates import sampling
from approxrates.architecture import FixedDepth, FixedWidth
from approxrates.objectives import Objective
from approxrates.seeds import seed_for
from approxrates.target import Target
from approxrates.training.ensemble import padded

F64 = NDArray[np.float64]
Architecture = FixedWidth | FixedDepth

SMOOTH_FROM = 3.0
"""Targets of at least this smoothness can do with a fixed sampling set, and gain by second-order stages."""

_JITTERED_SETS = 32
_MOST_POINTS = {1: 8192, 2: 2048, 3: 2048}


def is_smooth(target: Target) -> bool:
    """Whether the target counts as smooth for the choice of points and plan."""
    return target.regularity.smoothness >= SMOOTH_FROM


def default_n_points(arch: Architecture, target: Target) -> int:
    """Number of sampling points for fits of this shape.

    In one dimension six points for each hidden unit (a unit is a knot) where jittered sets make up for the gaps, and
    for fixed sets at least as many as parameters. In more dimensions as many as parameters, twice as many for smooth
    targets. At least 64, and capped.
    """
    units = arch.width * arch.depth
    if arch.dim == 1:
        wanted = max(8 * units, arch.n_params) if is_smooth(target) else 6 * units
    else:
        wanted = max(256, (2 if is_smooth(target) else 1) * arch.n_params)
    return min(max(64, padded(wanted)), _MOST_POINTS.get(arch.dim, 4096))


def n_samples(arch: Architecture, target: Target, n_points: int | None = None) -> int:
    """Number of points in each sampling set that a fit of this shape uses; data targets have the points they have."""
    if target.samples is not None:
        return len(target.samples[0])
    return default_n_points(arch, target) if n_points is None else n_points


@dataclass(frozen=True)
class Sampling:
    """Points and standardised target values for the training of one target.

    Attributes:
        points: ``(S, dim, M)``, M padded to a multiple of 32; the last set is the full, fixed one.
        values: ``(S, k, M)``, ``(value - mean) / scale``.
        weights: ``(S, 1, M)``, one over the number of points, zero for padding.
        mean: Subtracted from the target's values.
        scale: Divided by.
    """

    points: F64
    values: F64
    weights: F64
    mean: float
    scale: float


def sample(arch: Architecture, target: Target, objective: Objective, n_points: int | None) -> Sampling:
    """Sampling sets of a target. They depend on the target and the number of points alone.

    Raises:
        ValueError: If ``n_points`` is too small or contradicts given data, or values are not finite or not of the
            right kind.
    """
    if target.samples is not None:
        points, values = target.samples
        if n_points is not None and n_points != len(points):
            raise ValueError(
                f"n_points must be left out for data. Got n_points={n_points} for {len(points)} data points."
            )
        sets = [points]
        known = [np.asarray(values, dtype=np.float64)]
    else:
        sets = point_sets(target, n_samples(arch, target, n_points))
        known = [np.asarray(target(points), dtype=np.float64) for points in sets]
    known = [v.reshape(len(v), -1) for v in known]
    for v in known:
        if not np.all(np.isfinite(v)):
            raise ValueError(f"{target.name} must have finite values. Got NaN or infinity at a sampling point.")
        objective.check_targets(v, arch.n_outputs)
    mean, scale = _standardisation(known[-1], objective, arch.bias)
    return _stack(sets, [(v - mean) / scale for v in known], mean, scale)


def point_sets(target: Target, n_points: int) -> list[F64]:
    """Point sets ``(n, dim)``: jittered ones and, last, the fixed one; only this for smooth targets on the interval."""
    least = 2**target.dim + 1
    if n_points < least:
        raise ValueError(
            f"n_points must be at least {least} for dim={target.dim}. Got n_points={n_points}. Use e.g. n_points=256."
        )
    if target.dim == 1 and is_smooth(target):
        return [sampling.chebyshev(n_points)]
    seeds = [seed_for("sampling", target=target.key, set=i) for i in range(_JITTERED_SETS + 1)]
    jittered = [sampling.stratified_jitter(n_points, target.dim, seed=seed) for seed in seeds[1:]]
    if target.dim == 1:
        return [*jittered, sampling.even_badic(n_points, base=target.base)]
    return [*jittered, sampling.sobol(n_points, target.dim, seed=seeds[0])]


def _standardisation(values: F64, objective: Objective, bias: bool) -> tuple[float, float]:
    """Mean and scale that bring the target to mean zero and variance one; without a bias only the scale."""
    if objective.degree is None:
        return 0.0, 1.0
    mean = float(values.mean()) if bias else 0.0
    scale = float(np.sqrt(np.mean((values - mean) ** 2)))
    # A constant target has no scale, or one made of rounding errors.
    return mean, scale if scale > 1e-12 * max(1.0, abs(mean)) else 1.0


def _stack(sets: list[F64], values: list[F64], mean: float, scale: float) -> Sampling:
    """Sets padded to one length by repeating their first point with weight zero, points last."""
    length = padded(max(len(s) for s in sets))
    points = np.stack([np.concatenate([s, np.repeat(s[:1], length - len(s), axis=0)]).T for s in sets])
    padded_values = np.stack([np.concatenate([v, np.repeat(v[:1], length - len(v), axis=0)]).T for v in values])
    weights = np.stack([np.where(np.arange(length) < len(s), 1.0 / len(s), 0.0)[None] for s in sets])
    return Sampling(np.ascontiguousarray(points), np.ascontiguousarray(padded_values), weights, mean, scale)
