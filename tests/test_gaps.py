"""Trained and achievable errors, the gap between them, and gains: against arithmetic by hand and simulations."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import approxrates as ar
from approxrates import activations
from approxrates.layers import IDENTITY, Layer
from approxrates.plots import drawn_numbers
from approxrates.plots.style import new_figure
from approxrates.records import records_from_table
from approxrates.records.embedding import fits_into, holds, is_hinge, rises
from approxrates.records.gaps import GAP_COLUMNS, RATIOS
from approxrates.records.optimisation import LEAST, LEVEL, depth_limited, refit_ratio, start_limited, unresolved
from approxrates.records.pairing import paired_by_draw, paired_by_run
from approxrates.records.split import PARTS
from approxrates.records.twins import LAW

DEPTHS = (1, 2, 4, 8, 16)


def size(depth):
    """Parameters of width 8, one input, one output."""
    return 16 + (depth - 1) * 72 + 9


def table(start="random", *, scale=1.0, draws=4, seeds=3, noise=0.0, before=None, seed=0, **columns):
    """Errors ``scale W^-0.5`` times a factor of each draw."""
    rng = np.random.default_rng(seed)
    rows = []
    for depth, draw, replica in itertools.product(DEPTHS, range(draws), range(seeds)):
        error = scale * math.exp(draw + noise * rng.normal()) * size(depth) ** -0.5
        rows.append(
            {
                "target": "faber_tree", "smoothness": 0.5, "dim": 1, "activation": "relu", "start": start, "width": 8,
                "depth": depth, "n_params": size(depth), "target_seed": draw, "replica": replica, "error_sup": error,
                "error_l2": error / 3,
            } | columns | ({"start_error_sup": before * error, "start_error_l2": before * error / 3} if before else {})
        )  # fmt: skip
    return rows


def line(name, factor, *, method="reference", draws=4, sizes=(20, 80, 320, 1280)):
    """A classical method or a construction with errors ``factor W^-0.5``."""
    return [
        {
            "target": "faber_tree", "smoothness": 0.5, "dim": 1, "method": method, "construction": name, "n_params": n,
            "target_seed": d, "error_sup": factor * math.exp(d) * n**-0.5, "error_l2": factor * math.exp(d) * n**-0.5,
            "start": None, "activation": "relu" if method == "construct" else "",
        }
        for n in sizes
        for d in range(draws)
    ]  # fmt: skip


def records(*parts):
    return records_from_table(pd.DataFrame([row for part in parts for row in part]))


# Ratios


def test_a_ratio_over_draws_is_the_paired_t_interval():
    rng = np.random.default_rng(0)
    a, b = np.exp(rng.normal(0, 1, (2, 6, 5)))
    ratio = paired_by_draw(a, b)
    differences = np.log(np.median(a, axis=1)) - np.log(np.median(b, axis=1))
    middle, error = differences.mean(), differences.std(ddof=1) / math.sqrt(6)
    low, high = stats.t.interval(0.95, 5, middle, error)
    assert ratio.value == pytest.approx(math.exp(middle))
    assert ratio.interval == pytest.approx((math.exp(low), math.exp(high)))
    assert (ratio.over, ratio.n) == ("draws", 6)
    p = stats.ttest_1samp(differences, 0.0, alternative="greater").pvalue
    assert ratio.exceeds(1e-9, p * 1.001)
    assert not ratio.exceeds(1e-9, p * 0.999)


def test_a_ratio_of_one_draw_is_welchs_interval_over_replicas():
    rng = np.random.default_rng(1)
    a, b = np.exp(rng.normal(1, 0.5, (1, 5))), np.exp(rng.normal(0, 0.2, (1, 7)))
    ratio = paired_by_draw(a, b)
    welch = stats.ttest_ind(np.log(a[0]), np.log(b[0]), equal_var=False).confidence_interval(0.95)
    assert ratio.interval == pytest.approx((math.exp(welch.low), math.exp(welch.high)))
    assert ratio.over == "replicas"


def test_a_single_replica_on_both_sides_has_no_interval():
    ratio = paired_by_draw(np.array([[2.0], [8.0]]), np.array([[1.0], [2.0]]))
    assert ratio.value == pytest.approx(math.sqrt(8))
    assert ratio.over == ""
    assert all(map(math.isnan, ratio.interval))
    assert not ratio.exceeds(1.0, 0.05)


def test_failed_runs_and_missing_draws_are_left_out_of_a_ratio():
    a = np.array([[2.0, math.nan, math.inf], [4.0, 4.0, 0.0], [math.nan] * 3, [6.0, 6.0, 6.0]])
    b = np.array([[1.0], [1.0], [1.0], [3.0]])
    ratio = paired_by_draw(a, b)
    assert ratio.value == pytest.approx((2 * 4 * 2) ** (1 / 3))
    assert ratio.n == 3
    assert paired_by_draw(a[2:3], b[2:3]).n == 0
    assert math.isnan(paired_by_draw(a[2:3], b[2:3]).value)


def test_a_ratio_of_the_same_runs_is_paired_run_by_run():
    rng = np.random.default_rng(2)
    after = np.exp(rng.normal(0, 2, (4, 3)))  # replicas differ by e^2, the gain of each is near 3
    before = 3 * after * np.exp(rng.normal(0, 0.01, (4, 3)))
    ratio = paired_by_run(before, after)
    assert ratio.value == pytest.approx(3, rel=0.02)
    assert 2.9 < ratio.interval[0] < ratio.interval[1] < 3.1
    one_draw = paired_by_run(before[:1], after[:1])
    low, high = stats.t.interval(0.95, 2, *_moments(np.log(before[0] / after[0])))
    assert one_draw.interval == pytest.approx((math.exp(low), math.exp(high)))


def _moments(values):
    return values.mean(), values.std(ddof=1) / math.sqrt(len(values))


@pytest.mark.parametrize(("draws", "seeds"), [(1, 4), (2, 3), (3, 4), (8, 2)])
def test_intervals_of_ratios_hold_the_truth_in_nineteen_of_twenty_studies(draws, seeds):
    rng = np.random.default_rng(3)
    held = []
    for _ in range(600):
        # Targets differ, both errors of a draw with them; the ratio itself differs a little from draw to draw.
        level = rng.normal(0, 1, (draws, 1))
        spread = 0.1 if draws >= 3 else 0.0  # of fewer draws the interval speaks of these draws only
        a = np.exp(level + math.log(2) + spread * rng.normal(size=(draws, 1)) + 0.3 * rng.normal(size=(draws, seeds)))
        b = np.exp(level + 0.3 * rng.normal(size=(draws, seeds)))
        low, high = paired_by_draw(a, b).interval
        held.append(low <= 2 <= high)
    assert 0.92 <= np.mean(held) <= 0.99


# Flags


def test_another_start_is_better_by_chance_at_few_sizes_only():
    rng = np.random.default_rng(4)
    for draws, seeds in ((1, 4), (4, 2), (8, 4)):
        errors, other = np.exp(rng.normal(0, 0.3, (2, draws, 500, seeds)))
        assert start_limited(errors, other).mean() < 0.06
        assert start_limited(3 * errors, other).mean() > 0.8


@pytest.mark.parametrize(("draws", "seeds"), [(1, 4), (2, 3), (4, 2), (8, 4)])
def test_errors_that_stay_where_they_are_rise_with_depth_by_chance_at_few_sizes_only(draws, seeds):
    rng = np.random.default_rng(5)
    shapes = [(8, depth) for depth in DEPTHS]
    marked = [depth_limited(np.exp(rng.normal(0, 0.3, (draws, 5, seeds))), shapes) for _ in range(80)]
    assert np.mean(marked) < 0.06
    assert not np.any(marked, axis=0)[0]  # the smallest contains nothing


def test_a_rise_is_seen_against_whatever_smaller_network_shows_it():
    errors = np.array([1.0, 0.2, 0.9, 0.5, 0.1])[None, :, None] * np.exp(
        0.05 * np.random.default_rng(6).normal(size=(4, 5, 3))
    )
    shapes = [(8, depth) for depth in DEPTHS]
    assert rises(errors, shapes, LEAST, LEVEL).tolist() == [False, False, True, True, False]
    grid = [(8, 1), (4, 2), (8, 4), (4, 8), (8, 16)]  # the fourth, narrow and deep, holds the second only
    assert rises(errors, grid, LEAST, LEVEL).tolist() == [False, False, True, True, False]
    apart = [(16, 1), (4, 2), (3, 4), (2, 8), (1, 16)]  # none holds another
    assert not rises(errors, apart, LEAST, LEVEL).any()


def test_refits_that_are_too_few_or_too_scattered_leave_the_question_open():
    before = np.ones((1, 6))
    clear = refit_ratio(before, np.full((1, 6), 0.5))
    none = refit_ratio(before, 1 - 0.01 * np.arange(6)[None])
    loose = refit_ratio(before, np.exp([[0.5, -0.5, 0.4, -0.6, 0.3, -0.3]]))
    assert [unresolved(r) for r in (clear, none, loose)] == [False, False, True]
    assert unresolved(refit_ratio(before[:, :2], before[:, :2] * 0.99))


# What contains what


def test_shapes_contain_the_narrower_and_shallower():
    assert fits_into((8, 2), (8, 4))
    assert fits_into((8, 4), (8, 4))
    assert not fits_into((9, 2), (8, 4))
    assert not fits_into((8, 5), (8, 4))


@pytest.mark.parametrize("activation", ["relu", "tanh", "sin", "relu2"])
def test_a_shallower_network_is_carried_through_further_layers(activation):
    """What ``fits_into`` claims, made: a layer more that hands values on, exactly for relu and to 1e-6 for others."""
    rng = np.random.default_rng(0)
    units = (activation,) * 3
    first = Layer(rng.normal(size=(3, 1)), rng.normal(size=3), units)
    last = Layer(rng.normal(size=(1, 3)), rng.normal(size=1), (IDENTITY,))
    small = ar.Network((first, last))
    if activation == "relu":
        deep = ar.Network((first, Layer(np.eye(3), np.zeros(3), units), last))
        tolerance = 0.0
    else:  # sigma(at + scale h) = sigma(at) + sigma'(at) scale h + ...
        at, scale = (1.0 if activation == "relu2" else 0.0), 1e-7
        low, value, high = activations.get(activation)(np.array([at - 1e-6, at, at + 1e-6]))
        slope = (high - low) / 2e-6
        carry = Layer(scale * np.eye(3), np.full(3, at), units)
        back = last.weight / (slope * scale)
        deep = ar.Network((first, carry, Layer(back, last.bias - back @ np.full(3, value), (IDENTITY,))))
        tolerance = 1e-5
    x = np.linspace(0, 1, 101)[:, None]
    assert deep(x) == pytest.approx(small(x), abs=tolerance)


def test_on_the_line_hinges_hold_every_function_of_so_many_pieces():
    spline = {"method": "reference", "dim": 1, "pieces": 25}
    assert [is_hinge(a) for a in ("relu", "leaky_relu", "abs", "tanh", "relu2", "sin", "nothing")] == [True] * 3 + [
        False
    ] * 4
    assert holds((8, 4), "relu", "", spline)  # 4 (8 - 2) + 1 pieces
    assert not holds((8, 4), "relu", "", spline | {"pieces": 26})
    assert not holds((8, 4), "tanh", "", spline)
    assert not holds((8, 4), "relu", "", spline | {"dim": 2})
    assert not holds((8, 4), "relu", "no bias", spline)
    assert not holds((8, 4), "relu", "", spline | {"pieces": None})


def test_a_network_holds_the_smaller_of_its_own_kind_with_weights_that_floats_hold():
    own = {"method": "train", "dim": 2, "activation": "sin", "width": 8, "depth": 2}
    assert holds((8, 4), "sin", "", own)
    assert not holds((8, 4), "tanh", "", own)
    assert not holds((8, 4), "sin", "", own | {"architecture_options": "injection"})
    assert holds((8, 4), "sin", "injection", own | {"architecture_options": "injection"})
    assert holds((8, 4), "sin", "injection", own)  # the weights of the injected input may be zero
    assert not holds((8, 4), "sin", "residual", own)
    assert not holds((8, 4), "sin", "", own | {"max_bits": 60})
    assert not holds((8, 1), "sin", "", own)
    assert not holds((8, 4), "sin", "", own | {"width": None})


def test_the_function_of_so_many_pieces_is_in_fact_a_network_of_that_shape():
    target = ar.load_target("faber_tree", smoothness=0.5, dim=1, seed=0)
    arch = ar.FixedWidth(dim=1, width=5, depth=3)
    start = ar.train(arch, target, plan=[ar.Adam(steps=1)], start="constructive").starts[0]
    assert ar.approximation_error(start, target).pieces == 3 * (5 - 2) + 1


# The frame


def test_the_gap_and_the_gains_are_those_the_errors_were_made_with():
    found = records(table(scale=3.0), table("constructive", before=2.0), line("free_knot_spline", 0.25)).gaps()
    assert list(found.columns) == [*LAW, "family", "activation", *GAP_COLUMNS]
    assert found.n_params.tolist() == [size(d) for d in DEPTHS] * 2
    assert found.norm.tolist() == ["sup"] * 5 + ["l2"] * 5
    assert found.optimisation_gap.to_numpy() == pytest.approx(3.0)
    assert found.gain_over_start.to_numpy() == pytest.approx(2.0)
    sup = found[found.norm == "sup"]
    assert sup.gain_over_spline.to_numpy() == pytest.approx(0.25)
    assert sup.trained_gain_over_spline.to_numpy() == pytest.approx(0.25 / 3)
    assert sup.trained.to_numpy() == pytest.approx(3 * sup.achievable.to_numpy())
    assert sup.start_error.to_numpy() == pytest.approx(2 * sup.achievable.to_numpy())
    assert set(sup.spline_name) == {"free_knot_spline"}
    assert (found.interval_over == "draws").all()
    assert (found.n_draws == 4).all()
    assert found[list(RATIOS)].notna().any().to_dict() == {
        name: "construct" not in name and "budget" not in name for name in RATIOS
    }


def test_the_best_at_equal_count_is_chosen_and_nothing_is_extrapolated():
    small, large = line("linear_spline", 0.5, sizes=(20, 80)), line("cubic_spline", 0.4, sizes=(90, 300))
    found = records(
        table(), small, large, line("chebyshev", 0.1, sizes=(20, 30)), line("interpolation", 2.0, method="construct")
    )
    rows = found.gaps("sup").set_index("n_params")
    assert rows.spline_name.fillna("").tolist() == ["linear_spline", "cubic_spline", "cubic_spline", "", ""]
    assert rows.spline[size(1)] == pytest.approx(np.median(0.5 * np.exp(range(4))) / 5, rel=1e-6)
    assert rows.spline.isna().tolist() == [False, False, False, True, True]
    assert rows.reference_name.tolist()[:2] == ["chebyshev", "cubic_spline"]
    assert (rows.construct_name == "interpolation").all()
    assert rows.trained_gain_over_construct.to_numpy() == pytest.approx(2.0)
    assert rows.achievable.isna().all()
    assert rows.optimisation_gap.isna().all()


def test_zero_steps_gain_nothing_over_the_start():
    rows = records(table("constructive", before=1.0, noise=0.5)).gaps("sup")
    assert rows.gain_over_start.to_numpy() == pytest.approx(1.0)
    assert rows.gain_over_start_low.to_numpy() == pytest.approx(1.0)
    assert rows.gain_over_start_high.to_numpy() == pytest.approx(1.0)


def test_gains_of_a_larger_budget_are_told_for_both_starts():
    random, built = table(scale=2.0), table("constructive")
    again = [r | {"budget": 4, "error_sup": r["error_sup"] / 1.5} for r in random + built if r["depth"] == 8]
    rows = records(random, built, again).gaps("sup").set_index("depth")
    assert rows.budget_gain_trained[8] == pytest.approx(1.5)
    assert rows.budget_gain_achievable[8] == pytest.approx(1.5)
    assert rows.budget_gain_trained.notna().sum() == 1
    assert rows.limited_trained.tolist() == ["start", "start", "start", "budget, start", "start"]
    assert rows.limited_achievable.tolist() == ["", "", "", "budget", ""]


def test_starts_with_plans_of_their_own_are_one_pair_and_crossed_plans_are_two():
    own = records(table(plan="a", scale=2.0), table("constructive", plan="b")).gaps("sup")
    assert len(own) == 5
    assert own.optimisation_gap.to_numpy() == pytest.approx(2.0)
    crossed = [table(plan=p, scale=s) for p, s in (("a", 2.0), ("b", 6.0))]
    crossed += [table("constructive", plan=p, scale=s) for p, s in (("a", 1.0), ("b", 2.0))]
    both = records(*crossed).gaps("sup")
    assert len(both) == 10
    assert both.groupby("plan").optimisation_gap.first().to_dict() == pytest.approx({"a": 2.0, "b": 3.0})


def test_sizes_of_one_start_only_have_a_row_and_targets_are_kept_apart():
    other = [r | {"smoothness": 0.75, "error_sup": 5 * r["error_sup"]} for r in table("constructive")]
    random = [r for r in table(scale=2.0) if r["depth"] > 1]
    built = [r for r in table("constructive") if r["depth"] < 16]
    rows = records(random, built, other).gaps("sup")
    own = rows[rows.smoothness == 0.5]
    assert own.depth.tolist() == list(DEPTHS)
    assert own.trained.isna().tolist() == [True, False, False, False, False]
    assert own.achievable.isna().tolist() == [False, False, False, False, True]
    assert len(rows[rows.smoothness == 0.75]) == 5


def test_an_unknown_norm_is_refused_and_a_study_without_training_has_no_rows():
    found = records(line("interpolation", 1.0, method="construct"))
    assert len(found.gaps()) == len(found.split()) == 0
    for ask in (found.gaps, found.split):
        with pytest.raises(ValueError, match="norm must be one of"):
            ask("max")


# Figures


def full(**columns):
    """Both starts with everything stored, a spline, two activations."""
    parts = []
    for activation, scale in (("relu", 1.0), ("tanh", 2.0)):
        for start, factor in (("random", 3.0), ("constructive", 1.0)):
            before = 2.0 if start == "constructive" else None
            rows = table(start, scale=scale * factor, before=before, noise=0.1, activation=activation, **columns)
            parts.append([r | {"sup_at_points": 0.9 * r["error_sup"], "float_floor_sup": 1e-7} for r in rows])
    return records(*parts, line("free_knot_spline", 0.25))


def test_the_figure_of_gaps_shows_the_numbers_of_the_frame():
    found = full()
    ax = ar.plot_gaps(found)
    numbers, frame = drawn_numbers(ax), found.gaps("sup")
    assert len(ax.figure.axes) == 2
    for name in ("optimisation_gap", "gain_over_start", "gain_over_spline"):
        shown = numbers[numbers.ratio == name]
        assert sorted(shown.value) == pytest.approx(sorted(frame[name].dropna()))
        assert sorted(shown.low) == pytest.approx(sorted(frame[f"{name}_low"].dropna()))
    marks = [line for line in ax.get_lines() if len(line.get_xdata()) == len(DEPTHS)]
    assert sorted(y for line in marks for y in line.get_ydata()) == pytest.approx(sorted(frame.optimisation_gap))
    assert set(numbers.family) == {"relu", "tanh"}


def test_a_figure_of_gaps_needs_gaps():
    with pytest.raises(ValueError, match="records must hold a constructive start"):
        ar.plot_gaps(records(table()))
    figure = new_figure(4, 3)
    ax = figure.add_subplot()
    assert ar.plot_gaps(full(), ax=ax) is ax
    assert set(drawn_numbers(ax).ratio) == {"optimisation_gap"}


def test_the_stacked_bars_reach_one_and_are_the_shares_of_the_frame():
    found = full()
    ax = ar.plot_error_split(found)
    frame, numbers = found.split("sup").sort_values(["family", "n_params"]), drawn_numbers(ax)
    assert len(ax.figure.axes) == 2 * 4  # a curve above the bars, for each activation and start
    assert numbers[[f"share_{part}" for part in PARTS]].to_numpy() == pytest.approx(
        frame[[f"share_{part}" for part in PARTS]].to_numpy()
    )
    bars = [bar for bar in ax.patches if bar.get_height() > 0]
    tops = {}
    for bar in bars:
        tops[bar.get_x()] = max(tops.get(bar.get_x(), 0), bar.get_y() + bar.get_height())
    assert list(tops.values()) == pytest.approx([1.0] * len(DEPTHS))
    first = frame[(frame.activation == "relu") & (frame.start == "constructive")]
    heights = [bar.get_height() for bar in ax.patches[: len(DEPTHS)]]
    assert heights == pytest.approx(first.share_architecture.tolist())


def test_what_was_not_stored_is_named_in_the_legend_of_the_bars():
    assert not any("not stored" in text for text in legend_of(ar.plot_error_split(full())))
    bare = ar.plot_error_split(records(table(), table("constructive")))
    assert any(text == "not stored: sampling, floating point" for text in legend_of(bare))


def legend_of(ax):
    return [text.get_text() for legend in ax.figure.legends for text in legend.get_texts()]


def test_one_axes_takes_the_bars_of_one_family_only():
    ax = new_figure(4, 3).add_subplot()
    assert ar.plot_error_split(records(table()), ax=ax) is ax
    with pytest.raises(ValueError, match="several families"):
        ar.plot_error_split(full(), ax=ax)
    with pytest.raises(ValueError, match="trained network with an error"):
        ar.plot_error_split(records(line("interpolation", 1.0, method="construct")))


def test_every_replica_has_its_own_curve_from_a_fit_and_from_a_folder(tmp_path):
    targets = [ar.load_target("faber_tree", smoothness=0.5, dim=1, seed=s) for s in range(2)]
    arch, plan = ar.FixedWidth(dim=1, width=4, depth=2), [ar.Adam(steps=20)]
    fit = ar.train(arch, targets, replicas=3, plan=plan, n_points=64)
    lines = [one for one in ar.plot_training_curves(fit).get_lines() if len(one.get_xdata()) > 2]
    assert len(lines) == 6  # targets of one name share a panel
    assert lines[1].get_ydata() == pytest.approx(fit.curves[1][:, 1])
    study = ar.Study("s", targets=targets, architectures=arch, replicas=3, plan=plan, n_points=64)
    study.run(tmp_path, progress=False, keep="none", curves=True)
    ax = ar.plot_training_curves(tmp_path)
    numbers = drawn_numbers(ax)
    assert numbers.run_id.nunique() == 6
    one = numbers[(numbers.target_seed == 0) & (numbers.replica == 1)]
    assert one.loss.to_numpy() == pytest.approx(fit.curves[1][:, 1])
    assert one.step.tolist() == fit.curves[1][:, 0].tolist()


def test_curves_that_were_not_kept_are_asked_for(tmp_path):
    with pytest.raises(ValueError, match="curves=True"):
        ar.plot_training_curves(tmp_path)
    with pytest.raises(TypeError, match="source must be a Fit or a results folder"):
        ar.plot_training_curves(3)
