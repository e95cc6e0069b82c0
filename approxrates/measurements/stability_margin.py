"""How far a solution is from losing its stability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from approxrates.measurements.base import F64, Measurement, Moment, check_count, check_positive
from approxrates.measurements.dense import MOST_PARAMETERS
from approxrates.measurements.extremes import bottoms
from approxrates.measurements.symmetry import EDGE, TOLERANCE, symmetry_directions

if TYPE_CHECKING:
    from approxrates.backends import Layout
    from approxrates.objectives import Objective


@dataclass(frozen=True, kw_only=True)
class StabilityMargin(Measurement):
    """Smallest eigenvalue of the Hessian of F with symmetry directions projected out, in double precision.

    A branch of minimisers of ``F = E + gamma |theta|^2`` loses its stability where ``lambda_min(H_E) = -2 gamma`` off
    the directions in which symmetries keep F: this number then reaches zero, while the plain smallest eigenvalue
    is zero on the whole branch. ``stability_margin_modes`` counts the directions taken out; see
    :mod:`approxrates.measurements.symmetry`. NaN where they are too many to be written down.

    Attributes:
        tolerance: The search stops at this share of the sharpness as residual.
        most_dense: Up to so many parameters the whole matrix is used.
        edge: Units of different slopes are taken for alike if the points where they differ are so near to the edges of
            both: raise it to .05 or so where copies of a ReLU neuron have a few points between them.
        symmetry_tolerance: Tangents of symmetries that are shorter than this share of the parameters' norm are noise.

    Raises:
        ValueError: If a tolerance is not between 0 and 1.

    Reference:
        Ersoy & Wiesner (2025), arXiv:2505.06597, for the transitions; the criterion is the exact condition for them.
    """

    name = "stability_margin"

    tolerance: float = 1e-6
    most_dense: int = MOST_PARAMETERS // 2
    edge: float = EDGE
    symmetry_tolerance: float = TOLERANCE

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self.name, "tolerance", self.tolerance, below=1.0)
        check_positive(self.name, "edge", self.edge, below=1.0)
        check_positive(self.name, "symmetry_tolerance", self.symmetry_tolerance, below=1.0)
        check_count(self.name, "most_dense", self.most_dense, 0)

    @property
    def columns(self) -> tuple[str, ...]:
        """See :class:`Measurement`."""
        return (self.name, f"{self.name}_residual", f"{self.name}_modes")

    def check(self, layout: Layout, objective: Objective) -> None:
        """Refuse models that are no fully connected networks, whose symmetries are not known."""
        self.demand_network(layout)

    def measure(self, moment: Moment) -> dict[str, F64]:
        """See :class:`Measurement`."""
        found = [
            symmetry_directions(moment, place, tolerance=self.symmetry_tolerance, edge=self.edge)
            for place in range(len(moment))
        ]
        known = [place for place, directions in enumerate(found) if directions is not None]
        columns = np.full((3, len(moment)), np.nan)
        if known:
            directions = [one for one in found if one is not None]
            columns[:2, known] = bottoms(self.name, moment.only(known), self.tolerance, self.most_dense, directions)
            columns[2, known] = [len(one) for one in directions]
        return dict(zip(self.columns, columns, strict=True))
