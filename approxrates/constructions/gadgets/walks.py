"""Reading packed words: index to word, word to value and code, code to a walk.

*Packed word.* ``value + 2^-q code`` with ``value`` a multiple of ``2^-q`` and ``code`` in ``[0, 1]``: the word itself
is the value, off by ``2^-q`` at most, and ``q`` tents ``T^q`` peel the value off, because ``T^q`` has the period
``2^(1-q)`` and is ``2^q u`` on its first half and mirrored on the other. So a table of words is a table of values for
nothing.

*Code.* See :mod:`approxrates.constructions.gadgets.words`: the tent of slope 4 reads digit after digit.
"""

from __future__ import annotations

from collections.abc import Sequence

from approxrates.constructions.gadgets.floors import Digits
from approxrates.constructions.gadgets.tables import bank, select
from approxrates.constructions.graph import Affine, Graph
from approxrates.layers import HALF, Dyadic


def packed(value: int, code: Dyadic, bits: int) -> Dyadic:
    """``value 2^-bits`` and a code after it, upside down where the tents that peel the value off turn it."""
    return ((1 - code if value % 2 else code) + value) << -bits


def word_at(graph: Graph, t: Affine, digits: Digits, n_bits: int, words: int, table: Sequence[Dyadic]) -> Affine:
    """Entry ``floor(2^n_bits t)`` of a table of numbers in ``[0, 1]``, as a unit.

    Args:
        graph: Where the units go.
        t: The number.
        digits: Its bits; those from ``n_bits - log2 words`` on are units.
        n_bits: Bits of the index, more than ``log2 words``.
        words: Entries per hinge, a power of two.
        table: At least ``words + 1`` and at most ``2^n_bits`` entries; the last is repeated to fill the last group.

    The leading bits' index is made a unit first, so that a hinge costs two weights; the hinges stand where the last
    selecting bit is ready, so that none of them is carried.
    """
    picks = words.bit_length() - 1
    lead = n_bits - picks
    index = graph.relu((t << lead) - digits.remainders[lead - 1])
    full = [*table, *[table[-1]] * (-len(table) % words)]
    bits = [bit for bit in digits.bits[lead:n_bits] if bit is not None]
    entries = bank(graph, index, [full[k::words] for k in range(words)], graph.level(*bits))
    chosen = select(graph, entries, bits)
    return graph.relu(chosen) if picks else chosen


def walk(graph: Graph, code: Affine, left: Affine, steps: int) -> Affine:
    """``sum_{i < j} z_i + relu(z_j - 1 + y - j)``, ``y = steps - left``, ``j = floor(y)``: a walk's climb up to ``y``.

    Args:
        graph: Where the units go.
        code: The word of the digits, in ``[0, 1]``; its first digit is the walk's last.
        left: A unit: how many steps are left to the end of the walk.
        steps: Digits, at least 2.

    Stage ``i`` reads digit ``z`` and adds ``relu(walk + z - held)``, ``held = relu(left - i)``. While ``held >= 1``
    nothing counts; at the one stage with ``0 < held < 1`` a share of the digit does; from then on ``held = 0``. Five
    units and ten weights a stage, and the carries of whatever waits.

    *Garbage.* A code that is no word still gives ``z`` in ``[0, 2]``, because the tent ``4 z - 8 relu(z - 1/2)`` is at
    most 2 and is cut at 0; the last digit is capped at 1. So the walk is 0 wherever ``left >= steps + 1/64``, whatever
    the code: then ``held > 2`` at all stages but the last, and ``held > 1`` there. It is never above ``2 steps``.
    """
    if steps < 2:
        raise ValueError(f"steps must be at least 2. Got steps={steps}. Write steps=2 or more.")
    z, w, held = graph.relu(code), graph.relu(code - HALF), left
    total = graph.relu(z - held)
    for stage in range(1, steps):
        tent = (z << 2) - (w << 3)
        last = stage == steps - 1
        z, w = graph.relu(tent), graph.relu(tent - (1 if last else HALF))
        held = graph.relu(held - 1)
        total = graph.relu(total + z - held - w if last else total + z - held)
    return total
