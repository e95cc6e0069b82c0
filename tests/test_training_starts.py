"""Starts, sampling sets and default plans: what they promise before any step is taken."""

import numpy as np
import pytest

import approxrates as ar
from approxrates.objectives import MeanSquare
from approxrates.training import resolve_plan
from approxrates.training.points import default_n_points, point_sets, sample
from approxrates.training.starts import Standardised, constructive_start, get_start, random_start

TREE = ar.load_target("faber_tree", smoothness=0.5, dim=1, seed=0)
SMOOTH = ar.load_target("analytic")
LINE = np.linspace(0, 1, 4001)[:, None]


def spline(knots, target):
    ends = np.concatenate([[0.0], knots, [1.0]])
    return np.interp(LINE[:, 0], ends, target(ends[:, None]))


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "leaky_relu:0.3", "abs"])
@pytest.mark.parametrize(("width", "depth"), [(3, 1), (8, 4), (5, 16)])
def test_the_constructive_start_is_the_spline_interpolant(activation, width, depth):
    arch = ar.FixedWidth(dim=1, width=width, depth=depth, activation=activation)
    theta, _ = constructive_start(arch, Standardised(TREE, 1.0, 2.0), 0, 0)
    n_knots = depth * (width - 2)
    knots = np.arange(1, n_knots + 1) / (n_knots + 1)
    network = ar.Network(arch.layers(theta))
    assert np.abs(2.0 * network(LINE) + 1.0 - spline(knots, TREE)).max() < 1e-11


def test_training_begins_with_the_error_of_the_interpolant():
    arch = ar.FixedWidth(dim=1, width=8, depth=8)
    fit = ar.train(arch, TREE, start="constructive", plan=[ar.Adam(steps=1, learning_rate=1e-300)], n_points=500)
    knots = np.arange(1, 49) / 49
    assert np.abs(fit.best()(LINE) - spline(knots, TREE)).max() < 1e-11
    wider = ar.FixedWidth(dim=1, width=8, depth=8, activation="relu")
    lower = ar.train(wider, TREE, start="constructive", plan=[ar.SOAP(steps=200, learning_rate=3e-4)], n_points=500)
    assert lower.losses[0] < fit.losses[0]


def test_replicas_of_the_constructive_start_have_moved_knots():
    arch = ar.FixedWidth(dim=1, width=8, depth=2)
    starts = [constructive_start(arch, Standardised(TREE, 0.0, 1.0), replica, 0)[0] for replica in (0, 1, 1, 2)]
    assert np.array_equal(starts[1], starts[2])
    assert not np.array_equal(starts[0], starts[1])
    assert not np.array_equal(starts[1], starts[3])


@pytest.mark.parametrize(
    "changes",
    [{"activation": "tanh"}, {"dim": 2}, {"width": 2}, {"bias": False}, {"n_outputs": 2}, {"activation": "relu+sin"}],
)
def test_architectures_without_a_constructive_start_are_told_which_have_one(changes):
    arch = ar.FixedWidth(**({"dim": 1, "width": 8, "depth": 2} | changes))
    with pytest.raises(ValueError, match=r"relu, leaky_relu, abs.*Use start='random'"):
        constructive_start(arch, Standardised(TREE, 0.0, 1.0), 0, 0)
    with pytest.raises(ValueError, match="random, constructive"):
        get_start("spline")


def test_dead_networks_are_drawn_again_and_counted(monkeypatch):
    arch = ar.FixedWidth(dim=1, width=2, depth=12)

    def often_dead(self, seeds):
        rng = np.random.default_rng(seeds[0])
        return (rng.normal(size=(1, self.n_params)) if rng.random() < 0.5 else np.zeros((1, self.n_params))) - 0.1

    monkeypatch.setattr(ar.FixedWidth, "initialise", often_dead)
    drawn = [random_start(arch, Standardised(TREE, 0.0, 1.0), replica, 0) for replica in range(20)]
    attempts = np.array([attempt for _, attempt in drawn])
    assert attempts.max() > 1
    assert all(np.ptp(ar.Network(arch.layers(theta))(LINE)) > 0 for theta, attempt in drawn if attempt < 20)
    fit = ar.train(arch, TREE, replicas=20, plan=[ar.Adam(steps=1)])
    assert fit.attempts.tolist() == attempts.tolist()
    assert fit.networks[int(attempts.argmax())].provenance["attempts"] == attempts.max()


