"""Whose a file is: a report replaces what approxrates wrote and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from approxrates import store

MARK = "<!-- written by approxrates; changes made by hand are lost -->"
"""Stands in every page that a report writes. A page without it is somebody's own."""


def claim(folder: Path, title: str, names: Sequence[str]) -> None:
    """Makes sure that a report may write into a folder, and marks the folder as its own before the first file.

    A folder belongs to a report if its ``README.md`` has the mark, or if it has no ``README.md`` but a marked
    ``report.html``. Any other folder must hold none of the files that the report is going to write.

    Args:
        folder: Existing folder.
        title: Heading of the page that stands there until the report is complete.
        names: Files that a report may write, relative to the folder.

    Raises:
        ValueError: If a file is there that no report wrote.
        OSError: If the folder cannot be read or written.
    """
    page = folder / "README.md"
    if page.exists():
        refuse_foreign(page)
        return
    if not (folder / "report.html").exists() or not _is_marked(folder / "report.html"):
        foreign = next((folder / name for name in names if (folder / name).exists()), None)
        if foreign is not None:
            raise _refusal(foreign)
    store.write_atomically(page, f"# {title}\n\n{MARK}\n".encode())


def refuse_foreign(page: Path) -> None:
    """Refuses to replace a page that approxrates did not write.

    Raises:
        ValueError: If the page exists without the mark.
    """
    if page.exists() and not _is_marked(page):
        raise _refusal(page)


def _is_marked(page: Path) -> bool:
    """Whether a page has the mark."""
    return MARK.encode() in page.read_bytes()


def _refusal(path: Path) -> ValueError:
    """The one message for every file that is not ours."""
    return ValueError(
        f"{path} must be a file that approxrates wrote. Got another, which a report would replace. Move it away, or "
        "give another folder."
    )
