"""Rounding bounds of piecewise-linear networks against exact rationals: at mesh points, between, and next to bends."""

import math
from fractions import Fraction

import numpy as np
import pytest
from oracles import exact_outputs

import approxrates as ar
from approxrates import activations
from approxrates.constructions import construct
from approxrates.errors import rounding as module
from approxrates.errors.breakpoints import pieces_of
from approxrates.errors.rounding import values_and_rounding
from approxrates.layers import Layer
from approxrates.network import Network

CODES = ["relu", "leaky_relu", "abs", "hard_tanh", "triangle", "relu+triangle", "relu+abs"]


def network_of(widths, code="relu", seed=0, bias=True, gain=2.0):
    rng, layers, n_in = np.random.default_rng(seed), [], 1
    for width in widths:
        codes = activations.get(code).units(width)
        offset = 0.3 * rng.normal(size=width) if bias else None
        layers.append(Layer(rng.normal(size=(width, n_in)) * math.sqrt(gain / n_in), offset, codes))
        n_in = width
    return Network((*layers, Layer(rng.normal(size=(1, n_in)), None, ("identity",))))


def points_of(mesh, rng, n):
    """Points of the mesh, floats next to them, and places inside cells, the narrow ones too, as rationals."""
    some = rng.choice(len(mesh), size=min(n, len(mesh)), replace=False)
    points = [Fraction(float(t)) for t in mesh[some]]
    points += [Fraction(float(np.clip(np.nextafter(mesh[i], side), 0, 1))) for i in some for side in (-1.0, 2.0)]
    cells = np.concatenate([rng.integers(len(mesh) - 1, size=n), np.argsort(np.diff(mesh))[:4]])
    for k in cells:
        a, b = Fraction(float(mesh[k])), Fraction(float(mesh[k + 1]))
        points += [a + (b - a) * Fraction(float(s)) for s in rng.random(2)]
    return points


def straight(mesh, values, x):
    """The linear interpolant in exact arithmetic."""
    k = min(max(int(np.searchsorted(mesh, float(x), side="right")) - 1, 0), len(mesh) - 2)
    while Fraction(float(mesh[k])) > x:
        k -= 1
    while Fraction(float(mesh[k + 1])) < x:
        k += 1
    a, b = Fraction(float(mesh[k])), Fraction(float(mesh[k + 1]))
    low, high = Fraction(float(values[k])), Fraction(float(values[k + 1]))
    return low + (high - low) * (x - a) / (b - a)


def worst(network, mesh, values, rng, n=8):
    """The largest distance found between the interpolant, exact and as numpy computes it, and the exact network."""
    largest = Fraction(0)
    for x in points_of(mesh, rng, n):
        exact = exact_outputs(network, [x])[0]
        largest = max(largest, abs(straight(mesh, values, x) - exact))
        if Fraction(float(x)) == x:
            largest = max(largest, abs(Fraction(float(np.interp(float(x), mesh, values))) - exact))
    return largest


def holds(network, rng, n=8):
    """Share of the bound that is used, after a check that it holds in both arithmetics; None if there is no bound."""
    pieces = pieces_of(network)
    shares = []
    for sharp in (False, True):
        if sharp and not network.activations <= {"relu", "abs", "hard_tanh", "identity"}:
            continue
        values, bound = values_and_rounding(network, pieces.t, sharp=sharp)
        if math.isfinite(bound):
            found = worst(network, pieces.t, values, rng, n)
            assert found <= Fraction(bound), (sharp, float(found), bound)
            shares.append(float(found / Fraction(bound)) if bound else 0.0)
    return max(shares, default=None)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(("widths", "bias"), [((6,), True), ((5, 4), True), ((4, 4, 4, 4), True), ((6, 5, 4), False)])
