"""Laws beside the power law, their choice, forecasts, censored errors, and p-values."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import least_squares

import approxrates as ar
from approxrates.calibration.coverage import SIZES, simulate
from approxrates.calibration.model_choice import simulate_law
from approxrates.rates import choose_law, compare_rates, fit_rate
from approxrates.rates.choice import CHOICE_FROM, Candidate, _chow, _contest, _fit
from approxrates.rates.shapes import SHARPNESS, fit_shape, gamma_interval

TWELVE = np.geomspace(50, 50_000, 12)


def broken_errors(sizes, before=0.5, after=1.5, at=1500.0):
    return sizes**-before * (1 + (sizes / at) ** (1 / SHARPNESS)) ** (-SHARPNESS * (after - before))


# the laws


@pytest.mark.parametrize("gamma", [0.2, 0.5, 1.0])
def test_an_exact_stretched_exponential_gives_its_gamma_and_no_rate(gamma):
    sizes = np.geomspace(50, 6300, 8)
    rate = fit_rate(sizes, 3 * np.exp(-10 * (sizes / 6300) ** gamma))
    assert rate.model == "stretched-exponential"
    assert rate.gamma == pytest.approx(gamma, abs=1e-4)
    assert rate.gamma_interval[0] - 1e-4 <= gamma <= rate.gamma_interval[1] + 1e-4
    assert rate.verdict == "undetermined"
    assert any("gamma" in reason for reason in rate.reasons)
    assert not rate.asymptotic
    assert rate.predict([[100.0], [9000.0]]) == pytest.approx(
        3 * np.exp(-10 * (np.array([[100.0], [9000.0]]) / 6300) ** gamma), rel=1e-3
    )


@pytest.mark.parametrize(("before", "after"), [(0.5, 1.5), (1.5, 0.75)])
def test_an_exact_broken_law_gives_the_exponent_after_the_break(before, after):
    rate = fit_rate(TWELVE, broken_errors(TWELVE, before, after))
    assert (rate.model, rate.verdict) == ("broken", "determined")
    assert rate.value == pytest.approx(after, abs=1e-4)
    assert rate.break_at == pytest.approx(1500, rel=1e-3)
    assert rate.used.tolist() == (TWELVE > 1500).tolist()
    assert rate.used.sum() >= 4
    assert rate.predict(TWELVE) == pytest.approx(broken_errors(TWELVE, before, after), rel=1e-4)
    assert rate.constant * 1e9**-rate.value == pytest.approx(broken_errors(np.array([1e9]), before, after)[0], rel=0.01)
    assert rate.points[0].why == "before the break"


def test_shapes_agree_with_a_general_optimiser():
    rng = np.random.default_rng(0)
    x = np.log(TWELVE)
    z = x - x.mean()
    for name, y, start in (
        ("stretched-exponential", 1 - 2 * np.exp(0.4 * z), [1.0, 2.0, 0.5]),
        ("broken", np.log(broken_errors(TWELVE)), [-4.0, 0.6, 0.9, np.log(1400)]),
    ):
        noisy = y + rng.normal(0, 0.03, 12)

        def law(t, name=name):
            if name == "broken":
                return t[0] - t[1] * z - t[2] * SHARPNESS * np.logaddexp(0, (x - t[3]) / SHARPNESS)
            return t[0] - t[1] * np.exp(t[2] * z)

        best = least_squares(lambda t, noisy=noisy, law=law: noisy - law(t), start, xtol=1e-14, ftol=1e-14)
        ours = fit_shape(name, x, noisy[None], 0.0)
        assert (ours.weights == 1).all()
        assert (ours.residuals**2).sum() == pytest.approx(2 * best.cost, rel=1e-6)
        assert ours.at == pytest.approx(best.x[-1], rel=1e-3)


def test_the_profile_interval_of_gamma_is_where_the_likelihood_ratio_says():
    rng = np.random.default_rng(1)
    x = np.log(np.geomspace(50, 6300, 10))
    y = 1 - 2 * np.exp(0.4 * (x - x.mean())) + rng.normal(0, 0.1, 10)
    shape = fit_shape("stretched-exponential", x, y[None], 0.0)
    least, low_high = (shape.residuals**2).sum(), gamma_interval(shape, x, y)
    for gamma in low_high:  # slow: the two linear coefficients by lstsq at the ends
        columns = np.column_stack([np.ones(10), np.exp(gamma * (x - x.mean()))])
        square = np.linalg.lstsq(columns, y, rcond=None)[1][0]
        assert square == pytest.approx(least * (1 + stats.t.ppf(0.975, 7) ** 2 / 7), rel=0.05)


def test_the_profile_interval_of_gamma_covers():
    rng, hits = np.random.default_rng(2), 0
    x = np.log(np.geomspace(50, 6300, 8))
    for _ in range(200):
        y = 1 - 2 * np.exp(0.5 * (x - x.mean())) + rng.normal(0, 0.1, 8)
        low, high = gamma_interval(fit_shape("stretched-exponential", x, y[None], 0.0), x, y)
        hits += low <= 0.5 <= high
    assert 0.90 <= hits / 200 <= 0.99


# the choice


@pytest.mark.parametrize("spread", [0.1, 0.5])
@pytest.mark.parametrize("truth", ["W^-1", "W^-2", "exp(-.12 W^.5)"])
def test_power_laws_and_stretched_exponentials_are_told_apart(truth, spread):
    rng = np.random.default_rng(3)
    law = "stretched-exponential" if "exp" in truth else "power"
    choices = [choose_law(*simulate_law(rng, truth, 2.1, 8, spread)) for _ in range(40)]
    assert np.mean([c.chosen == law and c.decided for c in choices]) >= 0.95


@pytest.mark.parametrize("truth", ["exp(-.12 W^.5)", "W^-1 + floor"])
def test_over_one_and_a_half_decades_neither_floor_nor_stretched_exponential_is_decided(truth):
    rng = np.random.default_rng(4)
    for _ in range(30):
        choice = choose_law(*simulate_law(rng, truth, 1.4, 8, 0.25))
        assert not choice.decided or choice.chosen in ("power", "broken")


def test_the_arbiter_overrules_aicc():
    """Six sizes of a power law, and two that fall off it: a break fits no better than chance allows for eight sizes."""
    x = np.log(SIZES)
    bent = -x - np.where(np.arange(8) >= 6, 0.35 * (np.arange(8) - 5), 0.0)
    errors = np.exp(bent + np.random.default_rng(0).normal(0, 0.05, 8))
    choice = choose_law(SIZES, errors)
    power = choice.candidate("power")
    assert power.prediction_p < 0.01
    assert choice.contested or choice.chosen != "power"
    rate = fit_rate(SIZES, errors)
    assert rate.verdict == "undetermined"


@pytest.mark.parametrize(
    ("law", "rival", "refuted_at", "ahead", "low_gamma", "contested"),
    [
        ("power", "stretched-exponential", 0.001, 9.0, 0.5, True),  # refuted, and the rival predicts better
        ("power", "stretched-exponential", 0.05, 9.0, 0.5, False),  # not refuted, and AICc is clear
        ("power", "power+floor", 0.001, 9.0, 0.5, False),  # one kind of law
        ("power", "stretched-exponential", 0.05, 1.0, 0.5, True),  # AICc is close
        ("stretched-exponential", "power", 0.05, 9.0, 0.5, False),
        ("stretched-exponential", "power", 0.05, 9.0, 0.06, True),  # gamma may be next to nothing
    ],
)
def test_a_choice_is_contested_for_the_stated_reasons_only(law, rival, refuted_at, ahead, low_gamma, contested):
    ranked = [Candidate(law, 0.0, 0.5, 1.0, 0.5, refuted_at), Candidate(rival, ahead, 0.5, 1.0, 0.1, 0.5)]
    assert _contest(ranked, SIZES, (low_gamma, 0.7))[0] == contested


def test_chows_p_value_is_that_of_the_f_test_for_straight_lines():
    rng = np.random.default_rng(5)
    x, y = np.log(SIZES), -np.log(SIZES) + rng.normal(0, 0.1, 8)
    short = _fit("power", x[:6], y[:6], 0.0, None)
    whole = np.linalg.lstsq(np.column_stack([np.ones(8), x]), y, rcond=None)[1][0]
    inner = np.linalg.lstsq(np.column_stack([np.ones(6), x[:6]]), y[:6], rcond=None)[1][0]
    expected = stats.f.sf((whole - inner) / 2 / (inner / 4), 2, 4)
    assert _chow(whole, short, 1.0, 8, 2) == pytest.approx(expected, rel=1e-6)


def test_weights_add_up_and_few_sizes_are_not_compared():
    choice = choose_law(*simulate_law(np.random.default_rng(6), "W^-1", 2.1, 8, 0.1))
    assert sum(c.weight for c in choice.candidates) == pytest.approx(1.0)
    assert [c.aicc for c in choice.candidates] == sorted(c.aicc for c in choice.candidates)
    few = ar.choose_law(SIZES[: CHOICE_FROM - 1], 1 / SIZES[: CHOICE_FROM - 1])
    assert (few.candidates, few.decided) == ((), False)
    with pytest.raises(ValueError, match="too few sizes"):
        few.candidate("power")


def test_the_sine_interpolated_is_a_power_law_beyond_its_small_sizes():
    cells = 2.0 ** np.arange(2, 9)
    h = 1 / cells  # sup error of interpolation in a cell that holds the peak: 1 - cos(pi h)
    rate = fit_rate(cells, 1 - np.cos(np.pi * h))
    assert (rate.choice.chosen, rate.model) == ("power", "power")
    assert rate.interval[0] < 2 < rate.interval[1] + 1e-3


# floors that are known, both statistics, points


def test_a_known_floor_is_taken_off_with_four_sizes_too():
    sizes = np.geomspace(1e2, 1e4, 4)
    rate = fit_rate(sizes, 1 / sizes + 1e-4, floor=1e-4)
    assert (rate.value, rate.floor, rate.model) == (pytest.approx(1.0, abs=1e-6), pytest.approx(1e-4), "power+floor")
    assert rate.verdict == "determined"
    none = fit_rate(np.geomspace(1e2, 1e4, 8), 1 / np.geomspace(1e2, 1e4, 8) + 1e-4, floor=0.0)
    assert none.model == "power"


def test_a_break_above_a_given_floor_that_matters_is_no_rate():
    errors = 1 / SIZES
    contradicted = fit_rate(SIZES, errors, floor=1e-3)  # errors below the floor: no law with it fits
    assert contradicted.model == "broken"
    assert contradicted.verdict == "undetermined"
    assert any("given floor" in reason for reason in contradicted.reasons)
    sizes = np.geomspace(50, 50_000, 12)
    bent = sizes**-0.5 * (1 + (sizes / 1000) ** 10) ** -0.1
    harmless = fit_rate(sizes, bent, floor=1e-3 * bent[-1])
    assert (harmless.model, harmless.verdict) == ("broken", "determined")


def test_median_and_best_come_together():
    errors = simulate(np.random.default_rng(7), seeds=5)
    rate, best = fit_rate(SIZES, errors), fit_rate(SIZES, errors, statistic="best")
    assert rate.best == pytest.approx((best.value, *best.interval))
    assert best.best == (best.value, *best.interval)
    assert fit_rate(SIZES, 1 / SIZES).best is None


def test_every_size_has_a_reason():
    errors = 1 / SIZES + 0.002
    errors[0] = np.nan
    rate = fit_rate(SIZES, errors, use=np.arange(8) != 1)
    assert [p.n_params for p in rate.points] == SIZES.tolist()
    assert [p.used for p in rate.points] == rate.used.tolist()
    assert [p.why for p in rate.points][:2] == ["no run has an error", "excluded by the caller"]
    assert {p.why for p in rate.points[2:]} == {"in the range of the law", "on the floor"}


def test_the_asymptotic_flag_is_off_where_the_slope_still_moves():
    assert fit_rate(SIZES, 1 / SIZES).asymptotic
    assert not fit_rate(SIZES[:4], 1 / SIZES[:4]).asymptotic
    assert not fit_rate(SIZES, np.exp(-0.3 * np.log(SIZES) ** 2)).asymptotic


# forecasts and p-values


def test_the_forecast_of_one_draw_is_the_prediction_interval_of_regression():
    rng = np.random.default_rng(20)
    y = -0.8 * np.log(SIZES) + rng.normal(0, 0.03, 8)
    rate = fit_rate(SIZES, np.exp(y), floor=0.0)
    x = np.log(SIZES)
    line = stats.linregress(x, y)
    scale = np.sqrt(((y - line.intercept - line.slope * x) ** 2).sum() / 6)
    ahead = 2 * x[-1] - x[-2]
    half = stats.t.ppf(0.975, 6) * scale * np.sqrt(1 + 1 / 8 + (ahead - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum())
    middle, low, high = rate.next_error()
    assert np.log(middle) == pytest.approx(line.intercept + line.slope * ahead, abs=1e-8)
    assert (np.log(low), np.log(high)) == pytest.approx((np.log(middle) - half, np.log(middle) + half), abs=1e-6)
    assert rate.next_error(np.exp(ahead)) == pytest.approx(rate.next_error())


def test_a_new_draw_at_the_next_size_falls_into_the_forecast_95_times_in_100():
    rng, hits = np.random.default_rng(8), []
    longer = np.append(SIZES, SIZES[-1] * SIZES[1] / SIZES[0])
    for _ in range(120):
        _, low, high = fit_rate(SIZES, simulate(rng, seeds=1, bad=0.0)).next_error()
        hits.append(low <= simulate(rng, draws=1, sizes=longer, seeds=1, bad=0.0)[0, -1, 0] <= high)
    assert 0.88 <= np.mean(hits) <= 0.99


def test_forecasts_name_what_is_wrong():
    with pytest.raises(ValueError, match="greater than 1"):
        fit_rate(SIZES, 1 / SIZES).next_error(0.5)
    with pytest.raises(ValueError, match="Add sizes"):
        fit_rate(SIZES, np.full(8, np.nan)).next_error()


@pytest.mark.parametrize("setting", [{}, {"floor": 0.01}, {"draws": 1}, {"floor": 0.003, "draws": 3}])
def test_p_values_agree_with_the_ends_of_the_interval(setting):
    rate = fit_rate(SIZES, simulate(np.random.default_rng(9), seeds=5, **setting))
    low, high = rate.interval
    assert rate.p_value(low, "above") == pytest.approx(0.025, abs=1e-6)
    assert rate.p_value(high, "below") == pytest.approx(0.025, abs=1e-6)
    assert rate.p_value(low - 0.01, "above") < 0.025 < rate.p_value(low + 0.01, "above")
    with pytest.raises(ValueError, match="side must be"):
        rate.p_value(1.0, "beyond")


def test_the_p_value_is_that_of_the_t_test_over_draws():
    slopes = 1 + np.random.default_rng(10).normal(0, 0.1, 6)
    rate = fit_rate(SIZES, np.exp(-slopes[:, None, None] * np.log(SIZES)[None, :, None]))
    expected = stats.ttest_1samp(slopes, 0.95, alternative="greater").pvalue
    assert rate.p_value(0.95, "above") == pytest.approx(expected, abs=1e-6)
    assert fit_rate(SIZES, 1 / SIZES).p_value(0.9, "above") < 1e-12


# censored errors


def test_a_censored_best_run_leaves_the_cell_unknown_and_a_censored_bad_one_does_not():
    errors = np.broadcast_to((1 / SIZES)[:, None] * np.array([1.0, 2.0, 4.0]), (8, 3)).copy()
    flags = np.zeros((8, 3), dtype=bool)
    flags[:, 2] = True  # 4, at most: half of its mass goes to 1, half to 2
    assert fit_rate(SIZES, errors, censored=flags).constant == pytest.approx(np.sqrt(2))
    flags[7] = [True, True, False]
    rate = fit_rate(SIZES, errors, censored=flags)
    assert not rate.used[7]
    assert "upper bound" in rate.points[7].why
    assert rate.value == pytest.approx(1.0)


@pytest.mark.parametrize("spoilt", [0.0, 3.0])
def test_flagged_errors_do_not_move_the_rate_however_large_they_are(spoilt):
    rng = np.random.default_rng(11)
    errors = simulate(rng, seeds=5, draw_sd=0.01, bad=0.0)
    flags = np.zeros(errors.shape, dtype=bool)
    flags[:3, 5:] = True
    rate = fit_rate(SIZES, np.where(flags, errors * np.exp(spoilt), errors), censored=flags)
    assert rate.value == pytest.approx(fit_rate(SIZES, np.where(flags, np.nan, errors)).value)


def test_a_larger_half_of_upper_bounds_only_is_undetermined():
    flags = np.arange(8) >= 4
    rate = fit_rate(SIZES, 1 / SIZES, censored=flags)
    assert rate.verdict == "undetermined"
    assert any("larger half" in reason for reason in rate.reasons)


def test_a_law_above_the_bounds_is_refused():
    flags = np.arange(8) >= 6
    errors = np.where(flags, 0.01, 1.0) / SIZES * np.exp(np.random.default_rng(0).normal(0, 0.01, 8))
    rate = fit_rate(SIZES, errors, censored=flags)
    assert rate.verdict == "undetermined"
    assert any("above the upper bounds" in reason for reason in rate.reasons)


@pytest.mark.parametrize(
    ("keywords", "kind", "message"),
    [
        ({"floor": -1.0}, ValueError, "floor must be non-negative"),
        ({"floor": 1.0}, ValueError, "below the largest error"),
        ({"floor": "0"}, TypeError, "floor must be a number"),
        ({"censored": [0, 1, 0, 1, 0, 1, 0, 1]}, TypeError, "boolean mask"),
        ({"censored": [True]}, ValueError, "shape of errors"),
    ],
)
def test_bad_floors_and_masks_are_named(keywords, kind, message):
    for function in (fit_rate, choose_law):
        with pytest.raises(kind, match=message):
            function(SIZES, 1 / SIZES, **keywords)


# contrasts


def test_a_family_without_a_rate_is_not_compared():
    power, none = fit_rate(TWELVE, 1 / TWELVE), fit_rate(TWELVE, np.exp(-0.02 * TWELVE**0.5))
    difference = compare_rates(power, none)
    assert difference.verdict == "undecided"
    assert any("gamma" in reason for reason in difference.reasons)


def test_broken_laws_are_compared_by_their_last_segments():
    rng = np.random.default_rng(12)
    noise = np.exp(rng.normal(0, 0.02, (2, 6, 12, 1)))
    steep, flat = (broken_errors(TWELVE, 0.5, p)[:, None] * noise[i] for i, p in enumerate((1.5, 1.2)))
    difference = compare_rates(fit_rate(TWELVE, steep), fit_rate(TWELVE, flat))
    assert difference.verdict == "a falls faster"
    assert difference.interval[0] < 0.3 < difference.interval[1]


def test_a_break_amid_few_sizes_is_seldom_taken_for_a_stretched_exponential():
    rng = np.random.default_rng(13)
    choices = [choose_law(*simulate_law(rng, "W^-.5, then W^-1.5", 2.1, 8, 0.25)) for _ in range(30)]
    assert np.mean([c.chosen == "stretched-exponential" and c.decided for c in choices]) < 0.3
