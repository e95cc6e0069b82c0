"""Calibrations: the project's own methods put to the test where the truth is known. See docs/calibration.md."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from approxrates.calibration.base import Calibration
from approxrates.calibration.pages import write_pages

__all__ = ["CALIBRATIONS", "Calibration", "calibrate", "calibration"]

CALIBRATIONS = {
    "coverage": "COVERAGE",
    "model-choice": "MODEL_CHOICE",
    "certificates": "CERTIFICATES",
    "exact-networks": "EXACT_NETWORKS",
    "weight-jumps": "WEIGHT_JUMPS",
}
"""Known calibrations, and the record of each in the module of its name."""


def calibration(name: str) -> Calibration:
    """The calibration of a name.

    Raises:
        ValueError: For an unknown name, listing the known ones.
    """
    if name not in CALIBRATIONS:
        raise ValueError(f"calibration must be one of {', '.join(CALIBRATIONS)}. Got {name!r}.")
    module = import_module(f"approxrates.calibration.{name.replace('-', '_')}")
    found: Calibration = getattr(module, CALIBRATIONS[name])
    return found


def calibrate(name: str, out: str | Path, *, repetitions: int | None = None, seed: int = 0) -> list[str]:
    """Runs a calibration and writes its table, figure and page.

    Args:
        name: One of ``CALIBRATIONS``.
        out: Folder for ``table.csv``, ``figures/`` and ``README.md``; made if absent.
        repetitions: How often everything is repeated; by default as often as in the committed results.
        seed: Seed of everything random.

    Returns:
        What came out, one sentence each.

    Raises:
        ValueError: For an unknown name, fewer than two repetitions, or a folder that holds something else.
        OSError: If a file cannot be written.
    """
    chosen = calibration(name)
    times = chosen.repetitions if repetitions is None else repetitions
    if isinstance(times, bool) or not isinstance(times, int):
        raise TypeError(f"repetitions must be an integer. Got {times!r}. Write e.g. repetitions=20.")
    if times < 2:
        raise ValueError(f"repetitions must be at least 2. Got repetitions={times}. Write e.g. repetitions=20.")
    folder = Path(out)
    table = write_pages(chosen, folder, times, seed)
    return chosen.verdicts(table)
