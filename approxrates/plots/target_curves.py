"""What the targets look like."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes

from approxrates.plots.families import readable
from approxrates.plots.saving import attach_numbers
from approxrates.plots.style import OKABE_ITO, check_axes, new_figure, styled
from approxrates.target import Target

POINTS = 2**12  # cells of the curve in d = 1: fine enough for print, coarse enough for a small SVG
SIDE = 2**7  # cells per side of the image in d >= 2


def plot_targets(targets: Target | Iterable[Target], ax: Axes | None = None) -> Axes:
    """Targets over the unit cube: curves in d = 1, images in d = 2, in d >= 3 a slice (other coordinates at 1/3).

    Args:
        targets: One target or several; several are drawn as small multiples.
        ax: Axes to draw on, for exactly one target.

    Returns:
        The Axes drawn on; of several panels the first.

    Raises:
        ValueError: For no target, or several with one ``ax``.
        TypeError: If something else than a Target is given.
    """
    check_axes(ax)
    if not isinstance(targets, Iterable) and not isinstance(targets, Target):
        raise TypeError(
            f"targets must be Targets. Got {type(targets).__name__}. "
            "Write ar.load_target('faber_tree', smoothness=0.5)."
        )
    items = [targets] if isinstance(targets, Target) else list(targets)
    for item in items:
        if not isinstance(item, Target):
            raise TypeError(
                f"targets must be Targets. Got {type(item).__name__}. "
                "Write ar.load_target('faber_tree', smoothness=0.5)."
            )
    if not items:
        raise ValueError("targets must hold at least one target. Got none.")
    if ax is not None and len(items) > 1:
        raise ValueError(f"ax holds one target. Got {len(items)}. Leave ax out for one panel each.")
    with styled():
        panels = [ax] if ax is not None else _panels(items)
        for panel, target in zip(panels, items, strict=True):
            _draw(panel, target)
    return panels[0]


def _panels(items: Sequence[Target]) -> list[Axes]:
    """One panel per target, up to three in a row; images get square ones."""
    columns = min(3, len(items))
    rows = math.ceil(len(items) / columns)
    square = any(t.dim > 1 for t in items)
    width, height = (2.75, 2.75) if square else (2.85, 2.1)
    figure = new_figure(columns * width, rows * height)
    grid = figure.add_gridspec(
        rows,
        columns,
        left=0.42 / (columns * width),
        right=1 - 0.12 / (columns * width),
        top=1 - 0.28 / (rows * height),
        bottom=0.36 / (rows * height),
        wspace=0.2,
        hspace=0.5,
    )
    return [figure.add_subplot(grid[i // columns, i % columns]) for i in range(len(items))]


def _title(target: Target) -> str:
    """Name, r, and d where it is not one."""
    name = readable(target.name)
    r = target.regularity.smoothness
    parts = [name[:1].upper() + name[1:], f"r = {r:g}" if math.isfinite(r) else "r = ∞"]
    if target.dim > 1:
        parts.append(f"d = {target.dim}")
    return ", ".join(parts)


def _draw(ax: Axes, target: Target) -> None:
    """One target on one Axes."""
    ax.set_title(_title(target), pad=4)
    if target.samples is not None:
        _draw_samples(ax, target)
    elif target.dim == 1:
        x = np.linspace(0, 1, POINTS + 1)
        y = np.asarray(target(x[:, None]))
        ax.plot(x, y, color=OKABE_ITO[0][0], lw=0.7)
        ax.set_xlim(0, 1)
        ax.set_xlabel("x", labelpad=1)
        attach_numbers(
            ax, [{"target": _title(target), "x": a, "value": b} for a, b in zip(x[::16], y[::16], strict=True)]
        )
    else:
        _draw_image(ax, target)


def _draw_image(ax: Axes, target: Target) -> None:
    """The plane of the first two coordinates at cell centres; the others at 1/3, where no dyadic level vanishes."""
    side = (np.arange(SIDE) + 0.5) / SIDE
    first, second = np.meshgrid(side, side, indexing="xy")
    points = np.full((SIDE * SIDE, target.dim), 1 / 3)
    points[:, 0], points[:, 1] = first.ravel(), second.ravel()
    values = np.asarray(target(points)).reshape(SIDE, SIDE)
    ax.imshow(values, origin="lower", extent=(0, 1, 0, 1), cmap="cividis", interpolation="nearest", rasterized=True)
    ax.set_xlabel("x₁", labelpad=1)
    ax.set_ylabel("x₂" if target.dim == 2 else "x₂  (others at ⅓)", labelpad=1)
    rows = zip(first[::8, ::8].ravel(), second[::8, ::8].ravel(), values[::8, ::8].ravel(), strict=True)
    attach_numbers(ax, [{"target": _title(target), "x": a, "y": b, "value": v} for a, b, v in rows])


def _draw_samples(ax: Axes, target: Target) -> None:
    """Data points of a target known only there: against the first coordinate."""
    assert target.samples is not None, "called for data targets only"
    x, y = target.samples
    ax.plot(x[:, 0], y, ".", color=OKABE_ITO[0][0], ms=2)
    ax.set_xlabel("x" if target.dim == 1 else "x₁", labelpad=1)
    attach_numbers(ax, [{"target": _title(target), "x": a, "value": b} for a, b in zip(x[:, 0], y, strict=True)])
