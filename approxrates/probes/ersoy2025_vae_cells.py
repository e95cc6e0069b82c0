"""Cells of the sweep of variational autoencoders: one seed up and down, each fit begun where the last ended.

Two kinds. ``vae`` is the autoencoder of the protocol on pixels in [0, 1], trained by Adam on mini-batches. ``linear``
is the linear one on the same images, trained by L-BFGS. Its loss knows the images by mean and covariance alone, and
what it decodes stays within the leading components; so few points that have these moments stand for all images, and
its transitions are those of the full images.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from approxrates.seeds import seed_for
from approxrates.theory.linear_vae import covariance_spectrum

if TYPE_CHECKING:
    from approxrates.models import VAE, LinearVAE
    from approxrates.training import ModelFit, Stage

F64 = NDArray[np.float64]
Spec = Mapping[str, Any]

DIRECTIONS = ("up", "down")
RANK_FLOOR = 1e-6
"""Singular values up to here count as zero."""
PIXEL_RANGE = {"digits": 16.0, "mnist": 255.0}
"""Value of the brightest pixel."""


def pixels(spec: Spec) -> F64:
    """Images as rows of pixels in [0, 1], ``(n, dim)``."""
    from approxrates.datasets import load_dataset

    found = load_dataset(spec["dataset"], n=spec["n"], pool=spec["pool"], standardise="none")
    return np.asarray(found.inputs / PIXEL_RANGE[spec["dataset"]])


def moment_points(spectrum: F64, n_components: int) -> F64:
    """Few points with the moments of images in principal coordinates: ``(2 n_components, n_components)``.

    On every axis a pair of opposite points, so far out that the mean over all points is zero and their covariance is
    diagonal with the leading eigenvalues of that of the images.

    Args:
        spectrum: Eigenvalues of the covariance of the images, descending.
        n_components: Axes.
    """
    axes = np.diag(np.sqrt(n_components * spectrum[:n_components]))
    return np.concatenate([axes, -axes])


def walk(spec: Spec) -> dict[str, Any]:
    """A sweep up and down: for each direction columns of numbers over its values.

    Args:
        spec: The cell; ``values`` ascending.

    Returns:
        ``up`` and ``down``: columns by name, each a list over the ``values``, which are ascending in both.
    """
    sweep = LinearSweep(spec) if spec["kind"] == "linear" else NonlinearSweep(spec)
    theta: F64 | None = None
    found: dict[str, Any] = {}
    for direction in DIRECTIONS:
        values = spec["values"] if direction == "up" else spec["values"][::-1]
        rows = []
        for place, value in enumerate(values):
            start = None if theta is None else theta + spec["kick"] * sweep.draw(direction, place)
            fit = sweep.fit(float(value), start)
            theta = fit.best()
            rows.append(sweep.numbers(fit, float(value)))
        rows = rows if direction == "up" else rows[::-1]
        found[direction] = {name: [row[name] for row in rows] for name in rows[0]}
    return found


def spectrum_of(spec: Spec) -> list[float]:
    """Leading eigenvalues of the covariance of the images of a cell, and the sum of the others."""
    found = covariance_spectrum(pixels(spec))
    return [float(one) for one in (*found[: spec["n_components"]], found[spec["n_components"] :].sum())]


class Sweep(ABC):
    """Fits of one seed, each begun where the last ended.

    Args:
        spec: The cell.
        model: What is trained.
    """

    def __init__(self, spec: Spec, model: VAE | LinearVAE) -> None:
        self.spec, self.model = spec, model

    @abstractmethod
    def fit(self, value: float, start: F64 | None) -> ModelFit:
        """The fit at one value of the swept weight.

        Args:
            value: Of the weight.
            start: Parameters to begin with; None for the first fit, which is longer.
        """

    @abstractmethod
    def numbers(self, fit: ModelFit, value: float) -> dict[str, Any]:
        """What is reported of a fit."""

    def draw(self, direction: str, place: int) -> F64:
        """A fresh start, a small part of which is added before each fit: no fit can rest on a saddle."""
        seed = seed_for("kick", model=self.model.key, seed=self.spec["seed"], direction=direction, place=place)
        return self.model.initialise(seed)

    def weights(self, value: float) -> tuple[float, float]:
        """``beta`` and the L2 penalty where the swept one has a value."""
        spec = self.spec
        return (value, spec["l2_penalty"]) if spec["swept"] == "beta" else (spec["beta"], value)

    def train(self, value: float, start: F64 | None, data: Mapping[str, F64], stage: Stage, **options: Any) -> ModelFit:
        """One fit by the trainer; a fit that breaks down breaks the cell."""
        from approxrates.training import train_model

        beta, penalty = self.weights(value)
        return train_model(
            self.model, data, replicas=[self.spec["seed"]], plan=[stage], coefficients={"beta": beta},
            l2_penalty=penalty, start="random" if start is None else start, seed=self.spec["seed"], strict=True,
            **options,
        )  # fmt: skip

    def told(self, theta: F64, value: float, distortion: float, rates: F64, decoder: F64) -> dict[str, Any]:
        """Numbers that both kinds report.

        Args:
            theta: Parameters.
            value: Of the swept weight.
            distortion: Distortion, nats.
            rates: Rates of the units, nats.
            decoder: Derivative of the decoder by the latent units at the mean of the prior, ``(dim, latent)``.
        """
        lengths = np.linalg.svd(decoder, compute_uv=False)
        squares = np.where(lengths > RANK_FLOOR, lengths, 0.0) ** 2
        return {
            "loss": distortion + self.weights(value)[0] * float(rates.sum()),
            "distortion": distortion,
            "rate": float(rates.sum()),
            "unit_rates": np.sort(rates)[::-1].tolist(),
            "active": int((rates > self.spec["active_rate"]).sum()),
            "weight_norm": float(np.linalg.norm(theta)),
            "decoder_norm": float(lengths[0]),
            "effective_rank": float(squares.sum() ** 2 / (squares**2).sum()) if squares.any() else 0.0,
        }


class NonlinearSweep(Sweep):
    """The autoencoder of the protocol.

    Batches are cut from several copies of the images, each with noise of its own: a decoder that sees one draw of noise
    often enough learns it by heart. What is reported is measured with noise that no fit has seen.
    """

    model: VAE

    def __init__(self, spec: Spec) -> None:
        from approxrates.models import VAE

        images = pixels(spec)
        shape = images.shape[1], tuple(spec["hidden"]), spec["latent"], spec["activation"], spec["likelihood"]
        super().__init__(spec, VAE(*shape, spec["noise_variance"]))
        self.data = self._tables(images, "compared")
        self.batches = self._tables(np.tile(images, (spec["copies"], 1)), "trained")
        self.fresh = self._tables(images, "reported")

    def _tables(self, images: F64, purpose: str) -> dict[str, F64]:
        """Images with noise for one purpose."""
        return self.model.tables_of(images, seed=seed_for("vae", seed=self.spec["seed"], purpose=purpose))

    def fit(self, value: float, start: F64 | None) -> ModelFit:
        """See :class:`Sweep`."""
        from approxrates.training import Adam

        spec = self.spec
        steps = spec["first_steps"] if start is None else spec["steps"]
        stage = Adam(steps=steps, learning_rate=spec["learning_rate"], warm_up=min(20, steps), swap=1)
        batches = {"batch_size": spec["batch_size"], "batch_data": self.batches, "dtype": "float32"}
        return self.train(value, start, self.data, stage, **batches)

    def numbers(self, fit: ModelFit, value: float) -> dict[str, Any]:
        """See :class:`Sweep`."""
        import torch

        theta = fit.best()
        with torch.no_grad():
            row = torch.tensor(theta, dtype=torch.float32)
            data = {name: torch.tensor(table, dtype=torch.float32) for name, table in self.fresh.items()}
            distortion, rates = self.model.terms(row, data)
            error = float(self.model.squared_error(row, data))
        told = self.told(theta, value, float(distortion), rates.double().numpy(), self._slope(theta))
        return told | {"squared_error": error}

    def _slope(self, theta: F64) -> F64:
        """Derivative of the decoder by the latent units at the mean of the prior, ``(dim, latent)``; by differences."""
        import torch

        parts, turns = self.model.parts(torch.tensor(theta)), 1e-4 * torch.eye(self.model.latent, dtype=torch.float64)
        ahead, behind = self.model.decoded(parts, turns), self.model.decoded(parts, -turns)
        return np.asarray(((ahead - behind) / 2e-4).T.numpy())


class LinearSweep(Sweep):
    """The linear autoencoder on points with the moments of the images, with two numbers of its Hessian."""

    model: LinearVAE

    def __init__(self, spec: Spec) -> None:
        from approxrates.models import LinearVAE

        spectrum = covariance_spectrum(pixels(spec))
        points = moment_points(spectrum, spec["n_components"])
        self.unseen = float(spectrum[spec["n_components"] :].sum()) / (2.0 * spec["noise_variance"])
        super().__init__(spec, LinearVAE(points.shape[1], spec["latent"], spec["noise_variance"]))
        self.data = {"inputs": points}

    def fit(self, value: float, start: F64 | None) -> ModelFit:
        """See :class:`Sweep`."""
        from approxrates.training import LBFGS

        steps = self.spec["first_steps"] if start is None else self.spec["steps"]
        measure = ["smallest_eigenvalue", "scalar_curvature"]
        return self.train(value, start, self.data, LBFGS(steps=steps, patience=10 * steps), measure=measure)

    def numbers(self, fit: ModelFit, value: float) -> dict[str, Any]:
        """See :class:`Sweep`."""
        import torch

        theta = fit.best()
        row = torch.tensor(theta)
        distortion, rates = self.model.terms(row, {"inputs": torch.tensor(self.data["inputs"])})
        decoder = self.model.parts(row)["decoder.weight"].numpy()
        curved = {name: fit.final[0][name] for name in ("smallest_eigenvalue", "scalar_curvature")}
        return self.told(theta, value, float(distortion) + self.unseen, rates.numpy(), decoder) | curved
