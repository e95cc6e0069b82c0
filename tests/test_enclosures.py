"""Expansions of activations: never violated, sharp, against exact rationals, balls and dense values."""

import math
from fractions import Fraction

import flint
import numpy as np
import pytest

from approxrates import activations
from approxrates.activations import Activation, Family, piecewise_polynomial
from approxrates.activations.enclosures import encloser

POLYNOMIAL = [name for name in activations.names() if activations.get(name).pieces is not None]
SMOOTH = ["sin", "sin:3", "sin:0.4", "snake", "snake:4", "tanh", "gelu", "silu"]
LOOSE = ["relu2", "quadratic_bspline", "xabsx", "quartic"]  # across a kink of the second derivative
OWN = {
    "bend": piecewise_polynomial("bend", [0], [[0, 1, 1], [0, -2, 0, 1]]),
    "quartic": piecewise_polynomial("quartic", [0], [[0], [0, 0, 0, 0, 1]]),
}


def any_of(name):
    return OWN.get(name) or activations.get(name)


def ball(name, t):
    """The value at a rational as a ball of 150 digits."""
    kind, _, parameter = name.partition(":")
    x = flint.arb(flint.fmpq(t.numerator, t.denominator))
    w = Fraction(float(parameter)) if parameter else Fraction(1)
    w = flint.arb(flint.fmpq(w.numerator, w.denominator))
    if kind == "sin":
        return (w * x).sin() if parameter else (2 * x).sin_pi()
    if kind == "snake":
        return x + (w * x).sin() ** 2 / w
    if kind == "tanh":
        return x.tanh()
    if kind == "gelu":
        return x / 2 * (1 + (x / flint.arb(2).sqrt()).erf())
    return x / (1 + (-x).exp())


def draws(n, seed):
    """Centres and radii of all sizes, break-points and great arguments among them."""
    rng = np.random.default_rng(seed)
    c = rng.normal(size=n) * 10.0 ** rng.uniform(-3, 1.3, n)
    near = rng.random(n) < 0.3
    c[near] = rng.choice([-2, -1.5, -1, -0.5, 0, 0.25, 0.5, 0.75, 1, 2], near.sum())
    rho = 10.0 ** rng.uniform(-12, 1, n)
    rho[rng.random(n) < 0.1] = 0.0
    return c, rho


@pytest.mark.parametrize("name", [*POLYNOMIAL, *SMOOTH, *OWN])
def test_no_value_leaves_its_expansion_and_some_come_close(name):
    """Against exact rationals, or balls of 500 bits: the bound covers rounding too, so no tolerance is given."""
    activation, (c, rho) = any_of(name), draws(400, 1)
    with np.errstate(all="ignore"):
        found = encloser(activation)(c, rho)
    steps = [Fraction(0), Fraction(1), Fraction(-1), Fraction(1, 3), Fraction(-4, 7), Fraction(9, 10)]
    most = 0.0
    with flint.ctx.workprec(500):
        for i in range(len(c)):
            centre, radius = Fraction(float(c[i])), Fraction(float(rho[i]))
            f0, f1, f2, level = (
                Fraction(float(a[i])) for a in (found.value, found.slope, found.curvature, found.level)
            )
            for step in steps:
                s = step * radius
                if activation.pieces is not None:
                    value = activation.exact(centre + s)
                    off, wide = abs(value - (f0 + f1 * s + f2 * s * s)), abs(value - level)
                else:
                    value, model = ball(name, centre + s), f0 + f1 * s + f2 * s * s
                    off = abs(value - flint.fmpq(model.numerator, model.denominator))
                    wide = abs(value - flint.fmpq(level.numerator, level.denominator))
                    off, wide = float(off.upper()), float(wide.upper())
                assert off <= found.remainder[i], (c[i], rho[i], float(step))
                assert wide <= found.spread[i], (c[i], rho[i], float(step))
                if rho[i] > 1e-3 and 0 < found.remainder[i] < math.inf:
                    most = max(most, float(off) / found.remainder[i])
    assert most > (0.45 if name in LOOSE else 0.9)


