"""A ReLU network made ready for interval-wise evaluation: float weights beside exact ones, sensitivities, groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from approxrates.errors.base import Array
from approxrates.layers import IDENTITY, Dyadic, sparse
from approxrates.network import Network

Terms = tuple[tuple[int, Dyadic], ...]
_FEW = 24
"""Terms of a row up to which it is compared with others."""


@dataclass(frozen=True, eq=False)
class PreparedLayer:
    """One layer.

    Attributes:
        rows: ``(source, weight)`` of each unit, zeros left out.
        bias: Constant of each unit.
        relu: Whether each unit is a ReLU (else the identity).
        sensitivity: Bound on how much the output moves if a unit moves by 1, shape ``(n_out,)``: sums of absolute
            weights along all paths. It guides precision; no proof rests on it.
        shape: For each unit of few terms the row up to a factor ``+-2^e``, and the factor; else None.
    """

    rows: tuple[Terms, ...]
    bias: tuple[Dyadic | None, ...]
    relu: tuple[bool, ...]
    sensitivity: Array
    shape: tuple[tuple[Terms, Dyadic] | None, ...]


def can_be_followed(network: Network) -> bool:
    """Whether the interval-wise proof knows the network: d = 1, one output, ReLU and identity units only."""
    return network.dim == 1 and network.n_outputs == 1 and network.activations <= {"relu", IDENTITY}


def prepared(network: Network) -> list[PreparedLayer]:
    """The layers of a network for which :func:`can_be_followed` holds."""
    layers: list[PreparedLayer] = []
    above = np.ones(1)
    for layer in reversed(network.layers):
        exact = sparse(layer)
        rows = tuple(tuple((source, weight) for source, weight in row if weight) for row in exact.rows)
        bias = tuple(b if b else None for b in exact.bias)
        relu = tuple(code == "relu" for code in exact.activations)
        shapes = tuple(_shape(row) if on and 0 < len(row) <= _FEW else None for row, on in zip(rows, relu, strict=True))
        layers.append(PreparedLayer(rows, bias, relu, above, shapes))
        below = np.zeros(exact.n_in)
        with np.errstate(over="ignore", invalid="ignore"):
            for row, size in zip(rows, above, strict=True):
                for source, weight in row:
                    below[source] += abs(float(weight)) * size
        above = np.where(np.isnan(below), math.inf, below)
    return layers[::-1]


def _shape(row: Terms) -> tuple[Terms, Dyadic]:
    """A row divided by ``+-2^e`` so that its first weight is an odd positive integer, and that factor."""
    ordered = sorted(row)
    first = ordered[0][1]
    factor = Dyadic(1 if first.mantissa > 0 else -1, first.exponent)
    inverse = Dyadic(factor.mantissa, -first.exponent)
    return tuple((source, weight * inverse) for source, weight in ordered), factor


def added(parts: Sequence[tuple[Terms, Dyadic | None, Dyadic]]) -> tuple[Terms, Dyadic | None]:
    """``sum_k factor_k (row_k + bias_k)`` as one row and bias, terms that cancel left out."""
    total: dict[int, Dyadic] = {}
    constant = Dyadic(0)
    for row, bias, factor in parts:
        for source, weight in row:
            total[source] = total.get(source, Dyadic(0)) + weight * factor
        if bias is not None:
            constant = constant + bias * factor
    return tuple((source, weight) for source, weight in total.items() if weight), constant if constant else None
