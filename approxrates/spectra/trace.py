"""Traces of operators that are known by their products: exact, or estimated with a standard error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from approxrates.spectra.dense import Many, chunk_size, unit_vectors
from approxrates.spectra.krylov import random_vector


@dataclass(frozen=True)
class Trace:
    """Traces of N operators.

    Attributes:
        value: ``[N]``, float64.
        standard_error: ``[N]``, zero where exact.
        products: Products spent on each replica.
    """

    value: Tensor
    standard_error: Tensor
    products: int


def exact_trace(many: Many, n: int, *, n_params: int, stride: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Traces ``[N]``, float64, from products with all ``n_params`` unit vectors.

    Args:
        many: The operators.
        n: Number of replicas N.
        n_params: Order of the operators.
        stride: Length of a row, padding included.
        dtype: Of the vectors.
    """
    value, size = torch.zeros(n, dtype=torch.float64), chunk_size(n_params, stride, dtype)
    for begin in range(0, n_params, size):
        end = min(n_params, begin + size)
        block = many(unit_vectors(begin, end, n, stride, dtype))[..., begin:end]
        value += block.diagonal(dim1=1, dim2=2).double().sum(1).cpu()
    return value


def traces(
    many: Many,
    n: int,
    seeds: Sequence[int],
    *,
    n_params: int,
    stride: int,
    dtype: torch.dtype = torch.float64,
    most_products: int = 300,
) -> Trace:
    """Traces with at most so many products: exact if these are enough, else by Hutch++.

    A third of the products finds the range in which the operator is large, a third takes the trace there exactly, and
    the rest estimates the trace on the complement from random signs. The spread of that last part is the standard
    error; given the range the estimate has no bias.

    Args:
        many: The operators.
        n: Number of replicas N.
        seeds: One for each replica.
        n_params: Order of the operators.
        stride: Length of a row, padding included.
        dtype: Of the vectors.
        most_products: For each replica, at least 6.

    Raises:
        ValueError: If there are too few products, or seeds for other replicas.

    Reference:
        Meyer, Musco, Musco & Woodruff (2021), Hutch++: optimal stochastic trace estimation, arXiv:2010.09649.
    """
    if most_products < 6:
        raise ValueError(f"most_products must be at least 6. Got {most_products}. Write e.g. most_products=300.")
    if len(seeds) != n:
        raise ValueError(f"seeds must hold one number for each of {n} replicas. Got {len(seeds)}.")
    if n_params <= most_products:
        value = exact_trace(many, n, n_params=n_params, stride=stride, dtype=dtype)
        return Trace(value, torch.zeros_like(value), n_params)
    each = most_products // 3
    signs = torch.stack([_signs(seed, 2 * each, n_params, stride, dtype) for seed in seeds])
    ranges = torch.linalg.qr(many(signs[:, :each]).to(signs).mT).Q.mT.contiguous()
    inside = (ranges * many(ranges).to(ranges)).double().sum((1, 2))
    rest = signs[:, each:]
    for _ in range(2):  # once more for what rounding left
        rest = rest - (rest @ ranges.mT) @ ranges
    outside = (rest * many(rest).to(rest)).double().sum(2)
    error = outside.std(1) / math.sqrt(each)
    return Trace((inside + outside.mean(1)).cpu(), error.cpu(), 3 * each)


def _signs(seed: int, count: int, n_params: int, stride: int, dtype: torch.dtype) -> Tensor:
    """Random signs ``[count, stride]``, zero in the padding."""
    like = torch.zeros((), dtype=dtype)
    return torch.stack([random_vector(seed, 1 + k, n_params, stride, like).sign() for k in range(count)])
