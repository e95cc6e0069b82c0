"""Places on the diagram: every label, and what must not be labelled."""

import dataclasses
import functools
import itertools
import math
from statistics import NormalDist

import numpy as np
import pytest

from approxrates import activations
from approxrates.phase import CAUSES, LEVEL, Label, PhasePoint, holm, place, place_all
from approxrates.rates import fit_rate
from approxrates.regularity import Regularity

RICH = Regularity(smoothness=0.5, dim=1, sharp=True, information_rich=True)
EASY = dataclasses.replace(RICH, information_rich=False)
SIZES = np.geomspace(100, 10_000, 8)
EXACT = {"depth_exponent": 1.0, "exact_weights": True, "bits_exponent": 1.0, "past_crossover": True}


@functools.cache
def one_fit():
    return fit_rate(SIZES, 1 / SIZES)


def measured(rho, half=0.01, regularity=RICH, **changes):
    """A rate with this normalised value and half width, of normally distributed errors."""
    rate = one_fit()
    p, width = (v * regularity.smoothness / regularity.dim for v in (rho, half))
    parts = (((width / NormalDist().inv_cdf(0.975)) ** 2, math.inf),)
    return dataclasses.replace(rate, value=p, interval=(p - width, p + width), parts=parts, **changes)


@pytest.mark.parametrize(
    ("rho", "half", "regularity", "options", "label"),
    [
        (2.2, 0.1, RICH, EXACT, Label.ALARM),
        (2.2, 0.1, RICH, {}, Label.ALARM),
        (1.8, 0.2, RICH, EXACT, Label.DEEP),
        (1.5, 0.1, RICH, EXACT | {"depth_exponent": 0.5}, Label.DEEP),
        (1.0, 0.05, RICH, {"depth_exponent": 1.0}, Label.CLASSICAL),
        (1.0, 0.05, EASY, {}, Label.CLASSICAL),
        (0.7, 0.1, RICH, {"depth_exponent": 1.0}, Label.BELOW_CLASSICAL),
        (0.7, 0.1, EASY, {}, Label.BELOW_CLASSICAL),
        (1.8, 0.2, EASY, EXACT, Label.EASY_TARGET),
        (5.0, 0.2, EASY, EXACT, Label.EASY_TARGET),
        (1.3, 0.1, RICH, {"depth_exponent": 1.0}, Label.TRANSIENT),
        (1.3, 0.1, RICH, EXACT | {"bits_exponent": 0.0}, Label.TRANSIENT),
    ],
)
def test_clear_cases_get_their_label(rho, half, regularity, options, label):
    point = place(measured(rho, half), regularity, **options)
    assert point.label is label
    assert point.decided
    assert point.normalised == pytest.approx(rho)
    assert point.interval == pytest.approx((rho - half, rho + half))
    assert point.reasons


@pytest.mark.parametrize(
    ("rho", "half", "options", "reason"),
    [
        (1.0, 0.11, {"depth_exponent": 1.0}, "straddles"),
        (0.9, 0.05, {"depth_exponent": 1.0}, "straddles"),
        (1.1, 0.15, EXACT, "straddles"),
        (1.9, 0.3, EXACT, "beyond the ceiling 2"),
        (1.5, 0.1, EXACT | {"depth_exponent": None}, "Give depth_exponent"),
        (1.5, 0.1, EXACT | {"bits_exponent": None}, "Give bits_exponent"),
        (1.5, 0.1, EXACT | {"past_crossover": None}, "Give past_crossover"),
        (1.5, 0.1, EXACT | {"depth_exponent": 0.0}, "exceeds the depth term 1.00"),
        (1.9, 0.05, EXACT | {"depth_exponent": 0.2}, "exceeds the depth term 1.20"),
        (1.9, 0.05, EXACT | {"bits_exponent": 0.2}, "exceeds the bits term 1.20"),
        (1.9, 0.05, EXACT | {"sample_exponent": 1.0}, "exceeds the samples term 1.00"),
        (1.15, 0.02, {"depth_exponent": 1.0, "sample_exponent": 1.0}, "exceeds the samples term 1.00"),
        (1.5, 0.1, EXACT | {"past_crossover": False}, "before the crossover"),
        (1.5, 0.1, EXACT | {"counting": "total_bits"}, "counts weights"),
    ],
)
def test_what_the_data_do_not_decide_is_undecided(rho, half, options, reason):
    point = place(measured(rho, half), RICH, **options)
    assert point.label is Label.UNDECIDED
    assert not point.decided
    assert any(reason in sentence for sentence in point.reasons)


