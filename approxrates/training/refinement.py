"""Sampling points drawn anew where the current network is wrong: every replica gets sets of its own.

The candidates are the points of all moving sets of a target, so no further values of the target are needed. Let ``e_c``
be the error at candidate c and ``q_c = 1 - share + share |e_c|^power / mean``, of mean one. Along a curve through the
cube that visits neighbours one after the other, candidates are picked at even steps of the sum of ``q``: sets that are
stratified like those they replace, for the density ``q``. With weights ``1 / q`` the loss stays an unbiased estimate of
the mean square (importance sampling; the mixture with the uniform density bounds the weights, as in Owen & Zhou 2000,
Safe and effective importance sampling, recalled). With ``tilt`` they are ``q^(tilt - 1)``: then large errors count for
more, as in a mean of a power between two and three. Corners belong to every set, with the weight they had.

The set on which networks are compared is never changed. docs/sampling.md says what this gains.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from approxrates import sampling
from approxrates.backends import Ensemble
from approxrates.training.points import Sampling

F64 = NDArray[np.float64]

_GOLDEN = 0.5 * (math.sqrt(5.0) - 1.0)
"""Sets begin at multiples of this share of a step, so that together they fill the gaps of each other."""


@dataclass(frozen=True)
class Refinement:
    """How points follow the error.

    Attributes:
        share: Share of the points that follow the error; the others stay spread over the cube. Below 1.
        power: Of the error, to which the density of those points is proportional.
        tilt: 0 keeps the loss an unbiased mean square; 1 counts all points alike, wherever they crowd.
        n_sets: Moving sets that are drawn.

    Raises:
        ValueError: If a setting is out of its range.
    """

    share: float = 0.5
    power: float = 2.0
    tilt: float = 0.5
    n_sets: int = 16

    def __post_init__(self) -> None:
        ranges = {"share": 0.0 <= self.share < 1.0, "power": 0.0 < self.power < math.inf}
        ranges |= {"tilt": 0.0 <= self.tilt <= 1.0, "n_sets": self.n_sets >= 1}
        for name, fits in ranges.items():
            if not fits:
                known = "0 <= share < 1, power > 0, 0 <= tilt <= 1, n_sets >= 1"
                raise ValueError(f"a refinement needs {known}. Got {name}={getattr(self, name)}.")

    def bytes_per_replica(self, dim: int, n_outputs: int, n_points: int) -> int:
        """What the sets of one replica take, in double precision."""
        return 8 * (self.n_sets + 1) * (dim + n_outputs + 1) * n_points


class Candidates:
    """The points of all moving sets of one target, neighbours beside each other.

    Args:
        points: ``(S, dim, M)``, the last set fixed.
        values: ``(S, k, M)``.
        weights: ``(S, 1, M)``.
    """

    def __init__(self, points: F64, values: F64, weights: F64) -> None:
        moving, dim, self.length = len(points) - 1, points.shape[1], points.shape[2]
        self.fixed = points[-1:], values[-1:], weights[-1:]
        x = points[:-1].transpose(0, 2, 1).reshape(-1, dim)
        mass = weights[:-1].reshape(-1) / moving
        corner = ((x == 0.0) | (x == 1.0)).all(axis=1) & (mass > 0.0)
        inner = np.flatnonzero(~corner & (mass > 0.0))
        self.order = inner[sampling.along_curve(x[inner])]
        self.points, self.mass = x[self.order], mass[self.order]
        self.values = values[:-1].transpose(0, 2, 1).reshape(len(x), -1)[self.order]
        first = np.flatnonzero(corner[: self.length])
        self.corners = x[first], values[0].T[first], weights[0, 0, first]
        self.n_drawn = int((weights[0, 0] > 0.0).sum()) - len(first)

    def density(self, errors: F64, how: Refinement) -> F64:
        """``q`` at the candidates: mean one under their mass, at least ``1 - share``."""
        # Scaled, lest powers overflow. A point that weighs more than all sets together would be drawn twice in each.
        size = np.abs(errors.reshape(-1)[self.order])
        largest = float(size.max(initial=0.0))
        if not (0.0 < largest < math.inf):
            return np.ones(len(size))
        peaked = (size / largest) ** how.power
        peaked = np.minimum(peaked * (self.mass.sum() / float(self.mass @ peaked)), len(size) / self.n_drawn)
        q = (1.0 - how.share) + how.share * peaked
        result: F64 = q * (self.mass.sum() / float(self.mass @ q))
        return result

    def sets(self, errors: F64, how: Refinement) -> tuple[F64, F64, F64]:
        """Points ``(n_sets + 1, dim, M)``, values and weights, the fixed set last.

        Args:
            errors: At the points of the moving sets, ``(S - 1, M)``; at padding anything.
            how: Settings.
        """
        q = self.density(errors, how)
        expected = self.mass * q * (self.n_drawn / float(self.mass @ q))  # how often each is drawn
        sums, share = np.cumsum(expected), self.mass / expected
        if how.tilt:
            share = share ** (1.0 - how.tilt)
            share *= self.mass.sum() / float(expected @ share)
        drawn = []
        for i in range(how.n_sets):
            steps = np.arange(self.n_drawn) + (0.5 + i * _GOLDEN) % 1.0
            at = np.minimum(np.searchsorted(sums, steps, side="right"), len(sums) - 1)
            drawn.append((self.points[at], self.values[at], share[at]))
        blocks = [self._block([one[part] for one in drawn], part) for part in range(3)]
        return blocks[0], blocks[1], blocks[2]

    def _block(self, drawn: list[F64], part: int) -> F64:
        """Sets of points, values or weights with corners, padding and the fixed set, ``(n_sets + 1, columns, M)``."""
        n = len(drawn)
        rows = np.stack([np.concatenate([one, self.corners[part]]) for one in drawn]).reshape(
            n, -1, self._columns(part)
        )
        spare = self.length - rows.shape[1]
        padding = np.zeros((n, spare, 1)) if part == 2 else np.repeat(rows[:, :1], spare, axis=1)
        moving = np.concatenate([rows, padding], axis=1).transpose(0, 2, 1)
        return np.concatenate([moving, self.fixed[part]])

    def _columns(self, part: int) -> int:
        """Coordinates, outputs, or the one weight."""
        return (self.points.shape[1], self.values.shape[1], 1)[part]


def refined(given: Sampling, errors: F64, how: Refinement | None = None) -> Sampling:
    """Sampling sets whose moving points follow the error of one network.

    Args:
        given: Sets of the target, more than the fixed one.
        errors: Of the network at the points of the moving sets, ``(S - 1, M)``, signs ignored.
        how: Settings.

    Raises:
        ValueError: If there are no moving sets, or the errors are not those of their points.
    """
    wanted = (len(given.points) - 1, given.points.shape[2])
    if errors.shape != wanted or not wanted[0]:
        raise ValueError(
            f"refined needs moving sets (S - 1 of them) and errors of shape (S - 1, M). Got errors of shape "
            f"{errors.shape} for sets of shape {given.points.shape}."
        )
    sets = Candidates(given.points, given.values, given.weights).sets(errors, how or Refinement())
    return Sampling(*sets, mean=given.mean, scale=given.scale)


def refined_ensemble(ensemble: Ensemble, theta: Tensor, how: Refinement | None = None) -> Ensemble:
    """The ensemble with moving sets drawn anew for each replica, by the errors of its own network.

    What a replica gets depends on its parameters and on the sets of its target alone. Ensembles without moving sets,
    and losses of labels, are handed back as they are.

    Args:
        ensemble: With the sets of the targets, never refined ones: candidates are all points there are.
        theta: Parameter rows ``[N, stride]``.
        how: Settings.
    """
    problem, how = ensemble.problem, how or Refinement()
    if problem.n_sets < 2 or ensemble.objective.degree is None:
        return ensemble
    squares = [(ensemble.outputs(theta, s) - ensemble.values(s)).square().sum(1) for s in range(problem.n_sets - 1)]
    errors = _array(torch.stack(squares, dim=1).sqrt())
    targets: list[int] = problem.targets.tolist()
    candidates = {
        t: Candidates(_array(problem.points[t]), _array(problem.values[t]), _array(problem.weights[t]))
        for t in dict.fromkeys(targets)
    }
    sets = [candidates[t].sets(errors[i], how) for i, t in enumerate(targets)]
    points, values, weights = (np.stack([one[part] for one in sets]) for part in range(3))
    return Ensemble(
        ensemble.layout, ensemble.objective, points, values, weights, range(len(targets)), dtype=ensemble.dtype,
        device=ensemble.device, backend=ensemble.backend, l2_penalty=ensemble.l2_penalty,
    )  # fmt: skip


def _array(tensor: Tensor) -> F64:
    """A tensor's values in double precision."""
    array: F64 = tensor.detach().to("cpu", torch.float64).numpy()
    return array
