"""Networks written down from proofs: one theorem per file, found by name.

:func:`names` lists the theorems, :func:`describe` tells what one declares (statement, source, error law, count law),
:func:`construct` builds the largest network that fits under a limit. A theorem's module is loaded on first use.
"""

from __future__ import annotations

import functools
import importlib
import math
from typing import Any

from approxrates.constructions.base import Theorem
from approxrates.network import Network
from approxrates.target import Target

__all__ = ["Theorem", "construct", "describe", "names"]

_PLACES: dict[str, tuple[str, str]] = {
    "interpolation": ("interpolation", "THEOREM"),
    "yarotsky2017_square": ("squaring", "SQUARE"),
    "yarotsky2017_product": ("squaring", "PRODUCT"),
    "yarotsky2017_taylor": ("local_taylor", "THEOREM"),
    "takagi_exponential": ("self_similar", "THEOREM"),
    "yarotsky2020_periodic": ("periodic", "THEOREM"),
    "yarotsky2020_fixed_width": ("fixed_width", "THEOREM"),
    "yarotsky2020_deep": ("deep", "THEOREM"),
    "yarotsky2020_deep_line": ("deep_line", "THEOREM"),
    "yarotsky2020_deep_plane": ("deep_plane", "THEOREM"),
    "yarotsky2020_deep_slopes": ("deep_slopes", "THEOREM"),
    "yarotsky2020_deep_taylor": ("deep_taylor", "THEOREM"),
}
"""Module and attribute of each theorem."""


def names() -> list[str]:
    """Names of all constructions."""
    return list(_PLACES)


def describe(name: str) -> Theorem:
    """What a construction declares: statement, reference, error law, count law, dimensions, smoothness.

    Raises:
        ValueError: For an unknown name, listing the known ones.

    Example:
        >>> describe("yarotsky2017_square").count_law
        '8 m - 3 (dense: 12 m - 7)'
    """
    if not isinstance(name, str) or name not in _PLACES:
        raise ValueError(f"construction must be one of {', '.join(_PLACES)}. Got {name!r}.")
    return _loaded(name)


@functools.cache
def _loaded(name: str) -> Theorem:
    """The theorem of a known name; its module is imported here."""
    module, attribute = _PLACES[name]
    theorem = getattr(importlib.import_module(f"approxrates.constructions.{module}"), attribute)
    assert isinstance(theorem, Theorem)
    return theorem


def construct(
    name: str,
    target: Target,
    *,
    n_params: int | None = None,
    activation: str = "relu",
    tolerance: float | None = None,
    **options: Any,
) -> Network:
    """The largest network of a construction with at most ``n_params`` non-zero weights and biases.

    Args:
        name: One of :func:`names`.
        target: The function to approximate.
        n_params: Upper limit on ``Network.n_params``.
        activation: What the ReLU units of the construction are compiled to; see ``compile_network``. Of another one
            than ``"relu"`` the limit counts the compiled network, and the largest of a few sizes that fits is returned.
        tolerance: Largest change of the output by compiling; by default a thousandth of the network's own bound.
        **options: Of the construction, for instance a size in place of the limit: ``cells`` of ``interpolation``,
            ``steps`` of ``yarotsky2017_square``. The ``build`` function of its module tells them.

    Returns:
        A Network whose provenance records the construction, its sizes, the target, and where the construction proves
        one a ``bound`` on the sup error.

    Raises:
        ValueError: For an unknown name, a limit that is too small (saying the least), or a target whose dimension or
            smoothness the construction is not built for.
        TypeError: For an unknown option, or a target that is no Target.

    Example:
        >>> from approxrates.regularity import Regularity
        >>> target = Target.from_callable(lambda x: x[:, 0] ** 2, Regularity(smoothness=2.0, dim=1), name="square")
        >>> network = construct("interpolation", target, n_params=100)
        >>> network.n_params, network.depth, network.width
        (98, 1, 33)
    """
    theorem = describe(name)
    _check_target(theorem, target)
    theorem.check_options(options)
    if activation == "relu":
        return theorem.build(target, n_params=n_params, **options)
    from approxrates.constructions.compiler import largest_compiled

    return largest_compiled(
        lambda limit: theorem.build(target, n_params=limit, **options), n_params, activation, tolerance
    )


def _check_target(theorem: Theorem, target: Target) -> None:
    """Refuse targets that a theorem is not built for."""
    if not isinstance(target, Target):
        raise TypeError(f"target must be a Target. Got {type(target).__name__}. Write ar.load_target(...).")
    if target.dim not in theorem.dims:
        known = ", ".join(map(str, theorem.dims))
        raise ValueError(
            f"{theorem.name} is built for dim {known}. Got dim={target.dim}. Use a target of another dimension."
        )
    low, high = theorem.smoothness
    if not low < target.regularity.smoothness <= high:
        span = f"above {low:g}" if math.isinf(high) else f"in ({low:g}, {high:g}]"
        raise ValueError(
            f"{theorem.name} is built for smoothness {span}. Got smoothness={target.regularity.smoothness:g}. "
            "Use a target of that smoothness, or another construction."
        )
