"""An activation made of polynomials: values, derivative and exact values follow from their coefficients."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from approxrates.activations.base import Activation, Family, polynomials


def piecewise_polynomial(name: str, breakpoints: Sequence[float], pieces: Sequence[Sequence[Any]]) -> Activation:
    """A continuous activation given by its polynomials.

    Args:
        name: Its name.
        breakpoints: Where one polynomial ends and the next begins, ascending; at least one.
        pieces: Coefficients of each polynomial in ``t``, constant term first; one more than there are break-points.

    Raises:
        ValueError: If the numbers of pieces and break-points do not fit, or the pieces do not meet.

    Example:
        >>> hinge4 = piecewise_polynomial("hinge4", [0], [[0], [0, 0, 0, 0, 1]])
        >>> hinge4.exact(Fraction(3, 2)), hinge4.degree
        (Fraction(81, 16), 4)
    """
    rows = polynomials(*(tuple(piece) for piece in pieces))
    degree = max(max((k for k, c in enumerate(row) if c), default=0) for row in rows)
    family = (
        Family.PIECEWISE_LINEAR
        if degree == 1
        else Family.PIECEWISE_POLYNOMIAL
        if degree > 1
        else Family.PIECEWISE_CONSTANT
    )
    slopes = _differentiated(rows)
    marks = tuple(float(b) for b in breakpoints)
    if not marks:
        raise ValueError("breakpoints must hold at least one number. Got none. A polynomial is no activation.")

    def pieced(coefficients: tuple[tuple[Fraction, ...], ...]) -> Any:
        floats = [[float(c) for c in row] for row in coefficients]

        def values(z: Any, xp: Any) -> Any:
            result = _horner(floats[0], z)
            for mark, row in zip(marks, floats[1:], strict=True):
                result = xp.where(z >= mark, _horner(row, z), result)
            return result

        return values

    made = Activation(
        name,
        family,
        pieced(rows),
        pieced(slopes) if degree else None,
        degree,
        marks,
        pieces=rows,
        curvature=pieced(_differentiated(slopes)) if degree else None,
    )
    for index, mark in enumerate(Fraction(b) for b in marks):
        left, right = (sum(c * mark**k for k, c in enumerate(rows[i])) for i in (index, index + 1))
        if left != right and degree > 0:
            raise ValueError(
                f"pieces must meet at every break-point. At {float(mark)} they give {float(left)} and {float(right)}."
            )
    return made


def _differentiated(rows: tuple[tuple[Fraction, ...], ...]) -> tuple[tuple[Fraction, ...], ...]:
    """Coefficients of the derivatives, constant term first."""
    return tuple(tuple(k * c for k, c in enumerate(row))[1:] or (Fraction(0),) for row in rows)


def _horner(row: Sequence[float], z: Any) -> Any:
    """A polynomial, constant term first, at ``z``."""
    value = z * 0 + row[-1]
    for coefficient in reversed(row[:-1]):
        value = value * z + coefficient
    return value
