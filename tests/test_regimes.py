import json

import numpy as np
import pytest

from approxrates.regimes import Regime, Thresholds, label_regimes
from approxrates.regimes.pieces import line_costs, noise_of

RATE = 0.1
EDGE = 2.0 / RATE
FOUR = (Regime.TRANSIENT, Regime.SATURATION, Regime.SHARPENING, Regime.EDGE)


def clock(end, *, n=160):
    """Steps 0 to 9 and logarithmically spaced ones up to the end."""
    return np.unique(np.concatenate([np.arange(10), np.geomspace(10, end, n).round()]))


def logs(t, points):
    """Log sharpness over 2/eta, piecewise linear in ln(1 + step) through ``(step, ratio)``."""
    at, ratio = np.array(points, dtype=float).T
    return np.interp(np.log1p(t), np.log1p(at), np.log(ratio))


def trajectory(points, *, noise=0.0, seed=0, end=None, n=160, swing=0.05):
    """A series through ``(step, ratio)`` that swings about the edge where the ratio is one for long."""
    t = clock(end or points[-1][0], n=n)
    random = np.random.default_rng(seed)
    ratio = np.exp(logs(t, points) + noise * random.standard_normal(len(t)))
    at_edge = np.abs(logs(t, points)) < 1e-9
    ratio = np.where(at_edge, ratio * (1.01 + swing * random.standard_normal(len(t))), ratio)
    return t, 1.0 / (1.0 + t) ** 0.5, ratio * EDGE, RATE


def four(scale=1.0):
    """Down to 0.3 by 10, flat to 100, up to the edge by 1000, there until 10,000; all times ``scale``."""
    points = [
        (0, 0.9),
        (1 * scale, 0.9),
        (10 * scale, 0.3),
        (100 * scale, 0.3),
        (1000 * scale, 1.0),
        (1e4 * scale, 1.0),
    ]
    return points if scale > 1 else [points[0], *points[2:]]


def named(regimes):
    return tuple(interval.regime for interval in regimes.intervals)


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.03])
@pytest.mark.parametrize("scale", [1.0, 10.0, 100.0])
def test_all_four_regimes_are_found_at_their_places_on_any_time_scale(scale, noise):
    right = 0
    for seed in range(20):
        found = label_regimes(*trajectory(four(scale), noise=noise, seed=seed))
        if named(found) == FOUR:
            ends = np.array([interval.end for interval in found.intervals[:3]]) / scale
            right += bool(np.all((ends / [10, 100, 900] < 1.6) & (ends / [10, 100, 900] > 0.6)))
    assert right >= (20 if noise < 0.03 else 18)


@pytest.mark.parametrize("noise", [0.0, 0.02])
@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([(0, 0.8), (10, 0.3), (200, 0.3), (2000, 0.6), (1e5, 0.6)], (*FOUR[:3], Regime.UNDECIDED)),  # saturates below
        ([(0, 0.9), (1e4, 0.05)], FOUR[:1]),  # falls all along
        ([(0, 0.9), (20, 0.3), (1e4, 0.3)], FOUR[:2]),  # never sharpens
        ([(0, 0.3), (60, 0.3), (1000, 1.0), (1e4, 1.0)], FOUR[1:]),  # no transient
        ([(0, 0.2), (500, 1.0), (1e4, 1.0)], FOUR[2:]),  # sharpens from the start
        ([(0, 3.0), (10, 0.4), (12, 0.41), (1000, 1.0), (1e4, 1.0)], (FOUR[0], *FOUR[2:])),  # no saturation
        ([(0, 3.0), (30, 1.0), (1e4, 1.0)], (FOUR[0], FOUR[3])),  # lands at the edge
        ([(0, 0.3), (1e4, 0.3)], FOUR[1:2]),  # nothing happens
        ([(0, 0.5), (3, 3.0), (10, 0.3), (100, 0.3), (1000, 1.0), (1e4, 1.0)], FOUR),  # a jump, given back
        ([(0, 0.1), (10, 0.3), (100, 0.3), (900, 1.0), (1e4, 1.0)], FOUR),  # rises to a plateau, rises on
        ([(0, 0.8), (10, 0.3), (100, 0.3), (500, 0.8), (3000, 0.2), (1e4, 0.2)],
         (*FOUR[:3], Regime.UNDECIDED, Regime.UNDECIDED)),  # falls after sharpening
    ],
    ids=[
        "saturates-below-the-edge", "monotone-decay", "never-sharpens", "no-transient", "sharpens-at-once",
        "no-saturation", "lands-at-the-edge", "constant", "jump", "rise-plateau-rise", "falls-after-sharpening",
    ],
)  # fmt: skip
def test_missing_regimes_are_not_invented(points, expected, noise):
    right = [named(label_regimes(*trajectory(points, noise=noise, seed=seed))) == expected for seed in range(20)]
    assert np.mean(right) >= 0.95


def test_passing_the_edge_is_not_staying_at_it():
    for points in (
        [(0, 8.0), (30, 0.1), (1e4, 0.1)],  # from above
        [(0, 0.2), (10, 0.2), (1000, 5.0), (1e4, 5.0)],  # from below
        [(0, 0.2), (10, 0.2), (1e6, 5.0)],  # slowly
    ):
        assert Regime.EDGE not in label_regimes(*trajectory(points, swing=0.0)).found


