"""Sobolev distances against closed forms, finite differences and the derivatives of another library."""

import math

import numpy as np
import pytest

import approxrates as ar
from approxrates import activations
from approxrates.approximant import Approximant
from approxrates.errors.sobolev import sobolev_error, values_and_gradients
from approxrates.layers import Layer

SMOOTH = ar.Regularity(smoothness=math.inf, dim=1)
SQUARE = ar.Target.from_callable(lambda x: x[:, 0] ** 2, SMOOTH, gradient=lambda x: 2 * x, name="square")
WITH_DERIVATIVE = [name for name in activations.names() if activations.get(name).trainable]


def random_network(dim, activation, seed, width=6, depth=2):
    rng = np.random.default_rng(seed)
    layers, n_in = [], dim
    for _ in range(depth):
        weight = rng.normal(size=(width, n_in)) * math.sqrt(2 / n_in)
        units = activations.get(activation).units(width)
        layers.append(Layer(weight, rng.normal(size=width) / 2, units))
        n_in = width
    layers.append(Layer(rng.normal(size=(1, n_in)) / math.sqrt(n_in), rng.normal(size=1), ("identity",)))
    return ar.Network(tuple(layers))


def waves(dim):
    """The target sin(x_1 + ... + x_d) with its gradient."""
    return ar.Target.from_callable(
        lambda x: np.sin(x.sum(axis=1)),
        ar.Regularity(smoothness=math.inf, dim=dim),
        gradient=lambda x: np.repeat(np.cos(x.sum(axis=1))[:, None], dim, axis=1),
        name="waves",
    )


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, 7.5])
@pytest.mark.parametrize("cells", [1, 4, 11])
def test_the_derivative_of_an_interpolant_of_the_parabola_is_off_by_a_sawtooth(cells, p):
    """On every cell it runs from -h to h: its L^p norm is h (p + 1)^(-1/p), for p = 2 h / sqrt 3."""
    error = sobolev_error(ar.construct("interpolation", SQUARE, cells=cells), SQUARE, p)
    truth = (p + 1) ** (-1 / p) / cells
    assert abs(error.seminorm - truth) <= error.seminorm_error
    assert error.seminorm_error < 1e-3 * truth
    assert error.method == "pieces"


@pytest.mark.parametrize("cells", [1, 4, 11])
def test_the_norm_adds_the_function(cells):
    error = sobolev_error(ar.construct("interpolation", SQUARE, cells=cells), SQUARE)
    truth = math.sqrt(cells**-4 / 30 + cells**-2 / 3)
    assert abs(error.norm - truth) <= error.norm_error
    assert error.norm == pytest.approx(truth, rel=1e-12)


@pytest.mark.parametrize("cells", [1, 4, 11])
def test_the_largest_derivative_is_found_at_a_bend_from_the_right_side(cells):
    error = sobolev_error(ar.construct("interpolation", SQUARE, cells=cells), SQUARE, math.inf)
    assert error.seminorm == pytest.approx(1 / cells, rel=1e-12)
    assert error.is_lower_bound
    assert error.where[0] * cells == pytest.approx(round(error.where[0] * cells), abs=1e-9)
    assert error.seminorm_error == math.inf


def test_the_largest_derivative_inside_a_cell_is_climbed_to():
    """Of sin(3x) against 0 the derivative is largest at 0, the value at pi/6 in the middle of nowhere."""
    zero = ar.Network((Layer(np.zeros((1, 1)), np.zeros(1), ("identity",)),))
    bump = ar.Target.from_callable(
        lambda x: np.sin(3 * x[:, 0]) * 5, SMOOTH, gradient=lambda x: 15 * np.cos(3 * x), name="bump"
    )
    error = sobolev_error(zero, bump, math.inf)
    assert error.norm == pytest.approx(15, rel=1e-12)
    shifted = ar.Target.from_callable(
        lambda x: -np.cos(3 * x[:, 0]) / 3, SMOOTH, gradient=lambda x: np.sin(3 * x), name="shifted"
    )
    error = sobolev_error(zero, shifted, math.inf)
    assert error.seminorm == pytest.approx(1, rel=1e-14)
    assert error.where[0] == pytest.approx(math.pi / 6, abs=1e-6)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_a_wave_against_nothing_has_its_closed_form(dim):
    """The mean of cos^2 over the cube is 1/2 + Re((e^{2i} - 1) / 2i)^d / 2, and there are d equal derivatives."""
    zero = ar.Network((Layer(np.zeros((1, dim)), np.zeros(1), ("identity",)),))
    error = sobolev_error(zero, waves(dim), 2)
    mean = 0.5 + 0.5 * (((np.exp(2j) - 1) / 2j) ** dim).real
    assert abs(error.seminorm - math.sqrt(dim * mean)) <= error.seminorm_error
    assert abs(error.norm - math.sqrt(dim * mean + 1 - mean)) <= error.norm_error
    assert error.seminorm_error < 1e-6


