"""The points a target is sampled on: sets that are swapped, and the full set on which networks are compared.

docs/sampling.md says how many points there are, and what was measured.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates import sampling
from approxrates.architecture import FixedDepth, FixedWidth
from approxrates.backends import padded
from approxrates.dataset import Dataset
from approxrates.objectives import Objective
from approxrates.sampling import SampleLaw
from approxrates.seeds import seed_for
from approxrates.target import Target

F64 = NDArray[np.float64]
Architecture = FixedWidth | FixedDepth

SMOOTH_FROM = 3.0
"""Targets of at least this smoothness can do with a fixed sampling set, and gain by second-order stages."""

POINTS_PER_UNIT = 10
"""In one dimension. A trained unit makes about one piece, so these are the points that see each piece."""

MOST_POINTS = 1 << 20
"""In a set; a sample law that asks for more is refused rather than cut, for then it would be no law."""

_MOVING_SETS = 32
_MOST_LAW_SETS = 128
"""Moving sets of a sample law: the shortest default plan, 700 steps, shows all of them if it swaps every five steps."""

_MOST_DEFAULT = {1: 16384, 2: 2048, 3: 2048}
_MOST_BYTES = 64 * 2**20
"""Activations and their derivatives of one replica take at most this, unless points are asked for by number."""


def is_smooth(target: Target) -> bool:
    """Whether the target counts as smooth for the choice of points and plan."""
    return target.regularity.smoothness >= SMOOTH_FROM


def default_n_points(arch: Architecture, target: Target) -> int:
    """Number of sampling points in a set for fits of this shape.

    In one dimension ten for each hidden unit: a unit makes about one piece (measured: .8 with constructive starts, .8
    to 1.8 with random ones). Fixed sets have at least as many as parameters. In more dimensions as many as parameters,
    twice as many for smooth targets, and at least 16 for each corner of the cube. Capped by memory.
    """
    smooth = is_smooth(target)
    if arch.dim == 1:
        wanted = max(POINTS_PER_UNIT * arch.width * arch.depth, arch.n_params if smooth else 64)
    else:
        wanted = max(256, 16 * 2**arch.dim, (2 if smooth else 1) * arch.n_params)
    most = max(1024, _MOST_BYTES // (16 * arch.width * (arch.depth + 4)))
    return min(padded(wanted), _MOST_DEFAULT.get(arch.dim, 4096), most)


def check_n_points(n_points: Any) -> None:
    """Refuse what is no number of points: it must be a whole number of at least 1, a law such as ``"P^2"``, or None.

    Raises:
        ValueError: For a number below 1, or a text that is no law.
        TypeError: For anything else.
    """
    if isinstance(n_points, str):
        SampleLaw.parse(n_points)
    elif n_points is not None:
        if isinstance(n_points, bool) or not isinstance(n_points, (int, np.integer)):
            raise TypeError(f"n_points must be an integer or a law such as 'P^2'. Got {n_points!r}.")
        if n_points < 1:
            raise ValueError(f"n_points must be at least 1. Got n_points={n_points}. Write e.g. n_points=256.")


def n_sets_and_points(arch: Architecture, target: Target, n_points: int | str | None) -> tuple[int, int]:
    """Number of sets, the fixed one included, and of points in each, for a fit of this shape.

    Args:
        arch: Shape of the networks.
        target: Given by a function; data have the points they have.
        n_points: Points in each set; or a law of the values that the fit may see in all sets together, repeated corners
            counted: one fixed set, unless it allows for three of the default size.

    Raises:
        ValueError: If these are too few points for the dimension, or more in a set than memory holds.
        TypeError: If it is neither a number nor a law.
    """
    check_n_points(n_points)
    fixed_only = target.dim == 1 and is_smooth(target)
    usual = default_n_points(arch, target)
    if not isinstance(n_points, str):
        n_sets, size = 1 if fixed_only else 1 + _MOVING_SETS, usual if n_points is None else int(n_points)
    else:
        allowed = SampleLaw.parse(n_points).n_values(arch.n_params)
        n_sets = 1 if fixed_only or allowed < 3 * usual else min(1 + _MOST_LAW_SETS, allowed // usual)
        size = allowed // n_sets
    least, shown = 2**target.dim + 1, f"n_points={n_points!r}"
    if isinstance(n_points, str):
        shown += f", which is {size} in each set for {arch.n_params} parameters"
    if size < least:
        raise ValueError(f"n_points must be at least {least} for dim={target.dim}. Got {shown}. Use e.g. n_points=256.")
    if size > MOST_POINTS:
        raise ValueError(f"n_points must be at most {MOST_POINTS} in a set. Got {shown}. Use a smaller one.")
    return n_sets, size


def n_samples(arch: Architecture, target: Target | Dataset, n_points: int | str | None = None) -> int:
    """Number of points in each sampling set that a fit of this shape uses; data targets have the points they have."""
    if isinstance(target, Dataset) or target.samples is not None:
        assert target.samples is not None
        return len(target.samples[0])
    return n_sets_and_points(arch, target, n_points)[1]


def n_values(arch: Architecture, target: Target | Dataset, n_points: int | str | None = None) -> int:
    """Values of the target in all sets together: the ``m`` of sample laws, an upper bound on what a fit sees of it."""
    if isinstance(target, Dataset) or target.samples is not None:
        assert target.samples is not None
        return len(target.samples[0])
    n_sets, size = n_sets_and_points(arch, target, n_points)
    return n_sets * size


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


def sample(arch: Architecture, target: Target | Dataset, objective: Objective, n_points: int | str | None) -> Sampling:
    """Sampling sets of a target. They depend on the target and on the numbers of sets and points alone.

    Raises:
        ValueError: If ``n_points`` is too small or contradicts given data, or values are not finite or not of the
            right kind.
        TypeError: If ``n_points`` is neither a number nor a law.
    """
    if isinstance(target, Dataset) or target.samples is not None:
        assert target.samples is not None
        points, values = target.samples
        check_n_points(n_points)
        if n_points is not None and n_points != len(points):
            raise ValueError(
                f"n_points must be left out for data. Got n_points={n_points!r} for {len(points)} data points."
            )
        sets = [points]
        known = [np.asarray(values, dtype=np.float64)]
    else:
        n_sets, size = n_sets_and_points(arch, target, n_points)
        sets = point_sets(target, size, n_sets - 1)
        known = [np.asarray(target(points), dtype=np.float64) for points in sets]
    known = [v.reshape(len(v), -1) for v in known]
    for v in known:
        if not np.all(np.isfinite(v)):
            raise ValueError(f"{target.name} must have finite values. Got NaN or infinity at a sampling point.")
        objective.check_targets(v, arch.n_outputs)
    with np.errstate(over="ignore"):
        mean, scale = _standardisation(known[-1], objective, arch.bias)
    if not np.isfinite([mean, scale]).all():
        largest = max(float(np.abs(v).max()) for v in known)
        raise ValueError(
            f"{target.name} must have values whose squares are finite. Got values up to {largest:g}. Rescale them."
        )
    return _stack(sets, [(v - mean) / scale for v in known], mean, scale)


def point_sets(target: Target, n_points: int, n_moving: int = _MOVING_SETS) -> list[F64]:
    """Point sets ``(n, dim)``: moving ones and, last, the fixed one; only this for smooth targets on the interval.

    Moving sets are stratified jitter in one and two dimensions, and Sobol points scrambled anew in more, where a grid
    of cells leaves out too many of the points asked for.

    Raises:
        ValueError: If they are too few to hold the corners and a point more.
    """
    least = 2**target.dim + 1
    if n_points < least:
        raise ValueError(
            f"n_points must be at least {least} for dim={target.dim}. Got n_points={n_points}. Use e.g. n_points=256."
        )
    if target.dim == 1 and is_smooth(target):
        return [sampling.chebyshev(n_points)]
    seeds = [seed_for("sampling", target=target.key, set=i) for i in range(n_moving + 1)]
    move = sampling.stratified_jitter if target.dim <= 2 else sampling.sobol
    moving = [move(n_points, target.dim, seed=seed) for seed in seeds[1:]]
    if target.dim == 1:
        return [*moving, sampling.even_badic(n_points, base=target.base)]
    return [*moving, sampling.sobol(n_points, target.dim, seed=seeds[0])]


def spike_ratio(error_sup: float, sup_at_points: float) -> float:
    """How much larger the error is somewhere than at the points of the fit: well above 1, a spike hides between them.

    Args:
        error_sup: Sup error of the network, its lower end, so that the ratio is never overstated.
        sup_at_points: Its largest error at the sampling points.
    """
    if error_sup == sup_at_points:
        return 1.0
    return error_sup / sup_at_points if sup_at_points > 0.0 else math.inf


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
