"""A fully connected network written as a model: what the hand-written passes compute, once more through autograd."""

import itertools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from approxrates import activations
from approxrates.models import Block, Model


@dataclass(frozen=True)
class MLP(Model):
    """Mean square of ``scale`` times the error of a network of given sizes, weights of the points among the tables."""

    name: ClassVar[str] = "mlp"
    tables: ClassVar = ("inputs", "outputs", "weights")
    coefficients: ClassVar = {"scale": 1.0}

    sizes: tuple[int, ...] = (1, 5, 5, 1)
    activation: str = "tanh"
    free_biases: bool = False

    @property
    def blocks(self):
        return tuple(
            block
            for i, (n_in, n_out) in enumerate(itertools.pairwise(self.sizes))
            for block in (Block(f"{i}.weight", (n_out, n_in)), Block(f"{i}.bias", (n_out,), not self.free_biases))
        )

    def initialise(self, seed):
        return np.random.default_rng(seed).normal(size=self.n_params) * 0.7

    def loss(self, theta, data):
        parts, units, kind = self.parts(theta), data["inputs"], activations.get(self.activation)
        last = len(self.sizes) - 2
        for i in range(last + 1):
            units = units @ parts[f"{i}.weight"].T + parts[f"{i}.bias"]
            units = units if i == last else kind(units)
        error = data["scale"] * (units - data["outputs"])
        return (data["weights"] * (error * error).mean(1)).sum()


def like(ensemble, **settings):
    """The model and tables of the first target of an ensemble, on its full set."""
    layout = ensemble.layout
    model = MLP((layout.dim, *(n_out for n_out, _ in layout.shapes)), layout.activation.name, **settings)
    points, values, weights = (part[0].T.numpy() for part in (ensemble.points(), ensemble.values(), ensemble.weights()))
    return model, {"inputs": points, "outputs": values, "weights": weights[:, 0]}
