"""The files of a report: tables, figures, and SVG made fit to stand inside a page."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from approxrates import store
from approxrates.measurements import MEASUREMENTS
from approxrates.plots import (
    plot_comparison,
    plot_error_split,
    plot_gaps,
    plot_measurement,
    plot_phase_diagram,
    plot_precision,
    plot_rates,
    plot_rates_against,
    plot_sandwich,
    plot_targets,
    precision_families,
    sandwich_runs,
    save_figure,
    target_options,
)
from approxrates.report.findings import without_paths

if TYPE_CHECKING:
    from approxrates.records import Records

MOST_TARGETS = 9
FIGURES = (
    "phase-smoothness",
    "rates",
    "rates-l2",
    "comparison-activation",
    "comparison-start",
    "comparison-method",
    "rates-against-l2_penalty",
    *(f"measured-{name}" for name in MEASUREMENTS),
    "gaps",
    "gaps-l2",
    "error-split",
    "error-split-l2",
    "phase-depth",
    "sandwich",
    "precision",
    "rates-bits",
    "targets",
)
"""All figures that a report may draw, by file name without suffix."""
SUFFIXES = ("svg", "pdf", "csv")
WHOLE = (
    *("target_seed", "width", "depth", "replica", "n_points", "seed", "n_params_limit"),
    *("n_params", "n_params_dense", "steps", "total_bits", "max_bits", "pieces"),
)
"""Columns of whole numbers; where some runs have none, pandas holds them as floats."""


@dataclass(frozen=True)
class Drawn:
    """A figure of a report: its file name without suffix, and what the reader is told about it."""

    name: str
    title: str
    caption: str


def write_tables(records: Records, folder: Path) -> None:
    """Writes ``rates.csv`` (one row per family), ``gaps.csv``, ``split.csv`` (per size) and ``runs.csv`` (per run)."""
    runs = records.frame()
    if "error" in runs.columns:
        runs["error"] = runs["error"].map(without_paths)
    for column in WHOLE:
        held = runs[column]
        if held.dtype.kind == "f" and (held.isna() | ((held % 1 == 0) & (held.abs() < 2**53))).all():
            runs[column] = held.astype("Int64")
    by_size = {"gaps.csv": records.gaps(), "split.csv": records.split()}
    for name, table in ({"rates.csv": records.rates(), "runs.csv": runs} | by_size).items():
        if name in by_size and not len(table):
            (folder / name).unlink(missing_ok=True)  # of an earlier report
            continue
        store.write_atomically(folder / name, table.to_csv(index=False, lineterminator="\n").encode())


def draw_figures(records: Records, folder: Path) -> list[Drawn]:
    """Draws all figures that the records have numbers for into ``folder/figures``; returns them in reading order."""
    families = records.families()
    drawn: list[Drawn] = []

    def draw(figure: Drawn, plot: Callable[[], Any]) -> None:
        save_figure(plot(), folder / "figures" / figure.name)
        drawn.append(figure)

    if any(f.point is not None for f in families):
        draw(Drawn("phase-smoothness", "Phase diagram", _PHASE), lambda: plot_phase_diagram(records))
    for norm, word in (("sup", "sup norm"), ("l2", "L² norm")):
        if any((f.errors > 0).any() for f in records.families(norm=norm)):
            name = "rates" if norm == "sup" else "rates-l2"
            draw(
                Drawn(name, f"Error against size, {word}", _RATES if norm == "sup" else _RATES_L2),
                partial(plot_rates, records, norm=norm),
            )
    for column, word in (("activation", "activations"), ("start", "starts"), ("method", "trained and constructed")):
        if any(f.key.get(column) is not None for f in families) and len(records.compare(column)):
            draw(
                Drawn(f"comparison-{column}", f"Paired comparison: {word}", _PAIRED),
                partial(plot_comparison, records, column),
            )
    if len({f.key.get("l2_penalty") for f in families if f.key.get("l2_penalty") is not None}) > 1:
        draw(
            Drawn("rates-against-l2_penalty", "Rate against the L2 penalty", _AGAINST),
            partial(plot_rates_against, records, "l2_penalty"),
        )
    for column in records.measured:
        if f"measured-{column}" in FIGURES:
            title = f"{column.replace('_', ' ').capitalize()} beside the error, against size"
            draw(Drawn(f"measured-{column}", title, _MEASURED), partial(plot_measurement, records, column))
    for norm, word, end in (("sup", "sup norm", ""), ("l2", "L² norm", "-l2")):
        gaps, split = records.gaps(norm), records.split(norm)
        if any(gaps[name].notna().any() for name in ("optimisation_gap", "gain_over_start", "gain_over_spline")):
            draw(Drawn(f"gaps{end}", f"Optimisation gap and gains, {word}", _GAPS), partial(plot_gaps, records, norm))
        if split[["share_sampling", "share_float"]].notna().any(axis=None):
            draw(
                Drawn(f"error-split{end}", f"Parts of the error, {word}", _SPLIT),
                partial(plot_error_split, records, norm),
            )
    exponents = {round(f.depth_exponent, 2) for f in families if f.point is not None}
    if len(exponents) > 1 and max(exponents) > 0.05:
        draw(Drawn("phase-depth", "Phase diagram against depth", _DEPTH), lambda: plot_phase_diagram(records, "depth"))
    runs = sandwich_runs(records)
    if len(runs) and (runs["method"] == "train").any():
        draw(Drawn("sandwich", "Between proved curves", _SANDWICH), lambda: plot_sandwich(records))
    if precision_families(records):
        draw(Drawn("precision", "The precision axis", _PRECISION), lambda: plot_precision(records))
    if any(f.exact_weights for f in families):
        draw(Drawn("rates-bits", "Error against bits", _BITS), partial(plot_rates, records, x="total_bits"))
    targets = _targets(records)
    if targets:
        draw(Drawn("targets", "Targets", "The first draw of each target law."), lambda: plot_targets(targets))
    return drawn


_PHASE = (
    "Normalised rate ρ = p d / r with its 95 % interval for every family on a target of finite smoothness. Hollow "
    "marks are "
    "undecided; diamonds mark easy targets, whose rates say nothing about the phases. Families at one r/d stand "
    "side by side."
)
_RATES = (
    "Medians over seeds and target draws with quartile bars, and the fitted law over the points used. Hollow points "
    "are not "
    "used in the fit; ringed points are limited by optimisation, and hollow too where that keeps them out. Grey "
    "guides: r/d and 2r/d. Black: interpolants; "
    "grey, without marks: reference methods."
)
_RATES_L2 = "The same runs in the L² norm, whose rates are not those of the phase diagram."
_PRECISION = (
    "Codes with at most b bits per weight: the error falls like W^(-2r/d) while code words may grow, then like "
    "W^(-r/d). In units of b all are one curve: the resource law, with precision as an axis."
)
_BITS = (
    "The same runs against the bits of all their weights together. What depth and periodic units save in weights they "
    "pay in bits; no code of T bits in all lies below the certified curve."
)
_PAIRED = (
    "Difference of the rates and ratio of the errors at matched W, paired by target draw, with 95 % intervals. "
    "Filled: the interval excludes no difference."
)
_SANDWICH = (
    "Single runs of networks with one hidden layer on Faber trees against their linear pieces. No piecewise-linear "
    "function lies below the solid curve, whatever the signs of the tree; no interpolant on a dyadic grid lies above "
    "the dashed one, a trained network may."
)
_AGAINST = (
    "The rate of each family against the penalty on the sum of all squared parameters, with 95 % intervals. Filled: "
    "from the sizes that are not limited by optimisation; hollow: the slope of all sizes, that of the training. "
    "Values stand side by side, not to scale."
)
_MEASURED = (
    "Above, the error; beneath, the measurement at the returned networks: medians over seeds and draws, bars their "
    "quartiles. Definitions and units: docs/measurements.md."
)
_GAPS = (
    "Left: errors from random starts over those from constructive ones. Right: how many times training makes the error "
    "of its constructive start smaller, and how many times smaller it is than that of the best spline with as many "
    "numbers. Paired by target draw, with 95 % intervals; one is no difference."
)
_SPLIT = (
    "Above, the median error and the least one known to be in the reach of such networks. Beneath, the shares of the "
    "error: what such networks are not known to do better (architecture), what shows at the training points beyond it "
    "(optimisation), what does not show there (sampling), rounding noise (floating point)."
)
_DEPTH = (
    "The same places against the exponent a of depth ~ W^a: with piecewise-polynomial activations "
    "ρ cannot exceed 1 + a."
)


def _targets(records: Records) -> list[Any]:
    """First draw of each catalogue target of the records; targets that are not in the catalogue are left out."""
    from approxrates.catalogue import families, load_target

    known, found = set(families()), []
    columns = ["target", "target_options", "smoothness", "dim", "target_seed"]
    for row in records.frame()[columns].drop_duplicates(columns[:4]).to_dict("records"):
        if row["target"] not in known:
            continue
        options = target_options(row["target_options"])
        given = {"smoothness": row["smoothness"]} if row["smoothness"] != float("inf") else {}
        seed = (
            {"seed": int(row["target_seed"])}
            if row["target_seed"] == row["target_seed"] and row["target_seed"] is not None
            else {}
        )
        try:
            found.append(load_target(row["target"], dim=int(row["dim"]), **given, **seed, **options))
        except (TypeError, ValueError):
            continue  # a table of errors measured elsewhere may use a family's name with parameters of its own
    return found[:MOST_TARGETS]


def inline_svg(path: Path, title: str, prefix: str) -> str:
    """An SVG file as an element of a page, ``<svg`` at the start of a line.

    Ids get a prefix, for they must be unique in the page; prolog, metadata and fixed size are dropped, and a title for
    screen readers is put in.
    """
    text = path.read_text(encoding="utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    head, _, body = text.partition(">")
    head = re.sub(r'\s(?:width|height)="[^"]*"', "", head)
    box = re.search(r'viewBox="[-\d.]+ [-\d.]+ ([\d.]+)', head)
    assert box is not None, "matplotlib writes a viewBox"
    width = float(box[1])
    body = re.sub(r'\bid="', f'id="{prefix}-', body)
    body = re.sub(r'(href="|url\()#', rf"\1#{prefix}-", body)
    return f'\n{head} role="img" style="max-width:{width * 4 / 3:.0f}px"><title>{title}</title>{body.strip()}\n'


def environments(folder: Path) -> list[tuple[str, str]]:
    """What the stored runs were computed with: names and the different values, without host names."""
    seen: dict[str, set[str]] = {}
    for row in store.read(folder).rows.values():
        for name, value in _flattened(row.get("environment") or {}):
            seen.setdefault(name, set()).add(value)
    return [(name, ", ".join(sorted(values))) for name, values in sorted(seen.items())]


def _flattened(environment: dict[str, Any], head: str = "") -> list[tuple[str, str]]:
    """Nested names and values as pairs; host names, user names and paths are left out."""
    pairs: list[tuple[str, str]] = []
    for name, value in environment.items():
        if isinstance(value, dict):
            pairs += _flattened(value, f"{head}{name} ")
        elif name not in {"host", "hostname", "node", "user", "cwd", "pid"} and value is not None:
            pairs.append((f"{head}{name}", without_paths(value)))
    return pairs
