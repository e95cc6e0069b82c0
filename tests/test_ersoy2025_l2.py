"""The probe of L2 transitions: its cells against closed forms at toy size, its plan, its table, its figures."""

import json

import numpy as np
import pytest

import approxrates as ar
from approxrates.plots.saving import drawn_numbers
from approxrates.probes import ersoy2025_l2_cells as cells
from approxrates.probes import ersoy2025_l2_reading as reading
from approxrates.probes import ersoy2025_l2_tables as l2_tables
from approxrates.probes.ersoy2025_l2 import Ersoy2025L2
from approxrates.probes.ersoy2025_l2_settings import L2Settings
from approxrates.theory import l2_transitions as theory
from approxrates.transitions import Located

TOY = {
    "activations": ("identity",), "depths": (1, 2), "seeds": 1, "points": 16, "samples": 40, "mode_depths": (1, 2),
    "mode_seeds": 1, "onset_depths": (1,), "onset_steps": 600, "map_depths": (2,), "map_runs": 34, "map_batch": 2,
    "map_seeds": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def toy():
    return ar.probe("ersoy2025_l2", out=None, progress=False, **TOY)


def sweep_of(activation, depth, modes=(1.0,), points=16, **settings):
    made = L2Settings(points=points, samples=40, seeds=1, **settings)
    return made._sweep(activation, depth, modes, 0)


def test_data_are_white_exactly_and_mirrored():
    data = cells.white_data(40, 3, [1.0, 0.6])
    x, y = data.samples
    assert np.allclose(x.T @ x / 40, np.eye(3), atol=1e-12)
    assert np.array_equal(x[:20], -x[20:])
    assert np.allclose(y, x[:, :2] * [1.0, 0.6])


def test_onset_of_rectified_units_is_half_the_signal_on_mirrored_data():
    # The quadratic form a E[y relu(w.x)] of one unit at zero weights, by brute force over directions.
    x, y = cells.white_data(40, 2, [1.0]).samples
    angles = np.linspace(0, 2 * np.pi, 2001)
    directions = np.stack([np.cos(angles), np.sin(angles)])
    assert np.max(np.mean(np.maximum(x @ directions, 0) * y, axis=0)) == pytest.approx(0.5, abs=1e-9)


@pytest.mark.parametrize("depth", [1, 2])
def test_sweep_of_a_linear_network_follows_the_closed_form_point_by_point(depth):
    row = sweep_of("identity", depth)
    row |= cells.sweep(row)
    up, n = reading.table(row), depth + 1
    gammas = up["penalty"]
    alive = gammas < 0.99 * theory.transition(n).spinodal
    b = theory.learned_branch(gammas[alive], n)
    assert np.allclose(up["order"][alive], b, atol=1e-6)
    assert np.allclose(up["loss"][alive], 1 + theory.reduced_loss(b, gammas[alive], n), atol=1e-8)
    assert np.allclose(up["norm"][alive], n * b ** (2 / n), atol=1e-5)
    assert np.allclose(up["error"][alive], (1 - b) ** 2, atol=1e-6)
    assert np.allclose(up["margin"][alive], theory.stability_margin(gammas[alive], n), atol=1e-4)
    dead = gammas > 1.01 * theory.transition(n).spinodal
    assert np.all(up["order"][dead] < 1e-6)
    assert np.allclose(up["margin"][dead], theory.trivial_margin(gammas[dead], n), atol=1e-6)
    down = reading.table(row, "down")
    assert np.allclose(down["order"], theory.global_minimum(gammas, n) if depth == 1 else 0, atol=1e-3)
    assert reading.verdict(row).verdict == theory.order_of_transition(n)


def test_rectified_network_of_two_hidden_layers_ends_at_half_the_linear_spinodal():
    row = sweep_of("relu", 2)
    row |= cells.sweep(row)
    half = float(theory.transition(3).spinodal) / 2
    assert abs(reading.verdict(row).lost.value - half) < reading.step_of(row)
    assert abs(reading.critical(row).value - float(theory.transition(3).critical) / 2) < 0.03 * half
    assert reading.verdict(row).verdict == "first order"


def test_tanh_network_of_one_hidden_layer_is_continuous_at_the_signal():
    row = sweep_of("tanh", 1)
    row |= cells.sweep(row)
    assert reading.verdict(row).verdict == "second order"
    assert reading.verdict(row).lost.value == pytest.approx(1.0, abs=reading.step_of(row) / 4)


def test_cells_are_functions_of_their_specs():
    spec = sweep_of("tanh", 2, points=12)
    assert json.dumps(cells.sweep(spec)) == json.dumps(cells.sweep(json.loads(json.dumps(spec))))


def test_a_leg_does_not_depend_on_its_companions():
    data = cells.white_data(40, 3, [1.0])
    arch = cells.architecture(sweep_of("tanh", 1), 1)
    gammas = np.linspace(0.1, 0.5, 4)

    def leg():
        return cells.Leg(gammas, cells.small_network(arch, 0.5, 3))

    alone, beside, other = leg(), leg(), cells.Leg(gammas[::-1], cells.small_network(arch, 0.5, 4), kick=1)
    cells.follow(arch, data, [alone], measure=())
    cells.follow(arch, data, [other, beside], measure=())
    assert alone.series() == beside.series()


@pytest.mark.parametrize(("penalty", "expected"), [(0.2, "learned"), (0.43, "metastable"), (0.6, "trivial")])
def test_a_run_of_the_map_votes_for_the_phase_of_the_closed_form(penalty, expected):
    (spec,) = L2Settings(samples=40, map_seeds=2).map_cells(2, np.array([[1.0, penalty]]))
    found = cells.phase_cell(spec)
    assert found["votes"] == {expected: 2}
    assert 0 <= found["random_learned"] <= 1
    if expected != "trivial":
        slope = theory.learned_branch(penalty, 3)
        assert np.allclose(np.abs(found["orders"]), slope, atol=1e-4)
        assert np.allclose(found["losses"], 1 + theory.reduced_loss(slope, penalty, 3), atol=1e-6)


def test_toy_run_agrees_with_the_closed_forms_and_says_so(toy):
    assert set(toy.records["status"]) == {"ok"}
    table = toy.expected().set_index("quantity")
    order = table[table.index.str.startswith("order")]
    assert order["verdict"].tolist() == ["agrees", "agrees"]
    for name in ("critical penalty, linear, L = 2", "critical penalty, linear, L = 3", "jump, linear, L = 3",
                 "spinodal, linear, L = 3", "hysteresis width, linear, L = 2"):  # fmt: skip
        assert table.loc[name, "verdict"] == "agrees", name
        assert table.loc[name, "source"]
    assert (table[table.index.str.startswith("rank falls")]["verdict"] == "agrees").all()
    assert (table[table.index.str.startswith("zero of the stability margin")]["verdict"] == "agrees").all()
    # Too few runs for the bar of the map are not held against it.
    assert table.filter(like="wrong area", axis=0)["verdict"].tolist() == ["undecided"]
    onset = table.filter(like="onset along training", axis=0).iloc[0]
    assert abs(onset["measured"] - 1) < 0.1


def test_findings_say_which_detector_located_the_transition(toy):
    text = "\n".join(toy.findings())
    assert "**linear, L = 3** (2 hidden): first order" in text
    assert "stability margin 2 of 2" in text
    assert "scalar curvature R" in text
    assert "Onset along training" in text
    assert "estimated wrong area" in text


def test_a_spinodal_needs_two_thirds_of_the_seeds():
    right, early = Located(0.47, 0.469, 0.471), Located(0.44, 0.439, 0.441)
    for places, word in (([right] * 4 + [early], "agrees"), ([right] * 3 + [early] * 2, "undecided")):
        row = l2_tables._spinodal_row("linear, L = 3", 0.4725, places, 0.01, "closed form")
        assert row.verdict == word
        assert f"{places.count(right)} of 5 seeds" in row.note


def test_figures_show_every_point(toy):
    draws = toy.draws()
    assert set(draws) == {"sweeps-identity", "modes", "onset", "map-L3"}
    shown = drawn_numbers(draws["sweeps-identity"]())
    assert (shown.groupby(["depth", "direction"]).size() >= 16).all()
    refined = shown[(shown["depth"] == 1) & (shown["direction"] == "up")]
    assert np.diff(np.sort(refined["penalty"])).min() < np.diff(np.sort(refined["penalty"])).max() / 12
    assert {"order", "error", "norm", "margin", "curvature", "penalty", "direction"} <= set(shown.columns)
    assert len(drawn_numbers(draws["map-L3"]())) == 34
    assert len(drawn_numbers(draws["onset"]())) > 0
    assert len(drawn_numbers(draws["modes"]())) == 2 * 2 * 16


def test_plan_resumes_by_replay_with_maps_side_by_side():
    settings = L2Settings(**TOY | {"map_depths": (1, 2), "map_runs": 36, "map_batch": 3})

    def answer(spec):
        if spec["kind"] != "map":
            return {}
        return {"votes": {str(theory.phase(spec["penalty"], spec["depth"] + 1, spec["signal"])): 1}}

    def replay():
        plan, lists = Ersoy2025L2().plan(settings), []
        specs = next(plan)
        while True:
            lists.append(specs)
            try:
                specs = plan.send([answer(spec) for spec in specs])
            except StopIteration:
                return lists

    first = replay()
    assert json.dumps(first) == json.dumps(replay())
    mapped = [[spec["depth"] for spec in specs if spec["kind"] == "map"] for specs in first]
    assert mapped[0].count(1) == mapped[0].count(2) == 32
    assert [sorted(batch) for batch in mapped[1:]] == [[1, 1, 1, 2, 2, 2], [1, 2]]
    assert all(spec["kind"] == "map" for specs in first[1:] for spec in specs)


def test_a_failed_cell_has_no_vote_and_the_map_goes_on():
    settings = L2Settings(**TOY)
    plan = Ersoy2025L2().plan(settings)
    specs = next(plan)
    following = plan.send([None] * len(specs))
    assert len(following) == 2
    assert not {(s["signal"], s["penalty"]) for s in following} & {
        (s["signal"], s["penalty"]) for s in specs if s["kind"] == "map"
    }


@pytest.mark.parametrize(
    ("bad", "match"),
    [
        ({"points": 5}, "points must be at least 12"), ({"samples": 41}, "samples must be even"),
        ({"modes": (0.3, 1.0)}, "modes must fall"), ({"depths": (0,)}, "depths must be at least 1"),
        ({"activations": ("tnah",)}, "tnah"), ({"map_runs": 10}, "map_runs must be at least 32"),
        ({"onset_rate": 0.9}, "onset_rate must be"),
    ],
)  # fmt: skip
def test_bad_settings_are_refused(bad, match):
    with pytest.raises(ValueError, match=match):
        L2Settings(**bad)
