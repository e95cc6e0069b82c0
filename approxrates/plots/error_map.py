"""Where a network errs: the error over the cube, the worst place, and the proven bound."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from approxrates.approximant import Approximant
from approxrates.errors import ApproximationError, approximation_error
from approxrates.network import Network
from approxrates.plots.families import readable
from approxrates.plots.saving import attach_numbers
from approxrates.plots.style import GUIDE_TEXT, OKABE_ITO, check_axes, new_figure, styled
from approxrates.target import Target

Array = NDArray[np.float64]
_BINS, _PER_BIN = 512, 64  # columns of the curve in d = 1, and points in each: an error is rougher than any screen
_SIDE, _PER_SIDE = 160, 3  # pixels per side of the map in d >= 2, and points per side of a pixel
_ERROR, _WORST = OKABE_ITO[0], OKABE_ITO[1]
_MANY_PIECES = 1 << 12


@dataclass(frozen=True)
class _Window:
    """A part of the cube: of each axis that is drawn, its ends; and whether it is the worst place from near."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    near: bool = False


def plot_error_map(
    network: Network | Approximant, target: Target, ax: Axes | None = None, *, error: ApproximationError | None = None
) -> Axes:
    """The error ``|f - g|`` over the unit cube with its worst place, and that place from near.

    In d = 1 a band shows the smallest and largest error in each of 512 columns, and a dashed line the upper end of the
    sup error. In d = 2 colour shows the largest error found in each pixel. In d >= 3 the same on the plane of the first
    two coordinates through the worst place. The second panel shows the b-adic cell in which the worst place lies, of
    about the size of a piece of the network, and its neighbours.

    Args:
        network: Network or approximant.
        target: What it approximates.
        ax: Axes to draw the first panel on; left out, a new figure with both panels is made.
        error: The error as measured before; left out, it is proven in d = 1 and measured on a grid above.

    Returns:
        The Axes of the first panel.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If network and target do not fit together, or the error is not finite.
    """
    check_axes(ax)
    if error is not None and not isinstance(error, ApproximationError):
        raise TypeError(
            f"error must be an ApproximationError. Got {type(error).__name__}. Write ar.approximation_error(...)."
        )
    dim = getattr(target, "dim", 1)
    found = approximation_error(network, target, certify=dim == 1) if error is None else error
    if len(found.where) != dim:
        raise ValueError(f"error must be of this target, in dim={dim}. Got one in dim={len(found.where)}.")
    if not math.isfinite(found.sup[1]):
        raise ValueError("the error must be finite to be drawn. Got inf: the network has diverged.")
    with styled():
        panels = [ax] if ax is not None else _panels(dim if target.samples is None else 1)
        whole = _Window((0.0,) * min(dim, 2), (1.0,) * min(dim, 2))
        if target.samples is not None:
            _draw_data(panels[0], network, target, found)
            if len(panels) > 1:
                panels[1].remove()
            return panels[0]
        views = [whole, _near(network, target, found)]
        draw = _draw_line if dim == 1 else _draw_plane
        for panel, view in zip(panels, views, strict=False):
            draw(panel, network, target, found, view)
        panels[0].set_title(_title(target, found), pad=6)
    return panels[0]


def _panels(dim: int) -> list[Axes]:
    """The whole, and the worst place from near."""
    width, height = (7.2, 2.5) if dim == 1 else (7.2, 3.2)
    figure = new_figure(width, height)
    right, top, space = (0.12, 0.42, 0.3) if dim == 1 else (0.76, 0.54, 0.62)
    grid = figure.add_gridspec(
        1,
        2,
        left=0.6 / width,
        right=1 - right / width,
        bottom=0.42 / height,
        top=1 - top / height,
        wspace=space,
        width_ratios=(1.7, 1.0) if dim == 1 else (1.0, 1.0),
    )
    return [figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])]


def _title(target: Target, error: ApproximationError) -> str:
    """What is drawn: the target, and the enclosure of the sup error."""
    name = readable(target.name)
    low, high = (f"{v:.3g}" for v in error.sup)
    span = low if low == high else f"[{low}, {high}]"
    gap = ": " if target.dim == 1 or target.samples is not None else "\n"  # squares are narrow
    return f"{name[:1].upper() + name[1:]}{gap}sup error {span}, {'proven' if error.certified else 'measured'}"


