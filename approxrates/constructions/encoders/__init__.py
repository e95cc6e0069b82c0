"""Encoders: from a target to the digits that a network of a theorem reads, and what error they leave."""

from approxrates.constructions.encoders.base import Mesh
from approxrates.constructions.encoders.bounds import cell_bound
from approxrates.constructions.encoders.walk import Walks, best_scale, encode_walks, walk_values

__all__ = ["Mesh", "Walks", "best_scale", "cell_bound", "encode_walks", "walk_values"]
