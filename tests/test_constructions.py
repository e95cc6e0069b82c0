"""Constructions: counts, nodal values and errors of interpolation against closed forms and a slow interpolant."""

import math
from fractions import Fraction

import numpy as np
import pytest
from oracles import count_non_zero, kuhn_interpolant

import approxrates as ar
from approxrates import constructions
from approxrates.constructions import construct
from approxrates.constructions.interpolation import count


def square(x):
    return x[:, 0] ** 2


def lifted(x):
    return x[:, 0] ** 2 + 1.0


def wave(x):
    return np.cos(3 * x[:, 0] + 5 * x.prod(axis=1)) + 0.3


def from_function(function, dim=1, smoothness=2.0):
    return ar.Target.from_callable(function, ar.Regularity(smoothness=smoothness, dim=dim))


def nodes(cells, dim):
    axis = np.arange(cells + 1) / cells
    return np.stack(np.meshgrid(*[axis] * dim, indexing="ij"), axis=-1).reshape(-1, dim)


@pytest.mark.parametrize("cells", [1, 2, 7, 64])
def test_a_line_takes_three_parameters_per_cell_and_one_less_if_it_starts_at_zero(cells):
    for function, expected in ((square, 3 * cells - 1), (lifted, 3 * cells)):
        network = construct("interpolation", from_function(function), cells=cells)
        assert network.n_params == expected
        assert (network.depth, network.width) == (1, cells)


@pytest.mark.parametrize(("cells", "dim"), [(1, 2), (2, 2), (5, 2), (1, 3), (2, 3), (4, 3)])
def test_the_count_law_is_what_is_counted(cells, dim):
    network = construct("interpolation", from_function(wave, dim), cells=cells)
    assert network.n_params == count(cells, dim)
    assert network.depth == dim
    structural_zero_values = int((network.layers[-1].weight == 0).sum())
    assert network.n_params == count_non_zero(network) + structural_zero_values


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("n_params", [70, 100, 333, 1000])
def test_the_largest_network_that_fits_is_returned(dim, n_params):
    target = from_function(wave, dim)
    network = construct("interpolation", target, n_params=n_params)
    assert network.n_params <= n_params
    cells = network.provenance["cells"]
    assert construct("interpolation", target, cells=cells + 1).n_params > n_params


@pytest.mark.parametrize(("cells", "dim"), [(3, 1), (64, 1), (6, 2), (16, 2), (3, 3), (5, 3)])
def test_the_network_is_the_interpolant_on_the_freudenthal_triangulation(cells, dim):
    network = construct("interpolation", from_function(wave, dim), cells=cells)
    x = np.concatenate([nodes(1, dim), np.random.default_rng(0).random((150, dim))])
    np.testing.assert_allclose(network(x), kuhn_interpolant(wave, cells, x), atol=1e-14)


@pytest.mark.parametrize(("cells", "dim"), [(3, 1), (8, 1), (3, 2), (2, 3)])
def test_exact_evaluation_at_the_knots_gives_the_values_to_rounding(cells, dim):
    target = from_function(wave, dim)
    network = construct("interpolation", target, cells=cells)
    knots = nodes(cells, dim)
    rational = [[Fraction(round(c * cells), cells) for c in knot] for knot in knots]
    exact = network(rational, arithmetic="exact")
    quantum = 2.0**-52 * np.abs(network.layers[-1].weight).max()
    assert max(abs(float(a - Fraction(float(b)))) for a, b in zip(exact, target(knots), strict=True)) <= quantum


@pytest.mark.parametrize("cells", [1, 2, 16, 256])
def test_dyadic_interpolants_of_the_square_are_exact_at_dyadic_points(cells):
    network = construct("interpolation", from_function(square), cells=cells)
    middles = (np.arange(cells) + 0.5) / cells
    np.testing.assert_array_equal(network(nodes(cells, 1)), nodes(cells, 1)[:, 0] ** 2)
    np.testing.assert_array_equal(network(middles) - middles**2, np.full(cells, 0.25 / cells**2))


@pytest.mark.parametrize("cells", [3, 100, 256])
def test_float64_evaluation_stays_within_rounding_of_the_interpolant_at_any_point(cells):
    network = construct("interpolation", from_function(square), cells=cells)
    x = np.random.default_rng(0).random(50)
    exact = np.array([float(v) for v in network(x, arithmetic="exact")])
    assert np.abs(network(x) - exact).max() < 4e-15


@pytest.mark.parametrize("smoothness", [0.3, 0.5, 0.8])
def test_a_faber_tree_is_met_at_every_dyadic_knot(smoothness):
    target = ar.load_target("faber_tree", smoothness=smoothness, dim=1, seed=2)
    network = construct("interpolation", target, cells=64)
    assert network.n_params == 3 * 64 - 1
    knots = nodes(64, 1)
    exact = network([[Fraction(k, 64)] for k in range(65)], arithmetic="exact")
    values = target(knots)
    quantum = 2.0**-52 * np.abs(network.layers[-1].weight).max()
    assert max(abs(float(a - Fraction(float(b)))) for a, b in zip(exact, values, strict=True)) <= quantum
    np.testing.assert_allclose(network(knots), values, atol=1e-13)


