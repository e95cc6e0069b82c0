"""Runs against certified lower curves: which curve applies, what it says, and that a violation is seen."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog

from approxrates.generators.bump_tree import bump_tree, default_setting, margin
from approxrates.generators.faber_tree import faber_tree
from approxrates.records import records_from_table
from approxrates.records.bounds import BOUND_COLUMNS, bounds_of, tree_of

FABER = {"name": "faber_tree", "smoothness": 0.5, "dim": 1, "seed": 3}
ROW = {
    "status": "ok", "target": "faber_tree", "parameters": FABER, "smoothness": 0.5, "dim": 1, "method": "train",
    "activation": "relu", "width": 12, "depth": 16, "n_params": 2377, "n_params_dense": 2377, "max_bits": 53,
    "pieces": 100, "error_sup_upper": 0.1,
}  # fmt: skip


def bounds(**changes):
    row = ROW | changes
    return {b.curve: b for b in bounds_of(row, tree_of(row))}


def checked(**changes):
    row = {k: v for k, v in ROW.items() if k not in ("parameters", "error_sup_upper")} | {"error_sup": 0.1} | changes
    return records_from_table(pd.DataFrame([row])).check_bounds()


def test_all_three_curves_apply_to_a_relu_network_on_a_faber_tree():
    found = bounds()
    # 128 > 99 cells: level 7. 64 * 2377 + 20 <= 2^18. Patterns of width 12, depth 16: level 19 (tests of theory).
    assert {c: b.value for c, b in found.items()} == pytest.approx(
        {"pieces": 2**-3.5 / 2, "bits": 2**-9.0 / 2, "real weights": 2**-9.5 / 2}, rel=1e-12
    )
    assert {c: b.conditional for c, b in found.items()} == {"pieces": False, "bits": True, "real weights": True}


@pytest.mark.parametrize(
    ("changes", "curves"),
    [
        ({"activation": "tanh", "pieces": None}, {"bits"}),
        ({"activation": "sin", "pieces": None, "max_bits": 80}, set()),
        ({"activation": "relu+sin", "pieces": None}, {"bits"}),
        ({"activation": "triangle"}, {"pieces", "bits"}),
        ({"activation": "relu2", "pieces": None}, {"bits", "real weights"}),
        ({"activation": "heaviside", "pieces": None}, {"bits", "real weights"}),
        ({"max_bits": 54}, {"pieces", "real weights"}),
        ({"max_bits": None, "width": None}, {"pieces"}),
        ({"parameters": FABER | {"dim": 2}}, {"bits", "real weights"}),
        ({"parameters": {"name": "bump_tree", "smoothness": 0.5, "dim": 1}}, {"bits", "real weights"}),
        ({"parameters": {"name": "bump_tree", "smoothness": 1.5, "dim": 1}}, {"pieces", "bits", "real weights"}),
        ({"activation": "unheard_of", "pieces": None}, {"bits"}),
        ({"method": "reference", "pieces": None}, {"bits"}),
    ],
)
def test_a_curve_applies_only_where_it_is_proved(changes, curves):
    assert set(bounds(**changes)) == curves


@pytest.mark.parametrize(
    "parameters",
    [
        {"name": "takagi", "smoothness": 0.5, "dim": 1},
        {"name": "weierstrass", "smoothness": 0.5, "dim": 1},
        {"name": "sparse_tree", "smoothness": 0.5, "dim": 1},
        FABER | {"smoothness": 2.5},
    ],
    ids=lambda p: f"{p['name']} {p['smoothness']}",
)
def test_other_targets_have_no_certified_curve(parameters):
    assert tree_of(ROW | {"parameters": parameters}) is None


def test_a_table_is_taken_at_its_word_only_without_options():
    row = {k: v for k, v in ROW.items() if k != "parameters"}
    assert tree_of(row) == tree_of(ROW)
    assert tree_of(row | {"target_options": "levels=3"}) is None


def test_the_curves_know_base_margin_and_levels_of_bump_trees():
    plain = tree_of(ROW | {"parameters": {"name": "bump_tree", "smoothness": 1.5, "dim": 1}})
    assert (plain.base, plain.n_points - 1) == default_setting(1.5)
    assert plain.kappa == pytest.approx(float(margin(1.5, plain.base, plain.n_points - 1)))
    assert plain.base**plain.levels >= 2**40
    other = {"name": "bump_tree", "smoothness": 2.5, "dim": 1, "base": 8, "order": 5, "levels": 6}
    tree = tree_of(ROW | {"parameters": other})
    assert (tree.base, tree.n_points, tree.levels, tree.stored) == (8, 6, 6, 0)
    assert tree.kappa == pytest.approx(float(margin(2.5, 8, 5)))


def test_true_random_signs_make_the_curves_unconditional_down_to_the_stored_level():
    stored = FABER | {"signs": "stored"}
    assert not bounds(parameters=stored)["bits"].conditional  # level 18 of the stored 0 ... 19
    assert not bounds(parameters=stored)["real weights"].conditional
    deep = bounds(parameters=stored, n_params_dense=20_000, depth=200)
    assert deep["bits"].conditional
    assert deep["real weights"].conditional


def test_single_precision_counts_32_bits_only_if_every_weight_fits():
    short, long = (bounds(dtype="float32", max_bits=bits)["bits"].value for bits in (24, 25))
    assert short == pytest.approx(2**-8.5 / 2)  # 32 * 2377 + 20 <= 2^17
    assert long == pytest.approx(2**-9.0 / 2)


def test_trees_that_are_too_short_prove_nothing():
    assert bounds(parameters=FABER | {"levels": 7})["pieces"].value == 0.0
    assert bounds(parameters=FABER | {"levels": 8})["pieces"].value > 0.0


def test_an_error_below_a_curve_is_a_violation_and_one_above_is_not():
    bound = 2**-3.5 / 2
    for error, ok in ((bound * 1.001, True), (bound * 0.999, False)):
        row = checked(error_sup=error).iloc[0]
        assert bool(row.ok) is ok
        assert (row.curve, row.bound) == ("pieces", pytest.approx(bound))
        assert row.ratio == pytest.approx(error / bound)


def test_one_row_per_run_on_a_tree_with_the_sharpest_curve():
    rows = [ROW | {"error_sup": 0.1, "replica": i} for i in range(3)] + [ROW | {"target": "takagi", "error_sup": 0.1}]
    rows += [ROW | {"status": "diverged"}, ROW | {"error_sup": 0.1, "pieces": 10**7}]
    frame = records_from_table(pd.DataFrame(rows).drop(columns=["parameters", "error_sup_upper"])).check_bounds()
    assert list(frame.columns) == list(BOUND_COLUMNS)
    assert frame.curve.tolist() == ["pieces"] * 3 + ["bits"]
    assert frame.conditional.tolist() == [False] * 3 + [True]
    assert frame.ok.all()


def test_records_without_a_tree_give_an_empty_frame():
    frame = checked(target="takagi")
    assert list(frame.columns) == list(BOUND_COLUMNS)
    assert not len(frame)


def least_error(x, y, knots):
    """Least sup error on the points over continuous piecewise-linear functions with these knots: a linear program."""
    nodes = np.array([0.0, *knots, 1.0])
    hats = np.array([np.interp(x, nodes, unit) for unit in np.eye(len(nodes))]).T
    ones = np.ones((len(x), 1))
    matrix = np.vstack([np.hstack([hats, -ones]), np.hstack([-hats, -ones])])
    free = [(None, None)] * len(nodes) + [(0, None)]
    return linprog(np.r_[np.zeros(len(nodes)), 1.0], A_ub=matrix, b_ub=np.r_[y, -y], bounds=free).fun


@pytest.mark.parametrize(
    ("make", "name", "smoothness"),
    [(faber_tree, "faber_tree", 0.5), (bump_tree, "bump_tree", 1.5), (bump_tree, "bump_tree", 2.5)],
    ids=["faber .5", "bump 1.5", "bump 2.5"],
)
def test_no_piecewise_linear_function_on_a_real_tree_beats_the_bound_by_pieces(make, name, smoothness):
    parameters = {"name": name, "smoothness": smoothness, "dim": 1}
    for seed, n_knots in itertools.product((0, 1), (0, 1, 2)):
        target = make(smoothness, seed=seed)
        x = np.arange(257) / 256
        y = target(x)
        grid = np.arange(1, 16) / 16
        best = min(least_error(x, y, knots) for knots in itertools.combinations(grid, n_knots))
        assert best >= bounds(parameters=parameters, pieces=n_knots + 1)["pieces"].value * (1 - 1e-9)


def test_interpolants_are_certified_above_their_curve_and_not_far():
    from approxrates.constructions import construct
    from approxrates.errors import approximation_error

    for smoothness, cells in itertools.product((0.25, 0.75), (32, 128)):
        target = faber_tree(smoothness, seed=5)
        network = construct("interpolation", target, n_params=3 * cells + 1)
        error = approximation_error(network, target)
        found = bounds(parameters=FABER | {"smoothness": smoothness}, pieces=error.pieces)["pieces"].value
        assert error.pieces == cells
        assert 1 <= error.sup[1] / found <= (4 / 3) / (1 - 2**-smoothness)


def test_bounds_are_finite_numbers():
    assert all(math.isfinite(b.value) and b.value >= 0 for b in bounds(n_params_dense=10**6, depth=1000).values())
