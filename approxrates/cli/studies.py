"""Commands for studies and their results folders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from approxrates.cli.base import (
    FolderArg,
    SetOption,
    StudyArg,
    WorkersOption,
    app,
    finish,
    loaded,
    show_rates,
    standing,
    tell,
)

DEMO = Path(__file__).parent.with_name("demo.toml")


@app.command()
def run(
    study: StudyArg,
    out: Annotated[Path | None, typer.Option(help="Results folder; default: where study.toml lies.")] = None,
    workers: WorkersOption = 1,
    set_: SetOption = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed runs again.")] = False,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first failed run.")] = False,
    curves: Annotated[bool, typer.Option("--curves", help="Keep the loss curve of every replica.")] = False,
    report: Annotated[bool, typer.Option(help="Write tables, figures and report.html at the end.")] = True,
) -> None:
    """Run a study, or the rest of it, and write its report. Safe to kill at any moment."""
    study_, folder = loaded(study, set_)
    records = study_.run(out or folder, workers=workers, retry_failed=retry_failed, fail_fast=fail_fast, curves=curves)
    if report:
        finish(records, out or folder)
    else:
        show_rates(records)


@app.command()
def plan(study: StudyArg, set_: SetOption = None) -> None:
    """Show what a study would do: runs, sizes, time, the interval width to expect. Trains nothing."""
    study_, folder = loaded(study, set_)
    typer.echo(str(study_.plan(folder)))


@app.command()
def status(folder: FolderArg) -> None:
    """Count the runs of a results folder by status."""
    from approxrates import store
    from approxrates.study import Study
    from approxrates.study.standing import standing_study, with_set

    if (folder / "probe.toml").exists():
        counts = store.status(folder)
        typer.echo("  ".join(f"{name}: {count}" for name, count in counts.items()))
        tell(store.read(folder).notes)
        return
    study = standing_study(folder, Study.from_toml)
    noted = store.read_selection(folder)
    ids = study.ids if isinstance(study, store.Selection) else study.run_ids()
    counts = store.status(folder, ids=ids)
    typer.echo("  ".join(f"{name}: {count}" for name, count in counts.items()))
    if isinstance(study, store.Selection):
        tell([f"these are the runs that the last session asked for, not those of {folder / 'study.toml'}."])
    elif noted is not None and noted.overrides:
        tell([f"{folder / 'study.toml'} with {with_set(noted.overrides)}, as run last."])
    tell(store.read(folder).notes)


@app.command()
def report(folder: FolderArg) -> None:
    """Write tables, figures, README and report.html of a results folder anew from its stored runs."""
    if (folder / "probe.toml").exists():
        from approxrates.probes import load_probe, write_pages

        typer.echo(f"report: {write_pages(load_probe(folder), folder)}")
        return
    records = standing(folder)
    tell(records.notes)
    finish(records, folder)


@app.command()
def gallery(
    results: Annotated[Path, typer.Argument(help="Folder that holds results folders.")] = Path("results"),
) -> None:
    """Write README.md of the results: every study with its figure and findings."""
    from approxrates.report import write_gallery

    typer.echo(str(write_gallery(results)))


@app.command()
def recertify(
    folder: FolderArg,
    gap: Annotated[float, typer.Option(help="Largest (upper - lower) / lower asked for.")] = 0.05,
    budget: Annotated[int | None, typer.Option(help="Most evaluations for each network.")] = None,
    workers: WorkersOption = 1,
) -> None:
    """Prove the errors of the stored networks; certificates go beside the runs. Safe to kill at any moment."""
    from approxrates.certification import recertify as certify

    result = certify(folder, gap=gap, budget=budget, workers=workers)
    tell([*result.notes, *(note for note in standing(folder).notes if note.startswith("FLAW"))])
    typer.echo(str(result))


@app.command()
def compact(folder: FolderArg) -> None:
    """Rewrite the stored runs and certificates as sorted files without host names, for committing."""
    from approxrates.records.certificates import compact_certificates
    from approxrates.store import compact as store_compact

    typer.echo(str(store_compact(folder)))
    certificates = compact_certificates(folder)
    if certificates is not None:
        typer.echo(str(certificates))


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Results folder.")] = Path("results/demo"),
    workers: WorkersOption = 2,
) -> None:
    """Run a real study of about a minute: trained and constructed networks on a rough and a smooth target."""
    from approxrates.study import Study

    finish(Study.from_toml(DEMO).run(out, workers=workers), out)
