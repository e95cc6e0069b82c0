"""Records: families, rates, optimisation-limited sizes and paired contrasts from flat rows."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from approxrates import store
from approxrates.phase import holm, place_all
from approxrates.records import FRAME_COLUMNS, FamilyCurve, load_records, records_from_table
from approxrates.records.grouping import error_of, is_schedule
from approxrates.records.growth import bits_exponent
from approxrates.records.optimisation import budget_limited
from approxrates.records.rows import flat

SIZES = (50, 100, 200, 400, 800, 1600)


def table(rates, *, sizes=SIZES, draws=4, seeds=2, noise=0.05, **columns):
    """Errors of exact power laws with noise; ``rates`` by activation."""
    rng = np.random.default_rng(0)
    base = {"target": "faber_tree", "smoothness": 0.5, "dim": 1, "width": 8} | columns
    return [
        base
        | {
            "activation": activation,
            "n_params": n,
            "depth": 1 + n // 50,
            "target_seed": d,
            "replica": s,
            "error_sup": float(n**-p * np.exp(noise * rng.normal())),
        }
        for activation, p in rates.items()
        for n in sizes
        for d in range(draws)
        for s in range(seeds)
    ]


def records(rows):
    return records_from_table(pd.DataFrame(rows))


def test_each_family_gets_the_rate_it_was_made_with():
    rates = records(table({"relu": 0.45, "sin": 0.8})).rates().set_index("activation")
    assert rates.rate["relu"] == pytest.approx(0.45, abs=0.04)
    assert rates.rate["sin"] == pytest.approx(0.8, abs=0.04)
    assert (rates.rate_low < rates.rate).all()
    assert (rates.rate < rates.rate_high).all()
    assert rates.rho["sin"] == pytest.approx(1.6, abs=0.08)
    assert (rates[["n_sizes", "n_draws", "n_seeds"]] == [6, 4, 2]).all(axis=None)


def test_errors_are_arranged_by_draw_size_and_seed():
    rows = table({"relu": 0.5}, draws=2, seeds=3, noise=0.0)
    for row in rows:
        row["error_sup"] = 1000 * (row["target_seed"] + 1) + row["n_params"] + 0.1 * row["replica"]
    curve = records(rows).families()[0]
    assert isinstance(curve, FamilyCurve)
    assert curve.sizes.tolist() == list(SIZES)
    assert curve.errors.shape == (2, 6, 3)
    assert curve.errors[1, 2] == pytest.approx([2200.0, 2200.1, 2200.2])
    assert curve.draws == (0, 1)


def test_missing_and_failed_runs_are_nan_and_counted():
    rows = table({"relu": 0.5})
    rows[0]["status"] = "failed"
    del rows[0]["error_sup"], rows[5]
    curve = records(rows).families()[0]
    assert np.isnan(curve.errors[0, 0, 0]) or np.isnan(curve.errors[0, 0, 1])
    assert np.isnan(curve.errors).sum() == 2
    assert curve.failed_fraction.tolist() == pytest.approx([1 / 7, 0, 0, 0, 0, 0])
    assert curve.rate is not None


def test_three_sizes_give_a_curve_without_rate():
    found = records(table({"relu": 0.5}, sizes=SIZES[:3]))
    curve = found.families()[0]
    assert (curve.rate, curve.point) == (None, None)
    row = found.rates().iloc[0]
    assert math.isnan(row.rate)
    assert row.verdict == "undetermined"


def test_the_sup_error_of_a_run_is_the_middle_of_a_narrow_bracket_and_the_lower_end_of_a_wide_one():
    row = {"status": "ok", "error_sup_lower": 0.01, "error_sup_upper": 0.011, "error_l2": 0.005}
    assert error_of(row, "sup") == pytest.approx(math.sqrt(0.01 * 0.011))
    assert error_of(row | {"error_sup_upper": 0.0111}, "sup") == 0.01
    assert error_of(row, "l2") == 0.005
    assert math.isnan(error_of(row | {"status": "diverged"}, "sup"))
    assert error_of(row | {"error_sup_lower": 0.0}, "sup") == 0.011


def test_brackets_of_the_committed_studies_are_narrow_so_their_errors_are_middles():
    results = Path(__file__).parent.parent / "results"
    seen = 0
    for name in ("activations-1d", "easy-and-hard"):
        for row in load_records(results / name).frame().to_dict("records"):
            if row["status"] == "ok" and row["certified"]:
                seen += 1
                middle = math.sqrt(row["error_sup_lower"] * row["error_sup_upper"])
                assert error_of(row, "sup") == middle
    assert seen > 500


def test_an_error_without_a_lower_bound_is_one_sided_and_the_fit_takes_it_so():
    rows = table({"relu": 0.5}, noise=0.01)
    for row in rows:
        exact = row.pop("error_sup")
        known = row["n_params"] != 1600
        row |= {"error_sup_lower": exact if known else None, "error_sup_upper": exact if known else 3 * exact}
    curve = records(rows).families()[0]
    assert curve.one_sided.any(axis=(0, 2)).tolist() == [False] * 5 + [True]
    assert curve.one_sided[:, 5].all()
    assert curve.rate.used.tolist() == [True] * 5 + [False]
    assert curve.rate.value == pytest.approx(0.5, abs=0.02)
    assert not records(table({"relu": 0.5})).families()[0].one_sided.any()


def test_a_label_shows_what_differs_and_nothing_else():
    rows = table({"relu": 0.5, "sin": 0.5}) + table({"relu": 0.5}, smoothness=0.75)
    assert [c.label for c in records(rows).families()] == ["relu, r = 0.5", "sin, r = 0.5", "relu, r = 0.75"]
    assert [c.label for c in records(table({"relu": 0.5})).families()] == ["relu"]


def test_a_construction_is_labelled_by_its_name():
    built = [r | {"method": "construct", "construction": "interpolation"} for r in table({"relu": 0.5}, seeds=1)]
    assert [c.label for c in records(table({"relu": 0.5}) + built).families()] == ["relu", "interpolation"]


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ([(25, 8, 1), (97, 8, 2), (241, 8, 4)], True),
        ([(50, 4, 2), (200, 8, 4), (900, 16, 8)], True),
        ([(50, 4, 8), (60, 8, 4), (70, 16, 2)], True),
        ([(97, 8, 2), (241, 8, 4), (321, 16, 2), (865, 16, 4)], False),
    ],
    ids=["depth only", "schedule", "width against depth", "grid"],
)
def test_a_grid_of_shapes_is_told_from_a_schedule(shapes, expected):
    assert is_schedule(shapes) is expected


def test_a_grid_is_split_by_width_and_a_schedule_is_one_family():
    grid = [
        r | {"width": w, "n_params": r["n_params"] * w, "architecture": "fixed_width"}
        for w in (4, 8)
        for r in table({"relu": 0.5}, draws=1)
    ]
    assert [c.label for c in records(grid).families()] == ["relu, width 4", "relu, width 8"] or [
        c.key["width"] for c in records(grid).families()
    ] == [4, 8]
    schedule = [r | {"width": 4 * (1 + r["n_params"] // 100)} for r in table({"relu": 0.5}, draws=1)]
    assert len(records(schedule).families()) == 1


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (lambda n: {"width": 8, "depth": 1 + n // 50}, 1.0),
        (lambda n: {"width": n // 10, "depth": 3}, 0.0),
        (lambda n: {"width": round(n**0.25 * 8), "depth": round(4 * n**0.5)}, 0.5),
        (lambda n: {"width": None, "depth": None}, math.nan),
    ],
    ids=["fixed width", "fixed depth", "square root", "unknown"],
)
def test_the_depth_exponent_is_that_of_the_schedule(shape, expected):
    rows = [r | shape(r["n_params"]) for r in table({"relu": 0.5})]
    found = records(rows).families()[0].depth_exponent
    assert found == pytest.approx(expected, abs=0.02, nan_ok=True)


def refitted(fall, at):
    """A family of which some sizes were fitted again with a larger budget, the error fallen by a share."""
    rows = table({"relu": 0.5}, noise=0.0, seeds=4)
    return rows + [
        r | {"budget": 4, "error_sup": r["error_sup"] * (1 - fall)}
        for r in rows
        if r["n_params"] in at and r["target_seed"] == 0
    ]


def test_sizes_where_more_budget_lowers_the_error_are_marked():
    curve = records(refitted(0.3, (800, 1600))).families()[0]
    assert curve.limited.tolist() == [False] * 4 + [True] * 2
    assert curve.errors.shape == (4, 6, 4)


def test_a_fall_below_ten_percent_marks_nothing():
    assert not records(refitted(0.08, SIZES)).families()[0].limited.any()


def held_back(slow, refitted, seeds=4):
    """The networks could do W^-0.5; at some sizes training stops short of it by a factor, which refits make good."""
    rows = table({"relu": 0.5}, noise=0.01, seeds=seeds)
    for row in rows:
        row["error_sup"] *= slow.get(row["n_params"], 1.0)
    return rows + [r | {"budget": 4, "error_sup": r["n_params"] ** -0.5} for r in rows if r["n_params"] in refitted]


def test_limited_sizes_are_marked_and_kept_out_of_the_fit():
    curve = records(held_back({1600: 3.0}, (800, 1600))).families()[0]
    assert curve.limited.tolist() == curve.kept_out.tolist() == [False] * 5 + [True]
    assert curve.rate.used.tolist() == [True] * 5 + [False]
    assert (curve.rate.value, curve.rate.verdict) == (pytest.approx(0.5, abs=0.02), "determined")
    assert curve.rate.reasons[0].startswith("Limited by optimisation and kept out at n_params = 1600; with them")
    assert not any("describes the training" in sentence for sentence in curve.point.reasons)


def test_the_slope_of_the_training_is_still_told():
    found = records(held_back({n: (n / 50) ** 0.15 for n in SIZES}, (800, 1600)))
    curve, row = found.families()[0], found.rates().iloc[0]
    assert curve.limited_by["budget"].tolist() == [False] * 4 + [True] * 2
    assert (curve.rate.used.tolist(), curve.rate_all.used.all()) == ([True] * 4 + [False] * 2, True)
    assert curve.rate_all.value == pytest.approx(0.35, abs=0.02)
    assert (row.rate, row.rate_all, row.n_kept_out) == (curve.rate.value, curve.rate_all.value, 2)
    whole = records(table({"relu": 0.5})).families()[0]
    assert whole.rate_all is whole.rate


@pytest.mark.parametrize("free", [(50, 100, 200), ()], ids=["three sizes left", "none left"])
def test_too_few_sizes_that_are_not_limited_leave_no_rate(free):
    limited = {n: 3.0 for n in SIZES if n not in free}
    curve = records(held_back(limited, SIZES)).families()[0]
    assert curve.kept_out.tolist() == [n not in free for n in SIZES]
    assert curve.rate.verdict == "undetermined"
    assert curve.rate.reasons[0].startswith("Limited by optimisation and kept out")
    assert str(curve.point.label) == "UNDECIDED"
    assert math.isfinite(curve.rate_all.value)


def test_without_limited_sizes_the_rate_is_that_of_a_study_which_never_had_them():
    rows = held_back({1600: 3.0}, (1600,))
    curve = records(rows).families()[0]
    without = records([r for r in rows if r["n_params"] < 1600]).families()[0]
    assert curve.rate.value == pytest.approx(without.rate.value, rel=1e-12)
    assert curve.rate.interval == pytest.approx(without.rate.interval, rel=1e-12)


def test_sizes_between_limited_ones_that_nobody_tried_are_kept_out_too():
    curve = records(held_back(dict.fromkeys(SIZES[1:5], 3.0), (50, 100, 800, 1600))).families()[0]
    assert curve.limited_by["budget"].tolist() == [False, True, False, False, True, False]
    assert curve.limited_by["between"].tolist() == [False, False, True, True, False, False]
    one_side = records(held_back({200: 3.0}, (200, 800))).families()[0]
    assert one_side.kept_out.tolist() == [False, False, True, False, False, False]


def test_two_pairs_judge_nothing():
    rows = table({"relu": 0.5}, noise=0.01, draws=1)
    again = [r | {"budget": 4, "error_sup": r["error_sup"] / 3} for r in rows]
    assert not records(rows + again).families()[0].limited.any()


def test_labels_survive_together_or_are_undecided():
    # One family is CLASSICAL by a hair's breadth; beside families that are clear it still must beat its share.
    found = records(table({f"a{i}": 0.5 for i in range(1)} | {"relu": 0.5, "sin": 0.5}, noise=0.02, draws=6))
    rates = found.rates().set_index("activation")
    alone = rates.loc["relu"]
    assert alone.label_alone == "CLASSICAL"
    assert alone.p_holm >= alone.p_value
    curves = found.families()
    labelled = [c.point for c in curves if c.point is not None]
    for before, after in zip(labelled, place_all(labelled), strict=True):
        assert (before.label, before.p_holm) == (after.label, after.p_holm) or math.isnan(before.p_holm)


def test_a_label_that_is_weak_alone_falls_among_many_families():
    rows = table({"relu": 0.5}, noise=0.02, draws=6)
    single = records(rows).rates().iloc[0]
    assert (single.label, single.p_holm) == (single.label_alone, single.p_value)
    crowd = [r | {"target": f"t{i}", "information_rich": True} for i in range(6) for r in table({"relu": 0.3}, draws=6)]
    together = records(rows + crowd).rates()
    tested = together[together.p_holm.notna()]
    by_hand = holm(list(tested.p_value)) if len(tested) == 7 else None
    assert by_hand is not None
    assert tested.p_holm.tolist() == pytest.approx(by_hand)


def test_rates_show_median_best_forecast_and_model():
    row = records(table({"relu": 0.5}, seeds=4, noise=0.1)).rates().iloc[0]
    curve = records(table({"relu": 0.5}, seeds=4, noise=0.1)).families()[0]
    assert row.rate_best_low < row.rate_best < row.rate_best_high
    assert row.next_error_low < row.next_error < row.next_error_high
    assert row.next_error == pytest.approx(3200**-0.5, rel=0.15)
    assert (row.model, row.asymptotic) == (curve.rate.model, curve.rate.asymptotic)
    bare = records(table({"relu": 0.5}, sizes=SIZES[:3])).rates().iloc[0]
    assert math.isnan(bare.next_error)
    assert not bare.asymptotic


@pytest.mark.parametrize("scatter", [0.1, 0.25])
def test_refits_that_change_nothing_but_the_noise_mark_few_sizes(scatter):
    rng = np.random.default_rng(5)
    before, after = np.exp(rng.normal(0, scatter, (2, 1, 4000, 4)))
    assert budget_limited(before, after)["budget"].mean() < 0.06


@pytest.mark.parametrize(("scatter", "pairs", "least"), [(0.2, 6, 0.95), (0.2, 4, 0.8), (0.3, 6, 0.75)])
def test_refits_show_a_fall_of_a_third(scatter, pairs, least):
    # What docs/honesty.md says about the power of so few pairs; the scatter is that of log(after / before).
    rng = np.random.default_rng(5)
    after = 0.7 * np.exp(rng.normal(0, scatter, (1, 4000, pairs)))
    assert budget_limited(np.ones_like(after), after)["budget"].mean() > least


def test_a_constructive_start_shows_where_random_starts_are_limited_and_its_gap_stays_in_the_fit():
    rows = table({"relu": 0.3}, start="random") + table({"relu": 0.5}, start="constructive")
    random, constructive = records(rows).families()
    assert random.limited_by["start"].all()
    assert not random.kept_out.any()
    assert random.rate.value == pytest.approx(0.3, abs=0.03)
    assert any("limited by optimisation: the rate describes the training" in r for r in random.point.reasons)
    assert not constructive.limited.any()


def deeper(factors, **columns):
    """Errors W^-0.5 times a factor at each size; noise of 5 %."""
    rows = table({"relu": 0.5}, **columns)
    return [r | {"error_sup": r["error_sup"] * factors.get(r["n_params"], 1.0)} for r in rows]


def test_an_error_that_rises_with_depth_is_flagged_by_embedding_and_kept_out():
    curve = records(deeper({800: 4.0})).families()[0]  # larger than at 400 and 200, which the deeper network contains
    assert curve.limited_by["depth"].tolist() == [False, False, False, False, True, False]
    assert curve.kept_out.tolist() == curve.limited.tolist() == curve.limited_by["depth"].tolist()
    assert curve.rate.value == pytest.approx(0.5, abs=0.03)


def test_a_rise_is_paired_by_draw():
    # Draws differ by e^3, sizes 400 and 800 by 30 % within every draw: unpaired nobody would see it.
    rows = deeper({800: 1.3 * 2**0.5}, draws=6)
    rows = [r | {"error_sup": r["error_sup"] * math.exp(0.6 * r["target_seed"])} for r in rows]
    assert records(rows).families()[0].limited_by["depth"].tolist() == [False] * 4 + [True, False]


def test_a_rise_counts_only_where_one_network_contains_the_other():
    rows = deeper({800: 4.0})
    narrow = [r | {"width": 4, "depth": 99} if r["n_params"] == 800 else r for r in rows]
    assert not any(c.limited.any() for c in records([r | {"architecture": "zoo"} for r in narrow]).families())
    unknown = [r | {"width": None, "depth": None} for r in rows]
    assert not records(unknown).families()[0].limited.any()
    built = [r | {"method": "construct", "construction": "interpolation"} for r in rows]
    assert not records(built).families()[0].limited.any()


def test_contrasts_are_paired_on_common_draws():
    rows = table({"relu": 0.45}, draws=6) + [r for r in table({"sin": 0.8}, draws=6) if r["target_seed"] >= 2]
    contrast = records(rows).compare("activation").iloc[0]
    assert (contrast.a, contrast.b, contrast.n_draws) == ("relu", "sin", 4)
    assert contrast.difference == pytest.approx(-0.35, abs=0.05)
    assert contrast.difference_low < contrast.difference < contrast.difference_high < 0
    assert contrast.error_ratio > 1


def test_contrasts_hold_everything_else_fixed():
    rows = table({"relu": 0.5, "sin": 0.6}) + table({"relu": 0.5, "sin": 0.6}, smoothness=0.75)
    contrasts = records(rows).compare("activation")
    assert sorted(contrasts.smoothness) == [0.5, 0.75]


def test_training_is_compared_with_a_construction():
    built = [r | {"method": "construct", "construction": "interpolation"} for r in table({"relu": 0.5}, seeds=1)]
    trained = [r | {"start": "random", "architecture": "fixed_width"} for r in table({"relu": 0.4})]
    assert len(records(trained + built).compare("method")) == 1


def test_an_unknown_column_is_refused_with_the_known_ones():
    found = records(table({"relu": 0.5}))
    for ask in (found.compare, found.rates):
        with pytest.raises(ValueError, match="activation"):
            ask("activaton")
    with pytest.raises(ValueError, match="sup"):
        found.families(norm="max")
    with pytest.raises(ValueError, match="n_params_dense"):
        found.families(x="weights")


@pytest.mark.parametrize(
    ("rows", "error", "named"),
    [
        ([{"error_sup": 1.0}], ValueError, "n_params"),
        ([{"n_params": 10}], ValueError, "error_sup"),
        ([{"n_params": 10, "error_sup": -1.0}], ValueError, "row 0"),
        ([{"n_params": 10, "error_sup": 0.0}], ValueError, "positive"),
        ([{"n_params": 10, "error_sup": float("inf")}], ValueError, "positive"),
        ([{"n_params": 0, "error_sup": 1.0}], ValueError, "n_params"),
        ([{"n_params": 10, "error_sup": "small"}], ValueError, "small"),
        ([{"n_params": 10, "error_sup": 1.0, "status": "fine"}], ValueError, "fine"),
        ([{"n_params": 10, "error_sup": 1.0, "smoothness": -1.0}], ValueError, "smoothness"),
        ([{"n_params": 10, "error_sup": 1.0, "smoothness": "rough"}], ValueError, r"smoothness .*'rough' in row 0"),
        ([{"n_params": 10, "error_sup": 1.0, "dim": 1.5}], ValueError, r"dim must be an integer .*1\.5 in row 0"),
        ([{"n_params": 10, "error_sup": 1.0, "dim": "two"}], ValueError, "dim must be an integer .*'two' in row 0"),
        ([{"n_params": 10, "error_sup": 1.0, "dim": float("inf")}], ValueError, "dim must be an integer"),
        ([{"n_params": 10, "error_sup": float("nan")}], ValueError, "^error_sup must .*no value in row 0"),
        ([{"n_params": 10, "error_sup": None, "error_l2": None}], ValueError, "^error_sup must .*no value in row 0"),
        ([{"n_params": 10, "error_sup_lower": 1.0, "error_sup_upper": 0.1}], ValueError, "at most error_sup_upper"),
    ],
    ids=lambda v: str(v)[:40],
)
def test_a_bad_table_is_refused_in_one_line(rows, error, named):
    with pytest.raises(error, match=named) as caught:
        records(rows)
    assert "\n" not in str(caught.value)


def test_a_table_must_be_a_data_frame_with_rows():
    with pytest.raises(TypeError, match="DataFrame"):
        records_from_table([{"n_params": 10, "error_sup": 1.0}])
    with pytest.raises(ValueError, match="at least one row"):
        records_from_table(pd.DataFrame({"n_params": [], "error_sup": []}))


def test_a_table_of_l2_errors_alone_has_l2_curves():
    rows = [{"n_params": n, "error_l2": n**-1.5} for n in SIZES]
    assert records(rows).families(norm="l2")[0].rate.value == pytest.approx(1.5, abs=1e-6)


def test_the_catalogue_says_whether_a_tabled_target_is_information_rich():
    assert records(table({"relu": 0.5})).families()[0].regularity.information_rich
    assert not records(table({"relu": 0.5}, information_rich=False)).families()[0].regularity.information_rich
    assert not records(table({"relu": 0.5}, target="takagi")).families()[0].regularity.information_rich


def stored_row(replica, status="ok", **metrics):
    spec = {
        "target": {"name": "faber_tree", "smoothness": 0.5, "dim": 1, "seed": 3},
        "architecture": {"kind": "fixed_width", "dim": 1, "width": 4, "depth": 2, "activation": "relu"},
        "training": {"plan": [{"stage": "adam", "steps": 5}], "replica": replica},
        "recipe": {"target": 1, "training": 1, "error": 1},
    }
    head = {"schema": 1, "id": store.digest(spec), "spec": spec, "status": status, "attempt": 1, "error": None}
    return head | {"metrics": metrics, "environment": {}, "times": {"begin": 0.0, "end": 1.0}}


def test_a_stored_row_is_laid_flat():
    row = flat(stored_row(2, n_params=33, error_sup_upper=0.5, plan="adam 5"))
    expected = {"target": "faber_tree", "target_seed": 3, "smoothness": 0.5, "method": "train", "activation": "relu"}
    expected |= {"width": 4, "depth": 2, "replica": 2, "start": "random", "budget": 1, "plan": "adam 5", "n_params": 33}
    assert {k: row[k] for k in expected} == expected


def test_a_failed_run_still_knows_its_size():
    assert flat(stored_row(0, "failed"))["n_params"] == 33


def test_a_folder_is_read_without_running(tmp_path):
    store.Segment(tmp_path).append(
        [stored_row(i, n_params=33, error_sup_lower=0.4, error_sup_upper=0.5) for i in (0, 1)]
    )
    found = load_records(tmp_path)
    assert len(found) == 2
    assert list(found.frame().columns) == list(FRAME_COLUMNS)
    assert "2 ok" in repr(found)
    store.write_selection(tmp_path, store.Selection("one", (stored_row(1)["id"],)))
    assert load_records(tmp_path).frame().replica.tolist() == [1]


def test_records_know_the_folder_they_were_read_from(tmp_path):
    store.Segment(tmp_path).append([stored_row(0, n_params=33, error_sup_lower=0.4, error_sup_upper=0.5)])
    assert load_records(tmp_path).folder == tmp_path
    assert records(table({"relu": 0.5})).folder is None


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Run the study first"):
        load_records(tmp_path / "absent")


def test_refits_in_a_table_without_shapes_are_matched_by_size():
    rows = [{"n_params": n, "error_sup": 1.0 / n, "budget": 1} for n in (10, 20, 40, 80)]
    rows = [r | {"replica": i} for r in rows for i in range(4)]
    rows += [r | {"budget": 4, "error_sup": 0.5 / 80} for r in rows if r["n_params"] == 80]
    rows += [r | {"budget": 4} for r in rows if r["n_params"] == 10]
    curve = records_from_table(pd.DataFrame(rows)).families()[0]
    assert curve.limited.tolist() == [False, False, False, True]


@pytest.mark.parametrize(
    ("bits", "least", "most"),
    [
        ([60.0, 60.03, 59.99, 60.04], 0.0, 0.0),
        ([27.0, 30.0, 33.0, 36.0], 0.1, 0.2),
        ([10.0, 20.0, 40.0, 80.0], 0.99, 1.01),
    ],
    ids=["constant", "logarithm", "linear"],
)
def test_bits_that_only_waver_do_not_grow(bits, least, most):
    rows = [{"n_params": 500 * 2**k, "bits_per_weight": b, "max_bits": 90} for k, b in enumerate(bits)]
    assert least <= bits_exponent(rows) <= most