def _near(network: Network | Approximant, target: Target, error: ApproximationError) -> _Window:
    """The b-adic cell of the worst place, with one neighbour on each side."""
    base, size = max(2, target.base), _cell_size(network, error)
    finest, coarsest = math.floor(48 / math.log2(base)), math.ceil(math.log(4) / math.log(base))
    level = max(coarsest, min(finest, math.floor(-math.log(size) / math.log(base) + 1e-9)))
    width = float(base) ** -level
    low, high = [], []
    for c in error.where[:2]:
        first = width * (min(math.floor(c / width), base**level - 1) - 1)
        low.append(max(0.0, first))
        high.append(min(1.0, first + 3 * width))
    return _Window(tuple(low), tuple(high), near=True)


def _cell_size(network: Network | Approximant, error: ApproximationError) -> float:
    """About the length of a piece of the network: on average if it is known, else as many as parameters allow for."""
    if error.pieces is not None:
        return 1.0 / max(2, error.pieces)
    return math.pow(min(_MANY_PIECES, max(8, network.n_params)), -1.0 / network.dim)


def _values(network: Network | Approximant, target: Target, x: Array) -> Array:
    """Errors at points, shape ``(n,)``."""
    result: Array = np.abs(np.asarray(target(x)) - np.asarray(network(x)))
    return result


def _draw_line(
    ax: Axes, network: Network | Approximant, target: Target, error: ApproximationError, view: _Window
) -> None:
    """The error on an interval: its smallest and largest value in each column."""
    edges = np.linspace(view.low[0], view.high[0], _BINS + 1)
    shares = np.linspace(0.0, 1.0, _PER_BIN)  # both ends of a column, so that the band has no gaps
    x = np.clip(edges[:-1, None] + np.diff(edges)[:, None] * shares, 0.0, 1.0)
    values = _values(network, target, x.reshape(-1, 1)).reshape(x.shape)
    worst, height = error.where[0], float(_values(network, target, np.array([error.where]))[0])
    smallest, largest = values.min(axis=1), values.max(axis=1)
    at = int(np.clip(np.searchsorted(edges, worst, side="right") - 1, 0, _BINS - 1))
    largest[at] = max(largest[at], height)
    middle = 0.5 * (edges[1:] + edges[:-1])
    ax.fill_between(middle, smallest, largest, color=_ERROR[0], alpha=0.35, lw=0)
    ax.plot(middle, largest, color=_ERROR[0], lw=0.8)
    ax.plot([worst], [height], "o", ms=5, mfc="none", mec=_WORST[0], mew=1.2, clip_on=False, zorder=5)
    upper = error.sup[1]
    ax.axhline(upper, color=_WORST[0], lw=0.8, ls=(0, (5, 2)))
    ax.set_xlim(view.low[0], view.high[0])
    ax.set_ylim(0, 1.16 * max(upper, height))
    ax.set_xlabel("x", labelpad=1)
    if not view.near:
        ax.set_ylabel("|f − g|", labelpad=2)
        said = "proven upper bound" if error.certified else "estimated upper end"
        side = "right" if worst < 0.5 else "left"  # away from the worst place
        place = 0.99 if side == "right" else 0.01
        ax.annotate(
            said, (place, upper), xycoords=("axes fraction", "data"), xytext=(0, 2.5), textcoords="offset points",
            ha=side, va="bottom", fontsize=7, color=_WORST[1],
        )  # fmt: skip
    else:
        ax.set_title(f"around x = {worst:.6g}", pad=6)
        _ticks_at_ends(ax, view)
    panel = "near" if view.near else "whole"
    rows = [
        {"panel": panel, "x": x, "smallest": a, "error": b} for x, a, b in zip(middle, smallest, largest, strict=True)
    ]
    attach_numbers(ax, [*rows, {"panel": f"{panel}, worst", "x": worst, "error": height, "upper": upper}])


