"""Starts, sampling sets and default plans: what they promise before any step is taken."""

import numpy as np
import pytest
import torch
from scipy.special import ndtr

import approxrates as ar
from approxrates import activations
from approxrates.objectives import MeanSquare
from approxrates.training import resolve_plan
from approxrates.training.points import default_n_points, point_sets, sample
from approxrates.training.starts import Standardised, constructive_start, get_start, random_start
from approxrates.training.starts.carry import carry_of
from approxrates.training.starts.channels import Channels
from approxrates.training.starts.constructive import build, fitting_points
from approxrates.training.starts.greedy import choose
from approxrates.training.starts.random import is_alive

TREE = ar.load_target("faber_tree", smoothness=0.5, dim=1, seed=0)
SMOOTH = ar.load_target("analytic")
LINE = np.linspace(0, 1, 4001)[:, None]


def spline(knots, target):
    ends = np.concatenate([[0.0], knots, [1.0]])
    return np.interp(LINE[:, 0], ends, target(ends[:, None]))


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "leaky_relu:0.3", "abs", "hard_tanh"])
@pytest.mark.parametrize(("width", "depth"), [(3, 1), (8, 4), (5, 16)])
def test_the_constructive_start_is_the_spline_interpolant(activation, width, depth):
    arch = ar.FixedWidth(dim=1, width=width, depth=depth, activation=activation)
    theta, _ = constructive_start(arch, Standardised(TREE, 1.0, 2.0), 0, 0)
    n_knots = depth * (width - 2) - (activation == "hard_tanh")  # a ramp is a cell, not a knot
    knots = np.arange(1, n_knots + 1) / (n_knots + 1)
    network = ar.Network(arch.layers(theta))
    assert np.abs(2.0 * network(LINE) + 1.0 - spline(knots, TREE)).max() < 1e-11


def rms(values):
    return float(np.sqrt(np.mean(np.square(values))))


def started(arch, target, replica=0):
    """The network that a start makes, called on points."""
    theta, _ = constructive_start(arch, Standardised(target, 0.3, 0.7), replica, 0)
    network = ar.Network(arch.layers(theta))
    return lambda x: 0.7 * network(x) + 0.3


def best_spline(degree, n_inner, x, y, at):
    """The least-squares spline on even knots by its B-spline series, not through any network."""
    from scipy.interpolate import make_lsq_spline

    knots = np.concatenate([[0.0] * (degree + 1), np.arange(1, n_inner + 1) / (n_inner + 1), [1.0] * (degree + 1)])
    return make_lsq_spline(x, y, knots, degree)(at)


@pytest.mark.parametrize("target", [TREE, SMOOTH], ids=["tree", "smooth"])
@pytest.mark.parametrize("depth", [2, 8])
@pytest.mark.parametrize(
    ("activation", "degree", "per_layer", "local"),
    [
        ("relu2", 2, 4, False),
        ("xabsx", 2, 4, False),
        ("relu3", 3, 2, False),
        ("quadratic_bspline", 2, 4, True),
        ("cubic_bspline", 3, 4, True),
    ],
)
def test_starts_of_higher_degree_are_splines_on_even_knots_nearly_as_good_as_the_best(
    activation, degree, per_layer, local, depth, target
):
    network = started(ar.FixedWidth(dim=1, width=8, depth=depth, activation=activation), target)
    n_inner = depth * per_layer - (degree + 1) * local
    values, x = network(LINE), LINE[:, 0]
    assert rms(values - best_spline(degree, n_inner, x, values, x)) < 1e-9  # it is such a spline
    best = rms(target(LINE) - best_spline(degree, n_inner, x, target(LINE), x))
    assert best * 0.999 < rms(target(LINE) - values) < 1.12 * best


EXACT = ["triangle", "relu+sin", "relu", "hard_tanh", "relu2", "relu3", "quadratic_bspline"]
DEGREES = {"relu2": 2, "relu3": 3, "quadratic_bspline": 2}  # of the polynomials that carriers add, else 1


