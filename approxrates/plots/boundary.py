"""Phases in a plane as areas, with what is not known of their boundaries, and the runs that the map was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import ArrayLike

from approxrates.boundary import BoundaryMap
from approxrates.plots.saving import attach_numbers
from approxrates.plots.style import MARKERS, OKABE_ITO, check_axes, new_figure, small_labels, styled

SIDE = 241
SURE = 0.9
TINT = 0.22  # share of the colour in the tone of an area
DOUBT = "#8A8A8A"


def plot_boundary(
    found: BoundaryMap,
    ax: Axes | None = None,
    *,
    truth: Sequence[tuple[ArrayLike, ArrayLike]] = (),
    labels: Mapping[str, str] | None = None,
    order: Sequence[str] = (),
) -> Axes:
    """Areas of the most probable phase, shaded where its probability is below 0.9, boundaries as lines, runs as marks.

    The shaded band is the uncertainty of the boundary: outside it the classifier is at least 90 % sure. A hollow mark
    is a run whose seeds disagree, in the colour of their majority; a cross is a run that failed.

    Args:
        found: A map with at least one observation.
        ax: Axes to draw on; without it a new figure 5.4 inches wide.
        truth: Curves ``(x, y)`` of known boundaries, drawn dotted.
        labels: Words for the axes by their names in the box; the names themselves if left out.
        order: Phases in the order of colours and of the legend; others follow by name.

    Returns:
        The Axes drawn on.

    Raises:
        TypeError: If an argument is of another kind.
        ValueError: If nothing has been observed.
    """
    if not isinstance(found, BoundaryMap):
        raise TypeError(
            f"found must be a BoundaryMap. Got {type(found).__name__}. Write BoundaryMap(x, y).observe(...)."
        )
    check_axes(ax)
    if not found.phases:
        raise ValueError("a map without observations has nothing to draw. Call observe(points, labels) first.")
    phases = [name for name in order if name in found.phases] + [name for name in found.phases if name not in order]
    with styled():
        if ax is None:
            ax = new_figure(5.4, 4.0).add_axes((0.12, 0.13, 0.86, 0.73))
        handles = _draw_areas(ax, found, phases)
        for x, y in truth:
            ax.plot(np.asarray(x), np.asarray(y), color="#000000", lw=1.0, ls=(0, (1, 1.6)), zorder=4)
        if len(truth):
            handles.append(Line2D([], [], color="#000000", lw=1.0, ls=(0, (1, 1.6)), label="theory"))
        _draw_runs(ax, found, phases)
        _scales(ax, found, labels or {})
        ax.legend(
            handles=handles, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=len(handles), borderaxespad=0.3,
            handletextpad=0.4, columnspacing=1.2,
        )  # fmt: skip
        if not found.has_boundary:
            ax.text(0.5, 0.5, found.verdict, transform=ax.transAxes, ha="center", va="center", fontsize=8)
    return ax


def _draw_areas(ax: Axes, found: BoundaryMap, phases: Sequence[str]) -> list[Patch | Line2D]:
    """Tints, doubtful band and boundary lines; returns the entries of the legend."""
    table = found.probabilities(found.box.grid(SIDE))
    share = np.stack([table[name].reshape(SIDE, SIDE).T for name in phases])  # rows of the picture along y
    best, top = share.argmax(axis=0), share.max(axis=0)
    tones = np.array(
        [[1 - TINT * (1 - c) for c in to_rgb(OKABE_ITO[i % len(OKABE_ITO)][0])] for i in range(len(phases))]
    )
    picture = tones[best]
    centres = (np.arange(SIDE) + 0.5) / SIDE
    edges = np.linspace(0, 1, SIDE + 1)
    ax.pcolormesh(
        found.box.x.from_unit(edges), found.box.y.from_unit(edges), picture, rasterized=True, zorder=0, linewidth=0
    )
    x, y = found.box.x.from_unit(centres), found.box.y.from_unit(centres)
    handles: list[Patch | Line2D] = [
        Line2D(
            [], [], color=OKABE_ITO[i % len(OKABE_ITO)][0], marker=MARKERS[i % len(MARKERS)], ls="", ms=4.5, label=name
        )
        for i, name in enumerate(phases)
    ]
    if not found.has_boundary:
        return handles
    ax.contourf(x, y, top, levels=[0.0, SURE], colors=[DOUBT], alpha=0.45, zorder=1)
    for index in range(len(phases)):
        lead = share[index] - np.delete(share, index, axis=0).max(axis=0)
        if lead.min() < 0 < lead.max():
            ax.contour(x, y, lead, levels=[0.0], colors=["#222222"], linewidths=1.0, zorder=3)
    handles.append(Patch(facecolor=DOUBT, alpha=0.45, label=f"p < {SURE:g}"))
    handles.append(Line2D([], [], color="#222222", lw=1.0, label="boundary"))
    return handles


def _draw_runs(ax: Axes, found: BoundaryMap, phases: Sequence[str]) -> None:
    """One mark per run, and its numbers."""
    rows = []
    for index, (point, votes) in enumerate(zip(found.points, found.votes, strict=True)):
        start = index < found.n_start
        if votes is None:
            ax.plot(*point, marker="x", color="#000000", ms=4, ls="", zorder=5)
        else:
            leading = max(phases, key=lambda name, votes=votes: votes.get(name, 0.0))  # type: ignore[misc]
            i = phases.index(leading)
            color, dark = OKABE_ITO[i % len(OKABE_ITO)]
            ax.plot(
                *point, marker=MARKERS[i % len(MARKERS)], ls="", ms=4.5 if start else 3.4, mec=dark, mew=0.7,
                mfc="#FFFFFF" if len(votes) > 1 else color, zorder=5, clip_on=False,
            )  # fmt: skip
        rows.append(
            {
                found.box.x.name: float(point[0]),
                found.box.y.name: float(point[1]),
                "start": "sobol" if start else "active",
                **{f"votes_{name}": (votes or {}).get(name, 0.0) for name in phases},
            }
        )
    attach_numbers(ax, rows)


def _scales(ax: Axes, found: BoundaryMap, labels: Mapping[str, str]) -> None:
    """Scales, limits and words of the axes."""
    box = found.box
    ax.set_xscale("log" if box.x.log else "linear")
    ax.set_yscale("log" if box.y.log else "linear")
    ax.set_xlim(box.x.low, box.x.high)
    ax.set_ylim(box.y.low, box.y.high)
    ax.set_xlabel(labels.get(box.x.name, box.x.name))
    ax.set_ylabel(labels.get(box.y.name, box.y.name))
    small_labels(ax)
