r"""Directions in which symmetries of the network keep the training loss: zero modes that no stability is read off.

**Which symmetries.** Take hidden units that are *locally linear alike*: at every sampling point their activations are
``s(x) z`` with one and the same slope ``s(x)``. All units of a linear layer are; so are ReLU units that are active at
the same points, in particular copies into which one neuron was split. If the rows of ``V`` are their incoming weights
and biases, and the columns of ``C`` their outgoing weights, the next layer sees them through ``C diag(s(x)) V x``
alone, that is through ``s(x) C V x``. Hence ``V -> R V, C -> C R^-1`` changes no output as long as no unit changes its
pieces, for every invertible ``R``. The penalty ``gamma |theta|^2`` stays for orthogonal ``R``. So the symmetries of F
that depend on the parameters continuously have the directions ``dV = A V, dC = -C A``: ``A`` skew with a penalty, any
square matrix without one. Without a penalty biases may be moved through units of constant slope too, and weights of
dead units anyhow. In residual networks, where the units of all layers add up, ``A`` is one for all hidden layers.

**They are exact zero modes of the Hessian at critical points.** ``F(g theta) = F(theta)`` for the linear maps ``g =
exp(t G)`` and all parameters near. Differentiating by ``theta`` gives ``g' grad F(g theta) = grad F(theta)``, and then
by ``t`` at zero

    H G theta = -G' grad F(theta).

Where the gradient vanishes so does ``H G theta``: with no condition on the branch. With a penalty the critical points
are balanced, ``V V' = C' C``, since F then is stationary along symmetric ``A`` too; at a rank-one solution of a deep
linear network ``V`` and ``C`` have one direction ``u`` in unit space, and the ``h - 1`` rotations that move ``u`` are
all there are for each hidden layer. Away from critical points the identity says how far a direction is from a zero
mode.

**None** are there for odd activations such as tanh and smooth ones in general, whose symmetries are permutations and
signs, which are discrete; and none at zero parameters, where ``G theta = 0``.

Reference:
    Kunin, Sagastuy-Brena, Ganguli, Yamins & Tanaka (2021), arXiv:2012.04728: what symmetries of a loss say about its
    gradient and Hessian.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from approxrates.measurements.single_network import HiddenLayer, hidden_layers, matrices_of, sampling_points

if TYPE_CHECKING:
    from torch import Tensor

    from approxrates.backends import Layout
    from approxrates.measurements.base import Moment

TOLERANCE = 1e-6
"""A direction counts from where its tangent is longer than this share of the parameters' norm."""

NOISE = 1e-6
"""Tangents that are shorter never count: all parameters are zero up to noise."""

EDGE = 1e-3
"""Where slopes of two units may differ although they are alike: at points whose distance from the edges of both, where
their pre-activations vanish, is at most so much (as the sine of an angle at the origin of what the layer reads). ReLU
minimisers often have points on the edges of their units, and then rounding decides about the slope."""

MOST_NUMBERS = 5_000_000
"""Tangents of symmetries are written down up to so many numbers (40 MB, a few seconds)."""


@dataclass(frozen=True)
class Alike:
    """Units that are locally linear alike.

    Attributes:
        layers: Hidden layers that they belong to: one, or all of a residual network.
        units: Their places in the layer.
    """

    layers: tuple[int, ...]
    units: tuple[int, ...]


def symmetry_directions(
    moment: Moment, place: int, *, tolerance: float = TOLERANCE, edge: float = EDGE
) -> Tensor | None:
    """An orthonormal basis of the symmetry directions of one replica's training loss, ``[k, stride]``, float64.

    Args:
        moment: Replicas at a step of their training.
        place: Which of them.
        tolerance: Tangents are measured for generators of unit size; directions in which they are shorter than this
            share of the norm of the parameters are left out, for they move only units that are zero up to noise.
        edge: Slopes of two units may differ at points that are so near to the edges of both, see ``EDGE``.

    Returns:
        Rows of unit length, ``k = 0`` if there are no symmetries; None if there are too many to be written down.
    """
    import torch

    layout, penalty = moment.layout, moment.ensemble.l2_penalty
    row = moment.theta[place].detach().double()
    net = _Net(layout, matrices_of(layout, row), sampling_points(moment, place), edge)
    least = max(tolerance * float(row.square().sum().sqrt()), NOISE)
    penalised = penalty is not None and bool(penalty[place] > 0)
    wanted = net.rotations(least) if penalised else itertools.chain(net.maps(), net.shifts(), net.idle())
    most = MOST_NUMBERS // layout.stride
    tangents = list(itertools.islice(wanted, most + 1))
    if len(tangents) > most:
        return None
    if not tangents:
        return row.new_zeros(0, layout.stride)
    _, lengths, directions = torch.linalg.svd(torch.stack(tangents), full_matrices=False)
    chosen: Tensor = directions[lengths > least].contiguous()
    return chosen