@pytest.mark.parametrize("injection", [False, True])
@pytest.mark.parametrize("activation", EXACT)
@pytest.mark.parametrize("dim", [1, 2, 3])
def test_exact_starts_are_the_least_squares_sum_of_their_features(activation, dim, injection):
    if dim == 1 and activation not in ("triangle", "relu+sin"):
        return  # splines, tested above
    target = ar.load_target("bump_tree", smoothness=1.5, dim=dim)
    arch = ar.FixedWidth(dim=dim, width=14, depth=3, activation=activation, injection=injection)
    standard = Standardised(target, 0.3, 0.7)
    channels = Channels(arch)
    x = fitting_points(channels, standard)
    chosen = choose(channels, x, standard(x), 1.5, None)
    columns = [
        FORMULAS[c](x @ w + b) for c, w, b in zip(channels.feature_codes, chosen.weights, chosen.offsets, strict=True)
    ]
    powers = range(2, (1 if injection else DEGREES.get(activation, 1)) + 1)
    columns = np.stack([np.ones(len(x)), *x.T, *[t**p for t in x.T for p in powers], *columns], axis=1)
    columns /= np.sqrt(np.mean(columns**2, axis=0))
    values = started(arch, target)(x)
    of_network, of_target = (columns @ np.linalg.lstsq(columns, v, rcond=1e-13)[0] - v for v in (values, target(x)))
    assert rms(of_network) < 1e-10  # a sum of these features
    assert rms(of_target) * 0.999 < rms(values - target(x)) < 1.06 * rms(of_target)  # and nearly the best


def positive(z):
    return np.maximum(z, 0.0)


FORMULAS = {
    "relu": positive,
    "hard_tanh": lambda z: np.clip(z, -1, 1),
    "relu2": lambda z: positive(z) ** 2,
    "relu3": lambda z: positive(z) ** 3,
    "quadratic_bspline": lambda z: sum(
        c * positive(z + 1.5 - k) ** 2 for k, c in enumerate([1 / 2, -3 / 2, 3 / 2, -1 / 2])
    ),
    "triangle": lambda z: 2 / np.pi * np.arcsin(np.sin(2 * np.pi * z)),
    "sin": lambda z: np.sin(2 * np.pi * z),
    "sin:5": lambda z: np.sin(5 * z),
    "snake": lambda z: z + np.sin(z) ** 2,
    "tanh": lambda z: 1 - 2 / (np.exp(2 * z) + 1),
    "gelu": lambda z: z * ndtr(z),
    "silu": lambda z: z / (1 + np.exp(-z)),
}


@pytest.mark.parametrize("activation", ["sin", "sin:5", "snake", "tanh", "gelu", "silu"])
@pytest.mark.parametrize("dim", [1, 2])
def test_other_starts_are_the_least_squares_sum_of_what_their_layers_compute(activation, dim):
    target = ar.load_target("bump_tree", smoothness=1.5, dim=dim)
    arch = ar.FixedWidth(dim=dim, width=10, depth=4, activation=activation)
    standard, channels, act = Standardised(target, 0.3, 0.7), Channels(arch, 3e-3), FORMULAS[activation]
    x = fitting_points(channels, standard)
    chosen = choose(channels, x, standard(x), 1.5, None)
    t, columns = 2 * x - 1, [np.ones((len(x), 1))]
    slope, offset = channels.carry.slopes[0], channels.carry.offsets[0]
    steepness = (act(offset + 1e-6) - act(offset - 1e-6)) / 2e-6
    for layer in range(arch.depth):
        part = channels.layer_of(layer)
        columns.append(act((t + 1) / 2 @ chosen.weights[part].T + chosen.offsets[part]))
        t = (act(slope * t + offset) - act(offset)) / (slope * steepness)
    columns = np.concatenate([*columns, t], axis=1)
    columns /= np.sqrt(np.mean(columns**2, axis=0))
    best = rms(columns @ np.linalg.lstsq(columns, standard(x), rcond=1e-13)[0] - standard(x))
    theta = build(channels, standard, None).theta
    assert rms(ar.Network(arch.layers(theta))(x) - standard(x)) < 1.1 * best
    assert rms(ar.Network(arch.layers(theta))(x) - standard(x)) > 0.9 * best  # bent sums may fit a little better


@pytest.mark.parametrize("depth", [3, 8])
@pytest.mark.parametrize("activation", ["sin", "sin:5", "snake", "triangle"])
def test_periodic_starts_are_better_than_the_truncated_cosine_series(activation, depth):
    arch = ar.FixedWidth(dim=1, width=8, depth=depth, activation=activation)
    waves = FORMULAS["triangle" if activation == "triangle" else "sin"]
    frequencies = np.arange(1, 6 * depth + 1) / 2
    columns = np.concatenate([np.ones_like(LINE), LINE, waves(LINE * frequencies + 0.25)], axis=1)
    for target in (TREE, SMOOTH):
        series = columns @ np.linalg.lstsq(columns, target(LINE), rcond=None)[0]
        assert rms(started(arch, target)(LINE) - target(LINE)) < 1.02 * rms(series - target(LINE))


