r"""Parts of networks whose cells are walked from even knots to odd ones, and what they cost.

``N = 2^a`` cells of ``M`` steps. The triangle wave ``T^a(x)`` is 0 at even knots and 1 at odd ones; the position in
steps is ``relu((M + dead) T^a(x) - dead)``, 0 in a dead zone around each even knot and ``M`` at odd knots.
"""

from __future__ import annotations

from collections.abc import Sequence

from approxrates.constructions.gadgets.floors import floor_chain
from approxrates.constructions.gadgets.sawtooth import tent_chain
from approxrates.constructions.gadgets.tables import bank, select
from approxrates.constructions.graph import Affine, Graph
from approxrates.layers import Dyadic


def position(graph: Graph, x: Affine, cell_bits: int, steps: int, dead: Dyadic, level: int) -> Affine:
    """Steps from the dead zone of the even knot, a unit on a given level: ``5 a + 1`` weights if ``x`` is one unit."""
    with graph.part("position"):
        triangle = tent_chain(graph, x, cell_bits, level - cell_bits)
        return graph.relu(triangle * (dead + steps) - dead, level)


def position_count(cell_bits: int) -> int:
    """Parameters of :func:`position`."""
    return 5 * cell_bits + 1


def ending_lookup(
    graph: Graph, t: Affine, n_bits: int, ramp: int, table: Sequence[Dyadic], words: int, last: int, ceiling: Dyadic
) -> Affine:
    """Entry ``floor(2^n_bits t)`` of a table, its gates ending on level ``last``; entries from 0 to below the ceiling.

    As :func:`approxrates.constructions.gadgets.tables.lookup`, but the index is one unit, which saves a weight per
    hinge, and the hinges stand next to the gates, so that one index is carried and not all of them.

    Args:
        graph: Where the units go.
        t: A number in ``[0, 1]``.
        n_bits: Bits of the index.
        ramp: Ramps are ``2^-ramp`` wide, measured in ``t``.
        table: At most ``2^n_bits`` entries; at least two groups of ``words``.
        words: Entries that share a hinge: a power of two from 2 to ``2^(n_bits - 1)``.
        last: Level of the last gates, two units whose sum is the entry.
        ceiling: Strict upper bound of the entries.
    """
    picks = words.bit_length() - 1
    lead, start = n_bits - picks, last + 1 - 2 * n_bits - picks
    digits = floor_chain(graph, t, n_bits, ramp, start, first_bit=lead)
    index = graph.relu((t << lead) - digits.remainders[lead - 1])
    groups = -(-len(table) // words)
    padded = [*table, *[table[-1]] * (groups * words - len(table))]
    read = bank(graph, index, [padded[k::words] for k in range(words)], last - picks)
    return select(graph, read, [bit for bit in digits.bits[lead:] if bit is not None], ceiling)


def ending_lookup_count(n_bits: int, words: int, n_entries: int) -> int:
    """Parameters of :func:`ending_lookup` up to its gates, if ``t`` is one unit; two more if ``t`` has a constant.

    Bits: 8 weights each, and 2 more where the bit itself is a unit; the last remainder is not made, which saves 4.
    Hinges: 2 for the index and its carries, then a weight and a bias each. Gates: every entry once, then 7 weights per
    pair, and the carries of bits, of which the ``j``-th from the end waits for ``3 j`` levels.
    """
    picks, groups = words.bit_length() - 1, -(-n_entries // words)
    chain = 8 * n_bits + 2 * picks - 4
    hinges = 2 + (2 * picks - 2) + 2 * (groups - 1) - 1
    gates = words * (groups + 1) + 7 * (words // 2 - 1) + 3 * picks * (picks - 1) // 2
    return chain + hinges + gates


def index_level(words: int, last: int) -> int:
    """Level of the index of :func:`ending_lookup`, the last one that reads ``t``."""
    return last + 1 - 3 * (words.bit_length() - 1)
