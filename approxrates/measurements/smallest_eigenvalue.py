"""The bottom of the Hessian's spectrum."""

from __future__ import annotations

from dataclasses import dataclass

from approxrates.measurements.base import F64, Measurement, Moment, check_count, check_positive
from approxrates.measurements.dense import MOST_PARAMETERS
from approxrates.measurements.extremes import bottoms


@dataclass(frozen=True, kw_only=True)
class SmallestEigenvalue(Measurement):
    """Smallest eigenvalue of the Hessian of the training loss F, negative at a saddle, in double precision.

    It is ``lambda_min(H_E) + 2 l2_penalty``. Zero modes of symmetries are not taken out; see ``stability_margin``.
    ``smallest_eigenvalue_residual`` is that of the vector found, zero where the whole matrix was used.

    Attributes:
        tolerance: The search stops at this share of the sharpness as residual.
        most_dense: Up to so many parameters the whole matrix is used.

    Raises:
        ValueError: If the tolerance is not between 0 and 1.
    """

    name = "smallest_eigenvalue"

    tolerance: float = 1e-6
    most_dense: int = MOST_PARAMETERS // 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self.name, "tolerance", self.tolerance, below=1.0)
        check_count(self.name, "most_dense", self.most_dense, 0)

    @property
    def columns(self) -> tuple[str, ...]:
        """See :class:`Measurement`."""
        return (self.name, f"{self.name}_residual")

    def measure(self, moment: Moment) -> dict[str, F64]:
        """See :class:`Measurement`."""
        return dict(zip(self.columns, bottoms(self.name, moment, self.tolerance, self.most_dense), strict=True))
