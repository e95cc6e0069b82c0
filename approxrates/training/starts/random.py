"""Random starting weights, drawn anew where no gradient reaches the hidden layers."""

from __future__ import annotations

import numpy as np

from approxrates import activations, sampling
from approxrates.dataset import Dataset
from approxrates.seeds import seed_for
from approxrates.training.starts.base import F64, Architecture, Standardised

_ATTEMPTS = 20
_LEAST_VARIATION = 1e-9
_LEAST_GRADIENT = 1e-12


def random_start(arch: Architecture, target: Standardised, replica: int, seed: int) -> tuple[F64, int]:
    """Random weights by the architecture's rule, drawn anew while the network is dead.

    Narrow deep ReLU networks are often born dead: no gradient reaches them. The draws depend on architecture, replica,
    seed and attempt only.
    """
    if isinstance(target.target, Dataset):
        probes = target.target.inputs
    else:
        probes = sampling.even_grid(3**arch.dim if arch.dim > 3 else 4**4, arch.dim)
    for attempt in range(1, _ATTEMPTS + 1):
        extra = {} if attempt == 1 else {"attempt": attempt}
        theta = arch.initialise([seed_for("init", architecture=arch.to_spec(), replica=replica, seed=seed, **extra)])[0]
        if is_alive(arch, theta, probes):
            break
    return theta, attempt


def is_alive(arch: Architecture, theta: F64, probes: F64) -> bool:
    """Whether the outputs vary over the points, and depend on a hidden layer at one of them.

    With injection or residual sums outputs vary even where all hidden units, or all but the first layer's, are stuck:
    hence the second condition, by the derivatives of the outputs with respect to the pre-activations.

    Args:
        arch: The architecture.
        theta: Plain parameters ``(P,)``.
        probes: Points ``(M, dim)``.
    """
    maps, activation, x = arch.maps(theta), activations.get(arch.activation), probes.T
    slopes, h = [], x
    with np.errstate(all="ignore"):
        for layer, (weight, bias) in enumerate(maps):
            read = np.concatenate([h, x]) if layer and arch.injection else h
            z = weight @ read + (0.0 if bias is None else bias[:, None])
            if layer < arch.depth:
                slopes.append(activation.derivative(z))
                h = activation(z) + (h if layer and arch.residual else 0.0)
        if not np.ptp(z, axis=1).max() > _LEAST_VARIATION * max(1.0, float(np.abs(z).max())):
            return False
        # The derivative of each output by the hidden values, from the last layer down.
        delta = np.broadcast_to(maps[-1][0][:, : arch.width, None], (arch.n_outputs, arch.width, len(probes)))
        for layer in reversed(range(arch.depth)):
            by_z = delta * slopes[layer]
            if np.abs(by_z).max() > _LEAST_GRADIENT:
                return True
            if not layer:
                break
            delta = maps[layer][0][:, : arch.width].T @ by_z + (delta if arch.residual else 0.0)
    return False
