"""How a network is laid out: one column per layer, one lane per value that is kept, coloured by what it is for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.transforms import ScaledTranslation, Transform

from approxrates.layers import IDENTITY
from approxrates.network import Network
from approxrates.network.description import unit_params
from approxrates.network.runs import runs
from approxrates.plots.channels import Channel, Column, columns_of, lanes
from approxrates.plots.families import readable
from approxrates.plots.saving import attach_numbers
from approxrates.plots.style import GUIDE, GUIDE_TEXT, OKABE_ITO, check_axes, figure_of, new_figure, styled

_GREYS = {"input": "#444444", "output": "#444444", "spare": "#D2D2D2"}
_UNCUT = 36
"""Columns of a network that is drawn without leaving any out."""
_GAP = 2.6
"""Width of a break, in columns."""
_MOST_READS = 4_000
"""Lines from what a unit reads that are drawn; more would be a grey cloud."""
_MARKS = ("o", "s", "D", "^", "v", "P", "X", "p", "h")


@dataclass(frozen=True)
class _Break:
    """Columns left out: from ``start`` to before ``stop``; they repeat ``period`` columns."""

    start: int
    stop: int
    period: int
    x: float


def plot_channel_layout(network: Network, ax: Axes | None = None) -> Axes:
    """The layout of a network: columns are layers, rows are channels, colours are parts.

    A unit that computes is a mark; a value that is only carried on is a thin line on its lane. More alike units than
    fit are one box with their number. The numbers on top are the units of the layers, carries included. Repetitions of
    equal layers in deep networks are cut down to the first and the last, with the number of layers left out.

    Args:
        network: Trained networks have one part, constructions those that their layers are labelled with.
        ax: Axes to draw on; a new figure of fitting size if left out.

    Returns:
        The Axes drawn on.

    Raises:
        TypeError: If network is not a Network.
    """
    check_axes(ax)
    if not isinstance(network, Network):
        raise TypeError(
            f"network must be a Network. Got {type(network).__name__}. "
            "Write ar.plot_channel_layout(ar.construct('interpolation', target, n_params=50))."
        )
    columns = columns_of(network)
    places, breaks = _places(columns)
    end = max(places.values())
    with styled():
        if ax is None:
            width, height = min(11.0, max(4.2, 0.24 * end + 1.0)), min(8.0, max(2.3, 0.16 * lanes(columns) + 1.5))
            figure = new_figure(width, height)
            entries = 1 + len({channel.part for column in columns for channel in column} - {"input"})
            below = 0.68 + 0.14 * -(-entries // _per_row(width))
            figure.subplots_adjust(0.35 / width, below / height, 1 - 0.2 / width, 1 - 0.5 / height)
            ax = figure.add_subplot()
        _draw(ax, network, columns, places, breaks)
    return ax


def _places(columns: Sequence[Column]) -> tuple[dict[int, float], list[_Break]]:
    """Abscissa of each column that is drawn, and the breaks."""
    kinds = [tuple((c.part, c.code, len(c.units), c.reads, c.carries, c.lane) for c in column) for column in columns]
    places: dict[int, float] = {}
    breaks: list[_Break] = []
    x = 0.0
    for run in runs(kinds):
        left_out = range(run.start + run.period, run.stop - run.period)
        if len(columns) <= _UNCUT or len(left_out) < max(8, 2 * run.period):
            left_out = range(run.stop, run.stop)
        for j in range(run.start, run.stop):
            if j in left_out:
                if j == left_out.start:
                    breaks.append(_Break(left_out.start, left_out.stop, run.period, x - 1 + _GAP / 2))
                    x += _GAP - 1
                continue
            places[j] = x
            x += 1
    return places, breaks


def _draw(
    ax: Axes, network: Network, columns: Sequence[Column], places: dict[int, float], breaks: Sequence[_Break]
) -> None:
    """Everything on one Axes."""
    colors, marks = _colors(columns), _marks(network)
    n_lanes, end = lanes(columns), max(places.values())
    ax.set_xlim(-1.0, end + 1.0)
    ax.set_ylim(n_lanes - 0.3, -0.7)
    size = _mark_size(ax, end, n_lanes)
    _draw_reads(ax, columns, places)
    _draw_carries(ax, columns, places, colors)
    for j, x in places.items():
        for channel in columns[j]:
            if channel.height > 1 and len(channel.units) > 1:
                _draw_block(ax, x, channel, colors[channel.part])
    for code, marker in marks.items():
        points = [
            (x, c.lane, colors[c.part])
            for j, x in places.items()
            for c in columns[j]
            if c.carries is None and len(c.units) == 1 and c.code == code
        ]
        if points:
            xs, ys, tones = zip(*points, strict=True)
            ax.scatter(xs, ys, s=size, c=tones, marker=marker, lw=0, zorder=4)
    carried = [(x, c.lane, colors[c.part]) for j, x in places.items() for c in columns[j] if c.carries is not None]
    if carried:
        xs, ys, tones = zip(*carried, strict=True)
        ax.scatter(xs, ys, s=size / 9, c=tones, marker="o", lw=0, zorder=2.5)
    for cut in breaks:
        _draw_break(ax, cut, n_lanes)
    _label(ax, network, columns, places, breaks)
    _legend(ax, network, columns, colors, marks)
    _note_numbers(ax, network)


def _colors(columns: Sequence[Column]) -> dict[str, str]:
    """A colour for each part in order of appearance; inputs, outputs and units without a task are grey."""
    parts = dict.fromkeys(channel.part for column in columns for channel in column)
    inner = [part for part in parts if part not in _GREYS]
    tones = {part: OKABE_ITO[i % len(OKABE_ITO)][i // len(OKABE_ITO) % 2] for i, part in enumerate(inner)}
    return {part: tones[part] if part in tones else _GREYS[part] for part in parts}


def _marks(network: Network) -> dict[str, str]:
    """A marker for each activation; inputs and the identity of outputs are rings' round counterparts."""
    codes = dict.fromkeys(code for layer in network.layers for code in layer.activations if code != IDENTITY)
    return {"": "o", IDENTITY: "o"} | {code: _MARKS[i % len(_MARKS)] for i, code in enumerate(codes)}


