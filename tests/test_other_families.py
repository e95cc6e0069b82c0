"""Powers, corners, Gaussian paths, Gevrey functions, compositions, ridges, radial functions and jumps: closed forms."""

import math
from fractions import Fraction

import flint
import numpy as np
import pytest
from scipy import special, stats

import approxrates as ar
from approxrates.catalogue import describe, families
from approxrates.generators import GENERATORS
from approxrates.generators.brownian import increment_covariance
from approxrates.generators.gaussian_paths import NodeSpline, dyadic, normals, polygon_tail, stationary

make = GENERATORS


def ball(value):
    return float(value.mid()) if isinstance(value, flint.arb) else float(value)


@pytest.mark.parametrize(
    ("family", "arguments", "point", "value"),
    [
        ("power", {"smoothness": 0.5, "centre": 0.25}, (0.5,), 0.5),
        ("power", {"smoothness": 1.5, "shape": "plus", "centre": 0.5}, (0.25,), 0.0),
        ("power", {"smoothness": 2.5, "shape": "endpoint"}, (0.25,), 2.0**-5),
        ("power", {"smoothness": 0.5, "dim": 2, "centre": 0.0}, (0.6, 0.8), 1.0),
        ("corner", {}, (1.0, 1.0), 2 ** (1 / 3) * 0.5),
        ("corner", {"smoothness": 0.5}, (0.0, 1.0), math.sqrt(0.5)),
        ("gevrey", {}, (0.5,), math.exp(-2)),
        ("gevrey", {"order": 1.5, "dim": 2}, (1.0, 0.5), math.exp(-5)),
        ("gevrey", {"dim": 3}, (1.0, 0.0, 1.0), 0.0),
    ],
)
def test_closed_forms_take_their_known_values(family, arguments, point, value):
    target = make[family](**arguments)
    assert target(np.array([point]))[0] == pytest.approx(value, abs=1e-15)
    assert ball(target.exact([point])[0]) == pytest.approx(value, abs=1e-15)


def test_the_corner_function_is_harmonic():
    target, h = make["corner"](), 1e-3
    x = 0.1 + 0.8 * np.random.default_rng(0).random((50, 2))
    shifts = h * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])
    laplacian = (sum(target(x + s) for s in shifts) - 4 * target(x)) / h**2
    assert np.abs(laplacian).max() < 1e-3


@pytest.mark.parametrize("r", [0.4, 1.4, 2.4, 3.4])
@pytest.mark.parametrize("shape", ["abs", "plus", "endpoint"])
def test_the_radius_of_a_power_is_its_holder_constant(r, shape):
    # The derivative in closed form, on both sides of the singular point; the bound is attained there.
    target = make["power"](smoothness=r, shape=shape, **({} if shape == "endpoint" else {"centre": 0.5}))
    m0 = math.floor(r)
    factor = math.prod(r - i for i in range(m0))
    t = np.concatenate([-np.geomspace(1e-6, 0.5, 60)[::-1], [0.0], np.geomspace(1e-6, 0.5, 60)])
    side = {"abs": np.sign(t) ** m0, "plus": t > 0, "endpoint": t >= 0}[shape]
    derivative = factor * np.abs(t) ** (r - m0) * side
    keep = t >= 0 if shape == "endpoint" else t < 9
    gaps = np.abs(np.subtract.outer(t[keep], t[keep])) + np.eye(keep.sum())
    quotients = np.abs(np.subtract.outer(derivative[keep], derivative[keep])) / gaps ** (r - m0)
    assert 0.999 * target.regularity.radius < quotients.max() <= target.regularity.radius


SMOOTH = [
    ("power", {"smoothness": 1.5}),
    ("power", {"smoothness": 2.5, "shape": "plus", "centre": 0.25}),
    ("power", {"smoothness": 1.5, "dim": 3}),
    ("corner", {"smoothness": 1.5}),
    ("ridge", {"smoothness": 2.5, "dim": 4}),
]


@pytest.mark.parametrize(("family", "arguments"), SMOOTH)
def test_gradients_are_limits_of_differences(family, arguments):
    target = make[family](**arguments)
    x, h = 0.05 + 0.9 * np.random.default_rng(0).random((100, target.dim)), 1e-6
    steps = h * np.eye(target.dim)
    differences = np.stack([(target(x + s) - target(x - s)) / (2 * h) for s in steps], axis=1)
    assert np.abs(target.gradient(x) - differences).max() < 3e-3
    assert np.isfinite(target.gradient(np.full((1, target.dim), 1 / 3))).all()


