"""Balls: against rationals, against float64, against columns; radii that hold; what is refused."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_columns import random_layers, rationals

from approxrates import activations
from approxrates.arithmetic import choose_arithmetic, evaluate_balls, evaluate_columns, evaluate_exact, evaluate_float64
from approxrates.constructions.compiler import compile_network
from approxrates.constructions.gadgets.sawtooth import square
from approxrates.constructions.graph import Graph
from approxrates.layers import HALF, ONE, Dyadic, SparseLayer, dense
from approxrates.network import Network

POLYNOMIAL = [code for code in activations.names() if activations.get(code).pieces is not None]
SMOOTH = [code for code in activations.names() if activations.get(code).pieces is None]


def one_unit(code, weight=ONE, bias=None):
    unit = SparseLayer(1, (((0, weight),),), (bias,), (code,))
    return [unit, SparseLayer(1, (((0, ONE),),), (None,), ("identity",))]


@pytest.mark.parametrize("code", POLYNOMIAL)
def test_piecewise_polynomials_enclose_the_rational_values(code):
    for seed in range(3):
        layers = random_layers(seed, [code], 12 if "bspline" in code or "3" in code else 60, dim=2)
        points = np.random.default_rng(seed).integers(-64, 65, (7, 2))
        exact = evaluate_exact(layers, rationals(points, 5))
        middle, radius = evaluate_balls(layers, rationals(points, 5))
        for i, row in enumerate(exact):
            for k, value in enumerate(row):
                assert abs(Fraction(float(middle[i, k])) - value) <= Fraction(float(radius[i, k]))
        assert (radius <= np.maximum(2.0**-50, 2.0**-51 * np.abs(middle))).all()


@pytest.mark.parametrize("code", [*SMOOTH, "sin:30", "snake:2", "relu+sin"])
def test_smooth_activations_agree_with_float64(code):
    units = activations.get(code).units(4)
    rng = np.random.default_rng(0)
    for seed in range(3):
        layers = random_layers(seed, units, 10, widths=(4, 4))
        x = rng.random((20, 1))
        middle, radius = evaluate_balls(layers, x)
        np.testing.assert_allclose(evaluate_float64(layers, x), middle, rtol=1e-11, atol=1e-11)
        assert (radius <= np.maximum(2.0**-50, 2.0**-51 * np.abs(middle))).all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), precision=st.sampled_from([20, 53, 200, None]))
def test_radii_hold_at_every_precision(seed, precision):
    layers = random_layers(seed, ["relu2", "xabsx", "relu", "quadratic_bspline"], 80)
    points = np.random.default_rng(seed).integers(-32, 33, (4, 1))
    exact = evaluate_exact(layers, rationals(points, 5))
    middle, radius = evaluate_balls(layers, rationals(points, 5), precision)
    for i, row in enumerate(exact):
        for k, value in enumerate(row):
            if np.isfinite(radius[i, k]):
                assert abs(Fraction(float(middle[i, k])) - value) <= Fraction(float(radius[i, k]))


def test_precision_is_doubled_until_cancellation_is_overcome():
    big = Dyadic((1 << 900) + 1, -450)
    up = SparseLayer(1, (((0, big),), ((0, -big),)), (Dyadic(1, -30), big), ("relu2", "relu2"))
    layers = [up, SparseLayer(2, (((0, ONE), (1, -ONE)),), (None,), ("identity",))]
    point = [[Dyadic(1, -1)]]
    exact = evaluate_exact(layers, [[Fraction(1, 2)]])[0][0]
    middle, radius = evaluate_balls(layers, point)
    assert abs(Fraction(float(middle[0, 0])) - exact) <= Fraction(float(radius[0, 0])) <= abs(exact) / 2**50
    assert evaluate_balls(layers, point, 60)[1][0, 0] > 2.0**400  # one short precision is told by its radius


def test_sine_of_a_huge_argument_is_reduced_exactly():
    weight = Dyadic((1 << 5000) + 3, -4)
    for x in (Fraction(1, 4), Fraction(3, 32), Fraction(1, 3)):
        turns = x * weight.fraction
        expected = np.sin(2 * np.pi * float(turns - int(turns)))
        middle, radius = evaluate_balls(one_unit("sin", weight), [[x]])
        assert abs(middle[0, 0] - expected) <= 1e-14
        assert radius[0, 0] <= 2.0**-50


def test_columns_and_balls_agree_on_periodic_networks():
    layers = random_layers(4, ["relu", "sin"], 200, widths=(5, 4, 3))
    points = np.arange(20)[:, None]
    middle, radius = evaluate_balls(layers, rationals(points, 5))
    for bits in (48, 10):
        found = evaluate_columns(layers, points, 5, bits=bits)
        assert (np.abs(found.values - middle) <= found.radius + radius).all()


def test_jumps_take_their_value_at_exact_points_and_are_refused_where_the_ball_reaches_over():
    assert evaluate_balls(one_unit("heaviside"), [[Fraction(0)], [-1e-300]])[0].tolist() == [[1.0], [0.0]]
    assert evaluate_balls(one_unit("floor"), [[Fraction(3)], [Fraction(5, 2)]])[0].tolist() == [[3.0], [2.0]]
    third = one_unit("heaviside", Dyadic(3), Dyadic(-1))
    with pytest.raises(ValueError, match="jump"):
        evaluate_balls(third, [[Fraction(1, 3)]])


def test_unknown_formulas_and_bad_points_are_refused():
    activations.register(
        activations.Activation("only_floats", activations.Family.SMOOTH, lambda z, xp: xp.tanh(z) ** 2)
    )
    with pytest.raises(ValueError, match="only_floats"):
        evaluate_balls(one_unit("only_floats"), [[0.5]])
    with pytest.raises(ValueError, match="finite"):
        evaluate_balls(one_unit("relu"), [[float("nan")]])


def test_networks_choose_their_arithmetic():
    long = Dyadic((1 << 80) + 1, -80)
    assert choose_arithmetic([dense(layer) for layer in one_unit("tanh")]) == "float64"
    assert choose_arithmetic(one_unit("tanh")) == "ball"
    assert choose_arithmetic(one_unit("relu", long)) == "columns"
    assert choose_arithmetic(one_unit("sin", long)) == "columns"
    assert choose_arithmetic(one_unit("relu2", long)) == "ball"
    network = Network(tuple(one_unit("relu2", long, -HALF)))
    values, radii = network(np.array([0.25, 0.75]), arithmetic="ball")
    assert values.shape == radii.shape == (2,)
    assert np.array_equal(network(np.array([0.25, 0.75])), values)
    assert values.tolist() == [0.0, 0.0625]
    assert 0.0 < radii[1] <= 2.0**-50


def test_balls_that_blow_up_at_first_are_made_narrow():
    """Hinges of relu2 with steps of 2^-300, forty deep: at 128 bits the balls reach infinity, which is no answer."""
    graph = Graph(1)
    network = compile_network(graph.network([square(graph, graph.input(), 12)]), "relu2", 2.0**-300)
    x = [Fraction(k, 64) for k in range(0, 65, 7)]
    values, radii = network([[v] for v in x], arithmetic="ball")
    assert np.isfinite(radii).all()
    assert np.abs(values - np.array([float(v) ** 2 for v in x])).max() < 2.0**-25
