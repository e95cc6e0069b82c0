"""Many networks of one shape at once: outputs, and loss gradients by hand-written forward and backward passes.

Layout. The parameters of N replicas are the rows of one contiguous ``theta[N, stride]``. A row holds the layers one
after the other, each as a row-major ``(n_out, n_in + 1)`` matrix whose last column is the bias, and is padded with
zeros to a multiple of 32 scalars. Activations are ``[N, width + 1, M]`` with the points last and a constant row of
ones, so that a layer is one batched product, and so is its gradient, bias included.

Results do not depend on how many replicas are computed together: every product is a loop over the batch, rows and
points are padded to multiples of 32 so that vectorised loops have no remainder, and a lone replica is computed
together with a copy of itself, because a batch of one may be given to another kernel. tests/test_training_ensemble.py
holds this bit for bit.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from approxrates.activations import Activation
from approxrates.objectives import Objective

LANES = 32
"""Rows of parameters, and points, are padded to multiples of this many scalars: two of the widest vector registers."""

_CACHE_BYTES = 4_000_000
"""Replicas are computed in groups whose activations take about so much: larger groups fall out of the caches."""


def padded(n: int) -> int:
    """The next multiple of ``LANES``."""
    return -(-n // LANES) * LANES


@dataclass(frozen=True)
class Layout:
    """Where the parameters of a fully connected network stand in a row of ``theta``.

    Attributes:
        shapes: ``(n_out, n_in)`` of each layer, hidden layers first, output layer last.
        activation: Of the hidden layers.
        bias: Whether the layers have biases.
    """

    shapes: tuple[tuple[int, int], ...]
    activation: Activation
    bias: bool = True

    @property
    def blocks(self) -> tuple[tuple[int, int, int], ...]:
        """``(offset, n_out, n_columns)`` of each layer's matrix, the bias being its last column."""
        blocks, offset = [], 0
        for n_out, n_in in self.shapes:
            blocks.append((offset, n_out, n_in + self.bias))
            offset += n_out * (n_in + self.bias)
        return tuple(blocks)

    @property
    def n_params(self) -> int:
        """Parameters of one network."""
        return sum(n_out * (n_in + self.bias) for n_out, n_in in self.shapes)

    @property
    def stride(self) -> int:
        """Length of a row, padding included."""
        return padded(self.n_params)

    def order(self) -> NDArray[np.intp]:
        """Index ``i`` such that ``row = plain[i]``; a plain vector has each layer's weights, then its biases."""
        parts, start = [], 0
        for n_out, n_in in self.shapes:
            matrix = start + np.arange(n_out * n_in).reshape(n_out, n_in)
            start += n_out * n_in
            if self.bias:
                matrix = np.concatenate([matrix, start + np.arange(n_out)[:, None]], axis=1)
                start += n_out
            parts.append(matrix.ravel())
        return np.concatenate(parts)

    def pack(self, plain: NDArray[np.float64]) -> Tensor:
        """Rows ``[N, stride]``, float64, from plain parameter vectors ``(N, n_params)``."""
        rows = np.zeros((len(plain), self.stride))
        rows[:, : self.n_params] = plain[:, self.order()]
        return torch.from_numpy(rows)

    def unpack(self, rows: Tensor) -> NDArray[np.float64]:
        """Plain parameter vectors ``(N, n_params)``, float64, from rows."""
        plain = np.empty((len(rows), self.n_params))
        plain[:, self.order()] = rows[:, : self.n_params].detach().to("cpu", torch.float64).numpy()
        return plain


