"""Models of targets on b-adic cells, errors of their float values, and gradients: against exact values.

The oracle is exact: polynomials and targets are evaluated at rational points in rational arithmetic (balls of radius
2^-180 for cosines and exponentials), so that nothing of float64 is trusted.
"""

import math
import pickle
import random
from fractions import Fraction

import flint
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import approxrates as ar
from approxrates.generators import GENERATORS
from approxrates.generators.base import BumpSum, amplitudes
from approxrates.generators.bump_tree import SplineBump
from approxrates.generators.faber_tree import Hat
from approxrates.generators.models import BumpModel, bump_sum_enclosure
from approxrates.generators.pieces import Pieces
from approxrates.generators.rounding import bump_sum_error
from approxrates.generators.signs import AllPlus, HashedSigns, SparseSigns
from approxrates.generators.tails import best_quadratic, cosine_bounds, grid_size, tail_bounds
from approxrates.generators.waves import CosineModel
from approxrates.taylor import UNIT, TaylorModel, n_terms

CASES = [
    *[("faber_tree", {"smoothness": r, "dim": d}) for r, d in [(0.25, 1), (0.5, 1), (0.75, 1), (0.5, 2), (0.75, 3)]],
    *[("takagi", {"smoothness": r, "dim": d}) for r, d in [(0.25, 1), (0.75, 1), (0.5, 2), (0.5, 3)]],
    *[
        ("bump_tree", {"smoothness": r, "dim": d})
        for r, d in [(1.5, 1), (2.5, 1), (3.5, 1), (5.5, 1), (1.5, 2), (2.5, 3)]
    ],
    ("bump_tree", {"smoothness": 0.5, "base": 5, "order": 2}),
    ("bump_tree", {"smoothness": 0.5, "base": 3, "order": 3, "dim": 2}),
    ("bump_tree", {"smoothness": 2.5, "base": 6, "order": 5}),
    *[("weierstrass", {"smoothness": r, "dim": d}) for r, d in [(0.5, 1), (1.5, 1), (0.5, 2), (2.5, 3)]],
    ("weierstrass", {"smoothness": 1.5, "dim": 2, "base": 3}),
    *[("analytic", {"function": f, "dim": d}) for f in ("runge", "gaussian", "sine", "exp_sin") for d in (1, 2, 3)],
    *[("analytic", {"function": "exponential", "dim": d}) for d in (1, 3)],
    ("polynomial", {}),
    ("polynomial", {"coefficients": [1.0, -2.0, 0.5, 4.0, -7.0, 3.0], "dim": 3}),
    ("constant", {"value": 0.3, "dim": 2}),
]
LEVELS = (0, 1, 2, 3, 5, 8, 13, 21, 34, 45, 50, 52)


def named(case):
    family, options = case
    return family + "-" + "-".join(f"{k}={v}" for k, v in options.items() if k != "coefficients")


every_target = pytest.mark.parametrize("case", CASES, ids=named)


def made(case):
    return GENERATORS[case[0]](**case[1])


def rational(value):
    """A value of ``Target.exact`` as a fraction; the radius of a ball is far below anything tested here."""
    if isinstance(value, Fraction):
        return value
    mantissa, exponent = value.mid().man_exp()
    return int(mantissa) * Fraction(2) ** int(exponent)


def polynomial_at(model, box, t):
    """The polynomial of one box at a rational point, exactly."""
    c = [Fraction(float(v)) for v in model.terms[:, box]]
    total = c[0] + sum(c[1 + i] * t[i] for i in range(model.dim))
    pairs = zip(*np.triu_indices(model.dim), strict=True)
    return total + sum(c[1 + model.dim + k] * t[i] * t[j] for k, (i, j) in enumerate(pairs))


def point_of(base, level, cell, t):
    return tuple((2 * j + 1 + ti) / (2 * base**level) for j, ti in zip(cell, t, strict=True))


