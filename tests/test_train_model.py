"""Models through the trainer: closed forms, networks trained both ways, replicas alone and in company, kills, refusals."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mlp_model import MLP

import approxrates as ar
from approxrates import measurements
from approxrates.backends.autograd import AutogradEnsemble
from approxrates.dataset import Dataset
from approxrates.models import VAE, LinearVAE
from approxrates.objectives import HalfSquare
from approxrates.theory import linear_vae as theory
from approxrates.training import LBFGS, SGD, SOAP, Adam, LevenbergMarquardt, Minimax, SelfScaledBFGS, train_model
from approxrates.training.checkpoint import Checkpoint

RNG = np.random.default_rng(7)
POINTS = RNG.normal(size=(120, 5)) * np.sqrt([4.0, 2.0, 1.0, 0.5, 0.25])
SMALL = VAE(dim=5, hidden=(6,), latent=2)
DATA = SMALL.tables_of(POINTS)
LINEAR = LinearVAE(dim=5, latent=3)
PLANS = {
    "adam": [Adam(steps=40, learning_rate=(1e-2, 3e-2, 1e-3))],
    "sgd": [SGD(steps=40, learning_rate=1e-3, momentum=0.5)],
    "lbfgs": [Adam(steps=10), LBFGS(steps=40)],
    "ssbfgs": [SelfScaledBFGS(steps=60)],
}


def fit(plan, **options):
    options = {"replicas": 3, "coefficients": {"beta": [0.1, 0.5, 1.0]}, "batch_size": 32, "seed": 4} | options
    return train_model(SMALL, DATA, plan=plan, **options)


def same(a, b, places=slice(None)):
    return (
        np.array_equal(a.parameters[places], b.parameters)
        and np.array_equal(a.last[places], b.last)
        and np.array_equal(a.losses[places], b.losses)
        and np.array_equal(a.steps[places], b.steps)
        and a.outcomes[places] == b.outcomes
        and all(np.array_equal(x, y) for x, y in zip(a.curves[places], b.curves, strict=True))
    )


def test_linear_vaes_reach_the_minimum_of_theory_for_every_weight_along_the_replicas():
    betas = [0.1, 0.45, 0.9, 1.5, 3.0, 6.0]
    found = train_model(LINEAR, {"inputs": POINTS}, replicas=6, coefficients={"beta": betas}, plan=[LBFGS(steps=600)])
    spectrum = theory.covariance_spectrum(POINTS)
    assert found.losses == pytest.approx([theory.least_loss(spectrum, b, latent=3) for b in betas], rel=1e-9)
    tables = {"inputs": torch.as_tensor(POINTS)}
    for row, beta in zip(found.parameters, betas, strict=True):
        distortion, rates = LINEAR.terms(torch.as_tensor(row), tables)
        assert np.sort(rates.numpy())[::-1] == pytest.approx(theory.unit_rates(spectrum, beta, latent=3), abs=1e-4)
        assert float(distortion) == pytest.approx(0.5 * theory.squared_error(spectrum, beta, latent=3), rel=1e-4)


@pytest.mark.parametrize(
    "plan", [[Adam(steps=60)], [SGD(steps=60, learning_rate=0.05)], [LBFGS(steps=12)]], ids=["adam", "sgd", "lbfgs"]
)
def test_a_network_as_a_model_is_trained_as_the_network_itself(plan):
    """Same starts, same data, same stages; two roads to the gradient."""
    arch = ar.FixedWidth(dim=2, width=5, depth=2, activation="tanh")
    inputs = RNG.uniform(size=(40, 2))
    outputs = np.sin(3 * inputs[:, :1]) + inputs[:, 1:]
    gammas = [0.0, 1e-3, 1e-2]
    theirs = ar.train(
        arch, Dataset("wave", inputs, outputs), replicas=3, plan=plan, objective=HalfSquare(), backend="reference",
        l2_penalty=gammas,
    )  # fmt: skip
    model = MLP((2, 5, 5, 1))
    begun = np.stack([arch.theta_from_layers(network.layers) for network in theirs.starts])
    tables = {"inputs": inputs, "outputs": outputs, "weights": np.full(40, 1 / 40)}
    ours = train_model(
        model, tables, replicas=3, plan=plan, start=begun, l2_penalty=gammas, coefficients={"scale": 0.5**0.5}
    )
    expected = np.stack([arch.theta_from_layers(network.layers) for network in theirs.networks])
    assert ours.losses == pytest.approx(theirs.losses, rel=1e-9)
    assert ours.parameters == pytest.approx(expected, rel=1e-6, abs=1e-8)
    assert np.array_equal(ours.steps, theirs.steps)
    assert ours.outcomes == theirs.outcomes


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_a_replica_is_the_same_alone_and_in_company_bit_for_bit(plan, dtype):
    penalties = [0.0, 1e-3, 1e-2]
    together = fit(plan, dtype=dtype, l2_penalty=penalties)
    for number, beta in enumerate([0.1, 0.5, 1.0]):
        alone = fit(plan, dtype=dtype, replicas=[number], coefficients={"beta": beta}, l2_penalty=penalties[number])
        assert same(together, alone, slice(number, number + 1))


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_a_killed_fit_goes_on_with_the_same_bits(plan, tmp_path, monkeypatch):
    whole, kills, write = fit(plan), 0, Checkpoint.write

    def die(self, state):
        write(self, state)
        raise KeyboardInterrupt

    while True:
        with monkeypatch.context() as patch:
            patch.setattr(Checkpoint, "is_due", property(lambda self: self.path is not None))
            patch.setattr(Checkpoint, "write", die)
            try:
                last = fit(plan, checkpoint=tmp_path / "fit")
            except KeyboardInterrupt:
                kills += 1
                continue
            break
    assert kills >= 1
    assert same(whole, last)


def test_a_checkpoint_of_another_fit_is_not_taken_up(tmp_path, monkeypatch):
    path: Path = tmp_path / "fit"
    monkeypatch.setattr(Checkpoint, "is_due", property(lambda self: self.path is not None))
    fit(PLANS["adam"], checkpoint=path)
    other = {"coefficients": {"beta": [0.1, 0.5, 2.0]}}
    assert same(fit(PLANS["adam"], checkpoint=path, **other), fit(PLANS["adam"], **other))


def test_training_begins_at_the_parameters_given():
    first = fit([Adam(steps=30)])
    onward = fit([SGD(steps=1, learning_rate=1e-9)], start=first.parameters)
    assert np.array_equal(onward.begun, first.parameters)
    assert onward.parameters == pytest.approx(first.parameters, abs=1e-5)
    one = fit([SGD(steps=1, learning_rate=1e-9)], start=first.parameters[1])
    assert np.array_equal(one.begun[0], one.begun[2])


def test_starts_differ_between_replicas_and_seeds_and_not_by_coefficients():
    plan = [SGD(steps=1, learning_rate=1e-9)]
    first = fit(plan)
    assert np.array_equal(first.begun, fit(plan, coefficients={"beta": 3.0}, l2_penalty=1.0).begun)
    assert not np.array_equal(first.begun[0], first.begun[1])
    assert not np.array_equal(first.begun, fit(plan, seed=5).begun)


def test_every_batch_is_seen_once_in_an_epoch():
    """Gradient descent with a tiny rate moves by the sum of the batches' gradients: as many full gradients."""
    rate, n_batches = 1e-9, 120 // 40
    batches = fit([SGD(steps=n_batches, learning_rate=rate, swap=1)], batch_size=40)
    whole = fit([SGD(steps=n_batches, learning_rate=rate)], batch_size=None)
    moved, expected = batches.last - batches.begun, whole.last - whole.begun
    assert moved == pytest.approx(expected, rel=1e-3, abs=1e-12)
    assert not np.array_equal(moved, expected)


