"""Measures replicas while they are trained, when schedules ask for it, and keeps the series."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from approxrates.backends import Ensemble
from approxrates.measurements import Measurement, Moment, stops
from approxrates.training.base import Sight, State


class Observer:
    """The measurements of a fit. It looks on and changes nothing; what it sees of a replica is of that replica alone.

    A stage that takes its steps one by one stops at every step that is asked for. Others, whose replicas go their own
    way, are measured at the first step they come to from there on, and at their end if the schedule has the end.

    Args:
        measurements: What to measure.
        begun: Parameters at the start of the fit, ``[N, stride]``.
        replicas: Replica numbers.

    Attributes:
        series: Of each replica the ``[step, value]`` pairs of every column, steps counted over all stages.
    """

    def __init__(self, measurements: Sequence[Measurement], begun: Tensor, replicas: Sequence[int]) -> None:
        self.measurements, self.begun, self.replicas = tuple(measurements), begun, list(replicas)
        self.series: list[dict[str, list[list[float]]]] = [{} for _ in self.replicas]
        self._stops: list[tuple[int, ...]] = [() for _ in self.measurements]
        self._steps = 0
        self._seen = [-1] * len(self.replicas)

    def begin_stage(self, steps: int) -> None:
        """A stage of so many steps begins."""
        self._steps = steps
        self._stops = [stops(one.schedule, steps) for one in self.measurements]
        self._seen = [-1] * len(self.replicas)

    def stops_within(self, begin: int, end: int) -> list[int]:
        """Steps after ``begin`` and up to ``end`` at which something is measured, with ``end`` itself in any case."""
        return sorted({step for chosen in self._stops for step in chosen if begin < step < end} | {end})

    def observe(self, sight: Sight, rows: Sequence[int], before: Sequence[int]) -> None:
        """Measure those replicas whose time has come.

        Args:
            sight: Replicas at work.
            rows: Which ones they are of all replicas of the fit.
            before: Steps that each of these had done when the stage began.
        """
        due: dict[tuple[int, ...], list[int]] = {}
        for place, row in enumerate(rows):
            wanted = self._due(self._seen[row], sight.steps[place], sight.ended[place])
            self._seen[row] = sight.steps[place]
            if wanted:
                due.setdefault(wanted, []).append(place)
        for wanted, places in due.items():
            self._measure(sight, wanted, places, rows, before)

    def _due(self, seen: int, step: int, ended: bool) -> tuple[int, ...]:
        """Which measurements have a stop between two steps, or at the end of the stage that has come early."""
        return tuple(
            number
            for number, chosen in enumerate(self._stops)
            if any(seen < stop <= step for stop in chosen) or (ended and chosen[-1:] == (self._steps,) and seen < step)
        )

    def _measure(
        self, sight: Sight, wanted: Sequence[int], places: list[int], rows: Sequence[int], before: Sequence[int]
    ) -> None:
        """Some measurements of some replicas; those whose loss is not finite have no measurements any more."""
        whole = Moment(
            sight.ensemble, sight.theta, self.begun[list(rows)].to(sight.theta), 0, sight.preconditioner,
            tuple(self.replicas[row] for row in rows),
        )  # fmt: skip
        losses = whole.only(places).loss
        finite = torch.isfinite(losses) & torch.isfinite(sight.theta[places]).all(1)
        sound = [place for place, good in zip(places, finite.tolist(), strict=True) if good]
        if not sound:
            return
        moment = whole.only(sound)
        for number in wanted:
            for column, values in self.measurements[number].measure(moment).items():
                for place, value in zip(sound, values, strict=True):
                    entry = [float(before[place] + sight.steps[place]), float(value)]
                    series = self.series[rows[place]].setdefault(column, [])
                    if series and series[-1][0] == entry[0]:  # the end of one stage is the start of the next
                        series.pop()
                    series.append(entry)

    def finals(self, ensemble: Ensemble, theta: Tensor) -> list[dict[str, float]]:
        """Every measurement at given parameters of all replicas; NaN where the loss is not finite.

        What speaks of an update rule is taken from the end of the training, where the rule was still at work.
        """
        rows = list(range(len(theta)))
        moment = Moment(ensemble, theta, self.begun.to(theta), 0, None, tuple(self.replicas))
        sound = [row for row in rows if math.isfinite(float(moment.loss[row]))] if self.measurements else []
        found: list[dict[str, float]] = [
            {column: math.nan for one in self.measurements for column in one.columns} for _ in rows
        ]
        for one in self.measurements if sound else ():
            if one.needs_preconditioner:  # there is no update rule any more
                for row in sound:
                    found[row] |= {c: self.series[row][c][-1][1] for c in one.columns if c in self.series[row]}
                continue
            for column, values in one.measure(moment.only(sound)).items():
                for row, value in zip(sound, values, strict=True):
                    found[row][column] = float(value)
        return found

    def arrays(self, row: int) -> Mapping[str, NDArray[np.float64]]:
        """The series of one replica, by column, ``(n, 2)``."""
        return {column: np.array(pairs).reshape(-1, 2) for column, pairs in self.series[row].items()}

    def state(self) -> State:
        """Everything seen so far, as plain data."""
        return {
            "series": [{k: [list(p) for p in v] for k, v in one.items()} for one in self.series],
            "seen": self._seen,
        }

    def restore(self, state: State) -> None:
        """Take up what was seen."""
        self.series, self._seen = _copied(state["series"]), list(state["seen"])


def _copied(series: Sequence[Mapping[str, list[list[float]]]]) -> list[dict[str, list[list[float]]]]:
    """Series that share nothing with the given ones."""
    return [{column: [list(pair) for pair in pairs] for column, pairs in one.items()} for one in series]
