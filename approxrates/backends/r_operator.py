"""Derivatives of gradients along a direction: the R-operator by hand, for networks frozen at their parameters.

For a layer let ``z = W a`` and ``h = sigma(z)``, ``e`` the loss's derivative by ``h`` and ``delta = sigma'(z) e`` that
by ``z``; ``R`` is the derivative along a direction ``V`` of the parameters. Forwards ``R z = V a + W R a`` and
``R h = sigma'(z) R z``; backwards ``R delta = sigma'(z) R e + sigma''(z) e R z``, where ``R e = V' delta + W' R delta``
with ``V``, ``W`` and ``delta`` of the layer above; the product's part is ``R delta a' + delta R a'``.

Reference:
    Pearlmutter (1994), Fast exact multiplication by the Hessian, Neural Computation 6.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from approxrates.backends.base import Problem
from approxrates.backends.layout import Layout

ALONE = 1 << 18
"""Parameters times points from which a replica is computed by itself: calls cost little beside the products."""


def alone(problem: Problem) -> bool:
    """Whether every replica is computed by itself."""
    return problem.layout.n_params * problem.n_points >= ALONE


def _matrices(rows: Tensor, layout: Layout) -> list[Tensor]:
    """The layers' matrices ``[n, n_out, n_columns]`` in rows ``[n, stride]``."""
    return [rows[:, o : o + r * c].view(-1, r, c) for o, r, c in layout.blocks]


class Space:
    """Buffers of a product for ``n`` directions; bias and injected inputs do not change: their rows stay zero."""

    def __init__(self, layout: Layout, n: int, m: int, like: Tensor) -> None:
        def new(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=like.dtype, device=like.device)

        columns = [block[2] for block in layout.blocks[1:]]
        self.inputs = [new(n, column, m) for column in columns]
        self.inputs_transposed = [block.transpose(1, 2) for block in self.inputs]
        self.active = [block[:, : layout.width] for block in self.inputs]
        # Pre-activations are needed once more where the activation bends.
        shared = new(n, layout.width, m)
        self.before = [new(n, layout.width, m) if layout.activation.bends else shared for _ in columns]
        self.output = new(n, layout.n_outputs, m)
        self.deltas = [new(n, layout.width, m) for _ in range(2)]
        self.chained = new(n, layout.width, m)
        # Products are written to contiguous memory: torch hands only those to the batched kernel of the BLAS.
        self.products = [new(n, *block[1:]) for block in layout.blocks]
        self.result = new(n, layout.n_params)


@dataclasses.dataclass(frozen=True)
class _Frozen:
    """Forward and backward pass at the parameters, of ``n`` replicas: all that products need.

    Attributes:
        theta: Parameter rows ``[n, stride]``.
        loss: ``[n]``.
        inputs: Of each layer ``[n, n_columns, m]``.
        slopes: Of each hidden layer, the activation's derivative ``[n, width, m]``.
        bends: Of each hidden layer, its second derivative times the loss's derivative by the activation; none for
            straight pieces.
        deltas: Of each layer, the loss's derivative by its pre-activation, the last one by the output.
        output: ``[n, n_outputs, m]``.
        target: Target values.
        weights_of_points: ``[n, 1, m]``.
    """

    theta: Tensor
    loss: Tensor
    inputs: list[Tensor]
    slopes: list[Tensor]
    bends: list[Tensor]
    deltas: list[Tensor]
    output: Tensor
    target: Tensor
    weights_of_points: Tensor

    def each(self, change: Callable[[list[Tensor]], Tensor], others: Sequence[_Frozen] = ()) -> _Frozen:
        """Every tensor changed, given with those of the same name of others."""
        made: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            held = [getattr(one, field.name) for one in (self, *others)]
            if isinstance(held[0], list):
                made[field.name] = [change(list(parts)) for parts in zip(*held, strict=True)]
            else:
                made[field.name] = change(held)
        return _Frozen(**made)


