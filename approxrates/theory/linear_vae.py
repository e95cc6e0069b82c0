r"""The linear variational autoencoder in closed form: which latent units are alive, and at which weight they die.

The setting. Encoder ``z ~ N(V (x - mu), D)`` with a diagonal D, decoder ``N(W z + mu, v I)`` with a fixed variance
``v``, and the loss ``E |x - W z - mu|^2 / (2 v) + beta * KL(encoder | N(0, I))``. Let the covariance of the data have
the eigenvalues ``lambda_1 >= lambda_2 >= ...``.

One unit along one eigenvector. Divide the loss by beta: it is the negative evidence bound of a decoder of variance
``s = beta v``. With decoder weight ``w`` along an eigenvector of eigenvalue ``lambda`` the best encoder is the
posterior of that linear Gaussian model: mean ``w / (w^2 + s)`` times the coordinate, variance ``D = s / (w^2 + s)``.
Inserting both, the part of the loss that depends on ``w`` is ``(beta / 2) (log(w^2 + s) + lambda / (w^2 + s))``, least
at

    w^2 = max(0, lambda - s),

so the unit is alive exactly if ``lambda > beta v``. Alive, it has ``D = s / lambda``, the rate
``1/2 log(lambda / s)`` and leaves the squared error ``s`` of the ``lambda`` along its eigenvector; dead, rate 0 and
``lambda``: reverse water-filling, and all of it is continuous in beta. With ``latent`` units the leading eigenvectors
are taken, and there are no other minima (Lucas et al. 2019), the trivial one included: for ``s < lambda_1`` it is a
saddle.

For beta = 1 it is probabilistic principal component analysis with a fixed noise variance.

References:
    Lucas, Tucker, Grosse & Norouzi (2019), arXiv:1911.02469; Tipping & Bishop (1999), J. R. Stat. Soc. B 61; reverse
    water-filling: Cover & Thomas, Elements of Information Theory, section 10.3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

F64 = NDArray[np.float64]


def covariance_spectrum(inputs: ArrayLike) -> F64:
    """Eigenvalues of the covariance of points ``(n, dim)``, over n, descending, shape ``(min(n, dim),)``."""
    points = np.asarray(inputs, dtype=np.float64)
    centred = points - points.mean(0)
    gram = centred @ centred.T if len(points) < points.shape[1] else centred.T @ centred
    return np.asarray(np.maximum(np.linalg.eigvalsh(gram)[::-1], 0.0) / len(points))


def critical_weights(eigenvalues: ArrayLike, *, noise_variance: float = 1.0, least_rate: float = 0.0) -> F64:
    """Weights beta at which units die, in the order of the eigenvalues.

    Args:
        eigenvalues: Of the covariance of the data, descending.
        noise_variance: Variance ``v`` of the decoder.
        least_rate: A unit counts as alive above this rate, in nats: 0 is the transition itself, a positive threshold is
            crossed a little earlier, where ``1/2 log(lambda / (beta v))`` equals it.

    Example:
        >>> [round(float(b), 4) for b in critical_weights([4.0, 1.0], noise_variance=2.0, least_rate=0.01)]
        [1.9604, 0.4901]
    """
    spectrum = np.asarray(eigenvalues, dtype=np.float64)
    return np.asarray(spectrum * np.exp(-2.0 * least_rate) / noise_variance)


def unit_rates(eigenvalues: ArrayLike, beta: float, *, latent: int, noise_variance: float = 1.0) -> F64:
    """Rates of the latent units at the minimum, in nats, descending, shape ``(latent,)``.

    Args:
        eigenvalues: Of the covariance of the data, descending, at least ``latent`` many.
        beta: Weight of the rate.
        latent: Latent units.
        noise_variance: Variance of the decoder.

    Raises:
        ValueError: For fewer eigenvalues than units.
    """
    spectrum = np.asarray(eigenvalues, dtype=np.float64)
    if len(spectrum) < latent:
        raise ValueError(f"unit_rates needs an eigenvalue for each of {latent} units. Got {len(spectrum)}.")
    level = beta * noise_variance
    return np.asarray(0.5 * np.log(np.maximum(spectrum[:latent], level) / level))


def squared_error(eigenvalues: ArrayLike, beta: float, *, latent: int, noise_variance: float = 1.0) -> float:
    """Expected squared error of the reconstruction at the minimum, ``E |x - W z - mu|^2``, summed over entries.

    Args:
        eigenvalues: All of the covariance of the data, descending.
        beta: Weight of the rate.
        latent: Latent units.
        noise_variance: Variance of the decoder.
    """
    spectrum = np.asarray(eigenvalues, dtype=np.float64)
    return float(np.minimum(spectrum[:latent], beta * noise_variance).sum() + spectrum[latent:].sum())


def least_loss(eigenvalues: ArrayLike, beta: float, *, latent: int, noise_variance: float = 1.0) -> float:
    """The least value of the loss, in nats for one point, without the constant of the Gaussian likelihood.

    Args:
        eigenvalues: All of the covariance of the data, descending.
        beta: Weight of the rate.
        latent: Latent units.
        noise_variance: Variance of the decoder.
    """
    error = squared_error(eigenvalues, beta, latent=latent, noise_variance=noise_variance)
    spent = unit_rates(eigenvalues, beta, latent=latent, noise_variance=noise_variance).sum()
    return float(error / (2.0 * noise_variance) + beta * spent)
