"""Paired contrasts between families as a forest plot: difference of rates, and ratio of errors at matched size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes

from approxrates.plots.families import brief, law_name, readable
from approxrates.plots.saving import attach_numbers
from approxrates.plots.style import OKABE_ITO, check_arguments, new_figure, styled
from approxrates.plots.ticks import plain_log_ticks
from approxrates.records import CONTRAST_COLUMNS, Records

if TYPE_CHECKING:
    import pandas as pd

MOST_PAIRS = 6  # contrasts per target up to which all pairs are drawn; beyond, only those with the first value
ROW = 0.175  # inches
APART, TOGETHER, ZERO = OKABE_ITO[0][0], "#8A8A8A", "#444444"


def plot_comparison(records: Records, column: str = "activation", ax: Axes | None = None) -> Axes:
    """Paired contrasts of the families that differ in ``column`` only, target by target, with 95 % intervals.

    Left, the difference of the rates p; right, the ratio of the errors at matched number of parameters. Pairs are
    compared on the same target draws. Coloured rows are those whose interval excludes "no difference". With many
    values, only the contrasts with the first one are drawn; ``records.compare`` has them all.

    Args:
        records: Records of a study.
        column: What differs within a pair, e.g. ``"activation"``, ``"method"`` or ``"start"``.
        ax: Axes to draw on: it gets the rate differences only. Without it a new figure with both.

    Returns:
        The Axes with the rate differences.

    Raises:
        TypeError: If ``records`` or ``ax`` are of another kind.
        ValueError: If there is no pair to compare, or ``column`` is unknown.
    """
    check_arguments(records, ax)
    frame = records.compare(column)
    if not len(frame):
        raise ValueError(
            f"records must hold two families that differ only in {column!r} and have rates. Got none. "
            "Compare by another column."
        )
    lines = _lines(frame, {_law(f.key): f.key.get("target_options") for f in records.families()})
    with styled():
        ratio_ax = None
        if ax is None:
            height = ROW * len(lines) + 0.62
            figure = new_figure(8.2, height)
            left = 0.3 + 0.068 * max(len(text) for text, _ in lines)
            grid = figure.add_gridspec(
                1,
                2,
                left=left / 8.2,
                right=1 - 1.5 / 8.2,
                bottom=0.5 / height,
                top=1 - 0.06 / height,
                wspace=1.5 / 2.1,
            )
            ax, ratio_ax = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
        _forest(ax, lines, ("difference", "difference_low", "difference_high"), 0.0)
        ax.set_xlabel("difference of rates  p₁ − p₂")
        ax.set_yticks([-i for i in range(len(lines))], [text for text, _ in lines])
        for tick, (_, row) in zip(ax.get_yticklabels(), lines, strict=True):
            tick.set_fontweight("bold" if row is None else "normal")
        if ratio_ax is not None:
            ratio_ax.set_xscale("log")
            _forest(ratio_ax, lines, ("error_ratio", "ratio_low", "ratio_high"), 1.0)
            plain_log_ticks(ratio_ax.xaxis)
            ratio_ax.set_xlabel("ratio of errors  E₁ / E₂  at matched W")
            ratio_ax.set_yticks([])
    attach_numbers(ax, [dict(row) for _, row in lines if row is not None])
    return ax


def _lines(frame: pd.DataFrame, options: Mapping[Any, Any]) -> list[tuple[str, Mapping[str, Any] | None]]:
    """Lines of the plot from top to bottom: a heading per target law (no row), then one line per contrast."""
    keys = [c for c in frame.columns if c not in CONTRAST_COLUMNS]
    groups: dict[str, list[Mapping[str, Any]]] = {}
    varying = [
        c
        for c in keys
        if frame[c].astype(str).nunique() > 1 and c not in ("target", "smoothness", "dim", "target_options")
    ]
    for found in frame.to_dict("records"):
        row = {str(name): value for name, value in found.items()}
        # The column is there only where it tells two targets apart; in a title it always stands.
        row = {"target_options": options.get(_law(row))} | row
        groups.setdefault(_heading(row, varying), []).append(row)
    lines: list[tuple[str, Mapping[str, Any] | None]] = []
    for heading, rows in groups.items():
        if len(rows) > MOST_PAIRS:
            rows = [r for r in rows if rows[0]["a"] in (r["a"], r["b"])]
        lines.append((heading, None))
        lines += [(f"{readable(r['a'])} − {readable(r['b'])}", r) for r in rows]
    return lines


def _law(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Target law of a key or of a row of contrasts, but for the options of the target."""
    return tuple(str(row.get(c)) for c in ("target", "smoothness", "dim"))


def _heading(row: Mapping[str, Any], varying: list[str]) -> str:
    """Title of a group of contrasts: target, r, d, and what else is held fixed in it."""
    smoothness = row.get("smoothness")
    law = law_name(row, math.inf if smoothness is None else float(smoothness), int(row.get("dim", 1)))
    return ", ".join([law, *(readable(row[c]) for c in varying if row.get(c) not in (None, ""))])


def _forest(
    ax: Axes, lines: list[tuple[str, Mapping[str, Any] | None]], columns: tuple[str, str, str], neutral: float
) -> None:
    """One interval per line about the neutral value, with its numbers in a column at the right."""
    ax.axvline(neutral, color=ZERO, lw=0.8, zorder=1)
    for i, (_, row) in enumerate(lines):
        if row is None or not math.isfinite(row[columns[0]]):
            continue
        value, low, high = (float(row[c]) for c in columns)
        apart = low > neutral or high < neutral
        color = APART if apart else TOGETHER
        if math.isfinite(low) and math.isfinite(high):
            ax.hlines(-i, low, high, color=color, lw=1.4, zorder=2)
        ax.plot([value], [-i], "o", color=color, mfc=color if apart else "white", ms=4, mew=1.0, zorder=3)
        sign = "+" if neutral == 0 else ""
        ax.annotate(
            f"{brief(value, sign)} [{brief(low, sign)}, {brief(high, sign)}]",
            (1, -i),
            xycoords=("axes fraction", "data"),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            ha="left",
            fontsize=6.8,
            color="#222222" if apart else "#777777",
            annotation_clip=False,
        )
    values = np.array([float(row[c]) for _, row in lines if row is not None for c in columns])
    values = np.append(values[np.isfinite(values)], neutral)
    if neutral:
        values = np.log(values[values > 0])
    pad = 0.06 * float(np.ptp(values)) + 0.02
    ends = values.min() - pad, values.max() + pad
    ax.set_xlim(*(np.exp(ends) if neutral else ends))
    ax.set_ylim(-len(lines) + 0.4, 0.6)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    for i, (_, row) in enumerate(lines):
        if row is not None:
            ax.axhline(-i, color="#EEEEEE", lw=0.5, zorder=0)