def test_ridge_starts_are_better_than_interpolation_with_as_many_parameters():
    for dim, factor in ((2, 0.8), (3, 0.8)):
        target = ar.load_target("bump_tree", smoothness=1.5, dim=dim)
        x = np.random.default_rng(0).random((2000, dim))
        for activation in ("relu", "sin", "gelu"):
            arch = ar.FixedWidth(dim=dim, width=14, depth=4, activation=activation)
            plain = ar.approximate("linear_spline", target, n_params=arch.depth * (arch.width - dim - 1))
            assert rms(started(arch, target)(x) - target(x)) < factor * rms(plain(x) - target(x))


@pytest.mark.parametrize("name", [*activations.names(), "sin:30", "snake:2", "leaky_relu:0.3"])
def test_numbers_pass_through_the_carriers(name):
    activation, t = activations.get(name), np.linspace(-1, 1, 401)
    carry = carry_of(activation, 1e-3)
    if name in ("heaviside", "floor"):
        assert carry is None
        return
    assert carry.n_units == (1 if activation.degree in (None, 1) else 3 if name == "relu3" else 2)
    read = carry.readout @ activation(np.outer(carry.slopes, t) + carry.offsets[:, None]) + carry.constant
    assert carry.exact == (activation.pieces is not None)
    assert np.abs(read - t).max() < (1e-13 if carry.exact else 2e-3)
    if not carry.exact:  # what is left is the cubic term, of the size that was asked for
        assert np.abs(read - t).max() > 0.6e-3
        assert np.abs(read - t)[np.abs(t) <= 0.1].max() < 1e-5


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


@pytest.mark.parametrize("activation", ["relu2", "quadratic_bspline", "sin", "gelu", "relu+sin"])
def test_replicas_of_other_starts_differ_too_and_are_as_good(activation):
    arch = ar.FixedWidth(dim=1, width=8, depth=6, activation=activation)
    errors = [rms(started(arch, TREE, replica)(LINE) - TREE(LINE)) for replica in range(4)]
    assert len(set(errors)) == 4
    assert errors[2] == rms(started(arch, TREE, 2)(LINE) - TREE(LINE))
    assert max(errors) < 1.35 * min(errors)


@pytest.mark.parametrize(
    "changes", [{"bias": False}, {"n_outputs": 2}, {"residual": True}, {"activation": "heaviside"}]
)
def test_architectures_without_a_constructive_start_are_told_what_has_one(changes):
    arch = ar.FixedWidth(**({"dim": 1, "width": 8, "depth": 2} | changes))
    with pytest.raises(ValueError, match=r"start='constructive' needs .*Use start='random'"):
        constructive_start(arch, Standardised(TREE, 0.0, 1.0), 0, 0)
    with pytest.raises(ValueError, match="random, constructive"):
        get_start("spline")


@pytest.mark.parametrize(
    ("activation", "dim", "least"),
    [
        ("relu", 1, 3),
        ("relu2", 1, 5),
        ("relu3", 1, 7),
        ("cubic_bspline", 1, 5),
        ("sin", 1, 3),
        ("relu", 3, 5),
        ("relu3", 2, 10),
        ("relu+sin", 1, 3),
        ("relu+sin", 2, 5),
        ("sin+relu", 1, 3),
        ("relu3+sin", 1, 4),
        ("heaviside+sin", 1, 4),
    ],
)
def test_the_least_width_is_named_and_is_enough(activation, dim, least):
    target = ar.load_target("faber_tree", smoothness=0.5, dim=dim)
    kind = {"dim": dim, "depth": 3, "activation": activation}
    for width in range(2, least):
        with pytest.raises(ValueError, match=f"Use width={least} or more"):
            constructive_start(ar.FixedWidth(width=width, **kind), Standardised(target, 0.0, 1.0), 0, 0)
    x = np.random.default_rng(0).random((2000, dim))
    values = started(ar.FixedWidth(width=least, **kind), target)(x)
    assert rms(values - target(x)) < rms(target(x) - target(x).mean())


