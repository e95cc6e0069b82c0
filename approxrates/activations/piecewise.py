"""Piecewise-polynomial activations: constant, linear, powers, B-splines and the triangle wave."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from approxrates.activations.base import Activation, Family, InitRule, Kernel, polynomials

LINEAR, POLYNOMIAL = Family.PIECEWISE_LINEAR, Family.PIECEWISE_POLYNOMIAL

# Chosen by what Adam reached in 500 steps on rough and smooth 1-D targets at width 8 and depth 4 to 24.
HINGE = InitRule(pass_through=0.5)
POWER = InitRule(hidden_scale=0.5, pass_through=0.75, margin=1.0)
CUBE = InitRule(hidden_scale=0.5, pass_through=0.75, margin=2.0)


def _positive(z: Any, xp: Any) -> Any:
    """``max(z, 0)``, keeping nan."""
    return xp.clip(z, 0, None)


def _relu_forward(z: Any, out: Any) -> None:
    import torch

    torch.clamp_min(z, 0, out=out)


def _relu_chain(z: Any, h: Any, delta: Any, scratch: Any) -> None:
    import torch

    torch.ops.aten.threshold_backward.grad_input(delta, h, 0, grad_input=delta)


def _abs_forward(z: Any, out: Any) -> None:
    import torch

    torch.abs(z, out=out)


def _abs_chain(z: Any, h: Any, delta: Any, scratch: Any) -> None:
    import torch

    delta.mul_(torch.sign(z, out=scratch))


def _hard_tanh_forward(z: Any, out: Any) -> None:
    import torch

    torch.clamp(z, -1, 1, out=out)


def _hard_tanh_chain(z: Any, h: Any, delta: Any, scratch: Any) -> None:
    import torch

    torch.ops.aten.hardtanh_backward.grad_input(delta, h, -1, 1, grad_input=delta)


def _relu2_forward(z: Any, out: Any) -> None:
    import torch

    torch.clamp_min(z, 0, out=out)
    out.mul_(out)


def _relu2_chain(z: Any, h: Any, delta: Any, scratch: Any) -> None:
    import torch

    twice = torch.clamp_min(z, 0, out=scratch)
    delta.mul_(twice.add_(twice))


def _relu3_forward(z: Any, out: Any) -> None:
    import torch

    torch.clamp_min(z, 0, out=out)
    out.pow_(3)


def _relu3_chain(z: Any, h: Any, delta: Any, scratch: Any) -> None:
    import torch

    square = torch.clamp_min(z, 0, out=scratch)
    square.mul_(square)
    delta.mul_(square.mul_(3))


def _xabsx_forward(z: Any, out: Any) -> None:
    import torch

    torch.abs(z, out=out)
    out.mul_(z)


def _xabsx_chain(z: Any, h: Any, delta: Any, scratch: Any) -> None:
    import torch

    twice = torch.abs(z, out=scratch)
    delta.mul_(twice.add_(twice))


def _quadratic_bspline(z: Any, xp: Any) -> Any:
    """Cardinal B-spline of degree 2 on [-3/2, 3/2], by truncated powers."""
    outer, inner = _positive(1.5 - abs(z), xp), _positive(0.5 - abs(z), xp)
    return 0.5 * outer * outer - 1.5 * inner * inner


def _quadratic_bspline_slope(z: Any, xp: Any) -> Any:
    outer, inner = _positive(1.5 - abs(z), xp), _positive(0.5 - abs(z), xp)
    return xp.sign(z) * (3.0 * inner - outer)


def _cubic_bspline(z: Any, xp: Any) -> Any:
    """Cardinal B-spline of degree 3 on [-2, 2], by truncated powers."""
    outer, inner = _positive(2.0 - abs(z), xp), _positive(1.0 - abs(z), xp)
    return (outer * outer * outer - 4.0 * inner * inner * inner) / 6.0


def _cubic_bspline_slope(z: Any, xp: Any) -> Any:
    outer, inner = _positive(2.0 - abs(z), xp), _positive(1.0 - abs(z), xp)
    return xp.sign(z) * (2.0 * inner * inner - 0.5 * outer * outer)


def _quadratic_bspline_curvature(z: Any, xp: Any) -> Any:
    return xp.sign(_positive(1.5 - abs(z), xp)) - 3.0 * xp.sign(_positive(0.5 - abs(z), xp))


def _cubic_bspline_curvature(z: Any, xp: Any) -> Any:
    return _positive(2.0 - abs(z), xp) - 4.0 * _positive(1.0 - abs(z), xp)


def _triangle(z: Any, xp: Any) -> Any:
    """``4t`` folded at +-1; the reduction to one period is exact in floating point."""
    t = z - xp.round(z)
    return xp.minimum(xp.maximum(4.0 * t, -2.0 - 4.0 * t), 2.0 - 4.0 * t)


def _triangle_slope(z: Any, xp: Any) -> Any:
    t = z - xp.round(z)
    return 4.0 * xp.sign(0.25 - abs(t))


def leaky_relu(name: str, slope: float) -> Activation:
    """``max(z, slope z)``."""
    if not 0.0 < slope < 1.0:
        raise ValueError(f"leaky_relu needs a slope between 0 and 1. Got {slope}. Write e.g. leaky_relu:0.1.")

    def forward(z: Any, out: Any) -> None:
        import torch

        torch.ops.aten.leaky_relu.out(z, slope, out=out)

    def chain(z: Any, h: Any, delta: Any, scratch: Any) -> None:
        import torch

        torch.ops.aten.leaky_relu_backward.grad_input(delta, h, slope, True, grad_input=delta)

    return Activation(
        name,
        LINEAR,
        lambda z, xp: xp.where(z < 0, slope * z, z),
        lambda z, xp: xp.where(z > 0, z * 0 + 1.0, z * 0 + slope),
        degree=1,
        breakpoints=(0.0,),
        pieces=polynomials((0, slope), (0, 1)),
        init=HINGE,
        kernel=Kernel(forward, chain, in_place=True),
    )


_SIXTH = Fraction(1, 6)
ROWS: tuple[Activation, ...] = (
    Activation(
        "relu",
        LINEAR,
        _positive,
        lambda z, xp: xp.where(z > 0, z * 0 + 1.0, z * 0),
        degree=1,
        breakpoints=(0.0,),
        pieces=polynomials((0,), (0, 1)),
        init=HINGE,
        kernel=Kernel(_relu_forward, _relu_chain, in_place=True),
    ),
    leaky_relu("leaky_relu", 0.01),
    Activation(
        "hard_tanh",
        LINEAR,
        lambda z, xp: xp.clip(z, -1.0, 1.0),
        lambda z, xp: xp.where(abs(z) < 1, z * 0 + 1.0, z * 0),
        degree=1,
        breakpoints=(-1.0, 1.0),
        pieces=polynomials((-1,), (0, 1), (1,)),
        kernel=Kernel(_hard_tanh_forward, _hard_tanh_chain, in_place=True),
    ),
    Activation(
        "abs",
        LINEAR,
        lambda z, xp: abs(z),
        lambda z, xp: xp.sign(z),
        degree=1,
        breakpoints=(0.0,),
        pieces=polynomials((0, -1), (0, 1)),
        init=HINGE,
        kernel=Kernel(_abs_forward, _abs_chain),
    ),
    Activation(
        "relu2",
        POLYNOMIAL,
        lambda z, xp: _positive(z, xp) ** 2,
        lambda z, xp: 2.0 * _positive(z, xp),
        degree=2,
        breakpoints=(0.0,),
        pieces=polynomials((0,), (0, 0, 1)),
        init=POWER,
        kernel=Kernel(_relu2_forward, _relu2_chain),
        curvature=lambda z, xp: 2.0 * xp.sign(_positive(z, xp)),
    ),
    Activation(
        "relu3",
        POLYNOMIAL,
        lambda z, xp: _positive(z, xp) ** 3,
        lambda z, xp: 3.0 * _positive(z, xp) ** 2,
        degree=3,
        breakpoints=(0.0,),
        pieces=polynomials((0,), (0, 0, 0, 1)),
        init=CUBE,
        kernel=Kernel(_relu3_forward, _relu3_chain),
        curvature=lambda z, xp: 6.0 * _positive(z, xp),
    ),
    Activation(
        "quadratic_bspline",
        POLYNOMIAL,
        _quadratic_bspline,
        _quadratic_bspline_slope,
        degree=2,
        breakpoints=(-1.5, -0.5, 0.5, 1.5),
        pieces=polynomials((0,), (1.125, 1.5, 0.5), (0.75, 0, -1), (1.125, -1.5, 0.5), (0,)),
        curvature=_quadratic_bspline_curvature,
    ),
    Activation(
        "cubic_bspline",
        POLYNOMIAL,
        _cubic_bspline,
        _cubic_bspline_slope,
        degree=3,
        breakpoints=(-2.0, -1.0, 0.0, 1.0, 2.0),
        pieces=polynomials(
            (0,),
            (8 * _SIXTH, 2, 1, _SIXTH),
            (4 * _SIXTH, 0, -1, -0.5),
            (4 * _SIXTH, 0, -1, 0.5),
            (8 * _SIXTH, -2, 1, -_SIXTH),
            (0,),
        ),
        curvature=_cubic_bspline_curvature,
    ),
    Activation(
        "xabsx",
        POLYNOMIAL,
        lambda z, xp: z * abs(z),
        lambda z, xp: 2.0 * abs(z),
        degree=2,
        breakpoints=(0.0,),
        pieces=polynomials((0, 0, -1), (0, 0, 1)),
        init=POWER,
        kernel=Kernel(_xabsx_forward, _xabsx_chain),
        curvature=lambda z, xp: 2.0 * xp.sign(z),
    ),
    Activation(
        "triangle",
        Family.PERIODIC,
        _triangle,
        _triangle_slope,
        degree=1,
        breakpoints=(0.25, 0.75),
        period=1.0,
        pieces=polynomials((2, -4), (-4, 4)),
        init=InitRule(hidden_scale=0.08, first_scale=0.6),
    ),
    Activation(
        "heaviside",
        Family.PIECEWISE_CONSTANT,
        lambda z, xp: xp.where(z >= 0, z * 0 + 1.0, z * 0),
        degree=0,
        breakpoints=(0.0,),
        pieces=polynomials((0,), (1,)),
    ),
    Activation(
        "floor",
        Family.PIECEWISE_CONSTANT,
        lambda z, xp: xp.floor(z),
        degree=0,
        breakpoints=(0.0,),
        period=1.0,
        drift=1.0,
        pieces=polynomials((0,)),
    ),
)
