"""Figures of calibrations: coverage with binomial intervals, shares of a choice, words of more and more digits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from approxrates.plots.labels import EndLabel, place_end_labels
from approxrates.plots.saving import attach_numbers
from approxrates.plots.style import DASHES, GUIDE, GUIDE_TEXT, MARKERS, OKABE_ITO, check_axes, new_figure, styled

if TYPE_CHECKING:
    import pandas as pd

ROW = 0.2  # inches
_CHARACTER = 0.062  # inches


def draw_coverage(
    labels: Sequence[str],
    shares: Sequence[float],
    bounds: Sequence[tuple[float, float]],
    *,
    band: tuple[float, float],
    nominal: float,
) -> Axes:
    """A dot for each setting, with its binomial interval, against the band that is asked for.

    Args:
        labels: Settings, top to bottom.
        shares: Share of intervals that hold the truth.
        bounds: Binomial interval of each share.
        band: Smallest and largest share that count as reached.
        nominal: The share that the intervals promise.
    """
    with styled():
        ax = _rows_axes(labels, width=2.6)
        ax.axvspan(*band, color="#E8E8E8", lw=0)
        ax.axvline(nominal, color=GUIDE, lw=0.8, dashes=(4, 2))
        y = -np.arange(len(labels))
        inside = [band[0] <= share <= band[1] for share in shares]
        for row, share, (low, high), good in zip(y, shares, bounds, inside, strict=True):
            line, text = OKABE_ITO[0] if good else OKABE_ITO[1]
            ax.plot([low, high], [row, row], color=line, lw=1.2)
            ax.plot([share], [row], marker="o" if good else "X", ms=4, color=text, ls="none")
        ax.set_xlim(min(0.795, *(low for low, _ in bounds)), 1.005)
        ax.set_xlabel("share of 95 % intervals that hold the truth")
    attach_numbers(
        ax,
        [
            {"setting": name, "share": share, "low": low, "high": high}
            for name, share, (low, high) in zip(labels, shares, bounds, strict=True)
        ],
    )
    return ax


def draw_shares(labels: Sequence[str], shares: Mapping[str, Sequence[float]]) -> Axes:
    """A stacked bar for each setting, one part for each outcome.

    Args:
        labels: Settings, top to bottom.
        shares: For each outcome its share in every setting.
    """
    with styled():
        ax = _rows_axes(labels, width=2.6, beside=1.7)
        y = -np.arange(len(labels))
        start = np.zeros(len(labels))
        for i, (outcome, share) in enumerate(shares.items()):
            widths = np.asarray(share, dtype=np.float64)
            color = "#D9D9D9" if outcome.startswith("undecided") else OKABE_ITO[i % len(OKABE_ITO)][0]
            ax.barh(y, widths, left=start, height=0.72, color=color, lw=0, label=outcome)
            start = start + widths
        ax.set_xlim(0, 1)
        ax.set_xlabel("share of simulations")
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0, labelcolor=GUIDE_TEXT)
    attach_numbers(
        ax,
        [
            {"setting": name} | {outcome: float(share[i]) for outcome, share in shares.items()}
            for i, name in enumerate(labels)
        ],
    )
    return ax


def draw_words(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Distance from exact values over the digits of a word, a line for each construction and arithmetic.

    Args:
        table: Columns ``check`` (the arithmetic), ``setting`` (the construction), ``size`` (digits) and ``measured``
            (the distance in units of the construction's error bound). Zeros are drawn a decade below all others.
        ax: Axes to draw on; without it a new figure.

    Raises:
        TypeError: If ``ax`` is no Axes.
    """
    check_axes(ax)
    above = table["measured"][table["measured"] > 0]
    zero = 10.0 ** (np.floor(np.log10(float(above.min()))) - 1)
    with styled():
        if ax is None:
            ax = new_figure(5.6, 3.2).add_axes((0.11, 0.15, 0.87, 0.81))
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ends = []
        checks, settings = list(dict.fromkeys(table["check"])), list(dict.fromkeys(table["setting"]))
        for (setting, check), rows in table.groupby(["setting", "check"], sort=False):
            (line, text), place = OKABE_ITO[settings.index(setting)], checks.index(check)
            heights = rows["measured"].clip(lower=zero)
            ax.plot(rows["size"], heights, color=line, marker=MARKERS[place], ms=3.5, lw=1.1, ls=DASHES[place])
            name = f"{str(setting).removeprefix('yarotsky2020_').replace('_', ' ')}, {check}"
            ends.append(EndLabel(name, float(rows["size"].iloc[-1]), float(heights.iloc[-1]), text))
        sizes = sorted(set(table["size"].tolist()))
        for height, dash in ((1.0, (0, (4, 2))), (zero, "-")):
            ax.plot([sizes[0] * 0.85, sizes[-1]], [height, height], color=GUIDE, lw=0.7, ls=dash, zorder=1)
        ax.set_xlim(sizes[0] * 0.85, sizes[-1])
        ax.text(sizes[0] * 0.87, zero, "0", color=GUIDE_TEXT, fontsize=7, va="bottom", ha="left")
        place_end_labels(ax, ends, data_end=float(sizes[-1]))
        ax.set_xticks(sizes, [str(size) for size in sizes])
        ax.minorticks_off()
        ax.set_xlabel("digits of a word")
        ax.set_ylabel("distance from exact values / error bound")
    numbers = table[["setting", "check", "size", "measured"]].to_dict("records")
    attach_numbers(ax, [{str(k): v for k, v in row.items()} for row in numbers])
    return ax


def _rows_axes(labels: Sequence[str], width: float, beside: float = 0.15) -> Axes:
    """Axes of a figure with one row for each label, named on the left; sizes in inches."""
    left, below = 0.2 + _CHARACTER * max(len(text) for text in labels), 0.42
    height = ROW * len(labels) + below + 0.1
    figure = new_figure(left + width + beside, height)
    whole = left + width + beside
    ax = figure.add_axes((left / whole, below / height, width / whole, ROW * len(labels) / height))
    ax.set_yticks([-i for i in range(len(labels))], list(labels))
    ax.set_ylim(-len(labels) + 0.5, 0.5)
    ax.tick_params(axis="y", length=0)
    return ax