def test_rough_functions_have_no_gradient():
    assert all(make[name](smoothness=0.5).gradient is None for name in ("power", "corner", "ridge"))


ROUNDED = [
    *SMOOTH,
    ("power", {"smoothness": 0.1}),
    ("corner", {}),
    ("gevrey", {"dim": 3, "order": 4.0}),
    ("brownian", {"smoothness": 0.5}),
    ("matern", {"smoothness": 1.5, "dim": 2}),
    ("ridge", {"smoothness": 0.25, "dim": 6}),
    ("radial", {"smoothness": 0.25, "dim": 6}),
    ("compositional", {"smoothness": 0.5, "dim": 8}),
]


@pytest.mark.parametrize(("family", "arguments"), ROUNDED)
def test_float_values_are_within_the_proven_error(family, arguments):
    target = make[family](**arguments)
    x = np.concatenate([np.random.default_rng(1).random((60, target.dim)), np.full((1, target.dim), 5e-324)])
    with flint.ctx.workprec(192):
        off = []
        for exact, value in zip(target.exact(list(x)), target(x), strict=True):
            true = exact if isinstance(exact, flint.arb) else flint.arb(flint.fmpq(exact.numerator, exact.denominator))
            off.append(float(abs(true - flint.arb(float(value))).mid()))
    assert max(off) <= target.evaluation_error < 1e-8


def test_normal_numbers_are_normal_and_depend_on_seed_and_stream():
    draws = normals(3, 0, (20_000,))
    assert stats.kstest(draws, "norm").pvalue > 1e-3
    assert np.array_equal(draws, normals(3, 0, (20_000,)))
    assert abs(np.corrcoef(draws, normals(3, 1, (20_000,)))[0, 1]) < 0.03
    assert abs(np.corrcoef(draws, normals(4, 0, (20_000,)))[0, 1]) < 0.03


def test_circulant_embedding_gives_the_covariance_asked_for():
    lags = np.minimum(np.arange(16), 16 - np.arange(16))
    covariances = np.exp(-lags / 3.0)
    fields = np.array([stationary(covariances, seed) for seed in range(4_000)])
    measured = fields.T @ fields / len(fields)
    expected = np.array([np.roll(covariances, i) for i in range(16)])
    assert np.abs(measured - expected).max() < 5 * math.sqrt(2 / len(fields))
    with pytest.raises(ValueError, match="positive definite"):
        stationary(np.where(lags == 0, 1.0, np.where(lags == 1, -1.0, 0.0)), 0)


@pytest.mark.parametrize("hurst", [0.2, 0.5, 0.8])
def test_a_brownian_path_has_the_variogram_of_its_exponent(hurst):
    # Mean squared increments over 12 paths; their own spread is taken from the paths.
    for lag in (2.0**-10, 2.0**-6):
        squares = []
        for seed in range(12):
            path = make["brownian"](smoothness=hurst, seed=seed)
            x = np.arange(0.0, 1.0 - lag, max(lag / 2, 2.0**-9))
            squares.append(np.mean((path(x + lag) - path(x)) ** 2) / lag ** (2 * hurst))
        assert abs(np.mean(squares) - 1.0) < 5 * np.std(squares) / math.sqrt(12)
        assert np.std(squares) < 0.5


def test_brownian_motion_is_its_limit_at_time_one():
    ends = [make["brownian"](smoothness=0.5, seed=seed)(np.array([0.0, 0.5, 1.0])) for seed in range(60)]
    starts, middles, finals = np.array(ends).T
    assert np.all(starts == 0)
    assert stats.kstest(finals, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(middles, finals - middles)[0, 1]) < 0.45