class Workspace:
    """Buffers, and all views of them that a pass needs, for ``n`` replicas and ``m`` points of ``n_values`` values."""

    def __init__(self, layout: Layout, n: int, m: int, n_values: int, dtype: torch.dtype, device: torch.device) -> None:
        def new(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        width, depth = layout.shapes[0][0], len(layout.shapes) - 1
        n_outputs, dim = layout.shapes[-1][0], layout.shapes[0][1]
        self.theta = new(n, layout.stride)
        self.gradient = new(n, layout.stride)
        self.matrices = [self.theta[:, o : o + r * c].view(n, r, c) for o, r, c in layout.blocks]
        self.transposed = [w[:, :, : w.shape[2] - layout.bias].transpose(1, 2) for w in self.matrices]
        self.points = new(n, dim + layout.bias, m)
        hidden = [new(n, width + layout.bias, m) for _ in range(depth)]
        for block in (self.points, *hidden) if layout.bias else ():
            block[:, -1] = 1.0
        self.inputs = [self.points, *hidden]
        self.inputs_transposed = [h.transpose(1, 2) for h in self.inputs]
        self.active = [h[:, :width] for h in hidden]
        # An activation whose derivative follows from its value needs no pre-activations kept: one buffer serves all
        # layers.
        shared = new(n, width, m)
        self.before = [shared if layout.activation.in_place else new(n, width, m) for _ in range(depth)]
        self.known = self.active if layout.activation.in_place else self.before
        self.scratch = shared
        self.deltas = [new(n, width, m), new(n, width, m)]
        self.output, self.output_delta = new(n, n_outputs, m), new(n, n_outputs, m)
        self.target, self.weights = new(n, n_values, m), new(n, 1, m)
        # Products are written to contiguous memory: torch hands only those to the batched kernel of the BLAS.
        self.first, self.last = new(n, *layout.blocks[0][1:]), new(n, *layout.blocks[-1][1:])
        self.middle = [new(n, *block[1:]) for block in layout.blocks[1:-1]]
        self.products = [self.first, *self.middle, self.last]
        self.gradients = [self.gradient[:, o : o + r * c].view(n, r, c) for o, r, c in layout.blocks]


def forward(space: Workspace, activation: Activation) -> Tensor:
    """Outputs ``[n, n_outputs, m]`` of the networks in ``space.theta`` at ``space.points``."""
    for matrix, h, z, out in zip(space.matrices, space.inputs, space.before, space.active, strict=False):
        torch.bmm(matrix, h, out=z)
        activation.forward(z, out)
    return torch.bmm(space.matrices[-1], space.inputs[-1], out=space.output)


def backward(space: Workspace, activation: Activation) -> Tensor:
    """Gradients ``[n, stride]`` of losses with derivative ``output_delta`` by the output, after :func:`forward`."""
    delta, spare = space.deltas
    torch.bmm(space.output_delta, space.inputs_transposed[-1], out=space.last)
    torch.bmm(space.transposed[-1], space.output_delta, out=delta)
    for layer in range(len(space.active) - 1, -1, -1):
        activation.chain(space.known[layer], space.active[layer], delta, space.scratch)
        torch.bmm(delta, space.inputs_transposed[layer], out=space.products[layer])
        if layer:
            torch.bmm(space.transposed[layer], delta, out=spare)
            delta, spare = spare, delta
    for target, product in zip(space.gradients, space.products, strict=True):
        target.copy_(product)
    return space.gradient


class Ensemble:
    """Loss and gradient of N replicas, each with its own points, target values and weights of the points.

    Args:
        layout: Shape of the networks.
        objective: The loss.
        points: ``[T, S, dim, M]``: S sets of M points for each of T targets; M a multiple of 32.
        values: ``[T, S, k, M]``: target values, ``k`` the number of outputs (1 for class labels).
        weights: ``[T, S, 1, M]``: weights of the points, sum one, zero for padding.
        member_targets: For each replica the index of its target, length N.
        dtype: Of the computation.
        device: Of the computation.
    """

    def __init__(
        self,
        layout: Layout,
        objective: Objective,
        points: NDArray[np.float64],
        values: NDArray[np.float64],
        weights: NDArray[np.float64],
        member_targets: Sequence[int],
        *,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> None:
        self.layout, self.objective = layout, objective
        self.dtype, self.device = dtype, torch.device(device)
        self._points, self._values, self._weights = (
            torch.as_tensor(a, dtype=dtype, device=self.device) for a in (points, values, weights)
        )
        self._targets = torch.as_tensor(list(member_targets), device=self.device)
        self._spaces: dict[int, Workspace] = {}
        self._bound: dict[int, tuple[int, int]] = {}
        assert points.shape[-1] % LANES == 0, "points are padded by whoever makes them"

    @property
    def n_sets(self) -> int:
        """Number of point sets; the last one is the full sampling set on which networks are compared."""
        return self._points.shape[1]

    def __len__(self) -> int:
        return len(self._targets)

    def subset(self, rows: Tensor) -> Ensemble:
        """The same for some of the replicas only; ``rows`` are indices."""
        part = object.__new__(Ensemble)
        part.__dict__.update(self.__dict__, _targets=self._targets[rows], _spaces={}, _bound={})
        return part

    def value(self, theta: Tensor, set_index: int = -1) -> Tensor:
        """Losses ``[N]`` on one of the point sets.

        Args:
            theta: Parameter rows ``[N, stride]``.
            set_index: Which set.
        """
        losses = [self._pass(theta, rows, set_index, None) for rows in self._groups()]
        return torch.cat(losses)

    def value_and_gradient(self, theta: Tensor, gradient: Tensor, set_index: int = -1) -> Tensor:
        """Losses ``[N]`` on one of the point sets; their gradients are written into ``gradient [N, stride]``."""
        losses = [self._pass(theta, rows, set_index, gradient) for rows in self._groups()]
        return losses[0] if len(losses) == 1 else torch.cat(losses)

    def outputs(self, theta: Tensor, set_index: int = -1) -> Tensor:
        """Network outputs ``[N, n_outputs, M]`` at one of the point sets."""
        outputs = []
        for rows in self._groups():
            space = self._space(rows, set_index)
            self._load(space, theta, rows)
            outputs.append(forward(space, self.layout.activation)[: rows.stop - rows.start].clone())
        return torch.cat(outputs)

    def _pass(self, theta: Tensor, rows: slice, set_index: int, gradient: Tensor | None) -> Tensor:
        """Losses of one group of replicas, and their gradients if wanted."""
        n = rows.stop - rows.start
        space = self._space(rows, set_index)
        self._load(space, theta, rows)
        output = forward(space, self.layout.activation)
        delta = None if gradient is None else space.output_delta
        loss = self.objective.value_and_gradient(output, space.target, space.weights, delta)
        if gradient is not None:
            gradient[rows].copy_(backward(space, self.layout.activation)[:n])
        return loss[:n]

    def _load(self, space: Workspace, theta: Tensor, rows: slice) -> None:
        """Put the parameters of a group into its workspace; a lone replica fills both places."""
        space.theta.copy_(theta[rows])

    def _groups(self) -> list[slice]:
        """Replicas cut into groups of nearly equal size that fit the caches."""
        width, depth = self.layout.shapes[0][0], len(self.layout.shapes) - 1
        buffers = depth + 4 + (0 if self.layout.activation.in_place else depth)
        bytes_each = buffers * (width + 1) * self._points.shape[-1] * (4 if self.dtype == torch.float32 else 8)
        size = max(4, _CACHE_BYTES // bytes_each)
        n_groups = -(-len(self) // size)
        cuts = [round(i * len(self) / n_groups) for i in range(n_groups + 1)] if n_groups else [0]
        return [slice(a, b) for a, b in itertools.pairwise(cuts)]

    def _space(self, rows: slice, set_index: int) -> Workspace:
        """The workspace of a group, with the wanted points in place."""
        n = max(2, rows.stop - rows.start)
        set_index %= self.n_sets
        if n not in self._spaces:
            self._spaces[n] = Workspace(
                self.layout, n, self._points.shape[-1], self._values.shape[2], self.dtype, self.device
            )
        space = self._spaces[n]
        if self._bound.get(n) != (rows.start, set_index):
            targets = self._targets[rows].expand(n) if rows.stop - rows.start == 1 else self._targets[rows]
            space.points[:, : self._points.shape[2]] = self._points[targets, set_index]
            space.target.copy_(self._values[targets, set_index])
            space.weights.copy_(self._weights[targets, set_index])
            self._bound[n] = (rows.start, set_index)
        return space
