"""Starting weights: the signal and its derivative at every depth, seeds, and break-points in the domain."""

import numpy as np
import pytest

from approxrates.activations import get, names
from approxrates.architecture import FixedDepth, FixedWidth
from approxrates.initialisation import design_points

TRAINABLE = [name for name in names() if get(name).trainable] + ["relu+sin", "sin:30", "relu+relu2"]
REPLICAS = range(10)
FINE = np.linspace(0.0, 1.0, 509)[None, :]


def run(arch, theta, x):
    """Pre-activations of each layer by plain loops over layers: not the code under test."""
    act, h, found = get(arch.activation), x, []
    for index, (weight, bias) in enumerate(arch.maps(theta)):
        read = np.vstack([h, x]) if arch.injection and index else h
        z = weight @ read + (0.0 if bias is None else bias[:, None])
        found.append(z)
        h = h + act(z) if arch.residual and 0 < index < arch.depth else act(z) if index < arch.depth else z
    return found


def first_layer_gradient(arch, theta, x):
    """Root mean square over points of the derivative of the output with respect to the first pre-activations."""
    zs, weights, act = run(arch, theta, x), [w[:, : arch.width] for w, _ in arch.maps(theta)], get(arch.activation)
    delta = np.repeat(weights[-1].T, x.shape[1], axis=1)
    for index in range(arch.depth - 1, 0, -1):
        delta = weights[index].T @ (delta * act.derivative(zs[index])) + arch.residual * delta
    return np.sqrt(((delta * act.derivative(zs[0])) ** 2).mean())


SKIPS = [{}, {"injection": True}, {"residual": True}, {"injection": True, "residual": True}]


@pytest.mark.parametrize("depth", [2, 8, 32], ids="depth={}".format)
@pytest.mark.parametrize("width", [8, 16], ids="width={}".format)
@pytest.mark.parametrize("name", TRAINABLE)
def test_signal_and_gradient_live_at_every_depth(name, width, depth):
    arch = FixedWidth(1, width, depth, name)
    thetas = arch.initialise(REPLICAS)
    spreads = np.array([run(arch, theta, FINE)[-1].std() for theta in thetas])
    gradients = np.array([first_layer_gradient(arch, theta, FINE) for theta in thetas])
    assert np.isfinite(thetas).all()
    assert np.mean((spreads > 0.05) & (spreads < 20.0)) >= 0.9
    assert 0.3 < np.median(spreads) < 0.7
    assert np.mean((gradients > 1e-2 / get(arch.activation).init.first_scale) & np.isfinite(gradients)) >= 0.9


@pytest.mark.parametrize("skip", SKIPS[1:], ids=lambda s: "+".join(s))
@pytest.mark.parametrize("depth", [2, 32], ids="depth={}".format)
@pytest.mark.parametrize("name", ["relu", "relu2", "sin", "tanh", "gelu", "relu+sin", "hard_tanh"])
def test_skip_connections_keep_signal_and_gradient(name, depth, skip):
    arch = FixedWidth(1, 8, depth, name, **skip)
    thetas = arch.initialise(REPLICAS)
    spreads = np.array([run(arch, theta, FINE)[-1].std() for theta in thetas])
    gradients = np.array([first_layer_gradient(arch, theta, FINE) for theta in thetas])
    assert np.mean((spreads > 0.1) & (spreads < 5.0)) >= 0.9
    assert 0.3 < np.median(spreads) < 0.7
    # Where each layer reads the input afresh, what comes through all of the others is a smaller part.
    least = 1e-3 if skip == {"injection": True} else 1e-2
    assert np.mean((gradients > least / get(arch.activation).init.first_scale) & np.isfinite(gradients)) >= 0.9
    # Each layer, not the last one alone, is fitted to what reaches it: hidden pre-activations have the wanted spread.
    inner = np.array([[z.std(axis=1) for z in run(arch, theta, FINE)[1:-1]] for theta in thetas])
    wanted = np.array([get(code).init.hidden_scale for code in get(name).units(8)])
    if depth > 2:
        np.testing.assert_allclose(np.sqrt((inner**2 / wanted**2).mean(axis=2)), 1.0, rtol=0.1)


