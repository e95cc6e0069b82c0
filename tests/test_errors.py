"""Approximation errors: closed forms, exact rationals, dense sampling, and the spike that no grid finds."""

import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import exact_break_points, exact_outputs, sup_distance_to_square

import approxrates as ar
from approxrates import activations
from approxrates.constructions import construct
from approxrates.errors import approximation_errors
from approxrates.errors.breakpoints import pieces_of
from approxrates.layers import Layer
from approxrates.network import Network


def from_function(function, dim=1, smoothness=2.0):
    return ar.Target.from_callable(function, ar.Regularity(smoothness=smoothness, dim=dim))


def square(x):
    return x[:, 0] ** 2


def zero(x):
    return np.zeros(len(x))


def waves(x):
    return np.sin(5 * x).sum(axis=1)


SQUARE = ar.load_target("polynomial", coefficients=[0.0, 0.0, 1.0], dim=1)
TREE = ar.load_target("faber_tree", smoothness=0.5, dim=1, seed=0)


def random_network(code="relu", widths=(8, 8), dim=1, seed=0, n_outputs=1):
    rng = np.random.default_rng(seed)
    layers, n_in = [], dim
    for width in widths:
        codes = activations.get(code).units(width)
        layers.append(Layer(rng.normal(size=(width, n_in)) * math.sqrt(2 / n_in), 0.3 * rng.normal(size=width), codes))
        n_in = width
    return Network(
        (*layers, Layer(rng.normal(size=(n_outputs, n_in)), rng.normal(size=n_outputs), ("identity",) * n_outputs))
    )


def spike(centre, half_width, height=1.0):
    """A hat of the given height, zero elsewhere."""
    knots = np.array([centre - half_width, centre, centre + half_width])
    slope = height / half_width
    hidden = Layer(np.ones((3, 1)), -knots, ("relu",) * 3)
    return Network((hidden, Layer(np.array([[slope, -2 * slope, slope]]), None, ("identity",))))


@pytest.mark.parametrize("cells", [1, 2, 3, 7, 16, 100, 256])
def test_the_interpolant_of_the_square_has_its_known_errors(cells):
    """h^2/4 in the sup norm and h^2/sqrt(30) in L2: the error on a cell is x(h - x)."""
    error = ar.approximation_error(construct("interpolation", SQUARE, cells=cells), SQUARE)
    h = 1 / cells
    assert error.certified
    assert error.method == "break-points"
    assert error.pieces == cells
    assert error.sup[0] == pytest.approx(h * h / 4, abs=1e-15)
    assert error.sup[1] == pytest.approx(h * h / 4, abs=1e-15)
    assert error.sup[0] <= h * h / 4 <= error.sup[1]
    assert error.l2 == pytest.approx(h * h / math.sqrt(30), rel=1e-11)
    assert abs(error.where[0] * cells % 1 - 0.5) < 1e-3


@pytest.mark.parametrize("exponent", [0.5, 0.3])
def test_interpolants_of_a_power_have_its_exponent_as_rate(exponent):
    target = from_function(lambda x: x[:, 0] ** exponent, smoothness=exponent)
    found = [ar.approximation_error(construct("interpolation", target, cells=n), target) for n in (8, 32, 128)]
    best = exponent ** (exponent / (1 - exponent)) - exponent ** (1 / (1 - exponent))  # sup of u^a - u on [0, 1]
    for cells, error in zip((8, 32, 128), found, strict=True):
        assert error.sup[0] == pytest.approx(best * cells**-exponent, rel=1e-9)
        assert error.sup[1] == pytest.approx(best * cells**-exponent, rel=2e-3)
        assert not error.certified


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("code", ["relu", "leaky_relu", "abs", "hard_tanh"])
def test_break_points_are_those_of_exact_propagation(code, seed):
    network = random_network(code, (4, 3), seed=seed)
    mesh = pieces_of(network).t
    exact = [float(t) for t in exact_break_points(network)]
    assert max(min(abs(mesh - t)) for t in exact) < 1e-13
    assert max(min(abs(np.array(exact) - t)) for t in mesh) < 1e-13


