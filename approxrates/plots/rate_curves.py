"""Error against size: one curve per family, with its slope and interval at its end."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from approxrates.plots.families import by_target, family_names, is_baseline, target_name
from approxrates.plots.guides import draw_guides, trim_axis
from approxrates.plots.labels import MIN_SIZE, EndLabel, place_end_labels
from approxrates.plots.lower_curves import continuous_handle, draw_certified
from approxrates.plots.saving import attach_numbers
from approxrates.plots.style import Look, check_arguments, figure_of, looks, new_figure, small_labels, styled
from approxrates.records.curves import FamilyCurve

if TYPE_CHECKING:
    from approxrates.records import Records

SIZE_LABELS = {
    "n_params": "number of parameters W (non-zero)",
    "n_params_dense": "number of parameters W (dense matrices)",
    "total_bits": "bits of all weights",
    "pieces": "number of linear pieces",
    "seconds": "training time (s)",
    "width": "width",
    "depth": "depth (hidden layers)",
}
NORM_LABELS = {"sup": "sup error", "l2": r"L² error"}
NOTES = {
    "unused": "not used in the fit",
    "limited": "limited by optimisation",
    "undetermined": "? undetermined",
    "quartiles": "median and quartiles over seeds and draws",
}


def plot_rates(records: Records, x: str = "n_params", norm: str = "sup", ax: Axes | None = None) -> Axes:
    """Log-log curves of error against size, one per family, with fitted rates.

    Marks are medians over seeds and target draws, bars their quartiles; hollow marks are not used in the fit (floor,
    start of the curve, or a size at which a draw is missing); a ring round a mark says that the size is limited by
    optimisation. Lines are the fitted laws over the points used, pale and with "?" where the rate is
    undetermined. Interpolants are thin and black, reference methods dark grey lines without marks. Thin
    light guides have the slopes r/d and 2r/d. Where certified lower curves are proved for the target and lie near the
    errors, they are drawn thinly with their ground; the bound of the class for continuous weights is a dotted phase
    line, which deep networks may cross.

    Args:
        records: Records of a study.
        x: What is counted: ``n_params``, ``n_params_dense``, ``total_bits``, ``pieces``, ``seconds``, ``width``,
            ``depth``.
        norm: ``"sup"`` or ``"l2"``.
        ax: Axes to draw everything on. Without it, a new figure with one panel per target law (target, r, d).

    Returns:
        The Axes drawn on; of several panels the first (the others are in ``.figure.axes``).

    Raises:
        TypeError: If ``records`` or ``ax`` are of another kind.
        ValueError: If the records hold no error in this norm, or for an unknown ``x`` or ``norm``.
    """
    check_arguments(records, ax)
    families = [f for f in records.families(x=x, norm=norm) if np.isfinite(medians(f)).any()]
    if not families:
        raise ValueError(_nothing_to_draw(records, x, norm))
    names = family_names(families)
    look = looks((name, is_baseline(f)) for name, f in zip(names, families, strict=True))
    called = {id(f): (name, look[name]) for name, f in zip(names, families, strict=True)}
    groups = by_target(families)
    with styled():
        if ax is not None:
            titles = {id(f): target_name(f) for f in families} if len(groups) > 1 else {}
            _draw_panel(ax, families, called, titles, x, norm, legend=True)
            return ax
        panels = _panels(groups)
        dims = len({f.regularity.dim for f in families}) > 1
        for panel, group in zip(panels, groups, strict=True):
            panel.set_title(target_name(group[0], dim=dims))
            _draw_panel(panel, group, called, {}, x, norm, legend=False)
        _share_labels(panels)
        _figure_legend(panels, families)
    return panels[0]


def _nothing_to_draw(records: Records, x: str, norm: str) -> str:
    """Message for records without a point to draw: what is missing, the size, the norm or all."""

    def drawable(size: str, kind: str) -> bool:
        return any(np.isfinite(medians(f)).any() for f in records.families(x=size, norm=kind))

    need = f"records must hold at least one run with a positive error in norm {norm!r} and a size {x!r}."
    if drawable("n_params", norm):
        return f"{need} Got no run with {x}. Give that column, or write x='n_params'."
    other = next((kind for kind in NORM_LABELS if kind != norm and drawable("n_params", kind)), None)
    if other is not None:
        return f"{need} Got errors in norm {other!r} only. Write norm={other!r}."
    return f"{need} Got none. Run the study first."


def medians(family: FamilyCurve) -> NDArray[np.float64]:
    """Median error per size over draws and seeds, shape ``(k,)``; NaN where there is none."""
    middle: NDArray[np.float64] = _quantiles(family.errors)[1]
    return middle


def _quantiles(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quartiles over draws and seeds of the positive finite errors, shape ``(3, k)``."""
    flat = np.moveaxis(errors, 1, 0).reshape(errors.shape[1], -1)
    found = np.full((3, len(flat)), np.nan)
    for i, row in enumerate(flat):
        good = row[np.isfinite(row) & (row > 0)]
        if good.size:
            found[:, i] = np.quantile(good, [0.25, 0.5, 0.75])
    return found


