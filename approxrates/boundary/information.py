"""How much of the doubtful area one more run would clear up, and what runs under way will have cleared."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from approxrates.boundary.latent import Latent, covariance

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


class Belief:
    """Mean and variance of one latent function at fixed places, the variance lowered by runs under way.

    Args:
        latent: Posterior of the function.
        places: Points of the unit box, shape ``(m, dim)``.
        relevance: Probability that the phase there is one of the two that the function tells apart, shape ``(m,)``.
    """

    def __init__(self, latent: Latent, places: Floats, relevance: Floats) -> None:
        self.latent, self.places, self.relevance = latent, places, relevance
        self._mean = latent.mean(places)
        self._rows = latent.whitened(places)  # posterior covariance = prior - rows.T @ rows
        self._least = 1e-9 * latent.amplitude
        self._variance = np.maximum(latent.amplitude - np.sum(self._rows**2, axis=0), self._least)

    def doubt(self) -> Floats:
        """Probability that one of the two phases is there and not the more probable one, shape ``(m,)``."""
        return self.relevance * _doubt(self._mean, self._variance)

    def gain(self, candidates: Indices, audience: Indices) -> Floats:
        """By how much a run at each candidate is expected to lower the mean doubt over the audience.

        One step ahead (Roy & McCallum 2001, expected error reduction): for either label the moments of the function
        everywhere are those after one step of assumed-density filtering, and the labels are weighted by their
        probabilities.

        Args:
            candidates: Indices of places, shape ``(c,)``.
            audience: Indices of places, shape ``(a,)``.

        Returns:
            Shape ``(c,)``.
        """
        shared = self._covariance(candidates, audience)
        mean, variance, relevance = self._mean[audience], self._variance[audience], self.relevance[audience]
        found = np.full(len(candidates), float(np.mean(relevance * _doubt(mean, variance))))
        for sign in (1.0, -1.0):
            chance, pull, bend = _update(self._mean[candidates], self._variance[candidates], sign)
            moved = mean + shared * pull[:, None]
            narrowed = np.maximum(variance - shared**2 * bend[:, None], self._least)
            found -= chance * np.mean(relevance * _doubt(moved, narrowed), axis=1)
        return found * self.relevance[candidates]

    def expect(self, index: int) -> None:
        """Accounts for a run at one of the places: the label is unknown, so only the variance falls, as on average."""
        here = np.array([index])
        bend = 0.0
        for sign in (1.0, -1.0):
            chance, _, fall = _update(self._mean[here], self._variance[here], sign)
            bend += float(chance[0] * fall[0] * self.relevance[index])
        row = self._covariance(here, np.arange(len(self.places)))[0] * np.sqrt(bend)
        self._rows = np.vstack([self._rows, row])
        self._variance = np.maximum(self._variance - row**2, self._least)

    def _covariance(self, a: Indices, b: Indices) -> Floats:
        """Covariance between places, shape ``(len(a), len(b))``."""
        prior = covariance(self.places[a], self.places[b], self.latent.lengths, self.latent.amplitude)
        found: Floats = prior - self._rows[:, a].T @ self._rows[:, b]
        return found


def _doubt(mean: Floats, variance: Floats) -> Floats:
    """``min(p, 1 - p)`` of ``p = E Phi(f)``."""
    from scipy.special import ndtr

    found: Floats = ndtr(-np.abs(mean) / np.sqrt(1 + variance))
    return found


def _update(mean: Floats, variance: Floats, sign: float) -> tuple[Floats, Floats, Floats]:
    """Probability of a label, and factors by which it moves mean (times covariance) and variance (times its square)."""
    from scipy.special import log_ndtr

    spread = np.sqrt(1 + variance)
    z = sign * mean / spread
    log_chance = log_ndtr(z)
    ratio = np.exp(-0.5 * z**2 - 0.5 * np.log(2 * np.pi) - log_chance)
    return np.exp(log_chance), sign * ratio / spread, ratio * (z + ratio) / (1 + variance)
