"""Sharpness along training: the regimes of a trajectory, and the edge of stability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import ArrayLike, NDArray

from approxrates.plots.saving import attach_numbers
from approxrates.plots.style import DASHES, GUIDE, OKABE_ITO, check_axes, new_figure, small_labels, styled
from approxrates.plots.ticks import plain_log_ticks
from approxrates.regimes import Regime, Regimes

_SHADES = {
    Regime.TRANSIENT: "#56B4E9",
    Regime.SATURATION: "#009E73",
    Regime.SHARPENING: "#E69F00",
    Regime.EDGE: "#D55E00",
    Regime.UNDECIDED: "#B0B0B0",
}


def plot_regimes(
    steps: ArrayLike, loss: ArrayLike, sharpness: ArrayLike, regimes: Regimes, ax: Axes | None = None
) -> Axes:
    """Sharpness, with two over the learning rate, and loss along a trajectory; its regimes shaded and named.

    Args:
        steps: Steps, shape ``(n,)``.
        loss: Training loss, ``(n,)``.
        sharpness: Top Hessian eigenvalue, ``(n,)``.
        regimes: What ``label_regimes`` found in them.
        ax: Axes for the sharpness alone; without it a new figure of two panels.

    Returns:
        The Axes of the sharpness.

    Raises:
        TypeError: If ``ax`` is no Axes.
    """
    check_axes(ax)
    t, losses, values = (np.asarray(a, dtype=float) for a in (steps, loss, sharpness))
    edge = 2.0 / regimes.learning_rate
    with styled():
        lower = None
        if ax is None:
            figure = new_figure(5.6, 4.3)
            ax, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1.5, 1.0))
            figure.subplots_adjust(left=0.12, right=0.985, bottom=0.1, top=0.87, hspace=0.08)
        _draw_along(ax, t, values, regimes, "sharpness")
        ax.axhline(edge, color=OKABE_ITO[1][0], ls=(0, (4, 2)), lw=1.0, zorder=2)
        ax.annotate(
            "2 / learning rate", (1.0, edge), xycoords=("axes fraction", "data"), xytext=(-4, 3),
            textcoords="offset points", ha="right", va="bottom", fontsize=7.5, color=OKABE_ITO[1][1],
        )  # fmt: skip
        if lower is not None:
            _draw_along(lower, t, losses, regimes, "training loss")
        (lower or ax).set_xlabel("1 + step")
        kinds = dict.fromkeys(part.regime for part in regimes.intervals)
        handles = [Patch(facecolor=_SHADES[kind], alpha=0.35, label=kind.value) for kind in kinds]
        ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, borderaxespad=0.3)
    attach_numbers(ax, [
        {"step": float(a), "loss": float(b), "sharpness": float(c), "edge": edge, "regime": regimes.at(a).value}
        for a, b, c in zip(t, losses, values, strict=True)
    ])  # fmt: skip
    return ax


def _draw_along(ax: Axes, t: NDArray[np.float64], values: NDArray[np.float64], regimes: Regimes, label: str) -> None:
    """One series along training, on logarithmic scales, over the shades of the regimes."""
    for part in regimes.intervals:
        ax.axvspan(1.0 + part.begin, 1.0 + part.end, color=_SHADES[part.regime], alpha=0.22, lw=0, zorder=0)
    ax.plot(1.0 + t, values, color="#222222", lw=1.1, marker=".", ms=2.5, zorder=3)
    ax.set_xscale("log")
    ax.set_xlim(1.0 + t[0], 1.0 + t[-1])
    ax.set_yscale("log")
    plain_log_ticks(ax.yaxis)
    ax.set_ylabel(label)
    small_labels(ax)


def plot_edge(rows: Sequence[Mapping[str, Any]], ax: Axes | None = None) -> Axes:
    """Sharpness over ``2 / learning_rate`` along long trainings: one line for each network, a colour for each rate.

    Args:
        rows: Mappings with ``target`` (the value of ``2 / learning_rate``), ``seed``, ``steps``, ``sharpness``.
        ax: Axes to draw on; without it a new figure.

    Returns:
        The Axes.

    Raises:
        TypeError: If ``ax`` is no Axes.
    """
    check_axes(ax)
    targets = sorted({float(row["target"]) for row in rows})
    with styled():
        if ax is None:
            ax = new_figure(4.6, 3.0).add_axes((0.11, 0.15, 0.86, 0.72))
        numbers = []
        for row in rows:
            i = targets.index(float(row["target"]))
            ratio = np.asarray(row["sharpness"], dtype=float) / float(row["target"])
            ax.plot(row["steps"], ratio, color=OKABE_ITO[i][0], ls=DASHES[i], lw=0.9, zorder=3)
            numbers += [
                {"edge": float(row["target"]), "seed": int(row["seed"]), "step": float(a), "ratio": float(b)}
                for a, b in zip(row["steps"], ratio, strict=True)
            ]
        ax.axhline(1.0, color=GUIDE, lw=0.8, zorder=1)
        ax.set_ylim(bottom=0.0)
        ax.set_xlabel("step")
        ax.set_ylabel("sharpness × learning rate / 2")
        small_labels(ax)
        handles = [
            Line2D([], [], color=OKABE_ITO[i][0], ls=DASHES[i], label=f"2/learning rate = {target:g}")
            for i, target in enumerate(targets)
        ]
        ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=len(handles), borderaxespad=0.3)
    attach_numbers(ax, numbers)
    return ax
