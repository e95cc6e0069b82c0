"""Symmetries of the training loss: their directions, and the stability margin off them."""

import dataclasses

import numpy as np
import pytest
import torch

from approxrates.backends import Ensemble
from approxrates.backends.autograd import FlatLayout
from approxrates.measurements import MEASUREMENTS, Moment, symmetry
from approxrates.measurements.symmetry import symmetry_directions
from approxrates.objectives import MeanSquare
from tests.measuring import autograd_gradient, autograd_hessian, linear_minimiser, moment_of, plain_theta, value_at
from tests.passes import layout_of

KINDS = {
    "plain": {},
    "no-bias": {"bias": False, "dim": 2, "n_outputs": 2},
    "injection": {"injection": True, "dim": 3},
    "residual": {"residual": True, "n_outputs": 2},
    "both": {"injection": True, "residual": True, "dim": 2, "n_outputs": 2, "depth": 3},
}
kinds = pytest.mark.parametrize("kind", KINDS)


def directions_of(moment, place=0, **settings):
    """Directions as plain vectors, ``(k, n_params)``."""
    return moment.layout.unpack(symmetry_directions(moment, place, **settings))


def margins(moment, **settings):
    """Reduced margin, modes taken out, plain smallest eigenvalue."""
    found = MEASUREMENTS["stability_margin"](**settings).measure(moment)
    plain = MEASUREMENTS["smallest_eigenvalue"](**settings).measure(moment)["smallest_eigenvalue"]
    return found["stability_margin"][0], found["stability_margin_modes"][0], plain[0]


@kinds
@pytest.mark.parametrize("activation", ["identity", "relu", "leaky_relu", "relu+tanh", "hard_tanh"])
@pytest.mark.parametrize("penalised", [True, False])
def test_the_loss_does_not_change_along_the_directions_of_symmetries(activation, kind, penalised):
    # A small network that is active everywhere, so that ReLU units are alike too.
    moment = moment_of(activation, n=2, penalties=(0.1, 0.1) if penalised else None, **KINDS[kind])
    moment = dataclasses.replace(moment, theta=0.15 * moment.theta.abs())
    for place in range(2):
        directions = directions_of(moment, place)
        assert len(directions)
        assert np.allclose(directions @ directions.T, np.eye(len(directions)), atol=1e-12)
        gradient = autograd_gradient(moment, place)
        assert np.abs(directions @ gradient).max() < 1e-12 * (1 + np.linalg.norm(gradient))


