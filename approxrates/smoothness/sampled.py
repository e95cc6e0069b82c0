"""Values of a function on grids: all of the cube for d <= 2, random segments above, data as they come."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from approxrates.seeds import seed_for
from approxrates.smoothness.base import Floats
from approxrates.target import Target

LEVELS = {1: 16, 2: 10}
LINE_LEVELS = 13
N_LINES = 48
LENGTH = 0.5  # of a segment


@dataclass(frozen=True)
class Sampled:
    """Values on a uniform grid.

    Attributes:
        values: Shape ``(n,) * len(axes)``, with a leading axis of segments if the axes start at 1.
        axes: Axes along which neighbours lie ``spacing`` apart.
        spacing: Distance of neighbours.
        points: Numbers of segments (n, 1) or (n, 0), and places in spacings of shape (n, ..., axes), to points of the
            cube, in one column of rows; None for data, which have no values between their points.
    """

    values: Floats
    axes: tuple[int, ...]
    spacing: float
    points: Callable[[NDArray[np.int64], Floats], Floats] | None = field(default=None, repr=False)

    @property
    def n(self) -> int:
        """Values along one axis, the shortest."""
        return int(min(self.values.shape[axis] for axis in self.axes))


def sampled(target: Target, levels: int | None) -> Sampled | None:
    """A target on its grid; None for data that lie on none.

    Args:
        target: The target.
        levels: There are ``2 ** levels - 1`` cells a side (a segment, in d > 2); None for the default of the dimension.
    """
    if target.samples is not None:
        return _gridded(*target.samples)
    if target.dim > 2:
        return _along_segments(target, levels or LINE_LEVELS)
    levels = levels or LEVELS[target.dim]
    # An odd number of cells: at dyadic points the fine levels of dyadic functions would vanish unseen.
    cells = 2**levels - 1
    side = np.arange(cells + 1) / cells
    points = np.stack(np.meshgrid(*[side] * target.dim, indexing="ij"), axis=-1).reshape(-1, target.dim)
    values = np.asarray(target(points)).reshape((len(side),) * target.dim)
    return Sampled(values, tuple(range(target.dim)), 1.0 / cells, functools.partial(_of_cube, cells))


def _of_cube(cells: int, line: NDArray[np.int64], places: Floats) -> Floats:
    """Points at places on the grid of the cube and between its nodes."""
    return np.asarray(np.clip(places / cells, 0.0, 1.0).reshape(-1, places.shape[-1]))


def _of_segments(starts: Floats, steps: Floats, line: NDArray[np.int64], places: Floats) -> Floats:
    """Points at places on segments, ``steps`` being the vectors from node to node."""
    around = (-1,) + (1,) * (places.ndim - 2) + (starts.shape[1],)
    points = starts[line[:, 0]].reshape(around) + places * steps[line[:, 0]].reshape(around)
    return np.asarray(np.clip(points, 0.0, 1.0).reshape(-1, starts.shape[1]))


def _along_segments(target: Target, levels: int) -> Sampled:
    """Values on random segments of length 1/2, every second one parallel to an axis."""
    rng = np.random.default_rng(seed_for("segments", dim=target.dim))
    rays = rng.standard_normal((64 * N_LINES, target.dim))
    rays[::2] = np.eye(target.dim)[rng.integers(0, target.dim, len(rays[::2]))]
    rays *= LENGTH / np.linalg.norm(rays, axis=1, keepdims=True)
    # A start is drawn where the whole segment stays inside.
    low, high = np.maximum(0.0, -rays), 1.0 - np.maximum(0.0, rays)
    starts = (low + rng.random(rays.shape) * (high - low))[:N_LINES]
    places = np.arange(2**levels + 1) * 2.0**-levels
    points = starts[:, None, :] + places[:, None] * rays[:N_LINES, None, :]
    values = np.asarray(target(np.clip(points, 0.0, 1.0).reshape(-1, target.dim)))
    between = functools.partial(_of_segments, starts, rays[:N_LINES] * 2.0**-levels)
    return Sampled(values.reshape(N_LINES, len(places)), (1,), LENGTH * 2.0**-levels, between)


def _gridded(x: Floats, y: Floats) -> Sampled | None:
    """Data on a uniform grid in d <= 2 as an array, else None; rows of data targets are sorted."""
    if x.shape[1] > 2:
        return None
    sides = [np.unique(column) for column in x.T]
    gaps = np.concatenate([np.diff(side) for side in sides])
    is_uniform = len(gaps) > 0 and gaps.max() - gaps.min() < 1e-9
    if not is_uniform or len(y) != np.prod([len(side) for side in sides]):
        return None
    return Sampled(y.reshape([len(side) for side in sides]), tuple(range(x.shape[1])), float(gaps.mean()))
