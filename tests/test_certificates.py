"""Certified errors of any network: never below the truth, closed to the gap asked for, and honest where they are not."""

import math

import numpy as np
import pytest
from test_errors import SQUARE, TREE, from_function, random_network, spike

import approxrates as ar
from approxrates import activations
from approxrates.activations import Activation, Family, piecewise_polynomial
from approxrates.approximant import Approximant
from approxrates.errors import approximation_errors
from approxrates.errors.boxes import Bounder
from approxrates.errors.models import network_models, stacked
from approxrates.errors.search import enclose_networks
from approxrates.layers import Layer
from approxrates.network import Network
from approxrates.sampling import badic_grid

CODES = ["relu", "hard_tanh", "relu2", "tanh", "sin", "gelu"]
OTHERS = [
    "leaky_relu",
    "abs",
    "relu3",
    "quadratic_bspline",
    "xabsx",
    "triangle",
    "heaviside",
    "floor",
    "sin:5",
    "snake",
    "silu",
    "relu+sin",
]
FAMILIES = [
    ("faber_tree", {"smoothness": 0.5}),
    ("weierstrass", {"smoothness": 0.5}),
    ("analytic", {"function": "sine"}),
]


def catalogue(name, dim, **options):
    return ar.load_target(name, dim=dim, **options)


def started(code, dim, seed, width=6, depth=4):
    """A network as training starts it: the signal lives at every depth."""
    arch = ar.FixedWidth(dim=dim, width=width, depth=depth, activation=code)
    return Network(arch.layers(arch.initialise([seed])[0]))


def values_of_model(model, t):
    """The polynomial of each box at points of ``[-1, 1]^dim``, shape (boxes, points)."""
    monomials = [np.ones(len(t)), *t.T, *(t[:, i] * t[:, j] for i, j in zip(*np.triu_indices(model.dim), strict=True))]
    return model.terms.T @ np.array(monomials)


