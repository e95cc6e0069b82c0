"""Analytic functions: every method should approximate them faster than any power, so they test no phase."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from approxrates.generators import base
from approxrates.generators.models import Cells, cell_centres, checked_cells
from approxrates.generators.rounding import LIBRARY
from approxrates.generators.tensor import Factor, product
from approxrates.generators.waves import wave, wave_units
from approxrates.regularity import Regularity
from approxrates.target import Point, Target
from approxrates.taylor import UNIT, TaylorModel, n_terms

_BALL_BITS = 192
_TURN = 2.0 * math.pi
_LEAST, _MOST = 0.3678794411714423, 2.7182818284590455  # just outside 1/e and e


@dataclass(frozen=True)
class Formula:
    """One analytic function in every dimension.

    Attributes:
        values: ``(n, d) -> (n,)`` in float64.
        ball: The same on a list of ``flint.arb`` coordinates.
        curvature: Upper bound on the second derivative on ``[0, 1]`` for d = 1.
        text: The formula.
        slopes: First derivatives, ``(n, d) -> (n, d)``.
        model: Taylor models on cells of a level, ``(level, numbers of shape (n, d)) -> TaylorModel``.
        units: Error of ``values`` in units of ``2**-53``, as a function of d.
    """

    values: Callable[[base.Floats], base.Floats]
    ball: Callable[[list[Any]], Any]
    curvature: float
    text: str
    slopes: Callable[[base.Floats], base.Floats]
    model: Callable[[int, Cells], TaylorModel]
    units: Callable[[int], float]


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


def _cosines(x: base.Floats) -> base.Floats:
    """Derivatives of the sines of one turn of each coordinate."""
    result: base.Floats = _TURN * np.cos(_TURN * (x - np.rint(x)))
    return result


def _products_of_others(factors: base.Floats) -> base.Floats:
    """For each coordinate the product of the factors of all others, ``(n, d) -> (n, d)``."""
    return np.stack([np.prod(np.delete(factors, i, axis=1), axis=1) for i in range(factors.shape[1])], axis=1)


def _coordinates(level: int, index: Cells) -> list[TaylorModel]:
    """Models of the coordinates."""
    centres, half = cell_centres(level, index)
    return [TaylorModel.variable(index.shape[1], i, centres[:, i], half) for i in range(index.shape[1])]


def _mean(models: list[TaylorModel]) -> TaylorModel:
    """Model of the mean."""
    return functools.reduce(TaylorModel.__add__, models).scaled(1.0 / len(models))


def _square_model(level: int, index: Cells) -> TaylorModel:
    """Model of the squared distance to the centre of the cube."""
    places = [x.scaled(1.0, -0.5) for x in _coordinates(level, index)]
    return functools.reduce(TaylorModel.__add__, [p * p for p in places])


def _waves(level: int, index: Cells) -> list[Factor]:
    """Sines of one turn of each coordinate, as factors."""
    centres, half = cell_centres(level, index)
    return [wave(column - 0.25, _TURN * half) for column in centres.T]


def _sine_model(level: int, index: Cells) -> TaylorModel:
    """Model of the product of the sines."""
    d = index.shape[1]
    terms, lost = product(_waves(level, index))
    assert lost is not None
    return TaylorModel(d, terms, base.ROUND_UP * (lost + wave_units(_TURN * 0.5 ** (level + 1), d) * UNIT))


def _sine_mean_model(level: int, index: Cells) -> TaylorModel:
    """Model of the mean of the sines."""
    d, models = index.shape[1], []
    rounding = wave_units(_TURN * 0.5 ** (level + 1), 1) * UNIT
    squares = 1 + d + np.flatnonzero(np.equal(*np.triu_indices(d)))
    for i, (constant, slope, square, error) in enumerate(_waves(level, index)):
        terms = np.zeros((n_terms(d), len(index)))
        assert square is not None
        assert error is not None
        terms[0], terms[1 + i], terms[squares[i]] = constant, slope, square
        models.append(TaylorModel(d, terms, base.ROUND_UP * (error + rounding)))
    return _mean(models)


def exponential_model(inner: TaylorModel) -> TaylorModel:
    """Model of ``exp(f)``."""
    return inner.composed(lambda y: (np.exp(y),) * 3, lambda low, high: base.ROUND_UP * np.exp(high))


def inverse_model(inner: TaylorModel) -> TaylorModel:
    """Model of ``1 / (1 + f)``; no bound where f may come near -1."""
    return inner.composed(
        lambda y: (1.0 / (1.0 + y), -1.0 / (1.0 + y) ** 2, 2.0 / (1.0 + y) ** 3),
        lambda low, high: np.where(low > -0.5, base.ROUND_UP * 6.0 / (1.0 + np.maximum(low, -0.5)) ** 4, np.inf),
    )


# Second derivatives in d = 1: runge 200 (3 s - 1) / (1 + s)^3 with s = 25 (2 x - 1)^2, between -200 and 50; gaussian
# 64 (a - 1) exp(-a / 2) with a = 64 (x - 1/2)^2, between -64 and 28.6; exp_sin 4 pi^2 (1 - t - t^2) exp(t) with t in
# [-1, 1], where the bracket lies between -e (t = 1) and 1 (t = 0).
#
# Errors of the values, in units u = 2^-53. The squared distance s has only positive terms and a relative error of
# (d + 4) u: 2 for the rounded difference, 1 for the square, d - 1 for the sums, 1 for the factor and one to spare.
# 1 / (1 + y) and exp(-y) turn a relative error of y into at most 1/4 and 1/e of it; 2 units and 8 (the library) come on
# top. A sine of an angle a <= pi/2 rounded twice is off by 2 u a cos(a) < 1.2 u and 8 (the library): 9.2; products and
# sums cost d - 1, a mean one more. An exponential of an argument off by c u is off by c u times its value, at most e.
FORMULAS = {
    "runge": Formula(
        lambda x: 1.0 / (1.0 + 100.0 * _squares(x)),
        lambda x: 1 / (1 + 100 * _ball_squares(x)),
        200.0,
        "1 / (1 + 25 |2 x - 1|^2)",
        lambda x: -200.0 * (x - 0.5) / (1.0 + 100.0 * _squares(x))[:, None] ** 2,
        lambda level, index: inverse_model(_square_model(level, index).scaled(100.0)).capped(0.0, 1.0),
        lambda d: (d + 4) / 4.0 + 2.0,
    ),
    "gaussian": Formula(
        lambda x: np.exp(-32.0 * _squares(x)),
        lambda x: (-32 * _ball_squares(x)).exp(),
        64.0,
        "exp(-32 |x - 1/2|^2)",
        lambda x: -64.0 * (x - 0.5) * np.exp(-32.0 * _squares(x))[:, None],
        lambda level, index: exponential_model(_square_model(level, index).scaled(-32.0)).capped(0.0, 1.0),
        lambda d: (d + 4) / math.e + LIBRARY,
    ),
    "sine": Formula(
        lambda x: np.prod(_sines(x), axis=1),
        lambda x: _ball_product([(2 * c).sin_pi() for c in x]),
        _TURN**2,
        "prod_i sin(2 pi x_i)",
        lambda x: _cosines(x) * _products_of_others(_sines(x)),
        lambda level, index: _sine_model(level, index).capped(-1.0, 1.0),
        lambda d: 9.2 * d + d - 1,
    ),
    "exp_sin": Formula(
        lambda x: np.exp(_sines(x).mean(axis=1)),
        lambda x: (sum((2 * c).sin_pi() for c in x) / len(x)).exp(),
        _TURN**2 * math.e,
        "exp(mean_i sin(2 pi x_i))",
        lambda x: np.exp(_sines(x).mean(axis=1))[:, None] * _cosines(x) / x.shape[1],
        lambda level, index: exponential_model(_sine_mean_model(level, index)).capped(_LEAST, _MOST),
        lambda d: math.e * (9.2 + d + LIBRARY),
    ),
    "exponential": Formula(
        lambda x: np.exp(x.mean(axis=1)),
        lambda x: (sum(x[1:], start=x[0]) / len(x)).exp(),
        math.e,
        "exp(mean_i x_i)",
        lambda x: np.repeat(np.exp(x.mean(axis=1))[:, None] / x.shape[1], x.shape[1], axis=1),
        lambda level, index: exponential_model(_mean(_coordinates(level, index))).capped(1.0, _MOST),
        lambda d: math.e * (d + LIBRARY),
    ),
}


def _evaluate(function: str, x: base.Floats) -> base.Floats:
    """Values of a formula by name, so that targets can be pickled."""
    return FORMULAS[function].values(x)


def _slopes(function: str, x: base.Floats) -> base.Floats:
    """First derivatives of a formula by name."""
    return FORMULAS[function].slopes(x)


def _model(function: str, level: int, index: Any) -> TaylorModel:
    """Model of a formula by name on dyadic cells."""
    numbers = np.asarray(index)
    return FORMULAS[function].model(
        int(level), checked_cells(2, numbers.shape[-1] if numbers.ndim else 1, level, index)
    )


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
        enclosure=functools.partial(_model, function),
        evaluation_error=1.01 * UNIT * formula.units(d),
        gradient=functools.partial(_slopes, function),
        interpolation_gap=base.curvature_gap(formula.curvature) if d == 1 else None,
    )
