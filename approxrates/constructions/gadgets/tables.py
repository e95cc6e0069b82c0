"""Tables: values by an integer index, side by side (one hinge per entry) or one after the other at fixed width.

A table on ``0..n-1`` is the linear interpolant of its entries: ``v_0`` plus hinges at the integers weighted by second
differences. Several tables over one index share the hinges. ``words`` entries of neighbouring cells sit in tables over
the leading bits of the index, and a tree of gates driven by the last bits picks one: a hinge then serves ``words``
entries. Index ramps only interpolate between neighbouring entries, so outputs stay within the range of the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from approxrates.constructions.gadgets.floors import floor_chain
from approxrates.constructions.graph import Affine, Graph, combination
from approxrates.layers import Dyadic

Table = Sequence[Dyadic]


def bank(graph: Graph, index: Affine, tables: Sequence[Table], level: int = 0) -> list[Affine]:
    """Tables over a common integer index ``0..n-1``, one formula each: ``n - 1`` hinges on one level.

    ``2 (n - 1) - 1`` weights and biases for hinges that read one unit, and ``n`` for each table where it is read.
    """
    n_entries = len(tables[0])
    if n_entries == 1:
        return [combination((), table[0]) for table in tables]
    hinges = [graph.relu(index - k, level) for k in range(n_entries - 1)]
    read: list[Affine] = []
    for table in tables:
        slopes = [after - before for before, after in pairwise(table)]
        bends = [slopes[0], *(after - before for before, after in pairwise(slopes))]
        read.append(combination(zip(hinges, bends, strict=True), table[0]))
    return read


def select(graph: Graph, entries: Sequence[Affine], bits: Sequence[Affine], ceiling: Dyadic | int = 1) -> Affine:
    """The entry whose number the bits spell, leading bit first, for entries in ``[0, ceiling]``.

    A gate is ``relu(a - ceiling bit) + relu(b - ceiling (1 - bit))``: two units, seven weights. With bits in ``[0, 1]``
    its value stays in ``[0, ceiling]``, at most ``(1 - bit) ceiling + bit ceiling``. Entries may be fewer than ``2^n``
    for n bits: the last ones are then never asked for, and one without a partner is passed on by a unit of its own.
    """
    if not bits:
        return graph.relu(entries[0])
    current = list(entries)
    for bit in reversed(bits):
        pairs = zip(current[::2], current[1::2], strict=False)
        alone = current[-1:] if len(current) % 2 else []
        current = [graph.relu(a - bit * ceiling) + graph.relu(b - (1 - bit) * ceiling) for a, b in pairs]
        current += [graph.relu(a) for a in alone]
    return current[0]


def lookup(
    graph: Graph,
    t: Affine,
    n_bits: int,
    ramp: int,
    tables: Sequence[Table],
    words: int = 1,
    level: int = 0,
    ceilings: Sequence[Dyadic | int] | None = None,
) -> list[Affine]:
    """Entry ``floor(2^n_bits t)`` of each table, for ``t`` in ``[0, 1)``; entries from 0 to the ceilings (default 1).

    Args:
        graph: Where the units go.
        t: The number whose leading bits are the index.
        n_bits: Bits of the index, at least 1.
        ramp: As for :func:`floor_chain`.
        tables: Entries in order; all of one length, at most ``2^n_bits``; missing last entries are never reached.
        words: Entries that share a hinge: a power of two below ``2^n_bits``.
        level: First level of the floor chain.
        ceilings: Upper bound of each table's entries, for gates.
    """  # fmt: skip
    picks = words.bit_length() - 1
    lead = n_bits - picks
    digits = floor_chain(graph, t, n_bits if picks else lead, ramp, level, first_bit=lead)
    index = (t << lead) - digits.remainders[lead - 1]
    bits = [bit for bit in digits.bits[lead:] if bit is not None]
    n_groups = -(-len(tables[0]) // words)
    padded = [[*table, *[table[-1]] * (n_groups * words - len(table))] for table in tables]
    columns = [[table[group * words + k] for group in range(n_groups)] for table in padded for k in range(words)]
    ready = graph.level(index, *bits)
    with graph.part("table"):
        read = bank(graph, index, columns, max(ready - 1, 1) if picks else 0)
        tops = [1] * len(tables) if ceilings is None else ceilings
        return [select(graph, read[k * words : (k + 1) * words], bits, top) for k, top in enumerate(tops)]


def serial_bank(
    graph: Graph, index: Affine, tables: Sequence[Table], per_level: int, level: int
) -> tuple[list[Affine], int]:
    """Tables over an integer-valued unit, ``per_level`` entries at a time: fixed width, length ``n / per_level``.

    Each level adds the steps ``(v_k - v_{k-1}) (relu(i - k + 1) - relu(i - k))`` to running values that stay within
    the range of the table, so they are carried as they are; entries must not be negative. Units in use: ``per_level +
    1`` hinges, one running value per table, and the index.

    Returns:
        One formula per table, and the first free level.
    """
    n_entries = len(tables[0])
    running = [combination((), table[0]) for table in tables]
    for first in range(1, n_entries, per_level):
        steps = range(first, min(n_entries, first + per_level))
        hinges = [graph.relu(index - k, level) for k in range(first - 1, steps[-1] + 1)]
        moved = []
        for value, table in zip(running, tables, strict=True):
            jumps = [table[k] - table[k - 1] for k in steps]
            bends = [jumps[0], *(b - a for a, b in pairwise(jumps)), -jumps[-1]]
            moved.append(graph.relu(value + combination(zip(hinges, bends, strict=True)), level + 1))
        running, level = moved, level + 1
    return running, level + 1
