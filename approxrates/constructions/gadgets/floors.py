"""Binary digits of a number by ReLU: the cell index of a point, exact but for narrow ramps left of the cell borders.

For ``t`` in ``[0, 1)`` the leading bit is a steep ramp ``relu(K t - K/2 + 1) - relu(K t - K/2)``: 0 up to
``1/2 - 1/K``, 1 from ``1/2`` on, and the remainder is ``2 t - bit``. The ramps of all bits are ``2^-ramp`` wide in the
variable that the chain started from, so the slope halves from bit to bit. The remainder is made of ``2 relu(t)`` minus
the ramp and is a unit of its own: everything after it depends on few numbers, which keeps exact evaluation fast.
"""

from __future__ import annotations

from dataclasses import dataclass

from approxrates.constructions.graph import Affine, Graph


@dataclass(frozen=True)
class Digits:
    """Leading bits of a number.

    Attributes:
        remainders: After each bit, what is left, scaled back to ``[0, 1)``; one unit each, or a formula if settled.
        bits: Each bit as a unit of its own where it was asked for, else None.
    """

    remainders: tuple[Affine, ...]
    bits: tuple[Affine | None, ...]


def floor_chain(
    graph: Graph,
    t: Affine,
    n_bits: int,
    ramp: int,
    level: int = 0,
    first_bit: int | None = None,
    *,
    settled: bool = False,
) -> Digits:
    """The leading ``n_bits`` bits of ``t`` in ``[0, 1)``.

    Args:
        graph: Where the units go.
        t: The number.
        n_bits: How many bits.
        ramp: The ramps are ``2^-ramp`` wide, measured in ``t``, to the left of the break-points; ``ramp > n_bits``.
        level: First level.
        first_bit: Bits from this one on become units; None for none.
        settled: Every bit becomes a unit before the remainder is formed, three weights more for each. In float64 a
            remainder that is made of two steep ramps loses as many digits as these are steep; so this is right for
            networks that shall be evaluated in float64. Remainders are formulas then, ``2 kept - bit``.
    """
    remainders: list[Affine] = []
    bits: list[Affine | None] = []
    for i in range(n_bits):
        slope = ramp - i
        here = level if i == 0 else 0
        kept = graph.relu(t, here)
        rises = graph.relu((t << slope) - ((1 << slope - 1) - 1), here)
        levels_off = graph.relu((t << slope) - (1 << slope - 1), here)
        asked = first_bit is not None and i >= first_bit
        bit = graph.relu(rises - levels_off) if settled or asked else None
        t = 2 * kept - bit if settled and bit is not None else graph.relu(2 * kept - rises + levels_off)
        remainders.append(t)
        bits.append(bit if asked else None)
    return Digits(tuple(remainders), tuple(bits))
