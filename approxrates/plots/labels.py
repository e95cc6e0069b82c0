"""Placing text so that nothing overlaps: measured extents, solved positions, leader lines where text had to move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from matplotlib.transforms import Bbox, IdentityTransform
from numpy.typing import NDArray

from approxrates.plots.style import figure_of

GAP = 7.0  # points between the end of a curve and its label
MIN_SIZE = 3.0  # points: a label is shrunk no further


def spread(wanted: Sequence[float], sizes: Sequence[float], low: float, high: float) -> NDArray[np.float64]:
    """Centres of intervals on a line, in the order of ``wanted``, without overlap and as near to ``wanted`` as can be.

    Least squares in the displacements: after taking off the room that the intervals before it need, each centre must
    not decrease, so the answer is an isotonic regression (pool adjacent violators), clipped to the ends.

    Args:
        wanted: Centres that would be best, shape ``(n,)``.
        sizes: Full lengths of the intervals, shape ``(n,)``.
        low: Lower end of the line.
        high: Upper end; if the intervals do not fit in, they run over it.

    Returns:
        Centres, shape ``(n,)``, in the order given.
    """
    centre, length = np.asarray(wanted, dtype=float), np.asarray(sizes, dtype=float)
    order = np.argsort(centre, kind="stable")
    ahead = np.concatenate([[0.0], np.cumsum(length[order])[:-1]]) + length[order] / 2
    blocks: list[list[float]] = []  # [mean, count]
    for value in centre[order] - ahead:
        blocks.append([float(value), 1.0])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, count = blocks.pop()
            blocks[-1] = [
                (blocks[-1][0] * blocks[-1][1] + mean * count) / (blocks[-1][1] + count),
                blocks[-1][1] + count,
            ]
    solved = np.repeat([b[0] for b in blocks], [int(b[1]) for b in blocks])
    solved = np.clip(solved, low, max(low, high - float(length.sum())))
    result = np.empty_like(centre)
    result[order] = solved + ahead
    return result


@dataclass(frozen=True)
class EndLabel:
    """A text that belongs to the end of a curve, at a point in data coordinates."""

    text: str
    x: float
    y: float
    color: str
    weight: str = "normal"


def extent(text: Text) -> Bbox:
    """Bounding box of a text in pixels, as the renderer of its figure draws it."""
    return text.get_window_extent()


def place_end_labels(ax: Axes, labels: Sequence[EndLabel], *, data_end: float, size: float = 7.5) -> list[Text]:
    """Write labels in a column right of ``data_end``, in the heights of their curves as far as there is room.

    The x-limits are widened so that the widest label fits inside the Axes; a label that had to move away from its
    curve gets a leader line. Call it after the y-limits are final.

    Args:
        ax: Axes with a logarithmic x-axis; its left limit stays.
        labels: What to write.
        data_end: Where the data end in x; the column begins a little right of it.
        size: Font size in points; made smaller when the column is not high or wide enough.

    Returns:
        The texts, in the order given.
    """
    if not labels:
        return []
    figure = figure_of(ax)
    texts = [
        ax.text(
            0,
            0,
            item.text,
            fontsize=size,
            color=item.color,
            weight=item.weight,
            va="center",
            ha="left",
            transform=IdentityTransform(),
            clip_on=False,
            zorder=6,
        )
        for item in labels
    ]
    pixel = figure.dpi / 72
    frame = ax.get_window_extent()
    room = figure.bbox.height - 4 * pixel
    boxes = [extent(text) for text in texts]
    widest, total = max(b.width for b in boxes), sum(b.height for b in boxes) + pixel * len(boxes)
    # Labels may fill half of the Axes; beyond that the data would be hard to read.
    scale = min(1.0, 0.55 * (frame.width - GAP * pixel) / widest, room / total)
    if scale < 1:
        for text in texts:
            text.set_fontsize(max(MIN_SIZE, np.floor(size * scale * 10) / 10))
        boxes = [extent(text) for text in texts]
        widest, total = max(b.width for b in boxes), sum(b.height for b in boxes) + pixel * len(boxes)
    _make_room(ax, data_end, widest * 1.02 + (GAP + 1) * pixel)
    heights = [ax.transData.transform((item.x, item.y))[1] for item in labels]
    low, high = frame.y0, frame.y1
    if total > high - low:
        low, high = max(2 * pixel, low - (total - (high - low))), min(figure.bbox.height - 2 * pixel, high + total)
    centres = spread(heights, [b.height + pixel for b in boxes], low, high)
    column = ax.transData.transform((data_end, labels[0].y))[0] + GAP * pixel
    for text, item, centre in zip(texts, labels, centres, strict=True):
        # Axes fractions, not pixels: the figure may be saved at another resolution.
        text.set_transform(ax.transAxes)
        text.set_position(tuple(ax.transAxes.inverted().transform((column, centre))))
        _leader(ax, item, column, float(centre), pixel)
    return texts


def _make_room(ax: Axes, data_end: float, pixels: float) -> None:
    """Widen the x-limits to the right so that ``pixels`` lie free beyond ``data_end``."""
    left = np.log(ax.get_xlim()[0])
    width = ax.get_window_extent().width
    right = left + (np.log(data_end) - left) * width / max(width - pixels, 0.2 * width)
    ax.set_xlim(float(np.exp(left)), float(np.exp(right)))


def _leader(ax: Axes, item: EndLabel, column: float, centre: float, pixel: float) -> None:
    """A thin line from the end of a curve to its label, if the label is not level with it."""
    start = ax.transData.transform((item.x, item.y))
    if abs(centre - start[1]) < 2 * pixel and column - start[0] < 1.5 * GAP * pixel:
        return
    ends = ax.transAxes.inverted().transform(np.array([start, (column - 1.5 * pixel, centre)]))
    ax.plot(
        ends[:, 0], ends[:, 1], transform=ax.transAxes, color=item.color, lw=0.5, alpha=0.6, zorder=1.5, clip_on=False
    )


def place_beside(
    ax: Axes,
    points: Sequence[tuple[float, float]],
    names: Sequence[str],
    obstacles: Sequence[Bbox],
    *,
    color: str = "#333333",
    size: float = 7.0,
) -> list[Text]:
    """Write a name beside each point where it covers neither an obstacle nor another name.

    Tries places around the point at growing distances and takes the first that is free and inside the Axes.

    Args:
        ax: Axes whose limits are final.
        points: Points in data coordinates.
        names: What to write, one per point.
        obstacles: Boxes in pixels that must stay free.
        color: Colour of text and leader.
        size: Font size in points.

    Returns:
        The texts, in the order given.
    """
    pixel = figure_of(ax).dpi / 72
    frame, taken = ax.get_window_extent(), list(obstacles)
    texts: list[Text] = []
    for point, name in zip(points, names, strict=True):
        text = ax.text(
            0,
            0,
            name,
            fontsize=size,
            color=color,
            va="center",
            ha="center",
            transform=IdentityTransform(),
            zorder=7,
            path_effects=[withStroke(linewidth=2, foreground="white")],
        )
        box, at = extent(text), ax.transData.transform(point)
        centre = _free_place(at, box, frame, taken, pixel)
        taken.append(Bbox.from_bounds(centre[0] - box.width / 2, centre[1] - box.height / 2, box.width, box.height))
        text.set_transform(ax.transAxes)
        text.set_position(tuple(ax.transAxes.inverted().transform(centre)))
        if np.hypot(*(centre - at)) > box.width / 2 + 14 * pixel:
            half = np.array([box.width, box.height]) / 2
            ends = ax.transAxes.inverted().transform(np.array([at, np.clip(at, centre - half, centre + half)]))
            ax.plot(ends[:, 0], ends[:, 1], transform=ax.transAxes, color=color, lw=0.4, alpha=0.5, zorder=1.5)
        texts.append(text)
    return texts


def _free_place(at: Any, box: Bbox, frame: Bbox, taken: Sequence[Bbox], pixel: float) -> NDArray[np.float64]:
    """Centre of the nearest free place for a box around a point (pixels); the point's right side if there is none."""
    for distance in np.arange(6.0, 150.0, 4.0) * pixel:
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)):
            centre = np.array([at[0] + dx * (distance + box.width / 2), at[1] + dy * (distance + box.height / 2)])
            trial = Bbox.from_bounds(centre[0] - box.width / 2, centre[1] - box.height / 2, box.width, box.height)
            inside = frame.x0 <= trial.x0 and trial.x1 <= frame.x1 and frame.y0 <= trial.y0 and trial.y1 <= frame.y1
            if inside and not any(trial.overlaps(other.padded(pixel)) for other in taken):
                return centre
    return np.array([at[0] + 6 * pixel + box.width / 2, at[1]])
