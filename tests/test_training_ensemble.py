"""The hand-written passes: against autograd, against differences, and independent of who else is computed."""

import numpy as np
import pytest
import torch

from approxrates import activations
from approxrates.objectives import MeanSquare, SoftmaxCrossEntropy
from approxrates.training.ensemble import Ensemble, Layout, padded

TRAINABLE = [name for name in activations.names() if activations.get(name).trainable]
NAMES = [*TRAINABLE, "relu+sin", "sin:30", "leaky_relu:0.2"]
DTYPES = {"f32": torch.float32, "f64": torch.float64}


def layout_of(name="tanh", dim=1, width=5, depth=3, n_outputs=1, bias=True):
    shapes = ((width, dim), *((width, width),) * (depth - 1), (n_outputs, width))
    return Layout(shapes, activations.get(name), bias)


def ensemble_of(layout, n, m=64, dtype=torch.float64, n_targets=2, objective=None):
    rng = np.random.default_rng(3)
    dim, k = layout.shapes[0][1], layout.shapes[-1][0]
    points = rng.random((n_targets, 2, dim, m))
    values = rng.normal(size=(n_targets, 2, k, m))
    if isinstance(objective, SoftmaxCrossEntropy):
        values = rng.integers(0, k, size=(n_targets, 2, 1, m)).astype(float)
    weights = rng.random((n_targets, 2, 1, m))
    weights[..., -5:] = 0.0
    weights /= weights.sum(-1, keepdims=True)
    owners = [i % n_targets for i in range(n)]
    return Ensemble(layout, objective or MeanSquare(), points, values, weights, owners, dtype=dtype)


def rows_of(layout, n, seed=0, scale=0.7):
    return layout.pack(np.random.default_rng(seed).normal(size=(n, layout.n_params)) * scale)


def plain_loss(ensemble, plain, i, set_index):
    """Loss of one network written down once more, layer by layer, for autograd."""
    layout, target = ensemble.layout, int(ensemble._targets[i])
    h, start = ensemble._points[target, set_index], 0
    for index, (n_out, n_in) in enumerate(layout.shapes):
        weight = plain[start : start + n_out * n_in].view(n_out, n_in)
        start += n_out * n_in
        h = weight @ h
        if layout.bias:
            h = h + plain[start : start + n_out, None]
            start += n_out
        if index < len(layout.shapes) - 1:
            h = layout.activation(h)
    return ((h - ensemble._values[target, set_index]) ** 2 * ensemble._weights[target, set_index]).sum(-1).mean()


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("name", NAMES)
def test_gradient_agrees_with_autograd(name, bias):
    layout = layout_of(name, dim=2, n_outputs=2, bias=bias)
    ensemble = ensemble_of(layout, 3)
    rows = rows_of(layout, 3, scale=0.05 if name == "sin:30" else 0.7)
    gradient = torch.zeros_like(rows)
    loss = ensemble.value_and_gradient(rows, gradient, 0)
    for i, plain in enumerate(layout.unpack(rows)):
        leaf = torch.from_numpy(plain).requires_grad_()
        expected = plain_loss(ensemble, leaf, i, 0)
        expected.backward()
        assert loss[i].item() == pytest.approx(expected.item(), rel=1e-12)
        scale = leaf.grad.abs().max()
        assert np.allclose(layout.unpack(gradient)[i], leaf.grad, rtol=1e-10, atol=1e-12 * scale)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_agrees_with_differences(name):
    layout = layout_of(name)
    ensemble, rows = ensemble_of(layout, 2), rows_of(layout, 2, seed=1, scale=0.05 if name == "sin:30" else 0.7)
    gradient = torch.zeros_like(rows)
    ensemble.value_and_gradient(rows, gradient)
    direction = rows_of(layout, 2, seed=2, scale=1.0)
    h = 1e-7
    slope = (ensemble.value(rows + h * direction) - ensemble.value(rows - h * direction)) / (2 * h)
    assert torch.allclose(slope, (gradient * direction).sum(1), rtol=2e-5, atol=1e-6)


