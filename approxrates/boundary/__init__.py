"""Boundaries between phases in a plane of settings, mapped actively by Gaussian-process classification."""

from approxrates.boundary.mapping import UNDECIDED, BoundaryMap
from approxrates.boundary.plane import Box, BoxAxis

__all__ = ["UNDECIDED", "BoundaryMap", "Box", "BoxAxis"]
