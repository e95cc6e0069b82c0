"""One look for every figure: an rc style that is never made global, and a colour, marker and dash for each family."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 8.0,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelsize": 8.0,
    "axes.labelcolor": "#333333",
    "axes.edgecolor": "#555555",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "xtick.labelcolor": "#333333",
    "ytick.labelcolor": "#333333",
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "hatch.linewidth": 0.5,
    # Hinting would make text widths depend on the resolution: labels are measured once and must fit in every format.
    "text.hinting": "no_hinting",
    "savefig.dpi": 150,
    "svg.fonttype": "path",
    "svg.hashsalt": "approxrates",
    "pdf.fonttype": 42,
}

# Okabe & Ito (2008), "Color Universal Design": seven hues that stay apart for colour-blind readers; black is kept for
# constructed references. The second tone is for text: the light hues are too faint to read on white.
OKABE_ITO = (
    ("#0072B2", "#005F94"),
    ("#D55E00", "#B34F00"),
    ("#009E73", "#007A59"),
    ("#CC79A7", "#A3497C"),
    ("#E69F00", "#946600"),
    ("#56B4E9", "#2178A8"),
    ("#F0E442", "#7A7200"),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "h")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (3, 1.2)))
GUIDE = "#9A9A9A"
GUIDE_TEXT = "#6B6B6B"


@dataclass(frozen=True)
class Look:
    """How one family is drawn: colour of its marks, of its text, marker, line style, line width."""

    color: str
    text: str
    marker: str
    dash: Any
    width: float = 1.3


REFERENCE = Look("#000000", "#000000", ".", "-", 0.8)
REFERENCE_DASHES: tuple[Any, ...] = ("-", (0, (4, 2)), (0, (1, 1.5)))


def looks(names: Iterable[tuple[str, bool]]) -> dict[str, Look]:
    """A look for each family name, in order of appearance; what others are held against is black and thin.

    Colour, marker and dash run through cycles of coprime lengths 7, 9 and 5, so that no two of the first 315 are alike.

    Args:
        names: Pairs (name, whether others are held against the family); repeats are allowed.
    """
    found: dict[str, Look] = {}
    others = baselines = 0
    for name, is_baseline in names:
        if name in found:
            continue
        if is_baseline:
            found[name] = Look(
                "#000000",
                "#000000",
                "." if not baselines else "x+*1234"[(baselines - 1) % 7],
                REFERENCE_DASHES[baselines % len(REFERENCE_DASHES)],
                REFERENCE.width,
            )
            baselines += 1
        else:
            color, text = OKABE_ITO[others % len(OKABE_ITO)]
            found[name] = Look(color, text, MARKERS[others % len(MARKERS)], DASHES[others % len(DASHES)])
            others += 1
    return found


@contextmanager
def styled() -> Iterator[None]:
    """The style of this library over matplotlib's defaults, undone on leaving: the user's settings have no effect."""
    with matplotlib.style.context(["default", STYLE]):
        yield


def new_figure(width: float, height: float) -> Figure:
    """A figure (inches) outside pyplot: it needs no display and leaves nothing behind when it goes out of scope."""
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def figure_of(artist: Any) -> Figure:
    """The figure at the root of an Axes, sub-figure or figure.

    Raises:
        TypeError: If it is none of these.
    """
    if isinstance(artist, Axes):
        artist = artist.figure
    root = getattr(artist, "figure", artist) or artist
    if not isinstance(root, Figure):
        raise TypeError(
            f"ax must be a matplotlib Axes or Figure. Got {type(root).__name__}. Pass what a plot function returned."
        )
    return root


def check_arguments(records: Any, ax: Any) -> None:
    """What every figure of records is given.

    Raises:
        TypeError: If ``records`` are no records, or ``ax`` is neither an Axes nor None.
    """
    if not hasattr(records, "families"):
        raise TypeError(f"records must be Records. Got {type(records).__name__}. Write load_records('results/mine').")
    check_axes(ax)


def check_axes(ax: Any) -> None:
    """Refuse anything that cannot be drawn on.

    Raises:
        TypeError: If ``ax`` is neither an Axes nor None.
    """
    if ax is not None and not isinstance(ax, Axes):
        raise TypeError(f"ax must be a matplotlib Axes. Got {type(ax).__name__}. Leave ax out for a new figure.")


def small_labels(ax: Axes) -> None:
    """Gives the scales of an Axes this library's sizes, whatever settings it was made with."""
    ax.tick_params(labelsize=STYLE["xtick.labelsize"])
    for axis in (ax.xaxis, ax.yaxis):
        axis.label.set_fontsize(STYLE["axes.labelsize"])
