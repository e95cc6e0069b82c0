r"""Phases that sines read: a table of values, or of values and slopes, as the digits of one number.

For two read-outs a cell's chord from ``mid + v`` to ``mid + w`` is met at both ends by ``a sin(2 pi (p + k t)) +
a sin(2 pi (q + k t)) = R sin(2 pi k t + psi)`` with ``R sin psi = v`` and ``R cos psi = (w - v cos 2 pi k) /
sin 2 pi k``: the phases are ``psi +- arccos(R / 2a)``, in turns, and exist for ``R <= 2 a``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from approxrates.layers import Dyadic, nearest
from approxrates.target import Target

Array = NDArray[np.float64]
MOST_DIGITS = 46
"""Longest digits: float64 phases are rounded to the nearest of them."""


@dataclass(frozen=True)
class Phases:
    """Words for both copies, and what they miss.

    Attributes:
        words: For each copy its words, one for a read-out.
        digits: Bits ``b`` per entry.
        amplitude: ``a``.
        middle: ``mid``.
        turn: ``k``, turns of the phase over one cell; None for one read-out.
        bound: Bound on the sup error.
        sampled: Whether nothing is known of the target between samples.
    """

    words: tuple[tuple[Dyadic, ...], ...]
    digits: int
    amplitude: Dyadic
    middle: Dyadic
    turn: Dyadic | None
    bound: float
    sampled: bool


def encode_phases(target: Target, k: int, readouts: int, digits: int | None) -> Phases:
    """Phases for every cell of both copies, and what they miss."""
    fine = min(10, max(2, 20 - k))  # 2^fine spacings in a cell
    n, per = 2**k, 2**fine
    values = target(np.arange(n * per + 1) / (n * per))
    copies = [_cells(values, n, per, shift) for shift in (0, per // 2)]
    middle = (float(values.max()) + float(values.min())) / 2
    half = float(np.ptp(values)) / 2 or 1.0
    amplitude = Dyadic(1, math.ceil(math.log2(half * 1.01)))
    centre = nearest(middle, amplitude.exponent - 10)
    if readouts == 1:
        phases, turn = [_step_phases(c, float(centre), float(amplitude)) for c in copies], None
    else:
        phases, amplitude, turn = _sloped_phases(copies, float(centre), amplitude, k)
    between = _between(target, 1.0 / (n * per))
    rough = max(_misfit(c, p, centre, amplitude, turn) for c, p in zip(copies, phases, strict=True)) + (between or 0.0)
    if digits is None:
        wanted = rough / 16 / (math.pi * readouts * float(amplitude))
        digits = min(MOST_DIGITS, max(4, math.ceil(-math.log2(wanted)) if wanted > 0 else MOST_DIGITS))
    whole = [[_digits(theta, digits) for theta in copy] for copy in phases]
    rounding = 2 * math.pi * float(amplitude) * readouts * 2.0 ** -(digits + 1) * (1 + 2.0 ** (1 - digits))
    words = tuple(tuple(_word(entry, digits) for entry in copy) for copy in whole)
    bend = 0.0 if turn is None else (math.tau * float(turn)) ** 2 * 2 * float(amplitude) / (8.0 * per * per)
    return Phases(words, digits, amplitude, centre, turn, rough + rounding + bend, between is None)


@dataclass(frozen=True)
class _Cells:
    """Samples of the target in the cells of one copy.

    Attributes:
        values: Shape ``(n_cells, n_samples)``; repeated where a cell is cut off by the end of the interval.
        places: Place in the cell of each sample, shape ``(n_samples,)``, from 0 to 1.5.
        used: Which samples lie in the cell, shape ``(n_cells, n_samples)``.
    """

    values: Array
    places: Array
    used: NDArray[np.bool_]


def _cells(values: Array, n: int, per: int, shift: int) -> _Cells:
    """Cell ``j`` holds ``per + 1`` samples from number ``j per - shift`` on, the last one half as many more if shifted.

    All cells have the same number of columns; what does not belong to a cell is a repetition of its border sample.
    """
    columns = per + 1 + shift
    index = np.arange(n)[:, None] * per - shift + np.arange(columns)[None, :]
    last = np.arange(n)[:, None] * per - shift + per
    last[-1] = len(values) - 1
    used = (index >= 0) & (index <= last)
    return _Cells(values[np.clip(index, 0, last)], np.arange(columns) / per, used)


def _step_phases(cells: _Cells, centre: float, amplitude: float) -> list[Array]:
    """Phases of the middle of each cell's range."""
    middle = (cells.values.max(axis=1) + cells.values.min(axis=1)) / 2
    return [np.arcsin((middle - centre) / amplitude) / math.tau]


