"""The phase diagram: where measured families of networks lie between the classical and the infeasible."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox

from approxrates.phase import Label
from approxrates.plots.families import family_names, is_baseline, target_key, target_name
from approxrates.plots.labels import extent, place_beside, spread
from approxrates.plots.saving import attach_numbers
from approxrates.plots.style import Look, check_arguments, figure_of, looks, new_figure, small_labels, styled
from approxrates.records.curves import FamilyCurve

if TYPE_CHECKING:
    from approxrates.records import Records

BELOW, DEEP, INFEASIBLE, EDGE = "#F6F6F4", "#E6F1F8", "#B9B9B9", "#444444"
EASY_EDGE = "#000000"
CEILING = 3.0  # rho drawn to at most this: an exponential law has no finite rho

OFF_SCALE = 0.04  # rho nearer to the top than this is drawn as a triangle at the top


def plot_phase_diagram(
    records: Records, against: Literal["smoothness", "depth"] = "smoothness", ax: Axes | None = None
) -> Axes:
    """Normalised rates ``rho = p d / r`` with 95 % intervals, on the regions that theory allows.

    Against ``"smoothness"`` (r/d) the regions are bands: below the classical rate (rho < 1), the deep phase
    (1 < rho <= 2), and rho > 2, infeasible for piecewise-polynomial activations. Against ``"depth"`` (the exponent a of
    depth ~ W^a) the feasible region is rho <= 1 + a. Filled marks are decided placements, hollow ones undecided. Marks
    in a diamond are easy targets (self-similar or analytic: faster than their class, which proves nothing about the
    phases); they are named. Families that would cover one another are drawn side by side about their true place. Values
    above the top are drawn there as a triangle with the number beside it.

    Args:
        records: Records of a study: at least one family on a target of finite smoothness with a rate in sup norm.
        against: ``"smoothness"`` or ``"depth"``.
        ax: Axes to draw on; without it a new figure 8 inches wide.

    Returns:
        The Axes drawn on.

    Raises:
        TypeError: If ``records`` or ``ax`` are of another kind.
        ValueError: For another ``against``, or if no family has a place on the diagram.

    Reference:
        Yarotsky & Zhevnerchuk (2020), arXiv:1906.09477.
    """
    if against not in ("smoothness", "depth"):
        raise ValueError(f"against must be 'smoothness' or 'depth'. Got {against!r}.")
    check_arguments(records, ax)
    everyone = records.families()
    names = family_names(everyone)
    look = looks((name, is_baseline(f)) for name, f in zip(names, everyone, strict=True))
    placed = [
        (f, n)
        for f, n in zip(everyone, names, strict=True)
        if f.point is not None and math.isfinite(f.point.normalised)
    ]
    if not placed:
        raise ValueError(_nobody_placed(everyone))
    families, shown = [f for f, _ in placed], [n for _, n in placed]
    with styled():
        own = ax is None
        if ax is None:
            figure = new_figure(8.0, 4.3)
            ax = figure.add_axes((0.065, 0.195, 0.925, 0.78))
        where = np.array([_position(f, against) for f in families])
        top = _top(families)
        low, high = _x_range(where, against)
        ax.set_xlim(low, high + 0.34 * (high - low))
        ax.set_ylim(0, top)
        _draw_regions(ax, against, low, high, top)
        x = _dodged(ax, where, _ranks(families, shown), 11.5 if against == "smoothness" else 7.0)
        _draw_brackets(ax, where, x)
        obstacles = [_draw_family(ax, f, look[n], at, top) for f, n, at in zip(families, shown, x, strict=True)]
        _name_targets(ax, families, x, top, obstacles)
        _finish_axes(ax, against, where, low, high)
        _legend(ax, families, shown, look, grow=own)
        attach_numbers(ax, [_row(f, n, at, against) for f, n, at in zip(families, shown, where, strict=True)])
    return ax


def _nobody_placed(families: Sequence[FamilyCurve]) -> str:
    """Message for records without a place on the diagram."""
    need = "records must hold a family with a rate (four sizes or more) on a target of finite smoothness. Got"
    if any(f.rate is not None and not f.regularity.is_finite for f in families):
        return f"{need} rates on infinitely smooth targets only. In a table of your own, give a column smoothness."
    return f"{need} none. Add sizes, or write plot_rates(records)."


def _position(family: FamilyCurve, against: str) -> float:
    """Place on the horizontal axis."""
    return family.regularity.smoothness / family.regularity.dim if against == "smoothness" else family.depth_exponent


def is_easy(family: FamilyCurve) -> bool:
    """Whether the target is declared faster than its class, so that rho > 1 says nothing about the phase."""
    easy = family.point is not None and family.point.label is Label.EASY_TARGET
    return easy or not family.regularity.information_rich


def _top(families: Sequence[FamilyCurve]) -> float:
    """Upper end of rho: shows the infeasible band always, and more of it only as far as the data need."""
    values = [f.point.normalised for f in families if f.point is not None]
    highs = [f.point.interval[1] for f in families if f.point is not None and math.isfinite(f.point.interval[1])]
    need = max([v for v in values + highs if v <= CEILING] or [0.0])
    return float(min(CEILING, max(2.45, need + 0.15)))


def _x_range(where: Any, against: str) -> tuple[float, float]:
    """Ends of the horizontal scale around the data."""
    if against == "depth":
        return -0.12, max(1.12, float(where.max()) + 0.12)
    return 0.0, float(where.max()) + max(0.25, 0.2 * float(where.max()))


def _draw_regions(ax: Axes, against: str, low: float, high: float, top: float) -> None:
    """Bands or wedge, the classical line, and their names in a column right of the data."""
    x = np.array([low, high])
    if against == "smoothness":
        ceiling = np.array([2.0, 2.0])
        names = [
            ((2 + top) / 2, "infeasible, ρ > 2", "for piecewise-polynomial\nfamilies only"),
            (1.5, "deep phase, 1 < ρ ≤ 2", "needs depth, exact weights,\ndiscontinuous encoding"),
            (1.0, "classical rate, ρ = 1", "error ~ W^(−r/d)"),
            (0.5, "below classical", "training or samples, or\nsizes that are too small"),
        ]
    else:
        x = np.array([low, 0.0, 1.0, high])
        ceiling = 1 + np.clip(x, 0, 1)
        names = [
            ((2 + top) / 2, "infeasible, ρ > 1 + a", "for piecewise-polynomial\nfamilies only"),
            (1.5, "deep phase, 1 < ρ ≤ 1 + a", "depth ~ W^a with exact\nweights"),
            (1.0, "classical rate, ρ = 1", "error ~ W^(−r/d)"),
            (0.5, "below classical", "training or samples, or\nsizes that are too small"),
        ]
    ax.fill_between(x, 0, 1, color=BELOW, lw=0, zorder=0)
    ax.fill_between(x, 1, ceiling, color=DEEP, lw=0, zorder=0)
    ax.fill_between(x, ceiling, top, facecolor="#FBFBFB", edgecolor=INFEASIBLE, hatch="////", lw=0, zorder=0)
    ax.plot(x, ceiling, color=EDGE, lw=0.8, zorder=1)
    ax.plot(x[[0, -1]], [1, 1], color=EDGE, lw=1.6, zorder=1)
    for height, head, detail in names:
        _region_name(ax, height, head, detail, high)


def _region_name(ax: Axes, height: float, head: str, detail: str, high: float) -> None:
    """Name of a region and what it means, in the column right of the data."""
    at = high + 0.012 * (high - ax.get_xlim()[0])
    ax.annotate(
        head,
        (at, height),
        xytext=(0, 1),
        textcoords="offset points",
        fontsize=8,
        weight="bold",
        color="#333333",
        va="bottom",
        annotation_clip=False,
    )
    ax.annotate(
        detail,
        (at, height),
        xytext=(0, -1),
        textcoords="offset points",
        fontsize=7,
        color="#666666",
        va="top",
        linespacing=1.25,
        annotation_clip=False,
    )


def _ranks(families: Sequence[FamilyCurve], names: Sequence[str]) -> list[int]:
    """Order from left to right among families in one place: by target law, then as in the legend."""
    laws = [target_key(f.key) for f in families]
    return [laws.index(law) * len(names) + names.index(name) for law, name in zip(laws, names, strict=True)]


def _dodged(ax: Axes, where: Any, ranks: Sequence[int], points: float) -> Any:
    """Horizontal places at which no two families are closer than ``points``, as near as can be to the true ones."""
    pixel = figure_of(ax).dpi / 72
    span = ax.get_xlim()[1] - ax.get_xlim()[0]
    scale = ax.get_window_extent().width / span
    order = np.lexsort((np.asarray(ranks), where))
    step = min(points * pixel / scale, 0.6 * span / len(where))
    placed = np.empty(len(where))
    placed[order] = spread(
        np.asarray(where)[order] + 1e-9 * np.arange(len(where)) * span, [step] * len(where), -np.inf, np.inf
    )
    return placed


def _draw_brackets(ax: Axes, where: Any, x: Any) -> None:
    """Below families that stand side by side a bracket, with its tick at the place where all of them belong."""
    pixel = figure_of(ax).dpi / 72
    height = ax.transData.inverted().transform((0, ax.get_window_extent().y0 + 7 * pixel))[1]
    for value in sorted({round(float(w), 2) for w in where}):
        members = x[np.abs(where - value) <= 0.005 + 1e-9]
        if len(members) > 1:
            ax.plot([members.min(), members.max()], [height, height], color="#9A9A9A", lw=0.7, zorder=1)
            ax.plot([value, value], [0, height], color="#9A9A9A", lw=0.7, zorder=1)


def _draw_family(ax: Axes, family: FamilyCurve, look: Look, at: float, top: float) -> Bbox:
    """One point with its interval; returns the box in pixels that it takes up."""
    point = family.point
    assert point is not None, "only placed families are drawn"
    low, high = point.interval
    clipped = point.normalised > top - OFF_SCALE
    value = max(0.0, min(point.normalised, top - 0.1))
    if not clipped:
        low, high = max(low, 0.0), min(high if math.isfinite(high) else top, top)
        ax.vlines(at, low, high, color=look.color, lw=1.3, alpha=0.85, zorder=3)
    easy = is_easy(family)
    ax.plot(
        [at],
        [value],
        "^" if clipped else look.marker if look.marker != "." else "o",
        ms=6.2 if look.color != "#000000" else 4.6,
        mfc=look.color if point.decided else "white",
        mec=look.color,
        mew=0.6 if point.decided else 1.2,
        zorder=4,
        clip_on=False,
    )
    if easy:
        ax.plot([at], [value], "D", ms=9.5, mfc="none", mec=EASY_EDGE, mew=0.7, zorder=4.1, clip_on=False)
    pixel = figure_of(ax).dpi / 72
    if clipped:
        low = high = value
    ends = ax.transData.transform([(at, min(low, value)), (at, max(high, value))])
    return Bbox(
        [[ends[0, 0] - 5.5 * pixel, ends[0, 1] - 5.5 * pixel], [ends[1, 0] + 5.5 * pixel, ends[1, 1] + 5.5 * pixel]]
    )


def _name_targets(ax: Axes, families: Sequence[FamilyCurve], x: Any, top: float, obstacles: list[Bbox]) -> None:
    """Names each easy target once, and each target with families off the scale, with their values of rho."""
    laws: dict[tuple[str, ...], list[int]] = {}
    for i, family in enumerate(families):
        laws.setdefault(target_key(family.key), []).append(i)
    points, texts = [], []
    for members in laws.values():
        rho = {i: p.normalised for i in members if (p := families[i].point) is not None}
        off = sorted((i for i in members if rho[i] > top - OFF_SCALE), key=lambda i: x[i])
        if not off and not is_easy(families[members[0]]):
            continue
        anchor = off[len(off) // 2] if off else max(members, key=lambda i: rho[i])
        values = sorted({f"{rho[i]:.1f}" for i in off}, key=float)
        shown = f", ρ = {values[0]}" + (f" to {values[-1]}" if len(values) > 1 else "") if off else ""
        points.append((float(x[anchor]), min(rho[anchor], top - 0.1)))
        texts.append(target_name(families[anchor]) + shown)
    # The boundaries are obstacles too: a name must not be struck through.
    pixel, frame = figure_of(ax).dpi / 72, ax.get_window_extent()
    levels = [float(ax.transData.transform((0, rho))[1]) for rho in (1.0, 2.0)]
    lines = [Bbox([[frame.x0, y - pixel], [frame.x1, y + pixel]]) for y in levels]
    place_beside(ax, points, texts, obstacles + lines + [extent(t) for t in ax.texts])


def _finish_axes(ax: Axes, against: str, where: Any, low: float, high: float) -> None:
    """Axis labels, and a horizontal scale that ends with the data."""
    ax.set_ylabel("normalised rate  ρ = p d / r")
    small_labels(ax)
    ax.set_yticks(np.arange(0, ax.get_ylim()[1] + 1e-9, 0.5))
    ax.spines["bottom"].set_bounds(low, high)
    if against == "smoothness":
        ax.set_xlabel("smoothness per dimension  r / d")
        ticks = sorted({round(float(w), 10) for w in where})
        near = any(b - a < 0.05 * (high - low) for a, b in itertools.pairwise(ticks))
        ax.set_xticks([t for t in ax.get_xticks() if low <= t <= high] if near or len(ticks) > 8 else ticks)
    else:
        ax.set_xlabel("depth exponent a   (depth ~ W^a)")
        ax.set_xticks(np.arange(0, high, 0.25))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.xaxis.label.set_horizontalalignment("center")
    left, right = ax.get_xlim()
    ax.xaxis.label.set_x(((low + high) / 2 - left) / (right - left))


def _legend(
    ax: Axes, families: Sequence[FamilyCurve], names: Sequence[str], look: dict[str, Look], *, grow: bool
) -> None:
    """Names of the families, and what filled, hollow and black-edged marks mean, below the axis.

    With as many columns as the Axes are wide enough for; the figure may ``grow`` downwards for further rows.
    """
    handles = [
        Line2D(
            [],
            [],
            ls="none",
            marker=look[n].marker if look[n].marker != "." else "o",
            ms=5.5,
            color=look[n].color,
            label=n,
        )
        for n in dict.fromkeys(names)
    ]
    plain: dict[str, Any] = {"ls": "none", "marker": "o", "ms": 5.5, "color": "#888888"}
    if any(f.point is not None and not f.point.decided for f in families):
        handles += [Line2D([], [], label="decided", **plain), Line2D([], [], mfc="white", label="undecided", **plain)]
    if any(is_easy(f) for f in families):
        handles.append(
            Line2D([], [], ls="none", marker="D", ms=8, mfc="none", mec=EASY_EDGE, mew=0.7, label="easy target")
        )
    for columns in range(min(len(handles), 8), 0, -1):
        legend = ax.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=(0.0, -0.145),
            ncols=columns,
            handletextpad=0.2,
            columnspacing=1.4,
            borderaxespad=0.0,
        )
        box = legend.get_window_extent()
        if box.width <= ax.get_window_extent().width:
            break
    if grow and box.y0 < 0:
        _grow(ax, -box.y0 / figure_of(ax).dpi + 0.05)


def _grow(ax: Axes, inches: float) -> None:
    """Adds room at the foot of a figure of one Axes, which keeps its size."""
    figure, place = figure_of(ax), ax.get_position()
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + inches)
    share = height / (height + inches)
    ax.set_position((place.x0, 1 - (1 - place.y0) * share, place.width, place.height * share))


def _row(family: FamilyCurve, name: str, at: float, against: str) -> dict[str, Any]:
    """The numbers of one point."""
    point, rate = family.point, family.rate
    assert point is not None, "only placed families are drawn"
    assert rate is not None, "a place comes from a rate"
    return {
        "target": target_name(family, dim=True),
        "family": name,
        "r_over_d" if against == "smoothness" else "depth_exponent": at,
        "rho": point.normalised,
        "rho_low": point.interval[0],
        "rho_high": point.interval[1],
        "rate": rate.value,
        "rate_low": rate.interval[0],
        "rate_high": rate.interval[1],
        "label": str(point.label),
        "decided": bool(point.decided),
        "easy_target": is_easy(family),
    }
