"""A trajectory on the logarithmic clock, in bins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


class Series:
    """Records of one trajectory, and their bins.

    Attributes:
        steps: Shape ``(n,)``.
        loss: Shape ``(n,)``.
        sharpness: Shape ``(n,)``.
        learning_rate: ``eta``.
        clock: Mean ``ln(1 + step)`` of each bin, ``(m,)``.
        level: Median log sharpness of each bin, ``(m,)``.
        first: First record of each bin; one more entry, ``n``, at the end.
    """

    def __init__(self, steps: F64, loss: F64, sharpness: F64, learning_rate: float, bin_width: float) -> None:
        self.steps, self.loss, self.sharpness, self.learning_rate = steps, loss, sharpness, learning_rate
        time, logs = np.log1p(steps), np.log(sharpness)
        number = np.floor(time / bin_width + 1e-9).astype(np.int64)
        starts = np.concatenate([[0], 1 + np.flatnonzero(np.diff(number))])
        self.first = np.append(starts, len(steps))
        bins = [slice(a, b) for a, b in zip(self.first[:-1], self.first[1:], strict=True)]
        self.clock = np.array([time[part].mean() for part in bins])
        self.level = np.array([np.median(logs[part]) for part in bins])

    def __len__(self) -> int:
        return len(self.clock)

    @property
    def edge_ratio(self) -> F64:
        """Sharpness over ``2 / eta``, of each bin."""
        return np.asarray(np.exp(self.level) * self.learning_rate / 2.0)

    def records(self, begin: int, end: int) -> slice:
        """Records of the bins from ``begin`` up to, not including, ``end``."""
        return slice(int(self.first[begin]), int(self.first[end]))

    def step(self, index: int) -> float:
        """Step at which a bin begins; for the bin after the last, the last step."""
        return float(self.steps[min(int(self.first[index]), len(self.steps) - 1)])


def check_series(steps: F64, loss: F64, sharpness: F64, learning_rate: float) -> None:
    """Refuse what is no trajectory.

    Raises:
        ValueError: Saying what is required, what came, and what to write.
    """
    if steps.ndim != 1 or not len(steps) or steps.shape != loss.shape or steps.shape != sharpness.shape:
        raise ValueError(
            "steps, loss and sharpness must be series of one length, at least 1. "
            f"Got shapes {steps.shape}, {loss.shape}, {sharpness.shape}."
        )
    if not (np.all(np.isfinite(steps)) and steps[0] >= 0 and np.all(np.diff(steps) > 0)):
        raise ValueError("steps must ascend from 0 or more. Got others. Sort the records, and drop repeated steps.")
    if not (np.all(np.isfinite(loss)) and np.all(np.isfinite(sharpness))):
        raise ValueError("loss and sharpness must be finite. Got others. Cut the series where training diverged.")
    if not np.all(sharpness > 0.0):
        raise ValueError("sharpness must be positive: the regimes are told by its logarithm. Got others.")
    if not 0.0 < learning_rate < np.inf:
        raise ValueError(f"learning_rate must be positive and finite. Got learning_rate={learning_rate}.")
