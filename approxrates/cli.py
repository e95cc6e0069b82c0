"""The command line: each command is a thin twin of a public function."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from approxrates.records import Records
    from approxrates.study import Study

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
targets_app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
app.add_typer(targets_app, name="targets", help="List the catalogue of targets, or show one family's claims.")

DEMO = Path(__file__).with_name("demo.toml")

StudyArg = Annotated[Path, typer.Argument(help="A study.toml, or the folder that holds one.")]
FolderArg = Annotated[Path, typer.Argument(help="Results folder of a study.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Override a value of the study, e.g. net.width=8. Repeatable.")
]
WorkersOption = Annotated[int, typer.Option(help="Worker processes, one thread each; 1 stays in this process.")]


def _version(value: bool) -> None:
    if value:
        from approxrates import __version__

        typer.echo(f"approxrates {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Approximation rates of deep networks: run rate studies, place them on the phase diagram, draw them."""


def parse_overrides(items: list[str] | None) -> dict[str, Any]:
    """``["net.width=8"]`` to ``{"net.width": 8}``; values are read as TOML, bare words as text.

    Raises:
        ValueError: If an item has no ``=`` or no key.
    """
    import tomllib

    overrides: dict[str, Any] = {}
    for item in items or []:
        key, sign, text = item.partition("=")
        if not sign or not key.strip():
            raise ValueError(f"--set must be KEY=VALUE. Got {item!r}. Write e.g. --set net.width=8.")
        try:
            overrides[key.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            overrides[key.strip()] = text.strip()
    return overrides


def _load(study: Path, overrides: list[str] | None = None) -> tuple[Study, Path]:
    """The study of a file or folder, and the folder its results go to."""
    from approxrates.study import Study

    path = study / "study.toml" if study.is_dir() else study
    return Study.from_toml(path, overrides=parse_overrides(overrides)), path.parent


def _standing(folder: Path) -> Records:
    """Records of what a results folder stands for: its study.toml with the overrides of the last session.

    Raises:
        ValueError: If there is neither a readable study.toml nor a session.
    """
    from approxrates.records import load_records
    from approxrates.store import Selection
    from approxrates.study import Study
    from approxrates.study.standing import standing_study

    if not (folder / "study.toml").exists():
        return load_records(folder)
    study = standing_study(folder, Study.from_toml)
    return load_records(folder) if isinstance(study, Selection) else study.records(folder)


def _tell(notes: Iterable[str]) -> None:
    """Notes on what was read, one line each, aside from the output."""
    for note in notes:
        typer.echo(f"note: {note}", err=True)


def _show_rates(records: Records) -> None:
    """Print one line per family: target, smoothness, what tells it apart, rate with interval, place."""
    table = records.rates()
    if not len(table) or not table["rate"].notna().any():
        typer.echo("No family has four sizes yet: no rate to report.")
        return
    rows = [("target", "r", "family", "rate [low, high]", "rho", "place")]
    for curve, (_, row) in zip(records.families(), table.iterrows(), strict=True):
        target = str(curve.key.get("target"))
        family = (
            ", ".join(p for p in curve.label.split(", ") if p != target and not p.startswith("r = ")) or curve.label
        )
        rows.append((target, _short(curve.key.get("smoothness")), family, *_rate_cells(row)))
    widths = [min(max(len(r[i]) for r in rows), most) for i, most in enumerate((18, 5, 30, 22, 5, 20))]
    for cells in rows:
        shown = (c if len(c) <= w else f"{c[: w - 1]}…" for c, w in zip(cells, widths, strict=True))
        typer.echo("  ".join(c.ljust(w) for c, w in zip(shown, widths, strict=True)).rstrip())


def _rate_cells(row: Any) -> tuple[str, str, str]:
    """Rate with interval, normalised rate and place of one row of the table; a dash for what is not determined."""
    if not math.isfinite(row["rate"]):
        return "-", "-", str(row["verdict"])
    rate = f"{row['rate']:.3f} [{row['rate_low']:.2f}, {row['rate_high']:.2f}]"
    return rate, _short(row["rho"]), row["label"] if isinstance(row["label"], str) else "-"


def _short(value: Any) -> str:
    """A number in three digits, a dash for none."""
    return "-" if not isinstance(value, (int, float)) or math.isnan(value) else f"{value:.3g}"


def _finish(records: Records, folder: Path) -> None:
    """Write the report and say where it is."""
    from approxrates.report import write_report

    _show_rates(records)
    typer.echo(f"report: {write_report(records, folder)}")


@app.command()
def run(
    study: StudyArg,
    out: Annotated[Path | None, typer.Option(help="Results folder; default: where study.toml lies.")] = None,
    workers: WorkersOption = 1,
    set_: SetOption = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed runs again.")] = False,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first failed run.")] = False,
    report: Annotated[bool, typer.Option(help="Write tables, figures and report.html at the end.")] = True,
) -> None:
    """Run a study, or the rest of it, and write its report. Safe to kill at any moment."""
    loaded, folder = _load(study, set_)
    records = loaded.run(out or folder, workers=workers, retry_failed=retry_failed, fail_fast=fail_fast)
    if report:
        _finish(records, out or folder)
    else:
        _show_rates(records)


@app.command()
def plan(study: StudyArg, set_: SetOption = None) -> None:
    """Show what a study would do: runs, sizes, time, the interval width to expect. Trains nothing."""
    loaded, folder = _load(study, set_)
    typer.echo(str(loaded.plan(folder)))


