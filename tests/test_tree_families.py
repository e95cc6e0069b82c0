"""Sparse, Besov, single-scale, mixed and lacunary families: their coefficients given back, norms, and slow second forms."""

import hashlib
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from test_generators import hat, slow_word

from approxrates.catalogue import load_target
from approxrates.generators import GENERATORS as make
from approxrates.generators.base import amplitudes
from approxrates.generators.besov_tree import holder_exponent
from approxrates.generators.bump_tree import SplineBump, margin
from approxrates.generators.lacunary import zygmund_constant
from approxrates.generators.mixed_tree import multi_levels, weight_beyond
from approxrates.generators.signs import HashedSigns, SparseSigns
from approxrates.generators.single_scale import node_values, seminorms
from approxrates.seeds import seed_for

# Exact values (rational, or balls to 20 digits) at one point, made once and written down.
GOLDEN = {
    "sparse_tree": {"smoothness": 0.5, "seed": 3},
    "besov_tree": {"smoothness": 1.8, "dim": 2, "seed": 3},
    "single_scale": {"smoothness": 1.0, "dim": 2, "seed": 3},
    "needle": {"smoothness": 1.5, "seed": 3, "cells": 2},
    "mixed_tree": {"smoothness": 0.5, "dim": 3, "seed": 3, "levels": 6},
    "lacunary": {"smoothness": 2.0, "seed": 3},
}
DIGESTS = {
    "sparse_tree": "a7d0273a27e2",
    "besov_tree": "c722efcffabb",
    "single_scale": "c9b75be9ab9f",
    "needle": "e8e18a7239ef",
    "mixed_tree": "e15b8240ff87",
    "lacunary": "468d72ae098a",
}


def digest(family):
    target = load_target(family, **GOLDEN[family])
    values = target.exact([tuple(Fraction(i, 7 + 4 * j) for j in range(target.dim)) for i in range(1, 7)])
    texts = [str(v) if isinstance(v, Fraction) else v.str(20, radius=False) for v in values]
    return hashlib.sha256(" ".join(texts).encode()).hexdigest()[:12]


@pytest.mark.parametrize("family", GOLDEN)
def test_values_are_the_same_on_every_platform(family):
    assert digest(family) == DIGESTS[family]


def second_differences(target, level):
    """``f(centre) - (f(left) + f(right)) / 2`` along x_1 in every cell of a dyadic level, exact; by cell."""
    side, result = Fraction(1, 2**level), {}
    for cell in itertools.product(range(2**level), repeat=target.dim):
        rest = [(j + Fraction(1, 2)) * side for j in cell[1:]]
        nodes = [(cell[0] * side + share * side, *rest) for share in (Fraction(0), Fraction(1, 2), Fraction(1))]
        left, middle, right = target.exact(nodes)
        result[cell] = middle - (left + right) / 2
    return result


@pytest.mark.parametrize(("dim", "theta", "deepest"), [(1, 0.5, 8), (1, 0.3, 8), (2, 0.5, 4), (3, 0.25, 2)])
def test_second_differences_of_a_sparse_tree_are_its_kept_coefficients_and_nothing_else(dim, theta, deepest):
    target = load_target("sparse_tree", smoothness=0.5, dim=dim, seed=2, theta=theta)
    for level in range(deepest + 1):
        found = {cell: value for cell, value in second_differences(target, level).items() if value}
        assert len(found) == 2 ** math.ceil(theta * level * dim)
        for cell, value in found.items():
            sign = 1 if slow_word(2, level, cell) < 1 << 63 else -1
            assert value == sign * amplitudes(2, 0.5, 40)[level]


