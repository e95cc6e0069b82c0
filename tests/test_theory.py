"""The diagram's functions against independent oracles: linear programs, true trees, enumeration."""

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import linprog

from approxrates import theory
from approxrates.layers import Dyadic, SparseLayer, description_bits
from approxrates.regularity import Regularity


def faber_tree(x, smoothness, levels, signs):
    """sum_k 2^(-kr) sum_j s_kj hat(2^k x - j) with hats of peak 1; ``signs[k]`` has 2^k entries."""
    total = np.zeros_like(x)
    for k in range(levels):
        scaled = x * 2.0**k
        cell = np.minimum(np.floor(scaled).astype(int), 2**k - 1)
        u = scaled - cell
        total += 2.0 ** (-k * smoothness) * signs[k][cell] * 2 * np.minimum(u, 1 - u)
    return total


def random_signs(levels, seed):
    rng = np.random.default_rng(seed)
    return [rng.choice([-1.0, 1.0], 2**k) for k in range(levels)]


def best_piecewise_linear_error(x, y, knots):
    """Least sup error on the points of a continuous piecewise-linear function with these knots, by linear program."""
    nodes = np.array([0.0, *knots, 1.0])
    hats = np.array([np.interp(x, nodes, unit) for unit in np.eye(len(nodes))]).T
    ones = np.ones((len(x), 1))
    matrix = np.vstack([np.hstack([hats, -ones]), np.hstack([-hats, -ones])])
    cost = np.r_[np.zeros(len(nodes)), 1.0]
    bounds = [(None, None)] * len(nodes) + [(0, None)]
    return linprog(cost, A_ub=matrix, b_ub=np.r_[y, -y], bounds=bounds).fun


@pytest.mark.parametrize(("smoothness", "dim", "classical", "deep"), [(0.5, 1, 0.5, 1.0), (2.5, 2, 1.25, 2.5)])
def test_rates_are_r_over_d_and_twice_that(smoothness, dim, classical, deep):
    regularity = Regularity(smoothness=smoothness, dim=dim)
    assert theory.classical_rate(regularity) == classical
    assert theory.deep_rate(regularity) == deep
    assert theory.feasible_rate(regularity, "piecewise-linear") == deep
    assert theory.feasible_rate(regularity, "piecewise-constant") == classical
    assert theory.feasible_rate(regularity, "periodic") == math.inf


def test_one_unbounded_family_in_a_layer_lifts_the_ceiling():
    assert theory.ceiling("piecewise-constant") == 1
    assert theory.ceiling("piecewise-constant", "piecewise-polynomial") == 2
    assert theory.ceiling("piecewise-linear", "smooth") is None
    with pytest.raises(ValueError, match="at least one family"):
        theory.ceiling()
    with pytest.raises(ValueError, match="family must be one of piecewise-constant"):
        theory.ceiling("relu")


def test_resource_law_is_the_smallest_resource_by_counting():
    # Oracle: the largest rho with W^rho <= each count of distinguishable patterns, at W = 2^40.
    for a, beta, sigma in itertools.product([0.0, 0.3, 1.0], [0.0, 0.5, 2.0], [0.7, 1.0, 3.0]):
        log_w = 40.0
        capacity = min(log_w + a * log_w, log_w + beta * log_w, sigma * log_w)
        assert theory.resource_law(a, beta, sigma) == pytest.approx(capacity / log_w, abs=1e-12)


def test_resource_law_inverts_the_required_depth():
    for rho in (1.0, 1.25, 2.0):
        assert theory.resource_law(theory.required_depth_exponent(rho)) == rho
    assert theory.required_depth_exponent(0.4) == 0.0
    for bad in (0.0, 2.1, math.nan):
        with pytest.raises(ValueError, match="rho must be in"):
            theory.required_depth_exponent(bad)
    with pytest.raises(ValueError, match="bits_exponent must be at least 0"):
        theory.resource_law(1.0, -0.5)


