"""What can be set in the sweep of variational autoencoders, and the cells that follow."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from approxrates.models import VAE
from approxrates.probes.base import Spec

LEVELS = 3
"""Grids of the linear autoencoder: the whole sweep, then windows about its end refined by 4 and by 16."""


@dataclass(frozen=True)
class VaeSettings:
    """Settings of the probe.

    Attributes:
        dataset: ``"mnist"`` (5,000 images, extra ``mnist``) or ``"digits"``.
        n: Images.
        pool: Side of the squares of pixels that are averaged.
        swept: ``"beta"``, the weight of the rate, or ``"l2"``, that of the sum of squared parameters.
        low: First value of the sweep.
        high: Last value.
        n_values: Values of the sweep, evenly spaced in their logarithm.
        beta: Weight of the rate where the L2 weight is swept.
        l2_penalty: L2 weight where beta is swept.
        seeds: Independent runs.
        hidden: Units of the encoder's hidden layers.
        latent: Latent units.
        activation: Of the hidden layers.
        likelihood: ``"gaussian"`` or ``"bernoulli"``.
        noise_variance: Variance of the Gaussian decoder.
        steps: Steps of Adam at each value: one sweep for each of these numbers, so that lag shows.
        first_steps: Steps at the first value.
        batch_size: Images in a mini-batch.
        copies: Draws of the noise that batches are made with.
        learning_rate: Of Adam.
        kick: Share of a fresh start that is added before each fit.
        active_rate: A latent unit counts as active above this rate, in nats.
        linear: Sweep the linear autoencoder too, which has closed forms; it needs beta swept, no L2 weight and the
            Gaussian likelihood.
        linear_values: Values of its sweep.
        linear_steps: Most steps of L-BFGS at each value; ten times as many at the first.
        n_components: Principal components that it sees.

    Raises:
        ValueError: For a value out of its range.
    """

    dataset: str = "mnist"
    n: int = 5000
    pool: int = 1
    swept: str = "beta"
    low: float = 1.0
    high: float = 8.0
    n_values: int = 16
    beta: float = 1.0
    l2_penalty: float = 0.0
    seeds: int = 4
    hidden: tuple[int, ...] = (64,)
    latent: int = 8
    activation: str = "tanh"
    likelihood: str = "gaussian"
    noise_variance: float = 1.0
    steps: tuple[int, ...] = (150, 300)
    first_steps: int = 1500
    batch_size: int = 250
    copies: int = 4
    learning_rate: float = 3e-3
    kick: float = 1e-3
    active_rate: float = 0.01
    linear: bool = True
    linear_values: int = 24
    linear_steps: int = 150
    n_components: int = 12

    def __post_init__(self) -> None:
        for name, known in (("dataset", ("mnist", "digits")), ("swept", ("beta", "l2"))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}. Got {getattr(self, name)!r}.")
        if self.likelihood not in ("gaussian", "bernoulli"):
            raise ValueError(f"likelihood must be one of gaussian, bernoulli. Got {self.likelihood!r}.")
        least = {"n": 2, "pool": 1, "n_values": 4, "seeds": 2, "latent": 1, "first_steps": 1, "batch_size": 1}
        least |= {"copies": 1, "linear_values": 6, "linear_steps": 1, "n_components": self.latent + 1}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ValueError(f"{name} must be at least {bound}. Got {name}={getattr(self, name)}.")
        if not self.steps or min(self.steps) < 1 or len(set(self.steps)) < len(self.steps):
            raise ValueError(
                f"steps must hold different numbers of at least 1. Got {self.steps}. Write e.g. (150, 300)."
            )
        if not 0.0 < self.low < self.high < float("inf"):
            raise ValueError(f"low and high must be 0 < low < high. Got low={self.low}, high={self.high}.")
        for name in ("noise_variance", "learning_rate", "active_rate"):
            if not 0.0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be positive and finite. Got {name}={getattr(self, name)}.")
        for name in ("beta", "l2_penalty", "kick"):
            if not 0.0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be at least 0 and finite. Got {name}={getattr(self, name)}.")
        VAE(dim=1, hidden=self.hidden, latent=self.latent, activation=self.activation)  # refuses what it cannot be

    @property
    def has_theory(self) -> bool:
        """Whether the closed forms of the linear autoencoder speak of this sweep."""
        return self.swept == "beta" and self.l2_penalty == 0.0 and self.likelihood == "gaussian"

    def linear_cell(self, seed: int, level: int, values: Sequence[float]) -> Spec:
        """A sweep of the linear autoencoder."""
        own = {"kind": "linear", "seed": seed, "level": level, "values": list(values), "steps": self.linear_steps}
        return own | {"first_steps": 10 * self.linear_steps} | self._shared("dataset", "n", "pool", "n_components")

    def nonlinear_cell(self, seed: int, steps: int) -> Spec:
        """A sweep of the autoencoder."""
        names = ("dataset", "n", "pool", "n_components", "hidden", "activation", "likelihood", "first_steps")
        own = {"kind": "vae", "seed": seed, "level": 0, "values": self.values(self.n_values), "steps": steps}
        return own | self._shared(*names, "batch_size", "copies", "learning_rate")

    def values(self, n: int) -> list[float]:
        """The grid of a sweep, ascending."""
        return [float(value) for value in np.geomspace(self.low, self.high, n)]

    def _shared(self, *names: str) -> Spec:
        """Settings that a cell depends on, as plain data."""
        always = ("swept", "beta", "l2_penalty", "latent", "noise_variance", "kick", "active_rate")
        given = dataclasses.asdict(self)
        return {k: list(given[k]) if isinstance(given[k], tuple) else given[k] for k in (*names, *always)}