def test_a_faber_tree_error_lies_in_the_sandwich_of_its_amplitudes():
    """2^(-kr)/2 <= error <= sum of the finer amplitudes / (1 - 2^-r) * 2/3, for 2^k cells."""
    r, k = 0.5, 5
    target = ar.load_target("faber_tree", smoothness=r, dim=1, seed=0)
    lower, upper = ar.approximation_error(construct("interpolation", target, cells=2**k), target).sup
    assert 2 ** (-k * r) / 2 <= lower
    assert upper <= 2 ** (-k * r) * (2 / 3) / (1 - 2**-r) * 1.001


@pytest.mark.parametrize("dim", [2, 3])
def test_second_order_is_reached_for_smooth_functions_in_higher_dimension(dim):
    target = from_function(wave, dim)
    cells = [8, 16] if dim == 2 else [4, 8]
    errors = [
        ar.approximation_error(construct("interpolation", target, cells=n), target, budget=20_000).sup[0] for n in cells
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.45)


def test_provenance_says_what_was_built():
    target = from_function(square)
    network = construct("interpolation", target, n_params=50)
    assert network.provenance["construction"] == "interpolation"
    assert network.provenance["cells"] == 17
    assert network.provenance["target"] == dict(target.parameters)


def test_every_construction_describes_itself():
    for name in constructions.names():
        theorem = constructions.describe(name)
        assert theorem.name == name
        assert theorem.dims
        assert theorem.rate(1.0, 1) > 0
        assert all((theorem.statement, theorem.reference, theorem.rate_law, theorem.count_law))


def test_the_declared_rate_is_measured():
    name = "interpolation"
    theorem = constructions.describe(name)
    target = from_function(square)
    sizes = [3 * 2**k - 1 for k in range(4, 9)]
    networks = [construct(name, target, n_params=n) for n in sizes]
    errors = [ar.approximation_error(network, target).sup[0] for network in networks]
    slopes = -np.diff(np.log(errors)) / np.diff(np.log([network.n_params for network in networks]))
    assert slopes[-1] == pytest.approx(theorem.rate(2.0, 1), abs=0.02)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ValueError, "n_params or cells"),
        ({"n_params": 1}, ValueError, "at least 2 "),
        ({"n_params": 7, "cells": 3}, ValueError, "at least 8 "),
        ({"cells": 0}, ValueError, "cells must be at least 1"),
        ({"n_params": 10.0}, TypeError, "integer"),
        ({"n_params": True}, TypeError, "integer"),
        ({"n_params": 100, "knots": 3}, TypeError, "knots"),
    ],
)
def test_impossible_sizes_are_refused_with_the_least_possible_one(options, error, message):
    with pytest.raises(error, match=message):
        construct("interpolation", from_function(square), **options)


def test_targets_that_do_not_fit_are_refused():
    data = ar.Target.from_data([0.0, 1.0], [0.0, 1.0], ar.Regularity(smoothness=1.0, dim=1))
    with pytest.raises(ValueError, match="data points only"):
        construct("interpolation", data, n_params=100)
    with pytest.raises(ValueError, match="dim 1, 2, 3"):
        construct("interpolation", from_function(wave, 4), n_params=10_000)
    with pytest.raises(ValueError, match="dense scalars"):
        construct("interpolation", from_function(wave, 2), cells=800)
    with pytest.raises(TypeError, match="must be a Target"):
        construct("interpolation", square, n_params=10)
    with pytest.raises(ValueError, match="one of interpolation"):
        construct("interpolate", from_function(square), n_params=10)


SILLY = [
    ("yarotsky2020_deep_line", 0.5, 1, {"n_params": 10**9}, "cells . steps must be at most"),
    ("yarotsky2020_deep_line", 0.5, 1, {"n_params": 700, "beam": 0}, "beam must be at least 1"),
    ("yarotsky2020_deep_line", 0.5, 1, {"n_params": 700, "beam": 10**9}, "beam must be at most 128"),
    ("yarotsky2020_fixed_width", 0.5, 1, {"n_params": 10**12}, "cells . steps must be at most"),
    ("yarotsky2020_deep_slopes", 1.5, 1, {"n_params": 10**9}, "cells . steps must be at most"),
    ("yarotsky2020_deep_slopes", 1.5, 1, {"cells": 2**70, "steps": 8}, "cells . steps must be at most"),
    ("yarotsky2020_deep_taylor", 2.5, 1, {"n_params": 10**9}, "cells . steps must be at most"),
    ("yarotsky2020_deep_plane", 0.5, 2, {"n_params": 1500, "beam": 10**9}, "beam must be at most 256"),
]


@pytest.mark.parametrize(("name", "smoothness", "dim", "options", "words"), SILLY)
def test_sizes_that_would_take_hours_are_refused_at_once(name, smoothness, dim, options, words):
    family = "faber_tree" if smoothness < 1 else "bump_tree"
    with pytest.raises(ValueError, match=words) as caught:
        construct(name, ar.load_target(family, smoothness=smoothness, dim=dim), **options)
    assert "\n" not in str(caught.value)


def test_a_radius_below_the_rounding_of_values_is_told():
    target = ar.Target.from_callable(lambda x: 1e-300 * x[:, 0], ar.Regularity(1.0, 2, radius=1e-300), name="tiny")
    with pytest.raises(ValueError, match="radius must not be so small"):
        construct("yarotsky2020_deep_plane", target, cells=2, steps=2)
