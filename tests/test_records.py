"""Records: families, rates, optimisation-limited sizes and paired contrasts from flat rows."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from approxrates import store
from approxrates.phase import holm, place_all
from approxrates.records import FRAME_COLUMNS, FamilyCurve, load_records, records_from_table
from approxrates.records.curves import error_of, is_schedule
from approxrates.records.growth import bits_exponent
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


def test_limited_sizes_are_marked_and_stay_in_the_fit():
    rows = table({"relu": 0.5}, noise=0.01)
    again = [r | {"budget": 4, "error_sup": r["error_sup"] / 3} for r in rows if r["n_params"] == 1600]
    again += [r | {"budget": 4} for r in rows if r["n_params"] == 800]
    curve = records(rows + again).families()[0]
    assert curve.limited.tolist() == [False] * 5 + [True]
    assert curve.rate.used.all()
    assert any("limited by optimisation" in sentence for sentence in curve.point.reasons)


def test_a_second_rate_takes_limited_errors_as_upper_bounds():
    # The networks could do W^-0.5; at the two largest sizes training stops at W^-0.5 times 2 and 4.
    rows = table({"relu": 0.5}, noise=0.01, seeds=4)
    for row in rows:
        row["error_sup"] *= {800: 2.0, 1600: 4.0}.get(row["n_params"], 1.0)
    again = [r | {"budget": 4, "error_sup": r["error_sup"] / 2} for r in rows if r["n_params"] in (800, 1600)]
    again += [r | {"budget": 4} for r in rows if r["n_params"] == 400]
    found = records(rows + again)
    curve = found.families()[0]
    assert curve.limited.tolist() == [False] * 4 + [True] * 2
    assert curve.unlimited_rate.value == pytest.approx(0.5, abs=0.03)
    assert curve.rate.value < 0.4 or curve.rate.verdict == "undetermined"
    row = found.rates().iloc[0]
    assert row.rate_unlimited == curve.unlimited_rate.value
    assert row.rate == curve.rate.value
    assert records(table({"relu": 0.5})).families()[0].unlimited_rate is None


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
    marked = []
    for _ in range(60):
        rows = table({"relu": 0.5}, noise=0.0, draws=1, seeds=4)
        noisy = [r | {"error_sup": r["error_sup"] * np.exp(rng.normal(0, scatter))} for r in rows]
        again = [r | {"error_sup": r["error_sup"] * np.exp(rng.normal(0, scatter)), "budget": 4} for r in rows]
        marked.append(records(noisy + again).families()[0].limited)
    assert np.mean(marked) < 0.08


def test_a_constructive_start_shows_where_random_starts_are_limited():
    rows = table({"relu": 0.3}, noise=0.0, start="random") + table({"relu": 0.5}, noise=0.0, start="constructive")
    random, constructive = records(rows).families()
    assert random.limited.all()
    assert not constructive.limited.any()


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
