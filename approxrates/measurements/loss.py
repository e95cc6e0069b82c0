"""The training loss, and its error part."""

from __future__ import annotations

from dataclasses import dataclass

from approxrates.measurements.base import F64, Measurement, Moment, numbers


@dataclass(frozen=True, kw_only=True)
class Loss(Measurement):
    """Training loss F on the full sampling set, and its error part E as ``loss_error``: the same without a penalty.

    Both are in the units that are trained in: those of the standardised target, of raw data for losses that are never
    rescaled.
    """

    name = "loss"

    @property
    def columns(self) -> tuple[str, ...]:
        """See :class:`Measurement`."""
        return (self.name, f"{self.name}_error")

    def measure(self, moment: Moment) -> dict[str, F64]:
        """See :class:`Measurement`."""
        error = moment if moment.ensemble.l2_penalty is None else moment.unpenalised()
        return {self.name: numbers(moment.loss), f"{self.name}_error": numbers(error.loss)}
