"""How many weights the networks of local polynomials have, and how many layers: from their sizes, part by part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class _Part:
    """Weights of a part, and the level on which its last unit stands."""

    n_params: int
    level: int


def count(settings: Mapping[str, Any]) -> int:
    """Weights and biases of the network, carries included.

    Args:
        settings: ``cells``, ``degree``, ``dim``, ``steps`` and, for d = 1, ``words``.
    """
    return _whole(settings).n_params


def depth(settings: Mapping[str, Any]) -> int:
    """Hidden layers of the network."""
    return _whole(settings).level


def _whole(settings: Mapping[str, Any]) -> _Part:
    cells, k, steps = int(settings["cells"]), int(settings["degree"]), [int(m) for m in settings["steps"]]
    a = cells.bit_length()
    tent = 5 * a  # three weights, five for each further step, two to read the last pair into one unit on level a + 1
    if int(settings["dim"]) == 1:
        read, levels = _line(cells, k, int(settings["words"]))
        along = _along(levels, steps)
        return _Part(tent + read + along.n_params + along.level - (a + 1), along.level)
    read, rows = _plane(cells, k)
    inner = [_along(levels, steps[:k]) for levels in rows]
    outer = _along([part.level + 1 for part in inner], steps[k:])
    # The place on either axis is carried from level a + 1 to where it is read last.
    carried = outer.level - (a + 1) + max(part.level for part in inner) - (a + 1)
    return _Part(2 * tent + read + sum(part.n_params for part in inner) + outer.n_params + carried, outer.level)


def _chain(n_bits: int, first_bit: int, *, shifted: bool) -> int:
    """Weights of a chain of digits of which those from ``first_bit`` on are used as bits, the others as a number.

    A digit takes a number that is kept (2 weights), two units of a ramp (3 and 3), the bit (2), and a carry of what is
    kept (1); the first one reads a single unit (one weight less for each of three), and a shift is a bias of what is
    kept. After the last bit nothing is kept.
    """
    total = 11 * n_bits - 3 + (1 if shifted else 0)
    if n_bits > first_bit:
        total -= 3 if n_bits > 1 else 3 if shifted else 2
    return total


def _gates(n_entries: int, n_bits: int, entry: int) -> int:
    """Weights that pick one of several formulas of ``entry`` weights each, as a unit; ``entry`` counts the constant.

    A gate takes the two formulas, the bit twice, and a constant where the formula has none; it is read by 2 weights. A
    formula without a partner is passed on by one unit.
    """
    full, last, total, constant = entry, entry, 0, 0
    for _ in range(n_bits):
        pairs, alone = divmod(n_entries, 2)
        if pairs:
            second = full if alone else last
            total += (pairs - 1) * (2 * full + 2 + constant) + full + second + 2 + constant
        if alone:
            total += last
        n_entries = pairs + alone
        last, full = 1 if alone else 2, 2
        constant = 1
    return total + last


def _line(cells: int, k: int, words: int) -> tuple[int, list[int]]:
    """Weights of chains, tables and gates for d = 1, and the level of each entry."""
    a, picks = cells.bit_length(), words.bit_length() - 1
    lead, total = a - 1 - picks, 0
    levels = []
    for shifted, n_bits, kinds in ((True, a - 1, [0]), (False, a if k > 1 else a - 1, list(range(1, k + 1)))):
        gates = n_bits - lead
        hinges_on = max(2 * n_bits, 2 * lead + 2)
        n_groups = -(-(cells // 2 + 1) // words)
        total += _chain(n_bits, lead, shifted=shifted)
        total += (4 if shifted else 3) + hinges_on - (2 * lead + 2)  # the index, and its carries
        total += 3 * gates * (gates - 1) // 2  # each bit waits three levels more than the one after it
        total += 2 * (n_groups - 1) - 1
        for kind in kinds:
            own = picks + (kind > 1)
            total += _gates(1 << own, own, n_groups)
            levels.append(hinges_on + own + 1)
    return total + 2 * lead, levels  # x is carried to where the indices are formed


def _plane(cells: int, k: int) -> tuple[int, list[list[int]]]:
    """The same for d = 2; levels by kinds along the first axis, then the second."""
    a = cells.bit_length()
    n_bits, hinges_on = (a if k > 1 else a - 1), 2 * a + 2
    total = _chain(a - 1, 0, shifted=True) + _chain(n_bits, 0, shifted=False)
    total += _chain(a - 1, a - 1, shifted=True) + _chain(n_bits, n_bits, shifted=False)
    for own in (a - 1, n_bits):
        total += sum(hinges_on + own - 3 - 3 * i for i in range(own))  # bits wait for the tables
    lengths = [cells // 2 + 1, cells // 2 + 1, cells + 1]
    for sort in range(min(k, 2) + 1):
        index_on = 2 * (a if sort > 1 else a - 1) + 1
        total += (4 if sort == 0 else 3) + hinges_on - index_on - 1 + 2 * (lengths[sort] - 1) - 1
    for p in range(k + 1):
        for q in range(k + 1):
            total += _gates(lengths[min(p, 2)], a if p > 1 else a - 1, lengths[min(q, 2)])
    own_bits = [a if p > 1 else a - 1 for p in range(k + 1)]
    return total + 2 * n_bits, [[hinges_on + own + 1] * (k + 1) for own in own_bits]


def _along(levels: Sequence[int], steps: Sequence[int]) -> _Part:
    """Weights of the products along one axis and of the carries of the entries, those of ``tau`` left out.

    A product takes ``16 m + 2`` weights if the unit or output that reads it is counted in, three more by ``1 - tau``,
    and ``m + 1`` levels. What reads it also reads an entry (or two: ``v_1`` and ``v_0``), ``tau``, and a constant.

    Args:
        levels: Levels of the entries ``v_0, v_1, d_0, ...``.
        steps: Steps of the k products.

    Returns:
        Their weights, and the last level that the result reads.
    """
    even, odd, *inner = levels
    total, at = 0, max(even, odd) + 1
    if inner:
        at = inner.pop()
        for m in steps[:-2]:
            at += m + 2
            total += 16 * m + 2 + 3 + at - 1 - inner.pop()
        at += steps[-2] + 2
        total += 16 * steps[-2] + 5 + 1
    total += 3 + at - 1 - odd
    end = at + 1 + steps[-1]
    return _Part(total + 16 * steps[-1] + 2 + 3 + end - even, end)
