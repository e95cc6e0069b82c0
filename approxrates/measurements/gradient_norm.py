"""The size of the gradient."""

from __future__ import annotations

from dataclasses import dataclass

from approxrates.measurements.base import F64, Measurement, Moment, norms


@dataclass(frozen=True, kw_only=True)
class GradientNorm(Measurement):
    """Euclidean norm of the gradient of the training loss F, penalty included."""

    name = "gradient_norm"

    def measure(self, moment: Moment) -> dict[str, F64]:
        """See :class:`Measurement`."""
        return {self.name: norms(moment.gradient)}
