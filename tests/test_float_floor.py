"""Rounding noise of networks: against exact rationals, extended precision and derivatives by differences."""

import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from oracles import exact_outputs

import approxrates as ar
from approxrates import activations
from approxrates.backends import Ensemble, Layout
from approxrates.constructions.graph import Graph
from approxrates.layers import Dyadic, Layer
from approxrates.network import Network
from approxrates.objectives import MeanSquare
from approxrates.training.floors import float_floor
from approxrates.training.points import sample

TREE = ar.load_target("faber_tree", smoothness=0.5, dim=1, seed=0)
SMOOTH = ar.load_target("analytic")


def network_of(code="relu", depth=6, width=8, dim=1, seed=0):
    rng, layers, n_in = np.random.default_rng(seed), [], dim
    for _ in range(depth):
        weight = rng.normal(size=(width, n_in)) * math.sqrt(2.0 / n_in)
        layers.append(Layer(weight, 0.3 * rng.normal(size=width), activations.get(code).units(width)))
        n_in = width
    return Network((*layers, Layer(rng.normal(size=(1, n_in)) * 0.1, np.array([0.2]), ("identity",))))


def standardised(network, target):
    """The network as it is trained: by the mean and scale on many points."""
    values = target(np.linspace(0.0, 1.0, 4001)[:, None])
    *hidden, last = network.layers
    scale = float(values.std())
    changed = dataclasses.replace(last, weight=last.weight / scale, bias=(last.bias - values.mean()) / scale)
    return Network((*hidden, changed)), scale


@pytest.mark.parametrize("seed", range(3))
def test_double_precision_noise_is_that_found_in_exact_rationals(seed):
    network, scale = standardised(network_of(seed=seed), TREE)
    x = np.random.default_rng(1).random(60)
    exact = [exact_outputs(network, [Fraction(float(t))])[0] for t in x]
    off = np.array([float(Fraction(float(v)) - e) for v, e in zip(network(x[:, None]), exact, strict=True)]) * scale
    found = float_floor(network_of(seed=seed), TREE)
    assert found.evaluation_rms == pytest.approx(float(np.sqrt(np.mean(off**2))), rel=0.7)
    assert found.evaluation_rms < found.evaluation_sup < 8.0 * found.evaluation_rms


@pytest.mark.parametrize("code", ["tanh", "sin", "snake"])
def test_double_precision_noise_of_smooth_activations_is_that_of_extended_precision(code):
    if np.finfo(np.longdouble).eps > 1e-18:
        pytest.skip("numpy has no wider floats here")
    network, scale = standardised(network_of(code), SMOOTH)
    x = np.random.default_rng(1).random((400, 1))
    h = x.T.astype(np.longdouble)
    for layer in network.layers:
        h = (layer.weight.astype(np.longdouble)[:, :, None] * h[None]).sum(axis=1) + layer.bias[:, None]
        h = h if layer.activations[0] == "identity" else activations.get(code)(h)
    noise = scale * float(np.sqrt(np.mean((network(x) - h[0]) ** 2)))
    found = float_floor(network_of(code), SMOOTH).evaluation_rms
    assert noise / 2.5 < found < 2.5 * noise


@pytest.mark.parametrize("code", ["relu", "tanh", "gelu"])
def test_single_precision_noise_is_two_to_the_29_times_that_of_double(code):
    single, double = (float_floor(network_of(code), SMOOTH, dtype) for dtype in ("float32", "float64"))
    for name in ("evaluation_rms", "evaluation_sup", "weights_rms", "rms"):
        assert 2.0**27 < getattr(single, name) / getattr(double, name) < 2.0**31
    assert single.rms == pytest.approx(math.hypot(single.evaluation_rms, single.weights_rms))


def test_single_precision_noise_is_that_of_the_trainer_itself():
    """Oracle: the passes of the trainer in both precisions."""
    arch = ar.FixedWidth(dim=1, width=8, depth=6, activation="tanh")
    theta = 0.6 * np.random.default_rng(3).normal(size=(1, arch.n_params))
    data = sample(arch, SMOOTH, MeanSquare(), 256)
    layout = Layout(arch.shapes, activations.get("tanh"))
    row = layout.pack(theta).to(torch.float32)
    outputs = [
        Ensemble(layout, MeanSquare(), data.points[None], data.values[None], data.weights[None], [0], dtype=dtype)
        .outputs(row.to(dtype))
        .double()
        for dtype in (torch.float32, torch.float64)
    ]
    noise = data.scale * float((outputs[0] - outputs[1]).square().mean().sqrt())
    network = Network(arch.layers(layout.unpack(row)[0]))
    *hidden, last = network.layers
    folded = dataclasses.replace(last, weight=last.weight * data.scale, bias=last.bias * data.scale + data.mean)
    found = float_floor(Network((*hidden, folded)), SMOOTH, "float32").evaluation_rms
    assert noise / 2.5 < found < 2.5 * noise


