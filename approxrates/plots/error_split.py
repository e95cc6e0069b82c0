"""The error of every size in its parts: shares as stacked bars beneath the curve of errors."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullFormatter

from approxrates.plots.families import by_law_and_family
from approxrates.plots.rate_curves import NORM_LABELS, SIZE_LABELS
from approxrates.plots.saving import attach_numbers
from approxrates.plots.style import check_arguments, figure_of, new_figure, small_labels, styled
from approxrates.plots.ticks import plain_log_ticks
from approxrates.records.split import PARTS

if TYPE_CHECKING:
    from approxrates.records import Records

MOST_FAMILIES = 24
"""Panels of one figure; the numbers beside it have all families."""
COLUMNS = 4
LETTERS = 28
"""Of a line of a title."""
COLOURS = {"architecture": "#0072B2", "optimisation": "#D55E00", "sampling": "#E69F00", "float": "#999999"}
CALLED = {
    "architecture": "architecture (best known)",
    "optimisation": "optimisation",
    "sampling": "sampling",
    "float": "floating point",
}
Rows = list[dict[str, Any]]


def plot_error_split(records: Records, norm: str = "sup", ax: Axes | None = None) -> Axes:
    """Where the error of each size comes from: architecture, optimisation, sampling, floating-point numbers.

    One panel for each trained family: above, the median error and the least one known to be in the reach of such
    networks; beneath, the shares of the parts, which sum to one. A part that the runs have not stored is inside
    another, and the legend says so.

    Args:
        records: Records of a study with trained networks.
        norm: ``"sup"`` or ``"l2"``.
        ax: Axes for the shares alone, if there is one trained family; without it a new figure with all.

    Returns:
        The Axes with the shares of the first family.

    Raises:
        TypeError: If ``records`` or ``ax`` are of another kind.
        ValueError: If no trained family has an error, or there are several for one Axes, or for an unknown norm.
    """
    check_arguments(records, ax)
    frame = records.split(norm)
    groups = by_law_and_family(frame)
    families = [(_title(law, name), rows) for law, group in groups.items() for name, rows in group.items()]
    if not families:
        raise ValueError(
            f"records must hold a trained network with an error in norm {norm!r}. Got none. Run the study first."
        )
    if ax is not None and len(families) > 1:
        raise ValueError(f"ax must be left out for several families. Got {len(families)}. Select one, or leave ax out.")
    lacking = [part for part in PARTS if frame[f"share_{part}"].isna().any()]
    with styled():
        if ax is not None:
            _bars(ax, families[0][1])
            _label(ax, families[0][1], norm)
            attach_numbers(ax, families[0][1])
            return ax
        shown = families[:MOST_FAMILIES]
        panels = _panels(len(shown))
        for (title, rows), (upper, lower) in zip(shown, panels, strict=True):
            _curve(upper, rows)
            upper.set_title(title, fontsize=7)
            _bars(lower, rows)
            _label(lower, rows, norm)
            attach_numbers(lower, rows)
        for _, rows in families[MOST_FAMILIES:]:
            attach_numbers(panels[-1][1], rows)
        _share_labels(panels, norm)
        _legend(panels[0][0], lacking, len(families) - len(shown))
    return panels[0][1]


def _title(law: str, family: str) -> str:
    """Three lines: the target, and the family in lines that are no wider than a panel."""
    words = textwrap.wrap(family, LETTERS, break_long_words=False)
    return "\n".join([law, words[0], " ".join(words[1:])]).rstrip()


def _panels(count: int) -> list[tuple[Axes, Axes]]:
    """Pairs of Axes, four pairs in a row: the curve above the shares."""
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    width, height = 1.0 + 2.0 * columns, 0.75 + 2.9 * rows
    figure = new_figure(width, height)
    grid = figure.add_gridspec(
        rows, columns, left=0.68 / width, right=1 - 0.1 / width, top=1 - 0.46 / height, bottom=0.68 / height,
        wspace=0.28, hspace=0.46,
    )  # fmt: skip
    pairs = []
    for i in range(count):
        inner = grid[i // columns, i % columns].subgridspec(2, 1, height_ratios=(1.15, 1), hspace=0.08)
        lower = figure.add_subplot(inner[1])
        pairs.append((figure.add_subplot(inner[0], sharex=lower), lower))
    return pairs


def _curve(ax: Axes, rows: Rows) -> None:
    """Median error and the best one known, against size."""
    sizes = [row["n_params"] for row in rows]
    ax.set_yscale("log")
    ax.plot(sizes, [row["error"] for row in rows], "o-", color="#222222", ms=3, lw=1.0, zorder=3)
    ax.plot(sizes, [row["best_known"] for row in rows], "--", color=COLOURS["architecture"], lw=1.0, zorder=2)
    values = np.array([[row["error"], row["best_known"]] for row in rows])
    ax.set_ylim(values.min() / 1.5, values.max() * 1.5)
    plain_log_ticks(ax.yaxis)
    ax.tick_params(labelbottom=False)
    small_labels(ax)


def _bars(ax: Axes, rows: Rows) -> None:
    """Shares of the parts as bars that are equally wide on the logarithmic axis, without gaps in them."""
    sizes = np.array([row["n_params"] for row in rows], dtype=float)
    steps = np.diff(np.log(sizes))
    half = math.exp(0.4 * float(steps.min()) if len(steps) else 0.2)
    bottom = np.zeros(len(sizes))
    ax.set_xscale("log")
    for part in PARTS:
        share = np.nan_to_num(np.array([row[f"share_{part}"] for row in rows], dtype=float))
        ax.bar(
            sizes / half, share, sizes * half - sizes / half, bottom, align="edge", color=COLOURS[part], lw=0, zorder=2
        )
        bottom += share
    ax.set_xlim(sizes.min() / half**1.6, sizes.max() * half**1.6)
    ax.set_ylim(0, 1)
    ax.set_yticks([0, 0.5, 1], ["0", ".5", "1"])
    ax.xaxis.set_minor_formatter(NullFormatter())
    small_labels(ax)


def _label(ax: Axes, rows: Rows, norm: str) -> None:
    """Names of the scales."""
    ax.set_xlabel(SIZE_LABELS["n_params"].replace("number of parameters ", "parameters "))
    ax.set_ylabel(f"share of the {NORM_LABELS[norm]}")


def _share_labels(panels: list[tuple[Axes, Axes]], norm: str) -> None:
    """Leaves the names of the scales at the left and the lower edge only."""
    columns = min(COLUMNS, len(panels))
    for i, (upper, lower) in enumerate(panels):
        upper.set_ylabel("" if i % columns else NORM_LABELS[norm])
        lower.set_ylabel("" if i % columns else "share")
        if i + columns < len(panels):
            lower.set_xlabel("")


def _legend(ax: Axes, lacking: list[str], left_out: int) -> None:
    """Explains the colours once, along the bottom edge; what was not stored is named."""
    handles: list[Any] = [Patch(color=COLOURS[part], label=CALLED[part]) for part in PARTS if part not in lacking]
    handles.append(Line2D([], [], color=COLOURS["architecture"], ls="--", lw=1.0, label="best known error"))
    notes = [f"not stored: {', '.join(CALLED[part] for part in lacking)}"] if lacking else []
    notes += [f"and {left_out} more families"] if left_out else []
    handles += [Line2D([], [], ls="none", label=note) for note in notes]
    figure = figure_of(ax)
    most = len(handles) if figure.get_figwidth() > 6 else 2
    figure.legend(handles=handles, loc="lower left", ncols=most, fontsize=7, borderaxespad=0.3, columnspacing=1.2)
