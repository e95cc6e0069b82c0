"""Norms by quadrature against closed forms and dense references; the estimates of their error against the true error."""

import itertools
import math

import numpy as np
import pytest

import approxrates as ar
from approxrates.errors.breakpoints import pieces_of
from approxrates.errors.quadrature import cell_rule, piece_rule, sample_rule, shared_rule
from approxrates.generators.faber_tree import faber_tree
from approxrates.layers import Layer


def random_network(dim, activation, seed, width=8, depth=2):
    rng = np.random.default_rng(seed)
    layers, n_in = [], dim
    for _ in range(depth):
        weight = rng.normal(size=(width, n_in)) * math.sqrt(2 / n_in)
        layers.append(Layer(weight, rng.normal(size=width) / 2, (activation,) * width))
        n_in = width
    layers.append(Layer(rng.normal(size=(1, n_in)) / math.sqrt(n_in), rng.normal(size=1), ("identity",)))
    return ar.Network(tuple(layers))


def dense_norm(function, dim, cells, p=2.0, order=3):
    """The L^p norm by a Gauss rule on a much finer grid."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    t = ((np.arange(cells)[:, None] + 0.5 + 0.5 * nodes) / cells).ravel()
    w = np.tile(weights / (2 * cells), cells)
    if dim == 1:
        return float(w @ np.abs(function(t[:, None])) ** p) ** (1 / p)
    rows = [float(w @ np.abs(function(np.column_stack([np.full_like(t, a), t]))) ** p) for a in t]
    return float(w @ rows) ** (1 / p)


def tree_distance(target, network, levels):
    """Exact L2 distance of a tree of few levels to a piecewise-linear function with dyadic break-points."""
    x = np.linspace(0, 1, 2**levels + 1)[:, None]
    error = target(x) - network(x)
    left, right = error[:-1], error[1:]
    return math.sqrt(np.mean((left**2 + left * right + right**2) / 3))


def smooth(x):
    return np.sin(3 * x.sum(axis=1))


def covered(cases):
    """Share of cases ``(value, estimate, truth)`` whose estimate covers the true error."""
    return np.mean([abs(value - truth) <= estimate for value, estimate, truth in cases])


def tree_cases():
    for smoothness in (0.25, 0.5, 0.75):
        for seed in range(8):
            target = faber_tree(smoothness, 1, seed=seed, levels=15)
            for cells in (4, 32, 256):
                network = ar.construct("interpolation", target, cells=cells)
                rule = sample_rule(1)
                yield *rule.norm(target(rule.points) - network(rule.points)), tree_distance(target, network, 15)


def line_cases():
    for activation in ("relu", "tanh", "sin", "relu2"):
        for seed in range(10):
            network = random_network(1, activation, seed, depth=3)

            def difference(x, g=network):
                return smooth(x) - g(x)

            rule = cell_rule(1)
            yield *rule.norm(difference(rule.points)), dense_norm(difference, 1, 2**15)


def plane_cases():
    for activation in ("relu", "tanh", "sin"):
        for seed in range(4):
            network = random_network(2, activation, seed)

            def difference(x, g=network):
                return smooth(x) - g(x)

            rule = cell_rule(2)
            yield *rule.norm(difference(rule.points)), dense_norm(difference, 2, 256)


@pytest.mark.parametrize("cases", [tree_cases, line_cases, plane_cases])
def test_estimates_cover_the_true_error_in_95_per_cent_of_the_cases(cases):
    assert covered(list(cases())) >= 0.95


@pytest.mark.parametrize("cases", [tree_cases, plane_cases])
def test_estimates_are_no_wild_guesses(cases):
    """Half of them are below 30 times the true error, and nearly all say that the norm is good to 5 %."""
    found = list(cases())
    assert np.median([estimate / max(abs(value - truth), 1e-15) for value, estimate, truth in found]) < 30
    assert np.quantile([estimate / truth for _, estimate, truth in found], 0.95) < 0.05


@pytest.mark.parametrize("cells", [1, 3, 8, 50])
def test_interpolants_of_the_parabola_are_measured_to_rounding_and_say_so(cells):
    square = ar.Target.from_callable(lambda x: x[:, 0] ** 2, ar.Regularity(smoothness=math.inf, dim=1))
    error = ar.approximation_error(ar.construct("interpolation", square, cells=cells), square)
    truth = cells**-2 / math.sqrt(30)
    assert abs(error.l2 - truth) <= error.l2_error
    assert error.l2_error < 1e-11 * truth + 1e-14


@pytest.mark.parametrize("cells", [1, 2, 7])
def test_interpolants_of_the_sine_between_break_points(cells):
    t = np.linspace(0, 1, cells + 1)
    rule = piece_rule(t)
    value, estimate = rule.norm(np.sin(2 * rule.points[:, 0]) - np.interp(rule.points[:, 0], t, np.sin(2 * t)))
    truth = math.sqrt(sum(sine_piece(a, b) for a, b in itertools.pairwise(t)))
    assert abs(value - truth) <= estimate + 1e-13  # the antiderivatives cancel
    assert estimate < 1e-7 * truth + 1e-14


def sine_piece(a, b):
    """Integral of the squared distance of sin(2x) to its chord on [a, b], from antiderivatives."""
    slope = (math.sin(2 * b) - math.sin(2 * a)) / (b - a)
    height = math.sin(2 * a) - slope * a

    def whole(x):
        squares = x / 2 - math.sin(4 * x) / 8
        mixed = height * -math.cos(2 * x) / 2 + slope * (math.sin(2 * x) / 4 - x * math.cos(2 * x) / 2)
        chord = height**2 * x + height * slope * x**2 + slope**2 * x**3 / 3
        return squares - 2 * mixed + chord

    return whole(b) - whole(a)


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 4.0, 50.0])
def test_other_exponents_have_their_closed_forms(p):
    """The L^p norm of x is (p + 1)^(-1/p), in any dimension."""
    for rule in (cell_rule(1), cell_rule(2), cell_rule(3)):
        value, estimate = rule.norm(rule.points[:, 0], p)
        assert abs(value - (p + 1) ** (-1 / p)) <= estimate + 1e-14
        assert value == pytest.approx((p + 1) ** (-1 / p), rel=1e-3)


@pytest.mark.parametrize("dim", [1, 2, 3, 5])
def test_samples_of_a_jump_are_covered(dim):
    """The set x_1 < 1/3 has measure 1/3: no cell ends there."""
    rule = sample_rule(dim)
    value, estimate = rule.norm((rule.points[:, 0] < 1 / 3).astype(float))
    assert abs(value - math.sqrt(1 / 3)) <= estimate
    assert estimate < 0.03


def test_weights_of_every_rule_have_sum_one_and_nodes_lie_inside():
    rules = [
        cell_rule(1),
        cell_rule(2),
        cell_rule(3),
        sample_rule(1),
        sample_rule(4),
        piece_rule(np.array([0, 0.3, 1])),
    ]
    for rule in rules:
        assert rule.weights.sum() == pytest.approx(1, abs=1e-12)
        assert not len(rule.check_weights) or rule.check_weights.sum() == pytest.approx(1, abs=1e-12)
        assert len(rule.points) == len(rule.weights) + len(rule.check_weights)
        assert 0 < rule.points.min() <= rule.points.max() < 1


def test_the_rule_follows_the_smoothness():
    assert len(shared_rule(2, 1.5).check_weights) == 0
    assert len(shared_rule(2, 2.0).check_weights) > 0
    assert len(shared_rule(4, math.inf).check_weights) == 0


def test_tiny_zero_and_infinite_differences():
    rule = cell_rule(1)
    tiny, _ = rule.norm(np.full(len(rule.points), 1e-200))
    assert tiny == pytest.approx(1e-200, rel=1e-12)
    assert rule.norm(np.zeros(len(rule.points))) == (0.0, 0.0)
    assert rule.norm(np.full(len(rule.points), np.inf)) == (math.inf, math.inf)


def test_a_network_with_break_points_is_covered_whatever_its_mesh():
    cases = []
    for seed in range(20):
        pieces = pieces_of(random_network(1, "relu", seed, depth=3))
        rule = piece_rule(pieces.t)

        def difference(x, g=pieces):
            return smooth(x) - g(x[:, 0])

        fine = piece_rule(np.union1d(pieces.t, np.linspace(0, 1, 1001)))
        size = math.sqrt(fine.weights @ difference(fine.points)[: len(fine.weights)] ** 2)
        cases.append((*rule.norm(difference(rule.points)), size))
    assert covered(cases) >= 0.95


def test_results_carry_the_estimate_in_every_way_of_measuring():
    tree = faber_tree(0.5)
    for network in (random_network(1, "relu", 0), random_network(1, "tanh", 0)):
        error = ar.approximation_error(network, tree, certify=False)
        assert 0 < error.l2_error < 0.05 * error.l2
    data = ar.Target.from_data([0.0, 0.5, 1.0], [0.0, 1.0, 0.0], ar.Regularity(smoothness=1.0, dim=1))
    assert ar.approximation_error(random_network(1, "relu", 0), data).l2_error == 0.0