def test_the_bound_holds_against_exact_rationals(code, widths, bias):
    rng = np.random.default_rng(5)
    shares = []
    for seed in range(3):
        network = network_of(widths, code, seed, bias)
        pieces = pieces_of(network)
        assert pieces.rounding < 1e-11 * max(1.0, np.abs(pieces.values).max())
        shares.append(holds(network, rng, 4))
    assert max(shares) > 1e-4  # neither idle: a bound of 1 would pass otherwise


def cancelling(code, rng, depth, power=20):
    """Terms of size 1e6 and more cancel to the last digit; the sign of what is left decides on a side."""
    slope, bias, bend = rng.uniform(0.1, 1), rng.uniform(0.05, 0.9), rng.uniform(0.2, 0.8)
    if code == "hard_tanh":
        slope, bias = 0.3 * slope, 0.5 * bias
    large = float(rng.uniform(1, 2) * 2.0**power)
    step, sign = large - float(np.nextafter(large, 0)), rng.choice([-1.0, 1.0])
    size = 1 / (step * slope)
    layers = [
        Layer(np.full((2, 1), slope), np.full(2, bias), (code,) * 2),
        Layer(sign * np.array([[large, step - large]]), np.array([-sign * step * (slope * bend + bias)]), (code,)),
    ]
    for _ in range(depth - 2):
        layers.append(Layer(np.array([[size], [-size]]), rng.normal(size=2) * 0.1, (code,) * 2))
        layers.append(Layer(np.array([[1.0, -1.0]]) * rng.choice([1.0, 2.0**20]), np.zeros(1), (code,)))
        size = 1.0
    return Network((*layers, Layer(np.array([[size]]), None, ("identity",))))


@pytest.mark.parametrize("code", ["relu", "leaky_relu", "hard_tanh", "abs", "triangle"])
@pytest.mark.parametrize("depth", [2, 4])
def test_terms_that_cancel_to_the_last_digit(code, depth):
    rng = np.random.default_rng(1)
    for _ in range(25):
        network = cancelling(code, rng, depth)
        if pieces_of(network) is not None:
            holds(network, rng, 4)


@pytest.mark.parametrize("seed", range(4))
def test_many_equal_units_err_alike(seed):
    """Correlated errors: 64 copies of one unit, and of one path through three layers, bend at one third."""
    rng, copies = np.random.default_rng(seed), 64
    first = Layer(
        np.full((copies, 1), 3.0 * rng.uniform(0.5, 1.5)), np.full(copies, -rng.uniform(0.5, 1)), ("relu",) * copies
    )
    second = Layer(np.full((copies, copies), rng.uniform(0.5, 1)), np.full(copies, -1 / 3), ("relu",) * copies)
    last = Layer(np.ones((1, copies)), None, ("identity",))
    holds(Network((first, last)), rng)
    holds(Network((first, second, last)), rng, 4)


def test_units_that_bend_together_at_a_third():
    rng, units = np.random.default_rng(0), 64
    offsets = np.repeat([2.0**-10, 0.0, -(2.0**-10)], units)
    hidden = Layer(np.full((3 * units, 1), 3.0), offsets - 1.0, ("relu",) * len(offsets))
    hat = np.repeat([1.0, -2.0, 1.0], units)[None]
    network = Network((hidden, Layer(hat, None, ("identity",))))
    pieces = pieces_of(network)
    missed = abs(straight(pieces.t, pieces.values, Fraction(1, 3)) - exact_outputs(network, [Fraction(1, 3)])[0])
    assert Fraction(pieces.rounding) / 20 < missed <= Fraction(pieces.rounding)
    holds(network, rng)


@pytest.mark.parametrize("scales", [(1e-200, 1e-200, 1e300), (1e-160, 1e-160, 1e300), (1e-308, 1e-10, 1e300)])
@pytest.mark.parametrize("code", ["relu", "abs", "leaky_relu"])
def test_underflow_is_counted(scales, code):
    layers = tuple(Layer(np.array([[s]]), None, (code,)) for s in scales)
    network = Network((*layers, Layer(np.array([[1.0]]), None, ("identity",))))
    assert holds(network, np.random.default_rng(0)) is not None
    amplified = Network((*layers, Layer(np.array([[1e200]]), None, ("identity",))))
    holds(amplified, np.random.default_rng(0))  # sensitivities overflow: no bound, or a true one


