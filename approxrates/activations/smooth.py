"""Activations without break-points: periodic ones (sine, snake) and smooth references (tanh, gelu, silu)."""

from __future__ import annotations

import math
from typing import Any

from approxrates.activations.base import Activation, Family, InitRule, Kernel

TWO_PI = 2.0 * math.pi
_ROOT_HALF = math.sqrt(0.5)
_ROOT_TWO_PI = math.sqrt(TWO_PI)


def _erf(z: Any, xp: Any) -> Any:
    """The error function of either module."""
    if hasattr(xp, "erf"):
        return xp.erf(z)
    from scipy.special import erf

    return erf(z)


def _sigmoid(z: Any, xp: Any) -> Any:
    """The logistic function of either module, without overflow."""
    if hasattr(xp, "sigmoid"):
        return xp.sigmoid(z)
    from scipy.special import expit

    return expit(z)


def _silu_slope(z: Any, xp: Any) -> Any:
    s = _sigmoid(z, xp)
    return s * (1.0 + z * (1.0 - s))


def _gelu_slope(z: Any, xp: Any) -> Any:
    return 0.5 * (1.0 + _erf(z * _ROOT_HALF, xp)) + z * xp.exp(-0.5 * z * z) / _ROOT_TWO_PI


def _silu_curvature(z: Any, xp: Any) -> Any:
    s = _sigmoid(z, xp)
    return s * (1.0 - s) * (2.0 + z * (1.0 - 2.0 * s))


def _gelu_curvature(z: Any, xp: Any) -> Any:
    return (2.0 - z * z) * xp.exp(-0.5 * z * z) / _ROOT_TWO_PI


def _tanh_curvature(z: Any, xp: Any) -> Any:
    t = xp.tanh(z)
    return -2.0 * t * (1.0 - t * t)


def _tanh_forward(z: Any, out: Any) -> None:
    import torch

    torch.tanh(z, out=out)


def _tanh_chain(z: Any, h: Any, delta: Any, scratch: Any) -> None:
    import torch

    torch.ops.aten.tanh_backward.grad_input(delta, h, grad_input=delta)


def sine(name: str, omega: float | None = None) -> Activation:
    """``sin(omega t)``; without ``omega`` the sine of period 1, ``sin(2 pi t)``, reduced to one period exactly."""
    if omega is not None and not 0.0 < omega < math.inf:
        raise ValueError(f"sin needs a positive frequency. Got {omega}. Write e.g. sin:30 for sin(30 t).")
    w = TWO_PI if omega is None else omega

    def forward(z: Any, out: Any) -> None:
        import torch

        torch.mul(z, w, out=out)
        out.sin_()

    def chain(z: Any, h: Any, delta: Any, scratch: Any) -> None:
        import torch

        cosine = torch.mul(z, w, out=scratch).cos_()
        delta.mul_(cosine.mul_(w))

    def reduced(z: Any, xp: Any) -> Any:
        return w * (z - xp.round(z) if omega is None else z)

    return Activation(
        name,
        Family.PERIODIC,
        lambda z, xp: xp.sin(reduced(z, xp)),
        lambda z, xp: w * xp.cos(reduced(z, xp)),
        period=TWO_PI / w,
        init=InitRule(hidden_scale=0.5 / w, first_scale=0.6 * TWO_PI / w),
        kernel=Kernel(forward, chain),
        curvature=lambda z, xp: -w * w * xp.sin(reduced(z, xp)),
    )


def snake(name: str, a: float = 1.0) -> Activation:
    """``t + sin(a t)^2 / a`` (Ziyin, Hartwig & Ueda 2020, arXiv:2006.08195): periodic but for its drift."""
    if not 0.0 < a < math.inf:
        raise ValueError(f"snake needs a positive frequency. Got {a}. Write e.g. snake:2.")

    def forward(z: Any, out: Any) -> None:
        import torch

        torch.mul(z, a, out=out)
        out.sin_()
        out.mul_(out)
        torch.add(z, out, alpha=1.0 / a, out=out)

    def chain(z: Any, h: Any, delta: Any, scratch: Any) -> None:
        import torch

        wave = torch.mul(z, 2.0 * a, out=scratch).sin_()
        delta.addcmul_(delta, wave)

    return Activation(
        name,
        Family.PERIODIC,
        lambda z, xp: z + xp.sin(a * z) ** 2 / a,
        lambda z, xp: 1.0 + xp.sin(2.0 * a * z),
        period=math.pi / a,
        drift=math.pi / a,
        init=InitRule(hidden_scale=0.5 / a, first_scale=2.0 / a),
        kernel=Kernel(forward, chain),
        curvature=lambda z, xp: 2.0 * a * xp.cos(2.0 * a * z),
    )


ROWS: tuple[Activation, ...] = (
    sine("sin"),
    snake("snake"),
    Activation(
        "tanh",
        Family.SMOOTH,
        lambda z, xp: xp.tanh(z),
        lambda z, xp: 1.0 - xp.tanh(z) ** 2,
        init=InitRule(hidden_scale=0.8, first_scale=1.5),
        kernel=Kernel(_tanh_forward, _tanh_chain, in_place=True),
        curvature=_tanh_curvature,
    ),
    Activation(
        "gelu",
        Family.SMOOTH,
        lambda z, xp: 0.5 * z * (1.0 + _erf(z * _ROOT_HALF, xp)),
        _gelu_slope,
        curvature=_gelu_curvature,
    ),
    Activation("silu", Family.SMOOTH, lambda z, xp: z * _sigmoid(z, xp), _silu_slope, curvature=_silu_curvature),
)
