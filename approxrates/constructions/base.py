"""What a construction declares of itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from approxrates.network import Network


@dataclass(frozen=True)
class Theorem:
    """A theorem as a recipe for networks.

    Attributes:
        name: What ``construct`` knows it by.
        statement: What is proved.
        reference: Author, year, place.
        rate_law: The declared error law in ``n_params``, for people.
        count_law: The number of parameters, for people.
        dims: Input dimensions that it is built for.
        rate: Declared exponent ``p`` of ``error ~ n_params**-p``: ``(smoothness, dim) -> p``.
        build: ``(target, n_params=..., **options) -> Network``.
    """

    name: str
    statement: str
    reference: str
    rate_law: str
    count_law: str
    dims: tuple[int, ...]
    rate: Callable[[float, int], float]
    build: Callable[..., Network]