def test_the_last_places_of_the_weights_count_by_their_derivatives():
    """Moves within half a unit have variance unit^2 / 12 each; derivatives by central differences."""
    network, scale = standardised(network_of("tanh", depth=3), SMOOTH)
    x = np.linspace(0.0, 1.0, 65)[:, None]
    variance = np.zeros(len(x))
    for k, layer in enumerate(network.layers):
        for name in ("weight", "bias"):
            numbers = getattr(layer, name)
            for index in np.ndindex(numbers.shape):
                unit = 2.0 ** (math.frexp(numbers[index])[1] - 24)
                sides = []
                for step in (1e-6, -1e-6):
                    moved = numbers.copy()
                    moved[index] += step
                    layers = list(network.layers)
                    layers[k] = dataclasses.replace(layer, **{name: moved})
                    sides.append(Network(tuple(layers))(x))
                variance += ((sides[0] - sides[1]) / 2e-6) ** 2 * unit**2 / 12.0
    found = float_floor(network_of("tanh", depth=3), SMOOTH, "float32").weights_rms
    assert found == pytest.approx(scale * math.sqrt(variance.mean()), rel=0.6)


def test_units_are_those_of_the_target_and_a_large_mean_adds_no_noise():
    """Training works on standardised values: a constant of a million is not in its sums."""
    values = SMOOTH(np.linspace(0.0, 1.0, 9)[:, None])
    far = ar.Target.from_callable(
        lambda x: 1e6 + 10.0 * SMOOTH(x), ar.Regularity(smoothness=5.0, dim=1), name="far and steep"
    )
    near = network_of("tanh")
    *hidden, last = near.layers
    moved = Network((*hidden, dataclasses.replace(last, weight=10.0 * last.weight, bias=1e6 + 10.0 * last.bias)))
    assert np.ptp(values) > 0.5
    one, ten = float_floor(near, SMOOTH, "float32"), float_floor(moved, far, "float32")
    assert ten.evaluation_rms == pytest.approx(10.0 * one.evaluation_rms, rel=0.5)


def test_exact_weights_have_no_floor():
    graph = Graph(1)
    exact = graph.network([graph.relu(graph.input()) + Dyadic((1 << 80) + 1, -140)])
    assert not exact.is_float
    with pytest.raises(ValueError, match="needs float weights"):
        float_floor(exact, TREE)


def test_what_single_precision_cannot_hold_has_no_floor():
    network = network_of()
    first = network.layers[0]
    large = Network((dataclasses.replace(first, weight=1e60 * first.weight), *network.layers[1:]))
    assert float_floor(large, TREE, "float32").evaluation_rms == math.inf
    assert float_floor(large, TREE, "float32").rms == math.inf


def test_data_in_several_dimensions_and_fixed_ones_of_skips_are_served():
    rng = np.random.default_rng(0)
    x = rng.random((500, 2))
    data = ar.Target.from_data(x, x.sum(axis=1), ar.Regularity(smoothness=2.0, dim=2))
    assert 0.0 < float_floor(network_of(dim=2), data).rms < 1e-14
    weight, wiring = np.array([[1.0], [0.0]]), np.array([[True], [False]])
    skip = Layer(weight, None, ("identity", "identity"), weight_mask=~wiring & False, wiring=wiring)
    network = Network((skip, Layer(np.array([[0.5, 0.25]]), None, ("identity",))))
    only = float_floor(network, TREE, "float32").weights_rms
    assert 0.0 < only < 0.51 * 2.0**-24  # the weight .5 moves by a quarter of 2^-24 at most... times x <= 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: float_floor(network_of(), TREE, "float16"), "dtype must be one of float32, float64. Got 'float16'"),
        (lambda: float_floor(network_of(dim=2), TREE), "must take dim=1 inputs like the target. Got dim=2"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
