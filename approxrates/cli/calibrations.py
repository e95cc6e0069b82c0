"""Commands that put the tool itself to the test."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from approxrates.cli.base import app


@app.command()
def calibrate(
    name: Annotated[str | None, typer.Argument(help="Calibration, e.g. coverage; without one they are listed.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for table, figure and page; default results/NAME.")] = None,
    repetitions: Annotated[
        int | None, typer.Option(help="Repetitions of every setting; default: as in the committed results.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
) -> None:
    """Simulate studies whose truth is known, run them through the tool, and write down what came out."""
    from approxrates.calibration import CALIBRATIONS, calibration
    from approxrates.calibration import calibrate as run

    if name is None:
        for known in CALIBRATIONS:
            typer.echo(f"{known}: {calibration(known).title}")
        return
    calibration(name)
    folder = Path("results") / name if out is None else out
    for line in run(name, folder, repetitions=repetitions, seed=seed):
        typer.echo(line)
    typer.echo(f"written: {folder}")