@pytest.mark.parametrize(("hurst", "accuracy"), [(0.95, 1e-10), (0.999, 1e-7), (1 - 1e-6, 1e-4)])
def test_increments_near_one_have_the_eigenvalues_of_arbitrary_precision(hurst, accuracy):
    n, lags = 4096, np.arange(4097.0)
    found = increment_covariance(hurst, lags)
    with flint.ctx.workprec(160):
        powers = [abs(flint.arb(k)) ** (2 * flint.arb(hurst)) if k else flint.arb(0) for k in range(-1, n + 2)]
        true = [(powers[k] - 2 * powers[k + 1] + powers[k + 2]) / 2 for k in range(n + 1)]
        assert np.abs(found / np.array([ball(c) for c in true]) - 1).max() < 1e-14
        # The smallest eigenvalue of the circulant matrix: alternating signs.
        smallest = ball(sum((true[k] * (-1) ** k * (1 if k in (0, n) else 2) for k in range(n + 1)), flint.arb(0)))
    eigenvalues = np.fft.fft(np.concatenate([found, found[-2:0:-1]])).real
    assert eigenvalues[n] == pytest.approx(smallest, rel=accuracy)


@pytest.mark.parametrize("hurst", [0.25, 0.5, 0.9])
def test_paths_up_to_nine_tenths_are_those_of_the_plain_formula(hurst):
    n = 2**16
    lags = np.minimum(np.arange(2 * n), 2 * n - np.arange(2 * n)).astype(np.float64)
    powers = [np.abs(lags + shift) ** (2.0 * hurst) for shift in (-1.0, 0.0, 1.0)]
    noise = stationary(0.5 * (powers[0] - 2.0 * powers[1] + powers[2]), 5)[:n]
    path = dyadic(np.concatenate([[0.0], np.cumsum(noise)]) * float(n) ** -hurst)
    assert np.array_equal(make["brownian"](smoothness=hurst, seed=5)(np.arange(n + 1) / n), path)


def test_a_path_near_one_is_almost_a_line():
    path = make["brownian"](smoothness=0.99999, seed=2)(np.arange(257) / 256)
    assert np.abs(path - path[-1] * np.arange(257) / 256).max() < 0.05
    assert abs(path[-1]) > 0.1


def test_tails_count_the_rounding_of_the_nodes():
    # With H near 1 the drawn part of the tail is far below the grid of the values, 2^-40.
    drawn = polygon_tail(16, lambda k: 4.0 ** (-0.9 * (k + 1)) * (1 - 4.0**-0.1))
    assert make["brownian"](smoothness=0.9).tail() >= drawn + 2.0**-41
    z = math.sqrt(2 * 0.9) / 0.1
    factor = 2 * special.gamma(0.1) / special.gamma(1.9)
    drawn = polygon_tail(16, lambda k: factor * (z * 2.0 ** -(k + 2)) ** 1.8)
    assert make["matern"](smoothness=0.9).tail() >= drawn + 2.0**-41


@pytest.mark.parametrize("order", [2, 4])
def test_gaps_hold_exactly_where_they_are_all_rounding(order):
    # Coefficients on a line but for one unit of the last place: exact gaps by fractions, at nodes and between them.
    rng = np.random.default_rng(1)
    for _ in range(20):
        a, b = 1.0 + rng.random(2)
        levels = 3
        coefficients = (
            a + (b - a) * np.arange(2**levels + order - 1) / 8 + rng.integers(-1, 2, 2**levels + order - 1) * 2.0**-52
        )
        spline = NodeSpline(order, levels, coefficients)
        for level in range(levels + 1):
            width, worst = Fraction(1, 2**level), Fraction(0)
            for cell in range(2**level):
                ends = [spline.exact((width * (cell + i),)) for i in (0, 1)]
                for i in range(17):
                    u = Fraction(i, 16)
                    value = spline.exact((width * (cell + u),))
                    worst = max(worst, abs(value - ends[0] * (1 - u) - ends[1] * u))
            assert worst <= Fraction(spline.gaps[level])


@pytest.mark.parametrize(
    ("family", "options", "fine"),
    [
        ("faber_tree", {"levels": 1}, False),
        ("faber_tree", {"levels": 19}, False),
        ("faber_tree", {"levels": 20}, True),
        ("faber_tree", {"levels": 40}, True),
        ("bump_tree", {"levels": 19, "base": 2}, False),
        ("weierstrass", {"levels": 10, "base": 4}, True),
        ("weierstrass", {"levels": 9, "base": 4}, False),
        ("takagi", {"levels": 3}, False),
        ("brownian", {"levels": 15}, False),
        ("brownian", {"levels": 16}, True),
        ("matern", {"levels": 8}, False),
        ("matern", {"dim": 2, "levels": 8}, True),
        ("ridge", {"levels": 5}, False),
    ],
)
def test_claims_of_the_limit_are_kept_only_by_fine_sums(family, options, fine):
    claims = describe(family)
    regularity = ar.load_target(family, smoothness=0.5, **options).regularity
    assert regularity.sharp is (claims.sharp and fine)
    assert regularity.information_rich is (claims.information_rich and fine)
    # Seen from the values: one hat is Lipschitz, which no longer contradicts what is claimed of it.
    if options == {"levels": 1}:
        found = ar.measure_smoothness(ar.load_target(family, smoothness=0.5, **options))
        assert found.interval[0] > 0.5
        assert found.agrees


