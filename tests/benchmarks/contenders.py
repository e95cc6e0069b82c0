"""Full-batch Adam on many small networks, written as well as each way of writing it allows.

Every maker takes a :class:`problem.Problem` and a number of steps, and returns a :class:`Contender`. All start at the
same parameters and take the same steps (Adam, learning rate 1e-3, betas 0.9 and 0.999): ``throughput.py`` compares their
losses before it times. No contender reads a number back or writes to the terminal between steps.
"""

import copy
import dataclasses
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

RATE, BETAS, EPSILON = 1e-3, (0.9, 0.999), 1e-8
DTYPES = {"float32": torch.float32, "float64": torch.float64}
MODULES = {"relu": nn.ReLU, "tanh": nn.Tanh}
FUNCTIONS = {"relu": torch.relu, "tanh": torch.tanh}


@dataclasses.dataclass
class Contender:
    """One way to train.

    Attributes:
        replicas: Networks trained by ``run``.
        run: Takes the steps asked for on each of them, from where they are.
        losses: Their losses now, ``[replicas]``.
    """

    replicas: int
    run: Callable[[], None]
    losses: Callable[[], np.ndarray]


def column(values, problem):
    """Numbers as a column ``[M, 1]`` in the type of the problem."""
    return torch.from_numpy(values).to(DTYPES[problem.dtype])[:, None]


def network(problem, replica):
    """One network as ``nn.Sequential``."""
    sizes = [1, *[problem.width] * problem.depth]
    hidden = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), MODULES[problem.activation]())]
    made = nn.Sequential(*hidden, nn.Linear(problem.width, 1)).to(DTYPES[problem.dtype])
    with torch.no_grad():
        linear = [part for part in made if isinstance(part, nn.Linear)]
        for part, (weight, bias) in zip(linear, problem.layers(), strict=True):
            part.weight.copy_(torch.from_numpy(weight[replica]))
            part.bias.copy_(torch.from_numpy(bias[replica]))
    return made


def sequential(problem, steps, *, fused=False):
    """``nn.Sequential`` and ``torch.optim.Adam``, one network after the other: what most people write.

    Only the first replica is trained: the others would take the same time each.
    """
    x, y = (column(values, problem) for values in problem.points())
    model = network(problem, 0)
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE, betas=BETAS, eps=EPSILON, fused=fused or None)
    square = nn.MSELoss()

    def run():
        for _ in range(steps):
            optimiser.zero_grad()
            square(model(x), y).backward()
            optimiser.step()

    return Contender(1, run, lambda: np.array([square(model(x), y).item()]))


def fused_sequential(problem, steps):
    """The same with the fused Adam."""
    return sequential(problem, steps, fused=True)


def vectorised(problem, steps):
    """``torch.func``: modules stacked, ``vmap`` of ``functional_call``, one fused Adam over the stacked parameters."""
    models = [network(problem, replica) for replica in range(problem.replicas)]
    parameters, _ = stack_module_state(models)
    skeleton = copy.deepcopy(models[0]).to("meta")
    x, y = (column(values, problem) for values in problem.points())
    optimiser = torch.optim.Adam(parameters.values(), lr=RATE, betas=BETAS, eps=EPSILON, fused=True)

    def loss(one):
        return (functional_call(skeleton, one, (x,)) - y).square().mean()

    losses = vmap(loss)

    def run():
        for _ in range(steps):
            optimiser.zero_grad()
            losses(parameters).sum().backward()
            optimiser.step()

    return Contender(problem.replicas, run, lambda: losses(parameters).detach().double().numpy())


def stacked(problem, steps):
    """Weights stacked by hand, points last, one batched product a layer; autograd and one fused Adam."""
    x, y = (column(values, problem).T.contiguous() for values in problem.points())
    inputs, sigma = x.expand(problem.replicas, -1, -1).contiguous(), FUNCTIONS[problem.activation]
    layers = [
        tuple(torch.from_numpy(part).to(x.dtype).requires_grad_() for part in (weight, bias[:, :, None]))
        for weight, bias in problem.layers()
    ]
    parameters = [part for layer in layers for part in layer]
    optimiser = torch.optim.Adam(parameters, lr=RATE, betas=BETAS, eps=EPSILON, fused=True)

    def losses():
        h = inputs
        for weight, bias in layers[:-1]:
            h = sigma(torch.baddbmm(bias, weight, h))
        weight, bias = layers[-1]
        return (torch.baddbmm(bias, weight, h) - y).square().mean((1, 2))

    def run():
        for _ in range(steps):
            optimiser.zero_grad()
            losses().sum().backward()
            optimiser.step()

    return Contender(problem.replicas, run, lambda: losses().detach().double().numpy())
