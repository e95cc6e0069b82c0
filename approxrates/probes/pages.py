"""What a probe leaves behind: settings, cells, expected against measured, figures, a page to open and one to read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from approxrates import store
from approxrates.plots import save_figure
from approxrates.probes.base import plain_settings
from approxrates.report.assets import inline_svg
from approxrates.report.ownership import MARK, claim
from approxrates.report.pages import markup, template
from approxrates.spec.tomltext import document

if TYPE_CHECKING:
    import pandas as pd

    from approxrates.probes.result import ProbeResult

HEADINGS = ("quantity", "expected", "measured", "interval", "verdict", "source", "note")
SETTINGS_FILE = "probe.toml"
OUTPUTS = ("README.md", "report.html", "cells.csv", "expected.csv")
"""All files besides settings, runs and figures that a probe writes."""
_MOST_FAILURES = 50


def write_settings(name: str, settings: Any, folder: Path) -> None:
    """Writes ``probe.toml``: name and settings, enough to do it again.

    Raises:
        OSError: If it cannot be written.
    """
    text = document({"probe": name} | {k: v for k, v in plain_settings(settings).items() if v is not None})
    store.write_atomically(folder / SETTINGS_FILE, text.encode())


def write_pages(result: ProbeResult, folder: Path) -> Path:
    """Writes tables, figures, ``README.md`` and ``report.html`` of a probe; equal cells give equal bytes.

    Returns:
        The page ``report.html``.

    Raises:
        ValueError: If a file is there that approxrates did not write.
        OSError: If a file cannot be written.
    """
    draws = result.draws()
    names = [f"figures/{stem}.{kind}" for stem in draws for kind in ("svg", "pdf", "csv")]
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    claim(folder, result.name, ("README.md", "report.html", "cells.csv", "expected.csv", *names))
    scalars = [
        c for c in result.records.columns if not result.records[c].map(lambda v: isinstance(v, (list, dict))).any()
    ]
    _write_table(result.records[scalars], folder / "cells.csv")
    _write_table(result.expected(), folder / "expected.csv")
    for stem, draw in draws.items():
        save_figure(draw(), folder / "figures" / stem)
    store.write_atomically(folder / "README.md", _readme(result, list(draws)).encode())
    page = folder / "report.html"
    store.write_atomically(page, _html(result, list(draws), folder).encode())
    return page


def _write_table(table: pd.DataFrame, path: Path) -> None:
    """A frame as CSV."""
    store.write_atomically(path, table.to_csv(index=False, lineterminator="\n").encode())


def _html(result: ProbeResult, stems: list[str], folder: Path) -> str:
    """The self-contained page."""
    figures = [
        {
            "name": stem,
            "svg": markup(inline_svg(folder / "figures" / f"{stem}.svg", _title(stem), stem)),
            "caption": f"**{_title(stem)}.** Numbers: `figures/{stem}.csv`.",
        }
        for stem in stems
    ]
    return template(Path(__file__).with_name("probe.html.j2")).render(
        name=result.name,
        title=result.probe.title,
        source=result.probe.source,
        findings=result.findings(),
        headings=HEADINGS,
        cells=[[_cell(v) for v in row] for row in _rows(result)],
        figures=figures,
        settings=[(k, str(v)) for k, v in plain_settings(result.settings).items()],
        failures=_failures(result),
        command=_command(result),
    )


def _readme(result: ProbeResult, stems: list[str]) -> str:
    """The page in Markdown."""
    blocks = [f"# {result.probe.title}", "## In short", "\n".join(f"- {line}" for line in result.findings())]
    blocks += ["## Expected and measured", _markdown(result)]
    blocks.append("The same as data: [expected.csv](expected.csv); all cells: [cells.csv](cells.csv).")
    for stem in stems:
        path = f"figures/{stem}"
        blocks.append(f"![{_title(stem)}]({path}.svg)\n\n*{_title(stem)}.* ([PDF]({path}.pdf), [numbers]({path}.csv))")
    if failures := _failures(result):
        blocks += ["## Cells that failed", "\n".join(f"- {line}" for line in failures)]
    blocks += [f"Source: {result.probe.source}", f"## Regenerate\n\n```sh\n{_command(result)}\n```", MARK]
    return "\n\n".join(blocks) + "\n"


def _markdown(result: ProbeResult) -> str:
    """Expected against measured as a Markdown table."""
    rows = [list(HEADINGS), ["---"] * len(HEADINGS)]
    rows += [[_cell(v).replace("|", "\\|") for v in row] for row in _rows(result)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _rows(result: ProbeResult) -> list[tuple[Any, ...]]:
    """One row for each quantity, in the order of the headings."""
    found = []
    for q in result.quantities():
        interval = "–" if q.low is None or q.high is None else f"[{_cell(q.low)}, {_cell(q.high)}]"
        found.append((q.quantity, q.expected, q.measured, interval, q.verdict, q.source, q.note))
    return found


def _cell(value: Any) -> str:
    """One entry as text; a dash for what is missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _failures(result: ProbeResult) -> list[str]:
    """A line for each cell that failed."""
    frame = result.records
    if not len(frame):
        return []
    bad = frame[frame["status"] != "ok"]
    lines = [f"{row['id'][:12]}: {row['error']}" for row in bad.to_dict("records")]
    return lines[:_MOST_FAILURES]


def _title(stem: str) -> str:
    """A figure's name in words."""
    return stem.replace("-", " ").capitalize()


def _command(result: ProbeResult) -> str:
    """The command that makes the folder anew."""
    return f"approxrates probe results/{result.name}/{SETTINGS_FILE}"


def settings_from(path: Path) -> tuple[str, Mapping[str, Any]]:
    """Name and settings of a ``probe.toml``.

    Raises:
        ValueError: If it cannot be read, or names no probe.
    """
    import tomllib

    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise ValueError(f"{path} must be a readable {SETTINGS_FILE}. Got: {problem}.") from None
    name = tables.pop("probe", None)
    if not isinstance(name, str):
        raise ValueError(f'{path} must name its probe. Got {name!r}. Write e.g. probe = "ersoy2025_l2".')
    return name, tables
