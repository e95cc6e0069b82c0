"""Sizes of the fully connected network of constant width: depth and count, exactly, and the best ones under a limit."""

from __future__ import annotations

from dataclasses import dataclass

from approxrates.constructions.sizes import check_fine_steps, check_integer

WIDTH, NARROWEST = 12, 7
_COARSEST, _FINEST = 3, 22  # log2 of cells
_MOST_FINE = 1 << 28  # fine steps in all: hours of search


@dataclass(frozen=True)
class Plan:
    """Sizes, from which the architecture follows.

    Attributes:
        cells: ``N``, a power of two.
        steps: ``M``.
        width: ``H``.
    """

    cells: int
    steps: int
    width: int

    @property
    def doublings(self) -> int:
        """``a = log2 N``."""
        return self.cells.bit_length() - 1

    @property
    def value_bits(self) -> int:
        """Bits of a knot's value: 6 more than a target of smoothness 1 needs, and enough for all below 1."""
        return (self.cells * self.steps).bit_length() + 6

    @property
    def picks(self) -> int:
        """``log2 g``: tables side by side; what takes the fewest levels, and leaves room for the selection."""
        fitting = [k for k in (0, 1, 2) if (k == 0 or 2**k + 7 <= self.width) and k <= self.doublings - 2]
        return min(fitting, key=lambda k: sum(1.0 / (2**k * q) for q in self._hinges(k)))

    def _hinges(self, picks: int) -> tuple[int, int]:
        """Entries per level in the odd and the even table: what is left of the width, one hinge more than entries."""
        return self.width - 3 - 2**picks, self.width - 4 - 2**picks

    @property
    def hinges(self) -> tuple[int, int]:
        """Entries per level in the two tables."""
        return self._hinges(self.picks)

    @property
    def depth(self) -> int:
        """Number of hidden layers, exactly."""
        k, half = self.picks, self.cells // 2
        odd, even = (
            2 * (bits - k) + 1 - (-(groups - 1) // q)
            for bits, groups, q in zip(
                (self.doublings - 1, self.doublings), (half >> k, -(-(half + 1) >> k)), self.hinges, strict=True
            )
        )
        read = (odd + 1 + 3 * k) + 1 + (even + 1 + max(3 * k, 2 * k + 1)) + 1
        return read + self.value_bits + self.steps + 3

    @property
    def n_params(self) -> int:
        """All scalars of a fully connected network of this width and depth."""
        h = self.width
        return 2 * h + (self.depth - 1) * (h * h + h) + h + 1


def choose(name: str, n_params: int | None, cells: int | None, steps: int | None, width: int) -> Plan:
    """Sizes as given, or the ones with the most fine steps under a limit.

    Raises:
        ValueError: If sizes are missing or out of range, or the limit is too small (saying the least).
        TypeError: If a size is no integer.
    """
    limit, m = check_integer("n_params", n_params), check_integer("steps", steps, 2)
    n, h = check_integer("cells", cells, 2**_COARSEST), check_integer("width", width, NARROWEST)
    if (n is None) != (m is None) or (n is None and limit is None):
        raise ValueError(
            f"{name} needs n_params, or cells and steps. Got n_params={n_params}, cells={cells}, steps={steps}. "
            "Write e.g. n_params=20000."
        )
    if n is not None and (n & (n - 1) or n > 2**_FINEST):
        raise ValueError(f"cells must be a power of two up to 2^{_FINEST}. Got cells={cells}. Write e.g. cells=64.")
    given = Plan(n or 2**_COARSEST, m or 2, h or WIDTH)
    if limit is not None and limit < given.n_params:
        raise ValueError(
            f"n_params must be at least {given.n_params} for {name} of width {given.width} with cells={given.cells} "
            f"and steps={given.steps}: all scalars of a fully connected network count. Got n_params={n_params}."
        )
    if n is not None or limit is None:
        check_fine_steps(name, given.cells, given.steps, _MOST_FINE)
        return given
    best = max((_longest(2**a, given.width, limit) for a in range(_COARSEST, _FINEST + 1)), key=_fineness)
    check_fine_steps(name, best.cells, best.steps, _MOST_FINE)
    return best


def _fineness(plan: Plan) -> int:
    """``N M``."""
    return plan.cells * plan.steps


def _longest(cells: int, width: int, limit: int) -> Plan:
    """The most steps for so many cells; none if even two do not fit."""
    low, high = 0, 2 + limit // (width * width)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if Plan(cells, middle, width).n_params <= limit else (low, middle)
    return Plan(cells, low if low >= 2 else 0, width)
