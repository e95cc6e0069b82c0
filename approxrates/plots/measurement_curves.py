"""What was measured along training: every replica, and the spread over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from approxrates.plots.families import readable
from approxrates.plots.saving import attach_numbers
from approxrates.plots.style import GUIDE, GUIDE_TEXT, Look, check_axes, looks, new_figure, small_labels, styled
from approxrates.plots.ticks import plain_log_ticks

if TYPE_CHECKING:
    from approxrates.training import Fit

F64 = NDArray[np.float64]
Groups = dict[str, list[F64]]
"""By family the series ``(n, 2)`` of its replicas, steps and values."""

CALLED = {
    "loss": "training loss F",
    "loss_error": "error part E of the training loss",
    "sharpness": "sharpness (top eigenvalue)",
    "preconditioned_sharpness": "preconditioned sharpness",
    "smallest_eigenvalue": "smallest eigenvalue",
    "stability_margin": "stability margin",
    "weight_norm": "norm of the parameters",
    "distance_from_start": "distance from the start",
    "scalar_curvature": "curvature of the error's graph",
    "hessian_trace": "trace of the Hessian",
    "barrier": "highest loss on the way / initial loss",
    "dead_units": "share of dead units",
}
"""What an axis calls a column; others by their own name."""

DECADES = 2.0
"""Values on both sides of zero that span more are drawn on an axis that is logarithmic away from zero."""


def plot_measurement_curves(
    source: Fit | Mapping[str, Sequence[F64]],
    column: str,
    ax: Axes | None = None,
    *,
    levels: Mapping[str, float] | None = None,
) -> Axes:
    """A measurement along training: every replica as a thin line, the median as a thick one, quartiles as a band.

    Median and quartiles are over the replicas that are still in training at a step, as long as at least half are;
    between two of its measurements a replica is taken to follow a straight line. The value axis is logarithmic if all
    values are positive; linear about zero and logarithmic beyond if values of both signs span decades; else linear.
    Steps of a logarithmic schedule are drawn on a logarithmic axis.

    Args:
        source: A fit with this measurement, one family for each of its targets; or, by the name of each family, the
            series ``(n, 2)`` of steps and values of its replicas.
        column: Column of the measurement; for given series what the value axis is called.
        ax: Axes to draw on; without it a new figure.
        levels: Heights to be marked by thin lines, by what is written there, e.g. ``{"2 / learning rate": 40.0}``.

    Returns:
        The Axes.

    Raises:
        TypeError: If ``source`` is neither, or ``ax`` is no Axes.
        ValueError: If nothing was measured, naming the columns that were.
    """
    check_axes(ax)
    groups = _groups(source, column)
    called = looks((name, False) for name in groups)
    with styled():
        panel = _single() if ax is None else ax
        set_scale(panel.yaxis, np.concatenate([one[:, 1] for some in groups.values() for one in some]))
        _set_step_scale(panel, groups)
        for name, series in groups.items():
            _draw(panel, name, series, called[name], column)
        for text, height in (levels or {}).items():
            panel.axhline(height, color=GUIDE, lw=0.8, ls="--", zorder=1)
            panel.text(
                0.995, height, text, transform=panel.get_yaxis_transform(), ha="right", va="bottom", fontsize=6.5,
                color=GUIDE_TEXT, path_effects=[withStroke(linewidth=2, foreground="white")], zorder=6,
            )  # fmt: skip
        if panel.get_yscale() == "log":
            plain_log_ticks(panel.yaxis)
        panel.set_xlabel("step")
        panel.set_ylabel(CALLED.get(column, readable(column)))
        small_labels(panel)
        if len(groups) > 1:
            handles = [Line2D([], [], color=called[name].color, ls=called[name].dash, label=name) for name in groups]
            panel.legend(handles=handles, fontsize=6.5, labelspacing=0.25)
    return panel


def set_scale(axis: XAxis | YAxis, values: F64) -> None:
    """The scale of an axis for given values: logarithmic if they are positive, as ``plot_measurement_curves`` says."""
    found = values[np.isfinite(values)]
    sizes = np.abs(found[found != 0.0])
    panel = axis.axes
    change: Any = panel.set_yscale if isinstance(axis, YAxis) else panel.set_xscale
    if len(sizes) and found.min() > 0.0:
        change("log")
    elif len(sizes) and np.log10(sizes.max() / np.median(sizes)) > DECADES:
        change("symlog", linthresh=float(np.median(sizes)))
    else:
        change("linear")


def _groups(source: Any, column: str) -> Groups:
    """Series by family."""
    if isinstance(source, Mapping):
        groups = {
            str(name): [np.asarray(one, dtype=np.float64).reshape(-1, 2) for one in some]
            for name, some in source.items()
        }
        known: set[str] = set()
    elif hasattr(source, "measured") and hasattr(source, "members"):
        groups, known = {}, {name for one in source.measured for name in one}
        for (target, _), measured in zip(source.members, source.measured, strict=True):
            groups.setdefault(readable(target.name), []).extend([measured[column]] if column in measured else [])
    else:
        raise TypeError(
            f"source must be a Fit or series by family. Got {type(source).__name__}. Write "
            "plot_measurement_curves(ar.train(..., measure=[...]), 'loss')."
        )
    kept = {name: [one for one in some if np.isfinite(one[:, 1]).any()] for name, some in groups.items()}
    groups = {name: some for name, some in kept.items() if some}
    if not groups:
        told = f"Got the columns {', '.join(sorted(known))}" if known else "Got none"
        raise ValueError(
            f"source must hold series of {column!r}. {told}. Write e.g. "
            f"measure=[{{'measurement': {column!r}, 'schedule': 'every 10'}}]."
        )
    return groups


def _single() -> Axes:
    """One panel."""
    return new_figure(4.6, 3.0).add_axes((0.135, 0.145, 0.84, 0.82))


def _set_step_scale(ax: Axes, groups: Groups) -> None:
    """A logarithmic axis with room for zero if the steps of a series are spaced so."""
    gaps = [np.diff(one[:, 0]) for some in groups.values() for one in some if len(one) > 4]
    last = max(float(one[-1, 0]) for some in groups.values() for one in some)
    if gaps and np.median([float(gap[-2] / gap[0]) for gap in gaps]) > 5.0 and last > 20.0:
        ax.set_xscale("symlog", linthresh=1.0, linscale=0.3)
        ax.set_xlim(0.0, last * 1.05)
        powers = range(int(np.log10(last)) + 1)
        ax.set_xticks([0, *(10**k for k in powers)], ["0", *(f"$10^{k}$" if k > 1 else str(10**k) for k in powers)])
        ax.set_xticks([s * 10**k for k in powers for s in range(2, 10) if s * 10**k <= last], minor=True)


def spread(series: Sequence[F64]) -> tuple[F64, F64, NDArray[np.int64]]:
    """Quartiles over replicas at all steps where at least half of them are still in training.

    Args:
        series: Steps and values of each replica, ``(n, 2)``.

    Returns:
        Steps ``(k,)``, quartiles ``(3, k)``, and how many replicas they are over.
    """
    steps = np.unique(np.concatenate([one[:, 0] for one in series]))
    known = []
    for one in series:
        good = one[np.isfinite(one[:, 1])]
        known.append(np.interp(steps, good[:, 0], good[:, 1], left=np.nan, right=np.nan))
    values = np.array(known)
    present = np.isfinite(values).sum(0)
    enough = 2 * present >= len(series)
    return steps[enough], np.nanquantile(values[:, enough], [0.25, 0.5, 0.75], axis=0), present[enough]


def _draw(ax: Axes, name: str, series: list[F64], look: Look, column: str) -> None:
    """One family."""
    for one in series:
        ax.plot(one[:, 0], one[:, 1], color=look.color, lw=0.5, alpha=0.35, zorder=2)
    steps, (low, middle, high), present = spread(series)
    if len(series) > 2:
        ax.fill_between(steps, low, high, color=look.color, alpha=0.18, lw=0, zorder=1.5)
    if len(series) > 1:
        ax.plot(steps, middle, color=look.color, ls=look.dash, lw=look.width, zorder=3)
    rows: list[dict[str, Any]] = [
        {"family": name, "replica": i, "step": int(step), column: value}
        for i, one in enumerate(series)
        for step, value in one
    ]
    for step, *quartiles, count in zip(steps, low, middle, high, present, strict=True):
        names = (f"{column}_quartile_low", f"{column}_median", f"{column}_quartile_high")
        rows.append(
            {"family": name, "step": int(step), "n_replicas": int(count), **dict(zip(names, quartiles, strict=True))}
        )
    attach_numbers(ax, rows)
