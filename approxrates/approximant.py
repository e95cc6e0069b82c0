"""A function that approximates a target and is no network: a spline, a rational function, a kernel expansion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Approximant:
    """An approximating function on ``[0, 1]^dim`` with an honest count of what was chosen for the target.

    Attributes:
        name: Name of the method.
        dim: Input dimension.
        n_params: Numbers that depend on the target, or are stored to evaluate it: coefficients, and free knots.
        evaluate: Values, ``(n, dim) -> (n,)``.
        linear_pieces: For ``dim == 1`` and a piecewise-linear function: the points ``t`` from 0 to 1, strictly
            increasing, and the values there, by which it is given exactly; else None.
        provenance: JSON-able record of how it was made.
    """

    name: str
    dim: int
    n_params: int
    evaluate: Callable[[Array], Array] = field(repr=False)
    linear_pieces: tuple[Array, Array] | None = field(default=None, repr=False)
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __call__(self, x: Array) -> Array:
        """Values at points of the cube, ``(n, dim) -> (n,)``."""
        return self.evaluate(x)