def off(target, model, box, level, cell, t):
    """Exact distance of target and polynomial at one point of one box."""
    return abs(rational(target.exact([point_of(target.base, level, cell, t)])[0]) - polynomial_at(model, box, t))


def some_cells(rng, target, level, n):
    return [[rng.randrange(target.base**level) for _ in range(target.dim)] for _ in range(n)]


def some_places(rng, dim, n):
    """Points of a box: dense rationals, thirds (where hats of equal sign pile up), and points of the boundary."""
    special = [Fraction(-1), Fraction(0), Fraction(1), Fraction(1, 3), Fraction(-1, 3), Fraction(1, 5)]
    for k in range(n):
        if k % 2:
            yield [rng.choice(special) for _ in range(dim)]
        else:
            yield [Fraction(rng.randint(-(2**20), 2**20), 2**20) for _ in range(dim)]


def deep_levels(target):
    return [level for level in LEVELS if target.base**level <= 2**52]


@every_target
def test_the_model_holds_at_rational_points_of_cells_of_every_level(case):
    target, rng = made(case), random.Random(0)
    for level in deep_levels(target):
        cells = some_cells(rng, target, level, 3)
        model = target.enclosure(level, np.array(cells))
        assert model.terms.shape == (n_terms(target.dim), 3)
        for box, cell in enumerate(cells):
            for t in some_places(rng, target.dim, 4):
                assert off(target, model, box, level, cell, t) <= Fraction(float(model.remainder[box]))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_the_model_holds_for_any_smoothness_seed_cell_and_point(data):
    family = data.draw(st.sampled_from(["faber_tree", "takagi", "bump_tree", "weierstrass"]))
    r = data.draw(st.floats(0.05, 0.95 if family in ("faber_tree", "takagi") else 5.5).filter(lambda r: r % 1 > 0.02))
    dim, seed = data.draw(st.integers(1, 3)), data.draw(st.integers(0, 99))
    target = GENERATORS[family](r, dim=dim, seed=seed, levels=data.draw(st.integers(1, 12)))
    level = data.draw(st.integers(0, int(52 / math.log2(target.base))))
    cell = [data.draw(st.integers(0, target.base**level - 1)) for _ in range(dim)]
    t = [data.draw(st.fractions(-1, 1, max_denominator=10**6)) for _ in range(dim)]
    model = target.enclosure(level, np.array([cell]))
    assert off(target, model, 0, level, cell, t) <= Fraction(float(model.remainder[0]))


def dense_places(dim, n):
    side = np.linspace(-1.0, 1.0, n)
    return np.stack(np.meshgrid(*[side] * dim, indexing="ij"), axis=-1).reshape(-1, dim)


def dense_ratio(target, level, n):
    """Largest distance of target and polynomial on a grid, over the remainder: one number per cell."""
    d, count = target.dim, target.base**level
    cells = np.stack(np.meshgrid(*[np.arange(count)] * d, indexing="ij"), axis=-1).reshape(-1, d)
    model, t = target.enclosure(level, cells), dense_places(d, n)
    rows, columns = np.triu_indices(d)
    basis = np.concatenate([np.ones((1, len(t))), t.T, t.T[rows] * t.T[columns]])
    x = (2 * cells[:, None, :] + 1 + t) / (2.0 * count)
    values = target(np.clip(x, 0.0, 1.0).reshape(-1, d)).reshape(len(cells), -1)
    allowed = target.evaluation_error + 1e-11  # the points themselves are rounded
    return (np.abs(values - model.terms.T @ basis).max(axis=1) - allowed) / model.remainder


