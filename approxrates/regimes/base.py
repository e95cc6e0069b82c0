"""What the labelling of regimes speaks of: the regimes, the numbers of the criteria, intervals."""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from typing import Any


class Regime(StrEnum):
    """What training is doing."""

    TRANSIENT = "early transient"
    SATURATION = "intermediate saturation"
    SHARPENING = "progressive sharpening"
    EDGE = "edge of stability"
    UNDECIDED = "undecided"


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """The numbers of the criteria; their meaning is that of the text above, their merits are in the tests.

    Attributes:
        bin_width: Width of a bin of ``ln(1 + step)``; 0.1 is a tenth of the time passed.
        enter: Relative distance to ``2 / eta`` that a run at the edge must come within. Measured means at the edge are
            within 0.01 of it, single medians within 0.1.
        stay: Relative distance that it must keep; larger, for the first swing overshoots.
        least_steps: The edge swings with periods of tens of steps; a shorter stay is a passage.
        least_span: Ratio of last to first step of a run at the edge.
        reaching: Share of its records that reach ``2 / eta``.
        reach: Relative distance below ``2 / eta`` from which on a record has reached it: measured means at the edge are
            within 0.03 of it, those of ReLU networks below.
        model_error: Least noise of the log sharpness for the cutting: no smooth curve is asked to be straighter.
        price: Of a piece, in variances of the noise, times the logarithm of the number of bins.
        steep: Exponent beyond which a piece moves: 0.08 is 20 % in a decade.
        gentle: Exponent below which it does not: 0.04 is 10 % in a decade.
        least_change: Of the log sharpness in a whole move.
        unclear: Three standard errors of the change over a piece, if larger, leave it untold.
        pause: Length, on the clock, below which a plateau is a turning point or a pause of what is around it.
        least_records: A shorter series is undecided.
    """

    bin_width: float = 0.1
    enter: float = 0.1
    stay: float = 0.25
    least_steps: int = 20
    least_span: float = 1.2
    reaching: float = 0.1
    reach: float = 0.02
    model_error: float = 0.01
    price: float = 3.0
    steep: float = 0.08
    gentle: float = 0.04
    least_change: float = 0.08
    unclear: float = 0.25
    pause: float = 0.4
    least_records: int = 12


@dataclasses.dataclass(frozen=True)
class Interval:
    """A stretch of one regime.

    Attributes:
        regime: Which.
        begin: First step.
        end: Last step; where the next interval begins.
        reason: Why, in words and numbers.
    """

    regime: Regime
    begin: float
    end: float
    reason: str


@dataclasses.dataclass(frozen=True)
class Regimes:
    """The regimes of one trajectory, in order, without gaps.

    Attributes:
        intervals: At least one.
        learning_rate: ``eta``.
    """

    intervals: tuple[Interval, ...]
    learning_rate: float

    @property
    def found(self) -> tuple[Regime, ...]:
        """The regimes that occur, in order of appearance, without "undecided"."""
        return tuple(dict.fromkeys(i.regime for i in self.intervals if i.regime is not Regime.UNDECIDED))

    @property
    def all_four(self) -> bool:
        """Whether each of the four regimes occurs, in their order."""
        return self.found == (Regime.TRANSIENT, Regime.SATURATION, Regime.SHARPENING, Regime.EDGE)

    def at(self, step: float) -> Regime:
        """The regime at a step; beyond the ends, that of the nearest interval."""
        return next((i.regime for i in self.intervals if step < i.end), self.intervals[-1].regime)

    def to_plain(self) -> list[dict[str, Any]]:
        """The intervals as plain data."""
        return [dataclasses.asdict(i) | {"regime": i.regime.value} for i in self.intervals]
