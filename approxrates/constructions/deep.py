"""The deep discontinuous phase, whatever the smoothness and the dimension: the layout that is built for them.

Yarotsky & Zhevnerchuk (2020), arXiv:1906.09477: for every ``r > 0`` and every ``a`` in ``[0, 1]`` networks of depth
about ``W^a`` reach ``error_sup ~ W^(-(1 + a) r / d)`` on the class of smoothness ``r``, up to logarithms, and none of
that depth does better. Here: one layout per range of smoothness and dimension, each a theorem of its own.
"""

from __future__ import annotations

import importlib
import math
from typing import Any

from approxrates.constructions.base import Theorem, deep_rate
from approxrates.network import Network
from approxrates.target import Target

_LAYOUTS = ("deep_line", "deep_slopes", "deep_taylor", "deep_plane")


def layouts() -> list[Theorem]:
    """The theorems that are dispatched to."""
    return [importlib.import_module(f"approxrates.constructions.{module}").THEOREM for module in _LAYOUTS]


def _options() -> tuple[str, ...]:
    """What any of the layouts takes."""
    return tuple(dict.fromkeys(option for theorem in layouts() for option in theorem.options))


def build(target: Target, *, n_params: int | None = None, **options: Any) -> Network:
    """The network of the layout for a target's dimension and smoothness.

    Args:
        target: Function to approximate.
        n_params: Upper limit on weights and biases.
        **options: Of the layout; see its module.

    Raises:
        ValueError: If no layout is built for them, saying which there are.
        TypeError: For an option that the layout does not have.
    """
    smoothness = target.regularity.smoothness
    for theorem in layouts():
        low, high = theorem.smoothness
        if target.dim in theorem.dims and low < smoothness <= high:
            theorem.check_options(options)
            return theorem.build(target, n_params=n_params, **options)
    known = "; ".join(f"d = {t.dims[0]}, {t.smoothness[0]:g} < r <= {t.smoothness[1]:g}" for t in layouts())
    raise ValueError(
        f"the deep phase is built for {known}. Got dim={target.dim}, smoothness={smoothness:g}. Use another target."
    )


def _layout(smoothness: float, dim: int) -> Theorem | None:
    """The layout for a smoothness and a dimension."""
    for theorem in layouts():
        low, high = theorem.smoothness
        if dim in theorem.dims and low < smoothness <= high:
            return theorem
    return None


def _lower_order(smoothness: float, dim: int, n_params: int, **options: Any) -> float:
    """That of the layout, 0 where it states none."""
    layout = _layout(smoothness, dim)
    if layout is None or layout.lower_order is None:
        return 0.0
    return layout.lower_order(smoothness, dim, n_params, **options)


def _depth_law(smoothness: float, dim: int, **options: Any) -> float:
    """That of the layout, NaN where it states none."""
    layout = _layout(smoothness, dim)
    return math.nan if layout is None or layout.depth_law is None else layout.depth_law(smoothness, dim, **options)


THEOREM = Theorem(
    name="yarotsky2020_deep",
    statement="Functions of smoothness r in d variables are within W^(-2 r / d) of ReLU networks with W weights and "
    "depth about W, up to logarithms: twice the exponent of any continuous choice of weights.",
    reference="Yarotsky & Zhevnerchuk (2020), arXiv:1906.09477",
    rate_law="error_sup ~ n_params^(-(1 + a) r / d), depth ~ n_params^a, 0 <= a <= 1",
    count_law="that of the layout, exact",
    dims=(1, 2),
    rate=deep_rate,
    build=build,
    lower_order=_lower_order,
    depth_law=_depth_law,
    further_options=_options,
)
