"""Losses with an L2 penalty, gradient descent, data, the starts of the literature, networks to go on from."""

import numpy as np
import pytest
import torch

import approxrates as ar
from approxrates.backends import Ensemble
from approxrates.dataset import Dataset
from approxrates.training import fit_members
from approxrates.training.starts import STARTS
from tests.passes import BACKENDS, backends

RNG = np.random.default_rng(3)
INPUTS = RNG.standard_normal((40, 3)) * 2.0
OUTPUTS = np.stack([INPUTS[:, 0], INPUTS[:, 1] * INPUTS[:, 2]], axis=1)
DATA = Dataset("pairs", INPUTS, OUTPUTS)
ARCH = ar.FixedWidth(dim=3, width=5, depth=2, activation="tanh", n_outputs=2)
STAGES = {
    "sgd": [ar.SGD(steps=30, learning_rate=0.05)],
    "momentum": [ar.SGD(steps=30, learning_rate=0.02, momentum=0.9)],
    "adam": [ar.Adam(steps=30, warm_up=3)],
    "soap": [ar.SOAP(steps=30, warm_up=3)],
    "ssbfgs": [ar.SelfScaledBFGS(steps=30)],
    "lbfgs": [ar.LBFGS(steps=30)],
}


def loss_of(network, penalty):
    """Half the mean square over points and outputs plus the penalty, from the network's weights alone."""
    h = INPUTS
    for layer in network.layers:
        z = h @ layer.weight.T + (0.0 if layer.bias is None else layer.bias)
        h = np.tanh(z) if layer.activations[0] == "tanh" else z
    squares = sum(float((p**2).sum()) for layer in network.layers for p in (layer.weight, layer.bias))
    return 0.5 * float(((h - OUTPUTS) ** 2).mean()) + penalty * squares


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_lowers_the_penalised_loss_and_reports_it(name):
    fit = ar.train(
        ARCH, DATA, replicas=2, plan=STAGES[name], objective=ar.HalfSquare(), l2_penalty=[0.01, 0.3], start="kaiming"
    )
    for i, penalty in enumerate((0.01, 0.3)):
        assert fit.losses[i] == pytest.approx(loss_of(fit.networks[i], penalty), rel=1e-10)
        assert fit.losses[i] < loss_of(fit.starts[i], penalty)


