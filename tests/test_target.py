"""Targets: shapes and kinds at the front door, identity, functions and data of the user's."""

import math
import pickle
from fractions import Fraction

import numpy as np
import pytest
import torch

from approxrates import catalogue
from approxrates.regularity import Regularity
from approxrates.target import Target

HALF = Regularity(0.5, 1)


def square(x):
    return x[:, 0] ** 2


def plane(x):
    return x.sum(axis=1)[:, None]


def test_a_callable_becomes_a_target_that_knows_its_name_and_dimension():
    target = Target.from_callable(square, Regularity(math.inf, 1, "polynomial"))
    assert (target.name, target.dim, target.tail()) == ("square", 1, 0.0)
    assert target.parameters == {"callable": f"{__name__}:square", "smoothness": "inf", "dim": 1}


def test_bare_numbers_are_points_when_there_is_one_coordinate():
    target = Target.from_callable(square, HALF)
    x = np.linspace(0, 1, 7)
    assert np.array_equal(target(x), target(x[:, None]))
    assert np.array_equal(target(x.tolist()), x**2)


def test_tensors_come_back_as_tensors_with_the_same_values():
    target = Target.from_callable(plane, Regularity(0.5, 3))
    x = np.random.default_rng(0).random((9, 3))
    values = target(torch.from_numpy(x).requires_grad_())
    assert isinstance(values, torch.Tensor)
    assert values.dtype is torch.float64
    assert np.array_equal(values.numpy(), target(x))


def test_a_single_column_of_values_is_flattened():
    target = Target.from_callable(plane, Regularity(0.5, 2))
    assert target(np.zeros((4, 2))).shape == (4,)


def test_no_points_give_no_values():
    assert Target.from_callable(square, HALF)(np.empty((0, 1))).shape == (0,)


def test_calling_does_not_change_the_points():
    x = np.array([0.25, 1.0])
    Target.from_callable(lambda p: p.__imul__(2.0)[:, 0], HALF)(x)
    assert list(x) == [0.25, 1.0]


def test_equal_parameters_are_equal_targets_with_equal_hashes():
    first, second = (Target.from_callable(square, HALF) for _ in range(2))
    other = Target.from_callable(square, Regularity(0.25, 1))
    assert first == second
    assert hash(first) == hash(second)
    assert first != other
    assert first != "square"


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((3, 2)), r"shape \(n, dim\) with dim=1. Got shape \(3, 2\)"),
        (np.zeros((3, 1, 1)), r"Got shape \(3, 1, 1\)"),
        (np.array([0.5, 1.5]), r"\[0, 1\]\^1. Got values in \[0.5, 1.5\]"),
        (np.array([0.5, np.nan]), r"must lie in \[0, 1\]"),
    ],
    ids=["columns", "axes", "outside", "nan"],
)
def test_points_of_a_wrong_shape_or_place_are_refused(x, message):
    with pytest.raises(ValueError, match=message):
        Target.from_callable(square, HALF)(x)


def test_points_that_are_no_numbers_are_refused():
    with pytest.raises(TypeError, match="x must be an array of numbers"):
        Target.from_callable(square, HALF)(["a"])
    with pytest.raises(TypeError, match=r"x must be an array of real numbers\. Got complex ones\. Write x\.real\."):
        Target.from_callable(square, HALF)(np.array([0.5 + 0.1j]))
    with pytest.raises(TypeError, match=r"x must be an array of numbers\. Got a tensor of torch\.float32 on meta"):
        Target.from_callable(square, HALF)(torch.empty(3, device="meta"))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x[:2, 0], r"must map \(n, 1\) to \(n,\)"),
        (lambda x: np.stack([x[:, 0]] * 2, axis=1), r"must map \(n, 1\) to \(n,\)"),
        (lambda x: 1.0 / np.where(x[:, 0] == 0.0, np.nan, x[:, 0]), r"must be finite .* Got nan at x=\[0.0\]"),
        (lambda x: x[:, 0] + 1j, r"<lambda> must return real numbers\. Got complex128\. Mend"),
        (lambda x: ["a"] * len(x), r"<lambda> must return real numbers\. Got list\. Mend"),
        (
            lambda x: 1 / 0,
            r"<lambda> must have a value at every point .* Got ZeroDivisionError: division by zero\. Mend",
        ),
    ],
    ids=["too few", "two columns", "nan", "complex", "text", "raises"],
)
def test_a_bad_function_is_found_before_it_is_used(function, message):
    with pytest.raises(ValueError, match=message):
        Target.from_callable(function, HALF)