@pytest.mark.parametrize("seed", range(6))
def test_the_enclosure_holds_the_exact_sup_of_a_random_network_against_the_square(seed):
    network = random_network(widths=(5, 4), seed=seed)
    exact = float(sup_distance_to_square(network))
    error = ar.approximation_error(network, SQUARE)
    assert error.sup[0] <= exact <= error.sup[1]
    assert error.sup[0] == pytest.approx(exact, rel=1e-12)
    assert error.sup[1] == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("code", ["relu", "leaky_relu", "abs", "hard_tanh", "triangle", "relu+triangle"])
@pytest.mark.parametrize("depth", [1, 3, 6])
def test_a_piecewise_linear_network_is_affine_between_its_break_points(code, depth):
    network = random_network(code, (6,) * min(depth, 3 if "triangle" in code else 6), seed=depth)
    pieces = pieces_of(network)
    x = np.random.default_rng(0).random(4000)
    scale = np.abs(pieces.values).max()
    np.testing.assert_allclose(pieces(x), network(x), atol=max(4 * pieces.rounding, 1e-13 * scale))
    assert pieces.rounding < 1e-9 * scale


def test_rounding_bound_covers_what_exact_arithmetic_finds():
    network = random_network(widths=(12, 12, 12), seed=1)
    pieces = pieces_of(network)
    exact = [exact_outputs(network, [Fraction(float(t))])[0] for t in pieces.t]
    assert max(abs(float(Fraction(float(v)) - e)) for v, e in zip(pieces.values, exact, strict=True)) <= pieces.rounding


def cancelling(centre, knots=6000):
    """A network whose value is ruled by rounding in a window of two cells: weights 1e11 and -3e11 cancel there."""
    inner = np.linspace(0, 1, knots + 1)[1:-1]
    codes = ("relu",) * len(inner) + ("abs",)
    first = Layer(np.ones((knots, 1)), -np.append(inner, centre), codes)
    rows = np.zeros((3, knots))
    rows[0, :-1] = 1e-9 * (-1.0) ** np.arange(knots - 1)
    rows[1:, -1] = [-2.0 * knots, -2.0 * knots / 3]
    second = Layer(rows, np.array([1e-3, 1.0, 1 / 3]), ("relu",) * 3)
    return Network((first, second, Layer(np.array([[1.0, 1e11, -3e11]]), np.zeros(1), ("identity",))), {})


def test_rounding_is_bounded_on_every_cell_of_a_large_mesh():
    rng = np.random.default_rng(3)
    target = ar.load_target("constant", dim=1)
    for _ in range(2):
        network = cancelling(0.05 + 0.9 * rng.random())
        error = ar.approximation_error(network, target)
        exact = abs(Fraction(network(np.array([error.where]), arithmetic="exact")[0]) - 1)
        assert error.sup[0] <= exact <= error.sup[1]


def test_bends_of_many_units_at_one_place_are_all_misplaced():
    units = 64
    offsets = np.repeat([2.0**-10, 0.0, -(2.0**-10)], units)
    hidden = Layer(np.full((3 * units, 1), 3.0), offsets - 1.0, ("relu",) * len(offsets))
    hat = np.repeat([1.0, -2.0, 1.0], units)[None]
    network = Network((hidden, Layer(hat, None, ("identity",))), {})
    exact = exact_outputs(network, [Fraction(1, 3)])[0]
    error = ar.approximation_error(network, ar.load_target("polynomial", dim=1, coefficients=[0.0]))
    assert error.certified
    assert error.sup[0] <= exact <= error.sup[1]


def test_a_clipped_unit_just_inside_its_rim_is_allowed_for():
    """What is clipped is 1 less 2^-60, and 2^60 times that less 2^60 is -1, not 0."""
    clipped = ("hard_tanh",)
    layers = (
        Layer(np.zeros((2, 1)), np.array([1.0, 2.0**-60]), clipped * 2),
        Layer(np.array([[1.0, -1.0]]), None, clipped),
        Layer(np.array([[2.0**60]]), np.array([-(2.0**60)]), ("identity",)),
    )
    error = ar.approximation_error(Network(layers, {}), ar.load_target("polynomial", dim=1, coefficients=[0.0]))
    assert error.certified
    assert error.sup[0] <= 1.0 <= error.sup[1]


