"""The rate against a setting of the training, such as the L2 penalty: what the setting does to the exponent."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from approxrates.plots.families import by_target, family_names, target_name
from approxrates.plots.saving import attach_numbers
from approxrates.plots.style import GUIDE, Look, check_arguments, figure_of, looks, new_figure, small_labels, styled
from approxrates.records.curves import FamilyCurve

if TYPE_CHECKING:
    from approxrates.records import Records

LABELS = {"l2_penalty": "L2 penalty γ"}


def plot_rates_against(records: Records, column: str = "l2_penalty", norm: str = "sup", ax: Axes | None = None) -> Axes:
    """Rate p of each family against a setting that families differ in, with 95 % intervals; one panel a target law.

    Filled marks are rates of the sizes that are not limited by optimisation, where these determine one; hollow marks
    are slopes of all sizes: those of the training. Thin lines are ``r / d`` and ``2 r / d``.

    Args:
        records: Records of a study that sweeps the setting.
        column: A column of numbers of the family key.
        norm: ``"sup"`` or ``"l2"``.
        ax: Axes to draw on, if there is one target law; without it a new figure.

    Returns:
        The Axes, of several the first.

    Raises:
        TypeError: If ``records`` or ``ax`` are of another kind.
        ValueError: If families do not differ in the column, or there are several target laws for one Axes.
    """
    check_arguments(records, ax)
    families = [f for f in records.families(norm=norm) if isinstance(f.key.get(column), (int, float))]
    values = sorted({float(f.key[column]) for f in families})
    if len(values) < 2:
        raise ValueError(f"records must hold families that differ in {column!r}. Got {values}.")
    groups = by_target(families)
    if ax is not None and len(groups) > 1:
        raise ValueError(f"ax must be left out for several target laws. Got {len(groups)}. Leave ax out.")
    called = family_names([_without(f, column) for f in families])
    names = {id(f): name for f, name in zip(families, called, strict=True)}
    look = looks((names[id(f)], False) for f in families)
    with styled():
        panels = [ax] if ax is not None else _panels(len(groups))
        for group, panel in zip(groups, panels, strict=True):
            panel.set_title(target_name(group[0]))
            _draw(panel, group, {f: look[names[f]] for f in map(id, group)}, names, column, values)
        for panel in panels[1:]:
            panel.set_ylabel("")
        if ax is None:
            handles, labels = panels[0].get_legend_handles_labels()
            figure_of(panels[0]).legend(handles, labels, fontsize=7, loc="lower center", ncols=4, frameon=False)
    return panels[0]


def _without(family: FamilyCurve, column: str) -> FamilyCurve:
    """A family as if the setting, which the axis tells, were no part of it."""
    return dataclasses.replace(family, key={c: v for c, v in family.key.items() if c != column})


def _panels(count: int) -> list[Axes]:
    """Panels side by side, with room for the names of the families beneath."""
    figure = new_figure(0.8 + 3.4 * count, 3.4)
    panels = list(figure.subplots(1, count, squeeze=False)[0])
    figure.subplots_adjust(left=0.6 / (0.8 + 3.4 * count), right=0.98, top=0.9, bottom=0.24, wspace=0.22)
    return panels


def _draw(
    ax: Axes,
    families: list[FamilyCurve],
    look: dict[int, Look],
    names: dict[int, str],
    column: str,
    values: list[float],
) -> None:
    """One target law: lines from value to value, intervals as bars."""
    # A value of zero has no place on a logarithmic scale: values stand side by side.
    place = {value: i for i, value in enumerate(values)}
    lines: dict[str, list[FamilyCurve]] = {}
    for family in families:
        lines.setdefault(names[id(family)], []).append(family)
    rows: list[dict[str, Any]] = []
    for number, (name, members) in enumerate(lines.items()):
        style, shift = look[id(members[0])], 0.08 * (number - (len(lines) - 1) / 2)
        drawn = []
        for family in sorted(members, key=lambda f: float(f.key[column])):
            rate, filled = _rate(family)
            if rate is None:
                continue
            x, (low, high) = place[float(family.key[column])] + shift, rate.interval
            drawn.append((x, rate.value))
            ax.vlines(x, low, high, color=style.color, lw=1.1, alpha=0.7)
            face = style.color if filled else "white"
            ax.plot([x], [rate.value], style.marker, color=style.color, mfc=face, ms=5, zorder=4)
            told = {"target": target_name(family, dim=True), "family": name, column: family.key[column]}
            rows.append(told | {"rate": rate.value, "low": low, "high": high, "unlimited_sizes_only": filled})
        ax.plot(*np.array(drawn).reshape(-1, 2).T, ls=style.dash, color=style.color, lw=1.0, label=name)
    _guides(ax, families[0])
    ax.set_xticks(range(len(values)), [f"{value:g}" for value in values])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_locator(FixedLocator(list(range(len(values)))))
    ax.set_xlim(-0.5, len(values) - 0.5)
    ax.set_xlabel(LABELS.get(column, column.replace("_", " ")))
    ax.set_ylabel("rate p")
    small_labels(ax)
    attach_numbers(ax, rows)


def _rate(family: FamilyCurve) -> tuple[Any, bool]:
    """The rate of the sizes that are not limited if it is determined, else that of all sizes; and which it is."""
    for rate, filled in ((family.rate, True), (family.rate_all, False)):
        if rate is not None and math.isfinite(rate.value) and all(map(math.isfinite, rate.interval)):
            return rate, filled and rate.verdict == "determined"
    return None, False


def _guides(ax: Axes, family: FamilyCurve) -> None:
    """Thin lines at the classical rate and at the deep limit."""
    regularity = family.regularity
    if not math.isfinite(regularity.smoothness):
        return
    for factor, text in ((1.0, "r/d"), (2.0, "2r/d")):
        height = factor * regularity.smoothness / regularity.dim
        ax.axhline(height, color=GUIDE, lw=0.8, zorder=1)
        ax.text(
            0.995, height, text, color=GUIDE, fontsize=7, ha="right", va="bottom", transform=ax.get_yaxis_transform()
        )
