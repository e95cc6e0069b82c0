r"""Random Fourier features: cosines of random frequencies and phases, amplitudes by least squares.

The features ``sqrt(2/n) cos(w_i . x + b_i)`` are Monte Carlo samples of a Gaussian kernel. The bandwidth is the
one of a short ladder whose fit is best on points held out.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from approxrates.approximant import Approximant
from approxrates.references.base import Array, Method, check_number, check_seed
from approxrates.references.leastsquares import LinearFit, fit_linear, fit_points
from approxrates.target import Target

_LADDER = 6
_HELD_OUT = 5
"""One point of five chooses the bandwidth; the fit is then made on all."""


def check(*, seed: int = 0, bandwidth: float | None = None) -> None:
    """Options: ``seed`` of the frequencies, and ``bandwidth``, their standard deviation (None: chosen)."""
    check_seed(seed)
    if bandwidth is not None:
        check_number("bandwidth", bandwidth, 1e-6, 1e6, "bandwidth=10")


def build(target: Target, n_params: int, *, seed: int = 0, bandwidth: float | None = None) -> Approximant:
    """The fit with the most features whose frequencies, phases and amplitudes fit into ``n_params``."""
    dim = target.dim
    n = (n_params - 1) // (dim + 2)
    x, y = fit_points(target, n + 1, seed=seed)
    chosen = _bandwidth(x, y, n, seed) if bandwidth is None else float(bandwidth)
    fit = _fit(x, y, n, seed, chosen)
    provenance = {
        "reference": "random_fourier_features",
        "features": n,
        "bandwidth": chosen,
        "seed": seed,
        "n_samples": len(y),
        "counted": {"frequencies": n * dim, "phases": n, "amplitudes": n, "constant": 1},
    }
    return Approximant("random_fourier_features", dim, n * (dim + 2) + 1, fit, provenance=provenance)


def _bandwidth(x: Array, y: Array, n: int, seed: int) -> float:
    """The bandwidth of the ladder with the smallest error on held-out points."""
    held = np.random.default_rng(seed).permutation(len(y)) % _HELD_OUT == 0
    ladder = np.geomspace(1.0, max(2.0, math.pi * n ** (1.0 / x.shape[1])), _LADDER)
    errors = [float(np.abs(_fit(x[~held], y[~held], n, seed, b)(x[held]) - y[held]).max()) for b in ladder]
    return float(ladder[int(np.argmin(errors))])


def _fit(x: Array, y: Array, n: int, seed: int, bandwidth: float) -> LinearFit:
    """Features of one bandwidth, fitted. ``RBFSampler`` draws frequencies of variance ``2 gamma``."""
    from sklearn.kernel_approximation import RBFSampler

    sampler: Any = RBFSampler(gamma=0.5 * bandwidth**2, n_components=n, random_state=seed).fit(x)
    return fit_linear(sampler.transform, x, y)


METHOD = Method(
    name="random_fourier_features",
    statement="The kernel is approximated to O(n^-1/2) with n features. No rate in the sup norm is declared.",
    reference="Rahimi & Recht (2007), Advances in Neural Information Processing Systems 20",
    rate_law="none declared",
    count_law="n (d + 2) + 1: frequencies, phases and amplitudes as they are stored, random or not, and a constant",
    dims=None,
    least=lambda dim: dim + 3,
    most=10_000,
    rate=lambda smoothness, dim, **options: math.nan,
    build=build,
    check=check,
    takes_data=True,
)
