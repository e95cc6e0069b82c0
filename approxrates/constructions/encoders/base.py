"""Where walks run: reflected cells with a short dead zone at their start, and float64 samples of a target there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from approxrates.target import Target

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Mesh:
    """``cells`` intervals of ``[0, 1]`` with ``steps`` fine steps each; even knots start a walk, odd knots end it.

    Cell ``i`` is ``[i / cells, (i + 1) / cells]``, with an even number of cells. Positions inside are told by ``y`` in
    ``[-dead, steps]``, in fine steps, from the even knot (``y = -dead``) to the odd one (``y = steps``), so that odd
    cells run from right to left. The walk stands still on ``[-dead, 0]``.

    Attributes:
        cells: ``N``, even.
        steps: ``M``, at least 1.
        dead: Length of the dead zone in fine steps, a float64 number.
    """

    cells: int
    steps: int
    dead: float = 0.25

    def __post_init__(self) -> None:
        if self.cells < 2 or self.cells % 2:
            raise ValueError(f"cells must be even, at least 2. Got cells={self.cells}. Write e.g. cells=8.")
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1. Got steps={self.steps}. Write e.g. steps=8.")

    @property
    def spacing(self) -> float:
        """Width of a fine step."""
        return 1.0 / (self.cells * (self.steps + self.dead))

    def points(self, which: NDArray[np.int64], y: Floats) -> Floats:
        """Points at positions ``y`` of shape ``(n,)`` in each cell; shape ``(n_cells, n)``.

        Each is the float64 number next to the position, off by less than ``2^-51``; values are taken at that number.
        """
        inside = (y + self.dead) / (self.steps + self.dead)
        knot = which + which % 2
        away = np.where(which % 2 == 0, 1.0, -1.0)
        return np.clip((knot[:, None] + away[:, None] * inside[None, :]) / self.cells, 0.0, 1.0)


def values_on(target: Target, points: Floats) -> Floats:
    """A target's float64 values on an array of points of any shape (``dim == 1``)."""
    return np.asarray(target.evaluate(np.ascontiguousarray(points.reshape(-1, 1)))).reshape(points.shape)


def modulus(target: Target, mesh: Mesh, which: NDArray[np.int64]) -> float:
    """Largest change of a target over one fine step, sampled in some cells."""
    values = values_on(target, mesh.points(which, np.arange(mesh.steps + 1, dtype=np.float64)))
    return float(np.abs(np.diff(values, axis=1)).max())


def spread_cells(cells: int, most: int) -> NDArray[np.int64]:
    """At most ``most`` cells, spread over all of them by golden-ratio steps; always the same ones."""
    if cells <= most:
        return np.arange(cells, dtype=np.int64)
    places = np.floor((np.arange(most) * 0.6180339887498949) % 1.0 * cells).astype(np.int64)
    return np.unique(places)
