"""Probes: experiments of papers on other phase diagrams, one file each, on the one trainer. See docs/probes.md."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from approxrates import store
from approxrates.probes.base import VERDICTS, Probe, Quantity, settings_of
from approxrates.probes.pages import OUTPUTS, SETTINGS_FILE, settings_from, write_pages, write_settings
from approxrates.probes.registry import get_probe, probe_names
from approxrates.probes.result import ProbeResult
from approxrates.probes.running import Sweep
from approxrates.report.ownership import claim
from approxrates.study.batches import Run
from approxrates.study.progress import Listener, listener

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "SETTINGS_FILE",
    "VERDICTS",
    "Probe",
    "ProbeResult",
    "Quantity",
    "get_probe",
    "load_probe",
    "plot_probe",
    "probe",
    "probe_names",
    "settings_from",
    "write_pages",
]


def probe(
    name: str,
    out: str | Path | None = None,
    workers: int = 1,
    progress: bool | Listener | None = None,
    *,
    retry_failed: bool = False,
    **settings: Any,
) -> ProbeResult:
    """Runs the experiment of a paper, or the rest of it, and compares with what is expected.

    With ``out`` every cell is stored as it ends: whoever kills it and starts it again loses at most the cells at work.

    Args:
        name: One of ``probe_names()``, e.g. ``"ersoy2025_l2"``.
        out: Folder for cells, tables, figures and pages; made if absent. None keeps nothing on disk.
        workers: Worker processes with one thread each; 1 stays in this process.
        progress: None shows progress, False does not, a function gets it.
        retry_failed: Do failed cells again.
        **settings: Settings of the probe; see its ``Settings``.

    Raises:
        ValueError: For an unknown name or setting, or a folder that cannot be written or holds something else.
        TypeError: For a setting of the wrong kind.

    Example:
        >>> import approxrates as ar
        >>> ar.probe("no_such_paper")
        Traceback (most recent call last):
        ...
        ValueError: probe must be one of ... Got 'no_such_paper'.
    """
    chosen = get_probe(name)
    made = settings_of(chosen, settings)
    if isinstance(workers, bool) or not isinstance(workers, int):
        raise TypeError(f"workers must be an integer. Got {workers!r}. Write e.g. workers=2.")
    if workers < 1:
        raise ValueError(f"workers must be at least 1. Got workers={workers}. Write e.g. workers=2.")
    hear = listener(progress)
    if out is None:
        with tempfile.TemporaryDirectory() as scratch:
            runs = Sweep(chosen, made, Path(scratch), hear, workers, retry_failed).run()
            return ProbeResult(chosen, made, _frame(runs, Path(scratch)))
    folder = Path(out)
    _check_folder(name, folder)
    try:
        (folder / "runs").mkdir(parents=True, exist_ok=True)
        claim(folder, name, OUTPUTS)
        write_settings(name, made, folder)
    except OSError as problem:
        raise ValueError(
            f"out must be a folder that can be written. Got {folder} ({problem.strerror}). Choose another folder."
        ) from None
    runs = Sweep(chosen, made, folder, hear, workers, retry_failed).run()
    result = ProbeResult(chosen, made, _frame(runs, folder), folder)
    write_pages(result, folder)
    return result


def load_probe(folder: str | Path) -> ProbeResult:
    """What a results folder of a probe holds, by its ``probe.toml``. Runs nothing.

    Raises:
        ValueError: If there is no readable ``probe.toml``.
    """
    where = Path(folder)
    name, settings = settings_from(where / SETTINGS_FILE)
    chosen = get_probe(name)
    made = settings_of(chosen, settings)
    runs = Sweep(chosen, made, where, listener(False)).stored()
    return ProbeResult(chosen, made, _frame(runs, where), where)


def plot_probe(result: ProbeResult, figure: str | None = None) -> Any:
    """Draws a figure of a probe and returns its Axes.

    Args:
        result: What ``probe`` or ``load_probe`` returned.
        figure: Name of the figure; the first if left out.

    Raises:
        ValueError: For an unknown figure, naming the known ones.
    """
    draws = result.draws()
    chosen = next(iter(draws)) if figure is None else figure
    if chosen not in draws:
        raise ValueError(f"figure must be one of {', '.join(draws)}. Got {figure!r}.")
    return draws[chosen]()


def _check_folder(name: str, folder: Path) -> None:
    """Refuses the folder of a study or of another probe, whose settings would be lost."""
    advice = "Choose another folder."
    if (folder / "study.toml").exists():
        raise ValueError(f"out must be a folder of its own. Got {folder}, the folder of a study. {advice}")
    if (folder / SETTINGS_FILE).exists():
        there, _ = settings_from(folder / SETTINGS_FILE)
        if there != name:
            raise ValueError(f"out must be a folder of {name}. Got {folder}, the folder of {there}. {advice}")


def _frame(runs: Sequence[Run], folder: Path) -> pd.DataFrame:
    """One row for each cell."""
    import pandas as pd

    rows = store.read(folder).rows
    return pd.DataFrame([_flat(run, rows[run.id]) for run in runs if run.id in rows])


def _flat(run: Run, row: Mapping[str, Any]) -> dict[str, Any]:
    """A stored cell as one row of a table."""
    times, metrics = row.get("times") or {}, row.get("metrics") or {}
    told = {"id": run.id, "status": row["status"], "error": row.get("error")}
    told["seconds"] = round(float(times.get("end", 0.0)) - float(times.get("begin", 0.0)), 3)
    return {**run.spec["cell"], **{k: v for k, v in metrics.items() if k != "plan"}, **told}