@pytest.mark.parametrize(
    ("family", "expected"),
    [("piecewise-linear", 1.4), ("piecewise-polynomial", 1.8), ("piecewise-constant", 1.0), ("smooth", math.inf)],
)
def test_depth_term_follows_the_vc_dimension_of_the_family(family, expected):
    assert theory.depth_term(0.4, family) == pytest.approx(expected)
    assert theory.depth_term(5.0, "piecewise-linear") == 2


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_depth_limits_the_rate_on_the_parabola(depth):
    # Oracle: x^2 with P pieces errs by exactly 1 / (8 P^2) (equal pieces, each error equioscillating), and
    # P <= (n + 1)^H pieces with n <= W / 2 units per layer.
    sizes = 2.0 ** np.arange(10, 20)
    pieces = (sizes / 2 + 1) ** depth
    x = np.linspace(0, 1, 4097)
    nodes = np.linspace(0, 1, 9)
    middle = nodes[:-1] + np.diff(nodes) / 2
    gap = np.interp(x, nodes, nodes**2) - x**2
    assert gap.max() / 2 == pytest.approx(1 / (8 * 8**2), rel=1e-6)
    assert np.interp(middle, x, gap) == pytest.approx(np.full(8, gap.max()), rel=1e-6)
    slope = -np.polyfit(np.log(sizes), np.log(1 / (8 * pieces**2)), 1)[0]
    assert slope == pytest.approx(theory.depth_limited_rate(depth), rel=1e-3)


def test_depth_must_be_positive():
    with pytest.raises(ValueError, match="depth must be at least 1"):
        theory.depth_limited_rate(0)