def test_the_penalty_is_minimised_with_the_loss():
    gammas = [1e-3, 1e-1]
    found = train_model(LINEAR, {"inputs": POINTS}, replicas=2, l2_penalty=gammas, plan=[LBFGS(steps=800)])
    for row, gamma in zip(found.parameters, gammas, strict=True):
        theta = torch.as_tensor(row).requires_grad_()
        data = {"inputs": torch.as_tensor(POINTS), "beta": torch.tensor(1.0, dtype=torch.float64)}
        (slope,) = torch.autograd.grad(LINEAR.loss(theta, data), theta)
        assert slope.numpy() == pytest.approx(-2.0 * gamma * row, abs=1e-5)


def test_a_replica_that_diverges_is_recorded_and_disturbs_nobody():
    plan = [SGD(steps=60, learning_rate=(1e-3, 1e3, 1e-3))]
    found = fit(plan, batch_size=None)
    assert [outcome.failed for outcome in found.outcomes] == [False, True, False]
    assert np.isfinite(found.losses).all()
    alone = fit(plan, batch_size=None, replicas=[2], coefficients={"beta": 1.0})
    assert same(found, alone, slice(2, 3))
    assert found.best() in found.parameters
    with pytest.raises(RuntimeError, match="replica 1 of vae: "):
        fit(plan, batch_size=None, strict=True)