def test_kinds_are_checked():
    with pytest.raises(TypeError, match="function must be callable"):
        Target.from_callable(3, HALF)
    with pytest.raises(TypeError, match="regularity must be a Regularity"):
        Target.from_callable(square, 0.5)
    with pytest.raises(TypeError, match="regularity must be a Regularity"):
        Target.from_data([0.0], [0.0], 0.5)
    with pytest.raises(TypeError, match="x must be an array of numbers"):
        Target.from_data(["a"], [0.0], HALF)


def test_exact_values_are_asked_at_rationals_in_the_cube():
    target = Target(
        name="identity",
        regularity=HALF,
        parameters={},
        evaluate=lambda x: x[:, 0],
        exact_evaluate=lambda point: point[0],
    )
    assert target.exact([Fraction(1, 3), (0.5,), "1/7", np.float32(0.25)]) == [
        Fraction(1, 3),
        Fraction(1, 2),
        Fraction(1, 7),
        Fraction(1, 4),
    ]
    for point, message in ((2, "must lie in"), ((0, 0), "dim=1 coordinates"), (math.nan, "finite rationals")):
        with pytest.raises(ValueError, match=message):
            target.exact([point])


def test_a_function_of_the_user_has_no_exact_values():
    with pytest.raises(ValueError, match="square has no exact evaluation"):
        Target.from_callable(square, HALF).exact([0])


def test_data_is_found_again_whatever_its_order_and_only_there():
    x = np.array([[0.5, 0.0], [0.0, 1.0], [0.0, 0.25]])
    y = np.array([1.0, 2.0, 3.0])
    target, shuffled = (Target.from_data(x[i], y[i], Regularity(1.5, 2)) for i in ([0, 1, 2], [2, 0, 1]))
    assert target == shuffled
    assert np.array_equal(target(x), y)
    assert np.array_equal(target(np.array([[-0.0, 1.0]])), [2.0])
    assert np.array_equal(target.samples[0], sorted(x.tolist()))
    with pytest.raises(ValueError, match="known only at its 3 data points"):
        target(np.array([[0.5, 0.5]]))


def test_other_data_is_another_target():
    assert Target.from_data([0.0, 1.0], [0.0, 1.0], HALF) != Target.from_data([0.0, 1.0], [0.0, 2.0], HALF)


def test_data_may_come_as_tensors():
    x, y = torch.linspace(0, 1, 5), torch.ones(5, requires_grad=True)
    assert np.array_equal(Target.from_data(x, y, HALF)(x.double()).numpy(), np.ones(5))


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([0.0, 1.0], [0.0], r"y must have shape \(n,\) = \(2,\)"),
        ([[0.0, 1.0]], [0.0], "x must have shape"),
        ([], [], "n >= 1"),
        ([0.0, np.nan], [0.0, 0.0], "must be finite"),
        ([0.0, 1.0], [0.0, np.inf], "must be finite"),
        ([0.0, 2.0], [0.0, 0.0], r"must lie in \[0, 1\]"),
        ([0.5, 0.5], [0.0, 0.0], "must not repeat a point"),
    ],
    ids=["lengths", "columns", "empty", "nan x", "inf y", "outside", "repeated"],
)
def test_bad_data_is_refused(x, y, message):
    with pytest.raises(ValueError, match=message):
        Target.from_data(x, y, HALF)


def test_functions_and_data_survive_pickling():
    x = np.linspace(0, 1, 5)
    for target in (Target.from_callable(square, HALF), Target.from_data(x, x**2, HALF)):
        again = pickle.loads(pickle.dumps(target))
        assert again == target
        assert np.array_equal(again(x), x**2)


@pytest.mark.parametrize("name", catalogue.families())
def test_every_target_of_the_catalogue_survives_pickling(name):
    claims = catalogue.describe(name)
    x = np.random.default_rng(0).random((50, claims.dims[0]))
    for r in claims.smoothness.values:
        target = catalogue.load_target(name, smoothness=r, dim=claims.dims[0], seed=3)
        again = pickle.loads(pickle.dumps(target))
        assert again == target
        assert np.array_equal(again(x), target(x))
        point = (Fraction(1, 3),) * target.dim
        assert str(again.exact([point])) == str(target.exact([point]))
        if target.interpolation_gap is not None:
            assert again.interpolation_gap(3) == target.interpolation_gap(3) >= 0
