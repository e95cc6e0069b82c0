"""Rates: exact laws, the known traps, coverage under realistic noise, and contrasts."""

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from approxrates.calibration.coverage import SIZES, simulate
from approxrates.rates import Rate, compare_rates, fit_rate
from approxrates.rates.cells import cell_centres, size_means
from approxrates.rates.estimate import effective_draws
from approxrates.rates.intervals import half_width, quantile, standard_error
from approxrates.rates.powerlaw import fit_law


def interpolation_errors(f, cells):
    """Sup errors of linear interpolation on equal cells, on a fine grid of every cell."""
    errors = []
    for n in cells:
        x = np.linspace(0, 1, 2000 * n + 1)
        nodes = np.linspace(0, 1, n + 1)
        errors.append(np.abs(f(x) - np.interp(x, nodes, f(nodes))).max())
    return np.array(errors)


# exact laws


@pytest.mark.parametrize("p", [0.25, 1.0, 2.0, 3.5])
@pytest.mark.parametrize("k", [4, 7, 12])
def test_exact_power_laws_are_recovered_to_rounding(p, k):
    sizes = np.geomspace(10, 2000, k)
    rate = fit_rate(sizes, 3.7 * sizes**-p)
    assert rate.value == pytest.approx(p, abs=1e-9)
    assert rate.interval[1] - rate.interval[0] < 1e-8
    assert rate.verdict == "determined"
    assert rate.model == "power"
    assert rate.used.all()
    assert rate.constant == pytest.approx(3.7)
    assert rate.predict([100, 1e5]) == pytest.approx(3.7 * np.array([100, 1e5]) ** -p)


@pytest.mark.parametrize("shape", [(8,), (8, 3), (5, 8, 3)])
def test_the_three_shapes_of_the_same_errors_give_the_same_rate(shape):
    errors = (SIZES**-1.5).reshape((8,) if len(shape) == 1 else (8, 1))
    rate = fit_rate(SIZES, np.broadcast_to(errors, shape))
    assert rate.value == pytest.approx(1.5, abs=1e-10)
    assert rate.per_draw == pytest.approx(np.full(5 if len(shape) == 3 else 1, 1.5), abs=1e-9)
    assert rate.draw_errors.shape == (5 if len(shape) == 3 else 1, 8)


def test_rescaling_errors_or_sizes_changes_nothing_but_the_constant():
    rng = np.random.default_rng(3)
    errors = simulate(rng)
    rate, scaled = fit_rate(SIZES, errors), fit_rate(SIZES * 10, errors * 1e-5)
    assert scaled.value == pytest.approx(rate.value, abs=1e-8)
    assert scaled.interval == pytest.approx(rate.interval, abs=1e-7)


def test_order_of_seeds_and_draws_does_not_matter():
    rng = np.random.default_rng(4)
    errors = simulate(rng)
    rate = fit_rate(SIZES, errors)
    other = fit_rate(SIZES, rng.permuted(errors, axis=2)[rng.permutation(8)])
    assert other.value == pytest.approx(rate.value, abs=1e-10)
    assert other.interval == pytest.approx(rate.interval, abs=1e-9)


def test_the_same_errors_give_the_same_rate_bit_for_bit():
    errors = simulate(np.random.default_rng(5))
    first, second = fit_rate(SIZES, errors), fit_rate(SIZES, errors)
    assert (first.value, first.interval, first.reasons) == (second.value, second.interval, second.reasons)


# known traps


def test_linear_interpolation_of_the_parabola_has_rate_two():
    cells = 2 ** np.arange(2, 9)
    rate = fit_rate(cells, interpolation_errors(lambda x: x**2, cells))
    assert rate.value == pytest.approx(2.0, abs=1e-5)
    assert rate.used.all()


def test_preasymptotic_sizes_of_the_sine_are_left_out_and_said_so():
    cells = 2 ** np.arange(2, 9)
    errors = interpolation_errors(lambda x: np.sin(2 * np.pi * x), cells)
    plain = -np.polyfit(np.log(cells), np.log(errors), 1)[0]
    assert plain == pytest.approx(1.93, abs=0.005)
    rate = fit_rate(cells, errors)
    assert rate.value == pytest.approx(2.0, abs=0.01)
    assert rate.interval[0] < 2 < rate.interval[1]
    assert rate.used.tolist() == [False, False, True, True, True, True, True]
    assert any("pre-asymptotic: n_params = 4 and 8" in reason for reason in rate.reasons)


