"""Analytic functions: every method should approximate them faster than any power, so they test no phase."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from approxrates.generators import base
from approxrates.regularity import Regularity
from approxrates.target import Point, Target

_BALL_BITS = 192
_TURN = 2.0 * math.pi


@dataclass(frozen=True)
class Formula:
    """One analytic function in every dimension.

    Attributes:
        values: ``(n, d) -> (n,)`` in float64.
        ball: The same on a list of ``flint.arb`` coordinates.
        curvature: Upper bound on the second derivative on ``[0, 1]`` for d = 1.
        text: The formula.
    """

    values: Callable[[base.Floats], base.Floats]
    ball: Callable[[list[Any]], Any]
    curvature: float
    text: str


def _squares(x: base.Floats) -> base.Floats:
    """Squared distance to the centre of the cube."""
    total: base.Floats = np.einsum("ij,ij->i", x - 0.5, x - 0.5)
    return total


def _ball_squares(x: list[Any]) -> Any:
    """Squared distance to the centre of the cube, as a ball."""
    return sum((2 * c - 1) ** 2 for c in x) / 4


def _sines(x: base.Floats) -> base.Floats:
    """Sines of one turn of each coordinate; the reflection keeps the argument below a quarter turn."""
    near = np.where(x > 0.75, x - 1.0, np.where(x > 0.25, 0.5 - x, x))
    return np.sin(_TURN * near)


def _ball_product(factors: list[Any]) -> Any:
    """Product of balls."""
    result = factors[0]
    for factor in factors[1:]:
        result = result * factor
    return result


# Second derivatives in d = 1: runge 200 (3 s - 1) / (1 + s)^3 with s = 25 (2 x - 1)^2, between -200 and 50; gaussian
# 64 (a - 1) exp(-a / 2) with a = 64 (x - 1/2)^2, between -64 and 28.6; exp_sin 4 pi^2 (1 - t - t^2) exp(t) with t in
# [-1, 1], where the bracket lies between -e (t = 1) and 1 (t = 0).
FORMULAS = {
    "runge": Formula(
        lambda x: 1.0 / (1.0 + 100.0 * _squares(x)),
        lambda x: 1 / (1 + 100 * _ball_squares(x)),
        200.0,
        "1 / (1 + 25 |2 x - 1|^2)",
    ),
    "gaussian": Formula(
        lambda x: np.exp(-32.0 * _squares(x)),
        lambda x: (-32 * _ball_squares(x)).exp(),
        64.0,
        "exp(-32 |x - 1/2|^2)",
    ),
    "sine": Formula(
        lambda x: np.prod(_sines(x), axis=1),
        lambda x: _ball_product([(2 * c).sin_pi() for c in x]),
        _TURN**2,
        "prod_i sin(2 pi x_i)",
    ),
    "exp_sin": Formula(
        lambda x: np.exp(_sines(x).mean(axis=1)),
        lambda x: (sum((2 * c).sin_pi() for c in x) / len(x)).exp(),
        _TURN**2 * math.e,
        "exp(mean_i sin(2 pi x_i))",
    ),
    "exponential": Formula(
        lambda x: np.exp(x.mean(axis=1)),
        lambda x: (sum(x[1:], start=x[0]) / len(x)).exp(),
        math.e,
        "exp(mean_i x_i)",
    ),
}


def _evaluate(function: str, x: base.Floats) -> base.Floats:
    """Values of a formula by name, so that targets can be pickled."""
    return FORMULAS[function].values(x)


def _exact(function: str, point: Point) -> Any:
    """Value at a point of rationals, as a ``flint.arb`` ball."""
    import flint

    with flint.ctx.workprec(_BALL_BITS):
        return FORMULAS[function].ball([flint.arb(flint.fmpq(c.numerator, c.denominator)) for c in point])


def analytic(smoothness: float = math.inf, dim: int = 1, seed: int = 0, function: str = "runge") -> Target:
    r"""One of a handful of analytic functions, in any dimension.

    ``runge`` is ``1 / (1 + 25 |2 x - 1|^2)``, ``gaussian`` ``exp(-32 |x - 1/2|^2)``, ``sine`` ``prod_i sin(2 pi x_i)``,
    ``exp_sin`` ``exp(mean_i sin(2 pi x_i))``, ``exponential`` ``exp(mean_i x_i)``. All are compositions of entire
    functions, with a denominator of at least 1 in ``runge``, hence analytic on the cube. No Hölder radius is stated:
    the smoothness is infinite. Polynomials converge to ``runge`` like ``1.2198^-n`` in the degree n (d = 1), faster to
    the others, which are entire. The linear interpolant at
    spacing h is off by at most ``h^2/8`` times the bound on the second derivative.

    Args:
        smoothness: Infinite; accepted so that every family takes the same arguments.
        dim: Input dimension d.
        seed: Accepted and without meaning.
        function: Which one.

    Raises:
        TypeError: For values of the wrong kind.
        ValueError: For values out of range, or an unknown function.

    Reference:
        Trefethen (2013), Approximation Theory and Approximation Practice, chapter 8, for the rates of polynomials.
    """
    base.infinite("analytic", smoothness)
    d = base.whole("dim", dim, 1)
    base.whole("seed", seed, 0)
    if not isinstance(function, str):
        raise TypeError(f"function must be a name. Got {function!r}. Write e.g. function='runge'.")
    if function not in FORMULAS:
        raise ValueError(f"function must be one of {', '.join(FORMULAS)}. Got function={function!r}.")
    formula = FORMULAS[function]
    return Target(
        name="analytic",
        regularity=Regularity(math.inf, d),
        parameters=base.identity("analytic", (math.inf, d), 0, {} if function == "runge" else {"function": function}),
        evaluate=functools.partial(_evaluate, function),
        exact_evaluate=functools.partial(_exact, function),
        base=2,
        interpolation_gap=base.curvature_gap(formula.curvature) if d == 1 else None,
    )
