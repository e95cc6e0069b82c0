"""Ticks of logarithmic axes that a reader can take in."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axis import XAxis, YAxis
from matplotlib.ticker import FixedLocator, LogFormatterSciNotation, NullFormatter, NullLocator


def plain_log_ticks(axis: XAxis | YAxis) -> None:
    """A few ticks written as plain numbers on a logarithmic axis, whatever its span."""
    low, high = sorted(axis.get_view_interval())
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for steps in (
        (1, 1.1, 1.2, 1.3, 1.5, 2, 3, 4, 5, 6, 7, 8, 9),
        (1, 1.2, 1.5, 2, 3, 5, 7),
        (1, 1.2, 1.5, 2, 3, 5),
        (1, 1.5, 2, 5),
        (1, 2, 5),
        (1, 3),
        (1,),
    ):
        ticks = [t for k in decades for s in steps if low <= (t := float(f"{s}e{k}")) <= high]
        gaps = np.diff(np.log(ticks))
        if len(ticks) <= 6 and (len(gaps) == 0 or gaps.min() >= math.log(high / low) / 9):
            break
    ticks = ticks[:: math.ceil(len(ticks) / 5)] if math.log10(high / low) > 4 else ticks
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    plain = low >= 1e-3 and high < 1e4
    axis.set_major_formatter((lambda value, _: f"{value:g}") if plain else LogFormatterSciNotation())
    axis.set_minor_formatter(NullFormatter())
