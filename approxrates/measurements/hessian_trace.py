"""The trace of the Hessian."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from approxrates.measurements.base import F64, Measurement, Moment, check_count, inner_products
from approxrates.measurements.dense import columns, of_replica
from approxrates.seeds import seed_for

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class HessianTrace(Measurement):
    """Trace of the Hessian of the training loss F; ``hessian_trace_error`` is its standard error.

    Networks of few parameters have it exactly, at the cost of a product for each parameter, with standard error zero.
    Others have the mean of ``v' H v`` over random signs ``v``, and the standard error of that mean.

    Attributes:
        most_exact: Exact up to so many parameters.
        n_samples: Sign vectors for larger networks.

    Raises:
        ValueError: For less than two samples.

    Reference:
        Hutchinson (1990), Commun. Stat. Simul. Comput. 19: random signs have the smallest variance.
    """

    name = "hessian_trace"

    most_exact: int = 1000
    n_samples: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self.name, "most_exact", self.most_exact, 0)
        check_count(self.name, "n_samples", self.n_samples, 2)

    @property
    def columns(self) -> tuple[str, ...]:
        """See :class:`Measurement`."""
        return (self.name, f"{self.name}_error")

    def measure(self, moment: Moment) -> dict[str, F64]:
        """See :class:`Measurement`."""
        exact = moment.layout.n_params <= self.most_exact
        found = self._exact(moment) if exact else self._estimated(moment)
        return dict(zip(self.columns, found, strict=True))

    def _exact(self, moment: Moment) -> tuple[F64, F64]:
        """Sums of the diagonals."""
        traces = []
        for place in range(len(moment)):
            diagonal: list[float] = []
            for start, part in columns(of_replica(moment.precise, place)):
                diagonal += part[:, start : start + len(part)].diagonal().tolist()
            traces.append(math.fsum(diagonal))
        return np.array(traces), np.zeros(len(traces))

    def _estimated(self, moment: Moment) -> tuple[F64, F64]:
        """Means over random signs, and their standard errors."""
        draws = [
            np.random.Generator(np.random.Philox(seed_for("hessian_trace", replica=replica)))
            for replica in moment.replicas
        ]
        samples = np.empty((self.n_samples, len(moment)))
        for k in range(self.n_samples):
            signs = _signs(moment, draws)
            samples[k] = inner_products(signs, moment.hessian.products(signs))
        return samples.mean(0), samples.std(0, ddof=1) / math.sqrt(self.n_samples)


def _signs(moment: Moment, draws: list[np.random.Generator]) -> Tensor:
    """Random signs like the parameters, zero in the padding."""
    import torch

    rows = torch.zeros_like(moment.theta)
    for row, draw in zip(rows, draws, strict=True):
        n = moment.layout.n_params
        row[:n] = torch.from_numpy(draw.integers(0, 2, size=n) * 2.0 - 1.0).to(row)
    return rows
