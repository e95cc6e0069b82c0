"""Networks to and from torch: a plain ``nn.Sequential`` of ``nn.Linear`` and activation modules.

A sparse layer becomes an ordinary ``nn.Linear`` with its structural zeros written out: torch's sparse matrices take
no part in most of what modules are used for. That is ``n_params_dense`` scalars, and there is a limit to it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from approxrates import activations
from approxrates.layers import IDENTITY, AnyLayer, Dyadic, Layer, SparseLayer, dense, dyadic, unit_groups

_DTYPES = {"float64": torch.float64, "float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_MANTISSA = {torch.float64: 53, torch.float32: 24, torch.float16: 11, torch.bfloat16: 8}
_MAX_SCALARS = 100_000_000
"""Scalars of the largest module that is made (800 MB in float64)."""


class Unitwise(nn.Module):
    """An activation code for each unit, applied along the last axis: what torch has no module for."""

    def __init__(self, codes: Sequence[str]) -> None:
        super().__init__()
        self.codes = tuple(codes)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Values ``sigma(z)``, shape ``(..., units)`` like ``z``."""
        groups = unit_groups(self.codes)
        if len(groups) == 1:
            return _apply(groups[0][0], z)
        parts, order = [], []
        for code, rows in groups:
            index = np.arange(len(self.codes))[rows]
            parts.append(_apply(code, z[..., torch.from_numpy(index)]))
            order.append(index)
        back = torch.from_numpy(np.argsort(np.concatenate(order)))
        return torch.cat(parts, dim=-1)[..., back]

    def extra_repr(self) -> str:
        """The codes, shortened."""
        return ", ".join(f"{np.arange(len(self.codes))[rows].size} x {code}" for code, rows in unit_groups(self.codes))


def _apply(code: str, z: torch.Tensor) -> torch.Tensor:
    """One activation of the table on a tensor."""
    values: torch.Tensor = z if code == IDENTITY else activations.get(code)(z)
    return values


_MODULES: dict[str, Any] = {
    "relu": nn.ReLU,
    "leaky_relu": functools.partial(nn.LeakyReLU, 0.01),
    "hard_tanh": nn.Hardtanh,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}


def layers_to_module(
    layers: Sequence[AnyLayer], dtype: Any = "float64", *, allow_rounding: bool = False
) -> nn.Sequential:
    """The network as ``nn.Sequential``; structural zeros become ordinary entries, as torch has no masks.

    Args:
        layers: The layers in order.
        dtype: ``"float64"``, ``"float32"``, ... or a torch dtype.
        allow_rounding: Accept weights that the dtype cannot hold exactly.

    Raises:
        ValueError: For a dtype that is no floating-point type, a network of more than 10^8 dense scalars, or, without
            ``allow_rounding``, a dtype that would round weights.
    """
    kind: Any = _DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if kind not in _DTYPES.values():
        raise ValueError(f"dtype must be one of {', '.join(_DTYPES)}. Got {dtype!r}. Write dtype='float64'.")
    scalars = sum(layer.n_params_dense for layer in layers)
    if scalars > _MAX_SCALARS:
        raise ValueError(
            f"a torch module must hold at most {_MAX_SCALARS:,} scalars, structural zeros included. Got {scalars:,}. "
            "Use fewer n_params, or call the network itself."
        )
    if not allow_rounding:
        _refuse_rounding(layers, kind)
    modules: list[nn.Module] = []
    for layer in (dense(layer, allow_rounding=allow_rounding) for layer in layers):
        linear = nn.Linear(layer.n_in, layer.n_out, bias=layer.bias is not None, dtype=kind)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(layer.weight))
            if layer.bias is not None:
                linear.bias.copy_(torch.from_numpy(layer.bias))
        modules.append(linear)
        if set(layer.activations) != {IDENTITY}:
            first = layer.activations[0]
            known = len(set(layer.activations)) == 1 and first in _MODULES
            modules.append(_MODULES[first]() if known else Unitwise(layer.activations))
    return nn.Sequential(*modules)