@pytest.mark.parametrize("k", [6, 8, 9, 12])
def test_a_floor_does_not_flatten_the_rate(k):
    sizes = np.geomspace(1e2, 1e4, k)
    errors = 1 / sizes + 1e-4
    plain = -np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert plain == pytest.approx(0.87, abs=0.02)
    rate = fit_rate(sizes, errors)
    assert rate.value == pytest.approx(1.0, abs=1e-5)
    assert rate.floor == pytest.approx(1e-4, rel=1e-4)
    assert (rate.model, rate.verdict) == ("power+floor", "determined")
    assert rate.predict(sizes) == pytest.approx(errors, rel=1e-6)


@pytest.mark.parametrize("k", [4, 5])
def test_a_floor_on_too_few_sizes_makes_the_rate_undetermined(k):
    sizes = np.geomspace(1e2, 1e4, k)
    rate = fit_rate(sizes, 1 / sizes + 1e-4)
    assert rate.verdict == "undetermined"
    assert any("flattens" in reason for reason in rate.reasons)


def test_sizes_on_the_floor_pin_it_but_do_not_count_as_used():
    sizes = np.geomspace(1e2, 1e6, 9)
    rate = fit_rate(sizes, 1 / sizes + 1e-4)
    assert rate.value == pytest.approx(1.0, abs=1e-4)
    assert rate.on_floor.tolist() == [False] * 5 + [True] * 4
    assert (rate.used == ~rate.on_floor).all()
    assert any("floor" in reason for reason in rate.reasons)


@pytest.mark.parametrize("scale", [0.05, 0.3, 1.0])
def test_exponential_decay_is_not_a_rate(scale):
    sizes = np.geomspace(50, 1500, 8)
    rate = fit_rate(sizes, np.exp(-scale * np.sqrt(sizes)))
    assert rate.verdict == "undetermined"
    assert any("steepens" in reason for reason in rate.reasons)


def test_a_logarithm_bends_the_rate_and_is_undone_when_given():
    sizes = np.geomspace(64, 8192, 8)
    errors = sizes**-2.0 * np.log(sizes) ** 2
    bent = fit_rate(sizes, errors)
    assert bent.value < 1.8
    straight = fit_rate(sizes, errors, log_power=2.0)
    assert straight.value == pytest.approx(2.0, abs=1e-9)
    assert straight.verdict == "determined"


def test_flat_and_rising_errors_are_undetermined():
    for errors in (np.ones(8), SIZES**0.3):
        rate = fit_rate(SIZES, errors)
        assert rate.verdict == "undetermined"
        assert any("do not fall" in reason for reason in rate.reasons)


def test_a_curve_that_turns_upwards_keeps_its_small_sizes_and_says_so():
    sizes = np.array([25, 97, 169, 313, 529, 889, 1465])
    rate = fit_rate(sizes, [8.0e-5, 1.8e-6, 3.5e-7, 3.8e-7, 4.6e-7, 1.5e-6, 1.2e-5])
    assert rate.verdict == "undetermined"
    assert rate.value > 0
    assert any("turns upwards" in reason for reason in rate.reasons)
    assert not any("pre-asymptotic" in reason for reason in rate.reasons)


def test_a_narrow_range_of_sizes_is_undetermined():
    sizes = np.geomspace(100, 700, 8)
    rate = fit_rate(sizes, 1 / sizes)
    assert rate.value == pytest.approx(1.0)
    assert rate.verdict == "undetermined"
    assert any("factor of 7" in reason for reason in rate.reasons)


def test_a_wide_interval_is_undetermined():
    rng = np.random.default_rng(0)
    rate = fit_rate(SIZES[:4], np.exp(rng.normal(0, 0.5, (2, 4, 2))) / SIZES[:4, None])
    assert rate.verdict == "undetermined"
    assert any("wider than" in reason for reason in rate.reasons)


def test_one_bad_size_hardly_moves_the_rate():
    errors = SIZES**-1.0 * np.exp(np.random.default_rng(1).normal(0, 0.02, 8))
    spoilt = errors.copy()
    spoilt[5] *= 20
    plain = -np.polyfit(np.log(SIZES), np.log(spoilt), 1)[0]
    assert abs(plain - 1) > 0.1
    assert fit_rate(SIZES, spoilt).value == pytest.approx(1.0, abs=0.06)


