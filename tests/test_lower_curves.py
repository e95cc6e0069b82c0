"""Certified curves in figures and findings: drawn where they apply, said with their ground, loud when violated."""

import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import approxrates as ar
from approxrates import theory
from approxrates.plots import drawn_numbers, plot_rates, plot_sandwich, save_figure
from approxrates.plots.lower_curves import CONTINUOUS, _text, certified_curves
from approxrates.records import records_from_table
from approxrates.records.bounds import tree_of
from approxrates.report.findings import bound_lines, summary_lines, target_findings

LAWS = (0.25, 0.5, 0.75)


def upper(cells, r):
    return float(theory.dyadic_interpolation_upper_curve(math.log2(cells), r))


def rows(laws=LAWS, trained=1.3, factor=0.9, **columns):
    """Interpolants a little below their upper curve, and one-layer networks above them."""
    base = {"target": "faber_tree", "dim": 1, "activation": "relu", "depth": 1, "certified": True, "max_bits": 53}
    made = []
    for r in laws:
        for k in range(3, 9):
            own = {"smoothness": r, "pieces": 2**k, "width": 2**k + 1, "n_params": 3 * 2**k + 1, "target_seed": 0}
            built = base | own | {"method": "construct", "construction": "interpolation"}
            made.append(built | {"error_sup": factor * upper(2**k, r)} | columns)
            made.append(base | own | {"method": "train", "error_sup": trained * upper(2**k, r)} | columns)
    return made


def records(table):
    return records_from_table(pd.DataFrame(table))


def test_the_sandwich_has_one_panel_for_each_smoothness_and_every_run():
    ax = plot_sandwich(records(rows()))
    assert [a.get_title(loc="left") for a in ax.figure.axes] == [f"r = {r:g}" for r in LAWS]
    numbers = drawn_numbers(ax.figure)
    assert len(numbers) == 3 * 12
    assert numbers.ok.all()
    marks = [line for line in ax.lines if line.get_linestyle() == "None" and len(line.get_xdata())]
    assert sorted(len(line.get_xdata()) for line in marks) == [6, 6]


def test_the_curves_of_the_sandwich_are_those_of_theory():
    ax = plot_sandwich(records(rows(laws=(0.5,))))
    lower, top = (line for line in ax.lines if line.get_linestyle() in ("-", "--"))
    for pieces, bound in zip(lower.get_xdata(), lower.get_ydata(), strict=True):
        assert bound == pytest.approx(float(theory.free_knot_lower_curve(math.floor(pieces), 0.5)))
    for cells, bound in zip(top.get_xdata(), top.get_ydata(), strict=True):
        assert bound == pytest.approx(upper(cells, 0.5))


def test_the_sandwich_leaves_out_what_no_theorem_speaks_of():
    table = rows(laws=(0.5,))
    strange = [
        table[1] | {"depth": 3},
        table[1] | {"activation": "tanh", "pieces": None},
        table[1] | {"target": "takagi"},
        table[1] | {"target": "bump_tree", "smoothness": 1.5},
        table[1] | {"dim": 2},
    ]
    assert len(drawn_numbers(plot_sandwich(records(table + strange)).figure)) == 12
    with pytest.raises(ValueError, match="Got none"):
        plot_sandwich(records(strange))
    with pytest.raises(ValueError, match="one smoothness"):
        plot_sandwich(records(rows()), ax=Figure().add_subplot())
    with pytest.raises(TypeError, match="records must be Records"):
        plot_sandwich(table)


def test_the_sandwich_is_saved_with_its_numbers(tmp_path):
    written = save_figure(plot_sandwich(records(rows())), tmp_path / "sandwich", formats=("svg",))
    assert len(pd.read_csv(written[-1])) == 36


def curves_of(table, x="n_params"):
    families = records(table).families(x=x)
    return {name: (sizes, bounds) for name, sizes, bounds in certified_curves(families, x)}


def test_certified_curves_of_a_panel_lie_below_every_error_and_are_exact_where_they_are_functions_of_size():
    table = rows(laws=(0.5,))
    by_size = curves_of(table)
    assert set(by_size) == {"pieces", "bits", "real weights"}
    sizes, bounds = by_size["bits"]
    assert bounds == pytest.approx(theory.bits_lower_curve(sizes, 64, 0.5))
    least = min(row["error_sup"] for row in table)
    assert all((bounds[-1] < least) and (np.diff(bounds) <= 0).all() for _, bounds in by_size.values())
    pieces, bounds = curves_of(table, "pieces")["pieces"]
    assert bounds == pytest.approx(theory.free_knot_lower_curve(pieces, 0.5))
    assert curves_of(table, "width") == {}


def test_curves_far_below_the_errors_are_left_out():
    table = [row | {"target": "bump_tree", "smoothness": 2.5} for row in rows(laws=(0.5,))]
    assert set(curves_of(table)) <= {"pieces"}


