"""Repetitions in the layers of a deep network: what makes hundreds of them readable."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

_LONGEST = 12
"""Longest block of layers whose repetition is looked for."""


@dataclass(frozen=True)
class Run:
    """A block of ``period`` neighbouring items that stands ``repeats`` times in a row, beginning at ``start``."""

    start: int
    period: int
    repeats: int

    @property
    def stop(self) -> int:
        """The first index after the run."""
        return self.start + self.period * self.repeats


def runs(items: Sequence[Hashable]) -> list[Run]:
    """Items as runs of repeated blocks, in order and without gaps.

    From left to right the block is taken that covers most items by repetition, the shortest one of these; an item that
    begins no repetition is a run of its own. A block of several items counts from three repetitions on.

    Example:
        >>> [(run.start, run.period, run.repeats) for run in runs("abbbbcdcdcd")]
        [(0, 1, 1), (1, 1, 4), (5, 2, 3)]
    """
    found, start = list[Run](), 0
    while start < len(items):
        best = Run(start, 1, _repeats(items, start, 1))
        for period in range(2, _LONGEST + 1):
            repeats = _repeats(items, start, period)
            if repeats >= 3 and period * repeats > best.repeats * best.period:
                best = Run(start, period, repeats)
        found.append(best)
        start = best.stop
    return found


def _repeats(items: Sequence[Hashable], start: int, period: int) -> int:
    """How often the block of ``period`` items at ``start`` stands there in a row."""
    end = start + period
    while end < len(items) and items[end] == items[end - period]:
        end += 1
    return max(1, (end - start) // period)
