"""Three rules that keep bounds on steep ramps finite, where chords with remainders alone blow up.

On an index ramp a table interpolates between two code words and the decoder reads garbage: exponentially many pieces,
of which only the size matters. Nothing is read from labels; the rules look for patterns in the weights.

1. *One form.* ReLU units whose rows are the same up to a factor ``+-2^e`` are functions of one number ``q``:
   ``relu(a_k q + b_k)``. A sum of them is a piecewise-linear function of ``q``, so over ``q`` in ``[s, t]`` it lies
   between the least and the largest of its values at ``s``, ``t`` and the kinks ``-b_k / a_k`` in between. The tent
   map ``4 z - 8 relu(z - 1/2)`` is at most 2 however often it is applied, where chords lose a factor at each step.
2. *Pair.* ``relu(p) - relu(q)`` lies between 0 and ``p - q``, ReLU being monotone and 1-Lipschitz; and ``p - q`` is
   one linear form, in which what both share has cancelled. With ``p = v + b``, ``q = v - b`` it lies between 0 and
   ``2 b``: a clipped value is at most ``b`` whatever ``v`` is. If ``D = p - q`` is within ``r`` of its chord, the pair
   is within ``r + max |chord| / 2`` of half that chord.
   Likewise ``relu(p) + relu(q) = max(0, p, q, p + q)``, ``p + q`` one linear form: gates ``relu(a - s) + relu(b - (1 -
   s))`` of a table stay within ``max(a, b, 1)`` while the bit ``s`` is somewhere between 0 and 1.
3. *Substitution.* A unit whose pre-activation has a certain sign is that pre-activation or 0, and its row takes its
   place: then ``U + clip(V - U)`` is ``V`` while the clip is idle, and what is unknown of ``U`` cancels.

Each gives a chord with a remainder that holds by itself, so the one with the least remainder may be taken, interval by
interval.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from approxrates.errors.base import UNIT, Array
from approxrates.errors.exact.columns import TINY, Column
from approxrates.errors.exact.engine import Strips
from approxrates.errors.exact.prepared import PreparedLayer, Terms, added
from approxrates.layers import ONE, Dyadic

_MOST_TERMS, _MOST_FORMS, _MOST_PATTERNS = 24, 2048, 8
_LOOSE = 2.0**-30
_UP = 1.0 + 2.0**-40
_MODERATE = 900
Chord = tuple[Array, Array]
"""Ends ``(2, n)`` and remainder ``(n,)``."""


def tightened(strips: Strips, depth: int, unit: int, column: Column) -> Column:
    """A pre-activation with the best of what the rules give."""
    row, bias = strips.layers[depth].rows[unit], strips.layers[depth].bias[unit]
    loose = ~column.sure & ~(column.rem <= _LOOSE * np.abs(column.ends).max(axis=0))
    if depth == 0 or not 2 <= len(row) <= _MOST_FORMS or not loose.any():
        return column
    if not all(map(_is_moderate, _factors(strips.layers[depth - 1], row, bias))):
        return column  # floats do not hold what the rules compute with
    plain = expanded(column)
    best = _better(plain, _in_blocks(strips, depth, row, bias))
    if len(row) <= _MOST_TERMS:
        best = _better(best, _substituted(strips, depth, row, bias))
    index = column.part.index
    sure = column.sure[index]
    ends = np.where(sure, plain[0], best[0])
    rem = np.where(sure, plain[1], best[1])
    ints = None if column.ints is None or not sure.any() else column.ints[:, index]
    return Column(strips.joins.full, ends, rem, sure, ints, column.exponent)


def _factors(below: PreparedLayer, row: Terms, bias: Dyadic | None) -> Iterator[Dyadic]:
    """All numbers that the rules round to floats."""
    for number in (bias, *(below.bias[source] for source, _ in row)):
        if number is not None:
            yield number
    for source, weight in row:
        shape = below.shape[source]
        yield weight
        if shape is not None:
            yield shape[1]


def _is_moderate(number: Dyadic) -> bool:
    """Whether a number is far from both ends of the range of floats."""
    return abs(number.bits + number.exponent) <= _MODERATE


def expanded(column: Column) -> Chord:
    """A column interval by interval."""
    index = column.part.index
    return column.ends[:, index], column.rem[index]


def _better(one: Chord, other: Chord) -> Chord:
    """The chord of less remainder, interval by interval."""
    second = (other[1] < one[1]) | np.isnan(one[1])
    return np.where(second, other[0], one[0]), np.where(second, other[1], one[1])


def _sum(chords: Sequence[Chord], constant: float, n: int) -> Chord:
    """Sum of chords and a constant, rounding counted."""
    ends, rem = np.full((2, n), constant), np.zeros(n)
    size = np.full((2, n), abs(constant))
    for own, spread in chords:
        ends, rem, size = ends + own, rem + spread, size + np.abs(own)
    return ends, (rem + (len(chords) + 4) * UNIT * size.max(axis=0) + TINY) * _UP


def _in_blocks(strips: Strips, depth: int, row: Terms, bias: Dyadic | None) -> Chord:
    """The sum with units of one form taken together (rule 1), and pairs (rule 2)."""
    below, chords = strips.layers[depth - 1], []
    forms: dict[Terms, list[tuple[int, Dyadic]]] = {}
    left: list[tuple[int, Dyadic]] = []
    for source, weight in row:
        shape = below.shape[source]
        if shape is None:
            left.append((source, weight))
        else:
            forms.setdefault(shape[0], []).append((source, weight))
    for members in forms.values():
        if 2 <= len(members) <= _MOST_FORMS:
            plain = _sum([_scaled(strips.units[s], w) for s, w in members], 0.0, strips.n)
            chords.append(_one_form(strips, depth, members, plain))
        else:
            left += members
    while left:
        source, weight = left.pop()
        single = _scaled(strips.units[source], weight)
        mate = _mate(below, source, weight, left) if len(row) <= _MOST_TERMS else None
        if mate is None:
            chords.append(single)
            continue
        other, other_weight = left.pop(mate)
        plain = _sum([single, _scaled(strips.units[other], other_weight)], 0.0, strips.n)
        rule = _pair if other_weight == -weight else _gate
        chords.append(_better(plain, rule(strips, depth, source, other, weight)))
    return _sum(chords, 0.0 if bias is None else float(bias), strips.n)


def _scaled(column: Column, weight: Dyadic) -> Chord:
    """``weight * column``, interval by interval."""
    ends, rem = expanded(column)
    factor = float(weight)
    scaled = factor * ends
    return scaled, (abs(factor) * rem + 4 * UNIT * np.abs(scaled).max(axis=0)) * _UP


def _mate(below: PreparedLayer, source: int, weight: Dyadic, left: Sequence[tuple[int, Dyadic]]) -> int | None:
    """The place of a ReLU unit of opposite weight, or else of equal weight; None if there is none."""
    if not below.relu[source]:
        return None
    for wanted in (-weight, weight):
        for place in reversed(range(len(left))):
            if left[place][1] == wanted and below.relu[left[place][0]]:
                return place
    return None


def _one_form(strips: Strips, depth: int, members: Sequence[tuple[int, Dyadic]], plain: Chord) -> Chord:
    """Rule 1: where it is better, the range of a function of one linear form, as a constant with a remainder."""
    loose = np.flatnonzero(~(plain[1] <= _LOOSE * np.abs(plain[0]).max(axis=0)))
    if not len(loose):
        return plain
    below = strips.layers[depth - 1]
    factors = np.array([float(_shape(below.shape[s])[1]) for s, _ in members])
    biases = np.array([float(below.bias[s] or Dyadic(0)) for s, _ in members])
    weights = np.array([float(w) for _, w in members])
    ends, rem = (whole[..., loose] for whole in expanded(strips.pre[members[0][0]]))
    slack = 8 * UNIT * (np.abs(ends).max(axis=0) + rem + abs(biases[0]))
    reach = np.stack([ends.min(axis=0) - rem - slack, ends.max(axis=0) + rem + slack])
    ranges = np.sort((reach - biases[0]) / factors[0], axis=0)

    def value(at: Array) -> Array:
        total = np.zeros_like(at)
        for weight, factor, bias in zip(weights, factors, biases, strict=True):
            total += weight * np.maximum(factor * at + bias, 0.0)
        return total

    kinks = -biases / factors
    values, at_kinks = value(ranges), value(kinks)
    least, most = values.min(axis=0), values.max(axis=0)
    for kink, height in zip(kinks, at_kinks, strict=True):
        inside = (ranges[0] <= kink) & (kink <= ranges[1])
        least, most = (
            np.where(inside, np.minimum(least, height), least),
            np.where(inside, np.maximum(most, height), most),
        )
    # Kinks, where they are off by rounding, move values by as much as rounding in the sum does.
    far = np.maximum(np.abs(ranges).max(axis=0), np.abs(kinks).max())
    size = far * np.abs(weights * factors).sum() + np.abs(weights * biases).sum()
    middle = 0.5 * (least + most)
    spread = (0.5 * (most - least) + 32 * len(members) * UNIT * size) * _UP
    found_ends, found_rem = plain[0].copy(), np.full(strips.n, np.inf)
    found_ends[:, loose], found_rem[loose] = middle, spread
    return _better(plain, (found_ends, found_rem))


def _shape(shape: tuple[Terms, Dyadic] | None) -> tuple[Terms, Dyadic]:
    """A shape that is known to be there."""
    if shape is None:
        raise ValueError("a row must have a shape to be grouped. Got one with too many terms. Leave it single.")
    return shape


def _pair(strips: Strips, depth: int, plus: int, minus: int, weight: Dyadic) -> Chord:
    """Rule 2 for ``weight * (relu(p) - relu(q))``."""
    below = strips.layers[depth - 1]
    difference = added([(below.rows[plus], below.bias[plus], ONE), (below.rows[minus], below.bias[minus], -ONE)])
    ends, rem = expanded(strips.formula(*difference, strips.before, 0.0))
    factor = 0.5 * float(weight)
    halves = factor * ends
    spread = 2.0 * abs(factor) * rem + np.abs(halves).max(axis=0)
    return halves, (spread + 8 * UNIT * np.abs(halves).max(axis=0)) * _UP


def _gate(strips: Strips, depth: int, one: int, other: int, weight: Dyadic) -> Chord:
    """The second half of rule 2 for ``weight * (relu(p) + relu(q))``, as a constant with a remainder."""
    below = strips.layers[depth - 1]
    together = added([(below.rows[one], below.bias[one], ONE), (below.rows[other], below.bias[other], ONE)])
    forms = [expanded(strips.formula(*together, strips.before, 0.0))]
    forms += [expanded(strips.pre[unit]) for unit in (one, other)]
    least, most = np.zeros(strips.n), np.zeros(strips.n)
    for ends, rem in forms:
        least = np.maximum(least, ends.min(axis=0) - rem)
        most = np.maximum(most, ends.max(axis=0) + rem)
    middle = 0.5 * float(weight) * (least + most)
    spread = 0.5 * abs(float(weight)) * (most - least) + 8 * UNIT * np.abs(middle)
    return np.stack([middle, middle]), spread * _UP


def _substituted(strips: Strips, depth: int, row: Terms, bias: Dyadic | None) -> Chord:
    """Rule 3: units of certain sign replaced by their rows, pattern by pattern of signs."""
    below = strips.layers[depth - 1]
    carried = strips.carried(depth - 1)
    ends, rem = np.zeros((2, strips.n)), np.full(strips.n, np.inf)
    states = [_sign(strips, source, carried[source] or not below.relu[source]) for source, _ in row]
    code = np.zeros(strips.n, dtype=np.int64)
    for state in states[:20]:
        code = 3 * code + state
    if len(states) > 20:
        return ends, rem
    patterns, counts = np.unique(code, return_counts=True)
    for pattern in patterns[np.argsort(-counts)][:_MOST_PATTERNS]:
        mask = code == pattern
        first = int(np.flatnonzero(mask)[0])
        known = [int(state[first]) for state in states]
        if not any(k == 1 for k in known):
            continue
        parts = [
            (below.rows[source], below.bias[source], weight)
            for (source, weight), k in zip(row, known, strict=True)
            if k == 1
        ]
        merged = expanded(strips.formula(*added(parts), strips.before, 0.0))
        unsure = tuple(term for term, k in zip(row, known, strict=True) if k == 2)
        rest = _in_blocks(strips, depth, unsure, bias)
        total = _sum([merged, rest], 0.0, strips.n)
        ends, rem = np.where(mask, total[0], ends), np.where(mask, total[1], rem)
    return ends, rem


def _sign(strips: Strips, source: int, active: bool) -> NDArray[np.int64]:
    """For each interval 1 where a unit is its pre-activation for certain, 0 where it is 0, 2 where that is open."""
    if active:
        return np.ones(strips.n, dtype=np.int64)
    column = strips.pre[source]
    positive = column.ends.min(axis=0) - column.rem >= 0.0
    negative = column.ends.max(axis=0) + column.rem <= 0.0
    if column.ints is not None:
        positive |= column.sure & (column.ints >= 0).all(axis=0).astype(bool)
        negative |= column.sure & (column.ints <= 0).all(axis=0).astype(bool)
    state: NDArray[np.int64] = np.where(positive, 1, np.where(negative, 0, 2)).astype(np.int64)
    return state[column.part.index]