@backends
def test_the_gradient_is_that_of_the_penalised_loss(backend):
    arch = ar.FixedWidth(dim=3, width=5, depth=2, activation="tanh")
    from approxrates.training.job import layout_of

    layout = layout_of(arch)
    points, values = INPUTS[:32].T[None, None], OUTPUTS[:32, :1].T[None, None]
    weights = np.full((1, 1, 1, 32), 1 / 32)
    make = {"dtype": torch.float64, "backend": backend}
    penalised = Ensemble(layout, ar.MeanSquare(), points, values, weights, [0, 0], l2_penalty=[0.0, 0.7], **make)
    theta = layout.pack(arch.initialise([1, 1]))
    gradient = torch.zeros_like(theta)
    loss = penalised.value_and_gradient(theta, gradient)
    assert loss[1] - loss[0] == pytest.approx(0.7 * float(theta[0].square().sum()), rel=1e-12)
    for place in (0, 7, layout.n_params - 1):
        moved = [theta.clone(), theta.clone()]
        for sign, rows in zip((1, -1), moved, strict=True):
            rows[:, place] += sign * 1e-6
        slope = (penalised.value(moved[0]) - penalised.value(moved[1])) / 2e-6
        assert torch.allclose(slope, gradient[:, place], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", STAGES)
def test_replicas_with_penalties_do_not_notice_each_other(name, backend):
    target = ar.load_target("faber_tree", smoothness=0.5, dim=1)
    arch = ar.FixedWidth(dim=1, width=6, depth=2, activation="tanh")
    penalties = [1e-4, 0.0, 1e-2]
    settings = {"plan": STAGES[name], "backend": backend, "n_points": 64}
    together = fit_members(arch, [(target, r) for r in range(3)], l2_penalty=penalties, **settings)
    for r in range(3):
        alone = fit_members(arch, [(target, r)], l2_penalty=[penalties[r]], **settings)
        assert alone.losses[0] == together.losses[r]
        for a, b in zip(alone.networks[0].layers, together.networks[r].layers, strict=True):
            assert np.array_equal(a.weight, b.weight)


def test_gradient_descent_is_gradient_descent():
    """Against a linear model, whose steps are known in closed form."""
    arch = ar.FixedWidth(dim=3, width=1, depth=1, activation="identity", bias=False)
    data = Dataset("line", INPUTS, OUTPUTS[:, :1])
    fit = ar.train(
        arch, data, plan=[ar.SGD(steps=5, learning_rate=0.03)], objective=ar.HalfSquare(), start="kaiming",
        measure=[{"measurement": "loss", "schedule": "every 1"}],
    )  # fmt: skip
    w, a = (layer.weight.copy() for layer in fit.starts[0].layers)
    seen = []
    for _ in range(6):
        error = INPUTS @ w.T @ a.T - OUTPUTS[:, :1]
        seen.append(0.5 * float((error**2).mean()))
        back = error.T @ INPUTS / len(INPUTS)
        w, a = w - 0.03 * a.T @ back, a - 0.03 * back @ w.T
    assert fit.measured[0]["loss"][:, 1] == pytest.approx(seen, rel=1e-10)


def test_momentum_is_the_heavy_ball():
    arch = ar.FixedWidth(dim=1, width=1, depth=1, activation="identity", bias=False)
    data = Dataset("point", [[1.0]], [[0.0]])
    fit = ar.train(
        arch, data, plan=[ar.SGD(steps=4, learning_rate=0.1, momentum=0.5)], objective=ar.HalfSquare(), start="normal",
        measure=[{"measurement": "loss", "schedule": "every 1"}],
    )  # fmt: skip
    theta = np.array([layer.weight.item() for layer in fit.starts[0].layers])
    velocity, seen = np.zeros(2), []
    for _ in range(5):
        f = theta.prod()
        seen.append(0.5 * f * f)
        velocity = 0.5 * velocity + f * theta[::-1]
        theta = theta - 0.1 * velocity
    assert fit.measured[0]["loss"][:, 1] == pytest.approx(seen, rel=1e-10)


def test_learning_rates_are_dealt_to_replicas_with_one_start():
    start = ar.train(ARCH, DATA, plan=[ar.SGD(steps=1, learning_rate=1e-9)], objective=ar.HalfSquare()).starts[0]
    rates = (0.01, 0.1, 1e6)
    fit = ar.train(
        ARCH, DATA, replicas=3, plan=[ar.SGD(steps=10, learning_rate=rates)], objective=ar.HalfSquare(),
        start=[start] * 3,
    )  # fmt: skip
    assert [one.failed for one in fit.outcomes] == [False, False, True]
    assert all(np.array_equal(one.layers[0].weight, start.layers[0].weight) for one in fit.starts)
    assert fit.losses[1] < fit.losses[0]


def test_last_is_where_training_ended_and_best_is_not():
    fit = ar.train(ARCH, DATA, plan=[ar.SGD(steps=20, learning_rate=0.9)], objective=ar.HalfSquare(), start="normal")
    last, best = loss_of(fit.last[0], 0.0), loss_of(fit.networks[0], 0.0)
    assert best == pytest.approx(fit.losses[0], rel=1e-12)
    assert last >= best
    steady = ar.train(ARCH, DATA, plan=[ar.SGD(steps=20, learning_rate=1e-3)], objective=ar.HalfSquare())
    assert np.array_equal(steady.last[0].layers[0].weight, steady.networks[0].layers[0].weight)


def test_a_network_to_go_on_from_is_taken_as_it_is():
    first = ar.train(ARCH, DATA, replicas=2, plan=[ar.LBFGS(steps=20)], objective=ar.HalfSquare())
    again = ar.train(
        ARCH, DATA, replicas=2, plan=[ar.LBFGS(steps=1)], objective=ar.HalfSquare(), start=list(first.networks)
    )
    for a, b in zip(first.networks, again.starts, strict=True):
        assert all(np.array_equal(x.weight, y.weight) for x, y in zip(a.layers, b.layers, strict=True))
    assert (again.losses <= first.losses).all()


@pytest.mark.parametrize(
    ("name", "hidden", "last"), [("kaiming", 2 / 64, 1 / 64), ("normal", 1.0, 1.0), ("torch", 1 / 192, 1 / 192)]
)
def test_starts_of_the_literature_have_their_variances(name, hidden, last):
    arch = ar.FixedWidth(dim=64, width=64, depth=2, activation="relu", n_outputs=64)
    wide = Dataset("wide", RNG.standard_normal((8, 64)), RNG.standard_normal((8, 64)))
    network = ar.train(
        arch, wide, plan=[ar.SGD(steps=1, learning_rate=1e-9)], start=name, objective=ar.HalfSquare()
    ).starts[0]
    variances = [float(layer.weight.var()) for layer in network.layers]
    assert variances == pytest.approx([hidden, hidden, last], rel=0.1)
    biases = np.concatenate([layer.bias for layer in network.layers])
    assert (np.abs(biases).max() > 0) == (name == "torch")


def test_raw_losses_are_of_the_data_as_they_are():
    for over, factor in (("mean", 1.0), ("sum", 2.0)):
        fit = ar.train(ARCH, DATA, plan=[ar.Adam(steps=3)], objective=ar.HalfSquare(over))
        assert fit.losses[0] == pytest.approx(factor * loss_of(fit.networks[0], 0.0), rel=1e-10)


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"plan": "default"}, ValueError, "plan must be given for a Dataset"),
        ({"l2_penalty": -1.0}, ValueError, "at least 0"),
        ({"l2_penalty": [0.1, 0.2]}, ValueError, "one for each replica"),
        ({"l2_penalty": "a"}, TypeError, "must be a number"),
        ({"l2_penalty": 0.1, "plan": [ar.LevenbergMarquardt(steps=2)]}, ValueError, "cannot minimise"),
        ({"start": "xavier"}, ValueError, "start must be one of"),
        ({"start": ["kaiming"]}, TypeError, "list of networks"),
        ({"start": "constructive"}, ValueError, "Dataset"),
        ({"measure": ["nothing"]}, ValueError, "must be one of"),
        ({"rounds": 2, "l2_penalty": 0.1, "objective": ar.MeanSquare()}, ValueError, "rounds > 1"),
        ({"plan": [{"stage": "sgd", "steps": 2, "momentum": 1.0}]}, ValueError, "momentum"),
    ],
)
def test_what_does_not_go_together_is_refused(changes, kind, message):
    with pytest.raises(kind, match=message):
        ar.train(ARCH, DATA, **({"plan": [ar.Adam(steps=2)]} | changes))


