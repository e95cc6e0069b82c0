"""A function that approximates a target and is no network: a spline, a rational function, a kernel expansion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_CHECKED = 2048  # points and midpoints at which pieces are compared with the function
_AGREE = 1e-9


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

    Raises:
        ValueError: If ``linear_pieces`` are no mesh of [0, 1] with finite values, or not what ``evaluate`` gives there
            and halfway between.
    """

    name: str
    dim: int
    n_params: int
    evaluate: Callable[[Array], Array] = field(repr=False)
    linear_pieces: tuple[Array, Array] | None = field(default=None, repr=False)
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.linear_pieces is not None:
            _check_pieces(self.name, *self.linear_pieces, self.evaluate)

    def __call__(self, x: Array) -> Array:
        """Values at points of the cube, ``(n, dim) -> (n,)``."""
        return self.evaluate(x)


def _check_pieces(name: str, t: Array, values: Array, evaluate: Callable[[Array], Array]) -> None:
    """Errors are certified from the pieces, so they must be those of the function."""
    if not (t.ndim == 1 and t.shape == values.shape and len(t) > 1 and t[0] == 0.0 and t[-1] == 1.0):
        raise ValueError(
            f"linear_pieces of {name} must be points from 0 to 1 and as many values. Got shapes {t.shape} and "
            f"{values.shape}. Start at 0.0 and end at 1.0."
        )
    if not (np.all(np.diff(t) > 0) and np.all(np.isfinite(values))):
        raise ValueError(f"linear_pieces of {name} must be strictly increasing points with finite values. Sort them.")
    step = max(1, len(t) // _CHECKED)
    middle = (0.5 * (t[1:] + t[:-1]))[::step]
    points = np.concatenate([t[::step], middle])
    wanted = np.interp(points, t, values)
    off = np.abs(evaluate(points[:, None]) - wanted)
    if not np.all(off <= _AGREE * (1.0 + np.abs(values).max())):
        worst = points[int(np.argmax(np.where(np.isnan(off), np.inf, off)))]
        raise ValueError(
            f"linear_pieces of {name} must give the values of evaluate. At x={worst:.6g} they do not. Leave them out "
            "if the function is not piecewise linear."
        )
