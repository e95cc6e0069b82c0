"""The families' own mathematics: closed forms, coefficients given back, and a slow second form of each sum."""

import hashlib
import json
import math
from fractions import Fraction

import flint
import numpy as np
import pytest

from approxrates.generators import GENERATORS
from approxrates.generators.base import amplitudes, cells, deepest, holder_constant
from approxrates.generators.bump_tree import SplineBump, default_setting, is_admissible, margin
from approxrates.generators.takagi import landsberg_sum

MASK = (1 << 64) - 1
make = GENERATORS


def slow_word(seed, level, index):
    """Counter-based hash in Python's integers."""
    text = json.dumps(["hash", {"level": level, "seed": seed}], separators=(",", ":"))
    word = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
    for i in index:
        word = i * 0x9E3779B97F4A7C15 + word & MASK
        for shift in (0, 0x9E3779B97F4A7C15):
            word = word + shift & MASK
            word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 & MASK
            word = (word ^ (word >> 27)) * 0x94D049BB133111EB & MASK
            word ^= word >> 31
    return word


def slow_tree(x, r, seed, base, levels, profile):
    """The definition of a tree, level by level: nearest 60-bit numbers, cell numbers, signs."""
    total = Fraction(0)
    for k in range(levels):
        cell = [math.floor(c * base**k) for c in x]
        inside = [c * base**k - j for c, j in zip(x, cell, strict=True)]
        sign = 1 if seed is None or slow_word(seed, k, cell) < 1 << 63 else -1
        with flint.ctx.workprec(400):
            height = flint.arb(base) ** (-k * flint.arb(str(r)))
            bits = 60 + math.floor(k * r * math.log2(base) + 1e-9)
            mantissa = int((height * flint.arb(2) ** bits + flint.arb("0.5")).floor().unique_fmpz())
        total += sign * Fraction(mantissa, 1 << bits) * math.prod(map(profile, inside))
    return total


def hat(u):
    return 1 - abs(2 * u - 1)


def cubic(u):
    """The cubic B-spline of four pieces on [0, 1], peak 1, in its textbook form."""
    t = abs(4 * u - 2)
    return (1 - Fraction(3, 2) * t**2 + Fraction(3, 4) * t**3) if t <= 1 else (2 - t) ** 3 / 4


RATIONALS = [Fraction(1, 3), Fraction(5, 7), Fraction(11, 64), Fraction(0), Fraction(999, 1000)]


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize(
    ("family", "r", "seed", "base", "profile"),
    [("faber_tree", 0.3, 5, 2, hat), ("takagi", 0.7, None, 2, hat), ("bump_tree", 1.5, 5, 4, cubic)],
    ids=["faber_tree", "takagi", "bump_tree"],
)
def test_exact_values_are_those_of_the_definition(family, r, seed, base, profile, dim):
    target = make[family](smoothness=r, dim=dim, seed=5, levels=14)
    points = [tuple(RATIONALS[(i + j) % 5] for j in range(dim)) for i in range(5)]
    assert target.exact(points) == [slow_tree(x, r, seed, base, 14, profile) for x in points]


@pytest.mark.parametrize("base", [2, 3, 4, 6])
@pytest.mark.parametrize("r", [0.5, 1.7])
def test_amplitudes_are_powers_to_60_bits_and_exact_where_the_power_is_dyadic(base, r):
    for k, a in enumerate(amplitudes(base, r, 30)):
        assert abs(float(a) * float(base) ** (k * r) - 1) < 1e-13
        assert a.numerator.bit_length() <= 61
        if (base, r) == (4, 0.5):
            assert a == Fraction(1, 2**k)


def test_the_square_root_of_one_half_is_rounded_to_nearest_at_60_bits():
    # Twice the mantissa is the root of 2^121, rounded down; half of that, rounded, is the mantissa.
    assert amplitudes(2, 0.5, 3)[1:] == (Fraction(math.isqrt(1 << 121) + 1 >> 1, 1 << 60), Fraction(1, 2))


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_second_differences_of_a_faber_tree_give_back_every_coefficient(dim):
    r, seed = 0.5, 3
    target = make["faber_tree"](smoothness=r, dim=dim, seed=seed)
    rng = np.random.default_rng(0)
    for k in [0, 1, 2, 5, 17, 39]:
        for _ in range(3):
            cell = [int(rng.integers(0, 2**k)) for _ in range(dim)]
            side = Fraction(1, 2**k)
            centre = [(j + Fraction(1, 2)) * side for j in cell]
            left, right = [cell[0] * side, *centre[1:]], [(cell[0] + 1) * side, *centre[1:]]
            a, b, c = target.exact([tuple(left), tuple(centre), tuple(right)])
            sign = 1 if slow_word(seed, k, cell) < 1 << 63 else -1
            assert b - (a + c) / 2 == sign * amplitudes(2, r, 40)[k]