def test_differences_of_a_smooth_sparse_tree_keep_the_sign_of_every_kept_cell():
    # The best functional of bump_tree.margin, found by brute force; zeros among the coarser signs do it no harm.
    r, b, m, seed = 1.5, 4, 4, 1
    target = load_target("sparse_tree", smoothness=r, seed=seed, levels=7)
    signs = SparseSigns(b, 1, 0.5, seed, HashedSigns(b, 1, seed))
    kept = []
    for o in (m - 1, m):
        for step in range(1, b // o + 1):
            for start in range(b - o * step + 1):
                weights = [(-1) ** (o - i) * math.comb(o, i) for i in range(o + 1)]
                own = sum(w * SplineBump(m).exact(Fraction(start + i * step, b)) for i, w in enumerate(weights))
                worst = math.inf
                for level in range(1, 7):
                    for j in signs.kept(level)[0].tolist():
                        nodes = [(j + Fraction(start + i * step, b)) / b**level for i in range(o + 1)]
                        value = sum(w * v for w, v in zip(weights, target.exact(nodes), strict=True))
                        sign = 1 if slow_word(seed, level, [j]) < 1 << 63 else -1
                        size = value * sign * (1 if own > 0 else -1) / amplitudes(b, r, 7)[level] / 2**o
                        worst = min(worst, float(size))
                kept.append(worst)
    assert max(kept) >= float(margin(r, b, m)) - 1e-12 > 0


def test_a_sparse_tree_of_all_cells_is_the_bump_tree():
    x = np.random.default_rng(0).random((200, 2))
    arguments = {"smoothness": 1.5, "dim": 2, "seed": 9}
    assert np.array_equal(load_target("sparse_tree", theta=1, **arguments)(x), load_target("bump_tree", **arguments)(x))


@pytest.mark.parametrize("theta", [0.25, 0.5, 0.75])
def test_few_bumps_reach_what_a_uniform_mesh_needs_many_cells_for(theta):
    r, seed = 0.5, 4
    target = load_target("sparse_tree", smoothness=r, seed=seed, theta=theta)
    signs = SparseSigns(2, 1, theta, seed, HashedSigns(2, 1, seed))
    for level in range(4, 13):
        bumps = sum(signs.count(k) for k in range(level))
        error_of_bumps = load_target("sparse_tree", smoothness=r, seed=seed, theta=theta, levels=level).tail()
        constant = (2 / (2**theta - 1)) ** (r / theta) / (1 - 2**-r)  # at most 2 2^(theta k) bumps on level k
        assert error_of_bumps <= constant * bumps ** (-r / theta) * (1 + 1e-9)
        cell = int(signs.kept(level)[0][0])
        ends, centre = np.array([cell, cell + 1.0]) / 2**level, np.array([cell + 0.5]) / 2**level
        on_mesh = abs(float(target(centre)[0] - target(ends).mean()))
        assert on_mesh == pytest.approx(2.0 ** (-level * r))  # the mesh of 2^level cells has the rate r only


@pytest.mark.parametrize(("s", "p", "theta"), [(0.9, 4.0, 0.5), (0.8, 2.0, 0.25), (1.25, 1.0, 0.5)])
def test_the_besov_norms_of_all_levels_agree(s, p, theta):
    target = load_target("besov_tree", smoothness=s, p=p, theta=theta, seed=1)
    for level in range(9):
        coefficients = [abs(float(v)) for v in second_differences(target, level).values()]
        norm = 2.0 ** (level * (s - 1 / p)) * sum(c**p for c in coefficients) ** (1 / p)
        assert 1 - 1e-9 <= norm < 2 ** (1 / p)


@pytest.mark.parametrize(("s", "p", "theta"), [(0.8, 2.0, 0.5), (0.9, 3.0, 0.5)])
def test_moduli_in_mean_show_the_besov_smoothness_and_in_sup_the_holder_exponent(s, p, theta):
    target = load_target("besov_tree", smoothness=s, p=p, theta=theta, seed=2)
    n = 2**17
    values = target(np.arange(n + 1) / n)
    sizes, peaks = [], []
    for k in range(3, 12):
        step = n >> k + 1
        second = np.abs(values[2 * step :] - 2 * values[step:-step] + values[: -2 * step])
        sizes.append(np.mean(second**p) ** (1 / p))
        peaks.append(second.max())
    assert (math.log2(sizes[0]) - math.log2(sizes[-1])) / 8 == pytest.approx(s, abs=0.08)
    r = holder_exponent(s, 1, p, theta)
    own = [2.0 * 2.0 ** (-k * r) for k in range(3, 12)]  # at a kept cell of level k coarser bumps drop out
    assert all(1 - 1e-9 < peak / size < 8 for peak, size in zip(peaks, own, strict=True))


@pytest.mark.parametrize("order", [2, 3, 4, 5, 6, 7])
def test_node_values_are_those_of_the_derivative_of_the_spline(order):
    from scipy.interpolate import BSpline

    spline = BSpline.basis_element(np.linspace(0, 1, order + 1), extrapolate=False)
    nodes = np.arange(1, order) / order
    true = spline.derivative(order - 2)(nodes) / spline(0.5) if order > 2 else spline(nodes) / spline(0.5)
    assert np.allclose([float(v) for v in node_values(order)], [0.0, *true, 0.0], rtol=1e-9)


def derivative_of_single_scale(target, cells, points_per_node):
    """Nodes and values of the derivative of order m0 of a single-scale function or needle in d = 1, via scipy."""
    from scipy.interpolate import BSpline

    order = math.ceil(target.regularity.smoothness) + 1
    spline = BSpline.basis_element(np.linspace(0, 1, order + 1), extrapolate=False)
    shape = spline.derivative(order - 2) if order > 2 else spline
    u = np.arange(order * points_per_node) / (order * points_per_node)
    one = np.nan_to_num(shape(u)) / spline(0.5) * float(cells) ** (order - 2)
    heights = [float(v) for v in target.exact([Fraction(2 * j + 1, 2 * cells) for j in range(cells)])]
    x = (np.arange(cells)[:, None] + u).ravel() / cells
    return np.append(x, 1.0), np.append(np.outer(heights, one).ravel(), 0.0)


@pytest.mark.parametrize("family", ["single_scale", "needle"])
@pytest.mark.parametrize("r", [0.3, 0.5, 1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.5])
def test_the_seminorm_is_the_radius_exactly(family, r):
    cells = 16
    target = load_target(family, smoothness=r, cells=cells, seed=5)
    x, slopes = derivative_of_single_scale(target, cells, points_per_node=2)
    distance = np.abs(x[:, None] - x) + np.eye(len(x))
    quotient = np.abs(slopes[:, None] - slopes) / distance**target.regularity.exponent
    assert quotient.max() == pytest.approx(target.regularity.radius, rel=1e-7)
    assert target.regularity.radius == pytest.approx(1.0) or family == "needle"


def test_hats_of_one_scale_have_the_constant_one_half():
    assert seminorms(0.5, 1) == pytest.approx((2.0, math.sqrt(2.0)))
    target = load_target("single_scale", smoothness=1.0, cells=32)
    peaks = target.exact([Fraction(2 * j + 1, 64) for j in range(32)])
    assert all(abs(float(abs(v)) - 0.5 / 32) < 1e-13 for v in peaks)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_the_needle_is_zero_outside_one_cell_and_on_a_coarse_grid(dim):
    cells = 32
    target = load_target("needle", smoothness=0.5, dim=dim, seed=3, cells=cells)
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, cells + 1)] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
    assert np.all(target(grid) == 0.0)
    centres = np.minimum(grid + 0.5 / cells, 1.0)
    values = np.abs(target(centres))
    assert np.count_nonzero(values) == 1
    assert values.max() == pytest.approx(cells**-0.5 / seminorms(0.5, dim)[0], rel=1e-9)


