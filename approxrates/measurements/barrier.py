"""How high the loss rises on the straight way from the start."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from approxrates.measurements.base import F64, Measurement, Moment, check_count, numbers


@dataclass(frozen=True, kw_only=True)
class Barrier(Measurement):
    """Largest training loss F on the straight segment from the initial to the present parameters, over the initial F.

    It is at least one, since the segment contains its start, and larger where training has crossed a barrier that
    the straight way would have to climb. Infinite where the loss overflows on the way.

    Attributes:
        n_points: Points of the segment after its start, evenly spaced, the present parameters the last.

    Raises:
        ValueError: If there is no point.

    Reference:
        Kalra & Barkeshli (2023), arXiv:2302.12250, where learning rates whose barrier exceeds one are said to catapult
        over it.
    """

    name = "barrier"

    n_points: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self.name, "n_points", self.n_points, 1)

    def measure(self, moment: Moment) -> dict[str, F64]:
        """See :class:`Measurement`."""
        way = moment.theta - moment.begun
        start = numbers(moment.ensemble.value(moment.begun))
        highest = start
        for k in range(1, self.n_points + 1):
            here = moment.theta if k == self.n_points else moment.begun + way * (k / self.n_points)
            loss = numbers(moment.ensemble.value(here))
            highest = np.maximum(highest, np.where(np.isnan(loss), np.inf, loss))
        with np.errstate(divide="ignore", invalid="ignore"):
            return {self.name: highest / start}
