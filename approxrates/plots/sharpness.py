"""Critical learning-rate constants against width, and shares of seeds in each phase; of networks and the uv model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from approxrates.boundary import BoundaryMap
from approxrates.plots.boundary import plot_boundary
from approxrates.plots.saving import attach_numbers
from approxrates.plots.style import (
    DASHES,
    GUIDE,
    GUIDE_TEXT,
    MARKERS,
    OKABE_ITO,
    check_axes,
    new_figure,
    small_labels,
    styled,
)
from approxrates.plots.ticks import plain_log_ticks

if TYPE_CHECKING:
    import pandas as pd

CONSTANTS = ("c_loss", "c_sharp", "c_barrier", "c_max")
CONSTANT_NAMES = dict(zip(CONSTANTS, ("loss", "sharpness", "barrier", "max"), strict=True))
PHASES = ("loss falls", "loss rises", "loss and sharpness rise", "diverges")
DECIDED = 2.0 / 3.0
"""Share of the seeds above which a cell has a phase."""


def plot_critical_constants(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Critical constants c against 1/w, one panel for each depth, and of all depths against d/w.

    A mark is the median over seeds, its bar the quartiles. The depth d counts weight matrices, one more than hidden
    layers. Below the lowest curve the loss falls in all early steps; above the highest training diverges.

    Args:
        table: One row for each network: ``depth`` (hidden layers), ``width``, ``c_loss``, ``c_sharp``, ``c_barrier``,
            ``c_max``; infinite where it lies beyond what was tried, NaN where there is none.
        ax: Axes to draw on, if there is one depth; without it a new figure.

    Returns:
        The first Axes.

    Raises:
        TypeError: If ``ax`` is no Axes.
        ValueError: If there are several depths for one Axes.
    """
    check_axes(ax)
    depths = sorted(table["depth"].unique())
    if ax is not None and len(depths) > 1:
        raise ValueError(f"ax must be left out for several depths. Got {len(depths)}. Leave ax out.")
    with styled():
        n_panels = len(depths) + (len(depths) > 1)
        panels = (
            [ax]
            if ax is not None
            else list(new_figure(2.75 * n_panels + 0.6, 3.2).subplots(1, n_panels, squeeze=False)[0])
        )
        values = table[list(CONSTANTS)].to_numpy()
        high = float(values[np.isfinite(values)].max(initial=4.0)) * 1.3
        for panel, depth in zip(panels, depths, strict=False):
            _draw_constants(panel, table[table["depth"] == depth], lambda t: 1.0 / t["width"], "-", True)
            panel.set_title(f"d = {depth + 1}")
            _scales(panel, "1 / width", high)
        if n_panels > len(depths):
            for number, depth in enumerate(depths):
                part = table[table["depth"] == depth]
                _draw_constants(panels[-1], part, lambda t: (t["depth"] + 1) / t["width"], DASHES[number], False)
            panels[-1].set_title("all depths")
            _scales(panels[-1], "d / width", high)
            dashes = [
                Line2D([], [], color=GUIDE_TEXT, ls=DASHES[i], label=f"d = {d + 1}") for i, d in enumerate(depths)
            ]
            panels[-1].legend(handles=dashes, loc="lower right")
        for panel in panels[1:]:
            panel.set_ylabel("")
        if ax is None:
            panels[0].figure.subplots_adjust(
                left=0.55 / (2.75 * n_panels + 0.6), right=0.99, bottom=0.14, top=0.8, wspace=0.16
            )
        _legend_above(panels[0], [_constant_handle(name) for name in CONSTANTS])
    return panels[0]


def _constant_handle(name: str) -> Line2D:
    """Entry of a constant in a legend."""
    i = CONSTANTS.index(name)
    return Line2D(
        [],
        [],
        color=OKABE_ITO[i][0],
        marker=MARKERS[i],
        ms=4,
        lw=1.2,
        label=f"$c_{{\\mathrm{{{CONSTANT_NAMES[name]}}}}}$",
    )


def _draw_constants(ax: Axes, table: pd.DataFrame, place: Any, dash: Any, bars: bool) -> None:
    """Medians and quartiles of each constant at each width."""
    rows = []
    for i, name in enumerate(CONSTANTS):
        known = table.dropna(subset=[name])
        known = known.assign(place=place(known))
        spread = known.groupby("place")[name].quantile(np.array([0.25, 0.5, 0.75])).unstack()
        if not len(spread):
            continue
        spread = spread[np.isfinite(spread[0.5])]
        x, (low, middle, top) = spread.index.to_numpy(), spread.to_numpy().T
        color = OKABE_ITO[i][0]
        ax.plot(x, middle, color=color, ls=dash, marker=MARKERS[i], ms=3.5, lw=1.1, zorder=3)
        if bars:
            ax.vlines(x, low, top, color=color, lw=0.9, zorder=2)
        rows += [
            {"panel": ax.get_title() or "", "constant": name, "depth": int(known["depth"].iloc[0]), "place": float(a),
             "low": float(b), "median": float(m), "high": float(c), "n": int((known["place"] == a).sum())}
            for a, b, m, c in zip(x, low, middle, top, strict=True)
        ]  # fmt: skip
    attach_numbers(ax, rows)


