"""The scalar curvature of the graph of the error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from approxrates.measurements.base import F64, Measurement, Moment, check_count
from approxrates.measurements.dense import MOST_PARAMETERS, dense_hessian

if TYPE_CHECKING:
    from torch import Tensor

    from approxrates.backends import Layout
    from approxrates.objectives import Objective


def graph_curvature(gradient: Tensor, hessian: Tensor) -> float:
    r"""Scalar curvature at a point of the graph of a function of n variables, as a hypersurface of R^(n+1).

    The metric is ``I + g g'`` and the second fundamental form ``H / sqrt(s)``, ``s = 1 + g'g``; Gauss' equation gives

        R = [(tr H)^2 - tr H^2] / s - 2 [tr H g'Hg - |Hg|^2] / s^2.

    Args:
        gradient: ``g``, shape ``[n]``.
        hessian: ``H``, shape ``[n, n]``, symmetric.

    Example:
        >>> import torch
        >>> graph_curvature(torch.zeros(3), torch.eye(3))  # the unit sphere at its pole: n (n - 1)
        6.0
    """
    s = 1.0 + gradient @ gradient
    pushed, trace = hessian @ gradient, hessian.diagonal().sum()
    flat = trace**2 - hessian.square().sum()
    return float(flat / s - 2.0 * (trace * (gradient @ pushed) - pushed @ pushed) / s**2)


@dataclass(frozen=True, kw_only=True)
class ScalarCurvature(Measurement):
    """Scalar curvature R of the graph of the error part E of the loss, by the dense Hessian.

    The penalty is left out: R asks how the error alone is bent where the penalty has put the parameters.

    Attributes:
        most_params: Larger networks are refused.

    Reference:
        Ersoy & Wiesner (2025), arXiv:2505.06597, recalled; the formula is Gauss' equation, see :func:`graph_curvature`.
    """

    name = "scalar_curvature"

    most_params: int = MOST_PARAMETERS

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self.name, "most_params", self.most_params, 1)

    def check(self, layout: Layout, objective: Objective) -> None:
        """Refuse networks whose Hessian is too large to be written down."""
        if layout.n_params > self.most_params:
            raise ValueError(
                f"scalar_curvature needs the whole Hessian, of at most most_params={self.most_params} parameters. Got "
                f"{layout.n_params}. Use a smaller network, or raise most_params."
            )

    def measure(self, moment: Moment) -> dict[str, F64]:
        """See :class:`Measurement`."""
        error = moment.unpenalised().precise
        found = [
            graph_curvature(error.gradient[place, : error.n_params], dense_hessian(error, place))
            for place in range(len(moment))
        ]
        return {self.name: np.array(found)}