# seeds, draws, missing runs


def test_median_shrugs_off_bad_seeds_and_best_takes_the_smallest():
    errors = np.repeat((1 / SIZES)[:, None], 5, axis=1)
    errors[:, 4] *= 50
    errors[:, 0] *= SIZES**-0.5
    assert fit_rate(SIZES, errors).value == pytest.approx(1.0, abs=1e-9)
    assert fit_rate(SIZES, errors, statistic="best").value == pytest.approx(1.5, abs=1e-9)


def test_seed_noise_of_a_cell_is_the_bootstrap_variance():
    rng = np.random.default_rng(2)
    errors = np.exp(rng.normal(0, 0.3, (1, 1, 5)))
    for statistic, function in (("median", np.median), ("best", np.min)):
        centre, variance = cell_centres(errors, statistic)
        resampled = function(np.log(errors[0, 0])[rng.integers(0, 5, (200_000, 5))], axis=1)
        assert centre[0, 0] == pytest.approx(function(np.log(errors)))
        assert variance[0, 0] == pytest.approx(resampled.var(), rel=0.02)


def test_missing_runs_count_as_missing_only():
    errors = np.broadcast_to((1 / SIZES)[None, :, None], (6, 8, 3)) * np.geomspace(0.5, 2, 6)[:, None, None]
    errors = errors.copy()
    errors[0, 3] = np.nan
    errors[2, :, 1] = np.nan
    errors[5, 6:] = np.nan
    rate = fit_rate(SIZES, errors)
    assert rate.value == pytest.approx(1.0, abs=1e-9)
    assert rate.verdict == "determined"
    assert np.isfinite(rate.per_draw).all()


def test_a_draw_without_runs_keeps_its_place():
    errors = simulate(np.random.default_rng(6), draws=4)
    errors[1] = np.nan
    rate = fit_rate(SIZES, errors)
    others = fit_rate(SIZES, errors[[0, 2, 3]])
    assert np.isnan(rate.per_draw).tolist() == [False, True, False, False]
    assert rate.interval == pytest.approx(others.interval)


def test_sizes_without_runs_are_named_and_too_few_are_undetermined():
    errors = 1 / SIZES
    errors[2] = np.nan
    rate = fit_rate(SIZES, errors)
    assert rate.used.tolist() == [True, True, False, True, True, True, True, True]
    assert any("No run has an error" in reason for reason in rate.reasons)
    errors[[0, 1, 3, 4]] = np.nan
    empty = fit_rate(SIZES, errors)
    assert empty.verdict == "undetermined"
    assert np.isnan(empty.value)
    assert any("at least four" in reason for reason in empty.reasons)


def test_failing_runs_are_reported():
    errors = np.repeat((1 / SIZES)[:, None], 5, axis=1)
    errors[7, :3] = np.nan
    assert any("More than half of the runs failed at n_params = 5000" in r for r in fit_rate(SIZES, errors).reasons)


def test_the_caller_may_exclude_sizes():
    errors = 1 / SIZES
    errors[-1] *= 100
    rate = fit_rate(SIZES, errors, use=SIZES < 4000)
    assert rate.value == pytest.approx(1.0, abs=1e-10)
    assert not rate.used[-1]
    assert any("Excluded by the caller" in reason for reason in rate.reasons)


def test_interval_without_floor_is_students_t_over_the_slopes_of_the_draws():
    rng = np.random.default_rng(7)
    slopes = 1 + rng.normal(0, 0.1, 6)
    rate = fit_rate(SIZES, np.exp(-slopes[:, None, None] * np.log(SIZES)[None, :, None]))
    expected = stats.t.interval(0.95, 5, slopes.mean(), stats.sem(slopes))
    assert rate.per_draw == pytest.approx(slopes, abs=1e-9)
    assert rate.replicates == pytest.approx(slopes, abs=1e-9)
    assert rate.interval == pytest.approx(expected, abs=1e-8)


