"""Curves of error against size: what a family is, its rate, its place on the diagram."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates.phase import PhasePoint, place
from approxrates.rates import Rate, fit_rate
from approxrates.rates.base import listed
from approxrates.records.bounds import Tree
from approxrates.records.embedding import Shape
from approxrates.records.grouping import error_of, median
from approxrates.records.growth import is_known
from approxrates.records.optimisation import KEPT_OUT
from approxrates.regularity import Regularity

Row = Mapping[str, Any]

MIN_SIZES = 4
SAID_OF_KEPT_OUT = "Limited by optimisation and kept out"


@dataclass(frozen=True, eq=False)
class FamilyCurve:
    """Errors of one family of networks against size, over target draws and seeds.

    Attributes:
        key: All axes of the study but size, replica and target draw.
        label: What of the key varies in the study, for a legend: ``"relu, r = 0.5"``.
        sizes: Sizes, shape ``(k,)``, strictly increasing: the median over runs of the quantity ``x``.
        errors: Errors in ``norm``, shape ``(draws, k, seeds)``; NaN where a run is missing or has failed.
        draws: Target seeds, one for each row of ``errors``.
        rate: Fitted rate, or None with fewer than four sizes. Sizes in ``kept_out`` do not count in it: their errors
            are upper bounds only, of what the networks can do.
        point: Place on the phase diagram, or None without a rate or for an infinitely smooth target. Families of one
            study are placed together (Holm).
        regularity: What is known about the target.
        activation: Activation code.
        method: ``"train"``, ``"construct"`` or ``"reference"``.
        depth_exponent: The exponent of depth ~ n_params^a along the family, as a construction's laws declare it or as
            it is seen: 1 at fixed width, 0 at fixed depth; NaN if unknown.
        limited: Mask ``(k,)``: the error is known to be limited by optimisation there, for any of the reasons in
            ``limited_by``.
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
        rate_all: The rate with the errors of all sizes as they were measured: of the training, not of the networks. The
            same as ``rate`` where no size is kept out.
        limited_by: Masks ``(k,)`` by reason (``records.optimisation``): ``"budget"``, refits with a larger budget are
            better; ``"between"``, not refitted, and both neighbours that were are limited; ``"depth"``, a network that
            is contained errs less; ``"start"``, another start of the same networks is better.
        shapes: Width and depth at each size; None where they are not known.
        runs: The rows behind ``errors``, shape ``(draws, k, seeds)``; None where a run is missing.
        refits: For each of the runs, the one with the largest budget from the same weights, or None; the same shape.
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
    rate_all: Rate | None = None
    limited_by: Mapping[str, NDArray[np.bool_]] = dataclasses.field(default_factory=dict)
    shapes: tuple[Shape | None, ...] = ()
    runs: NDArray[np.object_] | None = None
    refits: NDArray[np.object_] | None = None
    tree: Tree | None = None
    lower: Mapping[str, NDArray[np.float64]] = dataclasses.field(default_factory=dict)

    @property
    def median(self) -> NDArray[np.float64]:
        """Median error over draws and seeds, shape ``(k,)``; NaN where nothing succeeded."""
        return np.array([median(self.errors[:, i]) for i in range(len(self.sizes))])

    @property
    def leading(self) -> NDArray[np.float64]:
        """Sizes without what terms of lower order take: what rates are fitted against, shape ``(k,)``."""
        return self.sizes if self.lower_order is None else self.sizes - self.lower_order

    @property
    def kept_out(self) -> NDArray[np.bool_]:
        """Sizes whose errors do not count in the regression, shape ``(k,)``."""
        masks = [mask for reason, mask in self.limited_by.items() if reason in KEPT_OUT]
        return np.any(masks, axis=0) if masks else np.zeros(len(self.sizes), dtype=bool)

    @property
    def refit_errors(self) -> NDArray[np.float64]:
        """Errors of the refits, shape of ``errors``; NaN where there is none."""
        return self.of_runs(lambda row: error_of(row, self.norm), refits=True)

    def of_runs(self, value: Callable[[Row], float], *, refits: bool = False) -> NDArray[np.float64]:
        """A number of every run, shape of ``errors``; NaN where there is no run.

        Args:
            value: Takes a row.
            refits: Ask the refits instead.
        """
        rows = self.refits if refits else self.runs
        if rows is None:
            return np.full(self.errors.shape, np.nan)
        flat = [math.nan if row is None else float(value(row)) for row in rows.ravel()]
        return np.array(flat, dtype=np.float64).reshape(rows.shape)

    def runs_at(self, size: float) -> list[Row]:
        """The runs of a size, of all draws."""
        places = np.flatnonzero(self.sizes == size)
        rows = () if self.runs is None else self.runs[:, places].ravel()
        return [row for row in rows if row is not None]

    def restricted(self, draws: Sequence[Any]) -> FamilyCurve:
        """The same family with only these target draws, in this order; rate and place are made anew."""
        rows = [self.draws.index(d) for d in draws]
        cubes = {c: getattr(self, c) for c in ("errors", "one_sided", "runs", "refits")}
        taken: dict[str, Any] = {name: None if cube is None else cube[rows] for name, cube in cubes.items()}
        return placed(dataclasses.replace(self, draws=tuple(draws), **taken))


def placed(curve: FamilyCurve) -> FamilyCurve:
    """The curve with its rates, and with its place on the diagram.

    Sizes at which a draw has no error are left out of the fits. Sizes limited by optimisation (``kept_out``) are left
    out of the rate that is placed: what is known there is an upper bound, which can refute a law and cannot set its
    slope. A second rate, of the training, takes them as they are.
    """
    usable = np.isfinite(curve.errors) & (curve.errors > 0)
    drawn = usable.any(axis=(1, 2)) if curve.errors.size else np.zeros(0, dtype=bool)
    use = usable[drawn].any(axis=2).all(axis=0) if drawn.any() else np.zeros(len(curve.sizes), dtype=bool)
    if use.sum() < MIN_SIZES or curve.leading.min() <= 1 or (np.diff(curve.leading) <= 0).any():
        return dataclasses.replace(curve, rate=None, point=None, rate_all=None)
    errors = np.where(usable, curve.errors, np.nan)[drawn]
    bounds = usable[drawn] & (curve.one_sided[drawn] if curve.one_sided is not None else False)
    of_training = fit_rate(curve.leading, errors, use=use, censored=bounds)
    rate, out = of_training, use & curve.kept_out
    if out.any():
        rate = fit_rate(curve.leading, errors, use=use, censored=bounds | (usable[drawn] & out[:, None]))
        rate = dataclasses.replace(rate, reasons=(_said(curve, out, of_training), *rate.reasons))
    point = _place(curve, rate, limited=bool((curve.limited & use & ~out).any()))
    return dataclasses.replace(curve, rate=rate, point=point, rate_all=of_training)


def _said(curve: FamilyCurve, out: NDArray[np.bool_], of_training: Rate) -> str:
    """One sentence on the sizes that are kept out, with the slope that they would have given."""
    (low, high), value = of_training.interval, of_training.value
    slope = f"; with them the slope, that of the training, is {value:.2f} [{low:.2f}, {high:.2f}]"
    where = "at all sizes" if out.all() else f"at {curve.x} = {listed(curve.sizes[out])}"
    return f"{SAID_OF_KEPT_OUT} {where}{slope if math.isfinite(value) else ''}."


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
