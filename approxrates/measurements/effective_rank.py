"""How many directions the weight matrices use, counted softly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from approxrates.measurements.base import F64, Measurement, Moment, check_positive
from approxrates.measurements.weight_matrices import of_each_layer

if TYPE_CHECKING:
    from approxrates.backends import Layout
    from approxrates.objectives import Objective


@dataclass(frozen=True, kw_only=True)
class EffectiveRank(Measurement):
    """Participation ratio ``sum(s^2)^2 / sum(s^4)`` of the singular values of each weight matrix, biases left out.

    It is k if k singular values are equal and the others zero, and moves continuously as modes die out.
    ``effective_rank`` is the smallest of all layers, ``effective_rank_1`` that of the first layer, and so on.

    Attributes:
        floor: Singular values up to here count as zero, so that a matrix that has collapsed up to noise has rank zero.

    Raises:
        ValueError: If the floor is not positive.
    """

    name = "effective_rank"

    floor: float = 1e-6

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self.name, "floor", self.floor)

    def check(self, layout: Layout, objective: Objective) -> None:
        """Refuse models that have no layers to look at."""
        self.demand_network(layout)

    def measure(self, moment: Moment) -> dict[str, F64]:
        """See :class:`Measurement`."""
        return of_each_layer(self.name, moment, self._ratio)

    def _ratio(self, values: F64) -> float:
        """The participation ratio of singular values."""
        powers = values[values > self.floor] ** 2
        return float(powers.sum() ** 2 / (powers**2).sum()) if len(powers) else 0.0