def test_interval_of_one_draw_is_the_textbook_one_of_linear_regression():
    rng = np.random.default_rng(20)
    errors = 0.3 * SIZES**-0.8 * np.exp(rng.normal(0, 0.03, 8))
    rate = fit_rate(SIZES, errors)
    line = stats.linregress(np.log(SIZES), np.log(errors))
    assert not any("floor" in r or "Left out" in r for r in rate.reasons)
    assert rate.value == pytest.approx(-line.slope, abs=1e-9)
    assert rate.interval[1] - rate.value == pytest.approx(stats.t.ppf(0.975, 6) * line.stderr, rel=1e-6)


def test_scatter_shared_by_all_draws_widens_the_interval():
    rng = np.random.default_rng(9)
    shared = np.exp(rng.normal(0, 0.1, 8))
    noise = np.exp(rng.normal(0, 0.01, (8, 8, 1)))
    smooth = fit_rate(SIZES, noise / SIZES[:, None])
    rough = fit_rate(SIZES, noise * shared[:, None] / SIZES[:, None])
    one_line = stats.linregress(np.log(SIZES), np.log(shared)).stderr
    assert rough.interval[1] - rough.value > 1.8 * one_line
    assert rough.interval[1] - rough.value > 5 * (smooth.interval[1] - smooth.value)


def test_draws_that_miss_the_large_sizes_count_for_less():
    errors = simulate(np.random.default_rng(4), bad=0.0)
    whole = fit_rate(SIZES, errors, floor=0.0)
    assert whole.parts[0][1] == 7
    errors[2:, 5:] = np.nan  # two draws hold the slope
    rate = fit_rate(SIZES, errors, floor=0.0)
    assert 1 <= rate.parts[0][1] < 2.5
    (low, high), (own_low, own_high) = compare_rates(rate, whole).interval, rate.interval
    assert high - low > 0.5 * (own_high - own_low)

    x, cells, shares = np.log(SIZES), np.log(np.median(errors, axis=2)), []
    lever = -(x - x.mean()) / ((x - x.mean()) @ (x - x.mean()))
    for i in range(8):
        steeper = cells.copy()
        steeper[i] -= x
        shares.append(float(lever @ (size_means(steeper)[0] - size_means(cells)[0])))
    assert np.abs(shares).sum() == pytest.approx(1.0, rel=1e-3)
    assert effective_draws(cells, x, lever) == pytest.approx(1 / np.square(shares).sum(), rel=1e-3)


def test_distributions_agree_with_scipy():
    assert quantile(7.5) == pytest.approx(stats.t.ppf(0.975, 7.5))
    assert quantile(np.inf) == pytest.approx(stats.norm.ppf(0.975))
    error, freedom = standard_error(((0.04, 5.0), (0.01, 9.0)))
    welch = stats.ttest_ind_from_stats(0, 0.2 * np.sqrt(6), 6, 1, 0.1 * np.sqrt(10), 10, equal_var=False)
    assert error == pytest.approx(np.sqrt(0.05))
    assert welch.pvalue == pytest.approx(2 * stats.t.sf(1 / error, freedom))
    assert half_width(((0.0, 3.0),)) == 0.0


def test_leave_one_out_means_match_a_direct_loop():
    rng = np.random.default_rng(10)
    cells = rng.normal(size=(5, 6))
    rows = size_means(cells)
    assert rows[0] == pytest.approx(cells.mean(axis=0))
    for i in range(5):
        assert rows[1 + i] == pytest.approx(np.delete(cells, i, axis=0).mean(axis=0))


def test_floor_fits_agree_with_a_general_optimiser():
    from scipy.optimize import least_squares

    rng = np.random.default_rng(11)
    x = np.log(np.geomspace(50, 5000, 10))
    y = np.logaddexp(1.0 - 1.2 * x, -7.5) + rng.normal(0, 0.05, (4, 10))
    ours = fit_law(x, y, np.zeros(10), free_floor=True)
    for row in range(4):
        residual = lambda t, row=row: y[row] - np.logaddexp(t[0] - t[1] * (x - x.mean()), t[2])  # noqa: E731
        best = min((least_squares(residual, [-4, p, f]) for p in (0.8, 1.2) for f in (-9, -7)), key=lambda s: s.cost)
        assert ours.coefficients[row] == pytest.approx(best.x, abs=1e-4)


