"""Networks written down from proofs: one theorem per file, found by name."""

from __future__ import annotations

from typing import Any

from approxrates.constructions import interpolation
from approxrates.constructions.base import Theorem
from approxrates.network import Network
from approxrates.target import Target

__all__ = ["Theorem", "construct", "describe", "names"]

_THEOREMS: dict[str, Theorem] = {theorem.name: theorem for theorem in (interpolation.THEOREM,)}


def names() -> list[str]:
    """Names of all constructions."""
    return list(_THEOREMS)


def describe(name: str) -> Theorem:
    """What a construction declares: statement, reference, rate law, count law, dimensions.

    Raises:
        ValueError: For an unknown name, listing the known ones.
    """
    if name not in _THEOREMS:
        raise ValueError(f"construction must be one of {', '.join(_THEOREMS)}. Got {name!r}.")
    return _THEOREMS[name]


def construct(name: str, target: Target, *, n_params: int | None = None, **options: Any) -> Network:
    """The largest network of a construction with at most ``n_params`` non-zero weights and biases.

    Args:
        name: One of :func:`names`.
        target: The function to approximate.
        n_params: Upper limit on ``Network.n_params``.
        **options: Of the construction; ``interpolation`` takes ``cells``, the number of cells per axis.

    Returns:
        A Network whose provenance records the construction, its size and the target.

    Raises:
        ValueError: For an unknown name, a limit that is too small (saying the least), or a target that does not fit.
        TypeError: For an unknown option, or a target that is no Target.

    Example:
        >>> from approxrates.regularity import Regularity
        >>> target = Target.from_callable(lambda x: x[:, 0] ** 2, Regularity(smoothness=2.0, dim=1), name="square")
        >>> network = construct("interpolation", target, n_params=100)
        >>> network.n_params, network.depth, network.width
        (98, 1, 33)
    """
    theorem = describe(name)
    if not isinstance(target, Target):
        raise TypeError(f"target must be a Target. Got {type(target).__name__}. Write ar.load_target(...).")
    if target.dim not in theorem.dims:
        known = ", ".join(map(str, theorem.dims))
        raise ValueError(f"{name} is built for dim {known}. Got dim={target.dim}. Use a target of another dimension.")
    try:
        return theorem.build(target, n_params=n_params, **options)
    except TypeError as error:
        if "unexpected keyword" in str(error):
            raise TypeError(
                f"{name} does not know an option that was given: {error}. Write help(ar.construct)."
            ) from None
        raise
