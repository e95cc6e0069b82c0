"""Gaps and parts of the errors, in sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from approxrates.plots import brief, by_law_and_family, readable
from approxrates.records.split import PARTS

if TYPE_CHECKING:
    from approxrates.records import Records

Row = Mapping[str, Any]
_CALLED = {part: part for part in PARTS} | {"float": "floating point"}


def gap_summary(records: Records) -> list[str]:
    """The optimisation gap and the gain over the start at the largest sizes of all families, in one sentence each."""
    families = [rows for group in by_law_and_family(records.gaps("sup")).values() for rows in group.values()]
    lines = []
    gaps = [_last(rows, "optimisation_gap") for rows in families]
    told = [row for row in gaps if row is not None]
    if told:
        low, high = (pick(row["optimisation_gap"] for row in told) for pick in (min, max))
        span = f"{brief(low)}" if len(told) == 1 else f"{brief(low)} to {brief(high)}"
        lines.append(
            f"Optimisation gap: at the largest size random starts err {span} times as much as constructive ones (sup "
            f"norm, {len(told)} {'family' if len(told) == 1 else 'families'}); every size with its interval is in "
            "`gaps.csv`."
        )
    gains = [_last(rows, "gain_over_start") for rows in families]
    better = [row for row in gains if row is not None and row["gain_over_start_low"] > 1]
    if any(row is not None for row in gains):
        count = sum(row is not None for row in gains)
        lines.append(
            f"Training improves its constructive start at the largest size, beyond chance (95 %), in {len(better)} of "
            f"{count} {'family' if count == 1 else 'families'}."
        )
    return lines


def gap_lines(gaps: Mapping[str, Sequence[Row]], split: Mapping[str, Sequence[Row]]) -> list[str]:
    """Gap, gains and parts of each trained family of one target law.

    Args:
        gaps: Rows of ``Records.gaps("sup")`` of the law, by family.
        split: Rows of ``Records.split("sup")`` of the law, by family.
    """
    lines = []
    for name, members in gaps.items():
        told = [_span(members, column, text) for column, text in _SENTENCES.items()]
        parts = [text for text in told if text]
        if parts:
            lines.append(f"{name}: {'; '.join(parts)} (sup norm, 95 %).")
    for name, members in split.items():
        lines.append(_parts_line(name, members[-1]))
    return lines


_SENTENCES = {
    "optimisation_gap": "optimisation gap (random over constructive start)",
    "gain_over_start": "training divides the error of its constructive start by",
    "gain_over_spline": "error of the best spline of equal count over the achievable one",
}


def _last(rows: Sequence[Row], column: str) -> Row | None:
    """The largest size at which a ratio is known."""
    return next((row for row in reversed(rows) if math.isfinite(row[column])), None)


def _span(rows: Sequence[Row], column: str, text: str) -> str:
    """A ratio at the smallest and the largest size where it is known; empty if it is not."""
    known = [row for row in rows if math.isfinite(row[column])]
    ends = known[:1] + known[-1:] if len(known) > 1 else known
    told = [f"{_ratio(row, column)} at W = {row['n_params']:,.0f}" for row in ends]
    return f"{text} {' and '.join(told)}" if told else ""


def _ratio(row: Row, column: str) -> str:
    """A ratio with its interval, where there is one."""
    low, high = row[f"{column}_low"], row[f"{column}_high"]
    interval = f" [{brief(low)}, {brief(high)}]" if math.isfinite(low) and math.isfinite(high) else ""
    return f"{brief(row[column])}{interval}"


def _parts_line(name: str, row: Row) -> str:
    """Shares of the largest size."""
    shares = [
        f"{_percent(row[f'share_{part}'])} {_CALLED[part]}" for part in PARTS if math.isfinite(row[f"share_{part}"])
    ]
    lacking = [_CALLED[part] for part in PARTS if not math.isfinite(row[f"share_{part}"])]
    unknown = f" ({' and '.join(lacking)} not stored)" if lacking else ""
    return (
        f"{name}: of the sup error at W = {row['n_params']:,.0f}, {', '.join(shares)}{unknown}; best known "
        f"{row['best_known']:.2g} ({readable(row['best_from'])})."
    )


def _percent(share: float) -> str:
    """A share in words."""
    return f"{100 * share:.0f} %" if share >= 0.01 else "0" if share == 0 else "under 1 %"