@pytest.mark.parametrize(
    "setting",
    [
        {},
        {"draw_sd": 0.02, "size_sd": 0.05},
        {"seeds": 10, "floor": 0.01},
        {"seeds": 10, "floor": 0.003},
    ],
    ids=["bad seeds", "shared size scatter", "floor", "faint floor"],
)
def test_intervals_cover_the_truth_about_95_times_in_100(setting):
    rng = np.random.default_rng(1)
    rates = [fit_rate(setting.get("sizes", SIZES), simulate(rng, **setting)) for _ in range(80)]
    covered = np.mean([rate.interval[0] <= 1.0 <= rate.interval[1] for rate in rates])
    assert covered >= 0.88
    assert np.mean([rate.verdict == "determined" for rate in rates]) > 0.85


def test_intervals_of_few_draws_and_sizes_err_on_the_wide_side():
    rng, sizes = np.random.default_rng(1), np.geomspace(50, 5000, 5)
    rates = [fit_rate(sizes, simulate(rng, draws=4, sizes=sizes)) for _ in range(80)]
    assert np.mean([rate.interval[0] <= 1.0 <= rate.interval[1] for rate in rates]) >= 0.95
    assert np.median([rate.interval[1] - rate.value for rate in rates]) < 0.15


def covered_and_determined(rates):
    """Of every rate, whether its interval holds 1 and whether it is determined."""
    return (
        np.array([rate.interval[0] <= 1.0 <= rate.interval[1] for rate in rates]),
        np.array([rate.verdict == "determined" for rate in rates]),
    )


@pytest.mark.parametrize(("draws", "span"), [(4, 15), (8, 30)])
def test_five_sizes_allow_for_a_floor_and_stay_determined_without_one(draws, span):
    sizes = 50 * np.geomspace(1, span, 5)
    for floor, least in ((1 / 3, 0.1), (0.0, 0.7)):
        rng = np.random.default_rng(2)
        setting = {"draws": draws, "sizes": sizes, "seed_sd": 0.1, "bad": 0.0, "floor": floor / span}
        covered, determined = covered_and_determined([fit_rate(sizes, simulate(rng, **setting)) for _ in range(60)])
        assert covered.mean() >= 0.88
        assert covered[determined].mean() >= 0.8
        assert determined.mean() > least


@pytest.mark.parametrize("k", [6, 10])
def test_one_draw_allows_for_a_moderate_floor(k):
    rng, sizes = np.random.default_rng(2), np.geomspace(50, 1500, k)
    setting = {"draws": 1, "sizes": sizes, "draw_sd": 0.0, "seed_sd": 0.12, "bad": 0.0, "floor": 1 / 90}
    covered, determined = covered_and_determined([fit_rate(sizes, simulate(rng, **setting)) for _ in range(50)])
    assert covered[determined].mean() >= 0.88
    assert determined.mean() > 0.5


def test_a_flattening_curve_of_five_sizes_reaches_up_to_its_first_local_slope():
    sizes = np.geomspace(50, 1500, 5)
    rate = fit_rate(sizes, 1 / sizes + 1 / 15_000)
    assert rate.value < 0.99
    assert rate.interval[0] < rate.value < 1.0 <= rate.interval[1]
    assert any("fewer than 6 sizes" in reason for reason in rate.reasons)
    straight = fit_rate(sizes, np.exp(0.01 * np.log(sizes / sizes[2]) ** 2 * -1) / sizes)
    assert not any("fewer than 6 sizes" in reason for reason in straight.reasons)


def test_two_draws_are_undetermined_and_say_so():
    errors = simulate(np.random.default_rng(6), draws=3, draw_sd=0.01, seed_sd=0.02, bad=0.0)
    assert fit_rate(SIZES, errors).verdict == "determined"
    two = fit_rate(SIZES, errors[:2])
    assert two.verdict == "undetermined"
    assert any("2 target draws" in reason for reason in two.reasons)


@pytest.mark.parametrize(("growth", "side"), [(1.0, 0), (-1.0, 1)])
def test_scatter_of_the_seeds_that_depends_on_size_widens_the_best_on_its_side(growth, side):
    x = np.log(SIZES / SIZES[0])
    sd = 0.2 * (1 + growth * (x - x.mean()) / np.ptp(x))
    covered, sides = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        law = np.exp(-x - rng.normal(0, 0.02, (8, 1)) * x)[..., None]
        rate = fit_rate(SIZES, law * np.exp(sd[:, None] * rng.normal(size=(8, 8, 5))), statistic="best")
        covered.append(rate.interval[0] <= 1.0 <= rate.interval[1])
        sides.append((rate.value - rate.interval[0], rate.interval[1] - rate.value))
        assert any("scatter of the seeds" in reason for reason in rate.reasons)
    mean = np.mean(sides, axis=0)
    assert mean[side] > mean[1 - side] + 0.03
    assert np.mean(covered) > 0.85


