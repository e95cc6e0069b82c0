"""What a study would do: runs, sizes, time, and the width of the intervals to expect. Nothing is trained."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from approxrates.records.grouping import grouped
from approxrates.records.names import family_label, varying
from approxrates.records.rows import flat
from approxrates.study.batches import Run, batches_of, seconds_of

SEED_SPREAD = {"train": 0.25, "construct": 0.1, "reference": 0.1}
"""Typical standard deviation of log errors around the law, between seeds and sizes."""
DRAW_SPREAD = 0.05
"""Typical standard deviation of the rate between target draws."""
MEDIAN_VARIANCE = 1.35
"""Variance of the median of three or more seeds over that of their mean: 1.35 for three, 1.44 for five."""
FLOOR_ALLOWANCE = 1.5
"""How much longer the interval of one draw gets for a floor that its sizes cannot exclude: 1.25 to 2 in simulations."""
_FLOOR_FROM = 6


@dataclass(frozen=True)
class FamilyPlan:
    """One family of a plan.

    Attributes:
        label: Name of the family.
        n_params: Parameter counts (limits, for constructions), ascending.
        draws: Target draws.
        seeds: Replicas at each size and draw.
        half_width: Expected half width of the 95 % interval of the rate; NaN with fewer than four sizes.
    """

    label: str
    n_params: tuple[int, ...]
    draws: int
    seeds: int
    half_width: float


@dataclass(frozen=True)
class StudyPlan:
    """What a study would do; ``str`` of it is for people.

    Attributes:
        name: Name of the study.
        n_runs: Runs in all.
        n_done: Runs that are stored already.
        n_batches: Batches of what is left.
        seconds: Rough CPU seconds for what is left.
        calibrated: Whether the time rests on stored runs of the study, and not on a general estimate.
        families: One entry per family.
        notes: Sentences to heed before running, such as a declared smoothness that a function contradicts.
    """

    name: str
    n_runs: int
    n_done: int
    n_batches: int
    seconds: float
    calibrated: bool
    families: tuple[FamilyPlan, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        basis = "measured on stored runs" if self.calibrated else "rough, a factor of three either way"
        done = f", {self.n_done} of them done" if self.n_done else ""
        lines = [
            f"{self.name}: {self.n_runs} runs{done}; {self.n_batches} batches to do, "
            f"about {_minutes(self.seconds)} of one core ({basis})",
            "",
        ]
        header = ("family", "parameters", "sizes", "draws", "seeds", "rate to within")
        rows = [header, *(_cells(f) for f in self.families)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
        lines += ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)


def plan_of(name: str, runs: Sequence[Run], stored: Mapping[str, Mapping[str, Any]]) -> StudyPlan:
    """The plan of a study.

    Args:
        name: Name of the study.
        runs: All its runs.
        stored: Rows in the store, by run id.
    """
    left = [run for run in runs if run.id not in stored]
    factor = _calibration(runs, stored)
    return StudyPlan(
        name=name, n_runs=len(runs), n_done=len(runs) - len(left), n_batches=len(batches_of(left)),
        seconds=sum(seconds_of(run.spec) for run in left) * (factor or 1.0), calibrated=factor is not None,
        families=tuple(_families(runs)),
    )  # fmt: skip


def _calibration(runs: Iterable[Run], stored: Mapping[str, Mapping[str, Any]]) -> float | None:
    """Measured seconds over estimated seconds of the stored runs; None if there are none.

    Constructed networks are left out: what is stored of them is how long they took to build, most is measuring.
    """
    done = [r for r in runs if r.id in stored and "construction" not in r.spec]
    pairs = [((stored[r.id].get("metrics") or {}).get("seconds"), seconds_of(r.spec)) for r in done]
    known = [(took, guess) for took, guess in pairs if took]
    return sum(took for took, _ in known) / sum(guess for _, guess in known) if known else None


def _families(runs: Sequence[Run]) -> list[FamilyPlan]:
    """Families with their sizes and the interval to expect."""
    rows: list[Mapping[str, Any]] = []
    for run in runs:
        row = flat({"id": run.id, "spec": run.spec, "status": "ok", "metrics": {"plan": run.plan}})
        rows.append(row | {"n_params": row.get("n_params") or row.get("n_params_limit")})
    found = []
    groups = grouped(rows)
    shown = varying([key for key, _ in groups])
    for key, members in groups:
        least = min(m["budget"] for m in members)
        base = [m for m in members if m["budget"] == least]
        sizes = tuple(sorted({int(m["n_params"]) for m in base}))
        draws = len({m["target_seed"] for m in base})
        seeds = len({m["replica"] for m in base})
        width = expected_half_width(sizes, draws, seeds, SEED_SPREAD[str(key["method"])])
        found.append(FamilyPlan(family_label(key, shown), sizes, draws, seeds, width))
    return found


def expected_half_width(sizes: Sequence[int], draws: int, seeds: int, spread: float) -> float:
    """Expected half width of the 95 % interval of a rate: the median, over what chance may bring.

    The standard error of a slope is ``spread / (sqrt(seeds * sizes) * sd(log n_params))`` for each draw, times the root
    of ``MEDIAN_VARIANCE``; the interval is Student's t over draws, or over the residuals with one draw, whose interval
    also allows for a floor. In simulations without bad runs the median width is within a quarter of it, or a third
    with one draw (docs/rates.md).

    Args:
        sizes: Parameter counts.
        draws: Target draws.
        seeds: Replicas at each size and draw.
        spread: Standard deviation of log errors around the law.

    Returns:
        Half width; NaN with fewer than four sizes.

    Example:
        >>> round(expected_half_width([50, 100, 200, 400, 800, 1600], draws=8, seeds=4, spread=0.25), 2)
        0.06
    """
    if len(sizes) < 4:
        return math.nan
    from scipy.special import stdtrit

    k, width = len(sizes), float(np.std(np.log(np.asarray(sizes, dtype=np.float64))))
    slope: float = spread * math.sqrt((MEDIAN_VARIANCE if seeds > 2 else 1.0) / (seeds * k)) / width
    freedom = k - 2 if draws < 2 else draws - 1
    # Wilson & Hilferty (1931): the median of chi-squared over its mean; few degrees of freedom often look too good.
    typical = float(stdtrit(freedom, 0.975)) * math.sqrt((1 - 2 / (9 * freedom)) ** 3)
    if draws < 2:
        return typical * slope * (FLOOR_ALLOWANCE if k >= _FLOOR_FROM else 1.0)
    return typical * math.hypot(slope, DRAW_SPREAD) / math.sqrt(draws)


def _cells(family: FamilyPlan) -> tuple[str, ...]:
    """One family as cells of a table."""
    ends = (
        f"{family.n_params[0]:,} to {family.n_params[-1]:,}" if len(family.n_params) > 1 else f"{family.n_params[0]:,}"
    )
    width = "no rate below 4 sizes" if math.isnan(family.half_width) else f"± {family.half_width:.2f}"
    return (family.label, ends, str(len(family.n_params)), str(family.draws), str(family.seeds), width)


def _minutes(seconds: float) -> str:
    """A duration for people."""
    units = (("s", 1, 90, 0), ("min", 60, 5400, 0), ("h", 3600, 3 * 86400, 1), ("days", 86400, 2e8, 0))
    for unit, length, most, digits in units:
        if seconds < most:
            return f"{seconds / length:.{digits}f} {unit}"
    return f"{seconds / 31557600:,.0f} years"
