"""Loss curves of training: every replica, as it went."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from approxrates.plots.families import law_name
from approxrates.plots.saving import attach_numbers
from approxrates.plots.style import check_axes, new_figure, small_labels, styled
from approxrates.records import load_records

if TYPE_CHECKING:
    from approxrates.training import Fit

MOST_PANELS = 12
COLUMNS = 3
Curve = NDArray[np.float64]
Curves = dict[str, list[tuple[dict[str, Any], float, Curve]]]
"""By title of a panel: for each replica what it is, its size, and its steps and losses ``(n, 2)``."""


def plot_training_curves(source: Fit | str | Path, ax: Axes | None = None) -> Axes:
    """Loss against step for every replica, none averaged away: one thin line each, darker for larger networks.

    Losses are on the full sampling set, of the target scaled to variance one: the mean square error relative to the
    target's variance. A line that ends early is a replica that converged, stalled or broke down.

    Args:
        source: A fit, or a results folder whose study was run with ``curves=True``.
        ax: Axes to draw on, if there is one target law, activation and start; without it a new figure with one panel
            for each (at most twelve).

    Returns:
        The first Axes.

    Raises:
        TypeError: If ``source`` is neither, or ``ax`` is no Axes.
        ValueError: If there are no curves, or several panels for one Axes.
    """
    check_axes(ax)
    groups = _of_source(source)
    if ax is not None and len(groups) > 1:
        raise ValueError(f"ax must be left out for several panels. Got {len(groups)}. Leave ax out.")
    with styled():
        panels = [ax] if ax is not None else _panels(min(len(groups), MOST_PANELS))
        for panel, (title, curves) in zip(panels, groups.items(), strict=False):
            _draw(panel, title, curves)
        for i, panel in enumerate(panels if ax is None else ()):
            panel.set_ylabel("" if i % COLUMNS else panel.get_ylabel())
            panel.set_xlabel("" if i + COLUMNS < len(panels) else panel.get_xlabel())
    return panels[0]


def _of_source(source: Any) -> Curves:
    """Curves by panel.

    Raises:
        TypeError: If the source is neither a fit nor a path.
        ValueError: If it has no curves.
    """
    if isinstance(source, (str, os.PathLike)):
        groups = _of_folder(Path(source))
    elif hasattr(source, "curves") and hasattr(source, "members"):
        groups = _of_fit(source)
    else:
        raise TypeError(
            f"source must be a Fit or a results folder. Got {type(source).__name__}. Write "
            "plot_training_curves(ar.train(...)) or plot_training_curves('results/mine')."
        )
    if not groups:
        raise ValueError(
            f"source must hold loss curves. Got none in {source}. Run the study with curves=True (--curves)."
        )
    return groups


def _of_fit(fit: Fit) -> Curves:
    """Curves of a fit by target."""
    groups: Curves = {}
    for (target, replica), network, curve in zip(fit.members, fit.networks, fit.curves, strict=True):
        if len(curve):
            told = {"target": target.name, "replica": replica}
            groups.setdefault(target.name, []).append((told, float(network.n_params), curve))
    return groups


def _of_folder(folder: Path) -> Curves:
    """Curves of a results folder by target law, activation and start."""
    if not any((folder / "curves").glob("*.csv")):
        return {}
    groups: Curves = {}
    rows = [{str(k): v for k, v in row.items()} for row in load_records(folder).frame().to_dict("records")]
    for row in sorted(rows, key=lambda row: (str(row["target"]), float(row["n_params"] or 0), row["run_id"])):
        path = folder / "curves" / f"{row['run_id']}.csv"
        if path.exists():
            curve = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)
            told = {c: row[c] for c in ("run_id", "target", "target_seed", "width", "depth", "replica", "budget")}
            groups.setdefault(_title(row), []).append((told, float(row["n_params"]), curve))
    return {title: groups[title] for title in sorted(groups)}


def _title(row: Mapping[str, Any]) -> str:
    """What the replicas of a panel have in common."""
    law = law_name(row, float(row["smoothness"]), int(row["dim"]))
    return f"{law}\n{row['activation']}, {row['start']} start"


def _panels(count: int) -> list[Axes]:
    """Panels, three in a row."""
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    width, height = 0.9 + 2.7 * columns, 0.5 + 2.2 * rows
    figure = new_figure(width, height)
    grid = figure.add_gridspec(
        rows, columns, left=0.62 / width, right=1 - 0.1 / width, top=1 - 0.4 / height, bottom=0.45 / height,
        wspace=0.28, hspace=0.48,
    )  # fmt: skip
    return [figure.add_subplot(grid[i // columns, i % columns]) for i in range(count)]


def _draw(ax: Axes, title: str, curves: list[tuple[dict[str, Any], float, Curve]]) -> None:
    """All replicas of one panel."""
    sizes = sorted({size for _, size, _ in curves})
    shades = matplotlib.colormaps["viridis_r"](np.linspace(0.15, 1.0, len(sizes)))
    colour = dict(zip(sizes, shades, strict=True))
    ax.set_yscale("log")
    for _, size, curve in curves:
        shown = np.isfinite(curve[:, 1]) & (curve[:, 1] > 0)
        ax.plot(curve[shown, 0], curve[shown, 1], color=colour[size], lw=0.6, alpha=0.8)
    ax.set_title(title, fontsize=7.5)
    ax.set_xlabel("step")
    ax.set_ylabel("mean square error / variance")
    told = sizes if len(sizes) <= 4 else [sizes[round(i * (len(sizes) - 1) / 3)] for i in range(4)]
    handles = [Line2D([], [], color=colour[size], label=f"W = {size:,.0f}") for size in told]
    ax.legend(handles=handles, loc="upper right", fontsize=6.5, handlelength=1.2, labelspacing=0.2)
    small_labels(ax)
    numbers = [
        {**told_of, "n_params": size, "step": int(step), "loss": loss}
        for told_of, size, curve in curves
        for step, loss in curve
    ]
    attach_numbers(ax, numbers)