@pytest.mark.parametrize("name", families())
def test_every_family_has_its_claims_at_the_default(name):
    claims = describe(name)
    for dim in (claims.dims[0], claims.dims[-1]):
        regularity = ar.load_target(name, smoothness=claims.smoothness.values[0], dim=dim).regularity
        assert (regularity.sharp, regularity.information_rich) == (claims.sharp, claims.information_rich)


def test_fewer_levels_are_the_polygon_of_the_same_path():
    fine, coarse = (make["brownian"](smoothness=0.5, seed=1, levels=n) for n in (16, 5))
    nodes = np.arange(33) / 32
    assert np.array_equal(fine(nodes), coarse(nodes))
    assert np.allclose(coarse(nodes[:-1] + 1 / 64), (coarse(nodes[:-1]) + coarse(nodes[1:])) / 2, atol=1e-15)


@pytest.mark.parametrize(("nu", "dim"), [(0.5, 1), (1.5, 1), (0.5, 2), (1.5, 2)])
def test_a_matern_field_has_the_variogram_of_its_covariance(nu, dim):
    lag, length = 2.0**-5, 0.1
    z = math.sqrt(2 * nu) * lag / length
    expected = 2 * (1 - 2 ** (1 - nu) / special.gamma(nu) * z**nu * special.kv(nu, z))
    squares = []
    for seed in range(16):
        field = make["matern"](smoothness=nu, dim=dim, seed=seed)
        x = np.random.default_rng(seed).integers(0, 248, (2_000, dim)) / 256.0
        step = lag * np.eye(dim)[-1]
        squares.append(np.mean((field(x + step) - field(x)) ** 2) / expected)
    assert abs(np.mean(squares) - 1.0) < 5 * np.std(squares) / 4 + (0.02 if nu > 1 else 0.0)
    assert np.std(squares) < 0.5


@pytest.mark.parametrize("order", [2, 4])
def test_node_splines_are_the_b_splines_of_scipy(order):
    from scipy.interpolate import BSpline

    levels = 3
    coefficients = np.round(np.random.default_rng(0).standard_normal(2**levels + order - 1), 3)
    knots = (np.arange(len(coefficients) + order) - (order - 1)) * 2.0**-levels
    spline = BSpline(knots, coefficients, order - 1)
    x = np.linspace(0, 1, 201)
    assert np.allclose(NodeSpline(order, levels, coefficients).evaluate(x[:, None]), spline(x), atol=1e-13)


def test_the_tail_of_a_path_holds_for_draws_and_is_not_idle():
    ratios = []
    for seed in range(10):
        fine, coarse = (make["brownian"](smoothness=0.5, seed=seed, levels=n) for n in (16, 6))
        x = np.arange(2**16 + 1) / 2**16
        ratios.append(np.max(np.abs(fine(x) - coarse(x))) / coarse.tail())
    assert max(ratios) <= 1.0
    assert min(ratios) > 0.1


def test_the_tail_is_the_sum_of_its_quantiles():
    # Odds 2^k 2^(k - 4 + 1) 10^6 at level k, by direct summation.
    terms = [math.sqrt(2 * math.log(2.0 ** (2 * k - 3) * 1e6)) * 2.0 ** (-k / 2) for k in range(4, 400)]
    assert polygon_tail(4, lambda k: 2.0**-k) == pytest.approx(math.fsum(terms), rel=1e-9)
    assert polygon_tail(4, lambda k: 1.0) == math.inf


