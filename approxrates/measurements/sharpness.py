"""The sharpness: the top eigenvalue of the Hessian of the training loss."""

from __future__ import annotations

from dataclasses import dataclass

from approxrates.measurements.base import F64, Measurement, Moment, check_positive, numbers
from approxrates.measurements.extremes import extremes, seeds_of


@dataclass(frozen=True, kw_only=True)
class Sharpness(Measurement):
    """Largest eigenvalue of the Hessian of the training loss F: the most positive one, never the largest in size.

    ``sharpness_residual`` is ``|H x - sharpness x|`` of the unit vector found: an eigenvalue is that near. The error
    of the sharpness itself is about the residual's square over the gap to the next eigenvalue.

    Attributes:
        tolerance: The search stops at this residual over the sharpness.

    Raises:
        ValueError: If the tolerance is not between 0 and 1.

    Reference:
        Cohen, Kaur, Li, Kolter & Talwalkar (2021), arXiv:2103.00065, for the name: gradient descent is unstable where
        the sharpness exceeds two over the learning rate.
    """

    name = "sharpness"

    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self.name, "tolerance", self.tolerance, below=1.0)

    @property
    def columns(self) -> tuple[str, ...]:
        """See :class:`Measurement`."""
        return (self.name, f"{self.name}_residual")

    def measure(self, moment: Moment) -> dict[str, F64]:
        """See :class:`Measurement`."""
        found = extremes(moment.hessian, seeds_of(self.name, moment), "top", self.tolerance)
        return dict(zip(self.columns, (numbers(found.top), numbers(found.top_residual)), strict=True))