def places(dim, seed):
    """Corners, centre and random points of ``[-1, 1]^dim``."""
    corners = np.stack(np.meshgrid(*[[-1.0, 0.0, 1.0]] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
    return np.concatenate([corners, np.random.default_rng(seed).uniform(-1, 1, (24, dim))])


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_no_value_of_ten_thousand_small_networks_leaves_its_model(dim):
    """All activations, boxes of all sizes: values at corners and inside against the polynomial and its remainder.

    The float64 values are off by rounding themselves, for which 1e-14 of the largest is allowed.
    """
    rng, t, boxes, sharp = np.random.default_rng(dim), places(dim, 0), 12, []
    for code in CODES + OTHERS:
        for widths in ((3,), (3, 2), (2, 2, 2)):
            networks = [random_network(code, widths, dim, seed=int(s)) for s in rng.integers(1 << 30, size=6)]
            centres = rng.random((len(networks), boxes, dim))
            half = 10.0 ** rng.uniform(-9, -0.3, (len(networks), boxes))
            model = network_models(stacked(networks), np.arange(len(networks)), centres, half)
            x = centres[:, :, None] + half[:, :, None, None] * t
            y = np.stack([n(row.reshape(-1, dim)) for n, row in zip(networks, x, strict=True)]).reshape(-1, len(t))
            off = np.abs(y - values_of_model(model, t)).max(axis=1)
            assert np.all(off <= model.remainder + 1e-14 * np.abs(y).max(axis=1)), code
            sharp.append((off / model.remainder)[model.remainder > 1e-10])
    assert np.median(np.concatenate(sharp)) > 0.03
    assert np.concatenate(sharp).max() > 0.99


@pytest.mark.parametrize("dim", [1, 2])
def test_upper_bounds_of_ten_thousand_small_cases_hold_on_dense_points(dim):
    """|f - g| on random cells of all levels, tiny networks: the bound is above 33 values on each, and often close."""
    rng, t, close, cases = np.random.default_rng(7), places(dim, 1), 0, 0
    for name, options in FAMILIES:
        target = catalogue(name, dim, **options)
        for code in CODES + OTHERS:
            networks = [random_network(code, (2, 2), dim, seed=int(s)) for s in rng.integers(1 << 30, size=10)]
            level = rng.integers(0, 14, 100)
            cells = np.floor(rng.random((100, dim)) * 2.0 ** level[:, None]).astype(np.int64)
            owner = np.repeat(np.arange(10), 10)
            bound, _ = Bounder(networks, target).bounds(owner, level, cells)
            x = (cells[:, None] + 0.5 + 0.5 * t) * 2.0 ** -level[:, None, None]
            f = target(x.reshape(-1, dim)).reshape(len(x), -1)
            g = np.stack([networks[i](row) for i, row in zip(owner, x, strict=True)])
            truth = np.abs(f - g).max(axis=1)
            assert np.all(truth <= bound * (1 + 1e-14)), (name, code)
            close += int((truth > 0.9 * bound).sum())
            cases += len(bound)
    assert cases == 5400
    assert close > 0.25 * cases


@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize(("name", "options"), FAMILIES)
def test_the_enclosure_holds_a_dense_evaluation_and_is_as_narrow_as_asked_for(name, options, dim):
    target = catalogue(name, dim, **options)
    points = badic_grid(15, dim=1) if dim == 1 else badic_grid(7, dim=2)
    points = np.concatenate([points, np.random.default_rng(0).random((20_000, dim))])
    values = target(points)
    networks = [started(code, dim, seed) for code in CODES for seed in range(3 - dim)]
    for network, error in zip(networks, approximation_errors(networks, target), strict=True):
        dense = np.abs(values - network(points)).max()
        assert error.certified
        assert error.ended_by == "gap"
        assert error.gap <= 0.05
        assert dense <= error.sup[1]
        assert error.sup[0] >= 0.97 * dense
        at = np.array([error.where])
        assert abs(target(at) - network(at))[0] == pytest.approx(error.sup[0], rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize(("name", "options"), FAMILIES)
def test_the_enclosures_of_ten_networks_hold_a_million_points(name, options, dim):
    target = catalogue(name, dim, **options)
    points = np.random.default_rng(0).random((10**6, dim))
    values = target(points)
    networks = [started(code, dim, seed, width=8, depth=8) for code in CODES for seed in range(10)]
    for network, error in zip(networks, approximation_errors(networks, target), strict=True):
        assert error.certified
        assert np.abs(values - network(points)).max() <= error.sup[1]
        assert error.gap <= 0.05


def test_three_dimensions_and_a_base_that_is_no_power_of_two():
    points = np.random.default_rng(0).random((20_000, 3))
    for target in (catalogue("weierstrass", 3, smoothness=0.75), catalogue("analytic", 3, function="gaussian")):
        network = started("tanh", 3, 0)
        error = ar.approximation_error(network, target, gap=0.2, budget=200_000)
        assert error.certified
        assert np.abs(target(points) - network(points)).max() <= error.sup[1] <= 1.25 * error.sup[0]
    target, network = catalogue("weierstrass", 2, smoothness=0.6, base=3), started("gelu", 2, 1)
    error = ar.approximation_error(network, target)
    assert error.certified
    assert np.abs(target(points[:, :2]) - network(points[:, :2])).max() <= error.sup[1] <= 1.05 * error.sup[0]


def test_a_large_base_has_many_parts_in_a_cell_and_is_enclosed_all_the_same():
    target, network = catalogue("weierstrass", 2, smoothness=0.5, base=32), started("tanh", 2, 0)
    error = ar.approximation_error(network, target, budget=300_000)
    points = np.random.default_rng(0).random((20_000, 2))
    assert error.certified
    assert np.abs(target(points) - network(points)).max() <= error.sup[1]


def test_a_network_that_overflows_has_an_infinite_error_at_both_ends():
    huge = Layer(np.full((4, 4), 1e200), None, ("relu2",) * 4)
    first = Layer(np.full((4, 2), 1e200), None, ("relu2",) * 4)
    network = Network((first, huge, Layer(np.ones((1, 4)), None, ("identity",))))
    error = ar.approximation_error(network, catalogue("polynomial", 2))
    assert error.sup == (math.inf, math.inf)
    assert not error.certified


def test_waves_that_rounding_blurs_are_still_between_minus_one_and_one():
    layers = (Layer(np.array([[1e10]]), np.array([-3e9]), ("sin:30",)), Layer(np.ones((1, 1)), None, ("identity",)))
    error = ar.approximation_error(Network(layers), catalogue("polynomial", 1, coefficients=[0.0]), budget=20_000)
    assert error.certified
    assert 0.99 < error.sup[0] <= 1.0 <= error.sup[1] < 1.0 + 1e-12


def test_what_underflow_loses_is_in_the_upper_end():
    """The square of 1e-170 is 0 in float64; times 1e300 it is 1e-40."""
    layers = (Layer(np.zeros((1, 1)), np.array([1e-170]), ("relu2",)), Layer(np.array([[1e300]]), None, ("identity",)))
    error = ar.approximation_error(Network(layers), catalogue("polynomial", 1, coefficients=[0.0]))
    assert error.certified
    assert error.sup[0] <= 1e-40 <= error.sup[1]


def sawtooth_square(m):
    """The network of x^2 by m sawtooths (Yarotsky 2017): x minus the sum of g_k(x) / 4^k, g_k the k-fold hat."""
    tooth = np.array([2.0, -4.0, 2.0])
    layers = [Layer(np.array([[1.0]] * 4), np.array([0.0, -0.5, -1.0, 0.0]), ("relu",) * 4)]
    for k in range(1, m):
        # Three units make the hat of the one before; the fourth carries x - sum of teeth so far, which is positive.
        carried = np.append(-(4.0**-k) * tooth, 1.0)
        weight = np.stack([np.append(tooth, 0.0)] * 3 + [carried])
        layers.append(Layer(weight, np.array([0.0, -0.5, -1.0, 0.0]), ("relu",) * 4))
    layers.append(Layer(np.append(-(4.0**-m) * tooth, 1.0)[None], None, ("identity",)))
    return Network(tuple(layers))


@pytest.mark.parametrize("m", range(1, 9))
def test_the_sawtooth_network_misses_the_square_by_its_known_error(m):
    error = ar.approximation_error(sawtooth_square(m), SQUARE)
    assert error.certified
    assert error.pieces == 2**m
    assert error.sup[0] == pytest.approx(2.0 ** -(2 * m + 2), abs=1e-15)
    assert error.sup[1] == pytest.approx(2.0 ** -(2 * m + 2), abs=1e-15)
    assert error.sup[0] <= 2.0 ** -(2 * m + 2) <= error.sup[1]


def peak(centre, width):
    """A pyramid of height 1 on a square of side about ``2 width`` in the plane, zero elsewhere."""
    knots = [centre[0] - width, centre[0], centre[0] + width, centre[1] - width, centre[1], centre[1] + width]
    rows = np.repeat(np.eye(2), 3, axis=0)
    hats = Layer(rows, -np.array(knots), ("relu",) * 6)
    both = Layer(np.array([[1.0, -2.0, 1.0, 1.0, -2.0, 1.0]]) / width, np.array([-1.0]), ("relu",))
    return Network((hats, both, Layer(np.ones((1, 1)), None, ("identity",))))


@pytest.mark.parametrize(("centre", "width"), [((1 / 3, 0.70710678), 1e-3), ((0.123456789, 0.987654321), 1e-5)])
def test_a_peak_between_grid_points_of_the_plane_is_found(centre, width):
    target = catalogue("polynomial", 2, coefficients=[0.0])
    network = peak(centre, width)
    assert ar.approximation_error(network, target, certify=False).sup[1] < 0.5
    error = ar.approximation_error(network, target)
    assert error.certified
    assert error.sup[0] <= 1.0 + 1e-9
    assert error.sup[1] >= 1.0 - 1e-9
    assert error.gap <= 0.05
    assert error.where == pytest.approx(centre, abs=width)


def test_a_smooth_spike_in_one_dimension_is_found():
    """tanh((x - c) / w + 1) - tanh((x - c) / w - 1) is 2 tanh(1) high and w wide."""
    centre, width = 0.70710678, 1e-7
    hidden = Layer(np.full((2, 1), 1 / width), np.array([1.0, -1.0]) - centre / width, ("tanh",) * 2)
    network = Network((hidden, Layer(np.array([[1.0, -1.0]]), None, ("identity",))))
    error = ar.approximation_error(network, catalogue("polynomial", 1, coefficients=[0.0]))
    assert error.certified
    assert error.sup[0] <= 2 * math.tanh(1.0) <= error.sup[1] <= 1.05 * error.sup[0]


def test_the_search_says_what_ended_it():
    network, target = started("tanh", 2, 0), catalogue("faber_tree", 2, smoothness=0.5)
    reached, spent = ar.approximation_error(network, target), ar.approximation_error(network, target, budget=2000)
    assert (reached.ended_by, spent.ended_by) == ("gap", "budget")
    assert reached.gap <= 0.05 < spent.gap
    assert spent.sup[0] <= reached.sup[1]
    assert spent.sup[1] >= reached.sup[0]
    plane = Network((Layer(np.array([[0.5, 0.25]]), np.array([0.125]), ("identity",)),))
    same = Network((Layer(np.array([[0.5, 0.5]]), None, ("identity",)),))
    line = catalogue("polynomial", 2, coefficients=[0.0, 1.0])
    assert ar.approximation_error(plane, line).ended_by == "gap"
    equal = ar.approximation_error(same, line)
    assert equal.ended_by == "resolution"
    assert equal.sup[0] == 0.0
    assert equal.sup[1] < 1e-14


def test_a_smaller_gap_is_reached_on_request():
    network, target = started("sin", 1, 0), catalogue("analytic", 1, function="runge")
    wide, narrow = (ar.approximation_error(network, target, gap=gap) for gap in (0.05, 1e-7))
    assert narrow.gap <= 1e-7 < wide.gap
    assert wide.sup[0] <= narrow.sup[1]
    assert narrow.sup[0] <= wide.sup[1]


@pytest.mark.parametrize("dim", [1, 2])
def test_a_batch_gives_what_single_calls_give(dim):
    target = catalogue("faber_tree", dim, smoothness=0.5)
    networks = [started(code, dim, seed, 4, 2) for seed in range(2) for code in ("tanh", "sin")]
    together = enclose_networks(networks[::2], target, 0.3, None)
    assert together == [enclose_networks([network], target, 0.3, None)[0] for network in networks[::2]]
    assert approximation_errors(networks, target, 0.3) == [ar.approximation_error(n, target, 0.3) for n in networks]


def test_the_error_of_a_network_with_jumps_is_enclosed():
    network, target = random_network("heaviside", (4,), seed=3), catalogue("polynomial", 1)
    error = ar.approximation_error(network, target)
    x = np.linspace(0, 1, 200_001)
    assert error.certified
    assert error.sup[0] <= np.abs(target(x) - network(x)).max() * (1 + 1e-4)
    assert error.sup[1] >= np.abs(target(x) - network(x)).max()


def test_an_activation_of_your_own_is_certified_if_it_comes_with_pieces():
    known = piecewise_polynomial("hinge5", [0.0], [[0], [0, 0, 0, 0, 0, 1]])
    unknown = Activation(
        "softened",
        Family.SMOOTH,
        lambda z, xp: xp.tanh(z) ** 3,
        lambda z, xp: 3 * xp.tanh(z) ** 2 * (1 - xp.tanh(z) ** 2),
    )
    for activation in (known, unknown):
        if activation.name not in activations.names():
            activations.register(activation)
    square = catalogue("polynomial", 1)
    error = ar.approximation_error(random_network("hinge5", (4, 4), seed=1), square)
    assert (error.method, error.certified) == ("branch-and-bound", True)
    error = ar.approximation_error(random_network("softened", (4, 4), seed=1), square)
    assert (error.method, error.certified, error.ended_by) == ("grid", False, None)


def test_without_an_enclosure_of_the_target_nothing_is_certified():
    error = ar.approximation_error(started("tanh", 2, 0), from_function(lambda x: x[:, 0] * x[:, 1], 2))
    assert (error.method, error.certified) == ("grid", False)


def test_an_approximant_is_measured_by_its_pieces_or_on_the_grid():
    t = np.arange(17) / 16
    pieced = Approximant("chords", 1, 17, lambda x: np.interp(x[:, 0], t, t * t), (t, t * t))
    plain = Approximant("values", 1, 17, lambda x: np.interp(x[:, 0], t, t * t))
    error, rough = ar.approximation_error(pieced, SQUARE), ar.approximation_error(plain, SQUARE)
    assert (error.method, error.certified, error.pieces) == ("break-points", True, 16)
    assert error.sup[0] <= 1 / 1024 <= error.sup[1]
    assert error.sup[1] == pytest.approx(1 / 1024, abs=2e-15)
    assert (rough.method, rough.certified) == ("grid", False)
    assert rough.sup[0] == pytest.approx(1 / 1024, rel=1e-6)
    bilinear = Approximant("corner", 2, 1, lambda x: x[:, 0] * x[:, 1])
    error = ar.approximation_error(bilinear, from_function(lambda x: 0 * x[:, 0], 2))
    assert error.sup[0] == 1.0


def test_break_points_and_boxes_agree_on_a_tree():
    """Two algorithms that share no bound: break-points with interpolation gaps, and boxes with models."""
    for seed in range(3):
        network = random_network(widths=(6, 6), seed=seed)
        points, boxes = ar.approximation_error(network, TREE), enclose_networks([network], TREE, 0.01, None)[0]
        assert boxes.lower <= points.sup[1]
        assert points.sup[0] <= boxes.upper
        assert boxes.upper <= 1.01 * boxes.lower


def test_a_spike_of_the_line_is_enclosed_by_boxes_too():
    network = spike(0.70710678, 1e-6)
    found = enclose_networks([network], catalogue("polynomial", 1, coefficients=[0.0]), 0.05, None)[0]
    assert found.lower <= 1.0 + 1e-6
    assert 1.0 - 1e-6 <= found.upper <= 1.05 * found.lower
