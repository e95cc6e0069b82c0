"""What a calibration leaves behind: its table, its figure and a page that says what came out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from approxrates import store
from approxrates.calibration.base import Calibration
from approxrates.plots import save_figure
from approxrates.report.ownership import MARK, claim

if TYPE_CHECKING:
    import pandas as pd

_DIGITS = 3


def write_pages(calibration: Calibration, folder: Path, repetitions: int, seed: int) -> pd.DataFrame:
    """Runs a calibration and writes ``table.csv``, ``figures/NAME.*`` and ``README.md``; returns the table.

    Raises:
        ValueError: If the folder holds files of somebody else, or cannot be made.
        OSError: If a file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise ValueError(
            f"out must be a folder that can be written. Got {folder} ({problem.strerror}). Write e.g. "
            f"--out results/{calibration.name}."
        ) from None
    stem = f"figures/{calibration.name}"
    claim(folder, calibration.name, ("README.md", "table.csv", *(f"{stem}.{kind}" for kind in ("svg", "pdf", "csv"))))
    table = calibration.run(repetitions, seed)
    store.write_atomically(folder / "table.csv", table.to_csv(index=False, lineterminator="\n").encode())
    if calibration.draw is not None:
        save_figure(calibration.draw(table), folder / stem)
    command = f"approxrates calibrate {calibration.name} --out results/{calibration.name}"
    if repetitions != calibration.repetitions:
        command += f" --repetitions {repetitions}"
    if seed:
        command += f" --seed {seed}"
    store.write_atomically(folder / "README.md", _page(calibration, table, repetitions, command, stem).encode())
    return table


def _page(calibration: Calibration, table: pd.DataFrame, repetitions: int, command: str, stem: str) -> str:
    """The page in Markdown."""
    blocks = [f"# {calibration.title}", "## In short"]
    blocks.append("\n".join(f"- {line}" for line in calibration.verdicts(table)))
    if calibration.draw is not None:
        blocks.append(f"![{calibration.title}]({stem}.svg)")
        blocks.append(f"*{calibration.title}.* ([PDF]({stem}.pdf), [numbers]({stem}.csv))")
    blocks += ["## What was done", calibration.about, f"{repetitions} repetitions of every setting."]
    blocks += ["## Table", markdown_table(table), "The same as data: [table.csv](table.csv)."]
    blocks += ["## Regenerate", f"```sh\n{command}\n```", MARK]
    return "\n\n".join(blocks) + "\n"


def markdown_table(table: pd.DataFrame) -> str:
    """A frame as a Markdown table, numbers to three digits."""
    header = [str(c).replace("_", " ") for c in table.columns]
    rows = [header, ["---"] * len(header)]
    rows += [[_cell(value) for value in row] for row in table.itertuples(index=False)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _cell(value: Any) -> str:
    """One entry as text; a dash for what is missing."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "–" if value != value else f"{value:.{_DIGITS}g}"
    return str(value).replace("|", "\\|")