def slow_mixed(x, smoothnesses, budget, seed):
    """The definition of a mixed tree: every level of every coordinate, in exact arithmetic."""
    total, key = Fraction(0), seed_for("mixed tree", seed=seed)
    for level in itertools.product(range(12), repeat=len(x)):
        if sum(r * k for r, k in zip(smoothnesses, level, strict=True)) > budget + 1e-9:
            continue
        cell = [math.floor(c * 2**k) for c, k in zip(x, level, strict=True)]
        inside = [c * 2**k - j for c, k, j in zip(x, level, cell, strict=True)]
        sign = 1 if slow_word(key, 0, [2**k + j for k, j in zip(level, cell, strict=True)]) < 1 << 63 else -1
        height = math.prod((amplitudes(2, r, 12)[k] for r, k in zip(smoothnesses, level, strict=True)), start=1)
        total += sign * height * math.prod(map(hat, inside))
    return total


@pytest.mark.parametrize(
    ("smoothnesses", "levels"), [((0.5, 0.5), 8), ((0.5, 0.75), 7), ((0.8, 0.4), 6), ((0.5, 0.5, 0.5), 5), ((0.5, 0.9, 0.6), 5)], ids=str
)  # fmt: skip
def test_a_mixed_tree_is_the_sum_over_all_levels_of_all_coordinates(smoothnesses, levels):
    r, dim = min(smoothnesses), len(smoothnesses)
    target = load_target("mixed_tree", smoothness=r, dim=dim, seed=3, smoothnesses=smoothnesses, levels=levels)
    rng = np.random.default_rng(0)
    points = [tuple(Fraction(int(c), 997) for c in rng.integers(0, 998, dim)) for _ in range(5)]
    exact = target.exact(points)
    assert exact == [slow_mixed(x, smoothnesses, r * levels, 3) for x in points]
    # The fractions k / 997 are no floats: the slope of the finest level bounds what that may change.
    floats = target(np.array([[float(c) for c in x] for x in points]))
    assert np.max(np.abs(floats - [float(v) for v in exact])) < 1e-12