@pytest.mark.parametrize(
    "target", [TREE, SMOOTH, ar.load_target("faber_tree", smoothness=0.5, dim=2)], ids=["tree", "smooth", "plane"]
)
@pytest.mark.parametrize("n_points", [37, 256])
def test_samples_are_padded_weighted_and_standardised(target, n_points):
    arch = ar.FixedWidth(dim=target.dim, width=8, depth=2)
    found = sample(arch, target, MeanSquare(), n_points)
    sets, dim, m = found.points.shape
    assert dim == target.dim
    assert m % 32 == 0
    assert found.values.shape == found.weights.shape == (sets, 1, m)
    assert np.allclose(found.weights.sum(-1), 1.0)
    counted = found.weights[-1, 0] > 0
    assert counted.sum() == n_points
    assert abs(found.values[-1, 0, counted].mean()) < 1e-12
    assert found.values[-1, 0, counted].std() == pytest.approx(1.0)
    raw = found.values[0, 0] * found.scale + found.mean
    assert np.allclose(raw, target(found.points[0].T), atol=1e-12)


def test_smooth_targets_have_one_fixed_set_and_rough_ones_many():
    assert len(point_sets(SMOOTH, 64)) == 1
    rough = point_sets(TREE, 64)
    assert len(rough) > 16
    assert len({points.tobytes() for points in rough}) == len(rough)
    again = point_sets(ar.load_target("faber_tree", smoothness=0.5, dim=1, seed=0), 64)
    assert all(np.array_equal(a, b) for a, b in zip(rough, again, strict=True))
    other = point_sets(ar.load_target("faber_tree", smoothness=0.5, dim=1, seed=1), 64)
    assert not np.array_equal(rough[0], other[0])


@pytest.mark.parametrize("target", [TREE, SMOOTH], ids=["tree", "smooth"])
def test_there_are_several_points_for_every_knot(target):
    for depth in (2, 8, 32):
        arch = ar.FixedWidth(dim=1, width=8, depth=depth)
        assert 4 * 8 * depth <= default_n_points(arch, target) <= 20 * 8 * depth + 64
    assert default_n_points(ar.FixedWidth(dim=2, width=32, depth=8), ar.load_target("analytic", dim=2)) <= 2048


def test_default_plans_go_by_smoothness_and_size():
    def stages(activation, target, depth=4, width=8):
        plan = resolve_plan("default", ar.FixedWidth(dim=1, width=width, depth=depth, activation=activation), target)
        return [stage.name for stage in plan]

    assert stages("tanh", SMOOTH) == stages("sin", SMOOTH) == stages("relu3", SMOOTH) == ["soap", "ssbfgs"]
    assert stages("relu", SMOOTH) == stages("relu+sin", SMOOTH) == stages("tanh", TREE) == ["soap"]
    assert stages("tanh", SMOOTH, width=64) == ["soap"]


def test_default_plans_grow_with_size_and_are_gentle_to_constructive_starts():
    def first(depth, **options):
        return resolve_plan("default", ar.FixedWidth(dim=1, width=8, depth=depth), TREE, **options)[0]

    assert first(4).steps < first(8).steps < first(16).steps
    assert first(8, start="constructive").learning_rate <= 0.1 * first(8).learning_rate
    assert resolve_plan("default", ar.FixedWidth(dim=1, width=8, depth=8), [SMOOTH, TREE]) == (first(8),)
