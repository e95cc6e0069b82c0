"""The sharpness as an adaptive method sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from approxrates.measurements.base import F64, Measurement, Moment, check_positive, numbers
from approxrates.measurements.extremes import extremes, seeds_of


@dataclass(frozen=True, kw_only=True)
class PreconditionedSharpness(Measurement):
    """Largest eigenvalue of ``P^(-1/2) H P^(-1/2)``, the same as that of ``P^-1 H``, in double precision.

    ``P`` is the diagonal by which the update rule divides the gradient, ``sqrt(second moment) + epsilon`` of Adam with
    the bias corrected, and one for plain gradient descent. Full-batch Adam hovers where this number times the learning
    rate is ``(2 + 2 beta1) / (1 - beta1)``, 38 for beta1 = 0.9. NaN before the first step, when there is no ``P`` yet,
    and at the returned parameters, when there is none any more: hence the schedule may not be ``"end"``.

    Attributes:
        tolerance: The search stops at this residual over the eigenvalue.

    Raises:
        ValueError: If the tolerance is not between 0 and 1, or the schedule is ``"end"``.

    Reference:
        Cohen, Ghorbani, Krishnan, Agarwal, Medapati, Badura, Suo, Cardoze, Nado, Dahl & Gilmer (2022),
        arXiv:2207.14484.
    """

    name = "preconditioned_sharpness"
    needs_preconditioner = True

    schedule: str = "ends"
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self.name, "tolerance", self.tolerance, below=1.0)
        if self.schedule == "end":
            raise ValueError(
                f"schedule of {self.name} must have moments of training, since the returned parameters have no update "
                "rule. Got 'end'. Write e.g. schedule='ends'."
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """See :class:`Measurement`."""
        return (self.name, f"{self.name}_residual")

    def measure(self, moment: Moment) -> dict[str, F64]:
        """See :class:`Measurement`."""
        if moment.preconditioner is None:
            return {column: np.full(len(moment), np.nan) for column in self.columns}
        diagonal = moment.preconditioner.double()
        # Padding has no parameters, whatever stands there.
        scale = diagonal.clamp_min(0.0).rsqrt().nan_to_num(posinf=0.0)
        found = extremes(moment.precise, seeds_of(self.name, moment), "top", self.tolerance, scale=scale)
        return dict(zip(self.columns, (numbers(found.top), numbers(found.top_residual)), strict=True))
