r"""The four regimes of training, found in a series of losses and sharpnesses: criteria on numbers, not on pictures.

Kalra & Barkeshli (2023, arXiv:2302.12250) tell apart, for full-batch gradient descent at the rate ``eta``: an *early
transient*, in which the sharpness falls or jumps; *intermediate saturation*, in which it stays; *progressive
sharpening*, in which it grows; and the *edge of stability*, at which it hovers about ``2 / eta`` (Cohen et al. 2021,
arXiv:2103.00065). What is meant by these words here:

1. *Clock.* Regimes last decades, so everything is seen against ``ln(1 + step)``. Records are gathered in bins of
   ``bin_width`` on it, with the median of the log sharpness of each: a stretch measured a thousand times counts no more
   than one of the same span measured ten times, and single spikes do not count. Ends of regimes are known to one bin.
2. *Edge of stability.* A run of bins whose sharpness stays within ``stay`` of ``2 / eta`` (relative), comes within
   ``enter`` of it, lasts at least ``least_steps`` steps and a factor ``least_span`` of time, and *reaches* the edge: a
   share of at least ``reaching`` of its records is at ``2 / eta`` (less ``reach``) or above, where a plateau just
   beneath never is. Two
   distances instead of one are the hysteresis: swings about the edge do not cut a run in pieces. A run is passing by,
   and no edge, if it is entered on one side of the edge and left on the other with a slope beyond ``steep``, or if it
   begins with the first record and does not last to the end.
3. *Moves.* What is left is cut into straight pieces (log sharpness against the clock) by least squares with a price
   for each piece, by dynamic programming. The noise is estimated from second differences, and is taken as at least
   ``model_error``, which no smooth curve is asked to be straighter than. A piece *rises* or *falls* if its slope, the
   exponent g of sharpness ~ step^g, is beyond ``steep`` and its change beyond three standard errors; it is *flat*
   below ``gentle``; in between it goes on as the piece before, unless it changes much (twice ``least_change``).
   Pieces of one kind are joined; a move of less than ``least_change`` in all is flat. A piece over which noise could
   hide a change of ``unclear`` is not told.
4. *Order.* The transient lasts to the end of the last fall that leaves the sharpness at its first value at most (or
   ``least_change`` above) and does not come after a fall, a plateau and a rise: a rise within was a jump, given back.
   If there is no fall, a rise before a plateau that is followed by another rise is a transient too. Then flat is
   saturation and rising is sharpening. Plateaus that last less than ``pause`` of the clock, and those from the first
   record that last less than ``least_steps`` steps, belong to what is around them. Everything that does not fit is
   *undecided*, with the reason: a plateau beneath the edge after sharpening, a fall after sharpening, noise, the end of
   an edge.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from approxrates.regimes.base import Interval, Regime, Regimes, Thresholds
from approxrates.regimes.order import intervals
from approxrates.regimes.series import F64, Series, check_series

__all__ = ["Interval", "Regime", "Regimes", "Thresholds", "label_regimes"]


def label_regimes(
    steps: Sequence[float] | F64,
    loss: Sequence[float] | F64,
    sharpness: Sequence[float] | F64,
    learning_rate: float,
    *,
    thresholds: Thresholds | None = None,
) -> Regimes:
    """The regimes of a trajectory of full-batch gradient descent without momentum.

    Args:
        steps: Steps at which was measured, shape ``(n,)``, ascending, from 0 up; spaced as one likes.
        loss: Training loss at them, shape ``(n,)``; told in the reasons.
        sharpness: Top Hessian eigenvalue of the training loss, shape ``(n,)``, positive.
        learning_rate: ``eta``, the same in all steps.
        thresholds: Numbers of the criteria.

    Raises:
        ValueError: For shapes that do not match, steps that do not ascend, values that are not finite, a sharpness or
            learning rate that is not positive.

    Example:
        >>> t = np.arange(0, 4000, 10)
        >>> grown = np.minimum(4.0 + t / 100.0, 20.0 + np.sin(t))
        >>> found = label_regimes(t, 1 / (1 + t), grown, 0.1)
        >>> for part in found.intervals:
        ...     print(f"{part.regime}: {part.begin:.0f} to {part.end:.0f}")
        intermediate saturation: 0 to 30
        progressive sharpening: 30 to 1340
        edge of stability: 1340 to 3990
    """
    rules = thresholds or Thresholds()
    t, losses, values = (np.asarray(a, dtype=np.float64) for a in (steps, loss, sharpness))
    check_series(t, losses, values, learning_rate)
    if len(t) < rules.least_records:
        why = f"{len(t)} records are too few; at least {rules.least_records} are needed"
        return Regimes((Interval(Regime.UNDECIDED, float(t[0]), float(t[-1]), why),), learning_rate)
    return Regimes(tuple(intervals(Series(t, losses, values, learning_rate, rules.bin_width), rules)), learning_rate)