@pytest.mark.parametrize("code", ["leaky_relu", "relu"])
def test_units_whose_side_is_decided_by_rounding_are_allowed_for(code):
    """Two terms of size 1e7 cancel but for the last digit: the sign of what is left, times 1e9, is rounding."""
    rng = np.random.default_rng(1)
    target = ar.load_target("polynomial", dim=1, coefficients=[0.0])
    for _ in range(60):
        slope, bias, bend = rng.uniform(0.1, 1), rng.uniform(1, 8), rng.uniform(0.2, 0.8)
        large = float(rng.uniform(1, 2) * 2**20)
        step, sign = large - float(np.nextafter(large, 0)), rng.choice([-1.0, 1.0])
        layers = (
            Layer(np.full((2, 1), slope), np.full(2, bias), (code,) * 2),
            Layer(sign * np.array([[large, step - large]]), np.array([-sign * step * (slope * bend + bias)]), (code,)),
            Layer(np.array([[1 / (step * slope)]]), None, ("identity",)),
        )
        network = Network(layers, {})
        error = ar.approximation_error(network, target)
        exact = max(abs(exact_outputs(network, [t])[0]) for t in exact_break_points(network))
        assert error.sup[0] <= exact <= error.sup[1]


@pytest.mark.parametrize("half_width", [1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize("centre", [1 / 3, 0.70710678, 0.123456789])
def test_a_spike_between_grid_points_is_found(centre, half_width):
    target = from_function(zero)
    error = ar.approximation_error(
        spike(centre, half_width), dataclasses.replace(target, interpolation_gap=lambda level: 0.0)
    )
    assert error.sup[0] == pytest.approx(1.0, abs=1e-5)
    assert error.where[0] == pytest.approx(centre, abs=2 * half_width)
    assert 2 <= error.pieces <= 4


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), width=st.integers(1, 8), depth=st.integers(1, 4), point=st.floats(0, 1))
def test_no_sampled_error_is_above_the_upper_end_and_the_lower_end_is_attained(seed, width, depth, point):
    network = random_network(widths=(width,) * depth, seed=seed)
    for target in (SQUARE, TREE):
        error = ar.approximation_error(network, target)
        assert error.certified
        x = np.append(np.random.default_rng(seed).random(300), point)
        assert np.abs(target(x) - network(x)).max() <= error.sup[1] * (1 + 1e-13)
        at = np.array([error.where])
        assert error.sup[0] <= np.abs(target(at) - network(at))[0] * (1 + 1e-9) + 1e-14
        assert error.sup[1] <= error.sup[0] * 1.0005 + 1e-12


def test_a_tree_error_matches_a_dense_dyadic_grid():
    network = construct("interpolation", TREE, cells=8)
    x = np.arange(2**19 + 1) / 2**19
    dense = np.abs(TREE(x) - network(x)).max()
    error = ar.approximation_error(network, TREE)
    assert error.certified
    assert dense <= error.sup[1]
    assert error.sup[0] >= dense * (1 - 1e-3)


def test_a_smaller_gap_is_reached_on_request_and_a_small_budget_widens_the_enclosure_honestly():
    network = construct("interpolation", TREE, cells=16)
    usual, sharp = ar.approximation_error(network, TREE), ar.approximation_error(network, TREE, gap=1e-6)
    poor = ar.approximation_error(network, TREE, budget=300)
    assert sharp.gap <= 1e-6 < usual.gap <= 5e-4 < poor.gap
    assert poor.sup[0] <= sharp.sup[0] <= sharp.sup[1] <= poor.sup[1]
    assert poor.certified


