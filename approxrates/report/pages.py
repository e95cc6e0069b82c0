"""The pages of a report: ``report.html`` and ``README.md`` of a results folder, and the gallery of many."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from approxrates.plots import HEADINGS, rates_cells, rates_table_markdown
from approxrates.report.assets import Drawn, environments, inline_svg
from approxrates.report.findings import setup_lines, summary_lines, target_findings, without_paths
from approxrates.report.ownership import MARK

if TYPE_CHECKING:
    import jinja2

    from approxrates.records import Records

MOST_FAILURES = 200
READING = (
    "The **rate** p is the exponent of error ~ W^(−p). Its 95 % interval covers the scatter between sizes, between "
    "draws of "
    "the target and between seeds; a floor is allowed for, and points on it are not used.",
    "**ρ = p d / r** compares it with the smoothness r of the target in d dimensions. ρ = 1 is the classical rate, "
    "the best "
    "that weights depending continuously on the target can reach. Up to ρ = 2 is the deep phase: it needs depth and "
    "ever more "
    "exact weights. Beyond it lies what no piecewise-polynomial activation can do on an information-rich target.",
    "**Below classical** says of trained networks that training or samples, not the architecture, set the rate; of "
    "constructed ones that the construction is not of this order, or that the sizes are too few or before the "
    "asymptotic range. **Undecided** says that "
    "the interval "
    "holds more than one place. **Easy target** says that the target is self-similar or analytic: it may be "
    "approximated "
    "faster than its class, which proves nothing about the phases.",
    "**Limited by optimisation**: the error of that size falls by more than 10 %, and by more than chance, with four "
    "times the budget, or it exceeds that of a smaller network which is contained in the larger one: such sizes are "
    "**kept out** of the regression, and the slope of all sizes, that of the training, is told beside it. Or another "
    "start of the same networks is better by more than 10 %: that is the **optimisation gap**, told at every size.",
    "All statements are about the family: target law, activation, growth of the architecture, training, precision "
    "and samples "
    "together. A single network has no rate. Random targets are pseudo-random: lower bounds hold as far as that is "
    "good.",
)


def html_page(records: Records, folder: Path, figures: Sequence[Drawn], command: str) -> str:
    """The self-contained page: no scripts, nothing loaded, equal records give equal bytes."""
    failures = _failures(records)
    shown = [
        {
            "name": f.name,
            "title": f.title,
            "caption": f.caption,
            "svg": inline_svg(folder / "figures" / f"{f.name}.svg", f.title, f.name),
        }
        for f in figures
    ]
    for item in shown:
        item["svg"] = markup(item["svg"])
    return template(Path(__file__).with_name("report.html.j2")).render(
        name=records.name,
        summary=summary_lines(records),
        setup=setup_lines(records),
        headings=HEADINGS,
        cells=rates_cells(records),
        figures=shown,
        findings=target_findings(records),
        failures=failures[:MOST_FAILURES],
        more_failures=max(0, len(failures) - MOST_FAILURES),
        notes=[without_paths(note) for note in records.notes],
        reading=READING,
        environment=environments(folder),
        command=command,
    )


def readme_page(records: Records, figures: Sequence[Drawn], command: str) -> str:
    """The README of a results folder."""
    blocks = [f"# {records.name}", "## In short", _items(summary_lines(records))]
    titles = {f.name: f for f in figures}
    blocks += [_image(titles[name]) for name in ("phase-smoothness", "rates") if name in titles]
    blocks += ["## What was run", _items(setup_lines(records))]
    blocks += ["## Rates", rates_table_markdown(records).rstrip()]
    blocks.append(
        "Sup norm, 95 % intervals. Sizes: used in the fit, of all. All sizes: p with those that are kept out. The same "
        "as data: [rates.csv](rates.csv); all "
        "runs: [runs.csv](runs.csv); everything on one page: `report.html`."
    )
    blocks.append("## Findings, target by target")
    for title, lines in target_findings(records):
        blocks += [f"### {title}", _items(lines)]
    blocks += [_image(f) for f in figures if f.name not in ("phase-smoothness", "rates")]
    blocks += ["## How to read it", _items(READING)]
    if command:
        blocks += ["## Regenerate", f"This file, the tables and the figures are written by\n\n```sh\n{command}\n```"]
    blocks.append(MARK)
    return "\n\n".join(blocks) + "\n"


def gallery_page(results: Path) -> str:
    """The gallery: for every results folder with a README its picture and its summary."""
    blocks = [
        "# Results",
        "Folders with a `study.toml`, the only file written by hand, hold a study and are written by `approxrates "
        "run`; those with a `probe.toml` the experiment of a paper, written by `approxrates probe`; the others hold a "
        "simulation of the tool's own methods and are written by `approxrates calibrate`. "
        "This page is written by `approxrates gallery`.",
    ]
    for page in sorted(results.glob("*/README.md")):
        folder = page.parent
        if folder.name == "demo":  # git-ignored: everybody has their own
            continue
        text = page.read_text(encoding="utf-8")
        short = re.search(r"## In short\n\n(.*?)\n\n", text, flags=re.DOTALL)
        blocks.append(f"## [{folder.name}]({folder.name}/README.md)")
        if short:
            blocks.append(short[1])
        names = [folder.name, "sandwich", "phase-smoothness", "rates"]
        shown = re.search(r"\]\(figures/(.+?)\.svg\)", text)  # the first picture of a page, if it has none of these
        names += [shown[1]] if shown else []
        picture = next((p for p in names if (folder / "figures" / f"{p}.svg").exists()), None)
        if picture:
            blocks.append(f"![{folder.name}]({folder.name}/figures/{picture}.svg)")
    blocks.append(MARK)
    return "\n\n".join(blocks) + "\n"


def _items(lines: Sequence[str]) -> str:
    """A Markdown list."""
    return "\n".join(f"- {line}" for line in lines)


def _image(figure: Drawn) -> str:
    """A figure in Markdown with its caption."""
    files = f"figures/{figure.name}"
    links = f"([PDF]({files}.pdf), [numbers]({files}.csv))"
    return f"![{figure.title}]({files}.svg)\n\n*{figure.title}.* {figure.caption} {links}"


def _failures(records: Records) -> list[tuple[str, ...]]:
    """One row of text per run without a usable network."""
    frame = records.frame()
    rows: list[tuple[str, ...]] = []
    for row in frame[frame["status"] != "ok"].to_dict("records"):
        family = row["construction"] if row["method"] != "train" else row["activation"]
        why = without_paths(row.get("error")) or without_paths(row.get("outcome"))
        rows.append(
            (
                str(row["run_id"])[:12],
                row["status"],
                f"{row['target']}, seed {row['target_seed']}",
                str(family),
                _count(row["n_params"]),
                _count(row["replica"]),
                why,
            )
        )
    return rows


def _count(value: Any) -> str:
    """A whole number as text; a dash if it is missing."""
    return f"{int(value):,}" if value is not None and value == value else "–"


def markup(text: str) -> Any:
    """Text that is already HTML."""
    from markupsafe import Markup

    return Markup(text)


@cache
def template(path: Path) -> jinja2.Template:
    """The template of a page; everything put in is escaped, and a name that is missing is an error.

    Pages share one style and the mark of ownership, as ``style`` and ``mark``.
    """
    import jinja2
    from markupsafe import Markup, escape

    def markdown(text: str) -> Markup:
        """``**bold**`` and `` `code` `` of one line."""
        safe = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", str(escape(text)))
        return Markup(re.sub(r"`(.+?)`", r"<code>\1</code>", safe))

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=False
    )
    environment.filters["md"] = markdown
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    environment.globals |= {"style": Markup(style), "mark": Markup(MARK)}
    return environment.from_string(path.read_text(encoding="utf-8"))