@pytest.mark.parametrize(
    ("case", "level", "n", "least"),
    [
        (CASES[0], 4, 3073, 0.75),
        (CASES[1], 4, 3073, 0.75),
        (CASES[2], 4, 3073, 0.75),
        (CASES[3], 3, 97, 0.5),
        (CASES[4], 1, 33, 0.5),
        (CASES[5], 3, 3073, 0.99),
        (CASES[6], 3, 3073, 0.99),
        (CASES[7], 2, 97, 0.98),
        (CASES[8], 1, 49, 0.75),
        (CASES[9], 3, 513, 0.95),
        (CASES[10], 3, 513, 0.8),
        (CASES[11], 2, 513, 0.35),
        (CASES[13], 2, 65, 0.5),
        (CASES[15], 2, 625, 0.7),
        (CASES[18], 4, 1025, 0.8),
        (CASES[19], 4, 513, 0.8),
        (CASES[20], 3, 65, 0.4),
        (CASES[23], 6, 257, 0.5),
        (CASES[26], 5, 257, 0.9),
        (CASES[29], 5, 257, 0.95),
        (CASES[32], 5, 257, 0.7),
        (CASES[35], 5, 257, 0.85),
    ],
    ids=lambda v: named(v) if isinstance(v, tuple) else "",
)
def test_the_model_holds_and_is_tight_on_a_dense_grid_of_all_cells(case, level, n, least):
    ratio = dense_ratio(made(case), level, n)
    assert ratio.max() <= 1.0
    assert ratio.max() >= least