@pytest.mark.parametrize("name", ["sin", "sin:3", "snake", "tanh", "gelu", "silu", "relu3", "cubic_bspline", "quartic"])
def test_remainders_of_twice_smooth_activations_fall_like_the_cube_of_the_radius(name):
    centres = np.linspace(-3.03, 3.01, 500)
    find = encloser(any_of(name))
    large, small = (find(centres, np.full(500, rho)).remainder.max() for rho in (1e-2, 1e-3))
    assert small <= large * 1.2e-3


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "abs", "hard_tanh", "triangle"])
def test_straight_pieces_away_from_their_ends_have_no_remainder_but_rounding(name):
    found = encloser(activations.get(name))(np.array([-5.4, 5.4]), np.array([0.09, 0.09]))
    assert found.remainder.max() < 1e-13


def test_the_hinge_across_its_kink_is_replaced_by_the_best_straight_line():
    """relu on [l, u]: the chord has slope u / (u - l), and the best line misses by -u l / (2 (u - l))."""
    lower, upper = np.array([-1.0, -0.25, -3.0]), np.array([1.0, 0.5, 0.125])
    found = encloser(activations.get("relu"))(0.5 * (lower + upper), 0.5 * (upper - lower))
    np.testing.assert_allclose(found.slope, upper / (upper - lower), rtol=1e-14)
    np.testing.assert_allclose(found.remainder, -upper * lower / (2 * (upper - lower)), rtol=1e-12)


@pytest.mark.parametrize("name", SMOOTH)
def test_the_greatest_derivatives_are_those_of_dense_differences(name):
    """Differences of order k over a step, with many digits, against the stated sizes: below, and within 2 %."""
    find, h = encloser(activations.get(name)), Fraction(1, 4096)
    grid = [Fraction(n, 64) for n in range(-400, 401)]
    with flint.ctx.workprec(300):
        for order, size in enumerate(find.sizes, 1):
            most = 0.0
            for t in grid:
                difference = sum(
                    (-1) ** (order - j) * math.comb(order, j) * ball(name, t + (j - Fraction(order, 2)) * h)
                    for j in range(order + 1)
                )
                most = max(most, abs(float(difference)) * float(1 / h) ** order)
            assert most <= size
            assert most >= 0.97 * size


def test_hundreds_of_break_points_are_told_apart():
    """A zigzag of 201 pieces: slopes +1 and -1 in turn, break-points at the whole numbers from -100 to 99."""
    pieces, value = [[100, 1]], Fraction(0)
    for k, mark in enumerate(range(-100, 100)):
        slope = (-1) ** (k + 1)
        pieces.append([value - slope * mark, slope])
        value += slope
    find = encloser(piecewise_polynomial("zigzag", range(-100, 100), pieces))
    c = np.arange(-99.5, 99.0)
    found = find(c, np.full(len(c), 0.25))
    np.testing.assert_allclose(found.value, -0.5, atol=1e-12)
    assert found.remainder.max() < 1e-9
    assert np.abs(found.slope).min() == 1.0


def test_what_is_unknown_has_no_encloser():
    soft = Activation("soft", Family.SMOOTH, lambda z, xp: xp.log(1 + xp.exp(z)))
    assert encloser(soft) is None


def test_floor_and_heaviside_are_enclosed_by_their_steps():
    found = encloser(activations.get("heaviside"))(np.array([-1.0, 0.0, 1.0]), np.array([0.5, 0.5, 0.5]))
    np.testing.assert_allclose(found.value, [0.0, 0.5, 1.0], atol=1e-14)
    np.testing.assert_allclose(found.remainder, [0.0, 0.5, 0.0], atol=1e-13)
    found = encloser(activations.get("floor"))(np.array([2.5, 3.0]), np.array([0.25, 0.25]))
    np.testing.assert_allclose(found.value, [2.0, 2.5], atol=1e-13)
    np.testing.assert_allclose(found.remainder, [0.0, 0.5], atol=1e-13)
