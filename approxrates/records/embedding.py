"""Which network is contained in which, and where a larger one errs more than it has to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates import activations
from approxrates.records.growth import DOUBLE_BITS, is_known, number
from approxrates.records.pairing import paired_by_draw

Row = Mapping[str, Any]
Array = NDArray[np.float64]
Shape = tuple[int, int]
"""Width and depth."""


def shape_of(row: Row) -> Shape | None:
    """Width and depth of a run; None where they are not known."""
    width, depth = number(row.get("width")), number(row.get("depth"))
    return (int(width), int(depth)) if width >= 1 and depth >= 1 else None


def fits_into(small: Shape, large: Shape) -> bool:
    """Whether networks of one shape are contained in those of another, the units being the same.

    Units that are not needed get weights zero, and layers that are not needed carry their values on: exactly with units
    that leave positive numbers alone, to any accuracy with units that have a derivative other than zero somewhere.
    """
    return small[0] <= large[0] and small[1] <= large[1]


def is_hinge(activation: str) -> bool:
    """Whether units have one kink, at zero, and leave positive numbers alone: relu, leaky_relu, abs."""
    if not is_known(activation):
        return False
    unit = activations.get(activation)
    if unit.parts or unit.period or unit.degree != 1 or unit.breakpoints != (0.0,):
        return False
    left, right = (float(unit(np.array([t]))[0] / t) for t in (-1.0, 1.0))
    return right == 1.0 and left != 1.0


def holds(shape: Shape, activation: str, options: str, row: Row) -> bool:
    """Whether networks of a shape can do what the approximant of a run does, so that its error bounds their best.

    Two rules. A network of the same units, and of the same links or none beside injection, no wider and no deeper, with
    weights that a float holds, is contained. On the line, ``depth (width - 2)`` hinges make every continuous function
    of one more linear pieces, of whatever origin: that is the constructive start.

    Args:
        shape: Width and depth.
        activation: Units of the networks.
        options: Links and biases of the networks, as the column ``architecture_options`` tells them.
        row: A flat row, of a run of any method.
    """
    if number(row.get("max_bits")) > DOUBLE_BITS:
        return False
    own, links = shape_of(row), str(row.get("architecture_options") or "")
    linked = links == options or (links == "" and options == "injection")  # whose further weights may be zero
    alike = row.get("method") != "reference" and str(row.get("activation")) == activation and linked
    if alike and own is not None and fits_into(own, shape):
        return True
    width, depth = shape
    if number(row.get("dim") or 1) != 1 or width < 3 or options not in ("", "injection"):
        return False
    return 1 <= number(row.get("pieces")) <= depth * (width - 2) + 1 and is_hinge(activation)


def rises(errors: Array, shapes: Sequence[Shape | None], least: float, level: float) -> NDArray[np.bool_]:
    """Sizes whose error exceeds that of a network contained in them, by more than chance.

    Their best error is at most that of the smaller one, so what is above it is the optimiser's. Every size is compared
    with all that it contains, at the level shared out evenly among them (Bonferroni).

    Args:
        errors: Errors of the family, shape ``(draws, k, replicas)``.
        shapes: Width and depth at each size, length ``k``.
        least: Smallest ratio that matters.
        level: Of the one-sided test, paired by draw.
    """
    found = np.zeros(len(shapes), dtype=bool)
    for j, large in enumerate(shapes):
        inside = [
            i
            for i, small in enumerate(shapes)
            if i != j and small is not None and large is not None and small != large and fits_into(small, large)
        ]
        ratios = (paired_by_draw(errors[:, j], errors[:, i]) for i in inside)
        found[j] = any(ratio.exceeds(least, level / len(inside)) for ratio in ratios)
    return found
