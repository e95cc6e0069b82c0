"""The training loss, and its error part."""

from __future__ import annotations

from dataclasses import dataclass

from approxrates.measurements.base import F64, Measurement, Moment, numbers


@dataclass(frozen=True, kw_only=True)
class Loss(Measurement):
    """Training loss F on the full sampling set; with an L2 penalty its error part E too, as ``loss_error``.

    Both are in the units that are trained in: those of the standardised target, of raw data for losses that are never
    rescaled.
    """

    name = "loss"

    def measure(self, moment: Moment) -> dict[str, F64]:
        """See :class:`Measurement`."""
        columns = {self.name: numbers(moment.loss)}
        if moment.ensemble.l2_penalty is not None:
            columns["loss_error"] = numbers(moment.unpenalised().loss)
        return columns
