"""The diagram's functions against independent oracles: linear programs, true trees, enumeration."""

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import linprog

from approxrates import theory
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
