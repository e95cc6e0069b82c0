"""What a probe came to."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from approxrates.probes.base import Probe, Quantity

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class ProbeResult:
    """The cells of a probe, and what follows from them.

    Attributes:
        probe: The probe.
        settings: Its settings.
        records: One row for each cell: keys of its spec, metrics, ``id``, ``status``, ``error``.
        folder: Where the cells are stored; None if they were not kept.
    """

    probe: Probe
    settings: Any
    records: pd.DataFrame
    folder: Path | None = None

    @property
    def name(self) -> str:
        """Name of the probe."""
        return self.probe.name

    def quantities(self) -> list[Quantity]:
        """Expected against measured."""
        return self.probe.quantities(self.settings, self.records)

    def expected(self) -> pd.DataFrame:
        """The same as a frame: quantity, expected, source, measured, low, high, verdict, note."""
        import pandas as pd

        columns = [field.name for field in dataclasses.fields(Quantity)]
        return pd.DataFrame([dataclasses.asdict(q) for q in self.quantities()], columns=columns)

    def draws(self) -> dict[str, Callable[[], Any]]:
        """Functions that draw the figures, by file name."""
        return self.probe.figures(self.settings, self.records)

    def findings(self) -> list[str]:
        """What came out, a sentence each."""
        return self.probe.findings(self.settings, self.records)