def used_sizes(family: FamilyCurve) -> NDArray[np.bool_]:
    """Mask ``(k,)`` of the sizes that the fitted rate rests on."""
    if family.rate is None:
        return np.zeros(len(family.sizes), dtype=bool)
    kept = np.asarray(family.rate.n_params)[np.asarray(family.rate.used, dtype=bool)]
    return np.isin(family.leading, kept)


def rate_text(name: str, family: FamilyCurve) -> str:
    """Label at the end of a curve: name, slope and interval."""
    rate = family.rate
    if rate is None:
        return f"{name} (no rate: too few sizes)"
    low, high = rate.interval
    if not (math.isfinite(low) and math.isfinite(high)):
        whole = family.rate_all
        told = whole is not None and family.kept_out.any() and math.isfinite(whole.value)
        return f"{name} p undetermined" + (f", of the training {whole.value:.2f}" if told and whole else "")
    return f"{name} p = {rate.value:.2f} [{low:.2f}, {high:.2f}]{'' if rate.verdict == 'determined' else ' ?'}"


def _panels(groups: list[list[FamilyCurve]]) -> list[Axes]:
    """Panels of a new figure, two in a row, high enough for their labels."""
    columns = 1 if len(groups) == 1 else 2
    rows = math.ceil(len(groups) / columns)
    height = max(2.75, 0.165 * (max(len(g) for g in groups) + 4))
    width = 5.6 if columns == 1 else 8.6
    total = rows * height + 0.35
    figure = new_figure(width, total)
    grid = figure.add_gridspec(
        rows,
        columns,
        left=0.6 / width,
        right=1 - 0.06 / width,
        top=1 - 0.3 / total,
        bottom=0.8 / total,
        wspace=0.5 / (width / columns),
        hspace=0.62 / height,
    )
    return [figure.add_subplot(grid[i // columns, i % columns]) for i in range(len(groups))]


def _share_labels(panels: list[Axes]) -> None:
    """Leaves the axis labels at the left and lower edge of a figure of panels only."""
    columns = 1 if len(panels) == 1 else 2
    for i, panel in enumerate(panels):
        if i % columns:
            panel.set_ylabel("")
        if i + columns < len(panels):
            panel.set_xlabel("")


def _draw_panel(
    ax: Axes,
    families: list[FamilyCurve],
    called: dict[int, tuple[str, Look]],
    titles: dict[int, str],
    x: str,
    norm: str,
    *,
    legend: bool,
) -> None:
    """Curves, guides, axes and labels of one panel."""
    ends: list[EndLabel] = []
    rows: list[dict[str, Any]] = []
    ax.set_xscale("log")
    ax.set_yscale("log")
    for family in families:
        name, look = called[id(family)]
        shown = ", ".join(filter(None, [name, titles.get(id(family))]))
        ends.append(_draw_curve(ax, family, shown, look))
        rows += _rows(family, shown, x, norm)
    start, stop = _limits(ax, families)
    ends += draw_certified(ax, families, x, start, stop)
    if legend:
        _panel_legend(ax, families)
    first = max(float(m[np.isfinite(m)][0]) for m in map(medians, families))
    # The slopes are laws in the number of parameters: against time or pieces they would mean nothing.
    counted = x in ("n_params", "n_params_dense")
    guides = draw_guides(ax, [f.regularity for f in families], start, stop, first) if counted else []
    ax.set_xlabel(SIZE_LABELS.get(x, x))
    ax.set_ylabel(NORM_LABELS.get(norm, f"{norm} error"))
    small_labels(ax)
    place_end_labels(ax, ends + guides, data_end=stop)
    _narrow_legend(ax, stop)
    trim_axis(ax, start, stop)
    attach_numbers(ax, rows)


def _draw_curve(ax: Axes, family: FamilyCurve, name: str, look: Look) -> EndLabel:
    """Marks, bars and fitted line of one family; returns the label for its end."""
    if family.method == "reference":
        look = dataclasses.replace(look, color="#444444", text="#444444", marker=" ")  # a line to hold others against
    low, middle, high = _quantiles(family.errors)
    sizes, used, built = family.sizes, used_sizes(family), is_baseline(family)
    shown = np.isfinite(middle)
    size = 3.6 if not built else 3.0
    ax.plot(sizes[shown], middle[shown], color=look.color, lw=0.5, alpha=0.35, zorder=2)
    spread_out = shown & (high > low * (1 + 1e-9))
    if spread_out.any():
        ax.vlines(
            sizes[spread_out], low[spread_out], high[spread_out], color=look.color, lw=1.0, alpha=0.55, zorder=2.2
        )
    ax.plot(sizes[shown & used], middle[shown & used], look.marker, color=look.color, ms=size, mew=0.6, zorder=3)
    hollow = shown & ~used
    ax.plot(sizes[hollow], middle[hollow], look.marker, color=look.color, mfc="white", ms=size, mew=0.8, zorder=3)
    limited = shown & np.asarray(family.limited, dtype=bool)
    ax.plot(sizes[limited], middle[limited], "o", mfc="none", mec=look.text, ms=7.5, mew=0.6, zorder=3.1)
    if used.sum() >= 2 and family.rate is not None and math.isfinite(family.rate.value):
        grid = np.geomspace(sizes[used][0], sizes[used][-1], 60)
        ax.plot(
            grid,
            family.rate.predict(np.interp(grid, sizes, family.leading)),
            color=look.color,
            ls=look.dash,
            lw=look.width,
            alpha=_fit_alpha(family),
            zorder=2.6,
        )
    return EndLabel(rate_text(name, family), float(sizes[shown][-1]), float(middle[shown][-1]), look.text)


def _fit_alpha(family: FamilyCurve) -> float:
    """Fits whose rate is undetermined are drawn pale."""
    return 1.0 if family.rate is not None and family.rate.verdict == "determined" else 0.4


def _limits(ax: Axes, families: list[FamilyCurve]) -> tuple[float, float]:
    """Sets limits around all medians and bars; returns the first and last size."""
    sizes = np.concatenate([f.sizes[np.isfinite(medians(f))] for f in families])
    bars = np.concatenate([_quantiles(f.errors)[:, np.isfinite(medians(f))].ravel() for f in families])
    low, high = float(bars.min()), float(bars.max())
    margin = max(0.06 * math.log(high / low), 0.2)
    ax.set_ylim(low * math.exp(-1.6 * margin), high * math.exp(margin))
    start, stop = float(sizes.min()), float(sizes.max())
    if stop <= start:
        start, stop = start / 2, stop * 2
    ax.set_xlim(start * (start / stop) ** 0.035, stop)
    return start, stop


def _note_handles(families: list[FamilyCurve], axes: list[Axes]) -> list[Line2D]:
    """Legend entries for the marks that occur."""
    plain: dict[str, Any] = {"color": "#555555", "ls": "none", "mew": 0.8}
    handles = []
    if any((_quantiles(f.errors)[2] > _quantiles(f.errors)[0] * (1 + 1e-9)).any() for f in families):
        handles.append(Line2D([], [], marker="|", ms=8, label=NOTES["quartiles"], **plain))
    if any((np.isfinite(medians(f)) & ~used_sizes(f)).any() for f in families):
        handles.append(Line2D([], [], marker="o", mfc="white", ms=4, label=NOTES["unused"], **plain))
    if any(f.rate is not None and _fit_alpha(f) < 1 for f in families):
        handles.append(Line2D([], [], color="#555555", alpha=0.4, lw=1.3, label=NOTES["undetermined"]))
    if any(np.asarray(f.limited).any() for f in families):
        handles.append(Line2D([], [], marker="o", mfc="none", ms=7.5, label=NOTES["limited"], **plain | {"mew": 0.6}))
    return handles + continuous_handle(axes)


def _panel_legend(ax: Axes, families: list[FamilyCurve]) -> None:
    """Explains the marks in the lower left corner, which falling curves leave free."""
    handles = _note_handles(families, [ax])
    if handles:
        ax.legend(
            handles=handles, loc="lower left", fontsize=6.5, borderaxespad=0.2, handletextpad=0.3, labelspacing=0.25
        )


def _narrow_legend(ax: Axes, stop: float) -> None:
    """Makes the text of a panel's legend smaller if it would reach into the label column."""
    legend = ax.get_legend()
    if legend is None:
        return
    box = legend.get_window_extent()
    scale = (ax.transData.transform((stop, 1))[0] - box.x0) / box.width
    for text in legend.get_texts() if scale < 1 else []:
        text.set_fontsize(max(MIN_SIZE, 0.92 * scale * text.get_fontsize()))


def _figure_legend(panels: list[Axes], families: list[FamilyCurve]) -> None:
    """Explains the marks once, along the bottom edge of a figure of panels."""
    handles = _note_handles(families, panels)
    figure = figure_of(panels[0])
    for columns in range(len(handles), 0, -1):
        legend = figure.legend(
            handles=handles,
            loc="lower left",
            ncols=columns,
            fontsize=7 if columns == len(handles) else 6.5,
            borderaxespad=0.3,
            handletextpad=0.3,
            columnspacing=1.6 if columns == len(handles) else 1.0,
            labelspacing=0.25,
        )
        if legend.get_window_extent().width <= 0.93 * figure.bbox.width or columns == 1:
            return
        legend.remove()


def _rows(family: FamilyCurve, name: str, x: str, norm: str) -> list[dict[str, Any]]:
    """The numbers of one curve, one row per size."""
    low, middle, high = _quantiles(family.errors)
    used, rate = used_sizes(family), family.rate
    fit = (
        {"rate": rate.value, "rate_low": rate.interval[0], "rate_high": rate.interval[1], "verdict": rate.verdict}
        if rate
        else {}
    )
    return [
        {
            "target": target_name(family, dim=True),
            "family": name,
            "method": family.method,
            x: size,
            "norm": norm,
            "error_quartile_low": low[i],
            "error_median": middle[i],
            "error_quartile_high": high[i],
            "used_in_fit": bool(used[i]),
            "optimisation_limited": bool(family.limited[i]),
            "failed_fraction": float(family.failed_fraction[i]),
            **fit,
        }
        for i, size in enumerate(family.sizes)
    ]
