"""Grey guide lines of the theoretical slopes, and a horizontal scale that ends where the data end."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, LogFormatterSciNotation, LogLocator, NullFormatter

from approxrates.plots.labels import EndLabel, extent, spread
from approxrates.plots.style import GUIDE, GUIDE_TEXT, figure_of
from approxrates.regularity import Regularity

_EXIT = "guide-exit"


def draw_guides(
    ax: Axes, regularities: Sequence[Regularity], start: float, stop: float, first: float
) -> list[EndLabel]:
    """Grey lines of slopes r/d and 2r/d; labels of those that reach the right end are returned.

    A guide that leaves through the bottom gets its label there, in a row of its own. Curves on several laws, or on
    infinitely smooth targets, have no guides.

    Args:
        ax: Log-log Axes whose y-limits are final.
        regularities: Regularity of each curve's target.
        start: Smallest size, where the guides begin.
        stop: Largest size.
        first: Error at which the guides begin.
    """
    laws = {(r.smoothness, r.dim) for r in regularities}
    if len(laws) != 1 or not math.isfinite(next(iter(laws))[0]):
        return []
    r, d = next(iter(laws))
    floor = ax.get_ylim()[0]
    ends, leaving = [], []
    for multiple, word in ((1, "r/d"), (2, "2r/d")):
        slope = multiple * r / d
        exit_x = min(stop, start * (first / floor) ** (1 / slope))
        y = first * (exit_x / start) ** -slope
        ax.plot([start, exit_x], [first, y], color=GUIDE, lw=0.7, ls="-" if multiple == 1 else (0, (2, 1.5)), zorder=1)
        text = f"{word} = {slope:g}"
        if exit_x < stop:
            leaving.append((text, exit_x))
        else:
            ends.append(EndLabel(text, exit_x, y, GUIDE_TEXT))
    _label_exits(ax, leaving)
    return ends


def _label_exits(ax: Axes, leaving: list[tuple[str, float]]) -> None:
    """Labels, just above the x-axis, of guides that leave through it; put in order once the x-limits are final."""
    for text, x in leaving:
        ax.text(
            x,
            0.012,
            text,
            transform=ax.get_xaxis_transform(),
            fontsize=7,
            color=GUIDE_TEXT,
            ha="left",
            va="bottom",
            zorder=5,
            gid=_EXIT,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},  # the guide ends at its label
        )


def _settle_exits(ax: Axes, stop: float) -> None:
    """Spreads the exit labels along the x-axis, between the legend (if any) and the label column."""
    texts = [t for t in ax.texts if t.get_gid() == _EXIT]
    if not texts:
        return
    pixel = figure_of(ax).dpi / 72
    left, right = ax.get_window_extent().x0 + 2 * pixel, ax.transData.transform((stop, 1))[0]
    legend = ax.get_legend()
    boxes = [extent(t) for t in texts]
    if legend is not None:
        box, room = legend.get_window_extent(), sum(b.width + 6 * pixel for b in boxes)
        if box.x1 + 4 * pixel + room <= right:
            left = box.x1 + 4 * pixel
        else:  # no room beside the legend: a row above it
            for text in texts:
                text.set_y(float(ax.transAxes.inverted().transform((0, box.y1 + 2 * pixel))[1]))
    # Right of the guide; where the label column begins too soon, left of it, under the falling line.
    wanted = [
        b.x0 + b.width / 2 + 4 * pixel if b.x1 + 4 * pixel < right else b.x0 - b.width / 2 - 9 * pixel for b in boxes
    ]
    for text, box, centre in zip(
        texts, boxes, spread(wanted, [b.width + 6 * pixel for b in boxes], left, right), strict=True
    ):
        text.set_x(ax.transData.inverted().transform((centre - box.width / 2, box.y0))[0])


def trim_axis(ax: Axes, start: float, stop: float) -> None:
    """Ends the x-axis where the data end, for the label column has no scale; writes few, short tick labels."""
    _settle_exits(ax, stop)
    low = ax.get_xlim()[0]
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines["bottom"].set_bounds(low, stop * (stop / start) ** 0.02)
    _few_ticks(ax.xaxis, low, stop * 1.0001)
    _few_ticks(ax.yaxis, *ax.get_ylim())
    ax.xaxis.label.set_horizontalalignment("left")
    ax.xaxis.label.set_x(0.0)


def _few_ticks(axis: Axis, low: float, high: float) -> None:
    """Labels the decades; over less than two of them also 2 and 5, as plain numbers."""
    major = [float(t) for t in LogLocator().tick_values(low, high) if low <= t <= high]
    minor = [float(t) for t in LogLocator(subs=range(2, 10)).tick_values(low, high) if low <= t <= high]
    axis.set_minor_locator(FixedLocator(minor))
    axis.set_minor_formatter(NullFormatter())
    if len(major) >= 2:
        every = math.ceil(len(major) / 6)
        axis.set_major_locator(FixedLocator(major[::every]))
        axis.set_major_formatter(LogFormatterSciNotation())
        return
    between = [t for t in minor if f"{t:e}"[0] in "25"] or minor
    axis.set_major_locator(FixedLocator(sorted(major + between)))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
