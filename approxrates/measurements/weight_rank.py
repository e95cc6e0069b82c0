"""How many directions the weight matrices use, by a threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from approxrates.measurements.base import F64, Measurement, Moment, check_positive
from approxrates.measurements.weight_matrices import of_each_layer

if TYPE_CHECKING:
    from approxrates.backends import Layout
    from approxrates.objectives import Objective


@dataclass(frozen=True, kw_only=True)
class WeightRank(Measurement):
    """Number of singular values of each weight matrix above a share of its largest one, biases left out.

    ``weight_rank`` is the smallest of all layers, a bound on the rank of what a linear network computes;
    ``weight_rank_1`` is that of the first layer, and so on.

    Attributes:
        threshold: The share.
        floor: Singular values up to here count as zero, so that a matrix that has collapsed up to noise has rank zero.

    Raises:
        ValueError: If the threshold is not between 0 and 1, or the floor is not positive.
    """

    name = "weight_rank"

    threshold: float = 1e-3
    floor: float = 1e-6

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self.name, "threshold", self.threshold, below=1.0)
        check_positive(self.name, "floor", self.floor)

    def check(self, layout: Layout, objective: Objective) -> None:
        """Refuse models that have no layers to look at."""
        self.demand_network(layout)

    def measure(self, moment: Moment) -> dict[str, F64]:
        """See :class:`Measurement`."""
        return of_each_layer(self.name, moment, self._count)

    def _count(self, values: F64) -> float:
        """How many singular values count."""
        return float((values > max(self.floor, self.threshold * float(values.max()))).sum())
