"""The linear variational autoencoder, its expectation over the noise taken exactly: the model that theory solves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.random import Generator, Philox
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from approxrates.models.base import F64, Block, Model


@dataclass(frozen=True)
class LinearVAE(Model):
    r"""Linear encoder ``m = V x + c`` with one variance for each latent unit, linear decoder ``W z + b``.

    The loss is that of :class:`VAE` with Gaussian likelihood, ``(|x - W m - b|^2 + sum_j exp(s_j) |w_j|^2) / (2 v) +
    beta * rate``, where ``s_j`` is the log-variance and ``w_j`` the j-th column of W: there is no noise left in it.
    Its minima are known (:mod:`approxrates.theory.linear_vae`), and there are no others.

    Attributes:
        dim: Entries of a data point.
        latent: Latent units.
        noise_variance: Variance ``v`` of the decoder.

    Raises:
        ValueError: If a setting is out of its range.

    Reference:
        Lucas, Tucker, Grosse & Norouzi (2019), arXiv:1911.02469.
    """

    name: ClassVar[str] = "linear-vae"
    tables: ClassVar[tuple[str, ...]] = ("inputs",)
    coefficients: ClassVar[Mapping[str, float]] = {"beta": 1.0}

    dim: int = 784
    latent: int = 8
    noise_variance: float = 1.0

    def __post_init__(self) -> None:
        for name, value in (("dim", self.dim), ("latent", self.latent)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} of a linear VAE must be a whole number of at least 1. Got {value!r}.")
        if not 0.0 < self.noise_variance < float("inf"):
            raise ValueError(
                f"noise_variance must be positive and finite. Got {self.noise_variance!r}. Write e.g. 1.0."
            )

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Encoder, log-variances, decoder."""
        dim, latent = self.dim, self.latent
        return (
            Block("mean.weight", (latent, dim)),
            Block("mean.bias", (latent,)),
            Block("log_variance", (latent,)),
            Block("decoder.weight", (dim, latent)),
            Block("decoder.bias", (dim,)),
        )

    def initialise(self, seed: int) -> F64:
        """Normal weights of variance ``1 / n_in``, the rest zero."""
        draw = Generator(Philox(seed))
        weights = [block for block in self.blocks if block.name.endswith(".weight")]
        return self.joined({b.name: draw.normal(0.0, b.shape[1] ** -0.5, b.shape) for b in weights})

    def tables_of(self, inputs: ArrayLike) -> dict[str, F64]:
        """The data of the model, from points ``(n, dim)``.

        Raises:
            ValueError: For points of another shape.
        """
        points = np.asarray(inputs, dtype=np.float64)
        self.check({"inputs": points})
        return {"inputs": points}

    def loss(self, theta: Tensor, data: Mapping[str, Tensor]) -> Tensor:
        """See :class:`Model`."""
        distortion, rates = self.terms(theta, data)
        return distortion + data["beta"] * rates.sum()

    def terms(self, theta: Tensor, data: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Distortion, a scalar, and the rate of each latent unit, ``[latent]``; both in nats for one point."""
        parts, inputs = self.parts(theta), data["inputs"]
        mean = inputs @ parts["mean.weight"].T + parts["mean.bias"]
        residual = inputs - mean @ parts["decoder.weight"].T - parts["decoder.bias"]
        spread = parts["log_variance"].exp()
        lengths = (parts["decoder.weight"] * parts["decoder.weight"]).sum(0)
        squares = (residual * residual).sum(-1).mean() + (spread * lengths).sum()
        rates = 0.5 * ((mean * mean).mean(0) + spread - 1.0 - parts["log_variance"])
        return squares / (2.0 * self.noise_variance), rates

    def check(self, data: Mapping[str, NDArray[Any]]) -> int:
        """See :class:`Model`; the shape too."""
        n = super().check(data)
        if np.shape(data["inputs"])[1:] != (self.dim,):
            shape = np.shape(data["inputs"])
            raise ValueError(f"inputs must have shape (n, {self.dim}). Got {shape}. Use dim={shape[-1]}.")
        return n