def test_curves_of_other_targets_and_norms_are_not_drawn():
    assert curves_of([row | {"target": "takagi"} for row in rows(laws=(0.5,))]) == {}
    mixed = records(rows(laws=(0.25, 0.5))).families()
    assert certified_curves(mixed, "n_params") == []
    table = [row | {"error_l2": row["error_sup"] / 3} for row in rows(laws=(0.5,))]
    assert certified_curves(records(table).families(norm="l2"), "n_params") == []


def texts(figure):
    return [t.get_text() for ax in figure.axes for t in ax.texts] + [
        t.get_text() for legend in figure.legends for t in legend.get_texts()
    ]


def test_rate_plots_say_what_a_curve_rests_on():
    said = texts(plot_rates(records(rows(laws=(0.5,)))).figure)
    assert "certified ≥ (own pieces)" in said
    assert "certified ≥ (bits; if hash is random)" in said
    assert CONTINUOUS in said
    assert not any("certified" in t for t in texts(plot_rates(records([r | {"target": "t"} for r in rows()])).figure))


def test_labels_tell_true_random_signs_from_hashed_ones():
    tree = tree_of({"parameters": {"name": "faber_tree", "smoothness": 0.5, "dim": 1, "signs": "stored"}})
    last = 0.5 * 2 ** (-0.5 * 19)  # levels 0 ... 19 are stored
    assert "true random signs" in _text("bits", tree, last)
    assert "if hash is random" in _text("bits", tree, last / 2**0.5)
    assert "random" not in _text("pieces", tree, last / 8)


def test_bits_of_sparse_matrices_are_counted_dense():
    table = [row | {"n_params_dense": 4 * row["n_params"]} for row in rows(laws=(0.25,))]
    sizes, bounds = curves_of(table)["bits"]
    assert sizes.tolist() == sorted({float(row["n_params"]) for row in table})
    assert bounds == pytest.approx(theory.bits_lower_curve(4 * sizes, 64, 0.25))


def test_the_lower_curve_is_a_guide_of_its_own_style():
    ax = plot_rates(records(rows(laws=(0.5,))))
    styles = {line.get_gid(): line.get_linestyle() for line in ax.lines if line.get_gid()}
    assert set(styles) == {"certified", "continuous"}
    for line in ax.lines:
        if line.get_gid() == "certified":
            assert (np.asarray(line.get_ydata()) >= ax.get_ylim()[0]).all()


def test_findings_say_that_all_runs_lie_above_their_curves():
    (line,) = bound_lines(records(rows()))
    assert line.startswith("All 36 runs on random trees lie above")
    assert "hashed" not in line  # by pieces nothing is taken for granted
    (line,) = bound_lines(records([r | {"pieces": None} for r in rows()]))
    assert "for 36 of them it takes hashed signs for random ones" in line
    assert bound_lines(records([r | {"target": "takagi"} for r in rows()])) == []


def test_a_violation_is_an_alarm_at_the_top_of_the_findings():
    table = rows(laws=(0.5,))
    table[1]["error_sup"] = float(theory.free_knot_lower_curve(8, 0.5)) / 2
    table[1]["certified"] = False
    first = summary_lines(records(table))[0]
    assert first.startswith("**ALARM**: 1 of 12")
    assert "0.5 times the bound by pieces" in first
    assert "not certified" in first


def test_findings_tell_which_sizes_are_kept_out_and_the_slope_of_the_training():
    base = {"target": "faber_tree", "smoothness": 0.5, "dim": 1, "activation": "relu", "width": 8}
    table = [
        base | {"n_params": n, "depth": n, "target_seed": d, "replica": s, "error_sup": slow * n**-0.5 * (1 + 0.01 * s)}
        for n, slow in zip((50, 100, 200, 400, 800, 1600), (1, 1, 1, 1, 1.3, 1.6), strict=True)
        for d in range(4)
        for s in range(4)
    ]
    again = [r | {"budget": 4, "error_sup": r["error_sup"] / 1.3} for r in table if r["n_params"] >= 800]
    lines = [line for _, found in target_findings(records(table + again)) for line in found]
    assert any(line.startswith("**relu**: p = 0.50 [") for line in lines)
    (limited,) = [line for line in lines if "limited by optimisation" in line]
    assert limited.startswith(
        "relu is limited by optimisation at W = 800, 1,600 (a larger budget lowers the error): kept"
    )
    assert "the slope of the training is" in limited
    same = [line for _, found in target_findings(records(table)) for line in found]
    assert not any("limited by" in line or "of the training" in line for line in same)


def test_the_report_says_whether_interpolants_lie_below_their_upper_curve(tmp_path):
    targets = [ar.load_target("faber_tree", smoothness=0.5, seed=s) for s in range(2)]
    spline = ar.Construction("interpolation", n_params=ar.axis(23, 47, 95, 191))
    records = ar.Study("s", targets=targets, constructions=spline).run(tmp_path, progress=False)
    assert any("All 8 dyadic interpolants lie below their proved upper curve" in line for line in bound_lines(records))
    worse = records_from_table(records.frame().assign(error_sup_lower=3.0, error_sup_upper=3.0))
    assert len(worse) == 8
    assert any("8 of 8 (100.0 %) dyadic interpolants lie above" in line for line in bound_lines(worse))