@pytest.mark.parametrize(
    ("case", "levels", "rate"),
    [
        *[(CASES[i], (6, 16), CASES[i][1]["smoothness"]) for i in (0, 1, 2, 3, 4, 5, 6, 7, 8)],
        *[(CASES[i], (4, 8), CASES[i][1]["smoothness"] * 2) for i in (9, 13)],
        *[(CASES[i], (8, 20), CASES[i][1]["smoothness"]) for i in (18, 19, 20)],
        (CASES[21], (8, 12), 2.5),
        *[(CASES[i], (8, 12), 3.0) for i in (23, 24, 25, 26, 29, 32, 35)],
    ],
    ids=lambda v: named(v) if isinstance(v, tuple) and isinstance(v[0], str) else str(v),
)
def test_remainders_shrink_at_the_rate_of_the_smoothness_or_of_the_third_order(case, levels, rate):
    target = made(case)
    coarse, fine = levels
    cells = [[(j * target.base**level) // 64 for j in (20, 21, 45)] for level in levels]
    sizes = [
        target.enclosure(level, np.repeat(np.array(c)[:, None], target.dim, axis=1)).remainder.max()
        for level, c in zip(levels, cells, strict=True)
    ]
    measured = math.log2(sizes[0] / sizes[1]) / (fine - coarse)
    assert measured >= rate - 0.12


@pytest.mark.parametrize("r", [0.25, 0.5, 0.75])
def test_the_bound_on_the_finer_levels_is_the_closed_form_of_equal_signs(r):
    tree = GENERATORS["faber_tree"](r, levels=60).enclosure.tree
    exact = (2.0 / 3.0) / (1.0 - 2.0**-r) * 2.0**-r  # level 1 and finer
    below = BumpModel(tree).own[0].below
    assert exact * (1.0 - 2.0**-r * 1e-3) <= below <= exact * 1.01


@pytest.mark.parametrize(("order", "base", "dim"), [(2, 2, 2), (2, 2, 3), (4, 4, 2), (3, 3, 2)])
def test_the_supremum_of_tensor_bumps_is_on_the_diagonal_and_bounded_there(order, base, dim):
    tree = BumpSum(SplineBump(order), base, dim, amplitudes(base, 0.5, 8), AllPlus(base, dim))
    shifted = BumpSum(tree.bump, base, dim, (Fraction(0), *tree.amplitudes), tree.signs)
    bound = BumpModel(shifted).own[0].below
    x = np.random.default_rng(0).random((200_000, dim))
    diagonal = np.repeat(np.linspace(0.0, 1.0, 50_001)[:, None], dim, axis=1)
    highest = tree.evaluate(diagonal).max()
    assert tree.evaluate(x).max() <= highest * (1.0 + 1e-9) <= bound * (1.0 + 1e-8) <= 1.02 * highest


@pytest.mark.parametrize("base", [2, 3, 10, 64])
def test_tails_of_cosines_are_bounded_and_close(base):
    heights = [float(base) ** (-0.5 * n) for n in range(6)]
    phases = np.random.default_rng(base).random(6)
    grid = grid_size(base)
    tails = tail_bounds(base, heights, [cosine_bounds(p, grid) for p in phases])
    x = np.linspace(0.0, 1.0, 400_001)
    for first in range(7):
        terms = [
            a * np.cos(2 * math.pi * (base**n * x + p))
            for n, (a, p) in enumerate(zip(heights[first:], phases[first:], strict=True))
        ]
        values = np.sum([np.zeros_like(x), *terms], axis=0)
        high, low = tails[first]
        cell = np.minimum((x * grid).astype(int), grid - 1)
        assert np.all(values <= high[cell] + 1e-9)
        assert np.all(values >= low[cell] - 1e-9)
        assert high.max() <= values.max() + 0.02 * sum(heights[first:])


def test_the_quadratic_of_least_distance_is_nearly_chebyshevs():
    ends = np.linspace(-1.0, 1.0, 2049)
    cubes, bends = ends**3, np.abs(ends)
    *_, error = best_quadratic(np.maximum(cubes[1:], cubes[:-1]), np.minimum(cubes[1:], cubes[:-1]))
    assert 0.25 <= error <= 0.26
    a, b, c, error = best_quadratic(np.maximum(bends[1:], bends[:-1]), np.minimum(bends[1:], bends[:-1]))
    assert np.abs(bends - a - b * ends - c * ends**2).max() <= error
    assert 0.125 <= error <= 0.13


def test_signs_of_zero_leave_only_what_is_finer():
    tree = BumpSum(Hat(), 2, 1, amplitudes(2, 0.5, 12), SparseSigns(2, 1, 0.5, 3, HashedSigns(2, 1, 3)))
    target = ar.Target("sparse", ar.Regularity(0.5, 1), {}, tree.evaluate, tree.exact)
    rng = random.Random(1)
    for level in (0, 2, 5, 9, 14):
        cells = some_cells(rng, target, level, 20)
        model = bump_sum_enclosure(tree)(level, np.array(cells))
        for box, cell in enumerate(cells):
            for t in some_places(rng, 1, 4):
                assert off(target, model, box, level, cell, t) <= Fraction(float(model.remainder[box]))


# Rounding


@pytest.mark.parametrize("case", [c for c in CASES if c[0] not in ("constant",)], ids=named)
def test_rounding_is_counted_where_nothing_else_is_left(case):
    target, rng = made(case), random.Random(2)
    level = int(52 / math.log2(target.base) + 1e-9)
    cells = some_cells(rng, target, level, 30)
    model = target.enclosure(level, np.array(cells))
    t = [Fraction(0)] * target.dim
    real = [off(target, model, box, level, cell, t) for box, cell in enumerate(cells)]
    assert max(real) > 0  # float64 cannot hold the values: a remainder of zero would be wrong
    assert all(r <= Fraction(float(e)) for r, e in zip(real, model.remainder, strict=True))
    assert model.remainder.max() < 1e-11


def adversarial(target, rng):
    """Points with long mantissas, near faces of cells, at both ends, and as small as floats get."""
    b = target.base
    plain = [rng.random() for _ in range(30)]
    faces = [min(rng.randrange(1, b**k) / b**k, 1.0) for k in (1, 2, 5, 9) for _ in range(3)]
    near = [float(np.nextafter(x, s)) for x in faces for s in (0.0, 1.0)]
    tiny = [
        0.0,
        1.0,
        5e-324,
        2.0**-60,
        1e-17,
        float(np.nextafter(1.0, 0.0)),
        float(np.nextafter(0.5, 0.0)),
        1 / 3,
        2 / 3,
    ]
    one = plain + faces + near + tiny
    return np.array([[rng.choice(one) for _ in range(target.dim)] for _ in range(80)])


@every_target
def test_float_values_are_within_the_proven_error(case):
    target, rng = made(case), random.Random(3)
    x = adversarial(target, rng)
    values = target(x)
    exact = [rational(v) for v in target.exact([tuple(map(Fraction, row)) for row in x])]
    worst = max(abs(e - Fraction(float(v))) for e, v in zip(exact, values, strict=True))
    assert worst <= Fraction(target.evaluation_error)
    assert target.evaluation_error < 1e-12
    if case[0] != "constant":
        assert worst >= Fraction(target.evaluation_error) / 300  # no bound that anything would meet


@pytest.mark.parametrize(("order", "base", "dim"), [(2, 3, 1), (3, 3, 2), (5, 5, 1), (7, 6, 1), (12, 2, 1), (4, 64, 1)])
def test_float_values_of_any_bump_and_base_are_within_the_proven_error(order, base, dim):
    levels = int(50 / math.log2(base))
    tree = BumpSum(SplineBump(order), base, dim, amplitudes(base, 0.4, levels), HashedSigns(base, dim, 1))
    target = ar.Target("bumps", ar.Regularity(0.4, dim), {}, tree.evaluate, tree.exact, base=base)
    x = adversarial(target, random.Random(4))
    values = target(x)
    exact = target.exact([tuple(map(Fraction, row)) for row in x])
    assert max(abs(e - Fraction(float(v))) for e, v in zip(exact, values, strict=True)) <= Fraction(
        bump_sum_error(tree)
    )


@pytest.mark.parametrize(("order", "base", "level"), [(2, 3, 39), (4, 6, 23), (4, 3, 0), (8, 2, 4), (12, 2, 30)])
def test_the_error_of_one_level_is_that_of_its_bump_and_of_the_place_in_its_cell(order, base, level):
    """Without other levels no rounding of a sum hides an error of the bump or, in bases like 3, of the fraction."""
    tree = BumpSum(SplineBump(order), base, 1, (*[Fraction(0)] * level, Fraction(1)), AllPlus(base, 1))
    x = np.random.default_rng(order).random(400) ** 4  # small numbers have digits below 2^-53, where places are rounded
    values = tree.evaluate(x[:, None])
    worst = max(abs(tree.exact((Fraction(p),)) - Fraction(v)) for p, v in zip(x.tolist(), values.tolist(), strict=True))
    assert Fraction(bump_sum_error(tree)) / 100 <= worst <= Fraction(bump_sum_error(tree))


# Gradients


SMOOTH = [c for c in CASES if c[0] in ("analytic", "polynomial", "constant") or c[1].get("smoothness", 0.0) > 1.0]


@pytest.mark.parametrize("case", SMOOTH, ids=named)
def test_gradients_agree_with_exact_difference_quotients(case):
    target, rng = made(case), random.Random(5)
    step = Fraction(1, 2**44)
    x = np.array([[rng.random() for _ in range(target.dim)] for _ in range(6)])
    slopes = target.gradient(x)
    assert slopes.shape == x.shape
    # A derivative of Hölder order min(r - 1, 2) differs from a central quotient by that power of the step.
    order = min(target.regularity.smoothness - 1.0, 2.0)
    allowed = 1e3 * float(step) ** order + 1e-9
    for row, slope in zip(x, slopes, strict=True):
        for i in range(target.dim):
            ends = [tuple(Fraction(c) + (s * step if j == i else 0) for j, c in enumerate(row)) for s in (1, -1)]
            high, low = map(rational, target.exact(ends))
            assert float((high - low) / (2 * step)) == pytest.approx(slope[i], abs=allowed)


@pytest.mark.parametrize("case", SMOOTH, ids=named)
def test_gradients_exist_up_to_the_boundary(case):
    target = made(case)
    corners = np.array([[0.0] * target.dim, [1.0] * target.dim])
    inside = np.clip(corners, 1e-13, 1.0 - 1e-13)
    assert target.gradient(corners) == pytest.approx(target.gradient(inside), abs=2e-4)


def test_rough_targets_have_no_gradient():
    assert GENERATORS["faber_tree"](0.5).gradient is None
    assert GENERATORS["weierstrass"](0.5).gradient is None
    assert GENERATORS["bump_tree"](0.5).gradient is None


def test_a_function_of_the_user_may_bring_its_gradient():
    smooth = ar.Regularity(math.inf, 2)
    square = ar.Target.from_callable(lambda x: (x**2).sum(axis=1), smooth, name="square", gradient=lambda x: 2 * x)
    x = np.random.default_rng(0).random((5, 2))
    assert np.array_equal(square.gradient(x), 2 * x)
    assert square.enclosure is None
    assert square.evaluation_error is None
    assert ar.Target.from_callable(lambda x: x.sum(axis=1), smooth, name="sum").gradient is None


@pytest.mark.parametrize(
    ("gradient", "error", "message"),
    [
        (3.0, TypeError, "gradient must be callable or None"),
        (lambda x: x[:, 0], ValueError, r"must map \(n, 2\) to \(n, 2\)"),
        (lambda x: x / 0.0 + np.nan, ValueError, "must be finite"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_a_wrong_gradient_is_refused_at_once(gradient, error, message):
    with pytest.raises(error, match=message):
        ar.Target.from_callable(lambda x: x.sum(axis=1), ar.Regularity(math.inf, 2), name="sum", gradient=gradient)


# The parts


@pytest.mark.parametrize("order", [2, 3, 4, 5, 7, 8, 12])
def test_pieces_are_the_bump_and_its_derivative(order):
    bump = SplineBump(order)
    pieces, rng = Pieces(bump), random.Random(order)
    for _ in range(20):
        u = Fraction(rng.randrange(2**20), 2**20)
        piece = min(int(order * u), order - 1)
        value = pieces._at(0, np.array([piece]), np.array([float(order * u - piece)]))[0]
        assert value == pytest.approx(float(bump.exact(u)), abs=1e-13)
        if order > 2:
            h = Fraction(1, 2**30)
            slope = float((bump.exact(min(u + h, Fraction(1))) - bump.exact(u)) / h)
            assert pieces.slope(np.array([float(u)]))[0] == pytest.approx(slope, abs=1e-6)


def test_a_bump_that_is_no_spline_is_refused():
    class Parabola:
        order = 4

        def exact(self, u):
            return 4 * u * (1 - u)

    with pytest.raises(ValueError, match="2 continuous derivatives"):
        Pieces(Parabola())


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_factors_of_any_spline_hold_on_any_part(data):
    order = data.draw(st.integers(2, 9))
    width = data.draw(st.integers(2, 10**6))
    number = 2 * data.draw(st.integers(0, width - 1)) + 1
    t = data.draw(st.fractions(-1, 1, max_denominator=1000))
    bump = SplineBump(order)
    pieces = Pieces(bump)
    a, b, c, e = (np.zeros(1) if v is None else v for v in pieces.factor(np.array([number]), 2 * width))
    model = sum(Fraction(float(v[0])) * t**k for k, v in enumerate((a, b, c)))
    slack = Fraction(pieces.rounding(0.25) * UNIT)
    assert abs(bump.exact((number + t) / (2 * width)) - model) <= Fraction(float(e[0])) + slack


def random_model(data, dim):
    numbers = st.floats(-2.0, 2.0, allow_nan=False, width=32)
    terms = np.array([[data.draw(numbers)] for _ in range(n_terms(dim))])
    return TaylorModel(dim, terms, np.array([abs(data.draw(numbers)) / 8]))


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_sums_products_and_exponentials_of_models_hold(data):
    dim = data.draw(st.integers(1, 3))
    f, g = random_model(data, dim), random_model(data, dim)
    t = [data.draw(st.fractions(-1, 1, max_denominator=64)) for _ in range(dim)]
    shares = [data.draw(st.fractions(-1, 1, max_denominator=8)) for _ in range(2)]
    at = [
        polynomial_at(model, 0, t) + share * Fraction(float(model.remainder[0]))
        for model, share in zip((f, g), shares, strict=True)
    ]
    exponential = f.composed(lambda y: (np.exp(y),) * 3, lambda low, high: np.exp(high) * (1.0 + 1e-12))
    with flint.ctx.workprec(192):
        grown = rational(flint.arb(flint.fmpq(at[0].numerator, at[0].denominator)).exp())
    pairs = [(f + g, at[0] + at[1]), (f - g, at[0] - at[1]), (f * g, at[0] * at[1]), (exponential, grown)]
    for model, value in [*pairs, (f.scaled(-3.0, 0.5), Fraction(1, 2) - 3 * at[0])]:
        assert abs(polynomial_at(model, 0, t) - value) <= Fraction(float(model.remainder[0]))
        low, high = model.range()
        assert Fraction(float(low[0])) <= value <= Fraction(float(high[0]))


def test_a_known_range_replaces_a_useless_remainder():
    model = TaylorModel(1, np.array([[1.0, 1.0], [0.1, 0.1], [0.0, 0.0]]), np.array([0.2, np.inf])).capped(0.0, 2.0)
    assert model.terms[:, 0].tolist() == [1.0, 0.1, 0.0]
    assert model.terms[:, 1].tolist() == [1.0, 0.0, 0.0]
    assert model.remainder[1] == pytest.approx(1.0)


# Front door


@pytest.mark.parametrize("case", [CASES[1], CASES[18], CASES[23], CASES[37], CASES[39]], ids=named)
def test_levels_and_cells_out_of_range_are_refused(case):
    target = made(case)
    inside = np.zeros((1, target.dim), dtype=np.int64)
    for level in (-1, 53, 0.5):
        with pytest.raises(ValueError, match="level must be a whole number between 0 and 52"):
            target.enclosure(level, inside)
    with pytest.raises(ValueError, match=r"cells of level 2 must lie in \[0, 2\*\*2\)"):
        target.enclosure(2, inside + 4)
    with pytest.raises(ValueError, match=r"cells must be whole numbers of shape"):
        target.enclosure(2, inside[0])


@every_target
def test_models_and_gradients_can_be_pickled(case):
    target = pickle.loads(pickle.dumps(made(case)))
    model = target.enclosure(1, np.zeros((1, target.dim), dtype=np.int64))
    again = made(case).enclosure(1, np.zeros((1, target.dim), dtype=np.int64))
    assert np.array_equal(model.terms, again.terms)
    assert np.array_equal(model.remainder, again.remainder)


def test_no_cells_give_an_empty_model():
    for case in (CASES[3], CASES[20], CASES[24]):
        target = made(case)
        model = target.enclosure(3, np.zeros((0, target.dim), dtype=np.int64))
        assert model.terms.shape == (n_terms(target.dim), 0)


def test_a_cosine_model_of_a_phase_of_zero_is_the_cosine():
    total = GENERATORS["weierstrass"](0.5, levels=1).enclosure.total
    flat = type(total)(2, 1, total.amplitudes, ((Fraction(0),),))
    model = CosineModel(flat)(3, np.array([[0]]))
    t = np.linspace(-1.0, 1.0, 101)
    wanted = np.cos(2.0 * math.pi * (1.0 + t) / 16.0)
    assert np.abs(model.terms[0] + model.terms[1] * t + model.terms[2] * t**2 - wanted).max() <= model.remainder[0]
