"""Certified lower curves: beside the measured ones of a rate plot, and as a sandwich with an upper curve."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from approxrates import theory
from approxrates.activations import get
from approxrates.plots.guides import trim_axis
from approxrates.plots.labels import EndLabel
from approxrates.plots.saving import attach_numbers
from approxrates.plots.style import OKABE_ITO, check_arguments, figure_of, new_figure, small_labels, styled
from approxrates.records.bounds import FLOAT_BITS, Tree
from approxrates.records.curves import FamilyCurve

if TYPE_CHECKING:
    import pandas as pd

    from approxrates.records import Records

Array = NDArray[np.float64]

DECADES = 2.0
"""Lower curves further below the errors of their sizes are left out: they would squeeze the data."""
CERTIFIED = "#7A1F4B"
_DASHES: dict[str, Any] = {"pieces": "-", "bits": (0, (4, 1.5)), "real weights": (0, (1, 1.2))}
CONTINUOUS = "class bound for continuous weights"


def certified_curves(families: list[FamilyCurve], x: str) -> list[tuple[str, Array, Array]]:
    """Lower curves of a panel that lie near its errors: name, sizes and bounds, each of shape ``(m,)``.

    By pieces and by bits they are functions of ``x`` itself. Otherwise a curve is drawn once for all families: at every
    size the least of their bounds at this size and at smaller ones.

    Args:
        families: Families of one target law.
        x: What size counts.
    """
    trees = {f.tree for f in families}
    tree = next(iter(trees))
    if len(trees) != 1 or tree is None or any(f.norm != "sup" for f in families):
        return []
    found = []
    drawn = {
        "n_params": tuple(_DASHES),
        "n_params_dense": tuple(_DASHES),
        "pieces": ("pieces",),
        "total_bits": ("bits",),
    }
    for curve in drawn.get(x, ()):
        if curve == "pieces" and any(curve not in family.lower for family in families):
            continue  # a bound on some families only would look like one on all
        sizes, bounds = _near(families, curve)
        if not len(sizes):
            continue
        bounds = np.minimum.accumulate(bounds)
        law = _law(curve, x, tree)
        # Bits are counted in dense matrices: by the weights that are not zero the bound is no function of the size.
        if law is not None and (x == "pieces" or np.allclose(law(sizes), bounds, rtol=1e-9, atol=0.0)):
            sizes = np.unique(np.floor(np.geomspace(sizes[0], sizes[-1], 400)))
            bounds = law(sizes)
        found.append((curve, sizes, bounds))
    return found


def _law(curve: str, x: str, tree: Tree) -> Callable[[Array], Array] | None:
    """A certified bound as a function of what the axis counts; None where it depends on more than that."""
    options: dict[str, Any] = {"base": tree.base, "kappa": tree.kappa}
    if curve == "pieces" and x == "pieces":
        return lambda sizes: theory.free_knot_lower_curve(sizes, tree.smoothness, levels=tree.levels, **options)
    if curve == "bits" and x != "total_bits":
        return lambda sizes: theory.bits_lower_curve(sizes, FLOAT_BITS, tree.smoothness, dim=tree.dim, **options)
    return None


def _near(families: list[FamilyCurve], curve: str) -> tuple[Array, Array]:
    """Sizes at which a bound is not too far below the errors there, and the least bound of all families."""
    least: dict[float, tuple[float, float]] = {}
    for family in families:
        if curve not in family.lower:
            continue
        for size, bound, error in zip(family.sizes, family.lower[curve], family.median, strict=True):
            if bound > 0 and error > 0:
                before = least.get(float(size), (math.inf, math.inf))
                least[float(size)] = (min(bound, before[0]), min(error, before[1]))
    sizes = [size for size in sorted(least) if least[size][0] >= least[size][1] * 10**-DECADES]
    return np.array(sizes), np.array([least[size][0] for size in sizes])


def _text(curve: str, tree: Tree, least: float) -> str:
    """Label of a curve: what it rests on, down to its least bound."""
    if curve == "pieces":
        return "certified ≥ (own pieces)"
    level = round(math.log(tree.kappa / least) / (tree.smoothness * math.log(tree.base)))
    return f"certified ≥ ({curve}; {'true random signs' if level < tree.stored else 'if hash is random'})"


def draw_certified(ax: Axes, families: list[FamilyCurve], x: str, start: float, stop: float) -> list[EndLabel]:
    """Draws the certified lower curves thinly, and the class bound for continuous weights as a phase line.

    The y-limits are widened to hold the curves.

    Returns:
        Labels for the ends of the certified curves.
    """
    ends = []
    for curve, sizes, bounds in certified_curves(families, x):
        ax.plot(sizes, bounds, color=CERTIFIED, lw=0.6, ls=_DASHES[curve], zorder=1.8, gid="certified")
        low, high = ax.get_ylim()
        ax.set_ylim(min(low, float(bounds.min()) / 1.4), high)
        tree = families[0].tree
        assert tree is not None, "curves are those of a tree"
        ends.append(EndLabel(_text(curve, tree, float(bounds.min())), float(sizes[-1]), float(bounds[-1]), CERTIFIED))
    _draw_continuous(ax, families, x, start, stop)
    return ends


def _draw_continuous(ax: Axes, families: list[FamilyCurve], x: str, start: float, stop: float) -> None:
    """Steps of the class bound for continuous choices of weights: a phase line that deep networks may cross."""
    trees = {f.tree for f in families}
    tree = next(iter(trees))
    if len(trees) != 1 or tree is None or x not in ("n_params", "n_params_dense"):
        return
    sizes = np.geomspace(start, stop, 400)
    bound = theory.continuous_lower_curve(np.floor(sizes), tree.smoothness, dim=tree.dim, base=tree.base)
    low, high = ax.get_ylim()
    inside = (bound > low) & (bound < high)
    if inside.any():
        ax.plot(sizes[inside], bound[inside], color=CERTIFIED, lw=0.7, ls=(0, (1, 2.5)), zorder=1.2, gid="continuous")


def continuous_handle(axes: list[Axes]) -> list[Line2D]:
    """Legend entry of the phase line, if it is drawn on any of these Axes."""
    if not any(line.get_gid() == "continuous" for ax in axes for line in ax.lines):
        return []
    return [Line2D([], [], color=CERTIFIED, lw=0.7, ls=(0, (1, 2.5)), label=CONTINUOUS)]


def plot_sandwich(records: Records, ax: Axes | None = None) -> Axes:
    """Errors of one-hidden-layer networks on Faber trees against their pieces, between two proved curves.

    No piecewise-linear function of so many pieces lies below the lower curve, trained or not, whatever the signs of the
    tree: ``theory.free_knot_lower_curve``. No interpolant on a dyadic grid lies above the upper one:
    ``theory.dyadic_interpolation_upper_curve``; a trained network may. Marks are the upper ends of single runs, hollow
    where they are not certified.

    Args:
        records: Records with networks of one hidden layer of piecewise-linear units, or interpolants, on Faber trees in
            one dimension.
        ax: Axes to draw on if there is one smoothness only. Without it, a new figure with a panel for each.

    Returns:
        The Axes drawn on; of several panels the first (the others are in ``.figure.axes``).

    Raises:
        TypeError: If ``records`` or ``ax`` are of another kind.
        ValueError: If there is no such run, or ``ax`` is given for several smoothnesses.
    """
    check_arguments(records, ax)
    frame = sandwich_runs(records)
    if not len(frame):
        raise ValueError(
            "records must hold runs of piecewise-linear networks with one hidden layer, or interpolants, on faber_tree "
            "in one dimension. Got none. Run such a study first."
        )
    laws = sorted(set(frame["smoothness"]))
    if ax is not None and len(laws) > 1:
        raise ValueError(f"ax must hold one smoothness. Got runs with r = {laws}. Leave ax out for a new figure.")
    with styled():
        panels = [ax] if ax is not None else _sandwich_panels(len(laws))
        for panel, r in zip(panels, laws, strict=True):
            _draw_sandwich(panel, frame[frame["smoothness"] == r], r)
        for panel in panels[1:]:
            panel.set_ylabel("")
        _sandwich_legend(panels, frame, alone=ax is not None)
    return panels[0]


def sandwich_runs(records: Records) -> pd.DataFrame:
    """Rows of ``records.check_bounds()`` that :func:`plot_sandwich` draws: interpolants, and one trained layer."""
    frame = records.check_bounds()
    if not len(frame):
        return frame
    faber = (frame["dim"] == 1) & (frame["base"] == 2) & (frame["kappa"] == 0.5) & (frame["bound_pieces"] > 0)
    linear = frame["activation"].map(_is_piecewise_linear)
    trained = (frame["method"] == "train") & (frame["depth"] == 1) & linear
    found: pd.DataFrame = frame[faber & (trained | (frame["construction"] == "interpolation"))]
    return found


def _is_piecewise_linear(activation: Any) -> bool:
    """Whether a network of these units has finitely many straight pieces."""
    try:
        return get(str(activation)).piecewise_linear
    except ValueError:
        return False


def _sandwich_panels(count: int) -> list[Axes]:
    """Panels of a new figure in one row."""
    width, height = 0.7 + max(2.75 * count, 3.6), 3.2  # one panel must hold the legend
    figure = new_figure(width, height)
    grid = figure.add_gridspec(
        1, count, left=0.6 / width, right=1 - 0.1 / width, top=1 - 0.3 / height, bottom=0.95 / height, wspace=0.28
    )
    return [figure.add_subplot(grid[0, i]) for i in range(count)]


_TRAINED, _BUILT = OKABE_ITO[0][0], "#000000"


def _draw_sandwich(ax: Axes, frame: pd.DataFrame, r: float) -> None:
    """One panel: runs as marks, the two curves as lines."""
    ax.set_xscale("log")
    ax.set_yscale("log")
    pieces = frame["pieces"].to_numpy(dtype=np.float64)
    start, stop = max(1.0, float(pieces.min()) / 1.3), float(pieces.max()) * 1.3
    level = np.arange(math.floor(math.log2(start)), math.ceil(math.log2(stop)) + 1)
    steps = np.unique(np.concatenate([2.0**level, 2.0**level + 1, [start, stop]]))
    steps = steps[(steps >= start) & (steps <= stop)]
    ax.plot(steps, theory.free_knot_lower_curve(np.floor(steps), r), color=CERTIFIED, lw=0.9, zorder=2)
    upper = theory.dyadic_interpolation_upper_curve(np.maximum(level, 0), r)
    ax.plot(2.0**level, upper, color=CERTIFIED, lw=0.9, ls=(0, (4, 2)), zorder=2)
    for kind, colour, marker in (("train", _TRAINED, "o"), ("construct", _BUILT, "x")):
        for certified in (True, False):
            runs = frame[(frame["method"] == kind) & (frame["certified"] == certified)]
            face = colour if certified or marker == "x" else "white"
            ax.plot(
                runs["pieces"], runs["error_upper"], marker, color=colour, mfc=face, ms=3 if marker == "o" else 4,
                mew=0.6, alpha=0.55 if marker == "o" else 0.9, zorder=3,
            )  # fmt: skip
    ax.set_title(f"r = {r:g}")
    ax.set_xlabel("number of linear pieces")
    ax.set_ylabel("sup error (upper end)")
    small_labels(ax)
    ax.set_xlim(start, stop)
    trim_axis(ax, start, stop)
    shown = ["target_seed", "method", "pieces", "error_upper", "certified", "bound_pieces", "ok"]
    rows = frame[shown].to_dict("records")
    attach_numbers(ax, [{"smoothness": r} | {str(k): v for k, v in row.items()} for row in rows])


def _sandwich_legend(panels: list[Axes], frame: pd.DataFrame, *, alone: bool) -> None:
    """Explains marks and curves once."""
    handles = [
        Line2D([], [], color=CERTIFIED, lw=0.9, label="no function with so many pieces lies below"),
        Line2D([], [], color=CERTIFIED, lw=0.9, ls=(0, (4, 2)), label="no dyadic interpolant lies above"),
    ]
    for kind, colour, marker, text in (("train", _TRAINED, "o", "trained"), ("construct", _BUILT, "x", "interpolants")):
        if (frame["method"] == kind).any():
            handles.append(Line2D([], [], color=colour, ls="none", marker=marker, ms=4, label=text))
    if alone:
        panels[0].legend(handles=handles, loc="upper right", fontsize=6.5)
        return
    columns = len(handles) if len(panels) > 1 else 2
    figure_of(panels[0]).legend(handles=handles, loc="lower left", ncols=columns, fontsize=7, borderaxespad=0.3)
