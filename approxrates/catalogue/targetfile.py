"""A user's own target in a TOML file: a family with fixed parameters, an importable function, or a file of data."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, model_validator

from approxrates.catalogue.claims import Record
from approxrates.regularity import Regularity, RegularityClass
from approxrates.target import Target


class TargetFile(Record):
    """A user's file: one of a catalogue family with fixed parameters, an importable function, or a file of data."""

    name: str
    title: str | None = None
    generator: str | None = None
    function: str | None = None
    data: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    smoothness: float | None = None
    dim: int | None = None
    kind: RegularityClass = "holder"
    radius: float | None = None
    sharp: bool = False
    information_rich: bool = False
    references: list[str] = Field(default_factory=list)

    def regularity(self) -> Regularity:
        """The claims about a function or data."""
        assert self.smoothness is not None
        assert self.dim is not None
        return Regularity(self.smoothness, self.dim, self.kind, self.radius, self.sharp, self.information_rich)

    @model_validator(mode="after")
    def _one_source(self) -> TargetFile:
        """Exactly one source, with the claims that it needs."""
        sources = [key for key in ("generator", "function", "data") if getattr(self, key) is not None]
        if len(sources) != 1:
            raise ValueError(
                f"exactly one of generator, function, data must be given. Got {' and '.join(sources) or 'none'}"
            )
        claims = self.model_fields_set & {"kind", "radius", "sharp", "information_rich"}
        if self.generator is not None and claims:
            raise ValueError(f"{', '.join(sorted(claims))} must be left out: the generator makes those claims itself")
        if self.generator is None and (self.smoothness is None or self.dim is None):
            raise ValueError("smoothness and dim must be given: they are what is claimed about a function or data")
        if self.generator is None and self.parameters:
            raise ValueError("parameters must be left out: only a generator takes them")
        return self


def own_target(record: TargetFile, folder: Path) -> Target:
    """The target of a file that names a function or data; relative paths start from ``folder``.

    Raises:
        TypeError: For values of the wrong kind.
        ValueError: If the function cannot be imported, or the data not be read.
    """
    if record.function is not None:
        return Target.from_callable(_imported(record.function), record.regularity(), name=record.name)
    return _from_data(folder / str(record.data), record)


def _imported(where: str) -> Any:
    """The object named ``module:function``."""
    module, _, name = where.partition(":")
    if not module or not name:
        raise ValueError(f"function must be written module:function. Got {where!r}. Write e.g. 'mytargets:zigzag'.")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"function {where} must be importable. Got: {error}. Put its folder on PYTHONPATH.") from None
    return found


def _from_data(path: Path, record: TargetFile) -> Target:
    """Data points of a file."""
    x, y = read_data_file(path)
    return Target.from_data(x, y, record.regularity(), name=record.name)


def read_data_file(path: Path) -> tuple[Any, Any]:
    """Points and values of a ``.npz`` with arrays ``x`` and ``y``, or a ``.csv`` with the values in its last column.

    Raises:
        ValueError: If the file is of another kind, missing or damaged.
    """
    readers = {".npz": _read_npz, ".csv": _read_csv}
    if path.suffix not in readers:
        raise ValueError(f"data must be a .csv or .npz file. Got {path.name!r}.")
    try:
        return readers[path.suffix](path)
    except OSError as error:
        raise ValueError(f"data file {path} must be readable. Got {error.strerror or error}. Check the path.") from None
    except KeyError as error:
        raise ValueError(f"data file {path} must hold arrays x and y. Got {error.args[0]}.") from None
    except ValueError as error:
        what = str(error).splitlines()[0]
        raise ValueError(f"data file {path} must hold numbers only. Got: {what}. Correct that line.") from None


def _read_npz(path: Path) -> tuple[Any, Any]:
    """Arrays ``x`` and ``y`` of an archive."""
    with np.load(path, allow_pickle=False) as arrays:
        return arrays["x"], arrays["y"]


def _read_csv(path: Path) -> tuple[Any, Any]:
    """Columns of coordinates, and the values in the last one; a first line without any number is a heading."""
    lines = path.read_text(encoding="utf-8").splitlines()
    if lines and not any(_is_number(cell) for cell in lines[0].split(",")):
        lines = lines[1:]
    if not lines:
        raise ValueError("no rows")
    rows = np.loadtxt(lines, delimiter=",", ndmin=2)
    return rows[:, :-1], rows[:, -1]


def _is_number(cell: str) -> bool:
    """Whether a text reads as a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return True
