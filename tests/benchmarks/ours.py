"""Our trainer as the benchmarks call it: ensembles of the library, and its stages run step by step."""

import dataclasses
import importlib.util

import numpy as np
import torch
from clock import CPU
from contenders import BETAS, DTYPES, EPSILON, RATE, Contender

from approxrates import activations
from approxrates.backends import Ensemble, Layout, padded
from approxrates.objectives import MeanSquare
from approxrates.training import Adam
from approxrates.training.base import Population, Watch

CHECKPOINTS = 20


def ensemble(shapes, activation, x, y, replicas, *, dtype="float64", backend="auto"):
    """Replicas of one network, all with the points ``x (M, dim)`` and values ``y (M,)``."""
    m = len(x)
    extra = padded(m) - m
    points = np.concatenate([x, np.repeat(x[:1], extra, axis=0)]).T[None, None]
    values = np.concatenate([y, np.repeat(y[:1], extra)])[None, None, None]
    weights = (np.arange(m + extra) < m)[None, None, None] / m
    layout = Layout(tuple(shapes), activations.get(activation))
    return Ensemble(
        layout,
        MeanSquare(),
        np.ascontiguousarray(points),
        values,
        weights,
        [0] * replicas,
        dtype=DTYPES[dtype],
        backend=backend,
    )


def begin(stage, made, theta):
    """A stage at its start, and the record of the best parameters that it keeps."""
    population = Population(theta.to(torch.float64).clone(), range(len(theta)))
    watch = Watch(population, range(len(theta)), stage.name, stage.steps, None)
    watch.record(theta, made.value(theta), 0)
    return stage.begin(made, theta, watch), population


def compile_passes(stage, made, theta):
    """One step of a stage on the side, so that compiled code is there before a clock starts."""
    short, _ = begin(dataclasses.replace(stage, steps=1), made, theta.clone())
    while short.advance():
        pass


def reference(problem, steps):
    """The trainer's Adam stage on the backend in plain torch."""
    return adam(problem, steps, "reference")


def native(problem, steps):
    """The trainer's Adam stage on the compiled backend."""
    return adam(problem, steps, "native") if importlib.util.find_spec("numba") else None


def adam(problem, steps, backend):
    """The trainer's Adam stage with the settings of ``contenders.py``.

    A stage has twenty checkpoints, where it looks at the loss of every replica; it is run from one to the next, so that
    one such look is timed with the steps.
    """
    x, y = problem.points()
    made = ensemble(
        problem.shapes, problem.activation, x[:, None], y, problem.replicas, dtype=problem.dtype, backend=backend
    )
    theta = made.layout.pack(problem.plain()).to(made.dtype)
    betas = {"beta1": BETAS[0], "beta2": BETAS[1], "epsilon": EPSILON}
    stage = Adam(steps=CHECKPOINTS * steps, learning_rate=RATE, warm_up=0, cosine=False, **betas)
    descent, _ = begin(stage, made, theta)

    def run():
        assert descent.advance(), "the stage must not end while it is timed"

    return Contender(problem.replicas, run, lambda: made.value(descent.state()["theta"]).double().numpy())


class Traced:
    """An ensemble that notes the lowest loss of each replica with the CPU time.

    Attributes:
        traces: For each replica a list of ``(CPU seconds, loss)``, the loss falling.
    """

    def __init__(self, made, rows=None, traces=None):
        self._made = made
        self._rows = list(range(len(made))) if rows is None else rows
        self.traces = [[] for _ in range(len(made))] if traces is None else traces

    def __len__(self):
        return len(self._made)

    def __getattr__(self, name):
        return getattr(self._made, name)

    def subset(self, rows):
        return Traced(self._made.subset(rows), [self._rows[row] for row in rows.tolist()], self.traces)

    def value_and_gradient(self, theta, gradient, set_index=-1):
        return self._note(self._made.value_and_gradient(theta, gradient, set_index))

    def value(self, theta, set_index=-1):
        return self._note(self._made.value(theta, set_index))

    def jacobian(self, theta, jacobian, set_index=-1):
        outputs = self._made.jacobian(theta, jacobian, set_index)
        self._note(((outputs - self._made.values(set_index)).square() * self._made.weights(set_index)).sum((1, 2)))
        return outputs

    def _note(self, losses):
        now = CPU()
        for row, loss in zip(self._rows, losses.tolist(), strict=True):
            trace = self.traces[row]
            if not trace or loss < trace[-1][1]:
                trace.append((now, loss))
        return losses