def _refuse_rounding(layers: Sequence[AnyLayer], dtype: torch.dtype) -> None:
    """Raise if some weight changes when it is stored in ``dtype``, saying what would be lost."""
    floats = [layer.parameters() for layer in layers if isinstance(layer, Layer)]
    values = torch.from_numpy(np.concatenate([np.zeros(0), *floats]))
    stored = values.to(dtype).to(torch.float64)
    changed = (stored != values) & values.isfinite()
    worst = float(((stored - values).abs() / values.abs())[changed].max()) if bool(changed.any()) else 0.0
    exact = [value for layer in layers if isinstance(layer, SparseLayer) for value in layer.entries()]
    after = torch.tensor([float(value) for value in exact], dtype=torch.float64).to(dtype).to(torch.float64).tolist()
    lost = [(value, _relative(value, kept)) for value, kept in zip(exact, after, strict=True)]
    lost = [(value, off) for value, off in lost if off]
    n_changed = int(changed.sum()) + len(lost)
    if not n_changed:
        return
    worst = max([worst, *(off for _, off in lost)])
    longest = max([*(value.bits for value, _ in lost), *(dyadic(v).bits for v in values[changed].tolist())])
    holds = _MANTISSA[dtype]
    enough = all(value.is_float() for value, _ in lost)
    mend = "Use dtype='float64'" if enough else "Call the network itself, which is exact"
    raise ValueError(
        f"dtype must hold the weights exactly. Got {dtype}, which would round {n_changed} of "
        f"{len(values) + len(exact)} weights, by up to {worst:.1e} of their size: it holds mantissas of {holds} bits, "
        f"the longest of these weights has {longest} and would lose {max(0, longest - holds)}. "
        f"{mend}, or write allow_rounding=True."
    )


def _relative(value: Dyadic, kept: float) -> float:
    """How far a stored number is from a weight, relative to it; 0 only if they are equal, at most infinite."""
    if not np.isfinite(kept):
        return float("inf")
    difference = abs(dyadic(kept) - value)
    if not difference:
        return 0.0
    scale = -value.exponent - value.bits  # brings the weight between 1/2 and 1
    return max(float(difference << scale) / float(abs(value) << scale), 5e-324)


def layers_from_module(module: Any) -> tuple[Layer, ...]:
    """Layers of an ``nn.Sequential`` (nested ones too) or a list of modules; shorter floats are exact in float64.

    Raises:
        TypeError: If ``module`` is neither.
        ValueError: For a module that is neither ``nn.Linear`` nor a known activation, or an activation before the
            first linear map.
    """
    if not isinstance(module, (nn.Sequential, nn.ModuleList, list, tuple)):
        raise TypeError(
            f"module must be an nn.Sequential or a list of modules. Got {type(module).__name__}. "
            "Write nn.Sequential(...)."
        )
    layers: list[Layer] = []
    for part in _flat(module):
        if isinstance(part, nn.Linear):
            bias = None if part.bias is None else _array(part.bias)
            layers.append(Layer(_array(part.weight), bias, (IDENTITY,) * part.out_features))
            continue
        codes = _codes(part, layers[-1].n_out if layers else None)
        last = layers[-1]
        if any(code != IDENTITY for code in codes):
            if set(last.activations) != {IDENTITY}:
                raise ValueError(
                    f"each nn.Linear must be followed by at most one activation. Got a second one, {part}. Merge them."
                )
            layers[-1] = Layer(last.weight, last.bias, codes)
    if not layers:
        raise ValueError("module must hold at least one nn.Linear. Got none.")
    return tuple(layers)


def _flat(module: Iterable[Any]) -> list[Any]:
    """Modules in order, nested sequences opened."""
    flat: list[Any] = []
    for part in module:
        flat.extend(_flat(part) if isinstance(part, (nn.Sequential, nn.ModuleList, list, tuple)) else [part])
    return flat


def _codes(part: Any, width: int | None) -> tuple[str, ...]:
    """Activation codes that a module stands for, one per unit."""
    if width is None:
        raise ValueError(f"module must begin with nn.Linear. Got {part} first.")
    if isinstance(part, Unitwise):
        return part.codes
    exact_gelu = isinstance(part, nn.GELU) and part.approximate == "none"
    table = {
        IDENTITY: isinstance(part, nn.Identity),
        "relu": isinstance(part, nn.ReLU),
        "tanh": isinstance(part, nn.Tanh),
        "silu": isinstance(part, nn.SiLU),
        "gelu": exact_gelu,
        "hard_tanh": isinstance(part, nn.Hardtanh) and (part.min_val, part.max_val) == (-1.0, 1.0),
    }
    for code, matches in table.items():
        if matches:
            return (code,) * width
    if isinstance(part, nn.LeakyReLU) and 0.0 < part.negative_slope < 1.0:
        code = "leaky_relu" if part.negative_slope == 0.01 else f"leaky_relu:{part.negative_slope!r}"
        return (code,) * width
    raise ValueError(
        "module must consist of nn.Linear, nn.ReLU, nn.LeakyReLU, nn.Hardtanh, nn.Tanh, nn.GELU, nn.SiLU and "
        f"nn.Identity. Got {part}. Replace it."
    )


def _array(tensor: torch.Tensor) -> Any:
    """A float64 copy as numpy array."""
    return tensor.detach().to("cpu", torch.float64).numpy().copy()
