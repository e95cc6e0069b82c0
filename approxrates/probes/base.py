"""What a probe is: the experiment of a paper as sweep, classification and phase diagram, on the one trainer."""

from __future__ import annotations

import dataclasses
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import pandas as pd

Spec = dict[str, Any]
"""A cell of a sweep, as plain JSON data."""
Metrics = dict[str, Any]
"""What was measured in a cell, as plain JSON data."""
Plan = Generator[list[Spec], list[Metrics | None], None]
"""Cells to do, list after list; each list is answered by the metrics of its cells, None for a cell that failed."""

VERDICTS = ("agrees", "differs", "undecided")


@dataclass(frozen=True)
class Quantity:
    """One number of a paper, or of a theory, and what was measured of it.

    Attributes:
        quantity: What it is.
        expected: The expectation as text: a number, a range, a relation.
        source: Who says so: paper, authors' code, closed form.
        measured: The number measured; None where it could not be.
        low: Lower end of its interval, or None.
        high: Upper end.
        verdict: ``"agrees"``, ``"differs"`` or ``"undecided"``.
        note: What else to know.

    Raises:
        ValueError: For another verdict.
    """

    quantity: str
    expected: str
    source: str
    measured: float | None
    low: float | None
    high: float | None
    verdict: str
    note: str = ""

    def __post_init__(self) -> None:
        if self.verdict not in VERDICTS:
            raise ValueError(f"verdict must be one of {', '.join(VERDICTS)}. Got {self.verdict!r}.")


class Probe(ABC):
    """The experiment of one paper. Final classes have the name of their file and hold no state.

    Attributes:
        name: The name of its file.
        title: One line.
        source: The paper: authors, year, title, arXiv id.
        recipe: Raised when the numbers of its cells change; part of the identity of a cell.
        Settings: Frozen dataclass of what can be set, with defaults of the plain kinds of JSON; checks itself.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    recipe: ClassVar[int] = 1
    Settings: ClassVar[type[Any]]

    @abstractmethod
    def plan(self, settings: Any) -> Plan:
        """Which cells to do, in the light of those done. Deterministic: what was killed is resumed by replay."""

    @abstractmethod
    def cell(self, spec: Spec) -> Metrics:
        """One cell, trained by the trainer of this package: a function of the spec alone."""

    @abstractmethod
    def quantities(self, settings: Any, frame: pd.DataFrame) -> list[Quantity]:
        """Expected against measured. What is only recalled of a paper gives no row.

        Args:
            settings: The settings.
            frame: One row for each cell: keys of the spec, metrics, ``status``.
        """

    @abstractmethod
    def figures(self, settings: Any, frame: pd.DataFrame) -> dict[str, Callable[[], Any]]:
        """Figures by file name; each draws and returns its Axes. The first stands for the probe in the gallery."""

    @abstractmethod
    def findings(self, settings: Any, frame: pd.DataFrame) -> list[str]:
        """What came out, a sentence each."""

    def seconds(self, spec: Spec) -> float:
        """Rough CPU seconds of a cell, for progress and the order of work."""
        return 1.0


def settings_of(probe: Probe, given: Mapping[str, Any]) -> Any:
    """The settings of a probe, with some of them given; lists become tuples.

    Raises:
        ValueError: For an unknown setting, naming the known ones, or a value out of its range.
        TypeError: For a value of another kind than the default has.
    """
    fields = {field.name: field for field in dataclasses.fields(probe.Settings)}
    if unknown := sorted(set(given) - set(fields)):
        raise ValueError(f"{probe.name} has the settings {', '.join(fields)}. Got {', '.join(unknown)}.")
    values = {}
    for name, value in given.items():
        usual = fields[name].default
        values[name] = _alike(probe.name, name, value, usual)
    return probe.Settings(**values)


def _alike(owner: str, name: str, value: Any, usual: Any) -> Any:
    """A value of the kind that the default has."""
    if isinstance(usual, tuple):
        many = value if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else (value,)
        return tuple(_alike(owner, name, one, usual[0]) for one in many) if usual else tuple(many)
    if isinstance(usual, bool) or usual is None:
        wrong = usual is not None and not isinstance(value, bool)
    elif isinstance(usual, float):
        wrong = isinstance(value, bool) or not isinstance(value, (int, float))
        if not wrong and not abs(value) <= sys.float_info.max:
            raise ValueError(f"{name} of {owner} must be finite and at most 1.7e308. Got {str(value)[:20]}.")
        value = value if wrong else float(value)
    else:
        wrong = isinstance(value, bool) or not isinstance(value, type(usual))
    if wrong:
        raise TypeError(f"{name} of {owner} must be of the kind of {usual!r}. Got {value!r}.")
    return value


def plain_settings(settings: Any) -> dict[str, Any]:
    """Settings as plain data."""
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in dataclasses.asdict(settings).items()
    }
