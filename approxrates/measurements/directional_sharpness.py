"""The curvature of the loss along its gradient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from approxrates.measurements.base import F64, Measurement, Moment, inner_products


@dataclass(frozen=True, kw_only=True)
class DirectionalSharpness(Measurement):
    """Curvature ``g' H g / g' g`` of the training loss F along its gradient ``g``: one product.

    A step of plain gradient descent lowers F to second order exactly if the learning rate is below two over it. NaN
    where the gradient is zero.

    Reference:
        Pan & Li (2023), arXiv:2306.00204, for the name and the use with other update directions.
    """

    name = "directional_sharpness"

    def measure(self, moment: Moment) -> dict[str, F64]:
        """See :class:`Measurement`."""
        gradient = moment.gradient
        along, square = inner_products(gradient, moment.hessian.products(gradient)), inner_products(gradient, gradient)
        with np.errstate(invalid="ignore", divide="ignore"):
            return {self.name: np.where(square > 0.0, along / square, np.nan)}
