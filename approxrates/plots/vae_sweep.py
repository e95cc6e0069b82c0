"""Sweeps of variational autoencoders: distortion, rate and active units, and the rates of single units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter, ScalarFormatter
from numpy.typing import NDArray

from approxrates.plots.saving import attach_numbers
from approxrates.plots.style import GUIDE, GUIDE_TEXT, OKABE_ITO, check_axes, new_figure, small_labels, styled

Array = NDArray[np.float64]
Groups = Mapping[str, Sequence[Mapping[str, Any]]]
"""Sweeps by name: for each seed ``values``, and ``up`` and ``down`` with columns over them."""

COLUMNS = {"distortion": "distortion (nats)", "rate": "rate (nats)", "active": "active units"}
_DIRECTIONS = (("up", "-", "o", 1.0), ("down", (0, (2.5, 1.5)), "v", 0.0))


def plot_vae_sweep(groups: Groups, symbol: str, thresholds: Sequence[float] = (), ax: Axes | None = None) -> Axes:
    """Distortion, rate and number of active units against the swept weight: up solid, down dashed.

    Lines are medians over seeds, bands their range. Dotted verticals are the weights at which theory lets the units of
    the linear autoencoder die.

    Args:
        groups: Sweeps by name.
        symbol: The swept weight in words.
        thresholds: Weights known from theory.
        ax: Axes for the number of active units alone; without it a new figure with three panels.

    Returns:
        The Axes of the active units.

    Raises:
        TypeError: If ``ax`` is of another kind.
        ValueError: If there is no sweep.
    """
    check_axes(ax)
    _check(groups)
    with styled():
        panels = dict.fromkeys(COLUMNS) if ax is None else {"active": ax}
        if ax is None:
            figure = new_figure(8.6, 2.9)
            lefts = (0.06, 0.39, 0.715)
            panels = {c: figure.add_axes((x, 0.16, 0.265, 0.7)) for c, x in zip(COLUMNS, lefts, strict=True)}
        for column, panel in panels.items():
            assert panel is not None
            _guides(panel, thresholds)
            for number, (label, rows) in enumerate(groups.items()):
                _curves(panel, label, rows, column, OKABE_ITO[number][0])
            _scales(panel, symbol, COLUMNS[column])
        chosen = panels["active"]
        assert chosen is not None
        chosen.yaxis.set_major_locator(MaxNLocator(integer=True))
        first = next(panel for panel in panels.values() if panel is not None)
        _legend(first, list(groups))
    return chosen


def plot_unit_rates(groups: Groups, symbol: str, thresholds: Sequence[float] = (), ax: Axes | None = None) -> Axes:
    """Rates of the latent units, largest first, against the swept weight: a panel for each group, the first seed of it.

    Args:
        groups: Sweeps by name.
        symbol: The swept weight in words.
        thresholds: Weights known from theory.
        ax: Axes for the first group alone; without it a new figure with a panel for each.

    Returns:
        The Axes of the first group.

    Raises:
        TypeError: If ``ax`` is of another kind.
        ValueError: If there is no sweep.
    """
    check_axes(ax)
    _check(groups)
    names = list(groups) if ax is None else list(groups)[:1]
    with styled():
        panels = [ax] if ax is not None else _beside(len(names))
        for panel, name in zip(panels, names, strict=True):
            _guides(panel, thresholds)
            row = groups[name][0]
            floor = row["active_rate"] / 10.0
            for direction, dash, marker, filled in _DIRECTIONS:
                rates = np.maximum(np.array(row[direction]["unit_rates"], dtype=np.float64), floor)
                for unit in range(rates.shape[1]):
                    color = OKABE_ITO[unit % len(OKABE_ITO)][0]
                    face = color if filled else "none"
                    panel.plot(
                        row["values"], rates[:, unit], color=color, ls=dash, lw=0.9, marker=marker, ms=2.2, mfc=face
                    )
                attach_numbers(panel, _unit_numbers(name, direction, row))
            panel.axhline(row["active_rate"], color=GUIDE, lw=0.7, zorder=1)
            panel.set_yscale("log")
            panel.set_ylim(bottom=floor * 0.8)
            _scales(panel, symbol, "rate of a unit (nats)")
            panel.set_title(f"{name}: rates of the units, largest first")
        _legend(panels[0], [])
    return panels[0]


def _check(groups: Groups) -> None:
    """Refuse figures of nothing."""
    if not groups or not all(groups.values()):
        raise ValueError("a figure of sweeps needs at least one sweep in each group. Got none.")


def _beside(n: int) -> list[Axes]:
    """Panels side by side."""
    figure = new_figure(0.6 + 3.9 * n, 3.1)
    width = 1.0 / n
    return [figure.add_axes((i * width + 0.14 * width, 0.15, 0.83 * width, 0.71)) for i in range(n)]


def _curves(ax: Axes, label: str, rows: Sequence[Mapping[str, Any]], column: str, color: str) -> None:
    """Median over seeds of one column, both ways, with the range."""
    values = np.array(rows[0]["values"], dtype=np.float64)
    for direction, dash, marker, filled in _DIRECTIONS:
        seeds = np.array([row[direction][column] for row in rows], dtype=np.float64)
        middle, low, high = np.median(seeds, 0), seeds.min(0), seeds.max(0)
        face = color if filled else "white"
        ax.fill_between(values, low, high, color=color, alpha=0.15, lw=0)
        ax.plot(values, middle, color=color, ls=dash, lw=1.1, marker=marker, ms=2.8, mfc=face, mew=0.7)
        attach_numbers(ax, [
            {"group": label, "direction": direction, "column": column, "value": float(v), "median": float(m),
             "low": float(a), "high": float(b), "seeds": len(rows)}
            for v, m, a, b in zip(values, middle, low, high, strict=True)
        ])  # fmt: skip


def _unit_numbers(name: str, direction: str, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The numbers of one panel of unit rates."""
    return [
        {"group": name, "direction": direction, "value": float(value), "unit": unit + 1, "rate": float(rate)}
        for value, rates in zip(row["values"], row[direction]["unit_rates"], strict=True)
        for unit, rate in enumerate(rates)
    ]