@pytest.mark.parametrize("name", ["relu", "relu2", "sin", "tanh", "relu+sin"])
@pytest.mark.parametrize("dim", [2, 3])
def test_signal_lives_in_more_dimensions(name, dim):
    arch = FixedWidth(dim, 8, 12, name)
    x = np.random.default_rng(0).random((dim, 2000))
    spreads = np.array([run(arch, theta, x)[-1].std() for theta in arch.initialise(REPLICAS)])
    assert np.mean((spreads > 0.1) & (spreads < 5.0)) >= 0.9


@pytest.mark.parametrize("name", ["relu", "abs", "relu2", "leaky_relu", "hard_tanh"])
def test_break_points_of_the_first_layer_lie_in_the_domain_and_are_uniform(name):
    arch = FixedWidth(1, 64, 1, name)
    layers = [arch.layers(theta)[0] for theta in arch.initialise(range(40))]
    zeros = np.concatenate([-layer.bias / layer.weight[:, 0] for layer in layers])
    assert zeros.min() > -1e-9
    assert zeros.max() < 1 + 1e-9
    assert np.abs(np.sort(zeros) - np.linspace(0, 1, zeros.size)).max() < 0.05


@pytest.mark.parametrize("depth", [3, 24])
def test_no_relu_unit_starts_dead(depth):
    arch = FixedWidth(1, 8, depth, "relu")
    alive = [[(z > 0).any(axis=1).mean() for z in run(arch, t, FINE)[:-1]] for t in arch.initialise(REPLICAS)]
    assert np.mean(alive) > 0.97


@pytest.mark.parametrize("skip", SKIPS, ids=lambda s: "+".join(s) or "chain")
@pytest.mark.parametrize("name", ["relu", "relu2", "sin", "relu+sin"])
@pytest.mark.parametrize("arch", [FixedWidth(1, 8, 5), FixedDepth(3, 5, 2, bias=False)], ids=repr)
def test_a_replica_depends_on_its_seed_alone(name, arch, skip):
    arch = type(arch)(arch.dim, arch.width, arch.depth, name, bias=arch.bias, **skip)
    together = arch.initialise([11, 5, 2**62, 5, 0])
    assert together.shape == (5, arch.n_params)
    assert together.dtype == np.float64
    for seed, row in zip([11, 5, 2**62, 5, 0], together, strict=True):
        np.testing.assert_array_equal(arch.initialise([seed])[0], row)
    assert not np.array_equal(together[0], together[1])


@pytest.mark.parametrize("skip", SKIPS, ids=lambda s: "+".join(s) or "chain")
@pytest.mark.parametrize("depth", [1, 8, 32])
def test_without_biases_relu_networks_are_not_dead(depth, skip):
    arch = FixedWidth(1, 4, depth, "relu", bias=False, **skip)
    assert min(run(arch, theta, FINE)[-1].std() for theta in arch.initialise(range(30))) > 0.05


@pytest.mark.parametrize("dim", [1, 2])
def test_an_injected_input_counts_as_one_more_unit(dim):
    """In the second layer the weights of x times the spread of x are as large as those of a unit times its spread."""
    arch, x = FixedWidth(dim, 8, 3, "tanh", injection=True), design_points(dim)
    shares = []
    for theta in arch.initialise(range(200)):
        (first, bias), (weight, _) = arch.maps(theta)[:2]
        h = np.tanh(first @ x + bias[:, None])
        unit, inputs = (np.sqrt(read.var(axis=1).mean()) for read in (h, x))
        shares.append(((weight[:, 8:] * inputs) ** 2).mean() / ((weight[:, :8] * unit) ** 2).mean())
    assert 0.9 < np.mean(shares) < 1.15


@pytest.mark.parametrize("dim", [1, 2, 3, 5])
def test_design_points_fill_the_cube(dim):
    points = design_points(dim)
    assert points.shape == (dim, 128)
    assert points.min() >= 0.0
    assert points.max() <= 1.0
    assert np.abs(points.mean(axis=1) - 0.5).max() < 0.02
    assert np.abs(points.var(axis=1) - 1 / 12).max() < 0.01
