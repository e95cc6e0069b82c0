"""The starts of the literature: every layer by its fan-in alone, whatever the data.

:func:`~approxrates.training.starts.random.random_start` keeps the signal of narrow deep networks. These do not try to:
they are what the theory of wide networks and other people's experiments speak of.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from approxrates.seeds import seed_for
from approxrates.training.starts.base import F64, Architecture, Standardised

Draw = Callable[[np.random.Generator, int, int, bool, bool], tuple[F64, F64]]
"""``(generator, n_out, n_in, is_last, bias) -> (weight (n_out, n_in), bias (n_out,))``."""


def _kaiming(rng: np.random.Generator, n_out: int, n_in: int, is_last: bool, bias: bool) -> tuple[F64, F64]:
    """Normal weights of variance ``2 / n_in``, ``1 / n_in`` in the last layer; no biases (He et al. 2015)."""
    variance = (1.0 if is_last else 2.0) / n_in
    return rng.standard_normal((n_out, n_in)) * np.sqrt(variance), np.zeros(n_out)


def _normal(rng: np.random.Generator, n_out: int, n_in: int, is_last: bool, bias: bool) -> tuple[F64, F64]:
    """Normal weights of variance one; no biases."""
    return rng.standard_normal((n_out, n_in)), np.zeros(n_out)


def _torch(rng: np.random.Generator, n_out: int, n_in: int, is_last: bool, bias: bool) -> tuple[F64, F64]:
    """Weights and biases uniform within ``1 / sqrt(n_in)``, as torch's linear layers have them."""
    bound = 1.0 / np.sqrt(n_in)
    return rng.uniform(-bound, bound, (n_out, n_in)), rng.uniform(-bound, bound, n_out if bias else 0)


def kaiming_start(arch: Architecture, target: Standardised, replica: int, seed: int) -> tuple[F64, int]:
    """Normal weights of variance ``2 / fan_in``, ``1 / fan_in`` in the last layer, no biases.

    Reference:
        He, Zhang, Ren & Sun (2015), arXiv:1502.01852, for the hidden layers.
    """
    return _drawn("kaiming", _kaiming, arch, replica, seed)


def normal_start(arch: Architecture, target: Standardised, replica: int, seed: int) -> tuple[F64, int]:
    """Normal weights of variance one, no biases: scales are left to the inputs, as in the neural tangent literature."""
    return _drawn("normal", _normal, arch, replica, seed)


def torch_start(arch: Architecture, target: Standardised, replica: int, seed: int) -> tuple[F64, int]:
    """Weights and biases uniform within ``1 / sqrt(fan_in)``: the default of torch's linear layers."""
    return _drawn("torch", _torch, arch, replica, seed)


def _drawn(rule: str, draw: Draw, arch: Architecture, replica: int, seed: int) -> tuple[F64, int]:
    """Plain parameters, layer after layer from one generator."""
    number = seed_for("init", rule=rule, architecture=arch.to_spec(), replica=replica, seed=seed)
    rng = np.random.Generator(np.random.Philox(number))
    parts: list[F64] = []
    for index, (n_out, n_in) in enumerate(arch.shapes):
        weight, bias = draw(rng, n_out, n_in, index == arch.depth, arch.bias)
        parts.append(weight.ravel())
        if arch.bias:
            parts.append(bias)
    return np.concatenate(parts), 1
