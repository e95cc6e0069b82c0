"""Measuring smoothness: structure functions and wavelet leaders of any function, against what is declared of it."""

from approxrates.smoothness.base import SCATTER, SmoothnessMeasurement
from approxrates.smoothness.measure import measure_smoothness, smoothness_warning

__all__ = ["SCATTER", "SmoothnessMeasurement", "measure_smoothness", "smoothness_warning"]
