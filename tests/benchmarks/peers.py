"""Time to error: a tanh network fitted to exp(sin 2 pi x), our stages against optimisers that users have.

Every optimiser starts from the same weights (torch's default start) and has the same 512 even points, in float64. Its
loss is followed against CPU seconds, its own overhead included. Budgets are counts of evaluations, calibrated to about
equal CPU seconds: nothing here depends on a clock. Our replicas are fitted in one batch, as the trainer does, and a
CPU second of the batch counts for each as its share.
"""

import dataclasses
import math

import numpy as np
import torch
from clock import CPU
from levenberg import levenberg_marquardt
from ours import Traced, begin, compile_passes, ensemble
from plain_mlp import PlainMLP
from problem import rms
from scipy.optimize import least_squares, minimize

from approxrates.training.plans import STAGES

WIDTH, DEPTH, POINTS = 8, 4, 512


def wave(x):
    """The target."""
    return np.exp(np.sin(2.0 * np.pi * x))


def network():
    """The fit as plain numpy."""
    x = np.linspace(0.0, 1.0, POINTS)[:, None]
    return PlainMLP(x, wave(x[:, 0]), WIDTH, DEPTH)


class Following:
    """Passes a loss on to an optimiser and notes ``(CPU seconds, loss)`` whenever it is the lowest so far."""

    def __init__(self):
        self.began, self.best, self.trace = CPU(), math.inf, []

    def note(self, loss):
        if loss < self.best:
            self.best = loss
            self.trace.append((CPU() - self.began, loss))


def torch_lbfgs(plain, theta, evaluations):
    """``torch.optim.LBFGS`` with strong Wolfe line search, on a module."""
    sizes = [shape[0] for shape in plain.shapes]
    linear, inputs = [], plain.dim
    for n_out in sizes:
        linear.append(torch.nn.Linear(inputs, n_out, dtype=torch.float64))
        inputs = n_out
    with torch.no_grad():
        for part, matrix in zip(linear, plain.matrices(theta), strict=True):
            part.weight.copy_(torch.from_numpy(matrix[:, :-1]))
            part.bias.copy_(torch.from_numpy(matrix[:, -1]))
    model = torch.nn.Sequential(*[m for part in linear for m in (part, torch.nn.Tanh())][:-1])
    x, y = torch.from_numpy(plain.inputs[0][:-1].T.copy()), torch.from_numpy(plain.y)[:, None]
    optimiser = torch.optim.LBFGS(
        model.parameters(), max_iter=evaluations, max_eval=evaluations, history_size=100, tolerance_grad=0.0,
        tolerance_change=0.0, line_search_fn="strong_wolfe",
    )  # fmt: skip
    following = Following()

    def closure():
        optimiser.zero_grad()
        loss = torch.nn.functional.mse_loss(model(x), y)
        loss.backward()
        following.note(loss.item())
        return loss

    optimiser.step(closure)
    found = [np.hstack([part.weight.detach().numpy(), part.bias.detach().numpy()[:, None]]).ravel() for part in linear]
    return np.concatenate(found), following.trace


def scipy_minimize(plain, theta, evaluations, method, **options):
    """One of scipy's methods on the analytic gradient."""
    following = Following()

    def loss(t):
        value, gradient = plain.value_and_gradient(t)
        following.note(value)
        return value, gradient

    with np.errstate(all="ignore"):
        found = minimize(loss, theta, jac=True, method=method, options={"maxiter": evaluations, "gtol": 0.0, **options})
    return found.x, following.trace


def scipy_bfgs(plain, theta, evaluations):
    """scipy's BFGS; it counts iterations, of one evaluation mostly."""
    return scipy_minimize(plain, theta, evaluations, "BFGS")


def scipy_lbfgsb(plain, theta, evaluations):
    """scipy's L-BFGS-B with a memory of 50."""
    return scipy_minimize(plain, theta, evaluations, "L-BFGS-B", maxfun=evaluations, maxcor=50, ftol=0.0)


def scipy_least_squares(plain, theta, evaluations):
    """scipy's trust-region reflective method on the analytic Jacobian (better here than its ``lm``, at equal cost)."""
    following, tiny = Following(), np.finfo(float).eps

    def residuals(t):
        residual = plain.residuals(t)
        following.note(residual @ residual / len(residual))
        return residual

    found = least_squares(residuals, theta, plain.jacobian, max_nfev=evaluations, ftol=tiny, xtol=tiny, gtol=tiny)
    return found.x, following.trace