@pytest.mark.parametrize("setting", [(0.5, 2, 2), (1.5, 4, 4), (2.5, 8, 5), (1.5, 6, 3)], ids=str)
def test_differences_of_a_bump_tree_keep_the_sign_of_every_cell(setting):
    r, b, m = setting
    target = make["bump_tree"](smoothness=r, seed=1, base=b, order=m, levels=7)
    kept = []
    for o in (m - 1, m):
        for step in range(1, b // o + 1):
            for start in range(b - o * step + 1):
                signs = [(-1) ** (o - i) * math.comb(o, i) for i in range(o + 1)]
                own = sum(s * SplineBump(m).exact(Fraction(start + i * step, b)) for i, s in enumerate(signs))
                worst = math.inf
                for k, j in [(2, 3), (4, b**4 - 1), (5, 17), (6, 1), (6, 12), (6, 50)]:
                    nodes = [(j + Fraction(start + i * step, b)) / b**k for i in range(o + 1)]
                    value = sum(s * v for s, v in zip(signs, target.exact(nodes), strict=True))
                    sign = 1 if slow_word(1, k, [j]) < 1 << 63 else -1
                    worst = min(worst, float(value * sign * (1 if own > 0 else -1) / amplitudes(b, r, 7)[k] / 2**o))
                kept.append(worst)
    assert max(kept) >= float(margin(r, b, m)) - 1e-12 > 0


def test_margins_are_the_known_ones_and_other_settings_are_not_proven():
    # The settings and range found when the bound was derived; the second entry of the last list has a zero difference.
    proven = [(0.5, 2, 2), (1.5, 4, 4), (1.5, 8, 4), (2.5, 4, 5), (2.5, 8, 5), (2.5, 16, 5), (2.5, 8, 6)]
    assert all(is_admissible(*setting) for setting in proven)
    assert min(float(margin(*s)) for s in proven[3:]) == pytest.approx(0.053, abs=0.001)
    assert margin(0.5, 2, 2) == Fraction(1, 2)
    assert margin(1.5, 4, 4) == Fraction(1, 4)
    assert not any(is_admissible(*setting) for setting in [(1.5, 2, 4), (1.5, 3, 3), (1.5, 4, 2), (2.5, 2, 4)])


@pytest.mark.parametrize("r", [0.05, 0.95, 1.1, 1.9, 2.1, 2.9, 3.5, 4.5, 5.5])
def test_every_smoothness_has_a_default_setting(r):
    assert is_admissible(r, *default_setting(r))


def test_an_unproven_setting_is_refused_with_settings_that_work():
    with pytest.raises(ValueError, match=r"Got smoothness=1.5 with base=2. .*among \(4, 4\)"):
        make["bump_tree"](smoothness=1.5, base=2)
    with pytest.raises(ValueError, match="with base=4, order=3"):
        make["bump_tree"](smoothness=1.5, base=4, order=3)
    assert make["bump_tree"](smoothness=1.5, base=8).base == 8
    assert make["bump_tree"](smoothness=1.5, order=6).parameters["order"] == 6


def test_a_bump_tree_of_hats_is_the_faber_tree():
    x = np.random.default_rng(0).random((100, 2))
    bumps, hats = (make[f](smoothness=0.5, dim=2, seed=9) for f in ("bump_tree", "faber_tree"))
    assert np.array_equal(bumps(x), hats(x))
    assert bumps.regularity.radius == pytest.approx(hats.regularity.radius)


@pytest.mark.parametrize("order", [2, 3, 4, 5, 6, 7])
def test_bumps_are_b_splines(order):
    from scipy.interpolate import BSpline

    spline = BSpline.basis_element(np.linspace(0, 1, order + 1), extrapolate=False)
    u = np.linspace(0, 1, 2001)
    bump = SplineBump(order)
    assert np.allclose(bump.values(u.copy()), np.nan_to_num(spline(u)) / spline(0.5), atol=1e-13)
    assert [float(bump.exact(Fraction(i, 7))) for i in range(8)] == pytest.approx(
        list(bump.values(np.arange(8) / 7)), abs=1e-14
    )
    for times in range(order):
        true = np.nanmax(np.abs(spline.derivative(times)(u))) / spline(0.5) if times else 1.0
        assert true * (1 - 1e-12) <= float(bump.derivative_bound(times)) <= true * 1.01


def test_takagi_of_weight_one_quarter_is_a_parabola():
    total = landsberg_sum(Fraction(1, 4), levels=20)
    assert all(total.exact((Fraction(i, 64),)) == 4 * Fraction(i, 64) * (1 - Fraction(i, 64)) for i in range(65))
    x = np.linspace(0, 1, 1001)[:, None]
    assert np.allclose(total.evaluate(x), 4 * x[:, 0] * (1 - x[:, 0]), atol=4.0**-20)


def test_takagi_of_weight_one_half_has_modulus_h_log_h():
    # T(2^-n) = 2 n 2^-n: the difference quotient at 0 grows like the number of levels, so it is not Lipschitz.
    total = landsberg_sum(Fraction(1, 2), levels=30)
    assert [total.exact((Fraction(1, 2**n),)) * 2**n for n in range(1, 9)] == [2 * n for n in range(1, 9)]


@pytest.mark.parametrize("weight", [Fraction(1, 2), Fraction(3, 4)], ids=str)
def test_takagi_has_its_maximum_at_one_third(weight):
    # Peak-1 hats: twice 1 / (3 (1 - w)), less the tail of the finite sum.
    levels = 40
    total = landsberg_sum(weight, levels)
    top = total.exact((Fraction(1, 3),))
    assert top == Fraction(2, 3) * (1 - weight**levels) / (1 - weight)
    assert total.evaluate(np.linspace(0, 1, 4097)[:, None]).max() <= float(top) + float(weight**levels) / 0.25


@pytest.mark.parametrize("r", [0.25, 0.75])
def test_takagi_solves_its_functional_equation(r):
    long, short = (make["takagi"](smoothness=r, levels=n) for n in (21, 20))
    x = np.random.default_rng(0).random(200)
    assert np.allclose(long(x), hat(x) + 2.0**-r * short(2 * x % 1.0), atol=1e-14)


@pytest.mark.parametrize(("base", "r", "dim"), [(2, 0.5, 1), (2, 2.5, 2), (3, 0.5, 1), (3, 1.5, 3)])
def test_weierstrass_is_the_direct_sum_of_cosines(base, r, dim):
    levels, seed = 25, 4
    target = make["weierstrass"](smoothness=r, dim=dim, seed=seed, base=base, levels=levels)
    x = np.random.default_rng(0).random((20, dim)) ** 4
    with flint.ctx.workprec(600):
        for point, value, exact in zip(x, target(x), target.exact(list(x)), strict=True):
            direct = flint.arb(0)
            for n in range(levels):
                turns = [slow_word(seed, n, [i]) >> 11 for i in range(dim)]
                angles = [base**n * flint.arb(c) + flint.arb(p) / 2**53 for c, p in zip(point, turns, strict=True)]
                waves = [(2 * flint.arb.pi() * a).cos() for a in angles]
                direct += flint.arb(base) ** (-n * flint.arb(str(r))) * math.prod(waves, start=flint.arb(1))
            assert abs(float((direct - exact).mid())) < 1e-17
            assert abs(float(direct.mid()) - value) < 2e-14


@pytest.mark.parametrize("base", [2, 3, 4, 6, 10])
def test_cells_of_floats_are_exact_at_every_level(base):
    levels = deepest(base)
    x = np.array([0.0, 1 / 3, 0.5, 0.7, 2.0**-30 + 2.0**-52, 1e-9, 5e-324, 1 - 2.0**-53])
    for level, (index, fraction) in enumerate(cells(x, base, levels)):
        for i, value in enumerate(x):
            scaled = Fraction(float(value)) * base**level
            got = int(index[i]) + Fraction(float(fraction[i]))
            assert abs(got - scaled) <= (0 if base in (2, 4) else Fraction(base**level, 2**104) + Fraction(1, 2**52))
            assert 0 <= fraction[i] <= 1
            assert int(index[i]) < base**level


@pytest.mark.parametrize(("base", "alpha"), [(2, 0.5), (2, 0.9), (4, 0.25)])
def test_the_holder_constant_is_the_sup_of_the_bound_it_sums(base, alpha):
    h = np.geomspace(0.01, 0.01 * base, 2001)
    k = np.arange(-200, 200)[:, None]
    sums = np.sum(float(base) ** (-k * alpha) * np.minimum(3.0 * float(base) ** k * h, 5.0), axis=0) / h**alpha
    assert sums.max() <= holder_constant(base, alpha, 3.0, 5.0) <= sums.max() * 1.001


def test_the_holder_constant_of_a_faber_tree_is_of_the_right_size():
    target = make["faber_tree"](smoothness=0.5)
    x = np.arange(2**12 + 1) / 2**12
    values = target(x)
    steps = (2**k for k in range(12))
    measured = max(np.max(np.abs(values[s:] - values[:-s])) * (2**12 / s) ** 0.5 for s in steps)
    assert 0.3 * target.regularity.radius < measured <= target.regularity.radius


def test_linear_interpolation_of_the_square_is_off_by_a_quarter_of_the_spacing_squared():
    target = make["polynomial"]()
    assert target.interpolation_gap(3) == pytest.approx(2.0**-6 / 4, rel=1e-11)
    assert target.exact([Fraction(1, 3)]) == [Fraction(1, 9)]


@pytest.mark.parametrize(
    ("function", "x", "value"),
    [
        ("runge", (0.5, 0.5), "1"),
        ("runge", (0.0, 0.5), "1/26"),
        ("gaussian", (0.5, 0.5), "1"),
        ("sine", (0.25, 0.75), "-1"),
        ("exp_sin", (0.25, 0.75), "1"),
        ("exponential", (0.0, 0.0), "1"),
    ],
)
def test_analytic_functions_take_their_known_values(function, x, value):
    target = make["analytic"](dim=2, function=function)
    assert target(np.array([x]))[0] == pytest.approx(float(Fraction(value)), abs=1e-15)
    assert target.exact([x])[0].overlaps(flint.arb(flint.fmpq(*Fraction(value).as_integer_ratio())))


@pytest.mark.parametrize(
    ("family", "arguments", "error", "message"),
    [
        ("faber_tree", {"smoothness": 1.5}, ValueError, "between 0 and 1"),
        ("bump_tree", {"smoothness": 2.0}, ValueError, "must not be an integer"),
        ("bump_tree", {"smoothness": 9.5}, ValueError, "between 0 and 6"),
        ("bump_tree", {"smoothness": 1.5, "base": 1}, ValueError, "base must be between 2 and 64"),
        ("weierstrass", {"smoothness": -0.5}, ValueError, "must be positive"),
        ("weierstrass", {"smoothness": "rough"}, TypeError, "must be a number"),
        ("faber_tree", {"smoothness": 0.5, "levels": 65}, ValueError, "levels must be between 1 and 64"),
        ("faber_tree", {"smoothness": 0.5, "levels": 4.0}, TypeError, "levels must be an integer"),
        ("faber_tree", {"smoothness": 0.5, "seed": True}, TypeError, "seed must be an integer"),
        ("takagi", {"smoothness": 0.5, "seed": -1}, ValueError, "seed must be at least 0"),
        ("polynomial", {"coefficients": "xx"}, TypeError, "list of numbers"),
        ("polynomial", {"coefficients": [1, None]}, TypeError, "coefficients must be numbers"),
        ("polynomial", {"coefficients": []}, ValueError, "1 to 64 finite numbers"),
        ("polynomial", {"coefficients": [math.nan]}, ValueError, "finite"),
        ("polynomial", {"smoothness": 2.0}, ValueError, "must be inf"),
        ("constant", {"value": "one"}, TypeError, "value must be a number"),
        ("constant", {"value": math.inf}, ValueError, "value must be finite"),
        ("analytic", {"function": "bessel"}, ValueError, "must be one of runge"),
        ("analytic", {"function": 3}, TypeError, "function must be a name"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_arguments_out_of_range_are_refused_in_one_line(family, arguments, error, message):
    with pytest.raises(error, match=message) as caught:
        make[family](**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("family", "smoothness"), [("bump_tree", 5.5), ("bump_tree", 1.5), ("takagi", 0.5)])
def test_float_values_are_as_close_to_exact_ones_as_the_target_says(family, smoothness):
    target = GENERATORS[family](smoothness)
    x = np.random.default_rng(0).random(60)
    values = target(x)
    off = max(abs(float(e - Fraction(v))) for e, v in zip(target.exact(x), values, strict=True))
    assert off <= target.evaluation_error