# bad input


@pytest.mark.parametrize(
    ("args", "kwargs", "kind", "message"),
    [
        (([10, 20, 40], [1, 0.5, 0.25]), {}, ValueError, "at least four sizes. Got 3"),
        (([10, 20, 20, 80], [1, 0.5, 0.25, 0.1]), {}, ValueError, "strictly increasing"),
        (([1, 20, 40, 80], [1, 0.5, 0.25, 0.1]), {}, ValueError, "greater than 1"),
        (([10, 20, 40, 80], [1, 0.5, 0.25]), {}, ValueError, r"shape \(k,\).*k = 4"),
        (([10, 20, 40, 80], np.ones((1, 4, 1, 1))), {}, ValueError, "shape"),
        (([10, 20, 40, 80], [1, 0.5, -0.25, 0.1]), {}, ValueError, "positive. Got -0.25"),
        (([10, 20, 40, 80], [1, 0.5, 0.0, 0.1]), {}, ValueError, "positive"),
        (([10, 20, 40, 80], [1, 0.5, np.inf, 0.1]), {}, ValueError, "NaN for a failed run"),
        (([10, 20, 40, 80], ["a", "b", "c", "d"]), {}, TypeError, "errors must be an array of numbers"),
        (([10, 20, 40, 80], [[1, 2], [1], [1], [1]]), {}, TypeError, "equal length"),
        ((np.ones((4, 1)), [1, 0.5, 0.25, 0.1]), {}, ValueError, "n_params must have shape"),
        (([10, 20, 40, 80], [1, 0.5, 0.25, 0.1]), {"statistic": "mean"}, ValueError, "median, best"),
        (([10, 20, 40, 80], [1, 0.5, 0.25, 0.1]), {"log_power": "1"}, TypeError, "log_power must be a number"),
        (([10, 20, 40, 80], [1, 0.5, 0.25, 0.1]), {"log_power": np.nan}, ValueError, "finite"),
        (([10, 20, 40, 80], [1, 0.5, 0.25, 0.1]), {"use": [True, False]}, ValueError, r"Got shape \(2,\)"),
        (([10, 20, 40, 80], [1, 0.5, 0.25, 0.1]), {"use": [1, 1, 1, 0]}, TypeError, "boolean mask"),
    ],
)
def test_bad_input_is_named_with_its_mend(args, kwargs, kind, message):
    with pytest.raises(kind, match=message) as caught:
        fit_rate(*args, **kwargs)
    assert "\n" not in str(caught.value)


def test_predict_needs_sizes_above_one():
    with pytest.raises(ValueError, match="greater than 1"):
        fit_rate(SIZES, 1 / SIZES).predict([1])


# contrasts


def paired_rates(rng, gap=0.1, draws=8):
    """Two families on the same target draws, whose slopes vary much more between draws than their difference does."""
    slope = 1 + rng.normal(0, 0.2, (draws, 1, 1))
    noise = np.exp(rng.normal(0, 0.02, (2, draws, 8, 1)))
    x = np.log(SIZES / SIZES[0])[None, :, None]
    return fit_rate(SIZES, noise[0] * np.exp(-(slope + gap) * x)), fit_rate(SIZES, 2 * noise[1] * np.exp(-slope * x))


def test_pairing_by_draw_sees_what_welch_does_not():
    a, b = paired_rates(np.random.default_rng(0))
    paired, welch = compare_rates(a, b), compare_rates(a, b, paired=False)
    assert (paired.method, welch.method) == ("paired", "welch")
    assert paired.verdict == "a falls faster"
    assert welch.verdict == "undecided"
    assert paired.interval[0] < 0.1 < paired.interval[1]
    assert paired.value == pytest.approx(welch.value)


