"""Products with the Hessian of the training loss of many networks, frozen at given parameters.

Forward and backward pass at the parameters are done once; a product then costs six matrix products for a layer, two for
the first one (see :mod:`approxrates.backends.r_operator`).

A replica's numbers do not depend on its companions. Where one replica is work enough, each is computed by itself;
smaller ones go together as in :mod:`approxrates.backends.reference`, a lone one with a copy of itself.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from approxrates.backends.base import Problem
from approxrates.backends.layout import Layout
from approxrates.backends.r_operator import FrozenPasses, Space, alone

_CACHE_BYTES = 4_000_000
"""What smaller replicas that are computed together, or directions of one, may take."""

_KEPT_BYTES = 1_500_000_000
"""If the passes of all replicas take more they are not kept, but done again for every product."""


class Hessian:
    """``H_F = H_E + 2 l2_penalty`` of N replicas at ``theta``; nothing follows ``theta`` if it changes later.

    Args:
        problem: What is fitted.
        theta: Parameter rows ``[N, stride]``; products are computed in its type, which may be finer than the problem's.
        set_index: Which point set.
        l2_penalty: ``[N]``: the loss has ``l2_penalty * sum(theta**2)`` added; none if left out.

    Raises:
        ValueError: If the shapes do not fit.
    """

    def __init__(
        self, problem: Problem, theta: Tensor, set_index: int = -1, l2_penalty: Tensor | Sequence[float] | None = None
    ) -> None:
        n, stride = len(problem.targets), problem.layout.stride
        if theta.shape != (n, stride):
            raise ValueError(
                f"theta must hold a row for each replica, shape ({n}, {stride}). Got {tuple(theta.shape)}."
            )
        penalty = None if l2_penalty is None else torch.as_tensor(l2_penalty, dtype=theta.dtype, device=theta.device)
        if penalty is not None and penalty.shape != (n,):
            raise ValueError(f"l2_penalty must hold one number for each replica, {n}. Got {tuple(penalty.shape)}.")
        self.problem, self.theta, self.set_index, self.l2_penalty = problem, theta.detach().clone(), set_index, penalty
        self._groups = _groups(problem, theta.element_size())
        frozen = _bytes_each(problem, theta.element_size()) * n
        self._kept: list[FrozenPasses | None] | None = [None] * len(self._groups) if frozen <= _KEPT_BYTES else None
        self._spaces: dict[int, Space] = {}
        self._asked: tuple[tuple[int, ...], Hessian] | None = None

    def __len__(self) -> int:
        return len(self.theta)

    @property
    def layout(self) -> Layout:
        """Shape of the networks."""
        return self.problem.layout

    @property
    def n_params(self) -> int:
        """Parameters of one network: the order of the matrix; entries of a row beyond are padding."""
        return self.problem.layout.n_params

    @functools.cached_property
    def value(self) -> Tensor:
        """Losses F at ``theta``, ``[N]``."""
        return self._first_order[0]

    @functools.cached_property
    def gradient(self) -> Tensor:
        """Gradients of F at ``theta``, ``[N, stride]``."""
        return self._first_order[1]

    def subset(self, rows: Tensor) -> Hessian:
        """The same for some of the replicas only; ``rows`` are indices."""
        penalty = None if self.l2_penalty is None else self.l2_penalty[rows]
        problem = dataclasses.replace(self.problem, targets=self.problem.targets[rows])
        other = Hessian(problem, self.theta[rows], self.set_index, penalty)
        known = [passes for passes in self._kept or [] if passes is not None]
        if known and len(known) == len(self._groups):
            self._hand_on(known, rows.tolist(), other)
        return other

    def _hand_on(self, kept: list[FrozenPasses], rows: list[int], other: Hessian) -> None:
        """Give passes to a subset: groups stay together; those that shrank are joined while they fit."""
        home = [(group, i) for group, part in enumerate(self._groups) for i in range(part.stop - part.start)]
        most = _most_together(self.problem, self.theta.element_size())
        groups: list[list[tuple[int, list[int]]]] = []
        for group, run in itertools.groupby((home[row] for row in rows), key=lambda place: place[0]):
            places = [place for _, place in run]
            taken = sum(len(part) for _, part in groups[-1]) if groups else most
            if taken + len(places) > most:
                groups.append([])
            groups[-1].append((group, places))
        begin = 0
        other._groups, other._kept, other._spaces = [], [], self._spaces
        for parts in groups:
            size = sum(len(places) for _, places in parts)
            other._groups.append(slice(begin, begin + size))
            if size == 1 and most > 1:
                parts = [(parts[0][0], parts[0][1] * 2)]
            other._kept.append(FrozenPasses.gathered([(kept[group], places) for group, places in parts]))
            begin += size

    def product(self, directions: Tensor, rows: Tensor) -> Tensor:
        """Hessians of the replicas ``rows`` times one direction for each, ``[n, stride]``: what eigenvalues ask for.

        The subset is kept, and a smaller one is taken from it.

        Args:
            directions: ``[n, stride]``.
            rows: Indices of replicas, ``[n]``.
        """
        asked = tuple(rows.tolist())
        if asked == tuple(range(len(self))):
            return self.products(directions)
        known, some = self._asked or ((), self)
        if known != asked:
            place = {row: i for i, row in enumerate(known)}
            inside = all(row in place for row in asked)
            some = some.subset(torch.tensor([place[row] for row in asked])) if inside else self.subset(rows)
            self._asked = asked, some
        return some.products(directions)

    def products(self, directions: Tensor) -> Tensor:
        """Hessians times one direction for each replica.

        Args:
            directions: Rows ``[N, stride]``; padding is not read.

        Returns:
            Rows ``[N, stride]``, zero in the padding.
        """
        directions = directions.detach().to(self.theta).contiguous()
        result = torch.zeros_like(self.theta)
        for rows, passes in self._passes():
            n = rows.stop - rows.start
            ours = directions[rows].expand(passes.n, -1) if n == 1 else directions[rows]
            result[rows, : self.n_params] = passes.products(ours, self._space(passes.n))[:n]
        if self.l2_penalty is not None:
            result[:, : self.n_params] += 2.0 * self.l2_penalty[:, None] * directions[:, : self.n_params]
        return result

    def many(self, directions: Tensor) -> Tensor:
        """Hessians times several directions for each replica.

        Args:
            directions: ``[N, q, stride]``.

        Returns:
            ``[N, q, stride]``, zero in the padding.
        """
        directions = directions.detach().to(self.theta).contiguous()
        result = torch.zeros_like(directions)
        q, each = directions.shape[1], _bytes_each(self.problem, self.theta.element_size())
        size = max(1, min(q, _CACHE_BYTES // each))
        for rows, passes in self._passes():
            for i in range(rows.start, rows.stop):
                single = passes.repeated(i - rows.start, size)
                for start in range(0, q, size):
                    part = directions[i, start : start + size]
                    # The last part is filled up, so that every direction goes through the same kernels.
                    full = part if len(part) == size else torch.cat([part, part[-1:].expand(size - len(part), -1)])
                    found = single.products(full, self._space(size))[: len(part)]
                    result[i, start : start + size, : self.n_params] = found
        if self.l2_penalty is not None:
            result[..., : self.n_params] += 2.0 * self.l2_penalty[:, None, None] * directions[..., : self.n_params]
        return result

    @functools.cached_property
    def _first_order(self) -> tuple[Tensor, Tensor]:
        """Losses and gradients."""
        gradient, losses = torch.zeros_like(self.theta), []
        for rows, passes in self._passes():
            n = rows.stop - rows.start
            gradient[rows, : self.n_params] = passes.gradient()[:n]
            losses.append(passes.frozen.loss[:n])
        value, plain = torch.cat(losses), self.theta[:, : self.n_params]
        if self.l2_penalty is not None:
            gradient[:, : self.n_params] += 2.0 * self.l2_penalty[:, None] * plain
            value = value + self.l2_penalty * plain.square().sum(1)
        return value, gradient

    def _passes(self) -> Iterator[tuple[slice, FrozenPasses]]:
        """Each group of replicas with its passes at ``theta``."""
        for place, rows in enumerate(self._groups):
            known = None if self._kept is None else self._kept[place]
            passes = known or FrozenPasses(self.problem, self.theta[rows], rows, self.set_index)
            if self._kept is not None:
                self._kept[place] = passes
            yield rows, passes

    def _space(self, n: int) -> Space:
        """Buffers for ``n`` directions at once."""
        if n not in self._spaces:
            self._spaces[n] = Space(self.layout, n, self.problem.n_points, self.theta)
        return self._spaces[n]


def _bytes_each(problem: Problem, size: int) -> int:
    """What the passes of one replica take."""
    layout = problem.layout
    rows = (4 * layout.depth + 1) * (layout.width + 1) + layout.dim * (1 + layout.depth * layout.injection)
    return (rows + 3 * layout.n_outputs) * problem.n_points * size


def _most_together(problem: Problem, size: int) -> int:
    """Replicas of a group at most."""
    return 1 if alone(problem) else max(4, _CACHE_BYTES // _bytes_each(problem, size))


def _groups(problem: Problem, size: int) -> list[slice]:
    """Replicas cut into groups; how a replica is computed depends on its own size only."""
    n = len(problem.targets)
    most = _most_together(problem, size)
    n_groups = -(-n // most)
    cuts = [round(i * n / n_groups) for i in range(n_groups + 1)] if n_groups else [0]
    return [slice(a, b) for a, b in itertools.pairwise(cuts)]
