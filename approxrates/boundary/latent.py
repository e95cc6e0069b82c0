r"""Gaussian-process classification into two classes by expectation propagation, with votes instead of labels.

The probability of the class at ``x`` is ``Phi(f(x))`` with the normal distribution function ``Phi`` and a Gaussian
process ``f`` of mean zero and covariance ``amplitude * exp(-sum_i (x_i - x'_i)^2 / (2 length_i^2))``. An observation is
``a`` votes for the class and ``b`` against it, not necessarily whole numbers; its likelihood is
``Phi(f)^a Phi(-f)^b``, so that a split vote draws ``f`` to zero, the boundary, and a unanimous one away from it.

Why not Laplace's approximation, as in scikit-learn: labels of a phase diagram are nearly free of noise, so ``f`` is
large against one and its posterior is a Gaussian cut off at zero, whose mode is not its mean. Expectation propagation
matches the moments.

Reference:
    Minka (2001), arXiv:1301.2294; Rasmussen & Williams (2006), "Gaussian Processes for Machine Learning", section 3.6
    and equation 5.27.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LENGTHS = (0.05, 3.0)
"""Bounds of a length scale, in sides of the box."""
AMPLITUDES = (1.0, 1e6)
"""Bounds of the variance of ``f``: labels without noise push it up without end."""
PRIOR = ((np.log(0.6), 0.7), (np.log(1e4), 2.0))
"""Mean and deviation of the normal prior of the logarithm of a length scale, and of the amplitude."""
JITTER = 1e-9
SWEEPS, SETTLED = 200, 1e-8


@dataclass(frozen=True, eq=False)
class Latent:
    """The posterior of ``f`` given observations, with its hyperparameters.

    Attributes:
        points: Where votes were seen, in the unit box, shape ``(n, dim)``.
        lengths: Length scales, shape ``(dim,)``.
        amplitude: Prior variance of ``f``.
        evidence: Approximate log marginal likelihood of the votes, without the prior of the hyperparameters.
        pull: Shape ``(n,)``; the mean of ``f`` at ``x`` is ``k(x) . pull``.
        root: Square roots of the sites' precisions, shape ``(n,)``.
        whitener: Inverse of the Cholesky factor of ``I + root K root``.
    """

    points: Floats
    lengths: Floats
    amplitude: float
    evidence: float
    pull: Floats
    root: Floats
    whitener: Floats

    def mean(self, points: Floats) -> Floats:
        """Mean of ``f`` at ``(m, dim)`` points, shape ``(m,)``."""
        found: Floats = covariance(points, self.points, self.lengths, self.amplitude) @ self.pull
        return found

    def whitened(self, points: Floats) -> Floats:
        """``V`` of shape ``(n, m)`` with posterior covariance ``k(x, x') - V(x) . V(x')``."""
        cross = covariance(self.points, points, self.lengths, self.amplitude)
        found: Floats = self.whitener @ (self.root[:, None] * cross)
        return found

    def mean_and_variance(self, points: Floats) -> tuple[Floats, Floats]:
        """Mean and variance of ``f`` at ``(m, dim)`` points, each of shape ``(m,)``."""
        variance = self.amplitude - np.sum(self.whitened(points) ** 2, axis=0)
        return self.mean(points), np.maximum(variance, JITTER * self.amplitude)

    def probability(self, points: Floats) -> Floats:
        """Probability of the class at ``(m, dim)`` points, ``E Phi(f)``, shape ``(m,)``."""
        from scipy.special import ndtr

        mean, variance = self.mean_and_variance(points)
        found: Floats = ndtr(mean / np.sqrt(1 + variance))
        return found


def covariance(a: Floats, b: Floats, lengths: Floats, amplitude: float) -> Floats:
    """Prior covariance of ``f`` between ``(n, dim)`` and ``(m, dim)`` points, shape ``(n, m)``."""
    one, other = a / lengths, b / lengths
    square = np.sum(one**2, axis=1)[:, None] + np.sum(other**2, axis=1) - 2 * one @ other.T
    found: Floats = amplitude * np.exp(-0.5 * np.maximum(square, 0.0))
    return found


def fit_latent(points: Floats, votes: Floats) -> Latent:
    """The posterior at the most probable hyperparameters; a pure function of the observations.

    Args:
        points: In the unit box, shape ``(n, dim)``.
        votes: For and against the class, at least 0, not both 0, shape ``(n, 2)``.
    """
    from scipy.optimize import minimize

    dim = points.shape[1]
    centre = np.array([PRIOR[0][0]] * dim + [PRIOR[1][0]])
    spread = np.array([PRIOR[0][1]] * dim + [PRIOR[1][1]])
    sites = np.zeros((2, len(points)))

    def objective(theta: Floats) -> tuple[float, Floats]:
        nonlocal sites
        found, sites = _propagate(points, votes, np.exp(theta[:dim]), float(np.exp(theta[dim])), sites)
        away = (theta - centre) / spread
        return -found.evidence + 0.5 * float(away @ away), -_slope(found) + away / spread

    bounds = [tuple(np.log(LENGTHS))] * dim + [tuple(np.log(AMPLITUDES))]
    run = minimize(objective, centre, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 40})
    return posterior(points, votes, np.exp(run.x[:dim]), float(np.exp(run.x[dim])))


def posterior(points: Floats, votes: Floats, lengths: Floats, amplitude: float) -> Latent:
    """The posterior at given hyperparameters; arguments as for :func:`fit_latent`."""
    return _propagate(points, votes, np.asarray(lengths), amplitude, np.zeros((2, len(points))))[0]


def _propagate(
    points: Floats, votes: Floats, lengths: Floats, amplitude: float, sites: Floats
) -> tuple[Latent, Floats]:
    """Expectation propagation, all sites at once, damped; ``sites`` are precisions and precision-means to begin at."""
    prior = covariance(points, points, lengths, amplitude)
    prior[np.diag_indices_from(prior)] += JITTER * amplitude
    precision, shift = sites
    change, damping = np.inf, 0.8
    for _ in range(SWEEPS):
        root = np.sqrt(precision)
        factor = np.linalg.cholesky(np.eye(len(root)) + root[:, None] * prior * root)
        whitener = np.linalg.inv(factor)  # small, and its condition is harmless: eigenvalues of the product start at 1
        half = whitener @ (root[:, None] * prior)
        variance = np.diag(prior) - np.sum(half**2, axis=0)
        mean = prior @ shift - half.T @ (half @ shift)
        outer = 1 / np.maximum(1 / variance - precision, 1e-12)
        centre = outer * (mean / variance - shift)
        log_mass, slope, bend = _tilted(centre, outer, votes)
        # bend = -d2 log mass / d centre2, in (0, 1 / outer)
        fresh = np.maximum(bend / (1 - np.minimum(outer * bend, 1 - 1e-10)), 0.0)
        fresh_shift = (slope + centre * bend) / (1 - np.minimum(outer * bend, 1 - 1e-10))
        moved = float(np.max(np.abs(outer * (fresh - precision)) / (1 + outer * precision)))
        moved = max(moved, float(np.max(np.abs(fresh_shift - shift) / (1 + np.abs(shift)))))
        if moved < SETTLED:
            break
        damping = max(0.3, damping * 0.8) if moved > change else damping
        change = moved
        precision = precision + damping * (fresh - precision)
        shift = shift + damping * (fresh_shift - shift)
    evidence = float(
        np.sum(log_mass)
        - np.sum(np.log(np.diag(factor)))
        + 0.5 * np.sum(np.log1p(precision * outer))
        + 0.5 * (shift @ mean)
        - 0.5 * np.sum((shift**2 * outer + 2 * shift * centre - precision * centre**2) / (1 + precision * outer))
    )
    pull = shift - root * (whitener.T @ (whitener @ (root * (prior @ shift))))
    return Latent(points, lengths, amplitude, evidence, pull, root, whitener), np.stack([precision, shift])


def _tilted(centre: Floats, variance: Floats, votes: Floats) -> tuple[Floats, Floats, Floats]:
    """Log of ``E Phi(f)^a Phi(-f)^b`` for ``f ~ N(centre, variance)``, its slope in the centre, minus its curvature."""
    from scipy.special import log_ndtr

    sign = np.where(votes[:, 0] > 0, 1.0, -1.0)
    spread = np.sqrt(1 + variance)
    z = sign * centre / spread
    log_mass = log_ndtr(z)
    ratio = np.exp(-0.5 * z**2 - 0.5 * np.log(2 * np.pi) - log_mass)
    slope, bend = sign * ratio / spread, ratio * (z + ratio) / (1 + variance)
    other = np.flatnonzero((votes.max(axis=1) != 1) | (votes.min(axis=1) != 0))
    if len(other):
        log_mass[other], slope[other], bend[other] = _by_quadrature(centre[other], variance[other], votes[other])
    return log_mass, slope, bend


def _by_quadrature(centre: Floats, variance: Floats, votes: Floats) -> tuple[Floats, Floats, Floats]:
    """:func:`_tilted` for any votes, by the trapezoidal rule in ``u`` with ``f = mode + width sinh(u)``."""
    from scipy.special import log_ndtr

    def log_density(f: Floats) -> Floats:
        found: Floats = (
            votes[:, :1] * log_ndtr(f)
            + votes[:, 1:] * log_ndtr(-f)
            - 0.5 * (f - centre[:, None]) ** 2 / variance[:, None]
            - 0.5 * np.log(2 * np.pi * variance[:, None])
        )
        return found

    def ratio(f: Floats) -> Floats:
        found: Floats = np.exp(-0.5 * f**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(f))
        return found

    # Bisection on the slope, which falls: the density is log-concave.
    reach = np.abs(centre) + 10 * np.sqrt(variance) + 1
    low, high = -reach, reach
    for _ in range(60):
        middle = (low + high) / 2
        rising = votes[:, 0] * ratio(middle) - votes[:, 1] * ratio(-middle) > (middle - centre) / variance
        low, high = np.where(rising, middle, low), np.where(rising, high, middle)
    mode = (low + high) / 2
    up, down = ratio(mode), ratio(-mode)
    curvature = 1 / variance + votes[:, 0] * up * (mode + up) + votes[:, 1] * down * (down - mode)
    width = 1 / np.sqrt(curvature)
    u = np.linspace(-1, 1, 201)[None, :] * np.arcsinh(12 * np.sqrt(variance) / width)[:, None]
    f = mode[:, None] + width[:, None] * np.sinh(u)
    height = log_density(f)
    top = height.max(axis=1, keepdims=True)
    mass = np.exp(height - top) * width[:, None] * np.cosh(u) * (u[:, 1] - u[:, 0])[:, None]
    total = mass.sum(axis=1)
    mean = np.sum(mass * f, axis=1) / total
    spread = np.sum(mass * (f - mean[:, None]) ** 2, axis=1) / total
    return np.log(total) + top[:, 0], (mean - centre) / variance, (1 - spread / variance) / variance


def _slope(latent: Latent) -> Floats:
    """Gradient of the evidence in the logarithms of lengths and amplitude; the sites are stationary and drop out."""
    points, lengths = latent.points, latent.lengths
    prior = covariance(points, points, lengths, latent.amplitude)
    inverse = latent.root[:, None] * (latent.whitener.T @ latent.whitener) * latent.root
    weight = 0.5 * (np.outer(latent.pull, latent.pull) - inverse) * prior
    gaps = [((points[:, None, i] - points[None, :, i]) / lengths[i]) ** 2 for i in range(len(lengths))]
    return np.array([np.sum(weight * gap) for gap in gaps] + [np.sum(weight)])
