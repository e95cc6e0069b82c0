"""What the groups of commands share: the application, options, reading a study, telling about records."""

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

StudyArg = Annotated[Path, typer.Argument(help="A study.toml, or the folder that holds one.")]
FolderArg = Annotated[Path, typer.Argument(help="Results folder of a study.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Override a value of the study, e.g. net.width=8. Repeatable.")
]
WorkersOption = Annotated[int, typer.Option(help="Worker processes, one thread each; 1 stays in this process.")]


def parse_overrides(items: list[str] | None, option: str = "--set", example: str = "net.width=8") -> dict[str, Any]:
    """``["net.width=8"]`` to ``{"net.width": 8}``; values are read as TOML, bare words as text.

    Raises:
        ValueError: If an item has no ``=`` or no key.
    """
    import tomllib

    overrides: dict[str, Any] = {}
    for item in items or []:
        key, sign, text = item.partition("=")
        if not sign or not key.strip():
            raise ValueError(f"{option} must be KEY=VALUE. Got {item!r}. Write e.g. {option} {example}.")
        try:
            overrides[key.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            overrides[key.strip()] = text.strip()
    return overrides


def loaded(study: Path, overrides: list[str] | None = None) -> tuple[Study, Path]:
    """The study of a file or folder, and the folder its results go to."""
    from approxrates.study import Study

    path = study / "study.toml" if study.is_dir() else study
    return Study.from_toml(path, overrides=parse_overrides(overrides)), path.parent


def standing(folder: Path) -> Records:
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


def tell(notes: Iterable[str]) -> None:
    """Notes on what was read, one line each, aside from the output."""
    for note in notes:
        typer.echo(f"note: {note}", err=True)


def show_rates(records: Records) -> None:
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
    widths = [min(max(len(r[i]) for r in rows), most) for i, most in enumerate((18, 5, 38, 22, 5, 20))]
    for cells in rows:
        shown = (c if len(c) <= w else f"{c[: w - 1]}…" for c, w in zip(cells, widths, strict=True))
        typer.echo("  ".join(c.ljust(w) for c, w in zip(shown, widths, strict=True)).rstrip())


def _rate_cells(row: Any) -> tuple[str, str, str]:
    """Rate with interval, normalised rate and place of one row of the table; a dash for what is not determined."""
    if not math.isfinite(row["rate"]):
        return "-", "-", str(row["verdict"])
    rate = f"{row['rate']:.3f} [{row['rate_low']:.2f}, {row['rate_high']:.2f}]"
    rate += "" if row["verdict"] == "determined" else " ?"
    return rate, _short(row["rho"]), row["label"] if isinstance(row["label"], str) else "-"


def _short(value: Any) -> str:
    """A number in three digits, a dash for none."""
    return "-" if not isinstance(value, (int, float)) or math.isnan(value) else f"{value:.3g}"


def finish(records: Records, folder: Path) -> None:
    """Write the report and say where it is."""
    from approxrates.report import write_report

    show_rates(records)
    typer.echo(f"report: {write_report(records, folder)}")
