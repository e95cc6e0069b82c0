"""The largest component of the gradient."""

from __future__ import annotations

from dataclasses import dataclass

from approxrates.measurements.base import F64, Measurement, Moment, numbers


@dataclass(frozen=True, kw_only=True)
class LargestGradientComponent(Measurement):
    """Largest absolute component of the gradient of F; it does not grow with the number of parameters, as norms do."""

    name = "largest_gradient_component"

    def measure(self, moment: Moment) -> dict[str, F64]:
        """See :class:`Measurement`."""
        return {self.name: numbers(moment.gradient.abs().amax(1))}
