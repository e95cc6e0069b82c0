"""How far weights move along a path of targets, against the length of the path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.axes import Axes

from approxrates.plots.labels import EndLabel, place_end_labels
from approxrates.plots.saving import attach_numbers
from approxrates.plots.style import GUIDE, OKABE_ITO, check_axes, new_figure, styled

if TYPE_CHECKING:
    import pandas as pd


def draw_jumps(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Largest relative change of a weight over an interval of targets against its length, a line for each path.

    Args:
        table: Columns ``construction``, ``path``, ``length``, ``change``.
        ax: Axes to draw on; without it a new figure.

    Raises:
        TypeError: If ``ax`` is no Axes.
    """
    check_axes(ax)
    with styled():
        if ax is None:
            ax = new_figure(4.8, 3.0).add_axes((0.13, 0.16, 0.85, 0.8))
        ax.set_xscale("log")
        ax.set_yscale("log")
        ends = []
        for i, (name, rows) in enumerate(table.groupby("construction", sort=False)):
            line, text = OKABE_ITO[i]
            for _, path in rows.groupby("path"):
                ax.plot(path["length"], path["change"], color=line, lw=0.9, alpha=0.75)
            last = rows[rows["length"] == rows["length"].min()]
            middle = float(last["change"].median())
            ends.append(EndLabel(str(name), float(last["length"].iloc[0]), middle, text))
        least, most = float(table["length"].min()), float(table["length"].max())
        ax.plot([least, most], [least, most], color=GUIDE, lw=0.7, ls=(0, (4, 2)), zorder=1)
        ax.set_xlim(most, least)
        place_end_labels(ax, ends, data_end=least)
        ax.set_xlabel("length of the interval of targets")
        ax.set_ylabel("largest change of a weight, in units of its size")
    attach_numbers(ax, [{str(k): v for k, v in row.items()} for row in table.to_dict("records")])
    return ax
