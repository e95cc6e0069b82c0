"""A line search for the Wolfe conditions that is fed one evaluation at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum

_DECREASE = 1e-4
_CURVATURE = 0.9
_TRIALS = 25
_ROUNDING = 1e-15


class Verdict(Enum):
    """What to do after an evaluation."""

    AGAIN = "evaluate at the new length"
    ACCEPT = "move to the point just evaluated"
    FAIL = "no acceptable point was found"


class LineSearch:
    """Bracketing with safeguarded interpolation.

    Accepts ``f(t) <= f(0) + 1e-4 t f'(0)`` with ``f'(t) >= 0.9 f'(0)``. If no such point turns up in 25 trials, the
    longest one known to satisfy the first condition is evaluated again and accepted.

    Args:
        value: Loss at length 0.
        slope: Its derivative along the direction, negative.
        length: First length to try.

    Reference:
        Nocedal & Wright (2006), conditions (3.6), algorithm 3.5, and interpolation (3.59).
    """

    __slots__ = ("_high", "_last", "_low", "_low_slope", "_low_value", "_trials", "length", "slope", "value")

    def __init__(self, value: float, slope: float, length: float) -> None:
        self.value, self.slope, self.length = value, slope, length
        self._low, self._low_value, self._low_slope = 0.0, value, slope
        self._high = math.inf
        self._trials, self._last = 0, False

    def advance(self, value: float, slope: float) -> Verdict:
        """Take the loss and its slope at ``length`` and decide; ``length`` is then the next one to try.

        Args:
            value: Loss at ``length``.
            slope: Derivative along the direction there.
        """
        if self._last:
            return Verdict.ACCEPT
        self._trials += 1
        finite = math.isfinite(value) and math.isfinite(slope)
        # Near convergence differences of the loss are rounding errors: allow as much.
        falls = finite and value <= self.value + _DECREASE * self.length * self.slope + _ROUNDING * abs(self.value)
        if falls and slope >= _CURVATURE * self.slope:
            return Verdict.ACCEPT
        if falls:
            proposal = self._extend(slope)
            self._low, self._low_value, self._low_slope = self.length, value, slope
        else:
            self._high = self.length
            proposal = self._interpolate(value, slope) if finite else 0.5 * (self._low + self.length)
        if self._trials >= _TRIALS:
            return self._give_up()
        self.length = proposal
        return Verdict.AGAIN

    def state(self) -> list[float]:
        """Where the search stands, as plain numbers."""
        bracket = [self._low, self._low_value, self._low_slope, self._high]
        return [self.value, self.slope, self.length, *bracket, self._trials, self._last]

    @classmethod
    def resumed(cls, state: Sequence[float]) -> LineSearch:
        """The search that had this state."""
        value, slope, length, low, low_value, low_slope, high, trials, last = state
        search = cls(value, slope, length)
        search._low, search._low_value, search._low_slope, search._high = low, low_value, low_slope, high
        search._trials, search._last = int(trials), bool(last)
        return search

    def _extend(self, slope: float) -> float:
        """A longer step: to where the slope would vanish, but two to ten times as far, or into the bracket."""
        if math.isinf(self._high):
            rise = slope - self._low_slope
            guess = self.length - slope * (self.length - self._low) / rise if rise > 0.0 else math.inf
            return min(max(guess, 2.0 * self.length), 10.0 * self.length)
        return 0.5 * (self.length + self._high)

    def _interpolate(self, value: float, slope: float) -> float:
        """Minimum of the cubic through both ends of the bracket, kept off the ends by a tenth of its width."""
        low, width = self._low, self.length - self._low
        theta = 3.0 * (self._low_value - value) / width + self._low_slope + slope
        root = math.sqrt(max(theta * theta - self._low_slope * slope, 0.0))
        bottom = slope - self._low_slope + 2.0 * root
        guess = self.length - width * (slope + root - theta) / bottom if bottom else 0.5 * (low + self.length)
        if not math.isfinite(guess):
            guess = 0.5 * (low + self.length)
        return min(max(guess, low + 0.1 * width), low + 0.9 * width)

    def _give_up(self) -> Verdict:
        """Settle for sufficient decrease if there was any."""
        if self._low == 0.0:
            return Verdict.FAIL
        self.length, self._last = self._low, True
        return Verdict.AGAIN