@pytest.mark.parametrize("smoothness", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("n_knots", [0, 1, 2])
def test_no_free_knots_beat_the_lower_curve(smoothness, n_knots):
    levels = 4
    x = np.linspace(0, 1, 2**levels * 2 + 1)
    y = faber_tree(x, smoothness, levels, random_signs(levels, seed=n_knots))
    grid = np.arange(1, 32) / 32 if n_knots < 2 else np.arange(1, 16) / 16
    best = min(best_piecewise_linear_error(x, y, knots) for knots in itertools.combinations(grid, n_knots))
    assert best >= theory.free_knot_lower_curve(n_knots + 1, smoothness) - 1e-12


def test_lower_curve_takes_the_first_level_with_a_straight_cell():
    # Oracle: a loop over levels with whole numbers.
    for pieces in range(1, 70):
        level = next(k for k in range(20) if 2**k > pieces - 1)
        assert theory.free_knot_lower_curve(pieces, 0.5) == pytest.approx(2 ** (-level / 2) / 2, rel=1e-14)
    assert theory.free_knot_lower_curve([2**40, 2**40 + 1], 1.0) == pytest.approx([2.0**-41, 2.0**-42], rel=1e-14)


def test_lower_curve_of_a_finite_tree_ends_with_its_levels():
    assert theory.free_knot_lower_curve([8, 9], 0.5, levels=4).tolist() == [2**-1.5 / 2, 0.0]


@pytest.mark.parametrize("smoothness", [0.25, 0.5, 0.75])
def test_interpolants_of_true_trees_lie_in_the_sandwich(smoothness):
    levels, x = 14, np.linspace(0, 1, 2**14 + 1)
    for seed in range(5):
        y = faber_tree(x, smoothness, levels, random_signs(levels, seed))
        for cell_level in range(2, 9):
            nodes = np.linspace(0, 1, 2**cell_level + 1)
            error = np.abs(y - np.interp(x, nodes, y[:: 2 ** (levels - cell_level)])).max()
            lower = theory.free_knot_lower_curve(2**cell_level, smoothness)
            upper = theory.dyadic_interpolation_upper_curve(cell_level, smoothness)
            assert lower <= error <= upper


@pytest.mark.parametrize("smoothness", [0.1, 0.5, 0.75, 1.0])
def test_upper_curve_is_the_maximum_of_the_tree_with_all_signs_positive(smoothness):
    levels = 50
    ones = [2.0 ** (-k * smoothness) for k in range(levels)]
    x = np.concatenate([np.linspace(0, 1, 20001), [1 / 3]])
    total = sum(a * 2 * np.abs(x * 2.0**k - np.round(x * 2.0**k)) for k, a in enumerate(ones[:20]))
    rest = sum(ones[20:])
    upper = theory.dyadic_interpolation_upper_curve(0, smoothness)
    assert total.max() <= upper
    assert total.max() + rest >= upper
    assert np.argmax(total) == len(x) - 1 or total.max() - total[-1] < 1e-6


def test_bits_curve_is_exact_for_every_codebook_small_enough_to_enumerate():
    # 3 bits name at most 8 networks; the curve with 2 bits of doubt asks for m >= 5 signs: level 3 with 8. Any 8 sign
    # patterns cover 8 of 256 equally likely ones: 2^-5, within the promised 2^-2.
    level = round(-math.log2(theory.bits_lower_curve(3, 1, 1.0, kappa=1.0, doubt_bits=2)))
    assert level == 3
    patterns = list(itertools.product([-1, 1], repeat=2**level))
    codebook = set(patterns[::37][:8])
    share = sum(p in codebook for p in patterns) / len(patterns)
    assert share <= 2**-2


def test_bits_curve_matches_the_levels_of_double_precision():
    # 64-bit weights: W = 1e3 needs 64020 signs, level 16; W = 1e4 level 20.
    curve = theory.bits_lower_curve([1e3, 1e4], 64, 0.5)
    assert curve == pytest.approx([0.5 * 2**-8.0, 0.5 * 2**-10.0])
    exact = theory.bits_lower_curve((2**16 - 20) / 64, 64, 1.0)
    assert exact == pytest.approx(0.5 * 2.0**-16)
    assert theory.bits_lower_curve((2**16 - 19) / 64, 64, 1.0) == pytest.approx(0.5 * 2.0**-17)


def test_bits_curve_falls_at_the_classical_rate_in_every_dimension():
    sizes = 4.0 ** np.arange(4, 14)
    for dim in (1, 2, 3):
        curve = theory.bits_lower_curve(sizes, 64, 0.75, dim=dim, base=4, kappa=0.1)
        slope = -np.polyfit(np.log(sizes), np.log(curve), 1)[0]
        assert slope == pytest.approx(0.75 / dim, rel=0.12)


def test_odd_maps_from_a_sphere_of_higher_dimension_have_a_zero():
    # Borsuk by hand for linear encoders: some f on the sphere of radius A b^(-kr) has the weights of -f.
    rng = np.random.default_rng(0)
    for n_params in (1, 3, 7, 8):
        curve = float(theory.continuous_lower_curve(n_params, 0.5))
        cells = round(curve**-2)
        assert cells > n_params >= cells // 2
        null = np.linalg.svd(rng.normal(size=(n_params, cells)))[2][-1]
        bump = null / np.abs(null).max() * curve
        assert np.abs(bump - (-bump)).max() / 2 == pytest.approx(curve)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.free_knot_lower_curve(0, 0.5), "pieces must be at least 1"),
        (lambda: theory.free_knot_lower_curve(4, -0.5), "smoothness must be positive"),
        (lambda: theory.dyadic_interpolation_upper_curve(-1, 0.5), "cell_level must be at least 0"),
        (lambda: theory.dyadic_interpolation_upper_curve(3, 1.5), "at most 1"),
        (lambda: theory.bits_lower_curve(-1, 64, 0.5), "must not be negative"),
        (lambda: theory.bits_lower_curve(10, 64, 0.5, base=1), "base at least 2"),
        (lambda: theory.continuous_lower_curve(10, 0.5, amplitude=math.inf), "amplitude must be positive"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def sign_pattern_count(width, functionals, points, samples, seed=0):
    """Distinct strict sign patterns that one-hidden-layer ReLU networks with random weights show: a lower count."""
    rng = np.random.default_rng(seed)
    scale = rng.choice([0.1, 1.0, 10.0], (samples, 1, 1))
    weight, bias = rng.normal(size=(samples, width, 1)) * scale, rng.normal(size=(samples, width, 1)) * scale / 2
    hidden = np.maximum(weight * points + bias, 0.0)
    values = np.einsum("su,sup->sp", rng.normal(size=(samples, width)), hidden)
    return len(np.unique(values @ functionals.T > 0, axis=0))


@pytest.mark.parametrize(("width", "level"), [(1, 3), (2, 3), (3, 4)])
def test_networks_show_no_more_sign_patterns_than_warren_allows(width, level):
    points = np.arange(2 ** (level + 1) + 1) / 2 ** (level + 1)
    differences = np.zeros((2**level, len(points)))
    for j in range(2**level):
        differences[j, 2 * j : 2 * j + 3] = -0.5, 1.0, -0.5
    found = sign_pattern_count(width, differences, points, samples=200_000)
    assert 2 * width < found <= 2 ** theory.log2_sign_patterns([width], 2**level)


def test_warrens_bound_holds_for_affine_functions_whose_patterns_are_known():
    # Cover (1965): n points in general position in W - 1 dimensions are split by affine functions in exactly
    # 2 sum_(i < W) C(n - 1, i) ways; the bound of one layer is 2 (2 e n / W)^W.
    for n_weights, n in itertools.product(range(1, 12), (12, 40, 1000)):
        exact = 2 * sum(math.comb(n - 1, i) for i in range(n_weights))
        assert math.log2(exact) <= 1 + n_weights * math.log2(2 * math.e * n / n_weights)


def patterns_by_whole_numbers(widths, m, *, n_points=3, dim=1, breakpoints=1, degree=1):
    """The product of the docs with every degree and count as a whole number."""
    product, weights, inputs, order = 0.0, 0, dim, 1
    for i, width in enumerate([*widths, 1]):
        weights += (inputs + 1) * width
        n = m if i == len(widths) else m * n_points * width * breakpoints
        product += n if n < weights else min(n, math.log2(2) + weights * math.log2(2 * math.e * n * order / weights))
        order, inputs = degree * order + 1, width
    return min(m, product)


@pytest.mark.parametrize(("breakpoints", "degree"), [(1, 1), (2, 1), (1, 2), (4, 3), (1, 0)])
def test_sign_patterns_follow_the_product_formula(breakpoints, degree):
    for widths, dim, m in [([5], 1, 2**9), ([7, 3, 9], 2, 2**14), ([12] * 16, 1, 2**19), ([4] * 30, 3, 2**30)]:
        options = {"dim": dim, "breakpoints": breakpoints, "degree": degree}
        assert theory.log2_sign_patterns(widths, m, **options) == pytest.approx(
            patterns_by_whole_numbers(widths, m, **options), rel=1e-12
        )


@pytest.mark.parametrize(
    ("widths", "n_params", "bound", "bits_bound"),
    [([12] * 16, 2377, 2.0**-20, 2.0**-19), ([12] * 64, 9865, 2.0**-24, 2.0**-21), ([333], 1000, 2.0**-16, None)],
    ids=["width 12 depth 16", "width 12 depth 64", "one hidden layer"],
)
def test_real_weights_curve_at_published_sizes(widths, n_params, bound, bits_bound):
    # 9.5e-7, 6.0e-8 and 1.5e-5 for r = 1, A = 1; the same networks with 64-bit weights 1.9e-6 and 4.8e-7.
    shapes = list(itertools.pairwise([1, *widths, 1]))
    assert sum((a + 1) * b for a, b in shapes) == n_params
    assert theory.real_weights_lower_curve(widths, 1.0) == bound
    assert theory.real_weights_lower_curve(widths, 0.5) == pytest.approx(math.sqrt(bound / 2), rel=1e-12)
    if bits_bound is not None:
        assert float(theory.bits_lower_curve(n_params, 64, 1.0)) == bits_bound


def test_real_weights_curve_lies_below_what_free_knots_can_do():
    # One hidden layer of n units has n break-points: a bound for every network, so sharper than counting patterns.
    for n in (1, 4, 20, 100, 333):
        assert theory.real_weights_lower_curve([n], 0.5) <= theory.free_knot_lower_curve(n + 1, 0.5)


def test_real_weights_level_is_the_first_with_more_signs_than_patterns():
    for widths, dim, base in [([3], 1, 2), ([8, 8], 2, 2), ([5] * 6, 1, 4)]:
        level = theory.real_weights_level(widths, dim=dim, base=base)

        def spare(k, widths=widths, dim=dim, base=base):
            return base ** (k * dim) - theory.log2_sign_patterns(widths, base ** (k * dim), dim=dim) - 20

        assert spare(level) >= 0 > spare(level - 1)


def test_more_layers_units_or_pieces_weaken_the_real_weights_curve():
    level = theory.real_weights_level([8] * 4)
    for more in ({"widths": [8] * 40}, {"widths": [80] * 4}, {"degree": 3}, {"breakpoints": 64}):
        assert theory.real_weights_level(**({"widths": [8] * 4} | more)) >= level
    assert theory.real_weights_level([8] * 40, degree=2) > theory.real_weights_level([8] * 40)
    assert theory.real_weights_lower_curve([12] * 16, 0.5, levels=19) == 0.0


def test_free_knot_curve_of_other_trees_scales_with_base_and_margin():
    for pieces in (1, 2, 5, 16, 17, 64):
        level = next(k for k in range(20) if 4**k > pieces - 1)
        expected = 0.1 * 3.0 * 4.0 ** (-1.5 * level)
        found = theory.free_knot_lower_curve(pieces, 1.5, base=4, kappa=0.1, amplitude=3.0)
        assert found == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.log2_sign_patterns([], 8), "widths must be positive"),
        (lambda: theory.log2_sign_patterns([4, 0], 8), "widths must be positive"),
        (lambda: theory.log2_sign_patterns([4], 0), "n_functionals must be at least 1"),
        (lambda: theory.log2_sign_patterns([4], 8, degree=-1), "degree must be at least 0"),
        (lambda: theory.real_weights_level([4], base=1), "base at least 2"),
        (lambda: theory.real_weights_lower_curve([4], -1.0), "smoothness must be positive"),
        (lambda: theory.bits_level(10, 64, dim=0), "dim must be at least 1"),
        (lambda: theory.free_knot_lower_curve(4, 0.5, kappa=0.0), "kappa must be positive"),
    ],
)
def test_bad_arguments_of_the_bounds_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_descriptions_of_one_architecture_are_few_enough():
    """Kraft's inequality for the code of one weight: the sum of 2^-length over distinct dyadic numbers stays below 1."""
    values = {Dyadic(m, e) for m in range(-200, 201) for e in range(-40, 41)}
    layers = [SparseLayer(1, (((0, value),),), (None,), ("identity",)) for value in values]
    total = sum(2.0 ** -description_bits([layer]) for layer in layers)
    assert 0.5 < total <= 1.0


def test_description_curve_is_a_bits_curve_with_more_doubt():
    """With B W = T the curve lies at most one level above that of fixed lengths, and it falls like T^-r."""
    bits = np.array([1e2, 1e4, 1e6, 1e9])
    needed = bits + 20 + 1 + 2 * np.log2(bits + 1)
    curve = theory.description_lower_curve(bits, 0.5)
    fixed = theory.bits_lower_curve(bits, 1.0, 0.5)
    assert (curve <= fixed).all()
    assert (curve >= fixed / 2**0.5).all()
    level = theory.description_level(bits)
    assert (2.0**level >= needed).all()
    assert (2.0 ** (level - 1) < needed).all()
    with pytest.raises(ValueError, match="must not be negative"):
        theory.description_level(-1.0)
