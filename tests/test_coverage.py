"""The coverage and model-choice calibrations at toy size, and the width that a plan announces."""

import functools

import numpy as np
import pytest
from scipy import stats

from approxrates.calibration.coverage import COVERAGE, SETTINGS, SIZES, binomial_interval, simulate, spoil
from approxrates.calibration.model_choice import MODEL_CHOICE
from approxrates.rates import fit_rate
from approxrates.study.studyplan import expected_half_width


@functools.cache
def toy(record):
    return record.run(2, 0)


@pytest.mark.parametrize("record", [COVERAGE, MODEL_CHOICE], ids=lambda r: r.name)
def test_a_toy_run_has_a_row_for_every_setting_and_a_figure(record):
    table = toy(record)
    first = table.iloc[0]
    assert first["repetitions"] == 2
    said = record.verdicts(table)
    assert all(line.startswith(("reached: ", "missed: ")) for line in said)
    ax = record.draw(table)
    assert len(ax.get_yticks()) == len(table)


def test_the_five_settings_of_the_bar_are_asked_for():
    assert [label for asked, label, _, _ in SETTINGS if asked] == [
        "clean", "10 % of runs missing", "10 % of runs end badly", "floor in the last third", "known factor log W",
    ]  # fmt: skip


def test_shares_of_the_choice_add_up():
    table = toy(MODEL_CHOICE)
    outcomes = ["power", "power+floor", "broken", "stretched-exponential", "undecided"]
    assert table[outcomes].sum(axis=1).to_numpy() == pytest.approx(1.0)


@pytest.mark.parametrize(("successes", "trials"), [(0, 20), (19, 20), (190, 200), (200, 200)])
def test_binomial_intervals_agree_with_scipy(successes, trials):
    expected = stats.binomtest(successes, trials).proportion_ci()
    assert binomial_interval(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_simulated_studies_have_the_law_that_they_say():
    rng = np.random.default_rng(0)
    calm = {"draw_sd": 0.0, "seed_sd": 0.0, "bad": 0.0}
    plain = simulate(rng, **calm)[:, :, 0]
    assert plain / plain[:, :1] == pytest.approx(np.broadcast_to(SIZES[0] / SIZES, (8, 8)))
    logged = simulate(np.random.default_rng(0), log_power=1.0, **calm)[:, :, 0]
    assert logged / plain == pytest.approx(np.broadcast_to(np.log(SIZES) / np.log(50), (8, 8)))
    floored = simulate(np.random.default_rng(0), floor=0.1, **calm)[:, :, 0]
    assert floored - plain == pytest.approx(np.full((8, 8), 0.1))


def test_spoilt_errors_are_never_better_and_flagged_where_worse():
    rng = np.random.default_rng(1)
    errors = simulate(rng)
    spoilt, flags = spoil(rng, errors, limited=0.4, limit=0.03)
    assert (spoilt >= errors).all()
    assert flags[spoilt > errors].all()
    assert not flags[:, :4][errors[:, :4] > 0.03].any()
    missing, _ = spoil(rng, errors, missing=0.1)
    assert 0.05 < np.isnan(missing).mean() < 0.15


@pytest.mark.parametrize(("draws", "k", "seeds"), [(8, 8, 5), (8, 6, 4), (3, 8, 4), (1, 8, 10), (1, 6, 4)])
def test_a_plan_announces_the_width_that_comes_out(draws, k, seeds):
    rng, sizes = np.random.default_rng(2), np.geomspace(50, 5000, k)
    halves = []
    for _ in range(30):
        errors = simulate(rng, draws=draws, sizes=sizes, seeds=seeds, bad=0.0, draw_sd=0.05 if draws > 1 else 0.0)
        low, high = fit_rate(sizes, np.median(errors, axis=2, keepdims=True)).interval
        halves.append((high - low) / 2)
    assert expected_half_width(sizes, draws, seeds, 0.25) == pytest.approx(
        np.median(halves), rel=0.25 if draws > 1 else 0.4
    )
