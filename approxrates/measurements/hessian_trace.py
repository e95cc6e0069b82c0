"""The trace of the Hessian."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from approxrates.measurements.base import F64, Measurement, Moment, check_count
from approxrates.measurements.dense import of_replica
from approxrates.seeds import seed_for


@dataclass(frozen=True, kw_only=True)
class HessianTrace(Measurement):
    """Trace of the Hessian of the training loss F; ``hessian_trace_error`` is its standard error.

    Networks of few parameters have it exactly, at the cost of a product for each parameter, with standard error zero.
    Others have an estimate by Hutch++, in double precision like the exact one.

    Attributes:
        most_exact: Exact up to so many parameters.
        n_products: Products for larger networks.

    Raises:
        ValueError: If there are less than six products.

    Reference:
        Meyer, Musco, Musco & Woodruff (2021), arXiv:2010.09649.
    """

    name = "hessian_trace"

    most_exact: int = 1000
    n_products: int = 300

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self.name, "most_exact", self.most_exact, 0)
        check_count(self.name, "n_products", self.n_products, 6)

    @property
    def columns(self) -> tuple[str, ...]:
        """See :class:`Measurement`."""
        return (self.name, f"{self.name}_error")

    def measure(self, moment: Moment) -> dict[str, F64]:
        """See :class:`Measurement`."""
        found = np.array([self._one(moment, place) for place in range(len(moment))])
        return {name: found[:, i].copy() for i, name in enumerate(self.columns)}

    def _one(self, moment: Moment, place: int) -> tuple[float, float]:
        """Trace and standard error of one replica."""
        from approxrates.spectra import traces

        one = of_replica(moment.precise, place)
        trace = traces(
            lambda directions: one.many(directions.to(one.theta.device)).cpu(), 1,
            [seed_for("hessian_trace", replica=moment.replicas[place])],
            n_params=one.n_params, stride=one.theta.shape[1],
            most_products=max(6, one.n_params) if one.n_params <= self.most_exact else self.n_products,
        )  # fmt: skip
        return float(trace.value[0]), float(trace.standard_error[0])
