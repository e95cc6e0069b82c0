"""Regularity: the Hölder convention, and what may not be claimed."""

import dataclasses
import math

import pytest

from approxrates.regularity import CLASSES, Regularity


@pytest.mark.parametrize(
    ("r", "order", "exponent"), [(0.5, 0, 0.5), (1.0, 0, 1.0), (1.5, 1, 0.5), (2.0, 1, 1.0), (2.25, 2, 0.25)]
)
def test_smoothness_splits_into_derivatives_and_a_holder_exponent_in_0_1(r, order, exponent):
    regularity = Regularity(r, 1)
    assert (regularity.order, regularity.exponent) == (order, exponent)


def test_infinite_smoothness_has_no_order():
    regularity = Regularity(math.inf, 2, "analytic")
    assert not regularity.is_finite
    with pytest.raises(ValueError, match="no order"):
        _ = regularity.order


def test_smoothness_is_a_float_whatever_number_came():
    assert Regularity(2, 1) == Regularity(2.0, 1)
    assert isinstance(Regularity(2, 1).smoothness, float)


def test_a_claim_cannot_be_changed_afterwards():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Regularity(0.5, 1).smoothness = 2.0


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_is_accepted(kind):
    assert Regularity(1.0, 1, kind).kind == kind


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"smoothness": 0.0}, ValueError, "smoothness must be positive"),
        ({"smoothness": math.nan}, ValueError, "smoothness must be positive"),
        ({"smoothness": "0.5"}, TypeError, "smoothness must be a number"),
        ({"smoothness": True}, TypeError, "smoothness must be a number"),
        ({"dim": 0}, ValueError, "dim must be at least 1"),
        ({"dim": 1.0}, TypeError, "dim must be an integer"),
        ({"kind": "hoelder"}, ValueError, "kind must be one of"),
        ({"radius": -1.0}, ValueError, "radius must be"),
        ({"radius": math.inf}, ValueError, "radius must be"),
    ],
    ids=lambda v: "" if isinstance(v, type) else str(v),
)
def test_impossible_claims_are_refused_in_one_line(values, error, message):
    with pytest.raises(error, match=message) as caught:
        Regularity(**{"smoothness": 0.5, "dim": 1, **values})
    assert "\n" not in str(caught.value)