@pytest.mark.parametrize(
    ("smoothnesses", "level"), [((0.5, 0.5), (3, 2)), ((0.5, 0.8), (1, 4)), ((0.6, 0.5, 0.9), (2, 1, 1))]
)
def test_mixed_differences_give_back_every_coefficient(smoothnesses, level):
    dim, key = len(smoothnesses), seed_for("mixed tree", seed=1)
    target = load_target(
        "mixed_tree", smoothness=min(smoothnesses), dim=dim, seed=1, smoothnesses=list(smoothnesses), levels=12
    )
    height = math.prod((amplitudes(2, r, 9)[k] for r, k in zip(smoothnesses, level, strict=True)), start=1)
    for cell in itertools.product(*[range(2**k) for k in level]):
        nodes = itertools.product(range(3), repeat=dim)
        total = Fraction(0)
        for node in nodes:
            point = tuple((j + Fraction(i, 2)) / 2**k for j, i, k in zip(cell, node, level, strict=True))
            total += math.prod((1, -2, 1)[i] for i in node) * target.exact([point])[0]
        sign = 1 if slow_word(key, 0, [2**k + j for k, j in zip(level, cell, strict=True)]) < 1 << 63 else -1
        assert total == (-2) ** dim * sign * height


def test_an_anisotropic_tree_has_its_own_smoothness_along_each_coordinate():
    smoothnesses = [0.75, 0.4]
    target = load_target("mixed_tree", smoothness=0.4, dim=2, seed=2, smoothnesses=smoothnesses)
    x = np.random.default_rng(0).random((3_000, 2)) * 0.75
    for axis, r in enumerate(smoothnesses):
        sizes = []
        for k in (3, 10):
            moved = np.repeat(x[None], 3, axis=0)
            moved[1:, :, axis] += np.array([[1], [2]]) * 2.0**-k
            left, middle, right = (target(points) for points in moved)
            sizes.append(np.sqrt(np.mean((left - 2 * middle + right) ** 2)))
        assert math.log2(sizes[0] / sizes[1]) / 7 == pytest.approx(r, abs=0.08)


