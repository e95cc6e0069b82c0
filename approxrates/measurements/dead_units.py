"""How many hidden units have stopped to react."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from approxrates.measurements.base import F64, Measurement, Moment
from approxrates.measurements.single_network import hidden_layers, matrices_of, sampling_points

if TYPE_CHECKING:
    from approxrates.backends import Layout
    from approxrates.objectives import Objective


@dataclass(frozen=True, kw_only=True)
class DeadUnits(Measurement):
    """Share of the hidden units whose activation has derivative zero at every sampling point.

    Such a unit is constant on the data and learns nothing. ReLU units die so; smooth activations, whose derivative
    is nowhere zero, have none by this definition, saturated as they may be.
    """

    name = "dead_units"

    def check(self, layout: Layout, objective: Objective) -> None:
        """Refuse models that have no layers to look at."""
        self.demand_network(layout)

    def measure(self, moment: Moment) -> dict[str, F64]:
        """See :class:`Measurement`."""
        layout, shares = moment.layout, []
        for place, row in enumerate(moment.theta.detach().double()):
            layers = hidden_layers(layout, matrices_of(layout, row), sampling_points(moment, place))
            dead = [(layout.activation.derivative(one.given) == 0).all(1).double().mean() for one in layers]
            shares.append(float(np.mean([float(share) for share in dead])))
        return {self.name: np.array(shares, dtype=np.float64)}