def _sloped_phases(
    copies: list[_Cells], centre: float, amplitude: Dyadic, k: int
) -> tuple[list[list[Array]], Dyadic, Dyadic]:
    """Phases of balanced chords; the amplitude grows and the turn shrinks until every slope just fits."""
    chords = [_chords(cells) for cells in copies]
    left = np.concatenate([c[0] for c in chords]) - centre
    right = np.concatenate([c[1] for c in chords]) - centre

    def cosines(amplitude: Dyadic, turn: Dyadic) -> Array:
        angle = math.tau * float(turn)
        return (right - left * math.cos(angle)) / (float(amplitude) * math.sin(angle))

    def fits(amplitude: Dyadic, turn: Dyadic) -> bool:
        return bool(np.all(np.hypot(left / float(amplitude), cosines(amplitude, turn)) <= 1.8))

    turn = Dyadic(1, -3)
    while not fits(amplitude, turn):
        amplitude = amplitude << 1
    while turn.exponent > -2 * k - 8 and fits(amplitude, turn >> 1):
        turn = turn >> 1
    sine, cosine = left / float(amplitude), cosines(amplitude, turn)
    mean, spread = np.arctan2(sine, cosine), np.arccos(np.hypot(sine, cosine) / 2)
    both = [(mean + sign * spread) / math.tau for sign in (1, -1)]
    n = len(copies[0].values)
    return [[theta[:n] for theta in both], [theta[n:] for theta in both]], amplitude, turn


def _chords(cells: _Cells) -> tuple[Array, Array]:
    """Values at places 0 and 1 of the chord of each cell, moved so that the samples lie on both sides alike."""
    per = int(np.flatnonzero(cells.places == 1.0)[0])
    first = cells.used.argmax(axis=1)
    rows = np.arange(len(first))
    start, end = cells.values[rows, first], cells.values[:, per]
    slope = (end - start) / (1.0 - cells.places[first])
    off = cells.values - (end[:, None] + slope[:, None] * (cells.places - 1.0)[None, :])
    high = np.where(cells.used, off, -np.inf).max(axis=1)
    low = np.where(cells.used, off, np.inf).min(axis=1)
    right = end + (high + low) / 2
    return right - slope, right


def _misfit(cells: _Cells, phases: list[Array], centre: Dyadic, amplitude: Dyadic, turn: Dyadic | None) -> float:
    """Largest deviation of a copy from the samples of its cells."""
    angles = np.zeros_like(cells.places) if turn is None else cells.places * float(turn)
    waves = [np.sin(math.tau * (theta[:, None] + angles[None, :])) for theta in phases]
    off = np.abs(float(centre) + float(amplitude) * sum(waves) - cells.values)
    return float(off[cells.used].max())


def _between(target: Target, spacing: float) -> float | None:
    """How far the target can be from its linear interpolant at samples; None if nothing is declared."""
    r, radius = target.regularity.smoothness, target.regularity.radius
    if target.interpolation_gap is not None and target.base == 2:
        return float(target.interpolation_gap(round(-math.log2(spacing))))
    if radius is not None and r <= 1.0:
        return radius * math.pow(spacing / 2, r)
    if radius is not None and r <= 2.0:
        return radius * math.pow(spacing, r) / 2
    return None


def _digits(theta: Array, digits: int) -> NDArray[np.int64]:
    """Digits ``t_n`` in base ``B = 2^digits`` with ``0.t_n t_{n+1} ...`` within half a unit of ``theta_n``, modulo 1.

    From the last one back: a digit is the nearest whole number to ``B theta_n`` less what follows it. That must be the
    digits themselves: near a whole number of turns they can lie on the other side of it than ``theta_{n+1}``, which is
    the same phase for entry ``n + 1`` and a whole unit for entry ``n``.
    """
    base, after = 1 << digits, 0.0
    found = []
    for wanted in np.ldexp(theta % 1.0, digits)[::-1].tolist():
        digit = round(wanted - after) % base
        after = (digit + after) / base
        found.append(digit)
    return np.array(found[::-1], dtype=np.int64)


def _word(entries: NDArray[np.int64], digits: int) -> Dyadic:
    """``C``: the digits behind one another as bytes, divided by the base."""
    bits = (entries[:, None] >> np.arange(digits - 1, -1, -1)) & 1
    joined = np.packbits(bits.astype(np.uint8).ravel())
    spare = 8 * len(joined) - digits * len(entries)
    return Dyadic(int.from_bytes(joined.tobytes(), "big") >> spare, -digits)