def test_mixed_differences_obey_the_product_of_the_constants():
    from approxrates.generators.base import holder_constant

    smoothnesses = [0.5, 0.8]
    target = load_target("mixed_tree", smoothness=0.5, dim=2, seed=2, smoothnesses=smoothnesses)
    rng = np.random.default_rng(1)
    steps = 2.0 ** -rng.uniform(1, 14, (4_000, 2))
    x = rng.random((4_000, 2)) * (1 - steps)
    corners = [target(x + steps * np.array(c)) for c in ((0, 0), (0, 1), (1, 0), (1, 1))]
    change = np.abs(corners[0] - corners[1] - corners[2] + corners[3])
    constants = [holder_constant(2, r, 2.0, 2.0) for r in smoothnesses]
    assert np.all(change <= math.prod(constants) * np.prod(steps**smoothnesses, axis=1))


@pytest.mark.parametrize("smoothnesses", [(0.5, 0.5), (0.9, 0.7), (0.7, 0.9, 0.8)])
def test_the_tail_of_a_mixed_tree_is_the_weight_of_the_levels_left_out(smoothnesses):
    budget = 3.0
    kept = set(multi_levels(budget, smoothnesses))
    levels = itertools.product(range(80), repeat=len(smoothnesses))
    left_out = math.fsum(
        2.0 ** -sum(r * k for r, k in zip(smoothnesses, level, strict=True)) for level in levels if level not in kept
    )
    assert weight_beyond(budget, smoothnesses) == pytest.approx(left_out, rel=1e-6)


@pytest.mark.parametrize(
    "case",
    [
        {"name": "sparse_tree", "smoothness": 0.5, "dim": 2},
        {"name": "besov_tree", "smoothness": 1.8},
        {"name": "single_scale", "smoothness": 1.5, "dim": 2},
        {"name": "needle", "smoothness": 0.5},
        {"name": "mixed_tree", "smoothness": 0.5, "dim": 2, "smoothnesses": [0.5, 0.8]},
        {"name": "mixed_tree", "smoothness": 0.75, "dim": 3},
        {"name": "lacunary", "smoothness": 1.0, "dim": 2},
    ],
    ids=lambda case: f"{case['name']}-{case.get('dim', 1)}",
)
@pytest.mark.parametrize("level", [0, 1, 4, 9])
def test_enclosures_contain_the_target_on_their_cells(case, level):
    target = load_target(**case, seed=1)
    rng, d, side = np.random.default_rng(level), target.dim, target.base**level
    numbers = rng.integers(0, side, (100, d))
    numbers[0], numbers[1] = 0, side - 1
    model = target.enclosure(level, numbers)
    assert np.all(model.remainder <= 40.0 * float(side) ** -min(1.0, target.regularity.smoothness / 2))
    rows, columns = np.triu_indices(d)
    t = rng.integers(-64, 65, (40, 100, d)) / 64.0
    t[0] = 0.0
    parts = np.concatenate([np.ones((40, 100, 1)), t, t[..., rows] * t[..., columns]], axis=-1)
    polynomial = np.einsum("ink,kn->in", parts, model.terms)
    values = target(((numbers + 0.5 + t / 2) / side).reshape(-1, d)).reshape(40, 100)
    assert np.all(np.abs(values - polynomial) <= model.remainder + target.evaluation_error + 1e-15)


@pytest.mark.parametrize("dim", [2, 3])
def test_the_stated_error_of_float_values_of_a_mixed_tree_holds(dim):
    target = load_target("mixed_tree", smoothness=0.5, dim=dim, seed=1)
    x = np.random.default_rng(0).random((25, dim))
    off = max(abs(e - Fraction(float(v))) for e, v in zip(target.exact(list(x)), target(x), strict=True))
    assert 0 < off <= target.evaluation_error < 1e-11


@pytest.mark.parametrize("r", [0.5, 1.5])
def test_a_lacunary_series_of_no_whole_order_is_the_weierstrass_function(r):
    x = np.random.default_rng(0).random((50, 2))
    one, other = (load_target(name, smoothness=r, dim=2, seed=4) for name in ("lacunary", "weierstrass"))
    assert np.array_equal(one(x), other(x))


