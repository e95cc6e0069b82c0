"""The fits that the benchmarks time, and the loop that users would write instead."""

from itertools import pairwise

import numpy as np
import torch
from torch import nn

from approxrates import activations
from approxrates.objectives import MeanSquare
from approxrates.training.ensemble import Ensemble, Layout

MODULES = {"relu": nn.ReLU, "tanh": nn.Tanh}
DTYPES = {"float32": torch.float32, "float64": torch.float64}


def wave(x):
    return np.exp(np.sin(2 * np.pi * x))


def ensemble(activation, dtype, n, width=8, depth=8, m=512):
    """N replicas of one network with its points, and starting parameters ``[n, stride]``."""
    shapes = ((width, 1), *((width, width),) * (depth - 1), (1, width))
    layout = Layout(shapes, activations.get(activation))
    points = np.linspace(0, 1, m).reshape(1, 1, 1, m)
    made = Ensemble(
        layout, MeanSquare(), points, wave(points), np.full_like(points, 1 / m), [0] * n, dtype=DTYPES[dtype]
    )
    theta = layout.pack(np.random.default_rng(0).normal(size=(n, layout.n_params)) * 0.5)
    return made, theta.to(DTYPES[dtype])


def sequential(activation, dtype, width=8, depth=8, m=512):
    """One step of ``nn.Sequential`` with ``torch.optim.Adam``, as a callable."""
    torch.manual_seed(0)
    sizes = [1, *[width] * depth]
    hidden = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), MODULES[activation]())]
    network = nn.Sequential(*hidden, nn.Linear(width, 1)).to(DTYPES[dtype])
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    x = torch.linspace(0, 1, m, dtype=DTYPES[dtype])[:, None]
    y = torch.from_numpy(wave(x.numpy().astype(float))).to(DTYPES[dtype])

    def step():
        optimiser.zero_grad()
        loss = ((network(x) - y) ** 2).mean()
        loss.backward()
        optimiser.step()
        return loss

    return step


def adam(activation, dtype, n, **shape):
    """One step of Adam on ``n`` replicas, as a callable."""
    from approxrates.training.adam import AdamRule

    made, theta = ensemble(activation, dtype, n, **shape)
    rule, gradient, count = AdamRule(theta, 0.9, 0.999, 1e-8), torch.zeros_like(theta), [0]

    def step():
        count[0] += 1
        loss = made.value_and_gradient(theta, gradient)
        rule.update(theta, gradient, 1e-3, count[0])
        return loss

    return step
