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

from approxrates import activations, theory
from approxrates.phase import PhasePoint, place
from approxrates.rates import Rate, fit_rate
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
DOUBLE_BITS = 53
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
        rate: Fitted rate, or None with fewer than four sizes.
        point: Place on the phase diagram, or None without a rate or for an infinitely smooth target.
        regularity: What is known about the target.
        activation: Activation code.
        method: ``"train"``, ``"construct"`` or ``"reference"``.
        depth_exponent: The exponent of depth ~ n_params^a along the family: 1 at fixed width, 0 at fixed depth;
            NaN if unknown.
        limited: Mask ``(k,)``: the error is known to be limited by optimisation there.
        failed_fraction: Share of runs without a usable network, shape ``(k,)``.
        x: What ``sizes`` counts.
        norm: ``"sup"`` or ``"l2"``.
        sample_exponent: Slope of log samples against log n_params over the family; NaN if unknown or not trained.
        exact_weights: Some weight has more bits than a floating-point number.
        saturation: Rate that the architecture cannot pass on smooth targets, or None.
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
    saturation: float | None = None

    @property
    def median(self) -> NDArray[np.float64]:
        """Median error over draws and seeds, shape ``(k,)``; NaN where nothing succeeded."""
        return np.array([_median(self.errors[:, i]) for i in range(len(self.sizes))])

    def restricted(self, draws: Sequence[Any]) -> FamilyCurve:
        """The same family with only these target draws, in this order; rate and place are made anew."""
        errors = self.errors[[self.draws.index(d) for d in draws]]
        return _placed(dataclasses.replace(self, errors=errors, draws=tuple(draws)))


def error_of(row: Row, norm: str) -> float:
    """Error of one run: for ``"sup"`` the geometric mean of its lower and upper bound; NaN if there is none."""
    if row.get("status") != "ok":
        return math.nan
    if norm == "l2":
        return _number(row.get("error_l2"))
    lower, upper = _number(row.get("error_sup_lower")), _number(row.get("error_sup_upper"))
    return math.sqrt(lower * upper) if lower > 0 and math.isfinite(upper) else upper


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
    return [_placed(curve) for curve in _against_constructive(curves) if len(curve.sizes)]


def _number(value: Any) -> float:
    """A float, NaN for None."""
    return math.nan if value is None else float(value)


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


def varying(keys: list[dict[str, Any]]) -> list[str]:
    """Columns in which families differ. What only trained families have must differ between those to count."""
    columns = dict.fromkeys(c for key in keys for c in key)
    values = {c: {repr(key.get(c)) for key in keys if c == "method" or key.get(c) not in (None, "")} for c in columns}
    return [c for c in columns if len(values[c]) > 1]


_SHORT = {"smoothness": "r = {:g}", "dim": "d = {}", "width": "width {}", "depth": "depth {}", "seed": "seed {}"}
_SHORT |= {"n_points": "{} points", "start": "{} start"}


def family_label(key: Mapping[str, Any], shown: Sequence[str]) -> str:
    """Legend text of a family: its method, then whatever else differs in the study."""
    constructed = key["method"] != "train"
    named = "method" in shown or "construction" in shown
    parts = [str(key["construction"])] if constructed and named else []
    skipped = {"method", "construction"} | ({"activation", "dtype", "seed"} if constructed else set())
    for column in ("activation", *(c for c in shown if c != "activation")):
        value = key.get(column)
        if column in shown and column not in skipped and value not in (None, ""):
            parts.append(_SHORT.get(column, "{}").format(value).replace("inf", "∞"))
    return ", ".join(parts) or str(key["construction"] if constructed else key["activation"])


def _curve(key: dict[str, Any], label: str, rows: list[Row], regularity: Regularity, x: str, norm: str) -> FamilyCurve:
    """Errors of one family as an array, with rate and place."""
    base_budget = min((r.get("budget") or 1 for r in rows), default=1)
    base = [r for r in rows if (r.get("budget") or 1) == base_budget]
    refits = [r for r in rows if (r.get("budget") or 1) > base_budget]
    bins = _bins(base, x)
    sizes = np.array(sorted(bins), dtype=np.float64)
    draws = tuple(sorted({r.get("target_seed") for r in base}, key=lambda s: (s is None, s)))
    cells = [[[error_of(r, norm) for r in bins[s] if r.get("target_seed") == d] for s in sizes] for d in draws]
    seeds = max((len(c) for per_draw in cells for c in per_draw), default=0)
    errors = np.full((len(draws), len(sizes), seeds), np.nan)
    for i, per_draw in enumerate(cells):
        for j, values in enumerate(per_draw):
            errors[i, j, : len(values)] = values
    failed = np.array([np.mean([not math.isfinite(error_of(r, norm)) for r in bins[s]]) for s in sizes])
    return FamilyCurve(
        key=key, label=label, sizes=sizes, errors=errors, draws=draws, rate=None, point=None, regularity=regularity,
        activation=str(key["activation"]), method=str(key["method"]), depth_exponent=_depth_exponent(base),
        limited=limited_by_refits(bins, sizes, refits, lambda r: error_of(r, norm)),
        failed_fraction=failed, x=x, norm=norm, sample_exponent=_slope(base, "n_samples"),
        exact_weights=_has_long_weights(base), saturation=_saturation(key, base),
    )  # fmt: skip


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
        counted = np.array([_number(m.get(x)) for m in members])
        size = _median(counted)
        if math.isfinite(size) and size > 0:
            bins.setdefault(size, []).extend(members)
    return bins