def test_networks_of_another_shape_are_refused():
    other = ar.train(ar.FixedWidth(dim=3, width=6, depth=2, n_outputs=2), DATA, plan=[ar.Adam(steps=1)]).networks
    with pytest.raises(ValueError, match="layers of shapes"):
        ar.train(ARCH, DATA, plan=[ar.Adam(steps=1)], start=list(other))


def test_every_start_but_the_constructive_one_takes_data():
    for name in set(STARTS) - {"constructive"}:
        fit = ar.train(ARCH, DATA, plan=[ar.Adam(steps=2)], start=name)
        assert np.isfinite(fit.losses).all()


@pytest.mark.parametrize(
    ("inputs", "outputs", "kind", "message"),
    [
        ([1.0, 2.0], [[1.0], [2.0]], ValueError, "shape"),
        ([[1.0]], [[1.0], [2.0]], ValueError, "one row for each point"),
        ([[np.nan]], [[1.0]], ValueError, "finite"),
        ([["a"]], [[1.0]], TypeError, "array of numbers"),
    ],
)
def test_bad_data_are_refused(inputs, outputs, kind, message):
    with pytest.raises(kind, match=message):
        Dataset("bad", inputs, outputs)


def test_datasets_are_equal_if_their_numbers_are():
    same = Dataset("pairs", INPUTS.copy(), OUTPUTS.copy())
    assert same == DATA
    assert hash(same) == hash(DATA)
    assert Dataset("pairs", INPUTS + 1e-12, OUTPUTS) != DATA


@pytest.mark.parametrize("name", ["adam", "soap"])
def test_compiled_steps_minimise_the_loss_that_the_reference_does(name):
    target = ar.load_target("faber_tree", smoothness=0.5, dim=1)
    arch = ar.FixedWidth(dim=1, width=6, depth=2, activation="tanh")
    fits = [
        ar.train(
            arch, target, plan=STAGES[name], n_points=64, l2_penalty=1e-2, backend=backend, measure=["weight_norm"]
        )
        for backend in ("reference", "auto")
    ]
    assert fits[0].losses == pytest.approx(fits[1].losses, rel=1e-9)
    assert fits[0].final[0]["weight_norm"] == pytest.approx(fits[1].final[0]["weight_norm"], rel=1e-9)