def _ticks_at_ends(ax: Axes, view: _Window) -> None:
    """Ticks at the ends of the window only, their labels inside its width."""
    ax.set_xticks([view.low[0], view.high[0]], [f"{v:.5g}" for v in (view.low[0], view.high[0])])
    first, last = ax.get_xticklabels()
    first.set_horizontalalignment("left")
    last.set_horizontalalignment("right")
    if len(view.low) > 1:
        ax.set_yticks([view.low[1], view.high[1]], [f"{v:.5g}" for v in (view.low[1], view.high[1])])


def _draw_plane(
    ax: Axes, network: Network | Approximant, target: Target, error: ApproximationError, view: _Window
) -> None:
    """The largest error in each pixel of a square of the plane of the first two coordinates at the worst place."""
    axes = [
        np.clip(low + (high - low) * (np.arange(_SIDE * _PER_SIDE) + 0.5) / (_SIDE * _PER_SIDE), 0.0, 1.0)
        for low, high in zip(view.low, view.high, strict=True)
    ]
    first, second = np.meshgrid(*axes, indexing="xy")
    points = np.tile(np.asarray(error.where), (first.size, 1))
    points[:, 0], points[:, 1] = first.ravel(), second.ravel()
    values = _values(network, target, points).reshape(_SIDE, _PER_SIDE, _SIDE, _PER_SIDE).max(axis=(1, 3))
    worst, height = error.where, float(_values(network, target, np.array([error.where]))[0])
    image = ax.imshow(
        values, origin="lower", extent=(view.low[0], view.high[0], view.low[1], view.high[1]), cmap="cividis",
        vmin=0.0, vmax=max(height, float(values.max())), interpolation="nearest", rasterized=True, aspect="auto",
    )  # fmt: skip
    (mark,) = ax.plot(*worst[:2], "o", ms=7, mfc="none", mec=_WORST[0], mew=1.4, clip_on=False, zorder=5)
    mark.set_path_effects([withStroke(linewidth=3, foreground="white")])
    ax.set_box_aspect(1.0)
    ax.set_xlabel("x₁", labelpad=1)
    others = ", ".join(f"x{'₀₁₂₃₄₅₆₇₈₉'[i + 1] if i < 9 else i + 1} = {c:.3g}" for i, c in enumerate(worst) if i > 1)
    if view.near:
        ax.set_title(f"around ({worst[0]:.4g}, {worst[1]:.4g})", pad=6)
        _ticks_at_ends(ax, view)
    else:
        ax.set_ylabel("x₂" + (f"   ({others if len(worst) < 6 else 'others as at the worst place'})" if others else ""))
    bar = ax.inset_axes((1.04, 0.0, 0.05, 1.0))
    ax.figure.colorbar(image, cax=bar)
    bar.set_ylabel("|f − g|", fontsize=7.5, color=GUIDE_TEXT, labelpad=3)
    panel, step = "near" if view.near else "whole", 4
    x, y = (a.reshape(_SIDE, _PER_SIDE).mean(axis=1)[::step] for a in axes)
    blocks = values.reshape(_SIDE // step, step, _SIDE // step, step).max(axis=(1, 3))
    rows = [{"panel": panel, "x": a, "y": b, "error": blocks[j, i]} for j, b in enumerate(y) for i, a in enumerate(x)]
    told = {"panel": f"{panel}, worst", "x": worst[0], "y": worst[1], "error": height, "upper": error.sup[1]}
    attach_numbers(ax, [*rows, told])


def _draw_data(ax: Axes, network: Network | Approximant, target: Target, error: ApproximationError) -> None:
    """Errors at the points of a target that is known only there: against the first coordinate."""
    assert target.samples is not None, "called for data targets only"
    x, y = target.samples
    values = np.abs(y - np.asarray(network(x)))
    ax.plot(x[:, 0], values, ".", color=_ERROR[0], ms=3)
    ax.plot([error.where[0]], [error.sup[0]], "o", ms=6, mfc="none", mec=_WORST[0], mew=1.2, clip_on=False, zorder=5)
    ax.set_ylim(0, 1.16 * error.sup[0] or None)
    ax.set_xlabel("x" if target.dim == 1 else "x₁", labelpad=1)
    ax.set_ylabel("|f − g|", labelpad=2)
    ax.set_title(_title(target, error), pad=6)
    attach_numbers(ax, [{"x": a, "error": b} for a, b in zip(x[:, 0], values, strict=True)])
