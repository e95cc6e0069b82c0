"""Quadratic and cubic splines on even knots, as sums of powers ``(x - k)_+^p`` or of B-splines.

Powers are turned outward from the middle, which halves their range: the polynomial of the middle comes from the units
that carry ``x``. With units that are B-splines the sum is the B-spline series itself.
"""

from __future__ import annotations

import numpy as np

from approxrates.activations import Activation
from approxrates.training.starts.base import F64
from approxrates.training.starts.channels import Features
from approxrates.training.starts.ridge import is_homogeneous

KNOT_JITTER = 0.5
_MOST_WIDENED = 0.5


def knots(n: int, rng: np.random.Generator | None) -> F64:
    """``n`` inner knots of ``[0, 1]``, even, or moved at random by up to a quarter of their distance."""
    even = np.arange(1, n + 1) / (n + 1)
    return even if rng is None else even + (rng.random(n) - 0.5) * (KNOT_JITTER / (n + 1))


def outward(at: F64) -> Features:
    """Units ``s(x - k)`` for knots right of the middle and ``s(k - x)`` for those left of it."""
    side = np.where(at < 0.5, -1.0, 1.0)
    return Features(side[:, None], -side * at)


def spline_features(
    activation: Activation, n: int, rng: np.random.Generator | None, *, straight: bool
) -> Features | None:
    """Features that make splines of the activation's degree, or None if it cannot or ``n`` is too small.

    Args:
        activation: Of degree 2 or 3.
        n: How many.
        rng: Moves the knots; even if None. Those of B-splines stay even: they are widened and shifted as a whole.
        straight: Whether only straight lines come with the features, and not all polynomials of the degree.
    """
    if is_homogeneous(activation) and activation.degree is not None and activation.degree > 1:
        missing = activation.degree - 1 if straight else 0
        inner = knots(n - missing, rng) if n > missing else np.zeros(0)
        if straight:  # polynomials are powers whose knots lie outside
            outer = -np.arange(missing) * np.diff(inner, prepend=0.0, append=1.0).max()
            return Features(np.ones((n, 1)), -np.concatenate([outer, inner])[:n]) if n > missing else None
        return outward(inner)
    if activation.name not in ("quadratic_bspline", "cubic_bspline") or activation.degree is None:
        return None
    cells = n - activation.degree
    if cells < 1:
        return None
    widened, shift = (0.0, 0.0) if rng is None else (_MOST_WIDENED * rng.random(), rng.random())
    mesh = 1.0 / (cells - widened)
    centres = mesh * (np.arange(n) - (activation.degree - 1) / 2) - shift * (cells * mesh - 1.0)
    return Features(np.full((n, 1), 1.0 / mesh), np.asarray(-centres / mesh, dtype=np.float64))
