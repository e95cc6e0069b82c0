"""What a calibration is: a simulation whose outcome is known, run through the project's own code and written up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Calibration:
    """A simulation of the project's own methods, against truths that are known.

    Attributes:
        name: What ``approxrates calibrate`` and ``results/`` know it by.
        title: One line.
        about: A paragraph in Markdown: what is simulated, and what should come out.
        repetitions: Repetitions of the committed results.
        run: ``(repetitions, seed) -> table``, one row per setting, plain numbers and texts; deterministic.
        verdicts: ``table -> sentences``: what came out, one sentence each, beginning with "reached:" or "missed:".
        draw: ``(table, ax=None) -> Axes``: draws the figure, a function of ``plots`` (it makes its own figure without
            ``ax``); None for a table alone.
    """

    name: str
    title: str
    about: str
    repetitions: int
    run: Callable[[int, int], pd.DataFrame]
    verdicts: Callable[[pd.DataFrame], list[str]]
    draw: Callable[[pd.DataFrame], Any] | None = None
