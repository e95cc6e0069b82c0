"""The table of rates: its cells, and its forms as LaTeX for a paper and as Markdown for a page."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from approxrates.plots.families import by_target, family_names, target_name
from approxrates.records.curves import FamilyCurve

if TYPE_CHECKING:
    from approxrates.records import Records

HEADINGS = ("target", "family", "rate p", "95 % interval", "ρ = pd/r", "place", "sizes", "all sizes", "draws × seeds")


def rates_cells(records: Records, *, x: str = "n_params", norm: str = "sup") -> list[tuple[str, ...]]:
    """Cells of the table of rates as text, one row per family, grouped by target; columns as in ``HEADINGS``."""
    families = records.families(x=x, norm=norm)
    called = dict(zip(map(id, families), family_names(families), strict=True))
    dims = len({f.regularity.dim for f in families}) > 1
    return [_row(f, target_name(f, dim=dims), called[id(f)]) for group in by_target(families) for f in group]


def _row(family: FamilyCurve, target: str, name: str) -> tuple[str, ...]:
    """Cells of one family."""
    rate, point = family.rate, family.point
    draws, _, seeds = family.errors.shape
    value = interval = rho = place = whole = "–"
    if family.rate_all is not None and family.rate_all is not rate and math.isfinite(family.rate_all.value):
        whole = f"{family.rate_all.value:.2f}"
    if rate is not None:
        value = f"{rate.value:.2f}" if math.isfinite(rate.value) else "–"
        interval = _span(rate.interval) if all(map(math.isfinite, rate.interval)) else "undetermined"
        if rate.model == "stretched-exponential":
            value, interval = "none", f"exp(−c W^γ), γ = {rate.gamma:.2f} {_span(rate.gamma_interval)}"
        elif rate.verdict != "determined":
            interval += " ?" if interval != "undetermined" else ""
        count = f"{int(sum(rate.used))} of {len(family.sizes)}"
    else:
        count = f"0 of {len(family.sizes)}"
    if point is not None and math.isfinite(point.normalised):
        rho, place = f"{point.normalised:.2f}", f"{point.label}".lower() + ("" if point.decided else " (undecided)")
        place = place.replace("undecided (undecided)", "undecided")
    return target, name, value, interval, rho, place, count, whole, f"{draws} × {seeds}"


def _span(interval: tuple[float, float]) -> str:
    """An interval as text."""
    return f"[{interval[0]:.2f}, {interval[1]:.2f}]"


def rates_table_markdown(records: Records, *, x: str = "n_params", norm: str = "sup") -> str:
    """The table of rates in Markdown."""
    rows = [HEADINGS, ("---",) * len(HEADINGS), *rates_cells(records, x=x, norm=norm)]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in rows)


def rates_table_latex(records: Records, *, x: str = "n_params", norm: str = "sup") -> str:
    r"""The table of rates as a LaTeX ``tabular`` in the manner of booktabs (``\usepackage{booktabs}``)."""
    heads = ("Target", "Family", r"$p$", r"95\,\%", r"$\rho = pd/r$", "Place", "Sizes", "All", "Draws $\\times$ seeds")
    lines = [r"\begin{tabular}{llrlrllrl}", r"\toprule", " & ".join(heads) + r" \\"]
    last = None
    for target, *cells in rates_cells(records, x=x, norm=norm):
        if target != last:
            lines.append(r"\midrule")
        lines.append(" & ".join(_latex(c) for c in ("" if target == last else target, *cells)) + r" \\")
        last = target
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _latex(text: str) -> str:
    """A cell with LaTeX's own characters made safe."""
    special = {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "_": r"\_",
        "#": r"\#",
        "$": r"\$",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "×": r"$\times$",
        "–": "--",
        "∞": r"$\infty$",
        "γ": r"$\gamma$",
        "−": r"$-$",
    }
    return "".join(special.get(character, character) for character in text)
