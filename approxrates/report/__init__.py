"""Records into a report: tables, figures, one page to open and one to read where the results are kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from approxrates import store
from approxrates.report.assets import FIGURES, SUFFIXES, draw_figures, write_tables
from approxrates.report.ownership import claim, refuse_foreign
from approxrates.report.pages import gallery_page, html_page, readme_page
from approxrates.study.standing import with_set

if TYPE_CHECKING:
    from approxrates.records import Records

__all__ = ["write_gallery", "write_report"]

OUTPUTS = (
    "report.html",
    *("rates.csv", "gaps.csv", "split.csv", "runs.csv"),
    *(f"figures/{stem}.{suffix}" for stem in FIGURES for suffix in SUFFIXES),
)
"""All files besides README.md that a report may write."""


def write_report(records: Records, path: str | Path | None = None) -> Path:
    """Writes tables, figures, ``README.md`` and ``report.html`` of a study.

    All files depend on the records only, without dates, host names or paths: writing them again gives the same bytes.
    Nothing but an earlier report is replaced: the pages carry a mark, and figures of other names are left alone.

    Args:
        records: Records of a study.
        path: Results folder; default: the folder the records were read from.

    Returns:
        The page ``report.html``: self-contained, no scripts, nothing loaded from elsewhere.

    Raises:
        ValueError: If there is no folder to write to, it cannot be written, it holds a file of the same name that no
            report wrote, or the records hold no run.
    """
    chosen = path if path is not None else getattr(records, "folder", None)
    if chosen is None:
        raise ValueError(
            "path must be a folder, for these records were not read from one. Got None. Write write_report(records, "
            "'results/mine')."
        )
    folder = Path(chosen)
    if not len(records):
        raise ValueError("records must hold at least one run. Got none. Run the study first.")
    try:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        claim(folder, records.name, OUTPUTS)
        return _written(records, folder)
    except OSError as problem:
        raise ValueError(
            f"path must be a folder that can be written. Got {folder} ({_cause(problem)}). Mend that, or give another "
            "folder."
        ) from None


def _written(records: Records, folder: Path) -> Path:
    """Writes all files; figures of an earlier report that these records do not have are removed last."""
    write_tables(records, folder)
    figures = draw_figures(records, folder)
    command = _command(folder)
    page = folder / "report.html"
    store.write_atomically(page, html_page(records, folder, figures, command).encode())
    store.write_atomically(folder / "README.md", readme_page(records, figures, command).encode())
    drawn = {figure.name for figure in figures}
    for stem in FIGURES:
        for suffix in SUFFIXES if stem not in drawn else ():
            (folder / "figures" / f"{stem}.{suffix}").unlink(missing_ok=True)
    return page


def _cause(problem: OSError) -> str:
    """What went wrong and, if the system says, with which file."""
    name = f" {Path(str(problem.filename)).name}" if problem.filename else ""
    return f"{problem.strerror or problem}:{name}" if name else str(problem.strerror or problem)


def write_gallery(results: str | Path) -> Path:
    """Writes ``README.md`` of a folder of results folders: each study's picture and summary.

    Args:
        results: Folder whose sub-folders have reports.

    Returns:
        The file written.

    Raises:
        ValueError: If the folder does not exist or cannot be written, or has a ``README.md`` of another origin.
    """
    folder = Path(results)
    if not folder.is_dir():
        raise ValueError(f"results must be a folder that holds results folders. Got {folder}. Run a study first.")
    page = folder / "README.md"
    refuse_foreign(page)
    try:
        store.write_atomically(page, gallery_page(folder).encode())
    except OSError as problem:
        raise ValueError(
            f"results must be a folder that can be written. Got {folder} ({_cause(problem)}). Mend its permissions."
        ) from None
    return page


def _command(folder: Path) -> str:
    """The command that makes the folder anew, as typed at the top of the repository; empty without a study.toml."""
    if not (folder / "study.toml").exists():
        return ""
    home = folder.resolve()
    path = f"results/{home.name}/study.toml" if home.parent.name == "results" else "study.toml"
    selection = store.read_selection(folder)
    options = with_set(selection.overrides) if selection is not None else ""
    return f"approxrates run {path} {options}".strip()
