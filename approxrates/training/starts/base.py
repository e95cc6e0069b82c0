"""What every start is given and gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from approxrates.architecture import FixedDepth, FixedWidth
from approxrates.dataset import Dataset
from approxrates.target import Target

F64 = NDArray[np.float64]
Architecture = FixedWidth | FixedDepth


@dataclass(frozen=True)
class Standardised:
    """A target as the network in training sees it: ``(f - mean) / scale``."""

    target: Target | Dataset
    mean: float
    scale: float

    def __call__(self, x: F64) -> F64:
        """Values at points ``(n, dim)``."""
        assert isinstance(self.target, Target), "data have no values elsewhere"
        values: F64 = (self.target(x) - self.mean) / self.scale
        return values


Start = Callable[[Architecture, Standardised, int, int], tuple[F64, int]]
"""``(architecture, target, replica, seed) -> (plain parameters (P,), attempts)``."""