def test_results_do_not_depend_on_what_else_is_measured():
    networks = [random_network(code, (6, 6), seed=s) for s in range(3) for code in ("relu", "sin", "abs", "relu2")]
    networks.append(construct("interpolation", TREE, cells=200))
    together = approximation_errors(networks, TREE)
    assert together == [ar.approximation_error(network, TREE) for network in networks]


@pytest.mark.parametrize("code", ["tanh", "sin", "relu2", "relu+sin", "floor"])
def test_a_quick_measure_of_other_networks_is_on_a_grid_and_not_certified(code):
    network = random_network(code, (6, 6), seed=1)
    error = ar.approximation_error(network, SQUARE, certify=False)
    assert error.ended_by is None
    x = np.linspace(0, 1, 40_001)
    dense = np.abs(SQUARE(x) - network(x))
    assert (error.method, error.certified, error.pieces) == ("grid", False, None)
    assert error.sup[0] >= dense.max() * (1 - 1e-6)
    assert error.sup[1] >= error.sup[0]
    assert error.l2 == pytest.approx(math.sqrt((dense**2).mean()), rel=5e-3)


@pytest.mark.parametrize(("dim", "samples"), [(2, 100_000), (3, 60_000)])
def test_grids_in_higher_dimension_find_what_random_samples_find(dim, samples):
    target, network = from_function(waves, dim), random_network(widths=(8, 8), dim=dim, seed=2)
    error = ar.approximation_error(network, target, budget=60_000)
    x = np.random.default_rng(0).random((samples, dim))
    sampled = np.abs(target(x) - network(x))
    assert error.sup[0] >= sampled.max()
    assert error.sup[1] <= error.sup[0] * 1.1
    assert error.l2 == pytest.approx(math.sqrt((sampled**2).mean()), rel=0.02)
    assert len(error.where) == dim


@pytest.mark.parametrize("dim", [1, 2, 3, 6])
def test_a_maximum_in_a_corner_is_met_exactly(dim):
    target = from_function(lambda x: np.exp(4 * x.sum(axis=1) / x.shape[1]), dim)
    network = Network((Layer(np.zeros((1, dim)), None, ("tanh",)), Layer(np.zeros((1, 1)), None, ("identity",))))
    error = ar.approximation_error(network, target)
    assert error.sup[0] == pytest.approx(math.exp(4), rel=1e-12)
    assert error.where == (1.0,) * dim


def test_l2_in_two_dimensions_equals_its_closed_form():
    network = Network((Layer(np.zeros((1, 2)), None, ("identity",)),))
    error = ar.approximation_error(network, from_function(lambda x: x[:, 0] * x[:, 1], 2))
    assert error.l2 == pytest.approx(1 / 3, rel=1e-9)
    assert error.sup[0] == 1.0


@pytest.mark.parametrize("dim", [1, 2])
def test_l2_of_a_weierstrass_function_is_that_of_its_orthogonal_terms(dim):
    """Cosines of different frequencies are orthogonal: the squared norm is half the sum of the squared amplitudes."""
    target = ar.load_target("weierstrass", smoothness=0.5, dim=1, seed=0, levels=20)
    if dim == 2:
        one = target
        target = from_function(lambda x: one(x[:, :1]) * one(x[:, 1:]), dim=2, smoothness=0.5)
    network = Network((Layer(np.zeros((1, dim)), None, ("identity",)),))
    norm = math.sqrt(sum(2.0**-k for k in range(20)) / 2)
    assert ar.approximation_error(network, target, budget=20_000).l2 == pytest.approx(norm**dim, rel=0.01)


def test_the_gap_is_relative_to_the_lower_end():
    error = ar.approximation_error(construct("interpolation", TREE, cells=16), TREE)
    assert error.gap == (error.sup[1] - error.sup[0]) / error.sup[0]
    assert dataclasses.replace(error, sup=(0.0, 0.0)).gap == 0.0
    assert dataclasses.replace(error, sup=(0.0, 1.0)).gap == math.inf