def _mark_size(ax: Axes, end: float, n_lanes: int) -> float:
    """Area of a mark in square points, so that neighbours leave each other room."""
    box, dots = ax.get_window_extent(), figure_of(ax).dpi / 72
    room = min(box.width / (end + 2), box.height / n_lanes) / dots
    return float(np.clip(0.62 * room, 1.2, 6.5) ** 2)


def _column_points(ax: Axes) -> float:
    """Width of a column in points."""
    low, high = ax.get_xlim()
    return float(ax.get_window_extent().width * 72 / figure_of(ax).dpi / (high - low))


def _draw_reads(ax: Axes, columns: Sequence[Column], places: dict[int, float]) -> None:
    """Faint lines from what computed units read, where both columns are drawn and there are not too many."""
    lines = [
        [(places[j - 1], columns[j - 1][source].centre), (x, channel.centre)]
        for j, x in places.items()
        if j - 1 in places
        for channel in columns[j]
        if channel.carries is None
        for source in channel.reads
    ]
    if len(lines) <= _MOST_READS:
        alpha = 0.8 if len(lines) < 400 else 0.35
        ax.add_collection(LineCollection(lines, colors="#B4B4B4", linewidths=0.35, alpha=alpha, zorder=1))


def _draw_carries(ax: Axes, columns: Sequence[Column], places: dict[int, float], colors: dict[str, str]) -> None:
    """A line for each step of a carried value; over a break it is followed back to the column before."""
    lines, tones, widths = [], [], []
    shown = sorted(places)
    for before, j in pairwise(shown):
        for channel in columns[j]:
            if channel.carries is None:
                continue
            at, source = j - 1, channel.carries
            while at > before and (further := columns[at][source].carries) is not None:
                at, source = at - 1, further
            start = places.get(at, (places[before] + places[j]) / 2)
            lines.append([(start, columns[at][source].centre), (places[j], channel.centre)])
            tones.append(colors[channel.part])
            widths.append(0.9 if len(channel.units) == 1 else 2.2)
    ax.add_collection(LineCollection(lines, colors=tones, linewidths=widths, alpha=0.85, zorder=2, capstyle="round"))


def _draw_block(ax: Axes, x: float, channel: Channel, color: str) -> None:
    """A box with the number of its units; carried blocks are hollow."""
    half = min(0.34, 6.5 / _column_points(ax))
    ax.add_patch(
        Rectangle(
            (x - half, channel.lane - 0.38),
            2 * half,
            channel.height - 0.24,
            fc=color if channel.carries is None else "white",
            ec=color,
            lw=0.6,
            zorder=3,
        )
    )
    ax.text(
        x,
        channel.centre,
        f"{len(channel.units):,}",
        rotation=90,
        ha="center",
        va="center",
        fontsize=5.5,
        color="white" if channel.carries is None else color,
        fontweight="bold",
        zorder=5,
        clip_on=True,
    )