def test_measuring_changes_nothing_and_sees_what_is_there():
    plan = [Adam(steps=20)]
    looked = fit(plan, measure=[measurements.MEASUREMENTS["loss"](schedule="every 5"), "weight_norm", "gradient_norm"])
    assert same(fit(plan), looked)
    assert looked.measured[1]["loss"][:, 0].tolist() == [0, 5, 10, 15, 20]
    assert looked.measured[1]["loss"][-1, 1] == pytest.approx(looked.curves[1][-1, 1])
    assert [one["loss"] for one in looked.final] == pytest.approx(looked.losses)
    assert [one["weight_norm"] for one in looked.final] == pytest.approx(np.linalg.norm(looked.parameters, axis=1))


OF_NETWORKS = ("dead_units", "effective_rank", "stability_margin", "weight_rank")


@pytest.mark.parametrize("name", measurements.MEASUREMENTS)
def test_a_measurement_is_of_models_or_refused(name):
    """Every measurement of the folder: a number, or a sentence before anything is computed."""
    kind = measurements.MEASUREMENTS[name]
    if name in OF_NETWORKS:
        with pytest.raises(
            ValueError, match=f"{name} looks at the layers of a fully connected network. Got another model"
        ):
            fit([SGD(steps=3)], measure=[name])
        return
    plan = [Adam(steps=3)] if kind.needs_preconditioner else [SGD(steps=3, learning_rate=1e-3)]
    series = fit(plan, measure=[kind(schedule="every 3")]).measured[0][name]
    assert len(series) >= 1
    assert np.isfinite(series[-1, 1])


def test_sharpness_is_the_top_of_the_dense_hessian_by_differences():
    found = fit([Adam(steps=30)], measure=["sharpness"], l2_penalty=[0.0, 0.01, 0.1])
    for place, gamma in enumerate([0.0, 0.01, 0.1]):
        ensemble = AutogradEnsemble(
            SMALL, DATA, 1, coefficients={"beta": [[0.1, 0.5, 1.0][place]]}, l2_penalty=[gamma] if gamma else None
        )
        row, h = ensemble.layout.pack(found.parameters[place : place + 1]), 1e-5
        slopes = []
        for turn in torch.eye(row.shape[1], dtype=torch.float64)[: SMALL.n_params]:
            ahead, behind = (torch.zeros_like(row) for _ in range(2))
            ensemble.value_and_gradient(row + h * turn, ahead)
            ensemble.value_and_gradient(row - h * turn, behind)
            slopes.append((ahead - behind)[0, : SMALL.n_params] / (2 * h))
        dense = torch.stack(slopes)
        expected = float(torch.linalg.eigvalsh((dense + dense.T) / 2)[-1])
        assert found.final[place]["sharpness"] == pytest.approx(expected, rel=1e-5)


