r"""From a target to words for the decoder of quadratic splines: the scale of the digits, and what the error is.

Cells, nodes and samples are those of :mod:`approxrates.constructions.encoders.slope_cells`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from approxrates.constructions.encoders.bends import BendPaths, encode
from approxrates.constructions.encoders.slope_cells import PER_STEP, CellMesh
from approxrates.constructions.encoders.slopes import Floats
from approxrates.layers import Dyadic, nearest
from approxrates.target import Target

SCALES = (8.0, 2.0, 1.4, 1.2, 1.0)
"""Scales that are tried, in multiples of the largest third difference; the first one is the scale of the proof."""

_MARGIN = 10.0  # units by which slopes and curvatures of a path may exceed those of the target
_PRODUCT_BITS = 4  # the product is good to 2^-6 units


@dataclass(frozen=True)
class BendSizes:
    """What the range of slopes and curvatures asks for.

    Attributes:
        slope_digits: Digits of the first slope.
        bend_digits: Digits of the first curvature.
        reach: Power of two: the slope of a path stays within it of the first slope of its cell.
        product_steps: Steps of the squares in the product.
    """

    slope_digits: int
    bend_digits: int
    reach: int
    product_steps: int


@dataclass(frozen=True)
class BendCodes:
    """What a network of quadratic splines stores; as ``CellCodes``, with ``paths`` of the other kind."""

    scale: Dyadic
    paths: BendPaths
    starts: tuple[Dyadic, ...]
    lowest: Dyadic
    ceiling: Dyadic
    rest: Dyadic
    slack: int
    ramp: int
    bound: float


def bend_sizes(target: Target, cells: int, steps: int) -> BendSizes:
    """Ranges of slopes and curvatures at the finest scale that is tried, with a margin."""
    mesh = CellMesh(target, cells, steps, 60)
    unit = SCALES[-1] * mesh.unit(3)
    rises = np.diff(mesh.values[:, ::PER_STEP], axis=1) / unit
    bend = float(np.abs(np.diff(rises[:, :2], axis=1)).max()) + _MARGIN
    slope = float(np.abs(rises[:, 0]).max()) + bend
    reach = math.ceil(math.log2(float(np.abs(rises - rises[:, :1]).max()) + bend + _MARGIN))
    product_steps = math.ceil((math.log2(steps) + reach + _PRODUCT_BITS) / 2)
    return BendSizes(math.ceil(math.log2(slope)) + 1, math.ceil(math.log2(bend)) + 1, 1 << reach, product_steps)


def bend_codes(target: Target, cells: int, steps: int, sizes: BendSizes) -> BendCodes:
    """The codes of the scale with the least bound.

    The bound covers every point of ``[0, 1]`` if the target declares its radius ``H``. Between samples ``f - path`` is
    off its chord by at most an eighth of ``length^2`` times its second derivative. On a step the path's is constant and
    the target's moves by at most ``H h^(r - 2)``; so there it is at most the largest second difference of samples of
    ``f - path``, over ``length^2``, plus ``H h^(r - 2)``. Without a radius the bound covers the samples only. Target
    values are taken to be good to ``2^-46`` of their size and of the slope.
    """
    mesh = CellMesh(target, cells, steps, sizes.slope_digits)
    found = [_codes(mesh, factor, sizes) for factor in SCALES]
    usable = [codes for codes in found if codes is not None]
    if not usable:
        raise ValueError(f"{target.name} must be as smooth as it declares. Got paths that leave their range.")
    return min(usable, key=lambda codes: codes.bound)


def _codes(mesh: CellMesh, factor: float, sizes: BendSizes) -> BendCodes | None:
    """Codes with a given scale; None if their slopes leave the range."""
    wanted = factor * mesh.unit(3)
    scale = nearest(wanted, math.frexp(wanted)[1] - 12)
    unit = float(scale)
    quantum = math.frexp(unit)[1] - 10
    lowest = nearest(float(mesh.knots.min()), quantum) - Dyadic(1, quantum + 1)
    starts = tuple(nearest(float(value), quantum) - lowest for value in mesh.knots)
    held = np.array([float(start + lowest) for start in starts])
    ceiling = Dyadic(1, math.frexp(float(max(starts)))[1])
    samples = (mesh.values - held[mesh.even][:, None]) / unit
    paths = encode(samples[:, ::2], PER_STEP // 2)
    nodes, slopes, _ = paths.states()
    if not _in_range(paths, slopes, sizes):
        return None
    away = np.abs(nodes[:, -1] - (held[mesh.odd] - held[mesh.even]) / unit).max()
    rest = nearest(float(away) + 2.0**-5, -10)
    need = max(float(np.abs(slopes).max()), float(ceiling) / unit / mesh.steps, 1.0)
    slack = 1 << math.ceil(math.log2(need))
    narrow = max(sizes.slope_digits + 2, slack.bit_length() + 5)
    ramp = math.ceil(math.log2(mesh.cells * (mesh.steps + 1))) + narrow
    width = math.ldexp(1.0 / mesh.spacing, -ramp)
    bound = _bound(mesh, unit, held, samples - paths.sampled(PER_STEP), (float(rest), slack, width))
    return BendCodes(scale, paths, starts, lowest, ceiling, rest, slack, ramp, bound)


def _in_range(paths: BendPaths, slopes: Floats, sizes: BendSizes) -> bool:
    """Whether digits can write the first slopes and curvatures, and products hold."""
    top, bend_top = 1 << sizes.slope_digits - 1, 1 << sizes.bend_digits - 1
    first = -top <= paths.slopes.min() and paths.slopes.max() < top
    second = -bend_top <= paths.bends.min() and paths.bends.max() < bend_top
    return bool(first and second and np.abs(slopes - slopes[:, :1]).max() <= sizes.reach)


def _bound(mesh: CellMesh, unit: float, held: Floats, off: Floats, clip: tuple[float, int, float]) -> float:
    """The largest of the bounds on paths, on dead zones and on index ramps."""
    regularity = mesh.target.regularity
    radius = 0.0 if regularity.radius is None else regularity.radius
    wobble = radius * float(mesh.spacing**regularity.smoothness)
    on_steps = off[:, :-1].reshape(len(off), mesh.steps, PER_STEP)
    on_steps = np.concatenate([on_steps, off[:, PER_STEP::PER_STEP, None]], axis=2)
    between = (unit * float(np.abs(np.diff(on_steps, 2, axis=2)).max()) + wobble / PER_STEP**2) / 8.0
    on_paths = unit * (float(np.abs(off).max()) + 2.0**-6) + between
    second = float(np.abs(np.diff(mesh.values, 2, axis=1)).max()) * PER_STEP**2 + wobble  # of f'' h^2
    rounded = float(np.abs(mesh.knots - held).max())
    in_dead = max(rounded, unit * float(np.abs(off[:, 0]).max())) + second * mesh.dead**2 / 8.0
    rest, slack, width = clip
    last = PER_STEP * float(np.abs(np.diff(mesh.values[:, -2:], axis=1)).max()) + second
    in_ramps = rounded + unit * (rest + slack * width) + last * width
    rises = float(np.abs(np.diff(mesh.values, axis=1)).max()) * PER_STEP / mesh.spacing
    rounding = math.ldexp(float(np.abs(mesh.values).max()) + rises, -46)
    return max(on_paths, in_dead, in_ramps) + rounding
