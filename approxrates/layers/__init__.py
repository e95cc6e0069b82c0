"""Plain data of a feed-forward network: affine layers, dense floats or sparse dyadic numbers, with unit-wise codes."""

from approxrates.layers.dense import IDENTITY, Layer, Rows, unit_groups
from approxrates.layers.description import description_bits
from approxrates.layers.dyadic import HALF, ONE, ZERO, Dyadic, dyadic, nearest
from approxrates.layers.sparse import Row, SparseLayer, dense, sparse

AnyLayer = Layer | SparseLayer

__all__ = [
    "HALF",
    "IDENTITY",
    "ONE",
    "ZERO",
    "AnyLayer",
    "Dyadic",
    "Layer",
    "Row",
    "Rows",
    "SparseLayer",
    "dense",
    "description_bits",
    "dyadic",
    "nearest",
    "sparse",
    "unit_groups",
]
