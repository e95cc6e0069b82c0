"""Curves of error against size: the rows of a study, gathered family by family, with rate and place on the diagram."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates.phase import PhasePoint, place, place_all
from approxrates.rates import Rate, fit_rate
from approxrates.records.bounds import CURVES, Tree, bounds_of, tree_of
from approxrates.records.crossover import past_crossover
from approxrates.records.declared import declared_depth, declared_rate, lower_orders
from approxrates.records.growth import (
    bits_exponent,
    depth_exponent,
    has_long_weights,
    is_known,
    number,
    saturation,
    slope,
)
from approxrates.records.names import family_label, varying
from approxrates.records.optimisation import LIMITED_FALL, limited_by_refits
from approxrates.regularity import Regularity

Row = Mapping[str, Any]

FAMILY_COLUMNS = (
    "target",
    "target_options",
    "smoothness",
    "dim",
    "method",
    "construction",
    "method_options",
    "activation",
    "architecture",
    "start",
    "plan",
    "dtype",
    "n_points",
    "seed",
)
"""What a family is made of, besides the width or depth held fixed in it. Not in it: size, replica, draw, budget."""

MIN_SIZES = 4
NARROW = 1.1
"""Brackets of the sup error up to this factor are a measurement in the middle."""
_NORMS = {"sup": "error_sup", "l2": "error_l2"}


@dataclass(frozen=True, eq=False)
class FamilyCurve:
    """Errors of one family of networks against size, over target draws and seeds.

    Attributes:
        key: All axes of the study but size, replica and target draw.
        label: What of the key varies in the study, for a legend: ``"relu, r = 0.5"``.
        sizes: Sizes, shape ``(k,)``, strictly increasing: the median over runs of the quantity ``x``.
        errors: Errors in ``norm``, shape ``(draws, k, seeds)``; NaN where a run is missing or has failed.
        draws: Target seeds, one for each row of ``errors``.
        rate: Fitted rate, or None with fewer than four sizes. Of a trained family it is that of the training: sizes
            limited by optimisation count as they were measured.
        point: Place on the phase diagram, or None without a rate or for an infinitely smooth target. Families of one
            study are placed together (Holm).
        regularity: What is known about the target.
        activation: Activation code.
        method: ``"train"``, ``"construct"`` or ``"reference"``.
        depth_exponent: The exponent of depth ~ n_params^a along the family, as a construction's laws declare it or as
            it is seen: 1 at fixed width, 0 at fixed depth; NaN if unknown.
        limited: Mask ``(k,)``: the error is known to be limited by optimisation there.
        failed_fraction: Share of runs without a usable network, shape ``(k,)``.
        x: What ``sizes`` counts.
        norm: ``"sup"`` or ``"l2"``.
        sample_exponent: Slope of log samples against log n_params over the family; NaN if unknown or not trained.
        exact_weights: Some weight has more bits than a floating-point number.
        bits_exponent: The exponent of bits per weight ~ n_params^beta of a family of such weights; None for others.
        past_crossover: Whether the largest sizes lie below the linear interpolants of equal size in the same study;
            None if unknown.
        saturation: Rate that the architecture cannot pass on smooth targets, or None.
        lower_order: At each size the parameters that terms of lower order of a construction's count law take, shape
            ``(k,)``: rates are fitted against the rest. Zero for all others, and if sizes count something else.
        declared_rate: Rate that the construction or reference method declares; ``inf`` if the error falls faster than
            every power, NaN if none is declared.
        one_sided: Mask of ``errors``: only an upper bound of the error is known. The fit takes them as such.
        certified: Whether all errors are proved; None if unknown.
        unlimited_rate: The rate if the errors at sizes limited by optimisation are upper bounds only, of what the
            networks can do; None where no size is limited.
        tree: The random tree that the target is, if certified lower curves are proved for it.
        lower: Certified lower bounds of the sup error by curve (``records.bounds.CURVES``), each of shape ``(k,)``: the
            least over the runs of a size; NaN where it applies to none.
    """

    key: dict[str, Any]
    label: str
    sizes: NDArray[np.float64]
    errors: NDArray[np.float64]
    draws: tuple[Any, ...]
    rate: Rate | None
    point: PhasePoint | None
    regularity: Regularity
    activation: str
    method: str
    depth_exponent: float
    limited: NDArray[np.bool_]
    failed_fraction: NDArray[np.float64]
    x: str = "n_params"
    norm: str = "sup"
    sample_exponent: float = math.nan
    exact_weights: bool = False
    bits_exponent: float | None = None
    past_crossover: bool | None = None
    saturation: float | None = None
    declared_rate: float = math.nan
    lower_order: NDArray[np.float64] | None = None
    one_sided: NDArray[np.bool_] | None = None
    certified: bool | None = None
    unlimited_rate: Rate | None = None
    tree: Tree | None = None
    lower: Mapping[str, NDArray[np.float64]] = dataclasses.field(default_factory=dict)

    @property
    def median(self) -> NDArray[np.float64]:
        """Median error over draws and seeds, shape ``(k,)``; NaN where nothing succeeded."""
        return np.array([_median(self.errors[:, i]) for i in range(len(self.sizes))])

    @property
    def leading(self) -> NDArray[np.float64]:
        """Sizes without what terms of lower order take: what rates are fitted against, shape ``(k,)``."""
        return self.sizes if self.lower_order is None else self.sizes - self.lower_order

    def restricted(self, draws: Sequence[Any]) -> FamilyCurve:
        """The same family with only these target draws, in this order; rate and place are made anew."""
        rows = [self.draws.index(d) for d in draws]
        one_sided = None if self.one_sided is None else self.one_sided[rows]
        return _placed(dataclasses.replace(self, errors=self.errors[rows], draws=tuple(draws), one_sided=one_sided))


def error_of(row: Row, norm: str) -> float:
    """Error of one run; NaN if there is none.

    For ``"sup"`` the geometric mean of its lower and upper bound where they are within a tenth; the middle of a wider
    bracket is not a measurement, and the lower end is: the error is attained there. Without a lower bound it is the
    upper one, and one-sided.
    """
    if row.get("status") != "ok":
        return math.nan
    if norm == "l2":
        return number(row.get("error_l2"))
    lower, upper = number(row.get("error_sup_lower")), number(row.get("error_sup_upper"))
    if not (lower > 0 and math.isfinite(upper)):
        return upper
    return math.sqrt(lower * upper) if upper <= NARROW * lower else lower


def is_one_sided(row: Row, norm: str) -> bool:
    """Whether the error of a run is only known not to be larger."""
    return norm == "sup" and math.isfinite(error_of(row, norm)) and not number(row.get("error_sup_lower")) > 0


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
    return _together([_placed(curve) for curve in _against_constructive(curves)])


def _median(values: NDArray[np.float64]) -> float:
    """Median of the finite values; NaN if there are none."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else math.nan


