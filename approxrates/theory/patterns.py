r"""How many sign patterns a network with real weights can show: Warren's bound, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Sequence


def log2_sign_patterns(
    widths: Sequence[int], n_functionals: float, *, n_points: int = 3, dim: int = 1, breakpoints: int = 1,
    degree: int = 1,
) -> float:  # fmt: skip
    r"""Bits of sign patterns: no more than ``2^(this)`` patterns of ``m`` functionals, whatever the real weights are.

    The networks are dense with hidden layers of ``k_1, ..., k_L`` units, one output and biases; each of the ``m``
    functionals is a fixed linear combination of the values at ``n_points`` points. Layer by layer, the weight space is
    cut into parts on which every unit keeps its piece at every point; there the values before the activation of layer
    ``i`` are polynomials of degree ``D_i`` in the ``W_i`` weights up to it (``D_1 = 1``, ``D_(i+1) = q D_i + 1`` for
    pieces of degree ``q``; ``D_i = i`` for ReLU). ``n`` polynomials of degree ``D`` in ``W <= n`` variables have at
    most ``2 (2 e n D / W)^W`` sign patterns, and at most ``2^n`` in any case. With ``n = t k_i n_points m`` for ``t``
    break-points per unit, and ``n = m`` for the functionals themselves, the product over the layers bounds all.

    Args:
        widths: ``k_1, ..., k_L``.
        n_functionals: ``m``; a whole number, as a float if large.
        n_points: Points of each functional.
        dim: Input dimension.
        breakpoints: ``t``: 1 for ReLU and leaky ReLU, 2 for hard tanh.
        degree: ``q``: largest degree of a piece; 1 for piecewise-linear activations, 0 for steps.

    Raises:
        ValueError: If there is no hidden layer, or a number is out of range.

    Example:
        >>> round(log2_sign_patterns([1], 1)), round(log2_sign_patterns([8], 2.0**14))
        (1, 594)

    Reference:
        Warren (1968), Trans. AMS 133, 167-178, in the form of Anthony & Bartlett (1999), Thm 8.3; the induction is that
        of Bartlett, Harvey, Liaw & Mehrabian (2019), arXiv:1703.02930, Thm 7 (numbers recalled). Written out in
        ``docs/theory.md``.
    """
    if not widths or min(widths) < 1:
        raise ValueError(f"widths must be positive numbers of units. Got {list(widths)}. Write e.g. widths=[12, 12].")
    for name, value, least in (
        ("n_functionals", n_functionals, 1), ("n_points", n_points, 1), ("dim", dim, 1),
        ("breakpoints", breakpoints, 1), ("degree", degree, 0),
    ):  # fmt: skip
        if not value >= least:
            raise ValueError(f"{name} must be at least {least}. Got {name}={value}. Write e.g. {name}={least}.")
    total, n_weights, n_inputs = 0.0, 0, dim
    log_degree = 0.0
    for width in widths:
        n_weights += (n_inputs + 1) * width
        total += _warren(n_weights, breakpoints * width * n_points * float(n_functionals), log_degree)
        # D -> q D + 1 in logarithms: D grows like q^L, beyond any float.
        log_degree = log_degree + math.log2(degree + 2.0**-log_degree) if degree else 0.0
        n_inputs = width
    total += _warren(n_weights + n_inputs + 1, float(n_functionals), log_degree)
    return min(total, float(n_functionals))


def _warren(n_variables: int, n_polynomials: float, log_degree: float) -> float:
    """``log2`` of the bound on sign patterns; ``log_degree`` is ``log2`` of the degree."""
    if n_polynomials < n_variables:
        return n_polynomials
    exponent = math.log2(2 * math.e * n_polynomials / n_variables) + log_degree
    return min(n_polynomials, 1 + n_variables * exponent)
