"""Transitions along a sweep: their order, where they are, and which other numbers notice them."""

from approxrates.transitions.changepoints import (
    Agreement,
    agreement,
    compressed,
    largest_step,
    nearest_to_zero,
    two_lines,
)
from approxrates.transitions.location import (
    NOWHERE,
    Located,
    as_series,
    at_position,
    combined,
    crossing,
    vanishing,
)
from approxrates.transitions.order import (
    FIRST,
    SECOND,
    UNDECIDED,
    OrderVerdict,
    decide_order,
    largest_change,
    refined,
    roughness,
    transition_bracket,
)

__all__ = [
    "FIRST",
    "NOWHERE",
    "SECOND",
    "UNDECIDED",
    "Agreement",
    "Located",
    "OrderVerdict",
    "agreement",
    "as_series",
    "at_position",
    "combined",
    "compressed",
    "crossing",
    "decide_order",
    "largest_change",
    "largest_step",
    "nearest_to_zero",
    "refined",
    "roughness",
    "transition_bracket",
    "two_lines",
    "vanishing",
]
