"""The numbers behind a figure, and saving both side by side."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from matplotlib.axes import Axes

from approxrates.plots.style import figure_of, styled

if TYPE_CHECKING:
    import pandas as pd

FORMATS = ("svg", "pdf", "pgf", "png")
# Dates and program versions would make two equal figures differ.
_METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": "approxrates"},
    "pdf": {"CreationDate": None, "Producer": None, "Creator": "approxrates"},
    "png": {"Software": None},
    "pgf": {},
}
# Keyed weakly by the Axes, so that the numbers live exactly as long as what they drew.
_drawn: WeakKeyDictionary[Axes, list[dict[str, Any]]] = WeakKeyDictionary()


def attach_numbers(ax: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    """Remember the numbers drawn on ``ax``, one mapping per mark; several plots on one Axes add up."""
    _drawn.setdefault(ax, []).extend(dict(row) for row in rows)


def drawn_numbers(ax: Any) -> pd.DataFrame:
    """Frame of the numbers drawn on a figure, all its panels in order; ``ax`` is any of its Axes, or the figure."""
    import pandas as pd

    return pd.DataFrame([row for panel in figure_of(ax).axes for row in _drawn.get(panel, [])])


def save_figure(ax: Any, path: str | Path, *, formats: Sequence[str] = ("svg", "pdf")) -> list[Path]:
    """Save the whole figure of ``ax`` and, beside it, the numbers it shows.

    Files are free of dates: saving the same figure twice gives the same bytes.

    Args:
        ax: An Axes that a plot function returned, or its figure.
        path: Path without suffix; folders are made as needed.
        formats: Any of ``svg``, ``pdf``, ``pgf`` (needs a LaTeX installation) and ``png``.

    Returns:
        The files written; the last one is the ``.csv``.

    Raises:
        ValueError: For an unknown format, or for ``pgf`` without LaTeX in PATH.
        TypeError: If ``ax`` is not an Axes or a figure.
        OSError: If a file cannot be written.
    """
    figure, stem = figure_of(ax), Path(path)
    if isinstance(formats, str):
        formats = (formats,)
    for kind in formats:
        if kind not in FORMATS:
            raise ValueError(f"formats must be among {', '.join(FORMATS)}. Got {kind!r}.")
        if kind == "pgf" and not any(shutil.which(program) for program in ("xelatex", "lualatex", "pdflatex")):
            raise ValueError(
                "format pgf needs LaTeX to measure text. Got no xelatex, lualatex or pdflatex in PATH. "
                "Install one, or write formats=('svg', 'pdf')."
            )
    stem.parent.mkdir(parents=True, exist_ok=True)
    written = []
    with styled():
        for kind in formats:
            written.append(stem.with_name(f"{stem.name}.{kind}"))
            with _replacing(written[-1]) as scratch:
                figure.savefig(scratch, format=kind, metadata=_METADATA[kind] or None)
    written.append(stem.with_name(f"{stem.name}.csv"))
    with _replacing(written[-1]) as scratch:
        drawn_numbers(figure).to_csv(scratch, index=False, float_format="%.10g", lineterminator="\n")
    return written


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A file to write that takes the place of ``path`` when it is complete; a failure leaves nothing behind."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield scratch
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