def test_undetermined_rates_are_undecided_and_pass_on_their_reasons():
    rate = fit_rate(SIZES, np.ones(8))
    point = place(rate, RICH)
    assert not point.decided
    assert set(rate.reasons) <= set(point.reasons)
    empty = fit_rate(SIZES, np.full(8, np.nan))
    assert place(empty, RICH).label is Label.UNDECIDED
    assert math.isnan(place(empty, RICH).normalised)


def test_infinitely_smooth_targets_are_easy_and_have_no_normalised_rate():
    analytic = Regularity(smoothness=math.inf, dim=1, kind="analytic")
    point = place(measured(2.0), analytic)
    assert point.label is Label.EASY_TARGET
    assert math.isnan(point.normalised)
    assert any("infinitely smooth" in sentence for sentence in point.reasons)
    assert place(fit_rate(SIZES, np.ones(8)), analytic).label is Label.UNDECIDED


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "hard_tanh", "relu2", "cubic_bspline", "relu+relu2"])
def test_piecewise_polynomial_activations_raise_an_alarm_beyond_two(name):
    point = place(measured(2.5), RICH, activation=name, **EXACT)
    assert point.label is Label.ALARM
    assert set(CAUSES) <= set(point.reasons)


@pytest.mark.parametrize("name", ["sin", "sin:30", "triangle", "snake", "relu+sin", "tanh", "gelu", "silu", "floor"])
def test_periodic_and_smooth_activations_have_no_ceiling(name):
    generous = EXACT | {"bits_exponent": 5.0}
    assert place(measured(2.5), RICH, activation=name, **generous).label is Label.DEEP
    assert place(measured(1.9, 0.3), RICH, activation=name, **generous).label is Label.DEEP


def test_heaviside_raises_an_alarm_beyond_one():
    assert place(measured(1.3), RICH, activation="heaviside", **EXACT).label is Label.ALARM
    assert place(measured(1.3), RICH, activation="heaviside+relu", **EXACT).label is Label.DEEP


def test_every_activation_of_the_table_can_be_placed():
    for name in activations.names():
        assert place(measured(1.0), RICH, activation=name, depth_exponent=1.0).label is Label.CLASSICAL


@pytest.mark.parametrize(
    ("rho", "options", "binding"),
    [
        (1.0, {"depth_exponent": 1.0}, "bits"),
        (1.5, EXACT | {"depth_exponent": 0.5}, "depth"),
        (1.5, EXACT | {"bits_exponent": 0.5}, "bits"),
        (1.0, EXACT | {"sample_exponent": 1.0}, "samples"),
        (0.6, {"depth_exponent": 1.0, "sample_exponent": 0.6}, "samples"),
        (0.6, {"depth_exponent": 1.0, "optimisation_limited": True}, "optimisation"),
        (0.6, {"depth_exponent": 1.0}, None),
        (1.5, EXACT, None),
        (1.0, {"depth_exponent": 1.0, "sample_exponent": 1.0}, "samples"),
        (1.0, {"depth_exponent": 1.0, "sample_exponent": 2.0}, "bits"),
        (1.0, {"depth_exponent": 0.0}, "depth"),
    ],
)
def test_the_binding_constraint_is_the_term_of_the_law_that_is_reached(rho, options, binding):
    assert place(measured(rho, 0.05), RICH, **options).binding == binding


def test_nothing_binds_on_an_easy_target():
    assert place(measured(1.0), EASY, depth_exponent=1.0).binding is None


def test_nothing_binds_where_there_is_an_alarm():
    for options in ({"sample_exponent": 2.0}, {"optimisation_limited": True, "exact_weights": True}):
        point = place(measured(2.2, 0.1), RICH, depth_exponent=1.5, **options)
        assert (point.label, point.binding) == (Label.ALARM, None)
    assert place(measured(1.2, 0.1), RICH, activation="heaviside", depth_exponent=0.0).binding is None


def test_dimension_enters_the_normalised_rate():
    for dim, smoothness in ((2, 0.5), (3, 1.5)):
        regularity = Regularity(smoothness=smoothness, dim=dim, information_rich=True)
        rate = fit_rate(SIZES, SIZES ** -(smoothness / dim))
        point = place(rate, regularity)
        assert point.normalised == pytest.approx(1.0)
        assert point.label is Label.CLASSICAL


