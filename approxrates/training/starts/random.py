"""Random starting weights, drawn anew where no gradient reaches the hidden layers."""

from __future__ import annotations

import numpy as np

from approxrates import sampling
from approxrates.arithmetic import evaluate
from approxrates.seeds import seed_for
from approxrates.training.starts.base import F64, Architecture, Standardised

_ATTEMPTS = 20


def random_start(arch: Architecture, target: Standardised, replica: int, seed: int) -> tuple[F64, int]:
    """Random weights by the architecture's rule, drawn anew while the network is constant on the domain.

    Narrow deep ReLU networks are often born dead: no gradient reaches them. The draws depend on architecture, replica,
    seed and attempt only.
    """
    probes = sampling.even_grid(3**arch.dim if arch.dim > 3 else 4**4, arch.dim)
    for attempt in range(1, _ATTEMPTS + 1):
        extra = {} if attempt == 1 else {"attempt": attempt}
        theta = arch.initialise([seed_for("init", architecture=arch.to_spec(), replica=replica, seed=seed, **extra)])[0]
        outputs = evaluate(arch.layers(theta), probes, "float64")
        if np.ptp(outputs, axis=0).max() > 1e-9 * max(1.0, float(np.abs(outputs).max())):
            break
    return theta, attempt
