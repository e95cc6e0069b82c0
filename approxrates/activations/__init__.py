"""The table of activations: every network unit's function, looked up by name.

Names may carry a parameter, ``"sin:30"`` is ``sin(30 t)``, or two kinds: ``"relu+sin"`` is a layer whose first half of
units is relu and whose second half is sine (the deep Fourier family of Yarotsky & Zhevnerchuk 2020, arXiv:1906.09477).
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
from collections.abc import Callable

from approxrates.activations import conformance, piecewise, smooth
from approxrates.activations.base import Activation, Family, InitRule, Kernel
from approxrates.activations.pieces import piecewise_polynomial

__all__ = ["Activation", "Family", "InitRule", "Kernel", "get", "names", "piecewise_polynomial", "register"]

_TABLE: dict[str, Activation] = {row.name: row for row in (*piecewise.ROWS, *smooth.ROWS)}
_MAKERS: dict[str, Callable[[str, float], Activation]] = {
    "sin": smooth.sine,
    "snake": smooth.snake,
    "leaky_relu": piecewise.leaky_relu,
}
IDENTITY = "identity"  # the code of output units, as in approxrates.layers
_IDENTITY = Activation(IDENTITY, Family.PIECEWISE_LINEAR, lambda z, xp: z + 0.0, lambda z, xp: z * 0 + 1.0, degree=1)


def names() -> list[str]:
    """Names of the table, without parameters and mixtures."""
    return list(_TABLE)


def get(name: str) -> Activation:
    """The activation of this name.

    Args:
        name: A name of the table; ``"sin:30"``, ``"snake:2"``, ``"leaky_relu:0.1"``; ``"a+b"`` for a mixed layer;
            ``"module:attribute"`` for one of your own that other processes shall find too; ``"identity"``.

    Raises:
        ValueError: For an unknown name, listing the known ones, or a bad parameter.
        TypeError: If the name is not a string.
    """
    if not isinstance(name, str):
        raise TypeError(f"an activation is given by its name. Got {name!r}. Write e.g. activation='relu'.")
    if name in _TABLE:
        return _TABLE[name]
    return _IDENTITY if name == IDENTITY else _compound(name)


@functools.cache
def _compound(name: str) -> Activation:
    """Names that are not in the table as they stand."""
    first, plus, second = name.partition("+")
    if plus:
        return _mixed(get(first), get(second))
    base, colon, rest = name.partition(":")
    if colon and base in _MAKERS:
        return _parametrised(base, rest)
    if colon and base not in _TABLE and all(part.isidentifier() for part in (*base.split("."), rest)):
        return _imported(name, base, rest)
    known = ", ".join(_TABLE)
    raise ValueError(
        f"activation must be one of {known}, with a parameter like sin:30, or mixed like relu+sin. Got {name!r}."
    )


def _parametrised(base: str, text: str) -> Activation:
    """``sin:30`` and the like."""
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"the parameter of {base} must be a number. Got {text!r}. Write e.g. {base}:0.5.") from None
    return _MAKERS[base](f"{base}:{int(value) if value.is_integer() else value!r}", value)


def _mixed(first: Activation, second: Activation) -> Activation:
    """A layer of two kinds; its family is that of the more expressive."""
    if first.parts or second.parts:
        raise ValueError(
            f"a mixed layer has two kinds of units. Got {first.name} and {second.name}. Write e.g. relu+sin."
        )
    order = list(Family)
    degrees = (first.degree, second.degree)
    polynomial = degrees[0] is not None and degrees[1] is not None
    return Activation(
        f"{first.name}+{second.name}",
        max(first.family, second.family, key=order.index),
        first.function,
        first.slope if second.slope is not None else None,
        degree=max(d for d in degrees if d is not None) if polynomial else None,
        parts=(first, second),
    )


def _imported(name: str, module: str, attribute: str) -> Activation:
    """``module:attribute``, which every process can find by itself."""
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"activation {name!r} could not be imported: {error}. Known names: {', '.join(_TABLE)}."
        ) from None
    if not isinstance(found, Activation):
        raise ValueError(f"{name!r} must be an Activation. Got {type(found).__name__}.")
    return dataclasses.replace(found, name=name)


def register(activation: Activation) -> Activation:
    """Add an activation of your own to the table, after checking what it claims.

    It then works by its name wherever an activation does, in this process. Worker processes know it by the name
    ``"module:attribute"`` of a module that they can import.

    Args:
        activation: Its name must be new and a plain identifier.

    Returns:
        The same activation.

    Raises:
        TypeError: If it is not an :class:`Activation`.
        ValueError: For a name that is taken or not plain, and for the first claim that does not hold: values or
            derivative not finite or not elementwise, numpy and torch at odds, or a wrong derivative, degree or period.

    Example:
        >>> relu4 = piecewise_polynomial("relu4", [0.0], [[0], [0, 0, 0, 0, 1]])
        >>> register(relu4) is get("relu4")
        True
    """
    if not isinstance(activation, Activation):
        raise TypeError(
            f"register needs an Activation. Got {type(activation).__name__}. Write register(Activation(...))."
        )
    if not activation.name.isidentifier():
        raise ValueError(f"name must be a plain identifier. Got {activation.name!r}. Write e.g. name='my_relu'.")
    if activation.name in _TABLE or activation.name == IDENTITY:
        raise ValueError(f"name must be new. Got {activation.name!r}, which is taken. Use another name.")
    conformance.check(activation)
    _TABLE[activation.name] = activation
    return activation
