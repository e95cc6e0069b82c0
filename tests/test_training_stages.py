"""The optimisers against other implementations of the same methods, and the settings they refuse."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from approxrates import activations
from approxrates.backends import Ensemble, Layout
from approxrates.objectives import MeanSquare
from approxrates.training import SOAP, Adam, SelfScaledBFGS, stage_from_spec
from approxrates.training.base import Population, Watch

LAYOUT = Layout(((4, 1), (4, 4), (4, 4), (1, 4)), activations.get("tanh"))


def problem(n=3, m=64):
    x = np.linspace(0, 1, m)
    points = np.broadcast_to(x, (1, 1, 1, m)).copy()
    ensemble = Ensemble(LAYOUT, MeanSquare(), points, np.cos(5 * points), np.full_like(points, 1 / m), [0] * n)
    theta = LAYOUT.pack(np.random.default_rng(0).normal(size=(n, LAYOUT.n_params)) * 0.5)
    return ensemble, theta


def run(stage, ensemble, theta):
    population = Population(theta.clone(), range(len(theta)))
    watch = Watch(population, range(len(theta)), stage.name, stage.steps, None)
    watch.record(theta, ensemble.value(theta), 0)
    descent = stage.begin(ensemble, theta.clone(), watch)
    while descent.advance():
        pass
    return population


def gradients(ensemble, theta):
    gradient = torch.zeros_like(theta)
    ensemble.value_and_gradient(theta, gradient)
    return gradient


def test_adam_is_the_adam_of_torch():
    ensemble, theta = problem()
    stage = Adam(steps=60, learning_rate=1e-2, warm_up=20)
    mine = run(stage, ensemble, theta)
    other = theta.clone().requires_grad_()
    optimiser = torch.optim.Adam([other], lr=1.0, betas=(0.9, 0.98), eps=1e-8)
    for step in range(1, 61):
        rise, fall = min(1.0, step / 20), 0.5 * (1 + math.cos(math.pi * (step - 1) / 60))
        optimiser.param_groups[0]["lr"] = 1e-2 * rise * fall
        other.grad = gradients(ensemble, other.detach())
        optimiser.step()
    assert torch.allclose(mine.theta, other.detach(), rtol=1e-9, atol=1e-11)
    assert mine.loss.tolist() == pytest.approx(ensemble.value(other.detach()).tolist(), rel=1e-9)


def plain_soap(ensemble, theta, stage):
    """SOAP written down once more, one matrix at a time, for replica 0 (float64, no schedule)."""
    row = theta[:1].clone()
    first, second = torch.zeros_like(row), torch.zeros_like(row)
    blocks = [(o, r, c) for o, r, c in LAYOUT.blocks[1:-1]]
    memory = {o: {"left": 0.0, "right": 0.0, "v": 0.0} for o, _, _ in blocks}
    single = ensemble.subset(torch.tensor([0]))
    for t in range(1, stage.steps + 1):
        gradient = gradients(single, row)
        first = stage.beta1 * first + (1 - stage.beta1) * gradient
        second = stage.beta2 * second + (1 - stage.beta2) * gradient**2
        c1, c2 = 1 - stage.beta1**t, 1 - stage.beta2**t
        update = (first / c1) / ((second / c2).sqrt() + stage.epsilon)
        for o, r, c in blocks:
            g, m, own = gradient[0, o : o + r * c].view(r, c), first[0, o : o + r * c].view(r, c), memory[o]
            own["left"] = stage.basis_decay * own["left"] + (1 - stage.basis_decay) * g @ g.T
            own["right"] = stage.basis_decay * own["right"] + (1 - stage.basis_decay) * g.T @ g
            if t == 1:
                own["ql"], own["qr"] = torch.linalg.eigh(own["left"])[1], torch.linalg.eigh(own["right"])[1]
            elif t % stage.refresh == 0:
                ql, qr = own["ql"], own["qr"]
                own["ql"], own["qr"] = torch.linalg.qr(own["left"] @ ql)[0], torch.linalg.qr(own["right"] @ qr)[0]
                own["v"] = (own["ql"].T @ ql) ** 2 @ own["v"] @ (qr.T @ own["qr"]) ** 2
            own["v"] = stage.beta2 * own["v"] + (1 - stage.beta2) * (own["ql"].T @ g @ own["qr"]) ** 2
            turned = (own["ql"].T @ m @ own["qr"] / c1) / ((own["v"] / c2).sqrt() + stage.epsilon)
            update[0, o : o + r * c] = (own["ql"] @ turned @ own["qr"].T).flatten()
        row = row - stage.learning_rate * update
    return row


def test_soap_is_soap_matrix_by_matrix():
    ensemble, theta = problem()
    # Agreement to a part in two hundred: along eigenvectors of eigenvalue zero rounding errors decide, and Adam's step
    # does not shrink with the gradient.
    stage = SOAP(steps=8, learning_rate=1e-3, warm_up=0, cosine=False, refresh=2)
    expected = plain_soap(ensemble, theta, stage)
    assert (expected - theta[:1]).abs().max() > 8e-3
    assert torch.allclose(run(stage, ensemble, theta).theta[:1], expected, rtol=0, atol=4e-5)


def test_soap_of_a_shallow_network_is_adam():
    layout = Layout(((4, 1), (1, 4)), activations.get("tanh"))
    x = np.linspace(0, 1, 64).reshape(1, 1, 1, 64)
    ensemble = Ensemble(layout, MeanSquare(), x, np.cos(5 * x), np.full_like(x, 1 / 64), [0, 0])
    theta = layout.pack(np.random.default_rng(0).normal(size=(2, layout.n_params)))
    shared = {"steps": 30, "learning_rate": 1e-2, "beta1": 0.9, "beta2": 0.95}
    assert torch.equal(run(SOAP(**shared), ensemble, theta).theta, run(Adam(**shared), ensemble, theta).theta)


STAGES = [Adam(steps=3), SOAP(steps=4, learning_rate=(1e-2, 1e-3)), SelfScaledBFGS(steps=5, patience=7)]


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_stages_survive_their_description(stage):
    spec = stage.to_spec()
    assert stage_from_spec(spec) == stage
    assert hash(stage_from_spec(spec)) == hash(stage)
    assert spec["stage"] == stage.name
    assert set(spec) - {"stage", "steps"} == {
        f.name for f in dataclasses.fields(stage) if f.name != "steps" and getattr(stage, f.name) != f.default
    }


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: Adam(steps=0), ValueError, "steps must be at least 1"),
        (lambda: Adam(steps=2.5), TypeError, "steps must be an integer"),
        (lambda: Adam(steps=1, learning_rate=0), ValueError, "learning_rate of adam"),
        (lambda: Adam(steps=1, learning_rate="fast"), TypeError, "learning_rate of adam"),
        (lambda: Adam(steps=1, learning_rate=()), ValueError, "at least one"),
        (lambda: Adam(steps=1, learning_rate=math.nan), ValueError, "learning_rate"),
        (lambda: Adam(steps=1, beta2=1.0), ValueError, "beta2 of adam must be at least 0 and below 1"),
        (lambda: Adam(steps=1, warm_up=-1), ValueError, "warm_up"),
        (lambda: Adam(steps=1, swap=0), ValueError, "swap"),
        (lambda: Adam(steps=1, cosine=1), TypeError, "cosine"),
        (lambda: SOAP(steps=1, refresh=0), ValueError, "refresh of soap"),
        (lambda: SOAP(steps=1, epsilon=0), ValueError, "epsilon"),
        (lambda: SelfScaledBFGS(steps=1, tolerance=-1), ValueError, "tolerance of ssbfgs"),
        (lambda: SelfScaledBFGS(steps=1, patience=0), ValueError, "patience"),
        (lambda: stage_from_spec({"stage": "adam"}), ValueError, "adam needs steps"),
        (lambda: stage_from_spec({"stage": "adam", "steps": 1, "lr": 1}), ValueError, "settings steps, learning_rate"),
        (lambda: stage_from_spec({"stage": ["adam"], "steps": 1}), ValueError, "adam, soap, ssbfgs"),
        (lambda: stage_from_spec("adam"), TypeError, "mapping"),
    ],
)
def test_bad_settings_are_refused(make, kind, message):
    with pytest.raises(kind, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