def _guides(ax: Axes, thresholds: Sequence[float]) -> None:
    """Weights known from theory."""
    for value in thresholds:
        ax.axvline(value, color=GUIDE, lw=0.7, ls=(0, (1, 1.6)), zorder=0)


def _scales(ax: Axes, symbol: str, label: str) -> None:
    """Axes and their words."""
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(ScalarFormatter())
    ax.xaxis.set_minor_formatter(NullFormatter())
    low, high = ax.get_xlim()
    ticks = [t * 10.0**k for k in range(-8, 9) for t in (1, 2, 5) if low <= t * 10.0**k <= high]
    if high / low < 1e3 and len(ticks) > 1:
        ax.set_xticks(ticks)
    ax.set_xlabel(symbol)
    ax.set_ylabel(label)
    small_labels(ax)


def _legend(ax: Axes, names: Sequence[str]) -> None:
    """Colours of the groups, and the two directions, above the panel."""
    handles = [Line2D([], [], color=OKABE_ITO[i][0], lw=1.4, label=name) for i, name in enumerate(names)]
    handles += [
        Line2D([], [], color=GUIDE_TEXT, lw=1.1, ls=dash, marker=marker, ms=2.8, mfc=GUIDE_TEXT if filled else "white",
               label=direction)
        for direction, dash, marker, filled in _DIRECTIONS
    ]  # fmt: skip
    handles.append(Line2D([], [], color=GUIDE, lw=0.7, ls=(0, (1, 1.6)), label="theory, linear"))
    place = (0.0, 1.02) if names else (0.0, 1.08)
    ax.legend(
        handles=handles, loc="lower left", bbox_to_anchor=place, ncols=len(handles), borderaxespad=0.1,
        handletextpad=0.5, columnspacing=1.1,
    )  # fmt: skip
