"""Moments of small networks to be measured, and oracles that share nothing with what they check but the definition."""

import itertools

import numpy as np
import torch

from approxrates.backends import Ensemble
from approxrates.measurements import Moment
from approxrates.objectives import MeanSquare
from tests.passes import ensemble_of, layout_of, plain_loss, rows_of

PENALTIES = (0.03, 0.0, 0.2, 0.01, 0.1)


def moment_of(activation="tanh", n=3, penalties=PENALTIES, dtype=torch.float64, seed=0, **kind):
    """Replicas on two targets with weighted points, five of them padding, some way from their start."""
    layout = layout_of(activation, **({"width": 4, "depth": 2} | kind))
    plain = ensemble_of(layout, n, dtype=dtype)
    p = plain.problem
    ensemble = Ensemble(
        layout, p.objective, p.points, p.values, p.weights, p.targets.tolist(), dtype=dtype,
        l2_penalty=penalties and list(penalties[:n]),
    )  # fmt: skip
    theta, begun = rows_of(layout, n, seed=seed, dtype=dtype), rows_of(layout, n, seed=seed + 1, dtype=dtype)
    diagonal = rows_of(layout, n, seed=seed + 2).abs().add(0.1).to(dtype)
    return Moment(ensemble, theta, begun, 7, diagonal, tuple(range(5, 5 + n)))


def full_loss(moment, place, plain, *, penalised=True):
    """F of one replica, or E alone, as a differentiable function of its plain parameters."""
    error, penalty = plain_loss(moment.ensemble, plain, place), moment.ensemble.l2_penalty
    return error if penalty is None or not penalised else error + penalty[place] * plain.square().sum()


def value_at(moment, place, plain, *, penalised=True):
    """F of one replica at plain parameters, as a number."""
    return float(full_loss(moment, place, torch.from_numpy(np.ascontiguousarray(plain)), penalised=penalised))


def plain_theta(moment, place):
    """Plain parameters of one replica, ``(n_params,)``."""
    return moment.layout.unpack(moment.theta)[place]


def autograd_gradient(moment, place, *, penalised=True):
    """Gradient by autograd, ``(n_params,)``."""
    leaf = torch.from_numpy(plain_theta(moment, place)).requires_grad_()
    full_loss(moment, place, leaf, penalised=penalised).backward()
    return leaf.grad.numpy()


def autograd_hessian(moment, place, *, penalised=True):
    """Hessian by autograd, twice, ``(n_params, n_params)``."""
    return torch.autograd.functional.hessian(
        lambda plain: full_loss(moment, place, plain, penalised=penalised),
        torch.from_numpy(plain_theta(moment, place)),
    ).numpy()


def difference_gradient(moment, place, h=1e-5):
    """Gradient by central differences of the loss: no derivative in it."""
    plain = plain_theta(moment, place)
    steps = h * np.eye(len(plain))
    return np.array(
        [(value_at(moment, place, plain + e) - value_at(moment, place, plain - e)) / (2 * h) for e in steps]
    )


def difference_hessian(moment, place, h=1e-4):
    """Hessian by second differences of the loss: no derivative in it."""
    plain = plain_theta(moment, place)
    n, steps = len(plain), h * np.eye(len(plain))
    hessian = np.empty((n, n))
    for i in range(n):
        for j in range(i + 1):
            corners = [
                s * t * value_at(moment, place, plain + s * steps[i] + t * steps[j]) for s in (1, -1) for t in (1, -1)
            ]
            hessian[i, j] = hessian[j, i] = sum(corners) / (4 * h * h)
    return hessian


def linear_minimiser(gamma, depth=1, width=4, mode=1.0, dim=1):
    """A deep linear network at the rank-one minimiser of ``E[(y - f)^2] + gamma |theta|^2`` for ``y = mode x_1``.

    Inputs are white, so that F along the balanced branch of end-to-end weight b is ``b^2 - 2 mode b + mode^2 + gamma L
    b^(2/L)``, ``L = depth + 1``, up to rounding; b solves its stationarity. Returns the moment and b (0 for none).
    """
    n_layers = depth + 1
    rng = np.random.default_rng(1)
    x = np.linalg.qr(rng.normal(size=(32, dim)))[0].T * np.sqrt(32)
    layout = layout_of("identity", dim=dim, width=width, depth=depth, bias=False)
    ensemble = Ensemble(
        layout, MeanSquare(), x[None, None], mode * x[None, None, :1], np.full((1, 1, 1, 32), 1 / 32), [0],
        l2_penalty=[gamma],
    )  # fmt: skip
    b = branch(gamma, n_layers, mode)
    size = b ** (1 / n_layers)
    units = [v / np.linalg.norm(v) for v in rng.normal(size=(depth, width))]
    ends = [np.eye(dim)[0], *units, np.ones(1)]
    plain = np.concatenate([size * np.outer(out, into).ravel() for into, out in itertools.pairwise(ends)])
    row = layout.pack(plain[None])
    return Moment(ensemble, row, row), b


def branch(gamma, n_layers, mode):
    """End-to-end weight of the nontrivial minimiser: the largest root of ``(mode - b) b^(1 - 2/L) = gamma``, or 0."""
    b = np.linspace(0.0, mode, 200_001)
    height = (mode - b) * b ** (1 - 2 / n_layers) - gamma
    above = np.flatnonzero(height >= 0)
    if n_layers == 2:
        return max(0.0, mode - gamma)
    if not len(above):
        return 0.0
    low, high = b[above[-1]], b[min(above[-1] + 1, len(b) - 1)]
    for _ in range(100):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if (mode - middle) * middle ** (1 - 2 / n_layers) >= gamma else (low, middle)
    return low
