"""What a construction declares of itself."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

from approxrates.network import Network
from approxrates.target import Target

Settings = Mapping[str, Any]
"""A network's provenance: the sizes it was built with."""


@dataclass(frozen=True)
class Theorem:
    """A theorem as a recipe for networks.

    The laws are functions of the provenance of a network that ``build`` returned, so that tests compare them with the
    network itself: counts exactly, errors by ``error_sup <= constant * size**-rate_in_size``. A deterministic
    construction needs no fitted slope to be right.

    Attributes:
        name: What ``construct`` knows it by.
        statement: What is proved.
        reference: Author, year, place.
        rate_law: The declared error law in ``n_params``, for people.
        count_law: The number of parameters, for people.
        dims: Input dimensions that it is built for.
        rate: Declared exponent ``p`` of ``error ~ n_params**-p``: ``(smoothness, dim) -> p``, with keywords for the
            options that it depends on; infinite if faster than any power, NaN if there is none.
        build: ``(target, n_params=..., **options) -> Network``.
        smoothness: Least (excluded) and largest (included) smoothness that it is built for.
        count: Exact ``n_params`` from the provenance, without looking at weights; None where it is not a function of
            the sizes alone.
        depth: The same for the number of hidden layers.
        size: Cells per axis that the error law is stated in (``N M`` for two-scale networks), from the provenance.
        constant: ``(target) -> c`` with ``error_sup <= c * size**-min(smoothness, order)``, for every size.
        order: Highest smoothness that the error law makes use of.
        lower_order: ``(smoothness, dim, n_params, **options) -> weights``: what the terms of lower order of the count
            law take in the network that ``build`` makes under a limit; a rate is fitted against the rest. None if the
            law does not say.
        depth_law: ``(smoothness, dim, **options) -> a`` with depth ~ n_params^a in the leading terms of both laws; None
            if the construction does not say.
        further_options: Keywords of those that ``build`` hands on to.
        example: The target of a theorem about a single function; None where it holds for a class.
    """

    name: str
    statement: str
    reference: str
    rate_law: str
    count_law: str
    dims: tuple[int, ...]
    rate: Callable[..., float]
    build: Callable[..., Network]
    smoothness: tuple[float, float] = (0.0, float("inf"))
    count: Callable[[Settings], int] | None = None
    depth: Callable[[Settings], int] | None = None
    size: Callable[[Settings], float] | None = None
    constant: Callable[[Any], float] | None = None
    order: float = float("inf")
    lower_order: Callable[..., float] | None = None
    depth_law: Callable[..., float] | None = None
    further_options: Callable[[], tuple[str, ...]] = tuple
    example: Callable[[], Target] | None = None

    @property
    def options(self) -> tuple[str, ...]:
        """Keywords of ``build`` besides the limit."""
        own = inspect.signature(self.build).parameters.values()
        named = [p.name for p in own if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)][1:]
        return tuple(name for name in [*named, *self.further_options()] if name != "n_params")

    def check_options(self, options: Settings) -> None:
        """Refuse what ``build`` does not know, and text where all options are numbers.

        Raises:
            TypeError: Naming the options there are.
        """
        unknown = [name for name in options if name not in self.options]
        if unknown:
            known = ", ".join([*self.options, "activation", "tolerance"])
            raise TypeError(f"options of {self.name} must be among {known}. Got {', '.join(unknown)}. Leave it out.")
        for name, value in options.items():
            if not isinstance(value, Real | None):
                raise TypeError(f"{name} must be a number. Got {value!r}. Write e.g. {name}=1.")


def deep_rate(smoothness: float, dim: int, depth_exponent: float = 1.0, max_bits: int | None = None) -> float:
    """``(1 + a) r / d`` of the deep phase; NaN under a cap of bits, where one law turns into another."""
    return math.nan if max_bits is not None else (1.0 + depth_exponent) * smoothness / dim