def grouped(rows: list[Row]) -> list[tuple[dict[str, Any], list[Row]]]:
    """Rows by family; a crossed sweep over width and depth is split by the one that its architecture holds fixed."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(repr(row.get(c)) for c in FAMILY_COLUMNS), []).append(row)
    families: list[tuple[dict[str, Any], list[Row]]] = []
    for members in groups.values():
        key = {c: members[0].get(c) for c in FAMILY_COLUMNS}
        held = "depth" if key["architecture"] == "fixed_depth" else "width"
        if key["method"] != "train" or _is_chain(members):
            families.append((key, members))
            continue
        for value in sorted({int(m[held]) for m in members if m.get(held) is not None}):
            families.append((key | {held: value}, [m for m in members if m.get(held) == value]))
    return families


def _is_chain(rows: list[Row]) -> bool:
    """Whether (width, depth) runs through one schedule, and not through a grid: neither falls as the size grows."""
    shaped = [r for r in rows if r.get("width") and r.get("depth")]
    return is_schedule({(int(r.get("n_params") or 0), int(r["width"]), int(r["depth"])) for r in shaped})


def is_schedule(shapes: Iterable[tuple[int, int, int]]) -> bool:
    """Whether shapes ``(n_params, width, depth)`` follow one another, and do not fill a grid of widths and depths.

    Example:
        >>> is_schedule([(25, 8, 1), (97, 8, 2)]), is_schedule([(97, 8, 2), (241, 8, 4), (321, 16, 2), (865, 16, 4)])
        (True, False)
    """
    ascending = sorted(shapes)
    if len({width for _, width, _ in ascending}) == len(ascending):
        return True
    return all(a[1] <= b[1] and a[2] <= b[2] for a, b in itertools.pairwise(ascending))


def _curve(key: dict[str, Any], label: str, rows: list[Row], regularity: Regularity, x: str, norm: str) -> FamilyCurve:
    """Errors of one family as an array, with rate and place."""
    base_budget = min((r.get("budget") or 1 for r in rows), default=1)
    base = [r for r in rows if (r.get("budget") or 1) == base_budget]
    refits = [r for r in rows if (r.get("budget") or 1) > base_budget]
    bins = _bins(base, x)
    sizes = np.array(sorted(bins), dtype=np.float64)
    draws = tuple(sorted({r.get("target_seed") for r in base}, key=lambda s: (s is None, s)))
    cells = [[[r for r in bins[s] if r.get("target_seed") == d] for s in sizes] for d in draws]
    seeds = max((len(c) for per_draw in cells for c in per_draw), default=0)
    errors = np.full((len(draws), len(sizes), seeds), np.nan)
    one_sided = np.zeros(errors.shape, dtype=bool)
    for (i, per_draw), (j, _) in itertools.product(enumerate(cells), enumerate(sizes)):
        errors[i, j, : len(per_draw[j])] = [error_of(r, norm) for r in per_draw[j]]
        one_sided[i, j, : len(per_draw[j])] = [is_one_sided(r, norm) for r in per_draw[j]]
    failed = np.array([np.mean([not math.isfinite(error_of(r, norm)) for r in bins[s]]) for s in sizes])
    return FamilyCurve(
        key=key, label=label, sizes=sizes, errors=errors, draws=draws, rate=None, point=None, regularity=regularity,
        activation=str(key["activation"]), method=str(key["method"]), depth_exponent=_depth_exponent(base),
        limited=limited_by_refits(bins, sizes, refits, lambda r: error_of(r, norm)),
        failed_fraction=failed, x=x, norm=norm, sample_exponent=slope(base, "n_samples"),
        exact_weights=has_long_weights(base), bits_exponent=bits_exponent(base), saturation=saturation(key, base),
        one_sided=one_sided,
        declared_rate=declared_rate(rows[0], regularity),
        lower_order=lower_orders([bins[s] for s in sizes]) if x == "n_params" else None,
        certified=_certified(base), tree=tree_of(rows[0]), lower=_lower([bins[s] for s in sizes]),
    )  # fmt: skip


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


def _bins(rows: list[Row], x: str) -> dict[float, list[Row]]:
    """Rows by size.

    A size is what was asked for (width and depth, or the limit of a construction), counted by the median of ``x``.
    """
    asked: dict[Any, list[Row]] = {}
    for row in rows:
        nominal = row.get("n_params_limit") or (row.get("n_params"), row.get("width"), row.get("depth"))
        asked.setdefault(nominal, []).append(row)
    bins: dict[float, list[Row]] = {}
    for members in asked.values():
        counted = np.array([number(m.get(x)) for m in members])
        size = _median(counted)
        if math.isfinite(size) and size > 0:
            bins.setdefault(size, []).extend(members)
    return bins


def _placed(curve: FamilyCurve) -> FamilyCurve:
    """The curve with its rates, and with its place on the diagram.

    Sizes at which a draw has no error are left out of the fit. Sizes limited by optimisation are not: the rate is that
    of the training, its place says so, and a second rate takes those errors as upper bounds.
    """
    usable = np.isfinite(curve.errors) & (curve.errors > 0)
    drawn = usable.any(axis=(1, 2)) if curve.errors.size else np.zeros(0, dtype=bool)
    use = usable[drawn].any(axis=2).all(axis=0) if drawn.any() else np.zeros(len(curve.sizes), dtype=bool)
    if use.sum() < MIN_SIZES or curve.leading.min() <= 1 or (np.diff(curve.leading) <= 0).any():
        return dataclasses.replace(curve, rate=None, point=None, unlimited_rate=None)
    errors = np.where(usable, curve.errors, np.nan)[drawn]
    bounds = usable[drawn] & (curve.one_sided[drawn] if curve.one_sided is not None else False)
    limited = use & curve.limited
    rate, unlimited = fit_rate(curve.leading, errors, use=use, censored=bounds), None
    if limited.any():
        unlimited = fit_rate(curve.leading, errors, use=use, censored=bounds | (usable[drawn] & limited[:, None]))
    point = _place(curve, rate, limited=bool(limited.any()))
    return dataclasses.replace(curve, rate=rate, point=point, unlimited_rate=unlimited)


def _place(curve: FamilyCurve, rate: Rate, *, limited: bool) -> PhasePoint | None:
    """Place of one family; None for an infinitely smooth target, or an activation that the table does not know."""
    if not (curve.regularity.is_finite and is_known(curve.activation)):
        return None
    return place(
        rate,
        curve.regularity,
        activation=curve.activation,
        depth_exponent=None if math.isnan(curve.depth_exponent) else curve.depth_exponent,
        exact_weights=curve.exact_weights,
        bits_exponent=curve.bits_exponent,
        past_crossover=curve.past_crossover,
        trained=curve.method == "train",
        saturation=curve.saturation,
        sample_exponent=None if math.isnan(curve.sample_exponent) else curve.sample_exponent,
        optimisation_limited=limited,
        norm=curve.norm,
        counting=curve.x,
        certified=curve.certified if curve.norm == "sup" else None,
        proven_rate=curve.declared_rate if curve.method == "construct" and math.isfinite(curve.declared_rate) else None,
    )


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


def _against_constructive(curves: list[FamilyCurve]) -> list[FamilyCurve]:
    """Marks sizes where a constructive start of the same family beats the random one by more than 10 %."""
    achievable = {_twin(c): c for c in curves if c.key["start"] == "constructive"}
    marked = []
    for curve in curves:
        other = achievable.get(_twin(curve))
        if other is None or curve.key["start"] == "constructive" or curve.method != "train":
            marked.append(curve)
            continue
        best = dict(zip(other.sizes, other.median, strict=True))
        limited = curve.limited | np.array(
            [best.get(s, math.nan) < (1 - LIMITED_FALL) * m for s, m in zip(curve.sizes, curve.median, strict=True)]
        )
        marked.append(dataclasses.replace(curve, limited=limited))
    return marked


def _twin(curve: FamilyCurve) -> str:
    """Key without the start, so that a random and a constructive family meet."""
    return repr(sorted((k, repr(v)) for k, v in curve.key.items() if k != "start"))
