"""The optimisation gap, and what training gains over its start and over splines, size by size with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from approxrates.plots.families import by_law_and_family
from approxrates.plots.rate_curves import NORM_LABELS, SIZE_LABELS
from approxrates.plots.saving import attach_numbers
from approxrates.plots.style import Look, check_arguments, figure_of, looks, new_figure, small_labels, styled
from approxrates.plots.ticks import plain_log_ticks

if TYPE_CHECKING:
    from approxrates.records import Records

GAP = ("optimisation_gap",)
GAINS = ("gain_over_start", "gain_over_spline")
CALLED = {
    "optimisation_gap": "optimisation gap: trained / achievable",
    "gain_over_start": "gain over the constructive start",
    "gain_over_spline": "gain over the best spline of equal count",
}
ZERO = "#BBBBBB"
Rows = list[dict[str, Any]]


def plot_gaps(records: Records, norm: str = "sup", ax: Axes | None = None) -> Axes:
    """Ratios of errors against size, with 95 % intervals, target law by target law.

    Left, the optimisation gap: how many times larger the error is from random starts than from constructive ones.
    Right, how many times training makes the error of its constructive start smaller (filled marks), and how many times
    smaller it is than that of the best spline with as many numbers (hollow marks). One is no difference.

    Args:
        records: Records of a study with constructive starts.
        norm: ``"sup"`` or ``"l2"``.
        ax: Axes for the optimisation gap alone, of all targets; without it a new figure.

    Returns:
        The first Axes with the optimisation gap, or with gains if there is no gap.

    Raises:
        TypeError: If ``records`` or ``ax`` are of another kind.
        ValueError: If the records hold no such ratio, or for an unknown norm.
    """
    check_arguments(records, ax)
    frame = records.gaps(norm)
    kinds = [kind for kind in (GAP, GAINS) if any(frame[name].notna().any() for name in kind)]
    kinds = [kind for kind in kinds if ax is None or kind == GAP]
    if not kinds:
        raise ValueError(
            "records must hold a constructive start beside a random one, its error before training, or a spline. Got "
            "none. Write start=ar.axis('random', 'constructive')."
        )
    groups = list(by_law_and_family(frame).items())
    called = looks((name, False) for _, families in groups for name in families)
    with styled():
        if ax is not None:
            for title, families in groups:
                _draw(ax, families, GAP, called, norm, title if len(groups) > 1 else "")
            return ax
        panels = _panels(len(groups), len(kinds))
        for (title, families), row in zip(groups, panels, strict=True):
            for kind, panel in zip(kinds, row, strict=True):
                _draw(panel, families, kind, called, norm, "")
            row[0].set_title(title)
        for row in panels[:-1]:
            for panel in row:
                panel.set_xlabel("")
        _legend(panels[0][0], called, GAINS in kinds)
    return panels[0][0]


def _panels(rows: int, columns: int) -> list[list[Axes]]:
    """A grid of Axes, a row for each target law."""
    width, height = 0.4 + 3.7 * columns, 0.75 + 2.3 * rows
    figure = new_figure(width, height)
    grid = figure.add_gridspec(
        rows, columns, left=0.6 / width, right=1 - 0.12 / width, top=1 - 0.28 / height, bottom=0.95 / height,
        wspace=0.24, hspace=0.42,
    )  # fmt: skip
    return [[figure.add_subplot(grid[i, j]) for j in range(columns)] for i in range(rows)]


def _draw(
    ax: Axes, families: dict[str, Rows], names: Sequence[str], called: dict[str, Look], norm: str, title: str
) -> None:
    """One panel: a line with intervals for each family and ratio, and the line of no difference."""
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.axhline(1.0, color=ZERO, lw=0.8, zorder=1)
    numbers: Rows = []
    for family, rows in families.items():
        for name in names:
            shown = [row for row in rows if np.isfinite(row[name])]
            if shown:
                _line(ax, shown, name, called[family])
                numbers += [_number(row, name, ", ".join(filter(None, [family, title])), norm) for row in shown]
    ax.set_xlabel(SIZE_LABELS["n_params"])
    what = "trained / achievable" if tuple(names) == GAP else "gain of training"
    ax.set_ylabel(f"{NORM_LABELS[norm]}: {what}")
    plain_log_ticks(ax.yaxis)
    ax.xaxis.set_minor_formatter(NullFormatter())
    small_labels(ax)
    attach_numbers(ax, numbers)


def _line(ax: Axes, rows: Rows, name: str, look: Look) -> None:
    """One ratio of one family."""
    sizes, values = np.array([[row["n_params"], row[name]] for row in rows], dtype=float).T
    spline = name == "gain_over_spline"
    ax.plot(
        sizes, values, look.marker, ls="--" if spline else "-", color=look.color, lw=1.0, ms=3.6, mew=0.8,
        mfc="white" if spline else look.color, zorder=3,
    )  # fmt: skip
    known = [row for row in rows if np.isfinite(row[f"{name}_low"]) and np.isfinite(row[f"{name}_high"])]
    if known:
        at, low, high = np.array([[r["n_params"], r[f"{name}_low"], r[f"{name}_high"]] for r in known], dtype=float).T
        ax.vlines(at, low, high, color=look.color, lw=1.0, alpha=0.55, zorder=2)


def _number(row: dict[str, Any], name: str, family: str, norm: str) -> dict[str, Any]:
    """The numbers of one mark."""
    told = {c: row[c] for c in ("target", "smoothness", "dim")}
    told |= {"family": family, "n_params": row["n_params"], "norm": norm, "ratio": name, "value": row[name]}
    told |= {"low": row[f"{name}_low"], "high": row[f"{name}_high"]}
    return told | {c: row[c] for c in ("trained", "achievable", "start_error", "spline", "interval_over")}


def _legend(ax: Axes, called: dict[str, Look], gains: bool) -> None:
    """Families by colour, ratios by mark, along the bottom edge."""
    handles = [Line2D([], [], marker=look.marker, color=look.color, ms=4, label=name) for name, look in called.items()]
    if gains:
        plain: dict[str, Any] = {"color": "#555555", "ms": 4, "marker": "o"}
        handles.append(Line2D([], [], label=CALLED["gain_over_start"], **plain))
        handles.append(Line2D([], [], ls="--", mfc="white", label=CALLED["gain_over_spline"], **plain))
    figure = figure_of(ax)
    columns = 3 if figure.get_figwidth() > 6 else 1
    figure.legend(handles=handles, loc="lower left", ncols=columns, fontsize=7, borderaxespad=0.3, columnspacing=1.4)