@pytest.mark.parametrize("dim", [2, 5])
def test_a_ridge_is_constant_across_its_direction(dim):
    target = make["ridge"](smoothness=0.5, dim=dim, seed=3, direction=[1.0] * dim)
    x = np.random.default_rng(0).integers(1, 2**20, (50, dim)) / 2.0**21
    moved = x.copy()
    moved[:, 0] += 2.0**-10
    moved[:, 1] -= 2.0**-10
    assert target.exact(list(np.abs(x)))[0] == target.exact([tuple(np.sort(x[0]))])[0]
    same = (moved >= 0).all(axis=1)
    assert target.exact(list(x[same])) == target.exact(list(moved[same]))


def test_a_ridge_in_one_variable_is_its_tree():
    for r in (0.5, 1.5):
        target = make["ridge"](smoothness=r, seed=3, direction=[2.0])
        flipped = make["ridge"](smoothness=r, seed=3, direction=[-0.5])
        x = np.arange(1, 200) / 256.0
        assert np.array_equal(target(x), flipped(1.0 - x))


def test_random_directions_have_full_support_and_differ():
    forms = [make["ridge"](smoothness=0.5, dim=9, seed=s).evaluate.__self__.form for s in range(3)]
    assert all(0.5 < float(min(f.weights)) / float(max(f.weights)) <= 1 for f in forms)
    assert all(sum(f.weights) == 1 for f in forms)
    assert len({f.direction for f in forms}) == 3


def test_a_radial_function_depends_on_the_distance_only():
    target = make["radial"](smoothness=0.5, dim=2, seed=1)
    assert (
        len(set(target.exact([(Fraction(3, 5), Fraction(4, 5)), (Fraction(4, 5), Fraction(3, 5)), (1, 0), (0, 1)])))
        == 1
    )


def test_a_composition_is_the_nesting_of_its_nodes():
    target = make["compositional"](smoothness=0.25, dim=8, seed=2, levels=6)
    tree = target.evaluate.__self__
    assert len(tree.nodes) == 7

    def value(node, point):
        if node > 7:
            return point[node - 8]
        pair = [value(2 * node, point), value(2 * node + 1, point)]
        if node < 4:
            pair = [Fraction(1, 2) + tree.factor * v for v in pair]
        assert all(0 <= v <= 1 for v in pair)
        return tree.nodes[node - 1].exact([tuple(pair)])[0]

    rng = np.random.default_rng(0)
    points = [tuple(Fraction(int(n), 97) for n in rng.integers(0, 98, 8)) for _ in range(10)]
    assert target.exact(points) == [value(1, p) for p in points]


def test_the_nodes_of_a_composition_are_different_trees_with_the_root_of_the_exponent():
    tree = make["compositional"](smoothness=0.25, dim=4).evaluate.__self__
    assert {n.regularity.smoothness for n in tree.nodes} == {0.5}
    assert len({n.key for n in tree.nodes}) == 3


def test_steps_jump_at_their_places_and_nowhere_else():
    target = make["jump"](seed=4, jumps=5)
    places = target.evaluate.__self__.places
    assert len(places) == 5
    for i, place in enumerate(places):
        below, at = target.exact([place - Fraction(1, 2**40), place])
        assert (below, at) == (i % 2, (i + 1) % 2)


def test_horizon_functions_have_half_a_derivative_in_l2():
    # ||f(. + h) - f||_2^2 along the last coordinate is h where both points are inside: the edge is crossed once.
    target = make["jump"](dim=2, seed=1)
    for h in (2.0**-4, 2.0**-7):
        x = np.random.default_rng(0).random((200_000, 2)) * [1.0, 1.0 - h]
        measured = np.mean((target(x + np.array([0.0, h])) - target(x)) ** 2) * (1 - h)
        assert measured == pytest.approx(h, rel=0.05)


def test_the_edge_of_a_horizon_stays_inside():
    x = np.linspace(0, 1, 4001)
    for seed in range(5):
        target = make["jump"](dim=2, seed=seed, edge=1.2)
        assert not target(np.stack([x, np.full_like(x, 3 / 32)], axis=1)).any()
        assert target(np.stack([x, np.full_like(x, 27 / 32 + 1e-9)], axis=1)).all()


def test_only_jumps_make_the_sup_norm_senseless():
    for name in families():
        claims = describe(name)
        target = ar.load_target(name, smoothness=claims.smoothness.values[0], dim=claims.dims[0])
        assert target.regularity.is_continuous is (name != "jump")


