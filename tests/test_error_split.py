"""The parts of an error: none negative, all together the error, and each of them what it says."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import approxrates as ar
from approxrates.records import records_from_table
from approxrates.records.split import PARTS, SPLIT_COLUMNS, split_error
from approxrates.records.twins import LAW

DEPTHS = (1, 2, 4, 8)
ERRORS = [f"error_{part}" for part in PARTS]
positive = st.floats(1e-12, 1e3)


@given(error=positive, best=st.floats(0, 1e3), at=st.one_of(st.just(math.nan), st.floats(0, 1e3)), floor=st.one_of(st.just(math.nan), st.floats(0, 1e3)))  # fmt: skip
def test_parts_are_never_negative_and_sum_to_the_error(error, best, at, floor):
    parts = split_error(error, best, at, floor)
    assert min(parts) >= 0
    assert sum(parts) == pytest.approx(error, rel=1e-12)


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ((1.0, 1.0, 1.0, 0.0), (1.0, 0.0, 0.0, 0.0)),  # nobody does better
        ((1.0, 0.2, 1.0, 0.0), (0.2, 0.8, 0.0, 0.0)),  # all of the excess shows at the points
        ((1.0, 0.2, 0.2, 0.0), (0.2, 0.0, 0.8, 0.0)),  # none of it does
        ((1.0, 0.2, 0.5, 0.0), (0.2, 0.3, 0.5, 0.0)),
        ((1.0, 0.7, 0.5, 0.0), (0.7, 0.0, 0.3, 0.0)),  # the best known errs between the points, too
        ((1.0, 0.2, 1.3, 0.0), (0.2, 0.8, 0.0, 0.0)),  # quadrature and points differ a little
        ((1.0, 0.0, 1.0, 0.3), (0.0, 0.7, 0.0, 0.3)),
        ((1.0, 0.7, 1.0, 0.3), (0.7, 0.0, 0.0, 0.3)),
        ((1.0, 0.5, 1.0, 2.0), (0.0, 0.0, 0.0, 1.0)),  # nothing but noise
        ((1.0, 0.2, math.nan, math.nan), (0.2, 0.8, 0.0, 0.0)),  # nothing stored: the rest is optimisation
    ],
)
def test_what_each_part_is(given, parts):
    assert split_error(*given) == pytest.approx(parts)


def size(depth):
    return 16 + (depth - 1) * 72 + 9


def table(errors, start="random", *, draws=3, seeds=3, at=1.0, floor=0.0, **columns):
    """``errors`` by depth, larger by a tenth from replica to replica and by a factor e from draw to draw."""
    return [
        {
            "target": "faber_tree", "smoothness": 0.5, "dim": 1, "activation": "relu", "start": start, "width": 8,
            "depth": depth, "n_params": size(depth), "target_seed": draw, "replica": replica,
            "error_sup": (e := error * math.exp(draw) * (0.9 + 0.1 * replica)), "error_l2": e / 4,
            "sup_at_points": at * e, "rms_at_points": at * e / 4,
            "float_floor": floor * e / 4, "float_floor_sup": floor * e,
        } | columns
        for (depth, error), draw, replica in itertools.product(zip(DEPTHS, errors, strict=True), range(draws), range(seeds))
    ]  # fmt: skip


def split(*parts, norm="sup"):
    return records_from_table(pd.DataFrame([row for part in parts for row in part])).split(norm)


def shares(frame):
    return frame[[f"share_{part}" for part in PARTS]].to_numpy()


def test_the_frame_has_a_row_for_every_size_and_parts_that_sum_to_the_median_error():
    frame = split(table((8, 4, 2, 1), at=0.95, floor=0.01), norm=None)
    assert list(frame.columns) == [*LAW, "family", "activation", *SPLIT_COLUMNS]
    assert frame.n_params.tolist() == [size(d) for d in DEPTHS] * 2
    assert frame.error.tolist()[:4] == pytest.approx([math.e * e for e in (8, 4, 2, 1)])
    assert frame[ERRORS].sum(axis=1).to_numpy() == pytest.approx(frame.error.to_numpy(), rel=1e-12)
    assert (shares(frame) >= 0).all()
    assert shares(frame).sum(axis=1) == pytest.approx(np.ones(8))
    assert (frame.n_draws == 3).all()


def test_with_one_family_the_best_replica_is_the_architecture_and_the_points_divide_the_rest():
    frame = split(table((8, 4, 2, 1), at=0.95))
    assert shares(frame) == pytest.approx(np.tile([0.9, 0.05, 0.05, 0.0], (4, 1)))
    assert frame.best_known.to_numpy() == pytest.approx([0.9 * math.e * e for e in (8, 4, 2, 1)])
    assert set(frame.best_from) == {"random start"}


def test_a_better_start_a_refit_and_a_start_before_training_all_count_as_known():
    random = table((8, 4, 2, 1))
    built = table((4, 2, 1, 1), "constructive", start_error_sup=None)
    again = [r | {"budget": 4, "error_sup": r["error_sup"] / 10} for r in random if r["depth"] == 4]
    for row in built:
        row["start_error_sup"] = 0.2 * math.exp(row["target_seed"]) if row["depth"] == 8 else None
    frame = split(random, built, again).set_index(["start", "depth"])
    rows = frame.loc["random"]
    assert rows.best_from.to_dict() == {
        1: "constructive start",
        2: "constructive start",
        4: "random start, larger budget",
        8: "random start, larger budget",  # of the shallower network, which is contained
    }
    assert rows.error_architecture[1] == pytest.approx(0.45 * rows.error[1])
    assert rows.error_architecture[4] == pytest.approx(0.09 * rows.error[4])
    assert rows.best_known[8] == pytest.approx(0.18 * math.e)
    cheaper = split(random, built).set_index(["start", "depth"]).loc["random"]
    assert cheaper.best_from[8] == "constructive start, untrained"
    assert cheaper.best_known[8] == pytest.approx(0.2 * math.e)


def test_what_is_known_does_not_rise_with_size_however_the_errors_do():
    rng = np.random.default_rng(0)
    rows = [r | {"error_sup": r["error_sup"] * math.exp(rng.normal())} for r in table((1, 1, 1, 1), draws=1)]
    best = split(rows).best_known.to_numpy()
    assert (np.diff(best) <= 0).all()
    least = [min(r["error_sup"] for r in rows if r["depth"] <= depth) for depth in DEPTHS]
    assert best == pytest.approx(least)


def test_only_what_the_networks_contain_on_the_same_draw_counts():
    random = table((8, 4, 2, 1))
    better = {
        "wider": {"width": 16, "depth": 1, "n_params": 49},
        "other units": {"activation": "tanh"},
        "other target": {"smoothness": 0.75},
        "other draw": {"target_seed": 99, "method": "construct", "construction": "interpolation"},
        "long weights": {"method": "construct", "construction": "yarotsky2020_deep", "max_bits": 4000},
        "too many pieces": {"method": "reference", "construction": "free_knot_spline", "pieces": 8, "activation": ""},
    }
    alone = split(random)
    for change in better.values():
        other = [r | {"error_sup": r["error_sup"] / 100} | change for r in random if r["depth"] == 1]
        frame = split(random, other)
        frame = frame[(frame.activation == "relu") & (frame.smoothness == 0.5) & (frame.width == 8)]
        assert frame.best_known.tolist()[0] == pytest.approx(alone.best_known.tolist()[0]), change
    knots = better["too many pieces"] | {"pieces": 7}  # one layer of six hinges
    frame = split(random, [r | {"error_sup": r["error_sup"] / 100} | knots for r in random if r["depth"] == 1])
    assert frame.best_from[0] == "free_knot_spline"
    assert frame.best_known[0] == pytest.approx(alone.best_known[0] / 100)


def test_one_bad_run_in_three_changes_nothing():
    rows = table((8, 4, 2, 1), at=0.95)
    spoilt = [r | ({"error_sup": 1e3, "error_l2": 1e3} if r["replica"] == 2 else {}) for r in rows]
    assert shares(split(spoilt)) == pytest.approx(shares(split(rows)))


def test_even_numbers_of_runs_are_split_by_the_two_in_the_middle():
    frame = split(table((8, 4, 2, 1), seeds=4, at=0.95))
    # Errors .9, 1, 1.1, 1.2: the middle ones are 1 and 1.1, and .9 is known.
    assert shares(frame)[0] == pytest.approx(np.array([0.9, 0.5 * (0.05 + 0.145), 0.5 * (0.05 + 0.055), 0]) / 1.05)
    assert frame.error[0] == pytest.approx(8.0 * 1.05 * math.e)


def test_the_floor_of_the_best_is_not_its_architecture():
    # Everything is noise: of the best as of the others.
    frame = split(table((1, 1, 1, 1), floor=1.0))
    assert shares(frame) == pytest.approx(np.tile([0, 0, 0, 1.0], (4, 1)))
    # A refit in double precision has no noise, and tells what the single-precision ones could be.
    rows = table((1, 1, 1, 1), floor=0.5)
    exact = [
        r | {"error_sup": 0.2 * math.exp(r["target_seed"]), "float_floor_sup": 0.0, "dtype": "float64"} for r in rows
    ]
    frame = split([r | {"dtype": "float32"} for r in rows], exact)
    assert shares(frame[frame.dtype == "float32"])[0] == pytest.approx([0.2, 0.3, 0.0, 0.5])


def test_what_is_not_stored_is_said_and_lies_inside_optimisation():
    rows = table((8, 4, 2, 1), at=0.95, floor=0.01)
    for row in rows:
        del row["sup_at_points"], row["float_floor_sup"]
    frame = split(rows)
    assert frame[["error_sampling", "error_float", "share_sampling", "share_float"]].isna().all(axis=None)
    assert shares(frame)[0][:2] == pytest.approx([0.9, 0.1])
    some = [r | ({"sup_at_points": None} if r["target_seed"] == 1 else {}) for r in table((8, 4, 2, 1), at=0.95)]
    frame = split(some)
    assert frame.error_sampling.isna().all()
    assert frame[ERRORS].sum(axis=1).to_numpy() == pytest.approx(frame.error.to_numpy())


def test_tables_without_shapes_count_the_smaller_sizes_of_the_family():
    rows = [{k: v for k, v in r.items() if k not in ("width", "depth")} for r in table((1, 1, 0.1, 1))]
    assert split(rows).best_known.to_numpy() == pytest.approx(np.array([0.9, 0.9, 0.09, 0.09]) * math.e)


def test_a_trained_study_is_split_as_its_stored_numbers_say(tmp_path):
    study = ar.Study(
        "tiny",
        targets=[ar.load_target("faber_tree", smoothness=0.5, dim=1, seed=s) for s in range(2)],
        architectures=ar.FixedWidth(dim=1, width=4, depth=ar.axis(1, 2, 3, 4)),
        references=ar.Reference("free_knot_spline", n_params=12),
        replicas=1,
        plan=[ar.Adam(steps=5)],
        start=ar.axis("random", "constructive"),
        n_points=64,
    )
    records = study.run(tmp_path, progress=False, keep="none")
    frame, runs = records.split(), records.frame()
    assert len(frame) == 2 * 2 * 4
    assert frame[ERRORS].sum(axis=1).to_numpy() == pytest.approx(frame.error.to_numpy(), rel=1e-12)
    assert (frame[ERRORS] >= 0).all(axis=None)
    # By hand: one run of each draw, so the shares are the mean of two splits.
    row = frame[(frame.norm == "l2") & (frame.start == "random") & (frame.depth == 3)].iloc[0]
    by_hand = []
    for seed in (0, 1):
        same = runs[(runs.target_seed == seed) & (runs.activation == "relu") & (runs.depth <= 3)]
        spline = runs[(runs.target_seed == seed) & (runs.method == "reference")].iloc[0]
        assert spline.pieces <= 3 * 2 + 1
        known = [spline.error_l2, *(same.error_l2 - same.float_floor), *same.start_error_l2.dropna()]
        run = same[(same.depth == 3) & (same.start == "random")].iloc[0]
        excess = run.error_l2 - run.float_floor - min(known)
        hidden = min(excess, max(0.0, run.error_l2 - run.rms_at_points))
        by_hand.append(np.array([min(known), excess - hidden, hidden, run.float_floor]) / run.error_l2)
    assert row[[f"share_{part}" for part in PARTS]].astype(float).to_numpy() == pytest.approx(np.mean(by_hand, axis=0))


def test_families_that_differ_in_growth_or_in_what_is_held_fixed_are_told_apart():
    grown = table((8, 4, 2, 1), architecture="fixed_width")
    other = [r | {"architecture": "depth ~ W^0.5", "width": 8 + r["depth"]} for r in grown]
    injected = [r | {"architecture": "fixed_width", "architecture_options": "injection"} for r in grown]
    assert "architecture_options" not in grown[0]  # nothing is a value, too
    grid = [r | {"architecture": "grid", "width": w, "n_params": r["n_params"] * w} for w in (4, 16) for r in grown]
    records = records_from_table(pd.DataFrame(grown + other + grid + injected))
    frame = records.split("sup")
    assert frame.family.nunique() == 5
    assert {"relu, fixed_width", "relu, depth ~ W^0.5", "relu, fixed_width, injection"} < set(frame.family)
    assert frame.groupby("family").size().tolist() == [4] * 5
    assert (frame.groupby("family").error_architecture.count() == 4).all()
    assert records.gaps("sup").family.nunique() == 5


def test_links_and_schedules_of_a_stored_network_are_columns_of_its_family():
    from approxrates.records.rows import flat
    from approxrates.store import digest

    def stored(**options):
        kind = {"kind": "fixed_width", "dim": 1, "width": 4, "depth": 2, "activation": "relu"} | options
        target = {"name": "faber_tree", "smoothness": 0.5, "dim": 1, "seed": 3}
        spec = {"target": target, "architecture": kind, "training": {"plan": [], "replica": 0}, "recipe": {}}
        return flat({"id": digest(spec), "spec": spec, "status": "ok", "metrics": {}})

    told = [(r["architecture"], r["architecture_options"]) for r in (
        stored(), stored(injection=True, residual=True), stored(bias=False), stored(exponent=0.5)
    )]  # fmt: skip
    assert told == [
        ("fixed_width", ""),
        ("fixed_width", "injection, residual"),
        ("fixed_width", "no bias"),
        ("depth ~ W^0.5", ""),
    ]