def test_batches_may_be_cut_from_other_tables_than_those_compared_on():
    """With a rate near zero a step moves along the gradient of its batch: here of three copies with other noise."""
    noisy = SMALL.tables_of(np.tile(POINTS, (3, 1)), seed=1)
    plan = [SGD(steps=9, learning_rate=1e-9, swap=1)]
    moved = fit(plan, batch_size=40, batch_data=noisy)
    assert moved.losses == pytest.approx(fit(plan, batch_size=None).losses, rel=1e-6)
    ensemble = AutogradEnsemble(SMALL, noisy, 3, coefficients={"beta": [0.1, 0.5, 1.0]})
    rows = ensemble.layout.pack(moved.begun)
    slope = torch.zeros_like(rows)
    ensemble.value_and_gradient(rows, slope)
    assert moved.last - moved.begun == pytest.approx(-9e-9 * ensemble.layout.unpack(slope), rel=1e-3, abs=1e-12)
    alone = fit(plan, batch_size=40, batch_data=noisy, replicas=[1], coefficients={"beta": 0.5})
    assert same(moved, alone, slice(1, 2))


@pytest.mark.parametrize(
    "stage",
    [SOAP(steps=5), LevenbergMarquardt(steps=5), Minimax(steps=5), Adam(steps=5, adapt=True)],
    ids=lambda stage: stage.name,
)
def test_stages_that_look_into_networks_are_refused(stage):
    with pytest.raises(ValueError, match=f"the stage {stage.name} needs a fully connected network. Got a model"):
        fit([Adam(steps=5), stage])


def test_what_else_is_refused():
    plan = [Adam(steps=1)]
    with pytest.raises(TypeError, match=r"model must be a Model. Got str"):
        train_model("vae", DATA, plan=plan)
    with pytest.raises(ValueError, match=r"plan of a model must be a list of stages. Got 'default'"):
        fit("default")
    with pytest.raises(ValueError, match=r"needs the tables inputs, noise"):
        train_model(SMALL, {"inputs": POINTS}, plan=plan)
    with pytest.raises(ValueError, match=r"vae has the coefficients beta. Got gamma"):
        fit(plan, coefficients={"gamma": 1.0})
    with pytest.raises(ValueError, match=r"beta must be one finite number, or one for each of 3 replicas"):
        fit(plan, coefficients={"beta": [1.0, 2.0]})
    with pytest.raises(
        ValueError, match=r"start must hold finite parameters, shape \(\d+,\) or \(3, \d+\). Got shape \(2,\)"
    ):
        fit(plan, start=[1.0, 2.0])
    with pytest.raises(ValueError, match=r"start must be 'random' or an array"):
        fit(plan, start="kaiming")
    with pytest.raises(ValueError, match=r"replicas must hold at least one number"):
        fit(plan, replicas=[])
    with pytest.raises(ValueError, match=r"batch_data need a batch_size"):
        fit(plan, batch_size=None, batch_data=DATA)
    with pytest.raises(ValueError, match=r"batch_size must be at least 1"):
        fit(plan, batch_size=0)
    with pytest.raises(ValueError, match=r"dtype must be one of float32, float64"):
        fit(plan, dtype="float16")
    with pytest.raises(ValueError, match=r"l2_penalty must be one number, or one for each replica. Got 2 for 3"):
        fit(plan, l2_penalty=[0.1, 0.2])


@pytest.mark.parametrize("stage", [LBFGS(steps=2), SelfScaledBFGS(steps=2), SGD(steps=2, momentum=0.5)])
def test_a_preconditioner_that_a_stage_does_not_have_is_refused(stage):
    with pytest.raises(ValueError, match=f"preconditioned_sharpness needs stages .* Got {stage.name}"):
        fit([stage], measure=["preconditioned_sharpness"])


def test_what_is_no_number_is_told_in_one_line():
    plan = [Adam(steps=1)]
    with pytest.raises(TypeError, match=r"data must be tables by name\. Got list"):
        train_model(SMALL, [POINTS], plan=plan)
    with pytest.raises(TypeError, match="table inputs must be an array of numbers"):
        train_model(SMALL, DATA | {"inputs": [["a"]]}, plan=plan)
    with pytest.raises(TypeError, match="beta must be an array of numbers"):
        fit(plan, coefficients={"beta": "x"})
    with pytest.raises(TypeError, match="coefficients must be numbers by name"):
        fit(plan, coefficients=[1.0])
    with pytest.raises(TypeError, match="replicas must be a number, or the numbers"):
        fit(plan, replicas=1.5)
    with pytest.raises(TypeError, match="start must be an array of numbers"):
        fit(plan, start=["a"])
