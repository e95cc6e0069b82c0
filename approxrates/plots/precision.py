"""The precision axis: error against size for codes of so many bits per weight, and all of them on one curve."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter
from numpy.typing import NDArray

from approxrates.plots.families import target_name, target_options
from approxrates.plots.labels import EndLabel, place_end_labels
from approxrates.plots.rate_curves import medians
from approxrates.plots.saving import attach_numbers
from approxrates.plots.style import GUIDE, GUIDE_TEXT, OKABE_ITO, check_arguments, new_figure, small_labels, styled

if TYPE_CHECKING:
    from approxrates.records import Records
    from approxrates.records.curves import FamilyCurve

Array = NDArray[np.float64]


def precision_families(records: Records) -> list[tuple[int, FamilyCurve]]:
    """Families of one construction under a cap of bits per weight, with the cap, in ascending order."""
    found = []
    for family in records.families():
        cap = target_options(family.key.get("method_options")).get("max_bits")
        if cap is not None and np.isfinite(medians(family)).any():
            found.append((int(cap), family))
    return sorted(found, key=lambda pair: pair[0])


def plot_precision(records: Records, ax: Axes | None = None) -> Axes:
    """Errors of codes with at most ``b`` bits per weight against ``W``, as they are and collapsed.

    As long as a longer code word is allowed, the words grow with the network and the error falls like ``W^(-2r/d)``;
    once words are ``b`` bits long only their number grows: ``W^(-r/d)``, the resource law with ``beta = 0``. In units
    of ``b`` the turning point is the same for all caps: ``error b^(2r/d)`` against ``W / b`` is one curve,
    ``W`` without the terms of lower order of its count law. Small caps lie to the right of it, because every word holds
    a value of some ten bits besides its digits.

    Args:
        records: Records of a study with a construction whose option ``max_bits`` is swept, on one target law.
        ax: Axes for the collapsed curves alone; without it a new figure with both panels.

    Returns:
        The Axes of the collapsed curves.

    Raises:
        TypeError: If ``records`` or ``ax`` are of another kind.
        ValueError: If no family has a cap, or there are several target laws.
    """
    check_arguments(records, ax)
    capped = precision_families(records)
    if not capped:
        raise ValueError("records must hold a construction with max_bits swept. Got none. Give options max_bits=[...].")
    laws = {target_name(family, dim=True) for _, family in capped}
    if len(laws) > 1:
        raise ValueError(f"records must hold one target law. Got {len(laws)}: {', '.join(sorted(laws))}. Select one.")
    with styled():
        panels = [ax] if ax is not None else _two_panels()
        rho = capped[0][1].regularity.smoothness / capped[0][1].regularity.dim
        if ax is None:
            _draw(panels[0], capped, rho, collapsed=False)
            panels[0].set_title(target_name(capped[0][1]))
        _draw(panels[-1], capped, rho, collapsed=True)
        attach_numbers(panels[-1], _rows(capped, rho))
    return panels[-1]


def _two_panels() -> list[Axes]:
    """Two panels side by side."""
    figure = new_figure(8.0, 3.3)
    return [figure.add_axes((left, 0.14, width, 0.78)) for left, width in ((0.085, 0.405), (0.585, 0.405))]


def _draw(ax: Axes, capped: list[tuple[int, FamilyCurve]], rho: float, *, collapsed: bool) -> None:
    """One panel: curves and two guide slopes through the cloud."""
    ax.set_xscale("log")
    ax.set_yscale("log")
    ends, everything = [], []
    for i, (bits, family) in enumerate(capped):
        x, y = _points(bits, family, rho, collapsed=collapsed)
        color, text = OKABE_ITO[i % len(OKABE_ITO)]
        ax.plot(x, y, "o-", color=color, ms=3.2, lw=1.0)
        ends.append(EndLabel(f"{bits} bits", float(x[-1]), float(y[-1]), text))
        everything.append((x, y))
    x, y = (np.concatenate(parts) for parts in zip(*everything, strict=True))
    lowest = _guides(ax, x, y, rho)
    ax.set_xlim(float(x.min()) / 1.15, float(x.max()) * 1.05)
    ax.set_ylim(min(lowest, float(y.min())) / 1.5, float(y.max()) * 1.5)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_minor_formatter(NullFormatter())
    small_labels(ax)
    if collapsed:
        ax.set_xlabel("W / b   (W: leading terms of the count)")
        ax.set_ylabel(f"sup error × b^{_number(2 * rho)}" if rho != 0.5 else "sup error × b")
    else:
        ax.set_xlabel("number of parameters W (non-zero)")
        ax.set_ylabel("sup error")
        place_end_labels(ax, ends, data_end=float(x.max()))


def _points(bits: int, family: FamilyCurve, rho: float, *, collapsed: bool) -> tuple[Array, Array]:
    """Sizes and median errors, in units of the cap if they are to collapse."""
    y = medians(family)
    shown = np.isfinite(y)
    if not collapsed:
        return family.sizes[shown], y[shown]
    return family.leading[shown] / bits, y[shown] * bits ** (2 * rho)


def _guides(ax: Axes, x: Array, y: Array, rho: float) -> float:
    """Slopes 2r/d below the first points and r/d below the last, as thin lines with their names; the lowest value."""
    low, high, lowest = float(x.min()), float(x.max()), math.inf
    turn = math.sqrt(low * high)
    for slope, anchor, span, side in (
        (2 * rho, int(np.argmin(x)), (low, turn), "2r/d"),
        (rho, int(np.argmax(x)), (turn, high), "r/d"),
    ):
        grid = np.array(span)
        line = 0.55 * y[anchor] * (grid / x[anchor]) ** -slope
        lowest = min(lowest, float(line.min()))
        ax.plot(grid, line, color=GUIDE, lw=0.7, zorder=1)
        ax.annotate(side, (float(np.sqrt(grid.prod())), float(np.sqrt(line.prod()))), xytext=(-3, -9),
                    textcoords="offset points", fontsize=6.5, color=GUIDE_TEXT, ha="right")  # fmt: skip
    return lowest


def _number(value: float) -> str:
    """An exponent as text."""
    return f"{value:g}"


def _rows(capped: list[tuple[int, FamilyCurve]], rho: float) -> list[dict[str, Any]]:
    """The numbers of the figure."""
    return [
        {
            "max_bits": bits,
            "n_params": float(size),
            "error_sup": float(error),
            "size_scaled": float(leading) / bits,
            "error_scaled": float(error) * bits ** (2 * rho),
        }
        for bits, family in capped
        for size, leading, error in zip(family.sizes, family.leading, medians(family), strict=True)
        if np.isfinite(error)
    ]
