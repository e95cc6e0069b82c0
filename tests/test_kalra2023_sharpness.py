"""The probe of sharpness: constants against plain numpy, invariance of seeds, tables, figures, a toy run."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import approxrates as ar
from approxrates import plots
from approxrates.datasets import load_dataset
from approxrates.plots import drawn_numbers, sharpness
from approxrates.probes import kalra2023_sharpness_cells as networks
from approxrates.probes import kalra2023_sharpness_settings as sweep
from approxrates.probes import kalra2023_sharpness_tables as tables
from approxrates.probes import kalra2023_sharpness_uv as uv
from approxrates.regimes import Regime

TOY = {
    "depths": (1,), "widths": (6, 12, 24), "n_examples": 48, "least_seeds": 3, "most_seeds": 3, "edge_targets": (20.0,),
    "edge_steps": 120, "edge_width": 8, "edge_examples": 40, "path_steps": 60, "path_width": 12, "path_depth": 2, "path_examples": 40,
    "uv_widths": (4, 256, 1024), "uv_states": 40, "map_runs": 32,
}  # fmt: skip
CELL = {
    "part": "constants", "event": "loss", "data": "digits", "n_examples": 48, "depth": 3, "width": 20, "steps": 10,
    "resolution": 0.1, "seeds": [0, 1, 2],
}  # fmt: skip


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return ar.probe("kalra2023_sharpness", out=tmp_path_factory.mktemp("toy"), progress=False, **TOY)


def losses_by_hand(network, data, rate, steps):
    """Gradient descent in plain numpy: losses and the weights at the end."""
    weights = [layer.weight.copy() for layer in network.layers]
    found = []
    for _ in range(steps + 1):
        hidden = [data.inputs]
        for weight in weights[:-1]:
            hidden.append(np.maximum(hidden[-1] @ weight.T, 0.0))
        residual = hidden[-1] @ weights[-1].T - data.outputs
        found.append(0.5 * np.mean(residual**2))
        delta = residual / residual.size
        for k in reversed(range(len(weights))):
            gradient = delta.T @ hidden[k]
            if k:
                delta = (delta @ weights[k]) * (hidden[k] > 0)
            weights[k] = weights[k] - rate * gradient
    return np.array(found)


def test_constants_of_the_loss_are_those_of_gradient_descent_by_hand():
    begun = networks.begin(CELL)
    found = networks.constants(CELL)
    for i in range(3):
        assert begun.loss[i] == pytest.approx(losses_by_hand(begun.networks[i], begun.data, 0.1, 1)[0], rel=1e-5)
        c = found["c_loss"][i]
        for share, rises in ((1.0, True), (2.0**-0.1, False)):
            losses = losses_by_hand(begun.networks[i], begun.data, share * c / begun.sharpness[i], 10)
            assert bool(losses.max() > losses[0]) is rises
        largest = losses_by_hand(begun.networks[i], begun.data, found["c_max"][i] / begun.sharpness[i], 10)
        with np.errstate(all="ignore"):
            beyond = losses_by_hand(
                begun.networks[i], begun.data, 2.0**0.1 * found["c_max"][i] / begun.sharpness[i], 10
            )
        assert largest.max() < networks.DIVERGED
        assert not beyond.max() < 1e4


def test_initial_sharpness_is_the_top_eigenvalue_of_differences_of_gradients():
    spec = CELL | {"width": 4, "depth": 1, "seeds": [0]}
    begun = networks.begin(spec)
    shapes = [layer.weight.shape for layer in begun.networks[0].layers]
    theta = np.concatenate([layer.weight.ravel() for layer in begun.networks[0].layers])

    def gradient(flat):
        first, last = np.split(flat, [shapes[0][0] * shapes[0][1]])
        first, last = first.reshape(shapes[0]), last.reshape(shapes[1])
        hidden = np.maximum(begun.data.inputs @ first.T, 0.0)
        delta = (hidden @ last.T - begun.data.outputs) / begun.data.outputs.size
        back = (delta @ last) * (hidden > 0)
        return np.concatenate([(back.T @ begun.data.inputs).ravel(), (delta.T @ hidden).ravel()])

    step = 1e-6
    columns = [(gradient(theta + step * e) - gradient(theta - step * e)) / (2 * step) for e in np.eye(len(theta))]
    hessian = np.array(columns)
    assert begun.sharpness[0] == pytest.approx(np.linalg.eigvalsh((hessian + hessian.T) / 2)[-1], rel=1e-4)


@pytest.mark.parametrize("event", ["loss", "sharpness"])
def test_seeds_do_not_depend_on_their_companions(event):
    together = networks.constants(CELL | {"event": event})
    for i in range(3):
        alone = networks.constants(CELL | {"event": event, "seeds": [i]})
        for name, values in together.items():
            if isinstance(values, list):
                assert values[i] == alone[name][0], name


def test_the_constant_of_the_sharpness_brackets_a_rise():
    begun, c = networks.begin(CELL), networks.constants(CELL | {"event": "sharpness"})["c_sharp"]
    cases = np.arange(3)
    assert np.all(networks.sharpness_rises(begun, cases, np.log2(c), 10))
    assert not np.any(networks.sharpness_rises(begun, cases, np.log2(c) - 0.1, 10))


def test_the_first_look_at_the_sharpness_decides_nothing_else(monkeypatch):
    begun, c = networks.begin(CELL), networks.constants(CELL | {"event": "sharpness"})["c_sharp"]
    tried = [np.log2(c) + shift for shift in (-0.1, 0.0, 1.0)]
    split = [networks.sharpness_rises(begun, np.arange(3), x, 10) for x in tried]
    monkeypatch.setattr(networks, "_FIRST_LOOK", tuple(range(1, 11)))
    whole = [networks.sharpness_rises(begun, np.arange(3), x, 10) for x in tried]
    assert np.array_equal(split, whole)
    assert 0 < np.sum(split) < 9


@pytest.mark.slow
def test_the_map_of_the_uv_model_finds_its_phases():
    found = uv.uv_map({"runs": 64, "votes": 25, "steps": 10})
    assert found["wrong_area"] < 0.05
    grid, names = uv.exact_phases(10)
    narrow = grid[:, 1] < 2.0**-12
    for low, high, phase in ((1.0, 1.9, 0), (2.05, 2.45, 1), (2.55, 3.9, 2), (4.3, 8.0, 3)):
        inside = narrow & (grid[:, 0] > low) & (grid[:, 0] < high)
        assert np.mean(names[inside] == uv.PHASES[phase]) > 0.98


def test_the_trainer_agrees_with_the_exact_uv_model():
    found = uv.uv_trainer({"width": 32, "n": 6, "steps": 10})
    assert found["loss_difference"] < 1e-11
    assert found["sharpness_difference"] < 1e-6


def test_a_toy_run_has_everything(toy):
    assert set(toy.records["status"]) == {"ok"}
    assert set(toy.records["part"]) == set(sweep.PARTS)
    assert list(toy.draws()) == [
        "phase-diagram", "seed-fractions", "trajectory", "edge-of-stability", "uv-model", "uv-map",
    ]  # fmt: skip
    told = toy.expected().set_index("quantity")
    assert all(told.filter(like="uv model, w =", axis=0)["verdict"] == "agrees")
    assert told.loc["uv model: largest distance of c_loss from its closed form, in log2 c", "verdict"] == "agrees"
    assert any("uv model, w = 1024" in line for line in toy.findings())
    assert (toy.folder / "figures" / "phase-diagram.svg").exists()


def test_every_network_has_its_constants(toy):
    table = tables.by_seed(toy.records)
    assert len(table) == 9
    assert not table[list(tables.CONSTANTS)].isna().any().any()
    assert np.all(table["c_loss"] <= table["c_max"] * 2**0.1)


def test_cells_take_less_than_a_minute_each_and_hold_all_seeds():
    for data in ("digits", "mnist"):
        settings = sweep.Settings(data=data)
        specs = sweep.cells(settings)
        constants = [s for s in specs if s["part"] == "constants"]
        assert all(sweep.seconds(s) <= 60.0 for s in constants if len(s["seeds"]) > 1)
        for depth, width in {(s["depth"], s["width"]) for s in constants}:
            for event in ("loss", "sharpness"):
                same = [s for s in constants if (s["depth"], s["width"], s["event"]) == (depth, width, event)]
                seeds = sorted(seed for s in same for seed in s["seeds"])
                assert seeds == list(range(settings.seeds(width)))
                assert len(seeds) >= 3
        assert all(sweep.n_params(sweep.n_inputs(data, 1), s["width"], s["depth"]) <= 10**6 for s in constants)


def test_inputs_are_counted_as_they_are_loaded():
    for pool in (1, 2, 4):
        assert load_dataset("digits", n=3, pool=pool).dim == sweep.n_inputs("digits", pool)


def synthetic(rows):
    """A frame of cells with given constants: ``(depth, width, seeds, c_loss, c_sharp, c_barrier, c_max)``."""
    cells = []
    for depth, width, seeds, loss, sharp, barrier, most in rows:
        base = {"part": "constants", "status": "ok", "depth": depth, "width": width, "seeds": seeds}
        base |= {"sharpness_start": [1.0] * len(seeds)}
        cells.append(base | {"event": "loss", "c_loss": loss, "c_barrier": barrier, "c_max": most})
        cells.append(base | {"event": "sharpness", "c_sharp": sharp})
    return pd.DataFrame(cells)


def test_verdicts_follow_the_numbers():
    good = synthetic([
        (3, w, list(range(12)), [c, c * 1.01, c * 1.02] * 4, [c * 1.3] * 12, [c * 2] * 12, [12.0] * 12)
        for w, c in ((32, 9.0), (128, 5.0), (512, 2.4))
    ])  # fmt: skip
    bad = synthetic([
        (3, w, [0, 1, 2], [c, c * 1.01, c * 1.02], [c * 0.7] * 3, [c * 2] * 3, [12.0] * 3)
        for w, c in ((32, 3.0), (128, 5.0), (512, 9.0))
    ])  # fmt: skip
    for frame, word in ((good, "agrees"), (bad, "differs")):
        told = {q.quantity: q.verdict for q in tables.quantities(sweep.Settings(), frame)}
        assert told["d = 4: share of networks with c_loss <= c_sharp"] == word
        assert told["d = 4: share of widths at which the medians obey c_loss <= c_sharp <= c_max"] == word
        assert told["d = 4: exponent of c_loss in w"] == word
        assert told["d = 4, w = 512: mean c_loss"] == word


def test_one_step_of_the_grid_is_not_out_of_order_and_two_are():
    for steps, word in ((1, "agrees"), (2, "differs")):
        c = [4.0] * 40
        frame = synthetic([(3, 64, list(range(40)), c, [x * 2.0 ** (-0.1 * steps) for x in c], [9.0] * 40, [9.0] * 40)])
        told = {q.quantity: q for q in tables.quantities(sweep.Settings(), frame)}
        row = told["d = 4: share of networks with c_loss <= c_sharp"]
        assert row.verdict == word
        assert ("w <= 64" in row.note) is (word == "differs")


def test_an_order_is_not_read_off_a_few_networks():
    n = 8
    frame = synthetic([(3, 64, list(range(n)), [4.0] * n, [5.0] * n, [9.0] * n, [9.0] * n)])
    told = {q.quantity: q for q in tables.quantities(sweep.Settings(), frame)}
    row = told["d = 4: share of networks with c_loss <= c_sharp"]
    assert (row.measured, row.verdict) == (1.0, "undecided")


def test_a_barrier_that_is_divergence_decides_no_order():
    n = 40
    for barrier, word in ((9.0 * 2.0**0.1, "undecided"), (8.0, "agrees")):
        frame = synthetic([(3, 64, list(range(n)), [4.0] * n, [5.0] * n, [barrier] * n, [9.0] * n)])
        (row,) = [q for q in tables.quantities(sweep.Settings(), frame) if "c_barrier <= c_max" in q.quantity]
        assert row.verdict == word
        assert row.measured == (word == "agrees")


def test_an_interval_too_wide_to_differ_is_undecided():
    sharp, barrier, most = [3.2, 3.3, 3.5], [5.0] * 3, [10.0, 10.3, 11.0]
    frame = synthetic([(3, 512, [0, 1, 2], [1.5, 2.5, 4.0], sharp, barrier, most)])
    told = {q.quantity: q for q in tables.quantities(sweep.Settings(data="mnist"), frame)}
    row = told["d = 4, w = 512: c_loss, mean over seeds"]
    assert row.verdict == "undecided"
    assert "wider than a factor of 1.4" in row.note
    assert told["d = 4, w = 512: c_sharp, mean over seeds"].verdict == "agrees"


def test_means_measured_before_are_compared_only_where_they_can_be():
    frame = synthetic([(3, 512, [0, 1, 2], [2.4, 2.5, 2.6], [3.2, 3.3, 3.5], [5.0] * 3, [10.0, 10.3, 11.0])])
    for settings, n in ((sweep.Settings(data="mnist"), 3), (sweep.Settings(), 0)):
        before = [q for q in tables.quantities(settings, frame) if q.quantity.endswith("mean over seeds")]
        assert [q.verdict for q in before] == ["agrees"] * n
    far = synthetic([(3, 512, [0, 1, 2], [4.9, 5.0, 5.1], [3.2, 3.3, 3.5], [5.0] * 3, [10.0, 10.3, 11.0])])
    told = {q.quantity: q.verdict for q in tables.quantities(sweep.Settings(data="mnist"), far)}
    assert told["d = 4, w = 512: c_loss, mean over seeds"] == "differs"


def test_what_was_not_found_is_infinite_and_never_a_number_that_agrees():
    frame = synthetic([(3, 512, [0, 1], [2.4, None], [3.0, 3.0], [None, None], [None, None])])
    table = tables.by_seed(frame)
    assert np.isinf(table["c_loss"]).tolist() == [False, True]
    told = {q.quantity: q.verdict for q in tables.quantities(sweep.Settings(), frame)}
    assert told["d = 4, w = 512: mean c_loss"] == "undecided"
    plots.plot_seed_fractions(table)


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(2.0, 2.1, "agrees"), (2.05, 2.2, "undecided"), (2.2, 2.3, "differs"), (None, None, "undecided")],
)
def test_an_interval_across_a_bound_is_undecided(low, high, word):
    assert tables.verdict(low, high, 2.0, 2.1) == word


def test_phase_shares_count_seeds():
    part = pd.DataFrame({"c_loss": [2.0, 4.0], "c_sharp": [3.0, 6.0], "c_max": [8.0, 16.0]})
    shares = sharpness.phase_shares(part, np.array([1.0, 2.0, 3.0, 5.0, 8.0, 9.0, 20.0]))
    assert shares.T.tolist() == [
        [1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.5, 0, 0.5, 0], [0, 0.5, 0.5, 0], [0, 0, 1, 0], [0, 0, 0.5, 0.5], [0, 0, 0, 1],
    ]  # fmt: skip


def test_figures_carry_their_numbers(toy):
    table = tables.by_seed(toy.records)
    numbers = drawn_numbers(toy.draws()["phase-diagram"]())
    loss = numbers[(numbers["constant"] == "c_loss")].set_index("place")["median"]
    for width, same in table.groupby("width"):
        if np.isfinite(same["c_loss"].median()):
            assert loss[1.0 / width] == pytest.approx(same["c_loss"].median())
    assert len(loss) >= 2
    shares = drawn_numbers(toy.draws()["seed-fractions"]())
    assert np.allclose(shares[list(sharpness.PHASES)].sum(axis=1), 1.0)
    path = drawn_numbers(toy.draws()["trajectory"]())
    assert set(path["regime"]) <= {regime.value for regime in Regime}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data": "cifar"}, "data must be digits or mnist"),
        ({"least_seeds": 1}, "least_seeds must be at least 3"),
        ({"most_seeds": 2}, "most_seeds must be at least least_seeds"),
        ({"widths": ()}, "widths must hold a number"),
        ({"widths": (0,)}, "widths must be at least 1"),
        ({"resolution": 0.7}, "resolution of log2 c must be at most 0.5"),
        ({"map_runs": 8}, "map_runs must be at least 32"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(sweep.Settings(), **settings)


def test_regimes_are_drawn_with_their_edge():
    from approxrates.regimes import label_regimes

    t = np.arange(0.0, 4000.0, 10.0)
    values = np.minimum(4.0 + t / 100.0, 20.0 + np.sin(t))
    found = label_regimes(t, 1 / (1 + t), values, 0.1)
    ax = plots.plot_regimes(t, 1 / (1 + t), values, found)
    numbers = drawn_numbers(ax)
    assert set(numbers["edge"]) == {20.0}
    assert numbers["regime"].tolist() == [found.at(step).value for step in t]
    assert len(ax.figure.axes) == 2