@pytest.mark.parametrize("name", [*WITH_DERIVATIVE, "relu+sin"])
def test_gradients_of_networks_are_the_differences_of_their_values(name):
    network = random_network(2, name, seed=3)
    x = np.random.default_rng(0).random((200, 2))
    values, gradients = values_and_gradients(network, x)
    assert values == pytest.approx(network(x), rel=1e-14)
    step = 1e-6
    for i in range(2):
        shift = step * np.eye(2)[i]
        forward, backward = (network(x + shift) - values) / step, (values - network(x - shift)) / step
        smooth = np.abs(forward - backward) < 1e-3 * (1 + np.abs(forward))  # no kink between the three points
        assert smooth.mean() > 0.95
        assert gradients[smooth, i] == pytest.approx(0.5 * (forward + backward)[smooth], rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("name", ["relu", "tanh", "relu2", "gelu"])
def test_gradients_of_networks_are_those_of_autograd(name):
    import torch

    network = random_network(3, name, seed=5, depth=3)
    x = np.random.default_rng(1).random((50, 3))
    inputs = torch.from_numpy(x).requires_grad_()
    act = {"relu": torch.relu, "tanh": torch.tanh, "relu2": lambda z: torch.relu(z) ** 2, "gelu": torch.nn.GELU()}[name]
    h = inputs
    for layer in network.layers:
        h = h @ torch.from_numpy(layer.weight).T + torch.from_numpy(layer.bias)
        h = act(h) if layer is not network.layers[-1] else h
    (expected,) = torch.autograd.grad(h.sum(), inputs)
    assert values_and_gradients(network, x)[1] == pytest.approx(expected.numpy(), rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sin"])
def test_estimates_cover_networks_in_the_plane(activation):
    """Against a rule on a grid that is six times finer; relu networks have jumps of the derivative in many cells."""
    target, covered = waves(2), []
    nodes, weights = np.polynomial.legendre.leggauss(2)
    t = ((np.arange(400)[:, None] + 0.5 + 0.5 * nodes) / 400).ravel()
    w = np.outer(*[np.tile(weights / 800, 400)] * 2).ravel()
    x = np.stack(np.meshgrid(t, t, indexing="ij"), axis=-1).reshape(-1, 2)
    for seed in range(3):
        network = random_network(2, activation, seed)
        error = sobolev_error(network, target)
        _, gradients = values_and_gradients(network, x)
        truth = math.sqrt(w @ ((target.gradient(x) - gradients) ** 2).sum(axis=1))
        covered.append(abs(error.seminorm - truth) <= error.seminorm_error)
        assert error.seminorm_error < 0.01 * truth
    assert all(covered)


def test_rough_derivatives_are_sampled():
    """Of x^1.5 the derivative has no derivative at 0: against 0 its norm is 1.5 / sqrt 2."""
    rough = ar.Target.from_callable(
        lambda x: x[:, 0] ** 1.5,
        ar.Regularity(smoothness=1.5, dim=1),
        gradient=lambda x: 1.5 * np.sqrt(x),
        name="rough",
    )
    zero = ar.Network((Layer(np.zeros((1, 1)), np.zeros(1), ("identity",)),))
    error = sobolev_error(zero, rough)
    assert error.method == "samples"
    assert abs(error.seminorm - 1.5 / math.sqrt(2)) <= error.seminorm_error < 0.01


@pytest.mark.parametrize("smoothness", [1.25, 1.5, 1.75, 2.5, 3.5])
def test_weierstrass_functions_have_the_seminorm_of_their_orthogonal_terms(smoothness):
    """The derivative is a sum of cosines of different whole frequencies 2^n and heights 2 pi 2^(n (1 - r))."""
    covered = []
    truth = 2 * math.pi * math.sqrt(sum(2.0 ** (2 * n * (1 - smoothness)) for n in range(40)) / 2)
    zero = ar.Network((Layer(np.zeros((1, 1)), np.zeros(1), ("identity",)),))
    for seed in range(5):
        error = sobolev_error(zero, ar.load_target("weierstrass", smoothness=smoothness, dim=1, seed=seed))
        covered.append(abs(error.seminorm - truth) <= error.seminorm_error)
        assert error.seminorm_error < 0.02 * truth
    assert all(covered)


def test_splines_are_measured_too_and_a_network_of_the_same_function_has_the_same_error():
    t = np.linspace(0, 1, 6)
    spline = Approximant("spline", 1, 6, lambda x: np.interp(x[:, 0], t, t**2), (t, t**2))
    network = ar.construct("interpolation", SQUARE, cells=5)
    for p in (1, 2, math.inf):
        assert sobolev_error(spline, SQUARE, p).norm == pytest.approx(sobolev_error(network, SQUARE, p).norm, rel=1e-9)


def test_a_network_that_has_diverged_is_infinitely_far():
    network = ar.Network(
        (Layer(np.array([[np.inf]]), np.zeros(1), ("relu",)), Layer(np.ones((1, 1)), None, ("identity",)))
    )
    for p in (2, math.inf):
        error = sobolev_error(network, SQUARE, p)
        assert error.norm == error.seminorm == math.inf


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda n: sobolev_error(n, ar.Target.from_callable(lambda x: x[:, 0], SMOOTH)), ValueError, "gradient=df"),
        (lambda n: sobolev_error(n, SQUARE, p=0.5), ValueError, "p must be at least 1. Got p=0.5"),
        (lambda n: sobolev_error(n, SQUARE, p=math.nan), ValueError, "p must be at least 1"),
        (lambda n: sobolev_error(n, SQUARE, p="inf"), TypeError, "p=math.inf"),
        (lambda n: sobolev_error(n, waves(2)), ValueError, "dim=2"),
        (lambda n: sobolev_error(n.layers, SQUARE), TypeError, "network must be a Network"),
        (lambda n: sobolev_error(n, lambda x: x), TypeError, "target must be a Target"),
        (lambda n: sobolev_error(random_network(1, "floor", 0), SQUARE), ValueError, "Got floor units"),
        (lambda n: sobolev_error(Approximant("aaa", 1, 3, lambda x: x[:, 0]), SQUARE), ValueError, "Got aaa"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_at_the_door(call, kind, message):
    with pytest.raises(kind, match=message):
        call(random_network(1, "relu", 0))
