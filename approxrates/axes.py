"""Axes of a study: a value that is to be swept, written where the single value would stand."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True, eq=False)
class Axis:
    """Values that a study steps through. Axes that share a ``link`` are stepped together, others are crossed."""

    values: tuple[Any, ...]
    link: object | None = None

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("an axis must have at least one value. Got none. Write e.g. ar.axis(2, 4, 8).")


class _AxisMaker:
    """The callable behind ``ar.axis``. Annotated ``Any``: an axis stands where a value of any type would."""

    def __call__(self, *values: Any) -> Any:
        """Sweep over the values given: ``axis("relu", "sin")``."""
        return Axis(tuple(values))

    def geom(self, start: float, stop: float, num: int) -> Any:
        """Sweep over ``num`` geometrically spaced values; whole numbers (without repeats) if both ends are whole.

        Raises:
            ValueError: If an end is not positive or ``num < 2``.
        """
        if start <= 0 or stop <= 0:
            raise ValueError(
                f"axis.geom needs positive ends. Got start={start}, stop={stop}. Write e.g. axis.geom(2, 64, 6)."
            )
        if num < 2:
            raise ValueError(f"axis.geom needs num >= 2. Got num={num}. Write e.g. axis.geom(2, 64, 6).")
        values = [start * (stop / start) ** (i / (num - 1)) for i in range(num)]
        if isinstance(start, int) and isinstance(stop, int):
            return Axis(tuple(dict.fromkeys(round(v) for v in values)))
        return Axis(tuple(values))

    def zip(self, *columns: Iterable[Any]) -> tuple[Any, ...]:
        """Axes that are stepped together: ``width, depth = axis.zip([8, 16, 32], [32, 16, 8])``.

        Raises:
            ValueError: If the columns differ in length.
        """
        lists = [tuple(c.values if isinstance(c, Axis) else c) for c in columns]
        if len({len(c) for c in lists}) > 1:
            raise ValueError(f"axis.zip needs columns of equal length. Got lengths {[len(c) for c in lists]}.")
        link = object()
        return tuple(Axis(c, link) for c in lists)


axis = _AxisMaker()


def expand(slots: Sequence[tuple[str, Any]]) -> list[dict[str, Any]]:
    """All combinations of named slots whose values may be axes, linked axes stepped together, in slot order.

    Example:
        >>> expand([("width", 8), ("depth", axis(2, 4))])
        [{'width': 8, 'depth': 2}, {'width': 8, 'depth': 4}]
    """
    groups: dict[object, list[tuple[str, Axis]]] = {}
    for name, value in slots:
        if isinstance(value, Axis):
            groups.setdefault(name if value.link is None else id(value.link), []).append((name, value))
    columns = []
    for members in groups.values():
        lengths = {len(a.values) for _, a in members}
        assert len(lengths) == 1, "linked axes are made with one length"
        columns.append([{n: a.values[i] for n, a in members} for i in range(lengths.pop())])
    fixed = {n: v for n, v in slots if not isinstance(v, Axis)}
    combos = [fixed | {k: v for part in parts for k, v in part.items()} for parts in itertools.product(*columns)]
    return [{n: combo[n] for n, _ in slots} for combo in combos]


def variants(template: Any) -> list[Any]:
    """All concrete objects of a frozen dataclass whose fields may be axes."""
    slots = [(f.name, getattr(template, f.name)) for f in dataclasses.fields(template) if f.init]
    if not any(isinstance(v, Axis) for _, v in slots):
        return [template]
    return [type(template)(**combo) for combo in expand(slots)]


def has_axis(template: Any) -> bool:
    """Whether any field of a dataclass is an axis."""
    return any(isinstance(getattr(template, f.name), Axis) for f in dataclasses.fields(template))