@pytest.mark.parametrize(
    ("family", "arguments", "error", "message"),
    [
        ("power", {"smoothness": 1.0}, ValueError, "must not be an integer"),
        ("power", {"smoothness": 0.5, "shape": "cusp"}, ValueError, "shape must be one of abs, plus, endpoint"),
        ("power", {"smoothness": 0.5, "shape": "plus", "dim": 2}, ValueError, "must be abs"),
        ("power", {"smoothness": 0.5, "centre": 2.0}, ValueError, "centre must be between 0 and 1"),
        ("power", {"smoothness": 0.5, "centre": "left"}, TypeError, "centre must be a number"),
        ("power", {"smoothness": 0.5, "shape": "endpoint", "centre": 0.5}, ValueError, "centre must be 0"),
        ("corner", {"dim": 3}, ValueError, "dim must be between 2 and 2"),
        ("gevrey", {"order": 1.0}, ValueError, "between 1.1 and 8"),
        ("gevrey", {"order": "two"}, TypeError, "order must be a number"),
        ("brownian", {"smoothness": 1.5}, ValueError, "between 0 and 1"),
        ("brownian", {"smoothness": 0.5, "levels": 17}, ValueError, "levels must be between 1 and 16"),
        ("brownian", {"smoothness": 1 - 1e-9}, ValueError, "at most 0.999999"),
        ("matern", {"smoothness": 0.01, "dim": 2}, ValueError, "at least 0.05 in dim=2"),
        ("matern", {"smoothness": 1e-4}, ValueError, "at least 0.001 in dim=1"),
        ("matern", {"smoothness": 0.5, "length": 1.0}, ValueError, "length must be between"),
        ("matern", {"smoothness": 0.5, "length": True}, TypeError, "length must be a number"),
        ("compositional", {"smoothness": 0.5, "dim": 6}, ValueError, "power of two"),
        ("ridge", {"smoothness": 0.5, "dim": 2, "direction": [1.0]}, ValueError, "direction must be dim=2"),
        ("ridge", {"smoothness": 0.5, "dim": 2, "direction": [0.0, 0.0]}, ValueError, "not all 0"),
        ("ridge", {"smoothness": 0.5, "direction": "x"}, TypeError, "list of numbers"),
        ("ridge", {"smoothness": 0.5, "direction": ["x"]}, TypeError, "must hold numbers"),
        ("radial", {"smoothness": 1.5}, ValueError, "between 0 and 1"),
        ("jump", {"smoothness": 1.0}, ValueError, "smoothness of jump must be 0.5"),
        ("jump", {"dim": 2, "edge": 0.5}, ValueError, "edge must be between 1 and 6"),
        ("jump", {"jumps": 0}, ValueError, "jumps must be between 1 and 64"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_arguments_out_of_range_are_refused_in_one_line(family, arguments, error, message):
    with pytest.raises(error, match=message) as caught:
        make[family](**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("order", [2.0, 3.0, 4.0])
def test_chebyshev_coefficients_of_gevrey_functions_fall_like_the_power_that_is_stated(order):
    # Between a quarter and all of n the logarithm grows by 4^gamma; the factor before the exponential lowers it a little.
    base, count = 1.0 / (order - 1.0), 1 << 12
    angles = (np.arange(count) + 0.5) * np.pi / count
    values = np.exp(-(((1.0 + np.cos(angles)) / 2.0) ** -base))
    sizes = np.abs(np.fft.rfft(np.concatenate([values, values[::-1]]))) / count
    last = int(np.flatnonzero(sizes > 1e-12)[-1])
    largest = [-math.log(sizes[n : last + 1].max()) for n in (last // 4, last)]
    gamma = math.log(largest[1] / largest[0]) / math.log(4.0)
    assert gamma > 1.0 / order + 0.03
    assert abs(gamma - 2.0 / (order + 1.0)) < 0.11
    assert "2/(s+1)" in describe("gevrey").effective


@pytest.mark.parametrize(
    ("family", "arguments", "match"),
    [
        ("polynomial", {"coefficients": [10**400]}, "at most 1e.100"),
        ("polynomial", {"coefficients": [1e308] * 5}, "at most 1e.100"),
        ("constant", {"value": 10**400}, "must be finite"),
        ("power", {"smoothness": 1e-300}, "at least 1e-12"),
    ],
)
def test_numbers_without_a_float_are_refused_in_words(family, arguments, match):
    with pytest.raises(ValueError, match=match):
        make[family](**arguments)
