"""What theory says: the phase diagram, the resource law and certified curves, as pure functions."""

from approxrates.theory.curves import (
    bits_level,
    bits_lower_curve,
    continuous_lower_curve,
    description_level,
    description_lower_curve,
    dyadic_interpolation_upper_curve,
    free_knot_lower_curve,
    real_weights_level,
    real_weights_lower_curve,
)
from approxrates.theory.diagram import (
    CEILINGS,
    Smooth,
    ceiling,
    classical_rate,
    deep_rate,
    depth_limited_rate,
    depth_term,
    feasible_rate,
    required_depth_exponent,
    resource_law,
)
from approxrates.theory.patterns import log2_sign_patterns

__all__ = [
    "CEILINGS",
    "Smooth",
    "bits_level",
    "bits_lower_curve",
    "ceiling",
    "classical_rate",
    "continuous_lower_curve",
    "deep_rate",
    "depth_limited_rate",
    "depth_term",
    "description_level",
    "description_lower_curve",
    "dyadic_interpolation_upper_curve",
    "feasible_rate",
    "free_knot_lower_curve",
    "log2_sign_patterns",
    "real_weights_level",
    "real_weights_lower_curve",
    "required_depth_exponent",
    "resource_law",
]