def numpy_lm(plain, theta, evaluations):
    """Levenberg-Marquardt on the normal equations, see ``levenberg.py``."""
    following = Following()
    return levenberg_marquardt(plain, theta, evaluations, following.note), following.trace


def ours(stage, plain, starts):
    """One of our stages on all starts in one batch: parameters ``(n, P)``, traces, and CPU seconds, of one replica."""
    shapes = [(rows, columns - 1) for rows, columns in plain.shapes]
    made = ensemble(shapes, "tanh", plain.inputs[0][:-1].T, plain.y, len(starts))
    theta = torch.zeros(len(starts), made.layout.stride, dtype=torch.float64)
    theta[:, : plain.n_params] = torch.from_numpy(np.stack(starts))
    compile_passes(stage, made, theta)
    began, traced = CPU(), Traced(made)
    descent, population = begin(stage, traced, theta)
    while descent.advance():
        pass
    took = (CPU() - began) / len(starts)
    traces = [[((when - began) / len(starts), loss) for when, loss in trace] for trace in traced.traces]
    return population.theta[:, : plain.n_params].numpy(), traces, took


# Each with its evaluations (ours: steps), calibrated to about equal CPU seconds.
PEERS = {
    "torch LBFGS, strong Wolfe": (torch_lbfgs, 3000),
    "scipy L-BFGS-B": (scipy_lbfgsb, 9000),
    "scipy BFGS": (scipy_bfgs, 1800),
    "scipy least_squares (trf)": (scipy_least_squares, 180),
    "numpy LM, Cholesky": (numpy_lm, 1100),
}
OURS = {"ours, lbfgs": ("lbfgs", 8000), "ours, ssbfgs": ("ssbfgs", 6000), "ours, lm": ("lm", 800)}
MARKS = (0.5, 1.0, 2.0, 3.0)
SEEDS = 5


@dataclasses.dataclass
class Row:
    """One line of the table: an optimiser with one seed."""

    optimiser: str
    seed: int
    status: str = "ok"
    rmse_half_second: float = math.nan
    rmse_1_second: float = math.nan
    rmse_2_seconds: float = math.nan
    rmse_3_seconds: float = math.nan
    rmse_end: float = math.nan
    rmse_fresh: float = math.nan
    sup_fresh: float = math.nan
    cpu_seconds: float = math.nan


def at(trace, seconds):
    """The root mean square reached by then; NaN before the first evaluation."""
    reached = [loss for when, loss in trace if when <= seconds]
    return math.sqrt(reached[-1]) if reached else math.nan


def row(optimiser, seed, plain, theta, trace, took):
    """What one run reached."""
    x = np.random.default_rng(1).random((20_000, 1))
    x[:2, 0] = 0.0, 1.0
    error = plain.outputs(theta, x) - wave(x[:, 0])
    reached = [at(trace, mark) for mark in MARKS]
    return Row(optimiser, seed, "ok", *reached, at(trace, math.inf), rms(error), float(np.abs(error).max()), took)


def table(budget=1.0):
    """Rows of all optimisers and seeds, and the curves ``(optimiser, seed, CPU seconds, RMSE)``.

    Args:
        budget: Multiplies evaluations.
    """
    plain, rows, curves = network(), [], []
    starts = [plain.start(seed) for seed in range(SEEDS)]
    for name, (optimise, evaluations) in PEERS.items():
        for seed, start in enumerate(starts):
            began = CPU()
            theta, trace = optimise(plain, start, max(2, round(evaluations * budget)))
            rows.append(row(name, seed, plain, theta, trace, CPU() - began))
            curves += [(name, seed, when, math.sqrt(loss)) for when, loss in thinned(trace)]
    for name, (stage, steps) in OURS.items():
        if stage not in STAGES:
            rows.append(Row(name, 0, "not there"))
            continue
        thetas, traces, took = ours(STAGES[stage](steps=max(1, round(steps * budget))), plain, starts)
        for seed, (theta, trace) in enumerate(zip(thetas, traces, strict=True)):
            rows.append(row(name, seed, plain, theta, trace, took))
            curves += [(name, seed, when, math.sqrt(loss)) for when, loss in thinned(trace)]
    return rows, curves


def thinned(trace):
    """Points of a trace at times that grow by a tenth or more, and its end."""
    kept, last = [], 0.0
    for when, loss in trace:
        if when >= last * 1.1:
            kept.append((when, loss))
            last = when
    return kept[:-1] + trace[-1:] if kept else trace[-1:]
