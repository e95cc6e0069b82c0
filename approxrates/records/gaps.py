"""Trained and achievable errors size by size, the gap between them, and what training gains over what is known.

*Trained* starts from random weights, *achievable* from a network that is built to equal a good approximation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates.records.curves import FamilyCurve
from approxrates.records.grouping import median
from approxrates.records.growth import number
from approxrates.records.optimisation import refit_ratio
from approxrates.records.pairing import Ratio, paired_by_draw, paired_by_run
from approxrates.records.twins import aligned, are_twins, at_sizes, law_of, on_sizes

Array = NDArray[np.float64]

RATIOS = (
    "optimisation_gap",
    "gain_over_start",
    "gain_over_spline",
    "gain_over_construct",
    "trained_gain_over_spline",
    "trained_gain_over_construct",
    "budget_gain_achievable",
    "budget_gain_trained",
)
"""Ratios of errors; each has its 95 % interval in the columns ``..._low`` and ``..._high``."""

GAP_COLUMNS = (
    *("norm", "n_params", "width", "depth", "trained", "achievable", "start_error"),
    *("spline", "spline_name", "construct", "construct_name", "reference", "reference_name"),
    *(f"{ratio}{end}" for ratio in RATIOS for end in ("", "_low", "_high")),
    *("interval_over", "n_draws", "certified", "limited_trained", "limited_achievable"),
)
"""Columns of ``Records.gaps()``, after those of the family."""


def gap_rows(curves: Sequence[FamilyCurve]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """For every trained family and every size its key without the start, and the columns of ``GAP_COLUMNS``.

    Args:
        curves: Families of a study by ``n_params``, all in one norm.
    """
    rows = []
    for random, built in pairs_of_starts(curves):
        leading = random or built
        assert leading is not None, "a pair has a family at least"
        lines = [c for c in curves if law_of(c) == law_of(leading) and c.method != "train"]
        key = {column: value for column, value in leading.key.items() if column != "start"}
        seen = _rows(random, built, leading, lines)
        if random is not None and built is not None:
            own = {row["n_params"] for row in seen}
            seen += [row for row in _rows(None, built, built, lines) if row["n_params"] not in own]
        rows += [(key, row) for row in sorted(seen, key=lambda row: float(row["n_params"]))]
    return rows


def pairs_of_starts(curves: Sequence[FamilyCurve]) -> list[tuple[FamilyCurve | None, FamilyCurve | None]]:
    """Trained families, the random start of the same networks beside the constructive one; None where one is missing.

    Where plans vary with the start they need not be equal, unless several would fit.
    """
    found: list[tuple[FamilyCurve | None, FamilyCurve | None]] = []
    taken: set[int] = set()
    trained = [c for c in curves if c.method == "train"]
    for random in (c for c in trained if not _is_built(c)):
        twins = [c for c in trained if _is_built(c) and are_twins(random, c)]
        same = [c for c in twins if c.key.get("plan") == random.key.get("plan")] or twins
        partner = same[0] if len(same) == 1 else None
        taken |= set() if partner is None else {id(partner)}
        found.append((random, partner))
    return found + [(None, c) for c in trained if _is_built(c) and id(c) not in taken]


def _is_built(curve: FamilyCurve) -> bool:
    """Whether a family starts from networks that are built to be good; a table that does not say so does not."""
    return curve.key.get("start") not in (None, "random")


def start_error(norm: str) -> Callable[[Mapping[str, Any]], float]:
    """Takes a row and gives the error of its network before training, in a norm; NaN where it is not stored."""
    return lambda row: number(row.get(f"start_error_{norm}"))


def _rows(
    random: FamilyCurve | None, built: FamilyCurve | None, like: FamilyCurve, lines: Sequence[FamilyCurve]
) -> list[dict[str, Any]]:
    """One row for each size of ``like``."""
    nothing = np.full((*like.errors.shape[:2], 1), np.nan)
    errors = {"trained": nothing if random is None else aligned(random, like)}
    errors["achievable"] = nothing if built is None else aligned(built, like)
    before = nothing if built is None else on_sizes(built, built.of_runs(start_error(like.norm)), like)
    again = {
        "trained": nothing if random is None else on_sizes(random, random.refit_errors, like),
        "achievable": nothing if built is None else on_sizes(built, built.refit_errors, like),
    }
    others = {name: _candidates(lines, like, name) for name in ("spline", "construct", "reference")}
    rows = []
    for j, size in enumerate(like.sizes):
        ours = {name: values[:, j] for name, values in errors.items()}
        nearest = {name: _lowest(candidates, j) for name, candidates in others.items()}
        ratios = _ratios(ours, before[:, j], {k: v[:, j] for k, v in again.items()}, nearest)
        shape = (like.shapes[j] if like.shapes else None) or (None, None)
        rows.append(
            {"norm": like.norm, "n_params": float(size), "width": shape[0], "depth": shape[1]}
            | {name: median(values) for name, values in ours.items()}
            | {"start_error": median(before[:, j])}
            | {k: v for name in others for k, v in _told(name, *nearest[name]).items()}
            | {k: v for name, ratio in ratios.items() for k, v in _ratio_columns(name, ratio).items()}
            | _footing(ratios, (random, built), size, like.norm)
            | {"limited_trained": _limits(random, like, j), "limited_achievable": _limits(built, like, j)}
        )
    return rows


def _candidates(lines: Sequence[FamilyCurve], like: FamilyCurve, kind: str) -> list[tuple[str, Array]]:
    """Errors at the sizes of a family of everything that is built or fitted for the same targets, by name."""
    chosen = [c for c in lines if c.method == ("construct" if kind == "construct" else "reference")]
    if kind == "spline":
        chosen = [c for c in chosen if str(c.key.get("construction")).endswith("spline")]
    return [(str(c.key.get("construction")), at_sizes(c, like)) for c in chosen]


def _lowest(candidates: Sequence[tuple[str, Array]], j: int) -> tuple[str | None, Array]:
    """Of those with an error at a size the one with the least geometric mean over draws, and its errors."""
    found: tuple[str | None, Array] = (None, np.full((1, 1), np.nan))
    least = math.inf
    for name, errors in candidates:
        logs = np.log(errors[:, j][np.isfinite(errors[:, j])])
        if logs.size and logs.mean() < least:
            least, found = float(logs.mean()), (name, errors[:, j])
    return found


def _ratios(
    ours: Mapping[str, Array], before: Array, again: Mapping[str, Array], others: Mapping[str, tuple[str | None, Array]]
) -> dict[str, Ratio]:
    """All ratios of one size."""

    def over(name: str, own: str) -> Ratio:
        other, errors = others[name]
        return Ratio() if other is None else paired_by_draw(errors, ours[own])

    return {
        "optimisation_gap": paired_by_draw(ours["trained"], ours["achievable"]),
        "gain_over_start": paired_by_run(before, ours["achievable"])
        if before.shape == ours["achievable"].shape
        else Ratio(),
        "gain_over_spline": over("spline", "achievable"),
        "gain_over_construct": over("construct", "achievable"),
        "trained_gain_over_spline": over("spline", "trained"),
        "trained_gain_over_construct": over("construct", "trained"),
        "budget_gain_achievable": _refit(ours["achievable"], again["achievable"]),
        "budget_gain_trained": _refit(ours["trained"], again["trained"]),
    }


def _refit(errors: Array, again: Array) -> Ratio:
    """What a larger budget gains."""
    return refit_ratio(errors, again) if errors.shape == again.shape else Ratio()


def _told(name: str, called: str | None, errors: Array) -> dict[str, Any]:
    """Median error and name of what a size is held against."""
    return {name: median(errors), f"{name}_name": called}


def _ratio_columns(name: str, ratio: Ratio) -> dict[str, float]:
    """A ratio with its interval."""
    low, high = ratio.interval
    return {name: ratio.value, f"{name}_low": low, f"{name}_high": high}


def _footing(ratios: Mapping[str, Ratio], pair: Sequence[FamilyCurve | None], size: float, norm: str) -> dict[str, Any]:
    """What the intervals are over, how many draws there are, and whether every error of ours is proved."""
    over = [r.over for name, r in ratios.items() if r.over and not name.startswith("budget")]
    found = [run for curve in pair if curve is not None for run in curve.runs_at(size) if run.get("status") == "ok"]
    told = [run.get("certified") for run in found]
    proved = all(map(bool, told)) if told and None not in told and norm == "sup" else None
    draws = len({run.get("target_seed") for run in found})
    return {"interval_over": over[0] if over else None, "n_draws": draws, "certified": proved}


def _limits(curve: FamilyCurve | None, like: FamilyCurve, j: int) -> str:
    """Why the error of a size is limited by optimisation, by the names of ``FamilyCurve.limited_by``."""
    if curve is None:
        return ""
    at = [i for i, size in enumerate(curve.sizes) if size == like.sizes[j]]
    return ", ".join(reason for reason, mask in curve.limited_by.items() if at and mask[at[0]])