@pytest.mark.parametrize("alpha", [0.3, 0.5, 1.0])
@pytest.mark.parametrize("base", [2, 5])
def test_the_zygmund_constant_is_the_sup_of_the_bound_it_sums(base, alpha):
    h = np.geomspace(0.01, 0.01 * base, 4001)
    frequencies = float(base) ** np.arange(-60, 60)[:, None]
    sums = np.sum(frequencies**-alpha * np.minimum((2 * np.pi * frequencies * h) ** 2, 4.0), axis=0) / h**alpha
    assert sums.max() * (1 - 1e-9) <= zygmund_constant(base, alpha) <= sums.max() * 1.003


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("r", [0.5, 1.0, 2.0])
def test_second_differences_of_a_lacunary_series_obey_its_radius(r, dim):
    # For r = 2 they are taken of difference quotients, which are averages of first derivatives.
    target = load_target("lacunary", smoothness=r, dim=dim, seed=1)
    rng, quotient = np.random.default_rng(0), 2.0**-8
    x = 0.25 + 0.4 * rng.random((4_000, dim))
    ray = rng.standard_normal(x.shape)
    ray *= (0.1 * 2.0 ** -rng.uniform(0, 12, len(x)) / np.linalg.norm(ray, axis=1))[:, None]
    order = target.regularity.order

    def value(points):
        if not order:
            return target(points)
        ahead = points + quotient * np.eye(dim)[0]
        return (target(ahead) - target(points)) / quotient

    change = np.abs(value(x + ray) - 2 * value(x) + value(x - ray))
    bound = target.regularity.radius * np.linalg.norm(ray, axis=1) ** target.regularity.exponent
    assert np.all(change <= bound + 1e-12)
    assert np.max(change / bound) > 0.02


def test_the_lacunary_series_of_order_one_is_zygmund_but_not_lipschitz():
    target = load_target("lacunary", smoothness=1.0, seed=1)
    x = np.random.default_rng(0).random(20_000) * 0.9
    slopes = [np.sqrt(np.mean((target(x + h) - target(x)) ** 2)) / h for h in (2.0**-5, 2.0**-20)]
    assert slopes[1] / slopes[0] == pytest.approx(2.0, abs=0.25)  # the root of the number of frequencies below 1/h
    bends = [np.max(np.abs(target(x + 2 * h) - 2 * target(x + h) + target(x))) / h for h in (2.0**-5, 2.0**-20)]
    assert bends[1] / bends[0] == pytest.approx(1.0, abs=0.1)


