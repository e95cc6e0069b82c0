"""Random fits for tests of the backends, and their networks written down once more, layer by layer, for autograd."""

import importlib.util

import numpy as np
import pytest
import torch

from approxrates import activations
from approxrates.backends import Ensemble, Layout
from approxrates.objectives import BinaryLogistic, MeanSquare, SoftmaxCrossEntropy

needs_numba = pytest.mark.skipif(
    importlib.util.find_spec("numba") is None,
    reason="the native backend needs numba: pip install 'approxrates[native]'",
)
BACKENDS = ["reference", pytest.param("native", marks=needs_numba)]
backends = pytest.mark.parametrize("backend", BACKENDS)

TRAINABLE = [name for name in activations.names() if activations.get(name).trainable]
NAMES = [*TRAINABLE, "relu+sin", "tanh+relu2", "abs+leaky_relu", "sin:30", "snake:3", "leaky_relu:0.2"]
KINDS = {
    "plain": {},
    "no-bias": {"bias": False, "dim": 2, "n_outputs": 2},
    "injection": {"injection": True, "dim": 3},
    "residual": {"residual": True, "n_outputs": 2},
    "both": {"injection": True, "residual": True, "dim": 2, "n_outputs": 2},
    "both-no-bias": {"injection": True, "residual": True, "bias": False, "width": 4},
    "shallow": {"depth": 1, "dim": 2, "injection": True, "residual": True},
}
DTYPES = {"f32": torch.float32, "f64": torch.float64}


def layout_of(
    name="tanh", dim=1, width=5, depth=3, n_outputs=1, bias=True, injection=False, residual=False, activation=None
):
    inner = width + injection * dim
    shapes = ((width, dim), *((width, inner),) * (depth - 1), (n_outputs, inner))
    return Layout(shapes, activation or activations.get(name), bias, injection, residual)


def ensemble_of(layout, n, m=64, dtype=torch.float64, n_targets=2, objective=None, backend="auto"):
    """Two sets of points for each target, with unequal weights; the last five points are padding of weight zero."""
    rng, k = np.random.default_rng(3), layout.n_outputs
    points = rng.random((n_targets, 2, layout.dim, m))
    values = rng.normal(size=(n_targets, 2, k, m))
    if isinstance(objective, SoftmaxCrossEntropy):
        values = rng.integers(0, k, size=(n_targets, 2, 1, m)).astype(float)
    if isinstance(objective, BinaryLogistic):
        values = (values > 0).astype(float)
    weights = rng.random((n_targets, 2, 1, m))
    weights[..., -5:] = 0.0
    weights /= weights.sum(-1, keepdims=True)
    owners = [i % n_targets for i in range(n)]
    return Ensemble(layout, objective or MeanSquare(), points, values, weights, owners, dtype=dtype, backend=backend)


def rows_of(layout, n, seed=0, scale=None, dtype=torch.float64):
    """Random parameters; of the fast sine they are small, for its slopes multiply from layer to layer."""
    scale = (0.05 if layout.activation.name == "sin:30" else 0.7) if scale is None else scale
    return layout.pack(np.random.default_rng(seed).normal(size=(n, layout.n_params)) * scale).to(dtype)


def plain_outputs(layout, points, plain):
    """Outputs ``[n_outputs, M]`` of one network at ``points [dim, M]``; ``plain`` are its parameters, one-dimensional."""
    start, h = 0, points
    for index, (n_out, n_in) in enumerate(layout.shapes):
        weight = plain[start : start + n_out * n_in].view(n_out, n_in)
        start += n_out * n_in
        z = weight @ (torch.cat([h, points]) if layout.injection and index else h)
        if layout.bias:
            z = z + plain[start : start + n_out, None]
            start += n_out
        if index == layout.depth:
            assert start == len(plain)
            return z
        h = layout.activation(z) + h if layout.residual and index else layout.activation(z)
    raise AssertionError("a network has an output layer")


def plain_loss(ensemble, plain, i, set_index=-1):
    """Loss of one network as a differentiable function of its parameters: a power of the error."""
    power = getattr(ensemble.objective, "p", 2.0)
    output = plain_outputs(ensemble.layout, ensemble.points(set_index)[i], plain)
    terms = (output - ensemble.values(set_index)[i]).abs() ** power * ensemble.weights(set_index)[i]
    return terms.sum(-1).mean()


def gradients(ensemble, theta, set_index=-1):
    """Losses and gradients."""
    gradient = torch.zeros_like(theta)
    return ensemble.value_and_gradient(theta, gradient, set_index), gradient


def jacobians(ensemble, theta, set_index=-1):
    """Outputs and Jacobians; the memory is filled with rubbish before, since all of it must be written."""
    jacobian = torch.full((len(theta), theta.shape[1], ensemble.points().shape[-1]), torch.nan, dtype=theta.dtype)
    return ensemble.jacobian(theta, jacobian, set_index), jacobian
