"""What families of targets claim, as records read from TOML files: every key checked, every error in one line."""

from __future__ import annotations

import difflib
import math
import textwrap
import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from approxrates.regularity import RegularityClass

Kind = TypeVar("Kind", bound=BaseModel)
_LINE = 110


class Record(BaseModel):
    """A record read from a file: unknown keys are errors, nothing changes later, text is not taken for a number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SmoothnessClaim(Record):
    """Which smoothness a family may have.

    Attributes:
        values: Those that the conformance suite tries, and the only ones unless a range is given.
        above: Lower end of the open range.
        below: Upper end of the open range.
        integers: Whether whole numbers of the range are allowed.
    """

    values: list[float] = Field(min_length=1)
    above: float | None = None
    below: float | None = None
    integers: bool = True

    def allows(self, r: float) -> bool:
        """Whether the family has a member of smoothness r."""
        if self.above is None or self.below is None:
            return r in self.values
        return self.above < r < self.below and (self.integers or r != math.floor(r))

    def __str__(self) -> str:
        if self.above is None or self.below is None:
            return ", ".join(f"{v:g}" for v in self.values)
        return f"{self.above:g} < r < {self.below:g}" + ("" if self.integers or self.below <= 1 else ", no integer")


class ParameterClaim(Record):
    """A parameter of a family beyond smoothness, dim and seed; without ``default`` it is chosen from the others."""

    meaning: str
    default: bool | int | float | str | list[float] | None = None


class FamilyClaims(Record):
    """What one family of the catalogue claims; each claim is checked by the conformance suite.

    Attributes:
        name: Name that ``load_target`` takes.
        title: Name in words.
        generator: Row of ``approxrates.generators.GENERATORS``.
        kind: Class that the smoothness refers to.
        smoothness: Which values it may have.
        dims: Dimensions it comes in.
        random: Whether the seed changes the function; otherwise all draws are one function.
        sharp: Whether it is nowhere smoother than claimed.
        information_rich: Whether it carries about ``eps^(-d/r)`` free bits.
        self_similar: Whether deep networks may repeat one pattern: an easy target whatever its smoothness.
        extension: How it extends to several dimensions.
        effective: The rate that its structure allows, where that is not r/d; empty otherwise.
        radius: Formula of the Hölder radius, and where it is proven.
        references: Sources.
        parameters: Parameters beyond smoothness, dim and seed.
    """

    name: str
    title: str
    generator: str
    kind: RegularityClass
    smoothness: SmoothnessClaim
    dims: list[int] = Field(min_length=1)
    random: bool
    sharp: bool
    information_rich: bool
    self_similar: bool
    extension: str
    radius: str
    references: list[str]
    parameters: dict[str, ParameterClaim] = Field(default_factory=dict)
    effective: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> FamilyClaims:
        """Claims that cannot hold together."""
        if self.information_rich and not self.random:
            raise ValueError("information_rich must be false where random is false: one function carries no free bits")
        if self.information_rich and self.self_similar:
            raise ValueError("information_rich and self_similar must not both be true")
        return self

    @property
    def difficulty(self) -> str:
        """Information-rich, self-similar, structured (random, with a rate of its own), or smooth: a word for tables."""
        if self.information_rich:
            return "information-rich"
        return "self-similar" if self.self_similar else "structured" if self.random else "smooth"

    def render(self) -> str:
        """The claims as lines of text."""
        rows = [
            ("family", self.name),
            ("class", self.kind),
            ("smoothness", f"{self.smoothness}   (tested: {', '.join(f'{v:g}' for v in self.smoothness.values)})"),
            ("dim", ", ".join(map(str, self.dims))),
            ("seed", "draws differ" if self.random else "accepted, without meaning: there is one such function"),
            ("sharp", "yes, nowhere smoother" if self.sharp else "no"),
            ("content", self.difficulty),
            ("in d > 1", self.extension),
            ("radius", self.radius),
        ]
        if self.effective:
            rows.append(("effective", self.effective))
        for name, claim in self.parameters.items():
            default = "" if claim.default is None else f" (default {claim.default})"
            rows.append((name, claim.meaning + default))
        rows += [("reference", text) for text in self.references]
        example = f'ar.load_target("{self.name}"' + (
            f", smoothness={self.smoothness.values[0]:g}" if len(self.smoothness.values) > 1 else ""
        )
        rows.append(("example", f"{example}, dim={self.dims[0]}, seed=0)"))
        width = max(len(key) for key, _ in rows)
        lines = (
            textwrap.fill(
                text,
                _LINE,
                initial_indent=f"  {key:<{width}}  ",
                subsequent_indent=" " * (width + 4),
                break_long_words=False,
                break_on_hyphens=False,
            )
            for key, text in rows
        )
        return "\n".join([self.title, "", *lines])


def _problem(error: ValidationError, model: type[BaseModel]) -> str:
    """The first problem of a record, in one line."""
    # A misspelt key also leaves the right one missing: the unknown key is the one to name.
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        parts: dict[str, type[BaseModel]] = {"smoothness": SmoothnessClaim, "parameters": ParameterClaim}
        owner = parts.get(str(first["loc"][0]), model) if len(first["loc"]) > 1 else model
        allowed = list(owner.model_fields)
        close = difflib.get_close_matches(str(first["loc"][-1]), allowed, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        return f"unknown key {where}. Allowed keys: {', '.join(allowed)}.{hint}"
    text = first["msg"].removeprefix("Value error, ")
    got = "" if first["type"] in {"missing", "value_error"} else f" Got {first['input']!r}."
    return f"{where + ': ' if where else ''}{text}.{got}"


def read_record(path: Path, model: type[Kind]) -> Kind:
    """A TOML file as a checked record.

    Raises:
        ValueError: If it cannot be read, is not TOML, or has an unknown key or a wrong value; the message names the
            file, the key, and what is allowed.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} must be a readable TOML file. Got {error.strerror}. Check the path.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} must be valid TOML. Got {error}. Correct that line.") from None
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise ValueError(f"{path}: {_problem(error, model)}") from None