@pytest.mark.parametrize("ratio", [0.85, 0.92, 0.95])
def test_a_plateau_beneath_the_edge_is_no_edge(ratio):
    points = [(0, 1.5), (10, 0.4), (100, 0.4), (600, ratio), (2e4, ratio)]
    for seed in range(20):
        found = label_regimes(*trajectory(points, noise=0.01, seed=seed))
        assert Regime.EDGE not in found.found
        assert found.intervals[-1].regime is Regime.UNDECIDED
        assert "off the edge" in found.intervals[-1].reason


def test_swings_about_the_edge_do_not_cut_it():
    t = np.arange(0, 8001, 40.0)
    for period in (90.0, 400.0, 2500.0):
        ratio = np.exp(logs(t, [(0, 0.3), (100, 0.3), (1000, 1.0), (8000, 1.0)]))
        swings = np.where(t >= 1000, 1.0 + 0.18 * np.sin(t / period), 1.0)
        found = label_regimes(t, 1 / (1 + t), ratio * swings * EDGE, RATE)
        assert named(found)[-1] is Regime.EDGE
        assert named(found).count(Regime.EDGE) == 1


def test_a_single_spike_changes_nothing():
    t, loss, sharpness, rate = trajectory(four())
    spiked = sharpness.copy()
    spiked[60] *= 3.0
    plain, found = (label_regimes(t, loss, values, rate) for values in (sharpness, spiked))
    assert named(plain) == FOUR
    assert found.found == FOUR


def test_noise_that_hides_everything_is_undecided():
    undecided = 0
    for seed in range(20):
        t = clock(1000, n=30)
        wild = 5.0 * np.exp(np.random.default_rng(seed).standard_normal(len(t)))
        undecided += Regime.UNDECIDED in named(label_regimes(t, np.ones(len(t)), wild, 0.01))
    assert undecided >= 18


def test_labels_do_not_depend_on_units_or_on_how_densely_was_measured():
    t, loss, sharpness, rate = trajectory(four(10.0))
    scaled = label_regimes(t, loss * 7.0, sharpness * 40.0, rate / 40.0)
    dense = label_regimes(*trajectory(four(10.0), n=1500))
    plain = label_regimes(t, loss, sharpness, rate)
    assert [(i.regime, i.begin, i.end) for i in scaled.intervals] == [
        (i.regime, i.begin, i.end) for i in plain.intervals
    ]
    assert named(dense) == named(plain)


def test_intervals_cover_the_series_and_are_plain_data():
    found = label_regimes(*trajectory(four()))
    assert found.intervals[0].begin == 0
    assert found.intervals[-1].end == 1e4
    assert all(a.end == b.begin for a, b in zip(found.intervals, found.intervals[1:], strict=False))
    assert json.loads(json.dumps(found.to_plain()))[0]["regime"] == "early transient"
    assert found.all_four
    assert [found.at(step) for step in (0, 50, 500, 9999, 10**6)] == [*FOUR, Regime.EDGE]


def test_too_few_records_are_undecided():
    found = label_regimes(np.arange(5), np.ones(5), np.ones(5), 0.1)
    assert named(found) == (Regime.UNDECIDED,)
    assert "too few" in found.intervals[0].reason


def test_thresholds_can_be_given():
    series = trajectory([(0, 0.5), (1e4, 0.3)])  # an exponent of -0.055
    assert named(label_regimes(*series)) == (Regime.TRANSIENT,)
    assert named(label_regimes(*series, thresholds=Thresholds(gentle=0.06))) == (Regime.SATURATION,)


def test_line_costs_are_those_of_least_squares():
    random = np.random.default_rng(0)
    x, y = np.sort(random.uniform(0, 8, 14)), random.standard_normal(14)
    costs = line_costs(x, y)
    for i in range(14):
        for j in range(i + 2, 14):
            residual = np.polyfit(x[i : j + 1], y[i : j + 1], 1, full=True)[1]
            assert costs[i, j] == pytest.approx(float(residual[0]), rel=1e-8)


def test_noise_is_estimated_from_second_differences():
    random = np.random.default_rng(1)
    straight = [0.3 * np.arange(200) + 0.05 * random.standard_normal(200) for _ in range(2)]
    assert noise_of(straight) == pytest.approx(0.05, rel=0.15)
    assert noise_of([np.arange(9.0)]) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": [0, 2, 1]}, "steps must ascend"),
        ({"steps": [0, 1]}, "series of one length"),
        ({"sharpness": [1.0, -1.0, 1.0]}, "sharpness must be positive"),
        ({"loss": [1.0, np.inf, 1.0]}, "must be finite"),
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
    ],
    ids=["order", "length", "sign", "finite", "rate"],
)
def test_bad_series_are_refused(change, message):
    series = {"steps": [0, 1, 2], "loss": [1.0] * 3, "sharpness": [1.0] * 3, "learning_rate": 0.1} | change
    with pytest.raises(ValueError, match=message):
        label_regimes(**series)
