"""The linear spline interpolant as a sum of hinges, or of ramps."""

from __future__ import annotations

import numpy as np

from approxrates.activations import Activation
from approxrates.training.starts.base import F64
from approxrates.training.starts.channels import Features
from approxrates.training.starts.splines import knots, outward


def hinge_slopes(activation: Activation) -> tuple[float, float] | None:
    """Slopes left and right of zero of an activation with a single kink, at zero, and the value zero there; or None."""
    if activation.parts or activation.period or activation.degree != 1 or activation.breakpoints != (0.0,):
        return None
    left, right = (float(activation(np.array([t]))[0] / t) for t in (-1.0, 1.0))
    return (left, right) if left != right and activation.trainable else None


def is_ramp(activation: Activation) -> bool:
    """Whether the activation rises from one constant to another, straight between -1 and 1."""
    return (
        activation.degree == 1
        and activation.breakpoints == (-1.0, 1.0)
        and activation(np.array([-3.0, -1.0, 1.0, 3.0])).tolist() == [-1.0, -1.0, 1.0, 1.0]
    )


def is_hinge(activation: Activation) -> bool:
    """Whether sums of the activation are the linear splines: it is a hinge or a ramp."""
    return hinge_slopes(activation) is not None or is_ramp(activation)


def ends_of(activation: Activation, n: int, rng: np.random.Generator | None) -> F64:
    """Knots, ends included, of the linear spline that ``n`` units make: a hinge is a knot, a ramp is a cell."""
    return np.concatenate([[0.0], knots(n - is_ramp(activation), rng), [1.0]])


def interpolant(activation: Activation, ends: F64, heights: F64) -> tuple[Features, F64]:
    """Features and coefficients that make the spline through ``(ends, heights)``, but for a straight line.

    Args:
        activation: A hinge or a ramp.
        ends: Knots, the first 0 and the last 1.
        heights: Values there.
    """
    cells, steps = np.diff(ends), np.diff(heights)
    if is_ramp(activation):
        features = Features((2.0 / cells)[:, None], -(ends[1:] + ends[:-1]) / cells)
        return features, steps / 2.0
    slopes = hinge_slopes(activation)
    assert slopes is not None
    return outward(ends[1:-1]), np.diff(steps / cells) / (slopes[1] - slopes[0])
