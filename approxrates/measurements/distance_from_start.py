"""How far the parameters have moved."""

from __future__ import annotations

from dataclasses import dataclass

from approxrates.measurements.base import F64, Measurement, Moment, norms


@dataclass(frozen=True, kw_only=True)
class DistanceFromStart(Measurement):
    """Euclidean distance of the parameters from those at the start of the fit, absolute."""

    name = "distance_from_start"

    def measure(self, moment: Moment) -> dict[str, F64]:
        """See :class:`Measurement`."""
        return {self.name: norms(moment.theta.double() - moment.begun.double())}
