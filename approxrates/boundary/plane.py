"""A box in a plane of settings, each axis linear or logarithmic, and its map to the unit square."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class BoxAxis:
    """One axis of a plane of settings.

    Attributes:
        name: What is varied, e.g. ``"l2_penalty"``.
        low: Lower end of the box.
        high: Upper end.
        log: Whether distances along it are those of logarithms.
    """

    name: str
    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        """Refuses an empty, infinite or, for logarithms, non-positive side."""
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(
                f"axis {self.name!r} needs finite low < high. Got low={self.low}, high={self.high}. "
                f"Write e.g. BoxAxis({self.name!r}, 0.1, 1.0)."
            )
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic axis needs low > 0. Got {self.name!r} from {self.low}. Write log=False.")

    def to_unit(self, values: ArrayLike) -> Floats:
        """Values to [0, 1], same shape."""
        array = np.asarray(values, dtype=np.float64)
        if self.log:
            return np.log(array / self.low) / math.log(self.high / self.low)
        return (array - self.low) / (self.high - self.low)

    def from_unit(self, shares: ArrayLike) -> Floats:
        """[0, 1] to values, same shape; never outside the box by rounding."""
        array = np.asarray(shares, dtype=np.float64)
        values = self.low * (self.high / self.low) ** array if self.log else self.low + (self.high - self.low) * array
        return np.clip(values, self.low, self.high)


@dataclass(frozen=True)
class Box:
    """Two axes; points have shape ``(n, 2)``, the first column along the first axis."""

    x: BoxAxis
    y: BoxAxis

    def to_unit(self, points: ArrayLike) -> Floats:
        """Points to the unit square, ``(n, 2)``.

        Raises:
            ValueError: If the shape is not ``(n, 2)``, or a point lies outside the box.
        """
        array = np.asarray(points, dtype=np.float64)
        if array.ndim != 2 or array.shape[1] != 2:
            raise ValueError(f"points must have shape (n, 2). Got {array.shape}. Write [[x, y]] for one point.")
        with np.errstate(invalid="ignore", divide="ignore"):
            unit = np.column_stack([self.x.to_unit(array[:, 0]), self.y.to_unit(array[:, 1])])
        inside = np.all((unit >= -1e-9) & (unit <= 1 + 1e-9), axis=1)
        if not inside.all():
            raise ValueError(
                f"points must lie in the box {self.x.low} <= {self.x.name} <= {self.x.high}, "
                f"{self.y.low} <= {self.y.name} <= {self.y.high}. Got {array[~inside][0].tolist()}."
            )
        return np.clip(unit, 0.0, 1.0)

    def from_unit(self, shares: ArrayLike) -> Floats:
        """The unit square to points, ``(n, 2)``."""
        array = np.asarray(shares, dtype=np.float64)
        return np.column_stack([self.x.from_unit(array[:, 0]), self.y.from_unit(array[:, 1])])

    def grid(self, side: int) -> Floats:
        """``side * side`` points at the centres of equal cells, ``(side^2, 2)``, the first axis slowest."""
        centres = (np.arange(side) + 0.5) / side
        return self.from_unit(np.stack(np.meshgrid(centres, centres, indexing="ij"), axis=-1).reshape(-1, 2))