def test_linear_interpolation_of_the_lacunary_series_has_rate_one_without_a_logarithm():
    target = load_target("lacunary", smoothness=1.0, seed=2)
    errors = []
    for level in (4, 12):
        nodes = np.arange(2**level + 1) / 2**level
        inside = np.linspace(0, 1, 2**18 // 2**level, endpoint=False) / 2**level
        x = (nodes[:-1, None] + inside).ravel()
        errors.append(np.max(np.abs(target(x) - np.interp(x, nodes, target(nodes)))))
    assert math.log2(errors[0] / errors[1]) / 8 == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(
    ("family", "arguments", "error", "message"),
    [
        ("sparse_tree", {"smoothness": 0.5, "theta": 0.0}, ValueError, "theta must be above 0 and at most 1"),
        ("sparse_tree", {"smoothness": 0.5, "theta": "half"}, TypeError, "theta must be a number"),
        ("sparse_tree", {"smoothness": 2.0}, ValueError, "must not be an integer"),
        ("sparse_tree", {"smoothness": 1.5, "base": 2}, ValueError, "for which its smoothness is proven"),
        ("besov_tree", {"smoothness": 0.5}, ValueError, "above dim / p = 0.5"),
        ("besov_tree", {"smoothness": 0.8, "p": 0.5}, ValueError, "p must be at least 1"),
        ("besov_tree", {"smoothness": 0.8, "p": math.inf}, ValueError, "use bump_tree"),
        ("besov_tree", {"smoothness": 0.8, "p": "two"}, TypeError, "p must be a number"),
        ("besov_tree", {"smoothness": 1.25}, ValueError, "must not be an integer. Got 1 from"),
        ("single_scale", {"smoothness": 1.0, "cells": 48}, ValueError, "power of two. Got cells=48. Use e.g. cells=32"),
        ("single_scale", {"smoothness": 6.0}, ValueError, "between 0 and 6"),
        ("needle", {"smoothness": 1.0, "cells": 1}, ValueError, "cells must be between 2"),
        ("mixed_tree", {"smoothness": 1.0}, ValueError, "between 0 and 1"),
        ("mixed_tree", {"smoothness": 0.5, "dim": 1}, ValueError, "dim must be between 2 and 3"),
        ("mixed_tree", {"smoothness": 0.5, "smoothnesses": [0.6, 0.7]}, ValueError, "the least of them smoothness=0.5"),
        ("mixed_tree", {"smoothness": 0.5, "smoothnesses": [0.5]}, ValueError, "must be dim=2 numbers"),
        ("mixed_tree", {"smoothness": 0.5, "smoothnesses": "rough"}, TypeError, "must be a list of numbers"),
        ("mixed_tree", {"smoothness": 0.5, "levels": 49}, ValueError, "levels must be between 1 and 48"),
        ("lacunary", {"smoothness": 8.0}, ValueError, "between 0 and 8"),
    ],
)
def test_arguments_out_of_range_are_refused_in_one_line(family, arguments, error, message):
    with pytest.raises(error, match=message) as caught:
        make[family](**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("family", "smoothness", "dim"),
    [
        ("sparse_tree", 2.5, 2),
        ("besov_tree", 2.7, 1),
        ("single_scale", 3.0, 2),
        ("needle", 2.5, 1),
        ("lacunary", 3.0, 2),
    ],
)
def test_gradients_are_limits_of_difference_quotients(family, smoothness, dim):
    target = load_target(family, smoothness=smoothness, dim=dim, seed=1)
    x, step = 0.01 + 0.98 * np.random.default_rng(0).random((300, dim)), 2.0**-16
    slopes = target.gradient(x)
    scale = np.abs(slopes).max()
    assert scale > 0
    for axis in range(dim):
        ahead, behind = x.copy(), x.copy()
        ahead[:, axis] += step
        behind[:, axis] -= step
        assert np.allclose(slopes[:, axis], (target(ahead) - target(behind)) / (2 * step), atol=1e-4 * scale)


@pytest.mark.parametrize("family", ["sparse_tree", "besov_tree", "single_scale", "needle", "lacunary"])
def test_functions_that_need_not_be_differentiable_have_no_gradient(family):
    assert load_target(family, smoothness=0.8).gradient is None


@pytest.mark.parametrize("alpha", [1e-12, 1e-9, 1e-6, 1.0 - 1e-6, 1.0 - 1e-9, 1.0 - 1e-13])
def test_constants_stay_upper_bounds_near_whole_numbers(alpha):
    from decimal import Decimal, localcontext

    from approxrates.generators.base import holder_constant, tail_sum

    with localcontext() as context:
        context.prec = 60
        a = Decimal(alpha)
        down, up = 1 / (1 - Decimal(2) ** (a - 1)), 1 / (Decimal(2) ** a - 1)
        pairs = [
            (holder_constant(2, alpha, 2.0, 2.0), 2 * (down + up)),
            (tail_sum(2, alpha, 40), Decimal(2) ** (-40 * a) / (1 - Decimal(2) ** -a)),
        ]
        for bound, value in pairs:
            assert value <= Decimal(bound) <= value * (1 + Decimal(10) ** -11)


@pytest.mark.parametrize(("dim", "most"), [(1, 2**19), (2, 512), (3, 64)])
def test_a_single_scale_of_stored_signs_has_them(dim, most):
    first, second = (make["single_scale"](1.0, dim=dim, cells=most, signs=s) for s in ("hashed", "stored"))
    x = (np.random.default_rng(0).integers(0, most, (500, dim)) + 0.5) / most
    assert 150 < np.sum(first(x) != second(x)) < 350
    with pytest.raises(ValueError, match=f"cells must be at most {most} in dim={dim}"):
        make["single_scale"](1.0, dim=dim, cells=2 * most, signs="stored")