class _Net:
    """One network at its sampling points, with the tangents of its symmetries.

    Args:
        layout: Shape of the network.
        matrices: Of each layer ``[n_out, n_in + 1]``, biases last.
        points: Sampling points ``[dim, m]``.
        edge: See ``EDGE``.
    """

    def __init__(self, layout: Layout, matrices: Sequence[Tensor], points: Tensor, edge: float) -> None:
        self.layout, self.matrices = layout, matrices
        self.layers = hidden_layers(layout, matrices, points)
        self.slopes = [_slopes(layout, layer) for layer in self.layers]
        self.near = [
            _near(layer, matrix, edge) for layer, matrix in zip(self.layers, matrices[: layout.depth], strict=True)
        ]

    def alike(self) -> Iterator[Alike]:
        """Units that are locally linear alike, by comparison with the first of each class. Dead ones are left out."""
        every = tuple(range(self.layout.depth))
        for layers in [every] if self.layout.residual else [(layer,) for layer in every]:
            classes: list[list[int]] = []
            for unit in range(self.layout.width):
                known = [slope for layer in layers if (slope := self.slopes[layer][unit]) is not None]
                if len(known) == len(layers) and any(bool(slope.any()) for slope in known):
                    same = next((one for one in classes if self._match(layers, one[0], unit)), None)
                    (classes.append([unit]) if same is None else same.append(unit))
            yield from (Alike(layers, tuple(units)) for units in classes)

    def _match(self, layers: Sequence[int], first: int, second: int) -> bool:
        """Whether the slopes of two units are the same, but perhaps at points on the edges of both."""
        for layer in layers:
            a, b, near = self.slopes[layer][first], self.slopes[layer][second], self.near[layer]
            assert a is not None
            assert b is not None
            if not bool(((a == b) | (near[first] & near[second])).all()):
                return False
        return True

    def rotations(self, least: float) -> Iterator[Tensor]:
        """Tangents of the rotations of units that are alike, ``[stride]`` each.

        Generators turn two axes of an orthonormal system in which the units' weights are as few rows as possible: of
        axes along which all weights are shorter than ``least`` only one is turned.
        """
        import torch

        for alike in self.alike():
            units = list(alike.units)
            sides = [self.matrices[layer][units] for layer in alike.layers]
            sides += [self.matrices[layer + 1][:, units].T for layer in alike.layers]
            axes, lengths, _ = torch.linalg.svd(torch.cat(sides, 1))
            for p in range(int((lengths > least).sum())):
                for q in range(p + 1, len(units)):
                    turn = torch.outer(axes[:, p], axes[:, q])
                    yield self._tangent(alike, (turn - turn.T) / math.sqrt(2.0))

    def maps(self) -> Iterator[Tensor]:
        """Tangents of all linear maps of units that are alike."""
        for alike in self.alike():
            n = len(alike.units)
            for p, q in itertools.product(range(n), repeat=2):
                generator = self.matrices[0].new_zeros(n, n)
                generator[p, q] = 1.0
                yield self._tangent(alike, generator)

    def shifts(self) -> Iterator[Tensor]:
        """Tangents that move a unit's bias and undo it behind the unit, where its slope is the same at all points."""
        layout = self.layout
        for layer, unit in itertools.product(range(layout.depth if layout.bias else 0), range(layout.width)):
            slope = self.slopes[layer][unit]
            if slope is None or not bool((slope == slope[0]).all()) or not bool(slope[0]):
                continue
            tangent = self.matrices[0].new_zeros(layout.stride)
            blocks = matrices_of(self.layout, tangent)
            blocks[layer][unit, -1] = 1.0
            for later in range(layer + 1, layout.depth + 1 if layout.residual else layer + 2):
                blocks[later][:, -1] -= slope[0] * self.matrices[later][:, unit]
            yield tangent

    def idle(self) -> Iterator[Tensor]:
        """Unit vectors of the parameters that no output depends on: before units that are dead, behind silent ones."""
        for layer, seen in enumerate(self.layers):
            # At a break-point a unit is dead to one side only.
            inside = (seen.given != 0).all(1)
            dead = ((self.layout.activation.derivative(seen.given) == 0).all(1) & inside).nonzero().flatten().tolist()
            silent = ((seen.handed_on == 0).all(1) & inside).nonzero().flatten().tolist()
            before, behind = self.matrices[layer].shape[1], self.matrices[layer + 1].shape[0]
            places = [(layer, unit, column) for unit in dead for column in range(before)]
            for number, row, column in places + [(layer + 1, row, unit) for unit in silent for row in range(behind)]:
                tangent = self.matrices[0].new_zeros(self.layout.stride)
                matrices_of(self.layout, tangent)[number][row, column] = 1.0
                yield tangent

    def _tangent(self, alike: Alike, generator: Tensor) -> Tensor:
        """The direction ``dV = A V, dC = -C A``, ``[stride]``, of a generator ``A`` of the maps of some units."""
        tangent, units = generator.new_zeros(self.layout.stride), list(alike.units)
        blocks = matrices_of(self.layout, tangent)
        for layer in alike.layers:
            blocks[layer][units] += generator @ self.matrices[layer][units]
            blocks[layer + 1][:, units] -= self.matrices[layer + 1][:, units] @ generator
        return tangent


def _slopes(layout: Layout, layer: HiddenLayer) -> list[Tensor | None]:
    """Of every unit of a hidden layer its slopes ``[m]`` if it is locally linear, else None."""
    kinds = {kind.name: kind for kind in layout.activation.parts or (layout.activation,)}
    straight = [kinds[name].piecewise_linear for name in layout.activation.units(layout.width)]
    values, slopes = layout.activation(layer.given), layout.activation.derivative(layer.given)
    # On a piece that passes through the origin, up to rounding.
    linear = ((values - slopes * layer.given).abs() <= 1e-14 * layer.given.abs()).all(1).tolist()
    return [slope if all(good) else None for slope, *good in zip(slopes, linear, straight, strict=True)]


def _near(layer: HiddenLayer, matrix: Tensor, edge: float) -> Tensor:
    """Which points are how near to the edge of each unit, ``[width, m]``; none to that of a unit without weights."""
    sizes = _norms(matrix, 1)[:, None] * _norms(layer.inputs, 0)
    near: Tensor = (layer.given.abs() <= edge * sizes) & (sizes > 0)
    return near


def _norms(matrix: Tensor, axis: int) -> Tensor:
    """Euclidean norms along an axis."""
    return matrix.square().sum(axis).sqrt()
