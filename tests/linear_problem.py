"""A stand-in for an ensemble whose outputs are linear in the parameters: what stages find is then known exactly."""

import numpy as np
import torch

from approxrates import activations
from approxrates.backends import Layout
from approxrates.objectives import MeanSquare


class LinearProblem:
    """Outputs ``X' theta``, one matrix ``X [stride, M]`` for each replica, with the face of an ensemble."""

    def __init__(self, layout, columns, values, weights, objective=None):
        self.layout, self.columns, self._values, self._weights = layout, columns, values, weights
        self.objective = MeanSquare() if objective is None else objective
        self.n_sets = 1

    def __len__(self):
        return len(self.columns)

    def values(self):
        return self._values

    def weights(self):
        return self._weights

    def outputs(self, theta):
        return (theta[:, :, None] * self.columns).sum(1, keepdim=True)

    def jacobian(self, theta, jacobian):
        jacobian.copy_(self.columns)
        return self.outputs(theta)

    def value(self, theta):
        return self.objective.value_and_gradient(self.outputs(theta), self._values, self._weights, None)

    def subset(self, rows):
        return LinearProblem(
            self.layout, self.columns[rows], self._values[rows], self._weights[rows], objective=self.objective
        )

    def with_objective(self, objective):
        return LinearProblem(self.layout, self.columns, self._values, self._weights, objective)

    def reweighted(self, weights):
        return LinearProblem(self.layout, self.columns, self._values, weights, self.objective)


def linear_problem(functions, target, m=64, weights=None):
    """Approximation on ``m`` even points of ``[0, 1]`` by some functions, by two replicas.

    Args:
        functions: ``x -> values``, each; at most as many as a network of width 4 has parameters (13).
        target: ``x -> values``.
        m: Points.
        weights: ``(m,)``, sum one; even if left out.
    """
    layout = Layout(((4, 1), (1, 4)), activations.get("tanh"))
    assert len(functions) <= layout.n_params
    x = np.linspace(0.0, 1.0, m)
    columns = np.zeros((2, layout.stride, m))
    columns[:, : len(functions)] = np.stack([function(x) for function in functions])
    values = np.broadcast_to(target(x), (2, 1, m)).copy()
    shares = np.broadcast_to(np.full(m, 1.0 / m) if weights is None else weights, (2, 1, m)).copy()
    return LinearProblem(layout, *(torch.from_numpy(a) for a in (columns, values, shares)))


def monomials(powers):
    """The functions ``x**p``."""
    return [lambda x, p=p: x**p for p in powers]
