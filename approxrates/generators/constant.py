"""The constant control: whatever is measured on it is the noise floor of the pipeline."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from approxrates.generators import base
from approxrates.regularity import Regularity
from approxrates.target import Point, Target


def constant(smoothness: float = math.inf, dim: int = 1, seed: int = 0, value: float = 1.0) -> Target:
    """A constant function, of Hölder radius 0.

    Args:
        smoothness: Infinite; accepted so that every family takes the same arguments.
        dim: Input dimension d.
        seed: Accepted and without meaning.
        value: The constant.

    Raises:
        TypeError: For values of the wrong kind.
        ValueError: For values out of range.
    """
    base.infinite("constant", smoothness)
    d = base.whole("dim", dim, 1)
    base.whole("seed", seed, 0)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"value must be a number. Got {value!r}. Write e.g. value=1.0.")
    if not math.isfinite(value):
        raise ValueError(f"value must be finite. Got value={value}. Write e.g. value=1.0.")
    number = float(value)

    def evaluate(x: base.Floats) -> base.Floats:
        return np.full(len(x), number)

    def exact(point: Point) -> Fraction:
        return Fraction(number)

    return Target(
        name="constant",
        regularity=Regularity(math.inf, d, radius=0.0),
        parameters=base.identity("constant", (math.inf, d), 0, {} if number == 1.0 else {"value": number}),
        evaluate=evaluate,
        exact_evaluate=exact,
        base=2,
        interpolation_gap=base.curvature_gap(0.0) if d == 1 else None,
    )