def _draw_break(ax: Axes, cut: _Break, n_lanes: int) -> None:
    """A white band over what is left out, with the number of layers."""
    low, high = cut.x - 0.62, cut.x + 0.62
    for x in (low, high):
        wave = np.linspace(-0.7, n_lanes - 0.3, 8 * n_lanes + 1)
        ax.plot(x + 0.09 * np.sin(2 * np.pi * wave / 1.6), wave, color=GUIDE, lw=0.5, zorder=3.2)
    ax.fill_betweenx([-0.7, n_lanes - 0.3], low, high, color="white", lw=0, zorder=3)
    n_layers = cut.stop - cut.start
    text = f"{n_layers:,} more layers" + ("" if cut.period == 1 else f" ({n_layers // cut.period:,} × {cut.period})")
    ax.text(
        cut.x, (n_lanes - 1) / 2, text, rotation=90, ha="center", va="center", fontsize=6, color=GUIDE_TEXT, zorder=6
    )


def _label(
    ax: Axes, network: Network, columns: Sequence[Column], places: dict[int, float], breaks: Sequence[_Break]
) -> None:
    """Title, numbers of layers, widths on top."""
    name = network.provenance.get("construction")
    title = re.sub(r"(?<=[a-z])(\d{4}) ", r" \1, ", readable(str(name))) if name else "Network"
    counts = f"W = {network.n_params:,}, depth {network.depth:,}, width {network.width:,}"
    ax.set_title(f"{title[:1].upper()}{title[1:]}: {counts}", pad=13)
    room = _column_points(ax)
    widths = {j: sum(len(channel.units) for channel in columns[j]) for j in places}
    digits = max(len(f"{width:,}") for width in widths.values())
    last: tuple[float, int] | None = None
    for j, x in places.items():
        changed = last is None or widths[j] != last[1]
        if last is None or ((x - last[0]) * room >= 4.2 * digits + 3 and (changed or room >= 9)):
            ax.annotate(
                f"{widths[j]:,}", (x, 1.0), (0, 2), xycoords=ax.get_xaxis_transform(), textcoords="offset points",
                ha="center", va="bottom", fontsize=5.8, color=GUIDE_TEXT, annotation_clip=False,
            )  # fmt: skip
            last = (x, widths[j])
    ax.annotate(
        "units", (0, 1.0), (-4, 2), xycoords="axes fraction", textcoords="offset points", ha="right", va="bottom",
        fontsize=5.8, color=GUIDE_TEXT, annotation_clip=False,
    )  # fmt: skip
    ticks, previous = [], -1e9
    for j, x in places.items():
        if (x - previous) * room >= 4.2 * len(str(j)) + 6:
            ticks.append((x, "x" if j == 0 else str(j - 1)))
            previous = x
    ax.set_xticks([x for x, _ in ticks], [text for _, text in ticks])
    ax.set_yticks([])
    ax.set_xlabel("layer", labelpad=1)
    ax.spines["left"].set_visible(False)
    ax.tick_params(length=2)


def _legend(
    ax: Axes, network: Network, columns: Sequence[Column], colors: dict[str, str], marks: dict[str, str]
) -> None:
    """Parts with their weights, the activations if there are several, and what a line is."""
    weights = network.parts
    handles: list[Patch | Line2D] = []
    for part, color in colors.items():
        if part == "input":
            continue
        handles.append(Patch(fc=color, label=f"{part}: {weights.get(part, 0):,}"))
    if any(channel.carries is not None for column in columns for channel in column):
        handles.append(Line2D([], [], color=GUIDE_TEXT, lw=0.9, label=f"carried on: {weights.get('carries', 0):,}"))
    codes = [code for code in marks if code not in ("", IDENTITY)]
    if len(codes) > 1:
        handles += [Line2D([], [], color=GUIDE_TEXT, marker=marks[c], ls="", ms=4, label=c) for c in codes]
    ax.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0, 0), bbox_transform=_below(ax),
        ncols=_per_row(figure_of(ax).get_figwidth()), fontsize=6.5,
        handlelength=1.0, handletextpad=0.5, columnspacing=1.3, borderaxespad=0.0, title="weights by part",
        title_fontsize=6.5, alignment="left",
    )  # fmt: skip


def _per_row(width: float) -> int:
    """Entries of the legend in a row of a figure that is ``width`` inches wide."""
    return max(2, int(width / 1.2))


def _below(ax: Axes) -> Transform:
    """Axes fractions, moved down past the labels of the layers."""
    return ax.transAxes + ScaledTranslation(0, -27 / 72, figure_of(ax).dpi_scale_trans)


def _note_numbers(ax: Axes, network: Network) -> None:
    """One row per layer: what the figure shows of it."""
    rows = []
    for index, (layer, labels) in enumerate(zip(network.layers, network.labels, strict=True)):
        carried = [label.endswith(" carry") for label in labels]
        params = unit_params(layer)
        rows.append(
            {
                "layer": index,
                "units": layer.n_out,
                "carried": sum(carried),
                "n_params": sum(params),
                "parts": "; ".join(dict.fromkeys(a for a, c in zip(labels, carried, strict=True) if not c)),
            }
        )
    attach_numbers(ax, rows)
