"""Universality: hinges of every piecewise-polynomial activation, and ReLU networks compiled to them, in rationals."""

import math
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from approxrates import activations
from approxrates.catalogue import load_target
from approxrates.constructions import construct
from approxrates.constructions.compiler import compile_network
from approxrates.constructions.gadgets.kinks import hinge, kink_of
from approxrates.constructions.gadgets.sawtooth import square
from approxrates.constructions.graph import Graph
from approxrates.layers import Dyadic, SparseLayer, nearest
from approxrates.network import Network

LINEAR = ("leaky_relu", "leaky_relu:0.25", "hard_tanh", "abs", "triangle", "relu")
CODES = (*LINEAR, "relu2", "relu3", "xabsx", "quadratic_bspline", "cubic_bspline")
COPIES = {"relu": 1, "hard_tanh": 1, "relu3": 3, "cubic_bspline": 3, "xabsx": 4}


def value(made, activation, t):
    units = (u.weight.fraction * activation.exact(u.zoom.fraction * t + u.shift.fraction) for u in made.units)
    return sum(units, made.constant.fraction)


@pytest.mark.parametrize("code", CODES)
@given(
    t=st.fractions(-1, 1, max_denominator=10**6),
    reach=st.integers(0, 70),
    places=st.integers(1, 90),
    near=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_a_hinge_is_relu_within_its_stated_error(code, t, reach, places, near):
    error = Fraction(1, 2**places)
    made = hinge(kink_of(code), reach, error)
    t *= 4 * error if near and 4 * error < 2**reach else 2**reach
    assert made.error <= error
    assert abs(value(made, activations.get(code), t) - max(t, 0)) <= made.error
    assert len(made.units) == COPIES.get(code, 2)


@pytest.mark.parametrize("code", ["hard_tanh", "abs", "triangle", "relu"])
def test_piecewise_linear_hinges_with_dyadic_jumps_are_exact(code):
    assert hinge(kink_of(code), 5, Fraction(1, 2)).error == 0


def test_the_error_of_a_square_is_delta_over_eight():
    """At 0 the bend of ReLU^2 is off by exactly delta / 8, so a stated error below that would be wrong."""
    made = hinge(kink_of("relu2"), 3, Fraction(1, 64))
    delta = 2 * max(u.shift.fraction for u in made.units)
    off = value(made, activations.get("relu2"), Fraction(0))
    assert off == delta / 8 <= made.error
    assert value(made, activations.get("relu2"), delta / 2) == delta / 2


@pytest.mark.parametrize("code", ["sin", "tanh", "heaviside", "floor", "identity"])
def test_what_has_no_kink_is_refused(code):
    with pytest.raises(ValueError, match="break-point"):
        kink_of(code)


@st.composite
def relu_networks(draw):
    """Small networks with weights of up to 70 bits in two inputs, biases here and there."""
    widths = [2, draw(st.integers(1, 3)), draw(st.integers(1, 3)), 1]
    weight = st.builds(Dyadic, st.integers(-(2**70), 2**70), st.integers(-72, -66))
    layers = []
    for i, (n_in, n_out) in enumerate(pairwise(widths)):
        rows = [tuple((s, draw(weight)) for s in range(n_in) if draw(st.booleans())) for _ in range(n_out)]
        bias = [draw(st.one_of(st.none(), weight)) for _ in range(n_out)]
        code = "identity" if i == len(widths) - 2 else "relu"
        layers.append(SparseLayer(n_in, tuple(rows), tuple(bias), (code,) * n_out))
    return Network(tuple(layers))


@pytest.mark.parametrize("code", CODES)
@given(network=relu_networks(), x=st.tuples(*[st.fractions(0, 1, max_denominator=1000)] * 2), places=st.integers(2, 50))
@settings(max_examples=20, deadline=None)
def test_a_compiled_network_is_off_by_no_more_than_it_says(code, network, x, places):
    compiled = compile_network(network, code, 2.0**-places)
    note = compiled.provenance["compiled"]
    assert note["error"] <= 2.0**-places
    assert abs(compiled([x], "exact")[0] - network([x], "exact")[0]) <= Fraction(note["error"])
    assert compiled.depth == network.depth
    assert compiled.activations <= {code, "identity"}


@pytest.mark.parametrize("code", CODES)
def test_parameters_grow_by_a_constant_factor(code):
    """At most k^2 for weights between units and k more for each unit's shift, the same for every depth."""
    k = COPIES.get(code, 2)
    for steps in (2, 6):
        graph = Graph(1)
        network = graph.network([square(graph, graph.input(), steps)], {"bound": 0.25})
        compiled = compile_network(network, code)
        units = sum(layer.n_out for layer in network.layers)
        assert compiled.n_params <= k * k * network.n_params + k * units
        assert compiled.provenance["bound"] == 0.25 + compiled.provenance["compiled"]["error"]


def test_a_deep_network_with_long_weights_stays_within_its_tolerance():
    """Forty foldings stretch by 2^40: the hinges must be that much finer, and the bits follow."""
    graph = Graph(1)
    network = graph.network([square(graph, graph.input(), 40)])
    compiled = compile_network(network, "quadratic_bspline", 2.0**-60)
    assert 60 < compiled.max_bits < 300
    assert compiled.provenance["compiled"]["error"] <= 2.0**-60


def test_bad_input_is_refused():
    graph = Graph(1)
    network = graph.network([graph.unit(graph.input(), "abs")])
    with pytest.raises(ValueError, match="made of ReLU units"):
        compile_network(network, "relu2")
    with pytest.raises(ValueError, match="tolerance must be positive"):
        compile_network(network, "relu2", 0.0)
    with pytest.raises(TypeError, match="must be a Network"):
        compile_network("relu", "relu2")


def test_bounds_are_rounded_outwards():
    """Weights of 200 bits: ranges are kept with 64, and must still hold the values."""
    weight = nearest(Fraction(1, 3), -200)
    layers = (
        SparseLayer(1, (((0, weight),), ((0, -weight),)), (None, weight), ("relu", "relu")),
        SparseLayer(2, (((0, weight), (1, -weight)),), (None,), ("identity",)),
    )
    network = Network(layers)
    compiled = compile_network(network, "hard_tanh")
    for x in (0, Fraction(1, 7), 1):
        assert compiled([[x]], "exact") == network([[x]], "exact")


@pytest.mark.parametrize("code", ["leaky_relu", "hard_tanh", "relu2"])
def test_construct_counts_the_compiled_network(code):
    target = load_target("takagi", smoothness=0.5, dim=1)
    network = construct("interpolation", target, n_params=200, activation=code, tolerance=2.0**-30)
    assert 0.9 * 200 < network.n_params <= 200 == network.provenance["n_params"]
    note = network.provenance["compiled"]
    assert note["tolerance"] == 2.0**-30
    plain = construct("interpolation", target, n_params=note["n_params"])
    assert plain.n_params == note["n_params"]
    x = [[Fraction(k, 97)] for k in range(98)]
    pairs = zip(network(x, "exact"), plain(x, "exact"), strict=True)
    assert max(abs(a - b) for a, b in pairs) <= Fraction(note["error"]) + Fraction(1, 2**50)


def test_construct_says_what_a_compiled_network_needs():
    target = load_target("takagi", smoothness=0.5, dim=1)
    with pytest.raises(ValueError, match="n_params must be at least about"):
        construct("interpolation", target, n_params=5, activation="relu2")
    with pytest.raises(ValueError, match="break-point"):
        construct("interpolation", target, n_params=50, activation="tanh")
    with pytest.raises(ValueError, match=r"n_params must be at least 1\. Got n_params=0"):
        construct("interpolation", target, n_params=0, activation="relu2")


@pytest.mark.parametrize(
    ("tolerance", "kind"), [("1", TypeError), (None, TypeError), (0.0, ValueError), (math.inf, ValueError)]
)
def test_tolerances_that_are_none_are_told(tolerance, kind):
    network = construct("yarotsky2017_square", load_target("polynomial", dim=1), steps=2)
    with pytest.raises(kind, match="tolerance must be"):
        compile_network(network, "relu2", tolerance)
