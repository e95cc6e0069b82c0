"""Layers: shapes are checked, structural zeros are not counted."""

import numpy as np
import pytest

from approxrates.layers import Layer, unit_groups


def test_counts_are_those_of_the_masks():
    layer = Layer(
        np.array([[1.0, 0.0], [0.0, 2.0]]),
        np.array([0.0, 3.0]),
        ("relu", "relu"),
        np.eye(2) > 0,
        np.array([False, True]),
    )
    assert layer.n_params == 3
    assert layer.n_params_dense == 6
    assert layer.parameters().tolist() == [1.0, 2.0, 3.0]


def test_without_masks_every_scalar_is_a_parameter_even_if_it_is_zero():
    layer = Layer(np.zeros((2, 3)), None, ("relu", "sin"))
    assert layer.n_params == layer.n_params_dense == len(layer.parameters()) == 6


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((np.zeros(3), None, ("relu",)), ValueError, r"weight must have shape \(n_out, n_in\)"),
        ((np.zeros((2, 1)), np.zeros(3), ("relu", "relu")), ValueError, "bias must have shape"),
        ((np.zeros((2, 1)), None, ("relu",)), ValueError, "one code per unit"),
        ((np.ones((1, 1)), None, ("relu",), np.zeros((1, 1), bool)), ValueError, "zero outside its mask"),
        ((np.ones((1, 1)), None, ("relu",), np.zeros((1, 2), bool)), ValueError, "shape of weight"),
        ((np.ones((1, 1)), None, ("relu",), None, np.zeros(1, bool)), ValueError, "shape of bias"),
        ((np.ones((1, 1), np.float32), None, ("relu",)), TypeError, "float64"),
        (([[1.0]], None, ("relu",)), TypeError, "numpy array"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        Layer(*arguments)


def test_units_are_grouped_by_code_and_every_unit_once():
    groups = dict(unit_groups(("relu", "sin", "relu", "sin", "abs", "abs")))
    index = np.arange(6)
    assert {code: index[rows].tolist() for code, rows in groups.items()} == {
        "relu": [0, 2],
        "sin": [1, 3],
        "abs": [4, 5],
    }
    assert isinstance(groups["abs"], slice)