def test_gradient_of_cross_entropy_agrees_with_differences():
    layout = layout_of(n_outputs=3)
    ensemble, rows = ensemble_of(layout, 2, objective=SoftmaxCrossEntropy()), rows_of(layout, 2)
    gradient = torch.zeros_like(rows)
    ensemble.value_and_gradient(rows, gradient)
    direction = rows_of(layout, 2, seed=2, scale=1.0)
    slope = (ensemble.value(rows + 1e-6 * direction) - ensemble.value(rows - 1e-6 * direction)) / 2e-6
    assert torch.allclose(slope, (gradient * direction).sum(1), rtol=1e-7)


@pytest.mark.parametrize("bias", [True, False])
def test_packing_is_undone_by_unpacking_and_pads_with_zeros(bias):
    layout = layout_of(dim=2, n_outputs=2, bias=bias)
    plain = np.random.default_rng(0).normal(size=(3, layout.n_params))
    rows = layout.pack(plain)
    assert rows.shape == (3, padded(layout.n_params))
    assert not rows[:, layout.n_params :].any()
    assert np.array_equal(layout.unpack(rows), plain)


def test_outputs_are_those_of_the_layers():
    layout = layout_of("relu", n_outputs=2)
    ensemble, rows = ensemble_of(layout, 3), rows_of(layout, 3)
    outputs = ensemble.outputs(rows, 1)
    ensemble._values[:] = 0.0
    energy = (outputs**2 * ensemble._weights[ensemble._targets, 1]).sum(-1).mean(-1)
    expected = [plain_loss(ensemble, torch.from_numpy(p), i, 1).item() for i, p in enumerate(layout.unpack(rows))]
    assert energy.tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["relu", "tanh", "sin", "relu+sin", "gelu", "triangle", "relu3"])
@pytest.mark.parametrize(
    "shape",
    [(1, 8, 4, 1, True), (2, 5, 2, 3, True), (1, 8, 1, 1, False), (1, 33, 2, 1, True), (1, 2, 3, 1, True)],
    ids=str,
)
def test_value_and_gradient_do_not_depend_on_companions(name, dtype, shape):
    dim, width, depth, n_outputs, bias = shape
    layout = layout_of(name, dim, width, depth, n_outputs, bias)
    full = ensemble_of(layout, 33, m=160, dtype=DTYPES[dtype], n_targets=3)
    rows = rows_of(layout, 33, scale=0.4).to(DTYPES[dtype])
    gradient = torch.zeros_like(rows)
    loss = full.value_and_gradient(rows, gradient, 0)
    assert torch.isfinite(gradient).all()
    for some in ([0], [32], [5, 9], [32, 1, 7], list(range(3, 20)), list(range(32, -1, -1))):
        places = torch.tensor(some)
        part = torch.zeros(len(some), layout.stride, dtype=DTYPES[dtype])
        assert torch.equal(full.subset(places).value_and_gradient(rows[places], part, 0), loss[places])
        assert torch.equal(part, gradient[places])
        assert torch.equal(full.subset(places).value(rows[places], 0), loss[places])


def test_point_sets_can_be_swapped_back_and_forth():
    layout = layout_of()
    ensemble, rows = ensemble_of(layout, 5), rows_of(layout, 5)
    first, second, again = (ensemble.value(rows, s) for s in (0, 1, 0))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_groups_cover_all_replicas(monkeypatch):
    layout = layout_of()
    ensemble, rows = ensemble_of(layout, 23), rows_of(layout, 23)
    whole = ensemble.value(rows)
    monkeypatch.setattr("approxrates.training.ensemble._CACHE_BYTES", 1)
    assert len(ensemble._groups()) > 3
    assert torch.equal(ensemble.value(rows), whole)
