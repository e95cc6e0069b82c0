"""Rows of a study gathered into the curves of its families."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates.phase import place_all
from approxrates.records.bounds import CURVES, bounds_of, tree_of
from approxrates.records.crossover import past_crossover
from approxrates.records.curves import FamilyCurve, placed
from approxrates.records.declared import declared_depth, declared_rate, lower_orders
from approxrates.records.embedding import shape_of
from approxrates.records.grouping import binned, error_of, grouped, is_one_sided
from approxrates.records.growth import bits_exponent, depth_exponent, has_long_weights, saturation, slope
from approxrates.records.names import family_label, varying
from approxrates.records.optimisation import DEPTH, START, budget_limited, depth_limited, start_limited
from approxrates.records.twins import aligned, are_twins
from approxrates.regularity import Regularity

Row = Mapping[str, Any]

_NORMS = {"sup": "error_sup", "l2": "error_l2"}


def family_curves(
    rows: Iterable[Row], regularity_of: Callable[[Row], Regularity], *, x: str = "n_params", norm: str = "sup"
) -> list[FamilyCurve]:
    """One curve per family, in the order in which the families first occur.

    Args:
        rows: Flat rows, as of ``Records.frame()``.
        regularity_of: What is known about the target of a row.
        x: Quantity to count size by: ``n_params``, ``n_params_dense``, ``total_bits``, ``pieces``, ``width``,
            ``depth``, ``seconds``.
        norm: ``"sup"`` or ``"l2"``.

    Raises:
        ValueError: For an unknown norm or size.
    """
    if norm not in _NORMS:
        raise ValueError(f"norm must be one of {', '.join(_NORMS)}. Got {norm!r}.")
    sizes = ("n_params", "n_params_dense", "total_bits", "pieces", "width", "depth", "seconds")
    if x not in sizes:
        raise ValueError(f"x must be one of {', '.join(sizes)}. Got {x!r}.")
    groups = grouped(list(rows))
    shown = varying([key for key, _ in groups])
    curves = [
        _curve(key, family_label(key, shown), members, regularity_of(members[0]), x, norm) for key, members in groups
    ]
    curves = _against_interpolants([curve for curve in curves if len(curve.sizes)])
    return _together([placed(curve) for curve in _against_other_starts(curves)])


def _curve(key: dict[str, Any], label: str, rows: list[Row], regularity: Regularity, x: str, norm: str) -> FamilyCurve:
    """Errors of one family as an array; rate and place are still to be found."""
    base_budget = min((r.get("budget") or 1 for r in rows), default=1)
    base = [r for r in rows if (r.get("budget") or 1) == base_budget]
    bins = binned(base, x)
    sizes = np.array(sorted(bins), dtype=np.float64)
    draws = tuple(sorted({r.get("target_seed") for r in base}, key=lambda s: (s is None, s)))
    runs = _cells([bins[s] for s in sizes], draws)
    refits = _refitted(runs, [r for r in rows if (r.get("budget") or 1) > base_budget])
    errors, again = (_of(cells, lambda r: error_of(r, norm)) for cells in (runs, refits))
    shapes = tuple(shape_of(bins[s][0]) for s in sizes)
    limited_by = budget_limited(errors, again) | {DEPTH: depth_limited(errors, shapes)} if _is_trained(key) else {}
    failed = np.array([np.mean([not math.isfinite(error_of(r, norm)) for r in bins[s]]) for s in sizes])
    return FamilyCurve(
        key=key, label=label, sizes=sizes, errors=errors, draws=draws, rate=None, point=None, regularity=regularity,
        activation=str(key["activation"]), method=str(key["method"]), depth_exponent=_depth_exponent(base),
        limited=np.any([np.zeros(len(sizes), dtype=bool), *limited_by.values()], axis=0), limited_by=limited_by,
        failed_fraction=failed, x=x, norm=norm, sample_exponent=slope(base, "n_samples"),
        exact_weights=has_long_weights(base), bits_exponent=bits_exponent(base), saturation=saturation(key, base),
        one_sided=_of(runs, lambda r: float(is_one_sided(r, norm))) == 1.0,
        declared_rate=declared_rate(rows[0], regularity),
        lower_order=lower_orders([bins[s] for s in sizes]) if x == "n_params" else None,
        certified=_certified(base), tree=tree_of(rows[0]), lower=_lower([bins[s] for s in sizes]),
        shapes=shapes, runs=runs, refits=refits,
    )  # fmt: skip


def _is_trained(key: Mapping[str, Any]) -> bool:
    """Whether optimisation can hold a family back."""
    return str(key["method"]) == "train"


def _cells(rows_by_size: Sequence[Sequence[Row]], draws: Sequence[Any]) -> NDArray[np.object_]:
    """Rows by draw, size and seed; None where there are fewer."""
    cells = [[[r for r in rows if r.get("target_seed") == d] for rows in rows_by_size] for d in draws]
    runs = np.full((len(draws), len(rows_by_size), max((len(c) for p in cells for c in p), default=0)), None, object)
    for i, j in itertools.product(range(len(draws)), range(len(rows_by_size))):
        for seed, row in enumerate(cells[i][j]):
            runs[i, j, seed] = row
    return runs


def _refitted(runs: NDArray[np.object_], refits: Sequence[Row]) -> NDArray[np.object_]:
    """For every run the refit of the same network, draw and replica with the largest budget, or None.

    A table that does not tell width and depth tells networks apart by their size.
    """

    def same(row: Row) -> tuple[Any, ...]:
        return shape_of(row) or row.get("n_params"), row.get("target_seed"), row.get("replica")

    largest = {same(row): row for row in sorted(refits, key=lambda r: r["budget"])}
    found = np.full(runs.shape, None, object)
    for place, row in np.ndenumerate(runs):
        found[place] = None if row is None else largest.get(same(row))
    return found


def _of(runs: NDArray[np.object_], value: Callable[[Row], float]) -> NDArray[np.float64]:
    """A number of every run; NaN where there is none."""
    flat = [math.nan if row is None else value(row) for row in runs.ravel()]
    return np.array(flat, dtype=np.float64).reshape(runs.shape)


def _depth_exponent(rows: list[Row]) -> float:
    """As a construction declares it, else as the family shows it."""
    declared = declared_depth(rows[0]) if rows else math.nan
    return depth_exponent(rows) if math.isnan(declared) else declared


def _lower(rows_by_size: list[list[Row]]) -> dict[str, NDArray[np.float64]]:
    """Certified lower bounds at each size, by curve; only curves that apply somewhere."""
    found = {curve: np.full(len(rows_by_size), np.nan) for curve in CURVES}
    for i, rows in enumerate(rows_by_size):
        trees = [(row, tree_of(row)) for row in rows if row.get("status") == "ok"]
        for bound in (b for row, tree in trees if tree is not None for b in bounds_of(row, tree)):
            found[bound.curve][i] = np.fmin(found[bound.curve][i], bound.value)
    return {curve: values for curve, values in found.items() if np.isfinite(values).any()}


def _certified(rows: list[Row]) -> bool | None:
    """Whether every error is proved; None where nothing says so."""
    told = [bool(r["certified"]) for r in rows if r.get("status") == "ok" and r.get("certified") is not None]
    return all(told) if told else None


def _together(curves: list[FamilyCurve]) -> list[FamilyCurve]:
    """Curves whose labels survive that many families are placed."""
    points = [curve.point for curve in curves if curve.point is not None]
    after = iter(place_all(points))
    return [c if c.point is None else dataclasses.replace(c, point=next(after)) for c in curves]


def _against_interpolants(curves: list[FamilyCurve]) -> list[FamilyCurve]:
    """Curves of long weights with the word on whether they are past the interpolants on the same target law."""
    law = ("target", "target_options", "smoothness", "dim")
    plain = {tuple(c.key[k] for k in law): c for c in curves if c.key["construction"] == "interpolation"}
    marked = []
    for curve in curves:
        other = plain.get(tuple(curve.key[k] for k in law)) if curve.exact_weights else None
        past = None if other is None else past_crossover(curve.sizes, curve.median, other.sizes, other.median)
        marked.append(dataclasses.replace(curve, past_crossover=past))
    return marked


def _against_other_starts(curves: list[FamilyCurve]) -> list[FamilyCurve]:
    """Marks sizes where another start of the same networks is better by more than 10 %, and by more than chance."""
    marked = []
    for curve in curves:
        others = [other for other in curves if other is not curve and are_twins(curve, other)]
        masks = [start_limited(curve.errors, aligned(other, curve)) for other in others]
        if masks:
            by_start = np.any(masks, axis=0)
            reasons = {**curve.limited_by, START: by_start}
            curve = dataclasses.replace(curve, limited=curve.limited | by_start, limited_by=reasons)
        marked.append(curve)
    return marked