def _scales(ax: Axes, label: str, high: float) -> None:
    """A linear axis from zero, and c in powers of two."""
    ax.set_xlim(left=0.0)
    ax.set_xlabel(label)
    log2_axis(ax, 1.0, high)
    small_labels(ax)


def log2_axis(ax: Axes, low: float, high: float) -> None:
    """The constant c on a scale of powers of two."""
    ax.set_yscale("log", base=2)
    ax.set_ylim(low, high)
    powers = [2.0**k for k in range(int(np.floor(np.log2(low))), int(np.ceil(np.log2(high))) + 1)]
    ax.yaxis.set_major_locator(FixedLocator(powers))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_ylabel("c = learning rate × initial sharpness")


def _legend_above(ax: Axes, handles: Sequence[Any]) -> None:
    """A legend in one row over the figure."""
    ax.figure.legend(
        handles=list(handles), loc="upper left", bbox_to_anchor=(0.01, 1.0), ncols=len(handles), frameon=False
    )


def plot_seed_fractions(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Shares of the seeds in each phase, for each width and constant c; one panel for each depth.

    A column is a width. In each cell the phases take the share of its breadth that their seeds have, from left to right
    in the order of growing c; a cell in which no phase has two thirds of the seeds is undecided, and outlined.

    Args:
        table: As for :func:`plot_critical_constants`.
        ax: Axes to draw on, if there is one depth; without it a new figure.

    Returns:
        The first Axes.

    Raises:
        TypeError: If ``ax`` is no Axes.
        ValueError: If there are several depths for one Axes.
    """
    check_axes(ax)
    whole = table.dropna(subset=["c_loss", "c_sharp", "c_max"])
    most = whole["c_max"][np.isfinite(whole["c_max"])]
    depths = sorted(whole["depth"].unique())
    if ax is not None and len(depths) > 1:
        raise ValueError(f"ax must be left out for several depths. Got {len(depths)}. Leave ax out.")
    with styled():
        wide = 2.9 * max(1, len(depths)) + 0.6
        panels = (
            [ax] if ax is not None else list(new_figure(wide, 3.4).subplots(1, max(1, len(depths)), squeeze=False)[0])
        )
        high = float(most.max()) * 1.3 if len(most) else 8.0
        log2_c = np.arange(0.0, np.log2(high), 0.2)
        for panel, depth in zip(panels, depths, strict=False):
            _draw_fractions(panel, whole[whole["depth"] == depth], log2_c)
            panel.set_title(f"d = {depth + 1}")
            panel.set_xlabel("width (narrow to wide)")
            log2_axis(panel, 2.0**-0.1, 2.0 ** (log2_c[-1] + 0.1))
            small_labels(panel)
        for panel in panels[1:]:
            panel.set_ylabel("")
        if ax is None:
            panels[0].figure.subplots_adjust(left=0.55 / wide, right=0.99, bottom=0.13, top=0.81, wspace=0.14)
        named = [Patch(facecolor=_phase_color(i), label=name) for i, name in enumerate(PHASES)]
        _legend_above(panels[0], [*named, Patch(facecolor="none", edgecolor="#000000", lw=0.6, label="undecided")])
    return panels[0]


def phase_shares(part: pd.DataFrame, c: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares of networks in each phase at each constant, ``(len(PHASES), len(c))``, from their critical constants."""
    loss, sharp, most = (part[name].to_numpy()[:, None] for name in ("c_loss", "c_sharp", "c_max"))
    diverged, risen = c[None] > most * (1.0 + 1e-9), c[None] >= loss * (1.0 - 1e-9)
    both = risen & (c[None] >= sharp * (1.0 - 1e-9))
    held = (~risen & ~diverged, risen & ~both & ~diverged, both & ~diverged, diverged)
    return np.array([phase.mean(0) for phase in held])


def _phase_color(i: int) -> str:
    """Colour of a phase."""
    return ("#DCEAF4", "#56B4E9", "#E69F00", "#7A7A7A")[i]


def _draw_fractions(ax: Axes, part: pd.DataFrame, log2_c: NDArray[np.float64]) -> None:
    """Columns of cells, one for each width."""
    widths, rows = sorted(part["width"].unique()), []
    half = 2.0 ** (0.5 * (log2_c[1] - log2_c[0]))
    c = 2.0**log2_c
    for column, width in enumerate(widths):
        shares = phase_shares(part[part["width"] == width], c)
        left = column - 0.45 + 0.9 * np.concatenate([np.zeros((1, len(c))), np.cumsum(shares, 0)[:-1]])
        for i, share in enumerate(shares):
            ax.bar(
                left[i], c * half - c / half, 0.9 * share, c / half, align="edge", color=_phase_color(i), lw=0, zorder=2
            )
        split, n_seeds = shares.max(0) < DECIDED, int((part["width"] == width).sum())
        for run in np.split(np.flatnonzero(split), 1 + np.flatnonzero(np.diff(np.flatnonzero(split)) > 1)):
            if len(run):
                low, top = c[run[0]] / half, c[run[-1]] * half
                ax.bar(column, top - low, 0.9, low, facecolor="none", edgecolor="#000000", lw=0.7, zorder=3)
        rows += [
            {"depth": int(part["depth"].iloc[0]), "width": int(width), "c": float(at), "n": n_seeds,
             **{name: float(shares[i, k]) for i, name in enumerate(PHASES)},
             "phase": "undecided" if split[k] else PHASES[int(shares[:, k].argmax())]}
            for k, at in enumerate(c)
        ]  # fmt: skip
    ax.set_xticks(range(len(widths)), [str(width) for width in widths])
    ax.set_xlim(-0.6, len(widths) - 0.4)
    attach_numbers(ax, rows)


def plot_uv_model(rows: Sequence[Mapping[str, Any]], ax: Axes | None = None) -> Axes:
    """Exact critical constants of the uv model against 1/w: means, and bands from the 10 % to the 90 % quantile.

    Dotted lines are the limits of wide models, 2, 5/2 and 4.

    Args:
        rows: Mappings with ``width`` and, for each constant, ``_mean`` and ``_quantiles`` (evenly spaced from 0 to 1).
        ax: Axes to draw on; without it a new figure.

    Returns:
        The Axes.

    Raises:
        TypeError: If ``ax`` is no Axes.
    """
    check_axes(ax)
    ordered = sorted(rows, key=lambda row: -int(row["width"]))
    inverse = np.array([1.0 / row["width"] for row in ordered])
    with styled():
        if ax is None:
            ax = new_figure(4.6, 3.3).add_axes((0.11, 0.14, 0.86, 0.74))
        for limit in (2.0, 2.5, 4.0):
            ax.axhline(limit, color=GUIDE, ls=(0, (1, 1.6)), lw=0.9, zorder=1)
        numbers = []
        for i, name in enumerate(CONSTANTS):
            grid = np.array([row[f"{name}_quantiles"] for row in ordered], dtype=float)
            low, high = (grid[:, round(q * (grid.shape[1] - 1))] for q in (0.1, 0.9))
            mean = np.array([row[f"{name}_mean"] for row in ordered], dtype=float)
            ax.fill_between(inverse, low, high, color=OKABE_ITO[i][0], alpha=0.15, lw=0, zorder=2)
            ax.plot(inverse, mean, color=OKABE_ITO[i][0], marker=MARKERS[i], ms=3.5, lw=1.2, zorder=3)
            numbers += [
                {"constant": name, "width": int(row["width"]), "mean": float(m), "low": float(a), "high": float(b)}
                for row, m, a, b in zip(ordered, mean, low, high, strict=True)
            ]
        ax.set_xscale("log", base=2)
        ax.set_xlabel("1 / width")
        log2_axis(ax, 1.8, 8.0)
        small_labels(ax)
        ax.legend(
            handles=[_constant_handle(name) for name in CONSTANTS], loc="lower left", bbox_to_anchor=(0.0, 1.0),
            ncols=len(CONSTANTS), borderaxespad=0.3,
        )  # fmt: skip
    attach_numbers(ax, numbers)
    return ax


def plot_uv_map(found: BoundaryMap, rows: Sequence[Mapping[str, Any]], order: Sequence[str] = PHASES) -> Axes:
    """The plane of (c, 1/w) of the uv model as mapped by few runs, with the exact medians of the constants dotted.

    Args:
        found: The map.
        rows: As for :func:`plot_uv_model`.
        order: Phases in the order of colours.

    Returns:
        The Axes.
    """
    box, ordered = found.box, sorted(rows, key=lambda row: int(row["width"]))
    truth = []
    for name in ("c_loss", "c_sharp", "c_max"):
        points = np.array([[np.median(row[f"{name}_quantiles"]), 1.0 / row["width"]] for row in ordered])
        inside = (points[:, 0] <= box.x.high) & (points[:, 1] >= box.y.low) & (points[:, 1] <= box.y.high)
        truth.append((points[inside, 0], points[inside, 1]))
    words = {"c": "c = learning rate × initial sharpness", "inverse_width": "1 / width"}
    with styled():
        ax = new_figure(5.6, 4.2).add_axes((0.11, 0.12, 0.87, 0.74))
        plot_boundary(found, ax, truth=truth, labels=words, order=order)
        handles = drawn.legend_handles if (drawn := ax.get_legend()) else []
        ax.legend(
            handles=handles, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=4, borderaxespad=0.3, columnspacing=1.2,
            handletextpad=0.4,
        )  # fmt: skip
        plain_log_ticks(ax.xaxis)
        ax.set_yscale("log", base=2)
        ax.set_ylim(box.y.low, box.y.high)
    return ax
