r"""From a target to words for the slope decoder: samples of all cells, the scale of the digits, what the error is.

Cells are reflected: a walk starts at an even knot of the grid of ``N`` cells and ends at an odd one. Its ``M`` nodes
are ``h = 1 / (N (M + dead))`` apart, the first one ``dead h`` away from the even knot, the last one the odd knot. All
numbers in units are multiples of the scale ``s``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from approxrates.constructions.encoders.slopes import Floats, SlopePaths, encode, errors_at
from approxrates.layers import Dyadic, nearest
from approxrates.target import Target

SCALES = (4.0, 2.0, 1.4, 1.2, 1.0, 0.85)
"""Scales that are tried, in multiples of the largest second difference; the first one is the scale of the proof."""

MOST_STEPS = 1 << 24
"""Steps in all: gigabytes of samples."""

PER_STEP = 8
"""Samples per step of the bound; the digits are chosen on half of them."""


@dataclass(frozen=True)
class CellCodes:
    """What a slope network stores, and what is known of its error.

    Attributes:
        scale: The unit ``s``.
        slope_digits: Number ``I`` of digits of the first slope; ``dead = 2^-(I + 2)``.
        paths: Digits of all cells, in units.
        starts: Values at the ``N + 1`` knots, not negative, to which ``lowest`` is to be added.
        lowest: See there.
        ceiling: Power of two above all of ``starts``.
        rest: Largest distance of a path's end from the odd knot's value, in units, rounded up.
        slack: ``Gamma``: a path is within ``rest + Gamma (M - y)`` of the odd knot's value, and so is any number
            between 0 and the ceiling at ``y = 0``.
        ramp: Index ramps are ``2^-ramp`` wide.
        bound: Bound on the error, see :func:`cell_codes`.
    """

    scale: Dyadic
    slope_digits: int
    paths: SlopePaths
    starts: tuple[Dyadic, ...]
    lowest: Dyadic
    ceiling: Dyadic
    rest: Dyadic
    slack: int
    ramp: int
    bound: float


@dataclass(frozen=True)
class CellMesh:
    """Samples of a target on all cells; the dead zone is ``2^-(slope_digits + 2)`` steps."""

    target: Target
    cells: int
    steps: int
    slope_digits: int

    @property
    def dead(self) -> float:
        """Dead zone in steps."""
        return math.ldexp(1.0, -self.slope_digits - 2)

    @property
    def spacing(self) -> float:
        """Distance ``h`` of nodes."""
        return 1.0 / (self.cells * (self.steps + self.dead))

    @cached_property
    def knots(self) -> Floats:
        """Values at the knots."""
        values: Floats = self.target(np.arange(self.cells + 1) / self.cells)
        return values

    @cached_property
    def values(self) -> Floats:
        """Values from the first node of each cell to the odd knot, ``PER_STEP`` per step, one row per cell."""
        place = (self.dead + np.arange(self.steps * PER_STEP + 1) / PER_STEP) / (self.steps + self.dead)
        cell = np.arange(self.cells)[:, None]
        x = np.where(cell % 2 == 0, cell + place, cell + (1.0 - place)) / self.cells
        values: Floats = self.target(np.clip(x, 0.0, 1.0).ravel()).reshape(x.shape)
        return values

    def difference(self, order: int) -> float:
        """Largest difference of an order at nodes."""
        nodes = self.values[:, ::PER_STEP]
        return float(np.abs(np.diff(nodes, order, axis=1)).max())

    def unit(self, order: int) -> float:
        """The largest difference; where it is smaller, 2^-40 of the largest value, which float64 values can tell."""
        regularity = self.target.regularity
        floor = (float(np.abs(self.values).max()) or 1.0) * 2.0**-40
        if regularity.radius:
            floor = max(floor, regularity.radius * float(self.spacing**regularity.smoothness) / 64.0)
        return max(self.difference(order), floor)

    @property
    def even(self) -> NDArray[np.int64]:
        """Number of the even knot of each cell."""
        cell = np.arange(self.cells)
        return cell + cell % 2

    @property
    def odd(self) -> NDArray[np.int64]:
        """Number of the odd knot of each cell."""
        cell = np.arange(self.cells)
        return cell + 1 - cell % 2

    def gap(self, length: float) -> float:
        """Distance of the target from its chord over an interval: ``radius length^r / 4`` if the radius is declared.

        ``f - chord`` is ``t (1 - t) length`` times the difference of two values of ``f'``, at most ``length`` apart.
        """
        regularity = self.target.regularity
        radius = 0.0 if regularity.radius is None else regularity.radius
        return radius * float(length**regularity.smoothness) / 4.0


def slope_digits(target: Target, cells: int, steps: int) -> int:
    """Digits that the first slopes need at the finest scale that is tried."""
    mesh = CellMesh(target, cells, steps, 60)
    unit = SCALES[-1] * mesh.unit(2)
    first = np.abs(mesh.values[:, PER_STEP] - mesh.values[:, 0]).max()
    return math.ceil(math.log2(float(first) / unit + 4.0)) + 1


def cell_codes(target: Target, cells: int, steps: int, n_digits: int) -> CellCodes:
    """The codes of the scale with the least bound.

    The bound covers every point of ``[0, 1]`` if the target declares its radius: between samples the target is off its
    chord by at most ``radius (h / 8)^r / 4``, and a path is linear there; in dead zones and index ramps see
    :mod:`approxrates.constructions.deep_slopes`. It takes target values to be good to ``2^-46`` of their size and of
    the slope. Without a radius it covers the samples only.
    """
    mesh = CellMesh(target, cells, steps, n_digits)
    return min((_codes(mesh, factor) for factor in SCALES), key=lambda codes: codes.bound)


def _codes(mesh: CellMesh, factor: float) -> CellCodes:
    """Codes with a given scale."""
    wanted = factor * mesh.unit(2)
    scale = nearest(wanted, math.frexp(wanted)[1] - 12)
    unit = float(scale)
    quantum = math.frexp(unit)[1] - 10
    lowest = nearest(float(mesh.knots.min()), quantum) - Dyadic(1, quantum + 1)
    starts = tuple(nearest(float(value), quantum) - lowest for value in mesh.knots)
    held = np.array([float(start + lowest) for start in starts])
    ceiling = Dyadic(1, math.frexp(float(max(starts)))[1])
    samples = (mesh.values - held[mesh.even][:, None]) / unit
    chosen = encode(samples[:, ::2], PER_STEP // 2)
    paths = SlopePaths(chosen.slopes, chosen.digits, errors_at(samples, PER_STEP, chosen))
    if int(np.abs(paths.slopes + 0.5).max() + 0.5) > 1 << mesh.slope_digits - 1:
        raise ValueError(f"first slopes must have {mesh.slope_digits} digits. Got larger ones. Write slope_digits=...")
    away = np.abs(paths.nodes - ((held[mesh.odd] - held[mesh.even]) / unit)[:, None]).max(axis=0)
    rest = nearest(float(away[-1]) + 2.0**-9, -10)
    left = mesh.steps - np.arange(mesh.steps)
    need = max(float(((away[:-1] - float(rest)) / left).max()), float(ceiling) / unit / mesh.steps, 1.0)
    slack = 1 << math.ceil(math.log2(need))
    ramp = math.ceil(math.log2(mesh.cells * (mesh.steps + 1))) + max(mesh.slope_digits + 2, slack.bit_length() + 5)
    bound = _bound(mesh, unit, held, samples, paths, float(rest), slack, ramp)
    return CellCodes(scale, mesh.slope_digits, paths, starts, lowest, ceiling, rest, slack, ramp, bound)


def _bound(
    mesh: CellMesh,
    unit: float,
    held: Floats,
    samples: Floats,
    paths: SlopePaths,
    rest: float,
    slack: int,
    ramp: int,
) -> float:
    """The largest of the bounds on paths, on dead zones and on index ramps."""
    fine = mesh.gap(mesh.spacing / PER_STEP)
    on_paths = unit * float(paths.errors.max()) + fine
    rounded = float(np.abs(mesh.knots - held).max())
    in_dead = max(rounded, unit * float(np.abs(samples[:, 0]).max())) + mesh.gap(mesh.dead * mesh.spacing)
    width = math.ldexp(1.0, -ramp) / mesh.spacing
    last = unit * PER_STEP * float(np.abs(samples[:, -1] - samples[:, -2]).max())
    in_ramps = rounded + unit * (rest + slack * width) + width * last + fine
    rises = float(np.abs(np.diff(mesh.values, axis=1)).max()) * PER_STEP / mesh.spacing
    rounding = math.ldexp(float(np.abs(mesh.values).max()) + rises, -46)
    return max(on_paths, in_dead, in_ramps) + rounding