def _placed(curve: FamilyCurve) -> FamilyCurve:
    """The curve with its rate, and with its place on the diagram.

    Sizes at which a draw has no error are left out of the fit. Sizes limited by optimisation are not: the rate is that
    of the training, and its place says so.
    """
    usable = np.isfinite(curve.errors) & (curve.errors > 0)
    drawn = usable.any(axis=(1, 2)) if curve.errors.size else np.zeros(0, dtype=bool)
    use = usable[drawn].any(axis=2).all(axis=0) if drawn.any() else np.zeros(len(curve.sizes), dtype=bool)
    if use.sum() < MIN_SIZES or curve.sizes.min() <= 1:
        return dataclasses.replace(curve, rate=None, point=None)
    rate = fit_rate(curve.sizes, np.where(usable, curve.errors, np.nan)[drawn], use=use)
    if not (curve.regularity.is_finite and _is_known(curve.activation)):
        return dataclasses.replace(curve, rate=rate, point=None)
    point = place(
        rate,
        curve.regularity,
        activation=curve.activation,
        depth_exponent=None if math.isnan(curve.depth_exponent) else curve.depth_exponent,
        exact_weights=curve.exact_weights,
        trained=curve.method == "train",
        saturation=curve.saturation,
        sample_exponent=None if math.isnan(curve.sample_exponent) else curve.sample_exponent,
        optimisation_limited=bool((use & curve.limited).any()),
        norm=curve.norm,
        counting=curve.x,
    )
    return dataclasses.replace(curve, rate=rate, point=point)


def _is_known(activation: str) -> bool:
    """Whether the table of activations knows a code; a user's table may name any."""
    try:
        activations.get(activation)
    except ValueError:
        return False
    return True


def _slope(rows: list[Row], column: str) -> float:
    """Least-squares slope of the logarithm of a column against log n_params; NaN where it is not known."""
    pairs = sorted({(_number(r.get("n_params")), _number(r.get(column))) for r in rows})
    pairs = [(n, v) for n, v in pairs if n > 0 and v > 0]
    if len({n for n, _ in pairs}) < 2:
        return math.nan
    size, value = np.log(np.array(pairs)).T
    return float(np.polyfit(size, value, 1)[0])


def _has_long_weights(rows: list[Row]) -> bool:
    """Whether a weight of the family has more significant bits than a floating-point number holds."""
    return any(_number(r.get("max_bits")) > DOUBLE_BITS for r in rows)


def _saturation(key: Mapping[str, Any], rows: list[Row]) -> float | None:
    """Rate that no such family passes on smooth targets.

    ``2/d`` for linear splines on uniform grids; ``2H`` for H layers of piecewise-linear units, whose pieces on a line
    number at most a power H of the width (``theory.depth_limited_rate``).
    """
    if key["construction"] == "interpolation":
        return 2.0 / int(key["dim"])
    depths = {int(r["depth"]) for r in rows if r.get("depth")}
    activation = str(key["activation"])
    if len(depths) == 1 and _is_known(activation) and activations.get(activation).piecewise_linear:
        return theory.depth_limited_rate(depths.pop())
    return None


def _depth_exponent(rows: list[Row]) -> float:
    """The exponent of depth ~ n_params^a along the family.

    1 where depth grows at fixed width and 0 where it does not grow, whatever the few first sizes look like; along a
    schedule the least-squares slope of log depth against log n_params. NaN if the depth is not known.
    """
    if not any(r.get("depth") for r in rows):
        return math.nan
    shapes = {(r["n_params"], r.get("width"), r["depth"]) for r in rows if r.get("depth") and r.get("n_params")}
    if len({n for n, _, _ in shapes}) < 2 or len({depth for _, _, depth in shapes}) < 2:
        return 0.0
    widths = {width for _, width, _ in shapes}
    if len(widths) == 1 and None not in widths:
        return 1.0
    size, depth = np.log(np.array(sorted((n, depth) for n, _, depth in shapes), dtype=np.float64)).T
    return float(np.polyfit(size, depth, 1)[0])


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
