"""The Euclidean norm of all parameters."""

from __future__ import annotations

from dataclasses import dataclass

from approxrates.measurements.base import F64, Measurement, Moment, norms


@dataclass(frozen=True, kw_only=True)
class WeightNorm(Measurement):
    """Euclidean norm of all parameters, biases included: the square root of what ``l2_penalty`` multiplies."""

    name = "weight_norm"

    def measure(self, moment: Moment) -> dict[str, F64]:
        """See :class:`Measurement`."""
        return {self.name: norms(moment.theta)}