def test_a_mesh_that_misses_the_bends_is_paid_for():
    """The bound asks nothing of the mesh: on random points it holds what the interpolant misses."""
    rng = np.random.default_rng(2)
    for code in ("relu", "leaky_relu", "abs", "hard_tanh"):
        for seed in range(4):
            network = network_of((5, 4, 3), code, seed)
            mesh = np.unique(np.concatenate([[0.0, 1.0], rng.random(40)]))
            values, bound = values_and_rounding(network, mesh, sharp=False)
            assert worst(network, mesh, values, rng, 20) <= Fraction(bound) < 10


def test_deep_triangle_networks():
    rng = np.random.default_rng(4)
    for seed in range(6):
        network = network_of((2, 3, 2), "triangle", seed, gain=1.0)
        holds(network, rng, 6)


def test_what_cannot_be_bounded_is_not_certified():
    target = ar.load_target("polynomial", coefficients=[0.0, 0.0, 1.0], dim=1)
    huge = Layer(np.full((4, 4), 1e200), None, ("relu",) * 4)
    first = Layer(np.full((4, 1), 1e200), None, ("relu",) * 4)
    network = Network((first, huge, Layer(np.ones((1, 4)), None, ("identity",))))
    assert not ar.approximation_error(network, target).certified
    narrow = Network((Layer(np.array([[1e160]]), None, ("relu",)), Layer(np.array([[1e160]]), None, ("identity",))))
    error = ar.approximation_error(narrow, target)
    assert not (error.certified and error.sup[1] < 1e300)


def sawtooth(m):
    """x less a sum of m sawtooth functions: the square to 4^-(m+1)."""
    layers = [Layer(np.array([[1.0], [1.0], [1.0]]), np.array([0.0, -0.5, -1.0]), ("relu",) * 3)]
    for _ in range(m - 1):
        row = [2.0, -4.0, 2.0]
        layers.append(Layer(np.array([row] * 3), np.array([0.0, -0.5, -1.0]), ("relu",) * 3))
    return Network((*layers, Layer(np.array([[2.0, -4.0, 2.0]]), None, ("identity",))))


@pytest.mark.parametrize("m", range(1, 9))
def test_the_sawtooth_is_exact(m):
    pieces = pieces_of(sawtooth(m))
    assert pieces.count == 2**m
    assert set(pieces.values) == {0.0, 1.0}
    assert pieces.rounding < 1e-15


@pytest.mark.parametrize(("widths", "at_most"), [((8,) * 8, 1e-14), ((8,) * 21, 1e-13), ((64,) * 20, 1e-10)])
def test_the_bound_is_tight_on_deep_networks(widths, at_most):
    pieces = pieces_of(network_of(widths))
    assert pieces.rounding < at_most * np.abs(pieces.values).max()


@pytest.mark.parametrize("cells", [2, 8, 64, 256, 2048])
def test_the_bound_is_tight_on_interpolants(cells):
    target = ar.load_target("faber_tree", smoothness=0.5, dim=1, seed=0)
    pieces = pieces_of(construct("interpolation", target, cells=cells))
    assert pieces.rounding < 1e-9 * np.abs(pieces.values).max()


def test_the_spectral_norm_is_bounded_from_above_and_closely():
    rng = np.random.default_rng(0)
    for shape in ((1, 1), (8, 1), (3, 7), (64, 64), (100, 40)):
        weight = rng.normal(size=shape) * 10.0 ** rng.integers(-150, 150)
        scale = np.abs(weight).max()
        exact = np.linalg.svd(weight / scale, compute_uv=False)[0] * scale
        assert exact <= module._spectral(weight) * (1 + 1e-12) <= exact * 1.35
