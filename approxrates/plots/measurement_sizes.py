"""What was measured at the end of training against the size of the network, beneath the error."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from approxrates.plots.families import by_target, family_names, is_baseline, readable, target_name
from approxrates.plots.measurement_curves import CALLED, set_scale
from approxrates.plots.rate_curves import NORM_LABELS, SIZE_LABELS
from approxrates.plots.saving import attach_numbers
from approxrates.plots.style import Look, check_arguments, figure_of, looks, new_figure, small_labels, styled
from approxrates.plots.ticks import plain_log_ticks
from approxrates.records.curves import FamilyCurve

if TYPE_CHECKING:
    from approxrates.records import Records

F64 = NDArray[np.float64]
COLUMNS = 3
"""Pairs of panels in a row."""


def plot_measurement(
    records: Records, column: str, x: str = "n_params", norm: str = "sup", ax: Axes | None = None
) -> Axes:
    """A measurement at the returned networks against their size, with the error above it: sharpness beside accuracy.

    Marks are medians over seeds and target draws, bars their quartiles, one colour for each family. One pair of panels
    for each target law: the error above, the measurement beneath.

    Args:
        records: Records of a study with ``measure``, or any with this column of numbers.
        column: The column, such as ``"sharpness"``.
        x: What is counted, as in ``plot_rates``.
        norm: Of the error: ``"sup"`` or ``"l2"``.
        ax: Axes for the measurement alone, if there is one target law; without it a new figure.

    Returns:
        The Axes with the measurement, of several the first.

    Raises:
        TypeError: If ``records`` or ``ax`` are of another kind.
        ValueError: If no run has the column, naming those that were measured; if there are several target laws for one
            Axes; for an unknown size or norm.
    """
    check_arguments(records, ax)
    families = [f for f in records.families(x=x, norm=norm) if np.isfinite(_values(f, column)).any()]
    if not families:
        known = ", ".join(records.measured) or "none"
        raise ValueError(
            f"records must hold runs with numbers in the column {column!r}. Measured columns: {known}. Run the study "
            f"with measure=[{column!r}]."
        )
    groups = by_target(families)
    if ax is not None and len(groups) > 1:
        raise ValueError(f"ax must be left out for several target laws. Got {len(groups)}. Leave ax out.")
    names = family_names(families)
    look = looks((name, is_baseline(f)) for name, f in zip(names, families, strict=True))
    called = {id(f): (name, look[name]) for name, f in zip(names, families, strict=True)}
    with styled():
        pairs: list[tuple[Axes | None, Axes]] = [(None, ax)] if ax is not None else _panels(len(groups), len(look))
        for group, (upper, lower) in zip(groups, pairs, strict=True):
            if upper is not None:
                upper.set_title(target_name(group[0]))
                _draw(upper, group, called, column=None, x=x, norm=norm)
                upper.set_xlabel("")
                upper.tick_params(labelbottom=False)
            _draw(lower, group, called, column=column, x=x, norm=norm)
        if ax is None:
            _finish(pairs, look)
    return pairs[0][1]


def _values(family: FamilyCurve, column: str) -> F64:
    """The measurement of every run, shape ``(draws, k, seeds)``; NaN where there is none."""

    def number(row: Any) -> float:
        value = row.get(column)
        plain = isinstance(value, (int, float)) and not isinstance(value, bool)
        return float(value) if plain and row.get("status") == "ok" else math.nan

    return family.of_runs(number)


def _quartiles(values: F64) -> F64:
    """Quartiles over draws and seeds of the finite values, shape ``(3, k)``; NaN where there are none."""
    found = np.full((3, values.shape[1]), np.nan)
    for i in range(values.shape[1]):
        good = values[:, i][np.isfinite(values[:, i])]
        if good.size:
            found[:, i] = np.quantile(good, [0.25, 0.5, 0.75])
    return found


def _panels(count: int, names: int) -> list[tuple[Axes | None, Axes]]:
    """Pairs of Axes, the error above the measurement, with room for so many names beneath."""
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    beneath = 0.5 + 0.17 * -(-names // (2 if columns == 1 else 3))
    width, height = (4.8 if columns == 1 else 0.5 + 2.9 * columns), beneath + 3.7 * rows
    figure = new_figure(width, height)
    grid = figure.add_gridspec(
        rows, columns, left=0.68 / width, right=1 - 0.12 / width, top=1 - 0.3 / height, bottom=beneath / height,
        wspace=0.3, hspace=0.3,
    )  # fmt: skip
    pairs: list[tuple[Axes | None, Axes]] = []
    for i in range(count):
        inner = grid[i // columns, i % columns].subgridspec(2, 1, hspace=0.08)
        lower = figure.add_subplot(inner[1])
        pairs.append((figure.add_subplot(inner[0], sharex=lower), lower))
    return pairs


def _draw(
    ax: Axes, families: list[FamilyCurve], called: dict[int, tuple[str, Look]], column: str | None, x: str, norm: str
) -> None:
    """One panel: the error (no column) or the measurement of each family."""
    found = [_quartiles(family.errors if column is None else _values(family, column)) for family in families]
    heights = np.concatenate([part.ravel() for part in found])
    ax.set_xscale("log")
    set_scale(ax.yaxis, heights)
    rows: list[dict[str, Any]] = []
    for family, (low, middle, high) in zip(families, found, strict=True):
        name, look = called[id(family)]
        shown = np.isfinite(middle)
        size = family.sizes
        ax.plot(
            size[shown], middle[shown], look.marker, ls=look.dash, color=look.color, lw=1.0, ms=3.6, mew=0.6, zorder=3
        )
        wide = shown & (high > low)
        ax.vlines(size[wide], low[wide], high[wide], color=look.color, lw=1.0, alpha=0.55, zorder=2)
        what = "error" if column is None else column
        rows += [
            {
                "target": target_name(family, dim=True), "family": name, x: size[i],
                **({"norm": norm} if column is None else {}),
                f"{what}_quartile_low": low[i], f"{what}_median": middle[i], f"{what}_quartile_high": high[i],
            }
            for i in np.flatnonzero(shown)
        ]  # fmt: skip
    ax.set_xlabel(SIZE_LABELS.get(x, x))
    ax.set_ylabel(NORM_LABELS.get(norm, f"{norm} error") if column is None else CALLED.get(column, readable(column)))
    if ax.get_yscale() == "log":
        plain_log_ticks(ax.yaxis)
    plain_log_ticks(ax.xaxis)
    small_labels(ax)
    attach_numbers(ax, rows)


def _finish(pairs: list[tuple[Axes | None, Axes]], look: dict[str, Look]) -> None:
    """Names of the scales at the left and lower edge only; the families along the bottom edge."""
    columns = min(COLUMNS, len(pairs))
    for i, (upper, lower) in enumerate(pairs):
        for panel in (upper, lower) if i % columns else ():
            if panel is not None:
                panel.set_ylabel("")
        if i + columns < len(pairs):
            lower.set_xlabel("")
    handles = [
        Line2D([], [], marker=one.marker, ls=one.dash, color=one.color, ms=4, label=name) for name, one in look.items()
    ]
    figure = figure_of(pairs[0][1])
    for n in range(min(6, len(handles)), 0, -1):
        legend = figure.legend(
            handles=handles, loc="lower left", ncols=n, fontsize=7, borderaxespad=0.3, columnspacing=1.4,
            labelspacing=0.25,
        )  # fmt: skip
        if legend.get_window_extent().width <= 0.93 * figure.bbox.width or n == 1:
            return
        legend.remove()