def generic(width, depth, maps):
    """How many directions linear networks of generic weights have."""
    return depth * (width * width if maps else width * (width - 1) // 2)


def test_linear_networks_have_all_rotations_and_without_penalty_all_linear_maps_and_shifts():
    for width, depth in ((4, 2), (3, 3)):
        sizes = {"width": width, "depth": depth, "dim": width, "n_outputs": width}
        assert len(directions_of(moment_of("identity", n=1, **sizes))) == generic(width, depth, maps=False)
        bare = moment_of("identity", n=1, penalties=None, **sizes)
        assert len(directions_of(bare)) == generic(width, depth, maps=True) + width * depth
        unbiased = moment_of("identity", n=1, penalties=None, bias=False, **sizes)
        assert len(directions_of(unbiased)) == generic(width, depth, maps=True)


def test_the_loss_stays_the_same_for_a_finite_rotation():
    # The group itself, written down once more: W1 -> R W1, b1 -> R b1, W2 -> W2 R'.
    moment = moment_of("identity", n=1, depth=1, width=3, dim=2)
    plain = plain_theta(moment, 0)
    w, b, c, rest = plain[:6].reshape(3, 2), plain[6:9], plain[9:12], plain[12:]
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turned = np.concatenate([(turn @ w).ravel(), turn @ b, turn @ c, rest])
    assert value_at(moment, 0, turned) == pytest.approx(value_at(moment, 0, plain), rel=1e-13)
    tangents = [
        np.concatenate([(a @ w).ravel(), a @ b, a @ c, 0 * rest])
        for p, q in ((0, 1), (0, 2), (1, 2))
        for a in [np.outer(np.eye(3)[p], np.eye(3)[q]) - np.outer(np.eye(3)[q], np.eye(3)[p])]
    ]
    directions = directions_of(moment)
    assert len(directions) == 3
    for tangent in tangents:
        assert np.allclose(directions.T @ (directions @ tangent), tangent, atol=1e-12)


def test_the_identity_of_hessian_and_gradient_holds_away_from_critical_points():
    # H G theta = -G' grad F for the rotation of two units, G theta = (A W, -W A).
    moment = moment_of("identity", n=1, depth=1, width=2, dim=2)
    plain, gradient = plain_theta(moment, 0), autograd_gradient(moment, 0)
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    generator = np.zeros((len(plain), len(plain)))
    generator[:4, :4], generator[4:6, 4:6], generator[6:8, 6:8] = np.kron(turn, np.eye(2)), turn, turn
    left = autograd_hessian(moment, 0) @ generator @ plain
    assert np.linalg.norm(gradient) > 0.1
    assert np.allclose(left, -generator.T @ gradient, atol=1e-12 * np.linalg.norm(gradient) + 1e-13)
    along = generator @ plain / np.linalg.norm(generator @ plain)
    assert abs(directions_of(moment) @ along)[0] == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("gamma", [0.2, 0.5, 0.8, 0.95])
def test_one_hidden_layer_of_four_linear_units_has_three_zero_modes(gamma):
    moment, b = linear_minimiser(gamma)
    assert b == pytest.approx(1.0 - gamma)
    spectrum = np.linalg.eigvalsh(autograd_hessian(moment, 0))
    assert (np.abs(spectrum) < 1e-12).sum() == 3
    assert np.abs(autograd_hessian(moment, 0) @ directions_of(moment).T).max() < 1e-12
    margin, modes, plain = margins(moment)
    # (ab)^2 - 2ab + gamma (a^2 + b^2) has at its minimum the curvatures 4 (1 - gamma) and 4 gamma; the rotated pairs
    # have 0 and 4 gamma.
    assert (modes, plain) == (3, pytest.approx(0.0, abs=1e-12))
    assert margin == pytest.approx(min(4 * gamma, 4 * (1 - gamma)), rel=1e-9)


@pytest.mark.parametrize(("depth", "gamma_end"), [(1, 1.0), (2, 0.75 * 0.25 ** (1 / 3)), (3, 0.5)])
def test_the_reduced_margin_vanishes_where_the_branch_ends_and_the_plain_one_everywhere(depth, gamma_end):
    # One hidden layer: the critical point gamma = 1. More: the spinodal, at half the height of the jump.
    if depth == 3:
        gamma_end = (1 - 1 / 3) * (1 / 3) ** (1 - 2 / 4)
    found = []
    for gap in (1e-1, 1e-2, 1e-3, 1e-4):
        margin, modes, plain = margins(linear_minimiser(gamma_end * (1 - gap), depth=depth)[0])
        assert modes == 3 * depth
        assert plain == pytest.approx(0.0, abs=1e-11)
        found.append(margin)
    assert found == sorted(found, reverse=True)
    # At a continuous transition the margin goes like the distance, at a spinodal like its square root.
    power = np.log10(found[-2] / found[-1])
    assert power == pytest.approx(1.0 if depth == 1 else 0.5, abs=0.05)
    assert 0 < found[-1] < 0.05
    beyond, _, _ = margins(linear_minimiser(gamma_end * 1.01, depth=depth)[0])
    assert beyond == pytest.approx(0.02 if depth == 1 else 2.02 * gamma_end, rel=1e-6)


def test_the_margin_of_the_trivial_solution_turns_negative_where_learning_sets_in():
    for gamma in (1.2, 1.05, 0.95, 0.5):
        moment, _ = linear_minimiser(gamma)
        trivial = dataclasses.replace(moment, theta=torch.zeros_like(moment.theta))
        assert margins(trivial) == pytest.approx((2 * (gamma - 1), 0, 2 * (gamma - 1)), abs=1e-12)


def test_noise_about_the_trivial_solution_does_not_hide_its_margin():
    rng = np.random.default_rng(0)
    for depth, expected in ((1, 2 * (1.1 - 1.0)), (2, 2.2)):
        moment, _ = linear_minimiser(1.1, depth=depth)
        noise = moment.layout.pack(1e-9 * rng.normal(size=(1, moment.layout.n_params)))
        assert margins(dataclasses.replace(moment, theta=noise))[:2] == pytest.approx((expected, 0), abs=1e-6)


def test_several_modes_leave_fewer_rotations_that_do_nothing():
    # Two inputs of different strength, both learnt: rank two of four units, 2 * (4 - 2) + 1 rotations.
    gamma, x = 0.1, np.linalg.qr(np.random.default_rng(1).normal(size=(32, 2)))[0].T * np.sqrt(32)
    modes = np.array([1.0, 0.6])
    layout = layout_of("identity", dim=2, n_outputs=2, width=4, depth=1, bias=False)
    # The mean over two outputs halves the error; so do twice the modes, to be plain about it, of half the penalty.
    ensemble = Ensemble(
        layout, MeanSquare(), x[None, None], (modes[:, None] * x)[None, None], np.full((1, 1, 1, 32), 1 / 32), [0],
        l2_penalty=[gamma / 2],
    )  # fmt: skip
    size, units = np.diag(np.sqrt(modes - gamma)), np.eye(4)[:, :2]
    row = layout.pack(np.concatenate([(units @ size).ravel(), (size @ units.T).ravel()])[None])
    moment = Moment(ensemble, row, row)
    assert np.abs(autograd_gradient(moment, 0)).max() < 1e-12
    margin, taken, plain = margins(moment)
    spectrum = np.linalg.eigvalsh(autograd_hessian(moment, 0))
    assert taken == 5 == (np.abs(spectrum) < 1e-12).sum()
    assert plain == pytest.approx(0.0, abs=1e-12)
    assert margin == pytest.approx(spectrum[5], rel=1e-9)


def split_relu(share, gamma=0.2, n_copies=2):
    """The minimiser of F of one ReLU neuron, split into copies; ``y = x`` at points of mean square one on the right.

    One neuron without bias is ``f = c a max(x, 0)``, so F is ``(1 - ca)^2 m + gamma (a^2 + c^2)``, ``m`` the mean square
    of the inputs on the right: the minimiser has ``a = c``, ``a^2 = 1 - gamma / m``. Left points have the value zero.
    """
    x = np.concatenate([np.linspace(0.2, 1.5, 16), -np.linspace(0.2, 1.5, 16)])
    y = np.maximum(x, 0.0)
    mean = float((y**2).mean())
    size = np.sqrt(1 - gamma / mean)
    layout = layout_of("relu", dim=1, width=n_copies + 1, depth=1, bias=False)
    ensemble = Ensemble(
        layout, MeanSquare(), x[None, None, None], y[None, None, None], np.full((1, 1, 1, 32), 1 / 32), [0],
        l2_penalty=[gamma],
    )  # fmt: skip
    parts = np.append(np.asarray(share) / np.linalg.norm(share), 0.0)
    row = layout.pack(size * np.concatenate([parts, parts])[None])
    return Moment(ensemble, row, row), mean


@pytest.mark.parametrize("share", [(1.0, 1.0), (3.0, 1.0), (1.0, 2.0, 0.5)])
def test_a_neuron_split_into_copies_has_a_zero_mode_for_each_copy_but_one(share):
    moment, mean = split_relu(share, n_copies=len(share))
    assert np.abs(autograd_gradient(moment, 0)).max() < 1e-12
    hessian, directions = autograd_hessian(moment, 0), directions_of(moment)
    assert len(directions) == len(share) - 1
    assert np.abs(hessian @ directions.T).max() < 1e-12
    margin, modes, plain = margins(moment)
    assert (modes, plain) == (len(share) - 1, pytest.approx(0.0, abs=1e-12))
    # The neuron as a whole: 4 (m - gamma) and 4 gamma; copies against each other: 0 and 4 gamma; the dead unit 2 gamma.
    assert margin == pytest.approx(min(4 * (mean - 0.2), 4 * 0.2, 2 * 0.2), rel=1e-9)


def test_many_dead_units_do_not_matter_under_a_penalty_and_are_free_without_one():
    moment = moment_of("relu", n=1, depth=1, width=6, penalties=(0.1,))
    theta = moment.theta.clone()
    theta[0, : 2 * 4] = -theta[0, : 2 * 4].abs()  # weights and biases of four units: dead on [0, 1]
    directions = directions_of(dataclasses.replace(moment, theta=theta))
    hessian = autograd_hessian(dataclasses.replace(moment, theta=theta), 0)
    assert np.abs(directions[:, [0, 1, 2, 3, 6, 7, 8, 9]]).max(initial=0.0) < 1e-12
    # Dead units have the curvature of the penalty, which is no zero mode.
    assert (np.abs(np.linalg.eigvalsh(hessian) - 0.2) < 1e-10).sum() >= 12
    free = dataclasses.replace(moment.unpenalised(), theta=theta)
    assert (np.abs(np.linalg.eigvalsh(autograd_hessian(free, 0))) < 1e-12).sum() >= 12
    found = directions_of(free)
    for place in (0, 1, 2, 3, 6, 7, 8, 9, 12, 13, 14, 15):  # four weights, biases and outgoing weights
        assert np.linalg.norm(found[:, place]) == pytest.approx(1.0, abs=1e-12)


def test_neurons_that_look_to_different_sides_are_not_split_ones():
    moment, _ = split_relu((1.0, 1.0))
    other = moment.theta.clone()
    other[0, 1] *= -1.0
    assert len(directions_of(dataclasses.replace(moment, theta=other))) == 0


def test_bent_activations_have_discrete_symmetries_only():
    for activation in ("tanh", "gelu", "sin", "relu2"):
        assert len(directions_of(moment_of(activation))) == 0
        if activation == "relu2":
            continue  # has dead units
        assert len(directions_of(moment_of(activation, penalties=None))) == 0


def test_zero_parameters_have_no_directions():
    for activation, penalties in (("identity", (0.1,)), ("relu", (0.1,)), ("tanh", (0.1,)), ("relu", None)):
        moment = moment_of(activation, n=1, penalties=penalties)
        assert len(directions_of(dataclasses.replace(moment, theta=torch.zeros_like(moment.theta)))) == 0


@pytest.mark.parametrize(
    ("angle", "edge", "expected"), [(1e-13, 1e-3, 1), (1e-13, 1e-15, 0), (0.02, 1e-3, 0), (0.02, 0.05, 1)]
)
def test_copies_may_differ_at_points_on_their_edges(angle, edge, expected):
    # Two units along the first axis but for an angle, and one point on the second axis, which they see differently.
    rng = np.random.default_rng(0)
    x = np.abs(rng.normal(size=(2, 32))) * np.where(np.arange(32) % 2, 1.0, -1.0)
    x[:, 0] = 0.0, 1.0
    layout = layout_of("relu", dim=2, width=2, depth=1, bias=False)
    ensemble = Ensemble(
        layout, MeanSquare(), x[None, None], x[None, None, :1], np.full((1, 1, 1, 32), 1 / 32), [0], l2_penalty=[0.1]
    )
    row = layout.pack(np.array([[0.8, -0.8 * angle, 0.6, 0.6 * angle, 0.8, 0.6]]))
    assert len(directions_of(Moment(ensemble, row, row), edge=edge)) == expected


def test_units_that_are_noise_are_turned_into_large_ones_but_not_into_each_other(monkeypatch):
    moment, _ = linear_minimiser(0.5, width=4)
    rows = moment.layout.pack(plain_theta(moment, 0)[None] + 1e-9 * np.random.default_rng(0).normal(size=(1, 8)))
    noisy = dataclasses.replace(moment, theta=rows)
    assert len(directions_of(noisy)) == 3
    monkeypatch.setattr(symmetry, "NOISE", 0.0)
    assert len(directions_of(noisy, tolerance=1e-12)) > 3


def test_the_search_by_lanczos_finds_what_the_whole_matrix_has():
    moment = moment_of("identity", n=3, width=6, depth=2, dim=2)
    whole = MEASUREMENTS["stability_margin"]().measure(moment)
    searched = MEASUREMENTS["stability_margin"](most_dense=0).measure(moment)
    assert (whole["stability_margin_modes"] == searched["stability_margin_modes"]).all()
    assert np.allclose(whole["stability_margin"], searched["stability_margin"], atol=1e-7)
    for gamma in (0.2, 0.9):
        minimiser, _ = linear_minimiser(gamma, width=8)
        assert margins(minimiser, most_dense=0)[0] == pytest.approx(margins(minimiser)[0], abs=1e-8)


def test_more_directions_than_can_be_written_down_give_no_margin(monkeypatch):
    moment = moment_of("identity", n=2)
    monkeypatch.setattr(symmetry, "MOST_NUMBERS", 100)
    found = MEASUREMENTS["stability_margin"]().measure(moment)
    assert all(np.isnan(values).all() for values in found.values())


@pytest.mark.parametrize("name", ["stability_margin", "effective_rank", "weight_rank", "dead_units"])
def test_models_that_are_no_networks_are_refused_by_what_looks_at_layers(name):
    with pytest.raises(ValueError, match=f"{name} looks at the layers of a fully connected network. Got another model"):
        MEASUREMENTS[name]().check(FlatLayout(10), None)
