"""Active mapping of phase boundaries: where to run next, and which phase is where, from the runs so far."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from approxrates.boundary.information import Belief
from approxrates.boundary.latent import Latent, fit_latent
from approxrates.boundary.plane import Box, BoxAxis
from approxrates.seeds import seed_for

Floats = NDArray[np.float64]
Votes = str | Mapping[str, float] | None

LEAST_START = 32
CANDIDATES = 12  # two to this power
CHOICE, AUDIENCE = 96, 512  # places tried for a run; places whose doubt it shall lower
APART = 0.04  # least distance within a batch, in sides of the box
GRID = 101  # cells along a side on which areas are measured
UNDECIDED = "undecided"


class BoundaryMap:
    """Phases in a box of a plane, mapped by few runs.

    The first ``n_start`` points are scrambled Sobol points. Then each run of a batch goes to that one of the doubtful
    places where its label is expected to lower the doubt of the whole box most. Doubt is the probability that the most
    probable phase is wrong; along a boundary it is one half always, so doubt alone would go on marking a line that is
    already hemmed in. A chosen place lowers the latent variance around it as its label will on average, and the
    points of a batch keep a distance of at least 0.04 sides of the box.

    Everything is a function of the box, the seed and the observations in their order: a map made anew and shown the
    same observations makes the same suggestions, which is how a stopped mapping is resumed.

    Args:
        x: First axis.
        y: Second axis.
        n_start: Sobol points before the first active batch, at least 32.
        seed: Seed of the Sobol scrambling and of the candidates.

    Example:
        >>> plane = BoundaryMap(BoxAxis("signal", 0.1, 1.0), BoxAxis("penalty", 0.01, 1.0, log=True))
        >>> first = plane.suggest(32)
        >>> plane.observe(first, ["learned" if penalty < signal else "trivial" for signal, penalty in first])
        >>> plane.predict([[0.9, 0.05], [0.2, 0.9]]).tolist()
        ['learned', 'trivial']
    """

    def __init__(self, x: BoxAxis, y: BoxAxis, *, n_start: int = LEAST_START, seed: int = 0) -> None:
        if n_start < LEAST_START:
            raise ValueError(f"n_start must be at least {LEAST_START}. Got {n_start}. Write n_start={LEAST_START}.")
        self.box = Box(x, y)
        self.n_start = n_start
        self.seed = seed
        self._points: list[Floats] = []
        self._votes: list[dict[str, float] | None] = []
        self._weights: list[float] = []
        self._latents: dict[tuple[str, str], Latent] | None = None

    @property
    def points(self) -> Floats:
        """Observed points in the order of observation, failed ones included, ``(n, 2)``."""
        return np.array(self._points).reshape(-1, 2)

    @property
    def votes(self) -> list[dict[str, float] | None]:
        """For each observed point the shares of the phases, summing to one; None where the run failed."""
        return [None if votes is None else dict(votes) for votes in self._votes]

    @property
    def phases(self) -> list[str]:
        """Phases seen so far, sorted by name."""
        return sorted({name for votes in self._votes if votes for name in votes})

    @property
    def has_boundary(self) -> bool:
        """Whether two phases have been seen."""
        return len(self.phases) > 1

    @property
    def verdict(self) -> str:
        """A sentence: the phases seen and the estimated wrong area, or that there is no boundary to map."""
        runs = sum(votes is not None for votes in self._votes)
        if not runs:
            return "no runs yet"
        if not self.has_boundary:
            return f"one phase only ({self.phases[0]}) in {runs} runs: no boundary in this box"
        return f"{', '.join(self.phases)} in {runs} runs; estimated wrong area {100 * self.wrong_area_estimate:.1f} %"

    def observe(self, points: ArrayLike, labels: Sequence[Votes], weights: Sequence[float] | None = None) -> None:
        """Adds runs.

        Args:
            points: Shape ``(n, 2)``, inside the box.
            labels: For each point a phase; or votes of seeds as ``{phase: count or share}``, at least one of them
                positive; or None if the run failed: then the point is not suggested again, and tells nothing.
            weights: How much each observation counts, positive; one each if left out.

        Raises:
            ValueError: If numbers of points, labels and weights differ, or a value is out of range.
        """
        array = np.asarray(points, dtype=np.float64)
        self.box.to_unit(array)
        counted = [1.0] * len(array) if weights is None else [float(weight) for weight in weights]
        if not len(array) == len(labels) == len(counted):
            raise ValueError(
                f"points, labels and weights must be equally many. Got {len(array)}, {len(labels)} and {len(counted)}."
            )
        if not all(weight > 0 for weight in counted):
            raise ValueError(f"weights must be positive. Got {counted}. Leave a run out, or label it None.")
        shares = [_shares(label) for label in labels]
        self._points += list(array)
        self._votes += shares
        self._weights += counted
        self._latents = None

    def suggest(self, k: int) -> Floats:
        """The next points to run, at most ``k``: fewer only when the Sobol points at the start run out.

        Args:
            k: Size of the batch, at least 1; as many as run at once.

        Returns:
            Points, shape ``(m, 2)`` with ``1 <= m <= k``.
        """
        if k < 1:
            raise ValueError(f"k must be at least 1. Got {k}. Write suggest(1).")
        done = len(self._points)
        if done < self.n_start:
            return self.box.from_unit(self._sobol(self.n_start)[done : done + k])
        if not self.has_boundary:
            return self.box.from_unit(self._sobol(done + k)[done:])
        return self.box.from_unit(self._informative(k))

    def probabilities(self, points: ArrayLike) -> dict[str, Floats]:
        """Probability of each phase at ``(n, 2)`` points, each of shape ``(n,)``, summing to one.

        Each pair of phases has a classifier of its own, fitted to the runs of these two; a phase's probability is
        proportional to the product of its chances against all others. So every classifier has one smooth boundary to
        find, also where phases lie in thin bands beside each other. With a single phase seen the probability is 1
        everywhere: read :attr:`has_boundary`.

        Raises:
            ValueError: If nothing has been observed.
        """
        table = self._table(self.box.to_unit(points))
        return dict(zip(self.phases, table, strict=True))

    def predict(self, points: ArrayLike, least: float = 0.0) -> NDArray[np.str_]:
        """The most probable phase at ``(n, 2)`` points; ``"undecided"`` where its probability is below ``least``."""
        found = self.probabilities(points)
        names, table = np.array([*found, UNDECIDED]), np.stack(list(found.values()))
        return names[np.where(table.max(axis=0) >= least, table.argmax(axis=0), len(found))]

    @property
    def wrong_area_estimate(self) -> float:
        """Expected share of the box (in the scales of its axes) that :meth:`predict` names wrongly.

        The mean of one minus the largest probability on a grid: the classifier's own opinion. With one phase seen in
        ``n`` runs it is ``1 / (n + 2)``, Laplace's rule for something never yet seen.
        """
        if not self.has_boundary:
            return 1.0 / (sum(votes is not None for votes in self._votes) + 2)
        table = np.stack(list(self.probabilities(self.box.grid(GRID)).values()))
        return float(np.mean(1 - table.max(axis=0)))

    def _sobol(self, n: int) -> Floats:
        """The first ``n`` points of this map's Sobol sequence, ``(n, 2)``."""
        return _sobol_points(n, seed_for("boundary start", seed=self.seed))

    def _fitted(self) -> dict[tuple[str, str], Latent]:
        """One classifier for each pair of phases; none if only one has been seen."""
        if self._latents is None:
            if not self.phases:
                raise ValueError("probabilities need observations. Got none. Call observe(points, labels) first.")
            unit = self.box.to_unit(self.points)
            shares = {name: np.array([(votes or {}).get(name, 0.0) for votes in self._votes]) for name in self.phases}
            self._latents = {}
            for pair in itertools.combinations(self.phases, 2):
                votes = np.array(self._weights)[:, None] * np.column_stack([shares[name] for name in pair])
                told = votes.sum(axis=1) > 0
                self._latents[pair] = fit_latent(unit[told], votes[told])
        return self._latents

    def _table(self, unit: Floats) -> Floats:
        """Probabilities at points of the unit square, one row per phase, ``(phases, n)``."""
        from scipy.special import log_ndtr

        logs = {name: np.zeros(len(unit)) for name in self.phases}
        for (one, other), latent in self._fitted().items():
            mean, variance = latent.mean_and_variance(unit)
            odds = mean / np.sqrt(1 + variance)
            logs[one] += log_ndtr(odds)
            logs[other] += log_ndtr(-odds)
        table = np.stack(list(logs.values()))
        table = np.exp(table - table.max(axis=0))
        found: Floats = table / table.sum(axis=0)
        return found

    def _informative(self, k: int) -> Floats:
        """``k`` points whose runs are expected to clear up most, chosen one after another, in the unit square."""
        done = len(self._points)
        pool = _sobol_points(2**CANDIDATES, seed_for("boundary candidates", seed=self.seed, done=done))
        failed = [index for index, votes in enumerate(self._votes) if votes is None]
        places = np.concatenate([pool, self.box.to_unit(self.points[failed])])
        table = dict(zip(self.phases, self._table(places), strict=True))
        beliefs = [Belief(latent, places, table[one] + table[other]) for (one, other), latent in self._fitted().items()]
        for index in range(len(pool), len(places)):
            for belief in beliefs:
                belief.expect(index)
        chosen: list[int] = []
        for _ in range(k):
            doubt = np.sum([belief.doubt() for belief in beliefs], axis=0)[: len(pool)]
            doubt[_near(pool, chosen)] = 0
            # Of the doubtful places the first in Sobol order: any beginning of the sequence is spread evenly.
            candidates = np.flatnonzero(doubt >= doubt.max() / 4)[:CHOICE]
            gains = np.sum([belief.gain(candidates, np.arange(AUDIENCE)) for belief in beliefs], axis=0)
            chosen.append(int(candidates[np.argmax(gains)]))
            for belief in beliefs:
                belief.expect(chosen[-1])
        return pool[chosen]


def _near(pool: Floats, chosen: Sequence[int]) -> NDArray[np.bool_]:
    """Which points of the pool are too near to one that is in the batch already."""
    found = np.zeros(len(pool), dtype=bool)
    for index in chosen:
        found |= np.linalg.norm(pool - pool[index], axis=1) < APART
    return found


def _sobol_points(n: int, seed: int) -> Floats:
    """``n`` scrambled Sobol points of the unit square, ``(n, 2)``; more points only continue the sequence."""
    from scipy.stats import qmc

    power = max(0, int(np.ceil(np.log2(n))))
    return qmc.Sobol(2, scramble=True, rng=np.random.Generator(np.random.Philox(seed))).random_base2(power)[:n]


def _shares(label: Votes) -> dict[str, float] | None:
    """Votes as shares that sum to one."""
    if label is None:
        return None
    votes = {label: 1.0} if isinstance(label, str) else {str(name): float(count) for name, count in label.items()}
    if not votes or min(votes.values()) < 0 or not 0 < sum(votes.values()) < float("inf"):
        raise ValueError(f"votes must be at least 0 with a positive sum. Got {label!r}. Write e.g. {{'learned': 3}}.")
    total = sum(votes.values())
    return {name: count / total for name, count in votes.items() if count > 0}
