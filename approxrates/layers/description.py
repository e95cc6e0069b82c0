"""How many bits it takes to write weights down: a prefix-free code of dyadic numbers, for counting arguments."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from approxrates.layers.dense import Layer
from approxrates.layers.dyadic import Dyadic, dyadic
from approxrates.layers.sparse import SparseLayer


def description_bits(layers: Iterable[Layer | SparseLayer]) -> int:
    """Length of all parameters in a prefix-free code, in bits, for a given architecture.

    A parameter is written as the length ``l`` of its odd mantissa (0 for zero), the sign, the ``l - 2`` bits between
    the two ones at the ends, and the exponent; ``l`` and the exponent (its sign as the last bit) by Elias' gamma code,
    ``2 floor(log2(n + 1)) + 1`` bits for ``n >= 0``. No code word begins another, so by Kraft's inequality at most
    ``2^T`` networks of one architecture have a description of ``T`` bits: what ``theory.description_lower_curve``
    counts.

    Reference:
        Elias (1975), IEEE Trans. Inf. Theory 21 (universal code words for the integers).
    """
    return sum(_length(value) for layer in layers for value in _entries(layer))


def _entries(layer: Layer | SparseLayer) -> Iterable[Dyadic]:
    """The parameters as dyadic numbers; what is not finite has no description and counts as a full float64."""
    if isinstance(layer, SparseLayer):
        return layer.entries()
    return (dyadic(value) if np.isfinite(value) else Dyadic((1 << 53) - 1) for value in layer.parameters())


def _length(value: Dyadic) -> int:
    """Bits of one parameter."""
    if not value:
        return 1
    exponent = value.exponent
    return _gamma(value.bits) + 1 + max(0, value.bits - 2) + _gamma(2 * abs(exponent) + (exponent < 0))


def _gamma(n: int) -> int:
    """Length of the code word of ``n >= 0``."""
    return 2 * ((n + 1).bit_length() - 1) + 1
