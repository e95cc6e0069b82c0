"""Commands for the experiments of papers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from approxrates.cli.base import WorkersOption, app, parse_overrides


@app.command()
def probe(
    name: Annotated[
        str | None, typer.Argument(help="Probe, e.g. ersoy2025_l2, or a probe.toml; without one they are listed.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Results folder; default results/NAME.")] = None,
    workers: WorkersOption = 1,
    set_: Annotated[list[str] | None, typer.Option("--set", help="A setting, KEY=VALUE. Repeatable.")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed cells again.")] = False,
) -> None:
    """Run the experiment of a paper, or the rest of it, and compare with what is expected. Safe to kill."""
    from approxrates.probes import SETTINGS_FILE, get_probe, probe_names, settings_from
    from approxrates.probes import probe as run
    from approxrates.probes.base import settings_of

    if name is None:
        for known in probe_names():
            typer.echo(f"{known}: {get_probe(known).title}")
        return
    folder, settings = out, parse_overrides(set_, example="seeds=5")
    if name.endswith(".toml") or Path(name).is_dir():
        path = Path(name) / SETTINGS_FILE if Path(name).is_dir() else Path(name)
        name, kept = settings_from(path)
        folder, settings = folder or path.parent, {**kept, **settings}
    settings_of(get_probe(name), settings)  # so that no setting is taken for an argument
    result = run(name, folder or Path("results") / name, workers, retry_failed=retry_failed, **settings)
    for line in result.findings():
        typer.echo(line)
    for q in result.quantities():
        measured = "-" if q.measured is None else f"{q.measured:.4g}"
        typer.echo(f"{q.verdict}: {q.quantity}: expected {q.expected}, measured {measured}")
    typer.echo(f"report: {result.folder}/report.html")
