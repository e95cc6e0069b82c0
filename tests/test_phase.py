"""Places on the diagram: every label, and what must not be labelled."""

import dataclasses
import math

import numpy as np
import pytest

from approxrates import activations
from approxrates.phase import CAUSES, Label, PhasePoint, place
from approxrates.rates import fit_rate
from approxrates.regularity import Regularity

RICH = Regularity(smoothness=0.5, dim=1, sharp=True, information_rich=True)
EASY = dataclasses.replace(RICH, information_rich=False)
SIZES = np.geomspace(100, 10_000, 8)
EXACT = {"depth_exponent": 1.0, "exact_weights": True, "bits_exponent": 1.0, "past_crossover": True}


def measured(rho, half=0.01, regularity=RICH):
    """A rate with this normalised value and half width."""
    rate = fit_rate(SIZES, 1 / SIZES)
    p, width = (v * regularity.smoothness / regularity.dim for v in (rho, half))
    return dataclasses.replace(rate, value=p, interval=(p - width, p + width))


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
        (1.0, {"depth_exponent": 1.0, "sample_exponent": 1.0}, "bits"),
    ],
)
def test_the_binding_constraint_is_the_term_of_the_law_that_is_reached(rho, options, binding):
    assert place(measured(rho, 0.05), RICH, **options).binding == binding


def test_nothing_binds_on_an_easy_target():
    assert place(measured(1.0), EASY, depth_exponent=1.0).binding is None


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