def test_measured_curves_go_through_to_a_label():
    rng = np.random.default_rng(0)
    draws = 0.5 + rng.normal(0, 0.01, (8, 1, 1))
    errors = np.exp(-draws * np.log(SIZES)[None, :, None] + rng.normal(0, 0.02, (8, 8, 4)))
    assert place(fit_rate(SIZES, errors), RICH, depth_exponent=1.0).label is Label.CLASSICAL
    assert place(fit_rate(SIZES, errors**2), RICH, **EXACT).label in (Label.DEEP, Label.UNDECIDED)
    assert place(fit_rate(SIZES, errors**0.5), RICH, depth_exponent=1.0).label is Label.BELOW_CLASSICAL


@pytest.mark.parametrize(
    ("options", "regularity", "words"),
    [
        ({"optimisation_limited": True}, RICH, "limited by optimisation"),
        ({"norm": "l2"}, RICH, "sup norm"),
        ({}, Regularity(smoothness=1.0, dim=1), "Integer smoothness"),
        (EXACT | {"past_crossover": None}, RICH, "crossover"),
    ],
)
def test_caveats_are_among_the_reasons(options, regularity, words):
    point = place(measured(1.5, regularity=regularity), regularity, **options)
    assert any(words in sentence for sentence in point.reasons)


def test_what_saturates_is_not_told_to_train_longer():
    smooth = Regularity(smoothness=2.5, dim=1, sharp=True, information_rich=True)
    point = place(measured(0.77, 0.01, smooth), smooth, depth_exponent=0.0, saturation=2.0)
    assert point.label is Label.BELOW_CLASSICAL
    assert point.binding == "depth"
    assert any("saturates" in sentence for sentence in point.reasons)
    assert place(measured(0.5, 0.01, smooth), smooth, depth_exponent=0.0, saturation=2.0).binding is None
    assert place(measured(0.7, 0.05), RICH, saturation=2.0).binding is None


def test_a_constructed_family_is_not_told_to_train_longer():
    point = place(measured(0.7, 0.1), RICH, trained=False)
    assert any("constructed, not trained" in sentence for sentence in point.reasons)
    assert not any("train longer" in sentence for sentence in point.reasons)


def test_every_label_has_a_sentence_and_reads_as_its_name():
    for label in Label:
        assert label.sentence.endswith(".")
        assert str(label) == label.value
    assert str(Label.BELOW_CLASSICAL) == "BELOW CLASSICAL"
    assert len({label.sentence for label in Label}) == len(Label) == 7


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: place(1.0, RICH), TypeError, "rate must be a Rate. Got float"),
        (lambda: place(measured(1), 0.5), TypeError, "regularity must be a Regularity"),
        (lambda: place(measured(1), RICH, activation="rleu"), ValueError, "rleu"),
        (lambda: place(measured(1), RICH, norm="max"), ValueError, "norm must be one of sup, l2"),
        (lambda: place(measured(1), RICH, counting="flops"), ValueError, "counting must be one of n_params"),
        (lambda: place(measured(1), RICH, depth_exponent=math.nan), ValueError, "depth_exponent must be a finite"),
    ],
)
def test_bad_arguments_are_named(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_points_are_frozen():
    point = place(measured(1.0), RICH)
    assert isinstance(point, PhasePoint)
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.label = Label.DEEP


def tail(z):
    return 1 - NormalDist().cdf(z)


@pytest.mark.parametrize("rho", [0.7, 0.97, 1.3, 2.2])
def test_p_values_are_those_of_the_normal_distribution(rho):
    half = 0.05
    sd = half / NormalDist().inv_cdf(0.975)
    tests = {c.statement: c.p_value for c in place(measured(rho, half), RICH).tests}
    expected = {
        "rho < 0.9": tail((0.9 - rho) / sd),
        "rho > 1": tail((rho - 1) / sd),
        "|rho - 1| < 0.1": max(tail((rho - 0.9) / sd), tail((1.1 - rho) / sd)),
        "|rho - 2| < 0.2": max(tail((rho - 1.8) / sd), tail((2.2 - rho) / sd)),
        "rho > 2 (ceiling)": tail((rho - 2) / sd),
        "rho < 2.1 (ceiling and slack)": tail((2.1 - rho) / sd),
    }
    assert tests == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("rho", "half", "regularity", "options", "statements"),
    [
        (2.2, 0.15, RICH, EXACT, ["rho > 2 (ceiling)"]),
        (1.8, 0.2, RICH, EXACT, ["rho > 1", "rho < 2.1 (ceiling and slack)"]),
        (1.0, 0.08, RICH, {"depth_exponent": 1.0}, ["|rho - 1| < 0.1"]),
        (0.7, 0.15, RICH, {"depth_exponent": 1.0}, ["rho < 0.9"]),
        (1.3, 0.2, RICH, {"depth_exponent": 1.0}, ["rho > 1"]),
        (1.3, 0.2, EASY, {}, ["rho > 1"]),
    ],
)
def test_a_label_has_the_p_value_of_what_it_says(rho, half, regularity, options, statements):
    point = place(measured(rho, half), regularity, **options)
    known = {c.statement: c.p_value for c in point.tests}
    assert point.p_value == max(known[s] for s in statements)
    assert 0 < point.p_value < LEVEL


