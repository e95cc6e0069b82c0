"""Records into a report: tables, figures, one page to open and one to read where the results are kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from approxrates.report.assets import draw_figures, write_tables
from approxrates.report.pages import gallery_page, html_page, readme_page

if TYPE_CHECKING:
    from approxrates.records import Records

__all__ = ["write_gallery", "write_report"]


def write_report(records: Records, path: str | Path | None = None) -> Path:
    """Writes tables, figures, ``README.md`` and ``report.html`` of a study.

    All files depend on the records only, without dates, host names or paths: writing them again gives the same bytes.

    Args:
        records: Records of a study.
        path: Results folder; default: the folder the records were read from.

    Returns:
        The page ``report.html``: self-contained, no scripts, nothing loaded from elsewhere.

    Raises:
        ValueError: If there is no folder to write to, it cannot be written, or the records hold no run.
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
        write_tables(records, folder)
    except OSError as problem:
        raise ValueError(
            f"path must be a folder that can be written. Got {folder} ({problem.strerror}). Choose another."
        ) from None
    for old in (folder / "figures").iterdir():
        if old.suffix in {".svg", ".pdf", ".csv"}:
            old.unlink()
    figures = draw_figures(records, folder)
    command = _command(folder)
    page = folder / "report.html"
    page.write_text(html_page(records, folder, figures, command), encoding="utf-8", newline="\n")
    (folder / "README.md").write_text(readme_page(records, figures, command), encoding="utf-8", newline="\n")
    return page


def write_gallery(results: str | Path) -> Path:
    """Writes ``README.md`` of a folder of results folders: each study's picture and summary.

    Args:
        results: Folder whose sub-folders have reports.

    Returns:
        The file written.

    Raises:
        ValueError: If the folder does not exist.
    """
    folder = Path(results)
    if not folder.is_dir():
        raise ValueError(f"results must be a folder that holds results folders. Got {folder}. Run a study first.")
    page = folder / "README.md"
    page.write_text(gallery_page(folder), encoding="utf-8", newline="\n")
    return page


def _command(folder: Path) -> str:
    """The command that makes the folder anew, as typed at the top of the repository; empty without a study.toml."""
    if not (folder / "study.toml").exists():
        return ""
    home = folder.resolve()
    return (
        f"approxrates run results/{home.name}/study.toml"
        if home.parent.name == "results"
        else "approxrates run study.toml"
    )