def test_paired_interval_is_the_paired_t_test():
    rng = np.random.default_rng(1)
    slopes = 1 + rng.normal(0, 0.1, (2, 6))
    x = np.log(SIZES)[None, :, None]
    a, b = (fit_rate(SIZES, np.exp(-s[:, None, None] * x)) for s in slopes)
    difference = compare_rates(a, b)
    gaps = slopes[0] - slopes[1]
    assert difference.interval == pytest.approx(stats.t.interval(0.95, 5, gaps.mean(), stats.sem(gaps)), abs=1e-8)
    welch = compare_rates(a, b, paired=False)
    expected = stats.ttest_ind(*slopes, equal_var=False).confidence_interval()
    assert welch.interval == pytest.approx((expected.low, expected.high), abs=1e-8)


def test_exchanging_the_two_turns_the_contrast_round():
    a, b = paired_rates(np.random.default_rng(2))
    there, back = compare_rates(a, b), compare_rates(b, a)
    assert back.value == -there.value
    assert back.verdict == "b falls faster"
    assert back.error_ratio == pytest.approx(1 / there.error_ratio)
    assert back.error_ratio_interval == pytest.approx(tuple(1 / r for r in reversed(there.error_ratio_interval)))


def test_error_ratio_is_the_geometric_mean_at_equal_sizes():
    sizes = np.geomspace(10, 1000, 5)
    a = fit_rate(sizes, np.broadcast_to(3 / sizes[:, None], (4, 5, 2)))
    b = fit_rate(sizes * 1.7, np.broadcast_to(1 / (sizes[:, None] * 1.7), (4, 5, 2)))
    difference = compare_rates(a, b)
    assert difference.error_ratio == pytest.approx(3.0)
    assert difference.error_ratio_interval == pytest.approx((3.0, 3.0))
    assert difference.common_range == pytest.approx((17.0, 1000.0))


def test_families_without_common_sizes_have_no_ratio():
    a, b = fit_rate(SIZES, 1 / SIZES), fit_rate(SIZES * 1000, 1 / SIZES)
    difference = compare_rates(a, b)
    assert np.isnan(difference.error_ratio)
    assert difference.common_range is None


def test_equal_families_and_undetermined_rates_are_undecided():
    errors = simulate(np.random.default_rng(12), draws=16)
    difference = compare_rates(fit_rate(SIZES, errors[:8]), fit_rate(SIZES, errors[8:]))
    assert difference.verdict == "undecided"
    assert difference.interval[0] < 0 < difference.interval[1]
    flat = fit_rate(SIZES, np.ones(8))
    against = compare_rates(fit_rate(SIZES, SIZES**-2.0), flat)
    assert against.verdict == "undecided"
    assert any("rate of b is undetermined" in reason for reason in against.reasons)


def test_a_floor_in_doubt_widens_the_contrast_too():
    errors = SIZES**-1.0 * np.exp(np.random.default_rng(8).normal(0, 0.03, 8))
    doubtful, exact = fit_rate(SIZES, errors), fit_rate(SIZES, SIZES**-1.0)
    assert any("neither needed nor excluded" in reason for reason in doubtful.reasons)
    low, high = compare_rates(doubtful, exact).interval
    assert (low + 1, high + 1) == pytest.approx(doubtful.interval, abs=1e-8)


def test_rates_with_other_log_powers_are_not_compared():
    a, b = fit_rate(SIZES, SIZES**-2.0), fit_rate(SIZES, SIZES**-1.0 * np.log(SIZES), log_power=1.0)
    assert any("log powers" in reason for reason in compare_rates(a, b).reasons)


def test_compare_rates_names_what_is_wrong():
    rate = fit_rate(SIZES, 1 / SIZES)
    with pytest.raises(TypeError, match=r"b must be a Rate. Got float"):
        compare_rates(rate, 1.0)
    with pytest.raises(ValueError, match="same two draws or more"):
        compare_rates(rate, rate, paired=True)


def test_importing_rates_loads_no_scipy():
    code = "import sys, approxrates.rates; sys.exit('scipy' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert isinstance(fit_rate(SIZES, 1 / SIZES), Rate)


def test_very_steep_laws_are_refused_without_an_error():
    sizes = np.geomspace(50, 1200, 8)
    rate = fit_rate(sizes, np.exp(-0.5 * sizes))
    assert rate.verdict == "undetermined"
    assert fit_rate(sizes * 1e290, (sizes * 1e290) ** -1.0).value == pytest.approx(1.0)