@app.command()
def status(folder: FolderArg) -> None:
    """Count the runs of a results folder by status."""
    from approxrates import store
    from approxrates.study import Study
    from approxrates.study.standing import standing_study, with_set

    study = standing_study(folder, Study.from_toml)
    noted = store.read_selection(folder)
    ids = study.ids if isinstance(study, store.Selection) else study.run_ids()
    counts = store.status(folder, ids=ids)
    typer.echo("  ".join(f"{name}: {count}" for name, count in counts.items()))
    if isinstance(study, store.Selection):
        _tell([f"these are the runs that the last session asked for, not those of {folder / 'study.toml'}."])
    elif noted is not None and noted.overrides:
        _tell([f"{folder / 'study.toml'} with {with_set(noted.overrides)}, as run last."])
    _tell(store.read(folder).notes)


@app.command()
def report(folder: FolderArg) -> None:
    """Write tables, figures, README and report.html of a results folder anew from its stored runs."""
    records = _standing(folder)
    _tell(records.notes)
    _finish(records, folder)


@app.command()
def gallery(
    results: Annotated[Path, typer.Argument(help="Folder that holds results folders.")] = Path("results"),
) -> None:
    """Write README.md of the results: every study with its figure and findings."""
    from approxrates.report import write_gallery

    typer.echo(str(write_gallery(results)))


@app.command()
def compact(folder: FolderArg) -> None:
    """Rewrite the stored runs as one sorted file without host names, for committing."""
    from approxrates.store import compact as store_compact

    typer.echo(str(store_compact(folder)))


@targets_app.callback()
def _targets(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        from approxrates.catalogue import table

        rows = table()
        widths = {key: max(len(key), *(len(str(row[key])) for row in rows)) for key in rows[0]}
        for row in [{key: key for key in widths}, *rows]:
            typer.echo("  ".join(str(row[key]).ljust(widths[key]) for key in widths).rstrip())


@targets_app.command("show")
def targets_show(name: Annotated[str, typer.Argument(help="Family name.")]) -> None:
    """Show the claims of one family."""
    from approxrates.catalogue import describe

    typer.echo(describe(name).render())


@app.command()
def construct(
    name: Annotated[str | None, typer.Argument(help="Construction, e.g. interpolation.")] = None,
    target: Annotated[str, typer.Option(help="Target family.")] = "faber_tree",
    smoothness: Annotated[
        float | None, typer.Option(help="Smoothness r of the target; default: the first its family is tested with.")
    ] = None,
    dim: Annotated[int, typer.Option(help="Dimension d.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the target.")] = 0,
    n_params: Annotated[int, typer.Option(help="Upper limit on non-zero parameters.")] = 500,
    out: Annotated[Path | None, typer.Option(help="Save the network here (.safetensors).")] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the constructions.")] = False,
) -> None:
    """Build a network from a theorem, measure its error, and save it."""
    from approxrates import constructions

    if list_ or name is None:
        for known in constructions.names():
            theorem = constructions.describe(known)
            typer.echo(
                f"{known}: {theorem.statement}\n  {theorem.rate_law}; {theorem.count_law}\n  {theorem.reference}"
            )
        return
    constructions.describe(name)
    if out is not None and (out.is_dir() or not out.resolve().parent.is_dir()):
        raise ValueError(
            f"--out must be a file in a folder that exists. Got {out}. Write e.g. --out network.safetensors."
        )
    from approxrates.catalogue import describe, load_target
    from approxrates.errors import approximation_error

    known_smoothness = describe(target).smoothness.values[0] if smoothness is None else smoothness
    goal = load_target(target, dim=dim, seed=seed, smoothness=known_smoothness)
    network = constructions.construct(name, goal, n_params=n_params)
    error = approximation_error(network, goal)
    typer.echo(f"target: {goal.name}, smoothness {known_smoothness:g}, dim {dim}, seed {seed}")
    typer.echo(network.describe())
    standing = "certified" if error.certified else "not certified"
    typer.echo(f"sup error in [{error.sup[0]:.6g}, {error.sup[1]:.6g}] ({error.method}, {standing})")
    typer.echo(f"L2 error {error.l2:.6g}")
    if out is not None:
        network.save(out)
        typer.echo(f"saved: {out}")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Results folder.")] = Path("results/demo"),
    workers: WorkersOption = 2,
) -> None:
    """Run a real study of about a minute: trained and constructed networks on a rough and a smooth target."""
    from approxrates.study import Study

    _finish(Study.from_toml(DEMO).run(out, workers=workers), out)


@app.command()
def doctor() -> None:
    """Say what this installation has: versions, threads, processors, optional programs."""
    import os
    import platform
    import shutil
    from importlib.metadata import PackageNotFoundError, version

    from approxrates.catalogue import families

    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"
    typer.echo(f"approxrates {version('approxrates')}, Python {platform.python_version()}, {machine}")
    for package in ("torch", "numpy", "scipy", "matplotlib", "pandas", "pydantic", "python-flint", "safetensors"):
        try:
            typer.echo(f"{package} {version(package)}")
        except PackageNotFoundError:
            typer.echo(f"{package} is missing. Write: pip install {package}")
    import torch

    cuda = "available" if torch.cuda.is_available() else "not available (not needed)"
    typer.echo(f"torch threads: {torch.get_num_threads()}, CUDA {cuda}")
    browser = next((b for b in ("chromium", "chromium-browser", "google-chrome") if shutil.which(b)), None)
    typer.echo(f"browser for the report test: {browser or 'none found (that test skips)'}")
    typer.echo(f"catalogue: {len(families())} target families")