class FrozenPasses:
    """Products with the Hessians of a group of replicas."""

    def __init__(self, problem: Problem, theta: Tensor, rows: slice, set_index: int) -> None:
        self.layout, self.objective = problem.layout, problem.objective
        self._adopt(self._at(problem, theta, rows, set_index))

    def _adopt(self, frozen: _Frozen) -> None:
        """Take up passes, and lay out the views that every product reads."""
        self.frozen, width = frozen, self.layout.width
        self.n = len(frozen.output)
        weights = _matrices(frozen.theta, self.layout)
        self.inputs_transposed = [part.transpose(1, 2) for part in frozen.inputs]
        # The units of the layer before: not the bias, nor injected inputs.
        self.from_units = [part[:, :, :width] for part in weights]
        self.to_units = [part.transpose(1, 2) for part in self.from_units]

    def _with(self, frozen: _Frozen) -> FrozenPasses:
        """The same of other replicas."""
        other = object.__new__(FrozenPasses)
        other.layout, other.objective = self.layout, self.objective
        other._adopt(frozen)
        return other

    def repeated(self, i: int, q: int) -> FrozenPasses:
        """The same for ``q`` directions of one replica: views of its passes."""
        return self._with(self.frozen.each(lambda held: held[0][i : i + 1].expand(q, *held[0].shape[1:])))

    @staticmethod
    def gathered(sources: Sequence[tuple[FrozenPasses, list[int]]]) -> FrozenPasses:
        """Passes of replicas out of several groups: of each group those at the given places."""
        first, places = sources[0]
        if len(sources) == 1 and places == list(range(first.n)):
            return first
        return first._with(
            first.frozen.each(
                lambda held: torch.cat([part[at] for part, (_, at) in zip(held, sources, strict=True)]),
                [source.frozen for source, _ in sources[1:]],
            )
        )

    def _at(self, problem: Problem, theta: Tensor, rows: slice, set_index: int) -> _Frozen:
        """Forward and backward pass."""
        layout, act, dtype = self.layout, self.layout.activation, theta.dtype
        targets = problem.targets[rows]
        if len(targets) == 1 and not alone(problem):
            theta, targets = theta.expand(2, -1), targets.expand(2)
        theta = theta.contiguous()
        weights = _matrices(theta, layout)
        points, target, share = (
            part[targets, set_index % problem.n_sets].to(dtype)
            for part in (problem.points, problem.values, problem.weights)
        )
        tail = [points] if layout.injection else []
        ones = [points.new_ones(len(points), 1, points.shape[-1])] if layout.bias else []
        inputs, before, above = [torch.cat([points, *ones], 1)], [], points.new_zeros(())
        for layer in range(layout.depth):
            before.append(torch.bmm(weights[layer], inputs[-1]))
            above = act(before[-1]) + (above if layout.residual and layer else 0.0)
            inputs.append(torch.cat([above, *tail, *ones], 1))
        output = torch.bmm(weights[-1], inputs[-1])
        delta = torch.empty_like(output)
        loss = self.objective.value_and_gradient(output.clone(), target, share, delta)
        slopes = [act.derivative(z) for z in before]
        bends, deltas = self._backward(weights, before, slopes, delta)
        return _Frozen(theta, loss, inputs, slopes, bends, deltas, output, target, share)

    def _backward(
        self, weights: list[Tensor], before: list[Tensor], slopes: list[Tensor], delta: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """What :class:`_Frozen` calls bends and deltas."""
        layout, deltas = self.layout, [delta]
        bends: list[Tensor] = []
        by_active = torch.zeros((), dtype=delta.dtype)
        for layer in range(layout.depth - 1, -1, -1):
            carried = by_active if layout.residual and layer < layout.depth - 1 else 0.0
            by_active = torch.bmm(weights[layer + 1][:, :, : layout.width].transpose(1, 2), deltas[0]) + carried
            deltas.insert(0, by_active * slopes[layer])
            if layout.activation.bends:
                bends.insert(0, layout.activation.second_derivative(before[layer]).mul_(by_active))
        return bends, deltas

    def gradient(self) -> Tensor:
        """Gradients ``[n, n_params]`` of E."""
        pairs = zip(self.frozen.deltas, self.inputs_transposed, strict=True)
        return torch.cat([torch.bmm(delta, inputs).flatten(1) for delta, inputs in pairs], 1)

    def products(self, directions: Tensor, space: Space) -> Tensor:
        """Products ``[n, n_params]`` with ``H_E``, valid until the next call.

        Args:
            directions: ``[n, stride]``.
            space: Buffers.
        """
        along = _matrices(directions, self.layout)
        self._forward(along, space)
        frozen = self.frozen
        change = self.objective.gradient_derivative(
            frozen.output, frozen.target, frozen.weights_of_points, space.output
        )
        torch.bmm(change, self.inputs_transposed[-1], out=space.products[-1])
        space.products[-1].baddbmm_(frozen.deltas[-1], space.inputs_transposed[-1])
        self._backward_along(along, change, space)
        for (offset, n_out, n_columns), product in zip(self.layout.blocks, space.products, strict=True):
            space.result[:, offset : offset + n_out * n_columns] = product.flatten(1)
        return space.result

    def _forward(self, along: list[Tensor], space: Space) -> None:
        """Derivatives of pre-activations, activations and output along a direction."""
        frozen = self.frozen
        for layer in range(self.layout.depth):
            before = torch.bmm(along[layer], frozen.inputs[layer], out=space.before[layer])
            if layer:
                before.baddbmm_(self.from_units[layer], space.active[layer - 1])
            torch.mul(before, frozen.slopes[layer], out=space.active[layer])
            if self.layout.residual and layer:
                space.active[layer].add_(space.active[layer - 1])
        torch.bmm(along[-1], frozen.inputs[-1], out=space.output)
        space.output.baddbmm_(self.from_units[-1], space.active[-1])

    def _backward_along(self, along: list[Tensor], change: Tensor, space: Space) -> None:
        """Derivatives of the hidden layers' gradients along a direction, given that of the loss's by the output."""
        layout, frozen, chained, (delta, spare) = self.layout, self.frozen, space.chained, space.deltas
        torch.bmm(along[-1][:, :, : layout.width].transpose(1, 2), frozen.deltas[-1], out=delta)
        delta.baddbmm_(self.to_units[-1], change)
        for layer in range(layout.depth - 1, -1, -1):
            torch.mul(delta, frozen.slopes[layer], out=chained)
            if frozen.bends:
                chained.addcmul_(frozen.bends[layer], space.before[layer])
            torch.bmm(chained, self.inputs_transposed[layer], out=space.products[layer])
            if layer:
                space.products[layer].baddbmm_(frozen.deltas[layer], space.inputs_transposed[layer - 1])
                torch.bmm(along[layer][:, :, : layout.width].transpose(1, 2), frozen.deltas[layer], out=spare)
                spare.baddbmm_(self.to_units[layer], chained)
                if layout.residual:
                    spare.add_(delta)
                delta, spare = spare, delta