def test_labels_and_tests_agree_at_every_rate_and_width():
    rng = np.random.default_rng(1)
    for rho, half in zip(rng.uniform(0.5, 2.5, 200), rng.uniform(0.01, 0.4, 200), strict=True):
        point = place(measured(rho, half), RICH, depth_exponent=1.0)
        significant = {c.statement for c in point.tests if c.p_value < LEVEL}
        assert (point.label is Label.CLASSICAL) == ("|rho - 1| < 0.1" in significant)
        assert (point.label is Label.BELOW_CLASSICAL) == ("rho < 0.9" in significant)
        assert (point.label is Label.ALARM) == ("rho > 2 (ceiling)" in significant)
        assert math.isnan(point.p_value) == (point.label is Label.UNDECIDED)


def test_an_undecided_family_shows_its_tests_and_claims_nothing():
    point = place(measured(1.0, 0.3), RICH)
    assert len(point.tests) == 6
    assert math.isnan(point.p_value)
    assert place(fit_rate(SIZES, np.full(8, np.nan)), RICH).tests == ()


def test_without_a_ceiling_none_is_tested():
    statements = [c.statement for c in place(measured(1.5), RICH, activation="tanh").tests]
    assert not any("ceiling" in s for s in statements)


def test_holm_matches_closed_testing_with_bonferroni():
    # Holm's procedure is the shortcut of closed testing: a claim stands if every set of hypotheses that holds it is
    # rejected by Bonferroni; its adjusted p-value is the largest of |set| * smallest p over those sets.
    rng = np.random.default_rng(0)
    for _ in range(30):
        p = rng.choice([0.001, 0.01, 0.02, 0.03, 0.2, 1.0], size=5)
        closed = [
            max(
                min(1.0, sum(members) * min(v for v, m in zip(p, members, strict=True) if m))
                for members in itertools.product([False, True], repeat=5)
                if members[i]
            )
            for i in range(5)
        ]
        assert holm(list(p)) == pytest.approx(closed)


def test_one_family_keeps_its_label_when_placed_together():
    point = place(measured(1.0, 0.09), RICH, depth_exponent=1.0)
    (after,) = place_all([point])
    assert after.label is Label.CLASSICAL
    assert (after.p_holm, after.label_alone) == (point.p_value, Label.CLASSICAL)


def test_a_label_that_does_not_survive_is_undecided_and_says_so():
    weak, strong = (place(measured(1.0, half), RICH, depth_exponent=1.0) for half in (0.095, 0.01))
    unsure = place(measured(1.0, 0.5), RICH)
    after = place_all([weak, strong, unsure])
    assert [p.label for p in after] == [Label.UNDECIDED, Label.CLASSICAL, Label.UNDECIDED]
    assert [p.label_alone for p in after] == [Label.CLASSICAL, Label.CLASSICAL, Label.UNDECIDED]
    assert after[0].p_holm == pytest.approx(2 * weak.p_value)  # second smallest of three
    assert "Alone the family would be CLASSICAL" in after[0].reasons[0]
    assert after[0].binding is None
    assert place_all(after)[0].label is Label.UNDECIDED
    assert not math.isfinite(after[2].p_holm)


def test_labels_without_a_test_stay_and_do_not_count():
    analytic = Regularity(smoothness=math.inf, dim=1, kind="analytic")
    easy = place(measured(2.0), analytic)
    weak = place(measured(1.0, 0.095), RICH, depth_exponent=1.0)
    after = place_all([easy, weak, easy])
    assert [p.label for p in after] == [Label.EASY_TARGET, Label.CLASSICAL, Label.EASY_TARGET]
    assert math.isnan(after[0].p_holm)


