"""The reference: passes by hand in plain torch, on any device.

Activations are ``[N, width + 1, M]`` with the points last and a constant row of ones, so that a layer is one batched
product, and so is its gradient, bias included.

Results do not depend on how many replicas are computed together: every product is a loop over the batch, rows and
points are padded to multiples of 32 so that vectorised loops have no remainder, and a lone replica is computed
together with a copy of itself, because a batch of one may be given to another kernel. tests/test_training_ensemble.py
holds this bit for bit.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from approxrates.activations import Activation
from approxrates.backends.base import Passes, Problem
from approxrates.backends.layout import Layout

_CACHE_BYTES = 4_000_000
"""Replicas are computed in groups whose activations take about so much: larger groups fall out of the caches."""


class Workspace:
    """Buffers, and all views of them that a pass needs, for ``n`` replicas and ``m`` points of ``n_values`` values."""

    def __init__(self, layout: Layout, n: int, m: int, n_values: int, dtype: torch.dtype, device: torch.device) -> None:
        def new(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        width, depth, dim, n_outputs = layout.width, layout.depth, layout.dim, layout.n_outputs
        self.theta = new(n, layout.stride)
        self.gradient = new(n, layout.stride)
        self.matrices = [self.theta[:, o : o + r * c].view(n, r, c) for o, r, c in layout.blocks]
        # Only the units of the layer before have a gradient to be passed on: not the bias, nor injected inputs.
        self.transposed = [w[:, :, :width].transpose(1, 2) for w in self.matrices]
        self.points = new(n, dim + layout.bias, m)
        hidden = [new(n, width + layout.injection * dim + layout.bias, m) for _ in range(depth)]
        for block in (self.points, *hidden) if layout.bias else ():
            block[:, -1] = 1.0
        self.injected = [h[:, width : width + dim] for h in hidden] if layout.injection else []
        self.inputs = [self.points, *hidden]
        self.inputs_transposed = [h.transpose(1, 2) for h in self.inputs]
        self.active = [h[:, :width] for h in hidden]
        # With residual layers the units of a layer are not its activations alone.
        self.sigma = [new(n, width, m) for _ in range(depth)] if layout.residual else self.active
        # An activation whose derivative follows from its value needs no pre-activations kept: one buffer serves all
        # layers.
        shared = new(n, width, m)
        self.before = [shared if layout.activation.in_place else new(n, width, m) for _ in range(depth)]
        self.known = self.sigma if layout.activation.in_place else self.before
        self.scratch = shared
        self.deltas = [new(n, width, m) for _ in range(3 if layout.residual else 2)]
        self.output, self.output_delta = new(n, n_outputs, m), new(n, n_outputs, m)
        self.target, self.weights = new(n, n_values, m), new(n, 1, m)
        # Products are written to contiguous memory: torch hands only those to the batched kernel of the BLAS.
        self.products = [new(n, *block[1:]) for block in layout.blocks]
        self.gradients = [self.gradient[:, o : o + r * c].view(n, r, c) for o, r, c in layout.blocks]
        self.residual = layout.residual

    def bind(self, points: Tensor, values: Tensor, weights: Tensor) -> None:
        """Put points ``[n, dim, m]``, values and weights in place."""
        self.points[:, : points.shape[1]] = points
        for block in self.injected:
            block.copy_(points)
        self.target.copy_(values)
        self.weights.copy_(weights)


def forward(space: Workspace, activation: Activation) -> Tensor:
    """Outputs ``[n, n_outputs, m]`` of the networks in ``space.theta`` at ``space.points``."""
    for layer, z in enumerate(space.before):
        torch.bmm(space.matrices[layer], space.inputs[layer], out=z)
        activation.forward(z, space.sigma[layer])
        if space.residual:
            space.active[layer].copy_(space.sigma[layer])
            if layer:
                space.active[layer].add_(space.active[layer - 1])
    return torch.bmm(space.matrices[-1], space.inputs[-1], out=space.output)


def backward(space: Workspace, activation: Activation) -> Tensor:
    """Gradients ``[n, stride]`` of losses with derivative ``output_delta`` by the output, after :func:`forward`."""
    torch.bmm(space.output_delta, space.inputs_transposed[-1], out=space.products[-1])
    for layer, delta in _deltas(space, activation):
        torch.bmm(delta, space.inputs_transposed[layer], out=space.products[layer])
    for target, product in zip(space.gradients, space.products, strict=True):
        target.copy_(product)
    return space.gradient


def derivatives(space: Workspace, activation: Activation, blocks: list[Tensor]) -> None:
    """Derivatives of the single output by every parameter, after :func:`forward`.

    Args:
        space: Buffers.
        activation: Of the hidden layers.
        blocks: Where to write: of each layer ``[n, n_out, n_columns, m]``.
    """
    space.output_delta.fill_(1.0)
    blocks[-1].copy_(space.inputs[-1][:, None])
    for layer, delta in _deltas(space, activation):
        torch.mul(delta[:, :, None], space.inputs[layer][:, None], out=blocks[layer])


def _deltas(space: Workspace, activation: Activation) -> Iterator[tuple[int, Tensor]]:
    """The derivatives by the pre-activations, layer by layer from the last; each is valid until the next is asked."""
    delta, spare, *carried = space.deltas
    torch.bmm(space.transposed[-1], space.output_delta, out=delta)
    for layer in range(len(space.active) - 1, -1, -1):
        if space.residual:
            carried[0].copy_(delta)
        activation.chain(space.known[layer], space.sigma[layer], delta, space.scratch)
        yield layer, delta
        if layer:
            torch.bmm(space.transposed[layer], delta, out=spare)
            if space.residual:
                spare.add_(carried[0])
            delta, spare = spare, delta


class ReferencePasses(Passes):
    """Passes in groups of replicas that fit the caches."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self._spaces: dict[int, Workspace] = {}
        self._bound: dict[int, tuple[int, int]] = {}

    def value_and_gradient(self, theta: Tensor, gradient: Tensor | None, set_index: int) -> Tensor:
        """See :class:`Passes`."""
        losses = [self._pass(theta, rows, set_index, gradient) for rows in self._groups()]
        return losses[0] if len(losses) == 1 else torch.cat(losses)

    def outputs(self, theta: Tensor, set_index: int) -> Tensor:
        """See :class:`Passes`."""
        return torch.cat([self._outputs(theta, rows, set_index)[0] for rows in self._groups()])

    def jacobian(self, theta: Tensor, jacobian: Tensor, set_index: int) -> Tensor:
        """See :class:`Passes`."""
        layout, m = self.problem.layout, self.problem.n_points
        outputs = []
        for rows in self._groups():
            values, space = self._outputs(theta, rows, set_index)
            n = rows.stop - rows.start
            part = jacobian[rows]
            target = part if n > 1 else part.new_empty(2, *part.shape[1:])
            derivatives(
                space,
                layout.activation,
                [target[:, o : o + r * c].view(len(target), r, c, m) for o, r, c in layout.blocks],
            )
            if n == 1:
                part.copy_(target[:1])
            part[:, layout.n_params :] = 0.0
            outputs.append(values)
        return torch.cat(outputs)

    def _outputs(self, theta: Tensor, rows: slice, set_index: int) -> tuple[Tensor, Workspace]:
        """Outputs of one group of replicas, and the workspace they were computed in."""
        space = self._space(rows, set_index)
        # A lone replica fills both places.
        space.theta.copy_(theta[rows])
        return forward(space, self.problem.layout.activation)[: rows.stop - rows.start].clone(), space

    def _pass(self, theta: Tensor, rows: slice, set_index: int, gradient: Tensor | None) -> Tensor:
        """Losses of one group of replicas, and their gradients if wanted."""
        n, activation = rows.stop - rows.start, self.problem.layout.activation
        space = self._space(rows, set_index)
        space.theta.copy_(theta[rows])
        output = forward(space, activation)
        delta = None if gradient is None else space.output_delta
        loss = self.problem.objective.value_and_gradient(output, space.target, space.weights, delta)
        if gradient is not None:
            gradient[rows].copy_(backward(space, activation)[:n])
        return loss[:n]

    def _groups(self) -> list[slice]:
        """Replicas cut into groups of nearly equal size that fit the caches."""
        problem, layout = self.problem, self.problem.layout
        buffers = layout.depth * (1 + layout.residual + (not layout.activation.in_place)) + 4
        bytes_each = buffers * (layout.width + 1) * problem.n_points * problem.points.element_size()
        size, n = max(4, _CACHE_BYTES // bytes_each), len(problem.targets)
        n_groups = -(-n // size)
        cuts = [round(i * n / n_groups) for i in range(n_groups + 1)] if n_groups else [0]
        return [slice(a, b) for a, b in itertools.pairwise(cuts)]

    def _space(self, rows: slice, set_index: int) -> Workspace:
        """The workspace of a group, with the wanted points in place."""
        problem = self.problem
        n = max(2, rows.stop - rows.start)
        set_index %= problem.n_sets
        if n not in self._spaces:
            shape = (n, problem.n_points, problem.values.shape[2])
            self._spaces[n] = Workspace(problem.layout, *shape, problem.dtype, problem.points.device)
        space = self._spaces[n]
        if self._bound.get(n) != (rows.start, set_index):
            targets = problem.targets[rows].expand(n) if rows.stop - rows.start == 1 else problem.targets[rows]
            sources = (problem.points, problem.values, problem.weights)
            space.bind(*(source[targets, set_index] for source in sources))
            self._bound[n] = (rows.start, set_index)
        return space