@pytest.mark.parametrize("activation", ["relu", "relu2", "sin", "tanh"])
def test_starts_from_data_use_the_data_points_only(activation):
    x = np.random.default_rng(1).random((90, 1))
    data = ar.Target.from_data(x, np.cos(7 * x[:, 0]), SMOOTH.regularity)
    arch = ar.FixedWidth(dim=1, width=8, depth=4, activation=activation)
    assert rms(started(arch, data)(data.samples[0]) - data.samples[1]) < 0.02


@pytest.mark.parametrize("activation", ["relu", "relu2", "relu3", "xabsx", "cubic_bspline", "sin", "tanh", "gelu"])
def test_starts_survive_single_precision(activation):
    arch = ar.FixedWidth(dim=1, width=8, depth=8, activation=activation)
    tiny = [ar.Adam(steps=1, learning_rate=1e-300)]
    losses = [
        ar.train(arch, TREE, start="constructive", plan=tiny, dtype=dtype).losses[0] for dtype in ("float32", "float64")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=0.01)


@pytest.mark.parametrize("injection", [False, True])
@pytest.mark.parametrize("residual", [False, True])
def test_networks_are_dead_where_autograd_finds_no_gradient_in_hidden_layers(injection, residual):
    x = np.linspace(0, 1, 9)[:, None]
    arch = ar.FixedWidth(dim=1, width=2, depth=3, injection=injection, residual=residual)
    found = []
    for seed in range(24):
        rng = np.random.default_rng(seed)
        theta = rng.normal(size=arch.n_params)
        for index, (_, bias) in enumerate(arch.slices[:-1]):  # dead hidden layers, all or all but the first
            if seed % 2 and (index or seed % 4 == 1):
                theta[bias] -= 30.0
        alive = is_alive(arch, theta, x)
        assert alive == (np.ptp(outputs(arch, theta, x)) > 1e-9 and hidden_gradient(arch, theta, x) > 0.0)
        found.append(alive)
    assert 3 < sum(found) < 21


def torch_outputs(arch, maps, x):
    """Outputs by torch from the definition, ``(1, n)``."""
    points = torch.tensor(x.T)
    h = points
    for layer, (weight, bias) in enumerate(maps):
        read = torch.cat([h, points]) if layer and arch.injection else h
        z = weight @ read + bias[:, None]
        h = z if layer == arch.depth else torch.relu(z) + (h if layer and arch.residual else 0.0)
    return h


def outputs(arch, theta, x):
    return torch_outputs(arch, [tuple(map(torch.tensor, m)) for m in arch.maps(theta)], x).numpy()


def hidden_gradient(arch, theta, x):
    """Largest derivative of any output by any hidden bias, one point at a time."""
    maps = [tuple(torch.tensor(part, requires_grad=True) for part in m) for m in arch.maps(theta)]
    largest = 0.0
    for value in torch_outputs(arch, maps, x)[0]:
        slopes = torch.autograd.grad(value, [bias for _, bias in maps[:-1]], retain_graph=True)
        largest = max(largest, *(float(s.abs().max()) for s in slopes))
    return largest


def test_networks_whose_hidden_units_are_stuck_are_drawn_again_though_injection_keeps_outputs_alive(monkeypatch):
    arch = ar.FixedWidth(dim=1, width=3, depth=3, injection=True)

    def often_stuck(self, seeds):
        rng = np.random.default_rng(seeds[0])
        theta = rng.normal(size=self.n_params)
        if rng.random() < 0.6:
            for _, bias in self.slices[:-1]:
                theta[bias] = -50.0
        return theta[None]

    monkeypatch.setattr(ar.FixedWidth, "initialise", often_stuck)
    drawn = [random_start(arch, Standardised(TREE, 0.0, 1.0), replica, 0) for replica in range(12)]
    assert max(attempts for _, attempts in drawn) > 1
    assert all(theta[arch.slices[0][1]].max() > -50.0 for theta, _ in drawn)
    assert all(np.ptp(ar.Network(arch.layers(theta))(LINE)) > 0 for theta, _ in drawn)


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


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"activation": "tanh"}, "the activations of the architecture, tanh"), ({"bias": False}, "bias=False")],
)
def test_networks_of_other_units_are_no_starts(changes, message):
    target = ar.load_target("polynomial")
    plan = [ar.SGD(steps=1, learning_rate=1e-3)]
    network = ar.train(ar.FixedWidth(dim=1, width=4, depth=2), target, plan=plan).networks[0]
    with pytest.raises(ValueError, match=message):
        ar.train(ar.FixedWidth(dim=1, width=4, depth=2, **changes), target, plan=plan, start=[network])