def test_false_labels_among_many_families_are_rare():
    # 20 families whose true rho is exactly 0.9: any CLASSICAL or BELOW CLASSICAL is wrong. Alone about 5 % get one
    # each, so most studies hold a wrong label; together at most 5 % of the studies may, up to simulation error.
    rng, sd, alone, together = np.random.default_rng(3), 0.02, 0, 0
    half = sd * NormalDist().inv_cdf(0.975)
    for _ in range(60):
        points = [place(measured(rho, half), RICH, depth_exponent=1.0) for rho in rng.normal(0.9, sd, 20)]
        alone += any(p.decided for p in points)
        together += any(p.decided for p in place_all(points))
    assert alone > 25
    assert together <= 8  # binomial(60, .05) exceeds 8 with probability below 1 %


def test_an_alarm_tells_what_is_known_of_its_causes():
    whole = Regularity(smoothness=1.0, dim=1, information_rich=True)
    sure = place(measured(2.5, regularity=whole, asymptotic=True), whole, certified=True, **EXACT)
    unsure = place(measured(2.5, asymptotic=False), RICH, certified=False, **EXACT)
    assert sure.label is unsure.label is Label.ALARM
    for point, words in (
        (sure, ("is certified", "no drift", "r is an integer")),
        (unsure, ("not every error is certified", "not in the asymptotic range")),
    ):
        known = " ".join(r for r in point.reasons if r.startswith("Known:"))
        assert all(w in known for w in words)
    assert not any("Known: not every" in r or "an integer" in r for r in place(measured(2.5), RICH, **EXACT).reasons)


def test_jumps_have_no_place_in_the_sup_norm():
    jump = Regularity(smoothness=0.5, dim=2, kind="jump")
    point = place(measured(1.0, regularity=jump), jump)
    assert point.label is Label.UNDECIDED
    assert "norm='l2'" in point.reasons[0]
    assert math.isnan(point.p_value)
    assert place(measured(1.0, regularity=jump), jump, norm="l2").label is Label.CLASSICAL


@pytest.mark.parametrize(
    ("activation", "regularity", "options", "label", "words"),
    [
        ("sin", EASY, {}, Label.EASY_TARGET, "proves nothing"),
        ("relu", EASY, {}, Label.EASY_TARGET, "proves nothing"),
        ("sin", RICH, {}, Label.TRANSIENT, "bounded number of bits"),
        ("relu+sin", RICH, EXACT, Label.DEEP, "periodic activation allows"),
        ("sin", RICH, EXACT | {"past_crossover": None}, Label.UNDECIDED, "Give past_crossover"),
        ("relu", RICH, EXACT, Label.UNDECIDED, "a finite range, or a flaw"),
        ("tanh", RICH, EXACT, Label.UNDECIDED, "a finite range, or a flaw"),
    ],
)
def test_laws_without_an_exponent_are_placed_by_what_theory_allows(activation, regularity, options, label, words):
    law = measured(1.5, model="stretched-exponential", verdict="undetermined", gamma_interval=(0.4, 0.6))
    point = place(law, regularity, activation=activation, **options)
    assert point.label is label
    assert any(words in r for r in point.reasons)
    assert any("gamma in [0.40, 0.60]" in r for r in point.reasons)
    assert point.tests == ()
    assert math.isnan(point.p_value)
    assert (set(CAUSES) <= set(point.reasons)) == (label is Label.UNDECIDED and activation != "sin")


def test_classes_with_a_logarithm_are_remarked_on():
    for kind in ("zygmund", "lipschitz-log"):
        law = Regularity(smoothness=1.0, dim=1, kind=kind)
        reasons = place(measured(1.0, regularity=law), law).reasons
        assert any("logarithm" in r for r in reasons)


def test_only_places_can_be_placed_together():
    with pytest.raises(TypeError, match=r"points must be PhasePoints\. Got float"):
        place_all([1.0])


def test_a_slope_above_a_proven_law_is_no_alarm_but_undecided():
    """A construction whose laws prove rho = 2 may look steeper where logarithms of its count melt; without that, alarm."""
    sizes = np.array([400, 800, 1600, 3200, 6400.0])
    law = Regularity(smoothness=0.5, dim=1, information_rich=True)
    rate = fit_rate(sizes, [w**-1.3 for w in sizes])
    given = {"depth_exponent": 1.0, "exact_weights": True, "bits_exponent": 1.0, "past_crossover": True}
    assert place(rate, law, **given).label == "ALARM"
    point = place(rate, law, **given, proven_rate=1.0)
    assert point.label == "UNDECIDED"
    assert "lower order" in " ".join(point.reasons)
    assert place(rate, law, **given, proven_rate=1.2).label == "ALARM"
