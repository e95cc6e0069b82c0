"""What constructions declare, as records read it: terms of lower order, depth, crossover, growth of bits."""

import math

import numpy as np
import pytest

import approxrates as ar
from approxrates.records.crossover import past_crossover
from approxrates.records.declared import declared_depth, lower_order, lower_orders

ROW = {"method": "construct", "construction": "yarotsky2020_deep", "activation": "relu", "smoothness": 0.5, "dim": 1}


@pytest.mark.parametrize("options", [{}, {"depth_exponent": 0.5}, {"max_bits": 32}])
def test_lower_order_is_what_the_count_has_beyond_cells_and_steps(options):
    """Against the network itself: parameters less N + 13 M."""
    target = ar.load_target("faber_tree", smoothness=0.5, dim=1, seed=0)
    network = ar.construct("yarotsky2020_deep_line", target, n_params=900, **options)
    row = ROW | {"construction": "yarotsky2020_deep_line", "n_params_limit": 900, "n_params": network.n_params}
    sizes = network.provenance
    assert lower_order(row | {"made_options": options}) == network.n_params - sizes["cells"] - 13 * sizes["steps"]


def test_nothing_is_taken_off_where_no_law_is_declared():
    sized = ROW | {"n_params_limit": 900, "n_params": 890, "made_options": {}}
    assert lower_order(sized) > 100
    for other in (
        {"construction": "interpolation"},
        {"activation": "relu2"},
        {"method": "train"},
        {"n_params_limit": None},
        {"dim": 2},
        {"made_options": {"cells": 64}},
    ):
        assert lower_order(sized | other) == 0.0
    assert lower_orders([[sized | {"construction": "interpolation"}]]) is None
    assert lower_order(sized | {"made_options": {"activation": "relu"}}) == lower_order(sized)


def test_depth_is_declared_by_the_knob():
    assert declared_depth(ROW | {"made_options": {"depth_exponent": 0.25}}) == 0.25
    assert declared_depth(ROW | {"made_options": {}}) == 1.0
    for other in ({"made_options": {"max_bits": 32}}, {"smoothness": 1.5}, {"construction": "interpolation"}):
        assert math.isnan(declared_depth(ROW | other))


def test_the_crossover_asks_the_two_last_sizes():
    sizes = np.array([100.0, 200, 400, 800])
    line = sizes**-0.5
    assert past_crossover(sizes, line * [2, 1.5, 0.9, 0.7], sizes, line) is True
    assert past_crossover(sizes, line * [0.5, 0.5, 1.1, 1.2], sizes, line) is False
    assert past_crossover(sizes, line * [2, 2, 1.1, 0.9], sizes, line) is None
    assert past_crossover(2 * sizes, (2 * sizes) ** -0.5 * 0.9, sizes, line) is True  # continued beyond the last size
    assert past_crossover(sizes, line * np.nan, sizes, line) is None
