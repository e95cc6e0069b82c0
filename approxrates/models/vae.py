"""The variational autoencoder with fully connected encoder and decoder, its noise part of the data."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.polynomial.hermite_e import hermegauss
from numpy.random import Generator, Philox
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional

from approxrates import activations
from approxrates.models.base import F64, Block, Model
from approxrates.seeds import seed_for

LIKELIHOODS = ("gaussian", "bernoulli")


@dataclass(frozen=True)
class VAE(Model):
    r"""Variational autoencoder: ``loss = distortion + beta * rate``, in nats for one data point.

    The encoder gives mean and log-variance of each latent unit, the decoder the mean of the data (Gaussian) or its
    logits (Bernoulli). The distortion is the negative log-likelihood up to a constant, ``|x - y|^2 / (2 v)`` with the
    fixed variance ``v`` of the decoder, or the cross-entropy, summed over the entries of x and averaged over the points
    and the draws of the noise. The rate is the divergence of the encoder from the standard normal prior.

    The draws belong to the points (:meth:`tables_of`): the same for every replica and every step, so that the loss is
    an ordinary function. Averages over the noise therefore carry the error of ``n_points * draws`` draws.

    Attributes:
        dim: Entries of a data point.
        hidden: Units of the encoder's hidden layers; the decoder's are the same, backwards. Empty: all is linear.
        latent: Latent units.
        activation: Of the hidden layers: a name of the table of activations that has a derivative.
        likelihood: ``"gaussian"``, or ``"bernoulli"`` for data in [0, 1].
        noise_variance: Variance ``v`` of the Gaussian decoder in every entry. Only ``beta * v`` decides which units
            are worth having.

    Raises:
        ValueError: If a setting is out of its range.

    Reference:
        Kingma & Welling (2014), arXiv:1312.6114; the weight beta: Higgins et al. (2017), ICLR.
    """

    name: ClassVar[str] = "vae"
    tables: ClassVar[tuple[str, ...]] = ("inputs", "noise")
    coefficients: ClassVar[Mapping[str, float]] = {"beta": 1.0}

    dim: int = 784
    hidden: tuple[int, ...] = (64,)
    latent: int = 8
    activation: str = "tanh"
    likelihood: str = "gaussian"
    noise_variance: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))
        for name, value in (("dim", self.dim), ("latent", self.latent), *(("hidden", size) for size in self.hidden)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} of a VAE must be a whole number of at least 1. Got {value!r}.")
        kind = activations.get(self.activation)
        if not kind.trainable or kind.parts:
            raise ValueError(
                f"activation of a VAE must be one function with a derivative. Got {self.activation!r}. "
                "Use e.g. activation='tanh'."
            )
        if self.likelihood not in LIKELIHOODS:
            raise ValueError(f"likelihood must be one of {', '.join(LIKELIHOODS)}. Got {self.likelihood!r}.")
        if not 0.0 < self.noise_variance < float("inf"):
            raise ValueError(
                f"noise_variance must be positive and finite. Got {self.noise_variance!r}. Write e.g. 1.0."
            )

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Encoder, its two heads, decoder; of each layer weights ``(n_out, n_in)``, then biases."""
        sizes = (self.dim, *self.hidden)
        layers = [(f"encoder.{i}", n_in, n_out) for i, (n_in, n_out) in enumerate(itertools.pairwise(sizes))]
        layers += [("mean", sizes[-1], self.latent), ("log_variance", sizes[-1], self.latent)]
        back = (self.latent, *reversed(sizes))
        layers += [(f"decoder.{i}", n_in, n_out) for i, (n_in, n_out) in enumerate(itertools.pairwise(back))]
        return tuple(
            block
            for name, n_in, n_out in layers
            for block in (Block(f"{name}.weight", (n_out, n_in)), Block(f"{name}.bias", (n_out,)))
        )

    def initialise(self, seed: int) -> F64:
        """Normal weights that carry a signal of variance one through, biases zero.

        Their variance is ``1 / n_in``, or ``1 / (n_in E sigma(g)^2)`` with a standard normal g where they read hidden
        units: for rectifiers that of He et al. (2015), arXiv:1502.01852.
        """
        draw, square = Generator(Philox(seed)), _mean_square(self.activation)
        parts = {}
        for block in self.blocks:
            if block.name.endswith(".weight"):
                read = 1.0 if block.name in ("encoder.0.weight", "decoder.0.weight") or not self.hidden else square
                parts[block.name] = draw.normal(0.0, (read * block.shape[1]) ** -0.5, block.shape)
        return self.joined(parts)

    def tables_of(self, inputs: ArrayLike, *, draws: int = 1, seed: int = 0) -> dict[str, F64]:
        """The data of the model: points and their noise.

        Args:
            inputs: Data points, ``(n, dim)``.
            draws: Draws of the noise for each point.
            seed: Of the noise.

        Returns:
            ``inputs`` ``(n, dim)``, ``noise`` ``(n, draws, latent)``.

        Raises:
            ValueError: For points of another shape, or outside [0, 1] where the likelihood is Bernoulli.
        """
        points = np.asarray(inputs, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != self.dim:
            raise ValueError(f"inputs must have shape (n, {self.dim}). Got {points.shape}. Use dim={points.shape[-1]}.")
        if isinstance(draws, bool) or not isinstance(draws, int) or draws < 1:
            raise ValueError(f"draws must be a whole number of at least 1. Got {draws!r}.")
        if self.likelihood == "bernoulli" and (points.min() < 0.0 or points.max() > 1.0):
            raise ValueError(
                f"the Bernoulli likelihood needs data in [0, 1]. Got {points.min():g} to {points.max():g}. "
                "Scale them, or use likelihood='gaussian'."
            )
        noise = Generator(Philox(seed_for("vae-noise", seed=seed))).normal(size=(len(points), draws, self.latent))
        return {"inputs": points, "noise": noise}

    def loss(self, theta: Tensor, data: Mapping[str, Tensor]) -> Tensor:
        """See :class:`Model`."""
        distortion, rates = self.terms(theta, data)
        return distortion + data["beta"] * rates.sum()

    def terms(self, theta: Tensor, data: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Distortion, a scalar, and the rate of each latent unit, ``[latent]``; both in nats for one point."""
        parts = self.parts(theta)
        mean, log_variance = self.encoded(parts, data["inputs"])
        latent = mean[:, None] + torch.exp(0.5 * log_variance)[:, None] * data["noise"]
        output, target = self.decoded(parts, latent), data["inputs"][:, None]
        if self.likelihood == "bernoulli":
            losses = functional.softplus(output) - target * output
        else:
            residual = output - target
            losses = residual * residual / (2.0 * self.noise_variance)
        rates = 0.5 * (mean * mean + torch.exp(log_variance) - 1.0 - log_variance).mean(0)
        return losses.sum(-1).mean(), rates

    def encoded(self, parts: Mapping[str, Tensor], inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log-variances of the latent units, ``[n, latent]`` each."""
        kind, units = activations.get(self.activation), inputs
        for i in range(len(self.hidden)):
            units = kind(_layer(parts, f"encoder.{i}", units))
        return _layer(parts, "mean", units), _layer(parts, "log_variance", units)

    def decoded(self, parts: Mapping[str, Tensor], latent: Tensor) -> Tensor:
        """Means of the data, or logits, ``[..., dim]``, from values ``[..., latent]`` of the latent units."""
        kind, units = activations.get(self.activation), latent
        for i in range(len(self.hidden)):
            units = kind(_layer(parts, f"decoder.{i}", units))
        return _layer(parts, f"decoder.{len(self.hidden)}", units)

    def squared_error(self, theta: Tensor, data: Mapping[str, Tensor]) -> Tensor:
        """Squared error of the reconstruction from the means of the latent units, summed over entries; its mean."""
        parts = self.parts(theta)
        output = self.decoded(parts, self.encoded(parts, data["inputs"])[0])
        if self.likelihood == "bernoulli":
            output = torch.sigmoid(output)
        residual = output - data["inputs"]
        return (residual * residual).sum(-1).mean()

    def check(self, data: Mapping[str, NDArray[Any]]) -> int:
        """See :class:`Model`; shapes too."""
        n = super().check(data)
        shapes = np.shape(data["inputs"])[1:], np.shape(data["noise"])[2:]
        if np.ndim(data["noise"]) != 3 or shapes != ((self.dim,), (self.latent,)):
            raise ValueError(
                f"inputs must have shape (n, {self.dim}) and noise (n, draws, {self.latent}). "
                f"Got {np.shape(data['inputs'])} and {np.shape(data['noise'])}. Use the model's tables_of."
            )
        return n


def _layer(parts: Mapping[str, Tensor], name: str, inputs: Tensor) -> Tensor:
    """An affine map of the last axis."""
    return functional.linear(inputs, parts[f"{name}.weight"], parts[f"{name}.bias"])


def _mean_square(activation: str) -> float:
    """``E sigma(g)^2`` of a standard normal g, by Gauss-Hermite quadrature."""
    nodes, weights = hermegauss(128)
    return float((activations.get(activation)(nodes) ** 2 * weights).sum() / weights.sum())