def test_errors_on_data_are_those_of_the_points():
    x, y = np.array([0.0, 0.25, 1.0]), np.array([0.0, 1.0, 0.5])
    network = Network((Layer(np.array([[1.0]]), None, ("identity",)),))
    error = ar.approximation_error(network, ar.Target.from_data(x, y, ar.Regularity(smoothness=1.0, dim=1)))
    assert error.sup == (0.75, 0.75)
    assert error.where == (0.25,)
    assert error.l2 == pytest.approx(math.sqrt((0.75**2 + 0.5**2) / 3))
    assert (error.method, error.certified, error.n_evaluations) == ("data", False, 3)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("code", ["relu", "tanh"])
def test_weights_that_are_not_finite_give_an_infinite_error(value, code):
    network = random_network(code)
    broken = Network((*network.layers[:-1], Layer(np.full((1, 8), value), None, ("identity",))))
    error = ar.approximation_error(broken, SQUARE)
    assert error.sup == (math.inf, math.inf)
    assert error.l2 == math.inf
    assert not error.certified


@pytest.mark.parametrize("code", ["relu", "relu2"])
def test_overflow_inside_gives_an_infinite_error_and_no_exception(code):
    huge = Layer(np.full((8, 8), 1e200), None, activations.get(code).units(8))
    first = Layer(np.full((8, 1), 1e200), None, activations.get(code).units(8))
    error = ar.approximation_error(Network((first, huge, Layer(np.ones((1, 8)), None, ("identity",)))), SQUARE)
    assert error.sup[1] == math.inf


def test_a_network_equal_to_the_target_has_error_zero():
    target = ar.load_target("polynomial", coefficients=[0.25, 0.5], dim=1)
    error = ar.approximation_error(construct("interpolation", target, cells=4), target)
    assert error.sup[0] == 0.0
    assert error.sup[1] < 1e-14
    assert error.l2 < 1e-15


def test_neighbouring_pieces_of_equal_slope_count_as_one():
    straight = Layer(np.ones((4, 1)), -np.array([0.2, 0.4, 0.6, 0.8]), ("relu",) * 4)
    network = Network((straight, Layer(np.array([[1.0, 0.0, -1.0, 0.0]]), None, ("identity",))))
    assert ar.approximation_error(network, SQUARE).pieces == 3


def test_too_many_break_points_are_left_to_the_grid():
    wild = Network((Layer(np.array([[1e7]]), None, ("triangle",)), Layer(np.ones((1, 1)), None, ("identity",))))
    error = ar.approximation_error(wild, SQUARE, certify=False)
    assert error.method == "grid"
    assert not error.certified


@pytest.mark.parametrize(
    ("write", "error", "message"),
    [
        (lambda: ar.approximation_error(random_network(dim=2), SQUARE), ValueError, "dim=1"),
        (lambda: ar.approximation_error(random_network(n_outputs=2), SQUARE), ValueError, "one output"),
        (lambda: ar.approximation_error(random_network(), square), TypeError, "must be a Target"),
        (lambda: ar.approximation_error(square, SQUARE), TypeError, "must be a Network"),
        (lambda: ar.approximation_error(random_network(), SQUARE, gap=0.0), ValueError, "gap must be positive"),
        (lambda: ar.approximation_error(random_network(), SQUARE, gap="small"), TypeError, "gap must be a number"),
        (lambda: ar.approximation_error(random_network(), SQUARE, budget=0), ValueError, "budget must be at least 1"),
        (lambda: ar.approximation_error(random_network(), SQUARE, budget=1e5), TypeError, "budget must be an integer"),
        (lambda: ar.approximation_error(random_network(), SQUARE, certify="no"), TypeError, "certify must be True or"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(write, error, message):
    with pytest.raises(error, match=message):
        write()


def test_bends_too_small_to_count_singly_are_counted_where_they_make_a_curve():
    from approxrates.errors.breakpoints import _count

    t = np.linspace(0.0, 1.0, 2**16 + 1)
    assert _count(t, 1.0 + 1e-4 * t * (1.0 - t)) == 2**16
    assert _count(t, 1.0 + t + 1e-14 * np.sin(1e6 * t)) == 1
    assert _count(t, np.abs(t - 0.5)) == 2
