"""The constant control: whatever is measured on it is the noise floor of the pipeline."""

from __future__ import annotations

import functools
import math
import sys
from fractions import Fraction
from typing import Any

import numpy as np

from approxrates.generators import base
from approxrates.generators.models import checked_cells
from approxrates.regularity import Regularity
from approxrates.target import Point, Target
from approxrates.taylor import TaylorModel, n_terms


def _evaluate(value: float, x: base.Floats) -> base.Floats:
    """The constant at points ``(n, d)``, shape ``(n,)``."""
    return np.full(len(x), value)


def _slopes(x: base.Floats) -> base.Floats:
    """First derivatives: none."""
    return np.zeros(x.shape)


def _model(value: float, dim: int, level: int, index: Any) -> TaylorModel:
    """Model on dyadic cells: the constant, without error."""
    terms = np.zeros((n_terms(dim), len(checked_cells(2, dim, level, index))))
    terms[0] = value
    return TaylorModel(dim, terms, np.zeros(terms.shape[1]))


def _exact(value: float, point: Point) -> Fraction:
    """The constant as a rational."""
    return Fraction(value)


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
    if not abs(value) <= sys.float_info.max:
        shown = value if isinstance(value, float) else "an integer beyond float64"
        raise ValueError(f"value must be finite. Got value={shown}. Write e.g. value=1.0.")
    number = float(value)
    return Target(
        name="constant",
        regularity=Regularity(math.inf, d, radius=0.0),
        parameters=base.identity("constant", (math.inf, d), 0, {} if number == 1.0 else {"value": number}),
        evaluate=functools.partial(_evaluate, number),
        exact_evaluate=functools.partial(_exact, number),
        base=2,
        enclosure=functools.partial(_model, number, d),
        evaluation_error=0.0,
        gradient=_slopes,
        interpolation_gap=base.curvature_gap(0.0) if d == 1 else None,
    )
