"""The catalogue of targets: what each family claims (``targets/*.toml``), and targets made by name or from a file."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from approxrates.generators import GENERATORS
from approxrates.generators.base import whole
from approxrates.regularity import Regularity, RegularityClass
from approxrates.target import Target

Record = TypeVar("Record", bound=BaseModel)
_COMMON = ("smoothness", "dim", "seed")


class _Strict(BaseModel):
    """A record read from a file: unknown keys are errors, nothing changes afterwards, numbers are not read from text."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SmoothnessClaim(_Strict):
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


class ParameterClaim(_Strict):
    """A parameter of a family beyond smoothness, dim and seed; without ``default`` it is chosen from the others."""

    meaning: str
    default: bool | int | float | str | list[float] | None = None


class FamilyClaims(_Strict):
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
    parameters: dict[str, ParameterClaim] = {}

    @model_validator(mode="after")
    def _consistent(self) -> FamilyClaims:
        """Claims that cannot hold together."""
        if self.information_rich and not self.random:
            raise ValueError("information_rich must be false where random is false: one function carries no free bits")
        if self.information_rich and self.self_similar:
            raise ValueError("information_rich and self_similar must not both be true")
        if self.generator not in GENERATORS:
            raise ValueError(f"generator must be one of {', '.join(GENERATORS)}. Got {self.generator!r}")
        return self

    @property
    def difficulty(self) -> str:
        """Information-rich, self-similar, or neither, in a word for tables."""
        return "information-rich" if self.information_rich else "self-similar" if self.self_similar else "smooth"

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
        for name, claim in self.parameters.items():
            default = "" if claim.default is None else f" (default {claim.default})"
            rows.append((name, claim.meaning + default))
        rows += [("reference", text) for text in self.references]
        example = f'ar.load_target("{self.name}"' + (
            f", smoothness={self.smoothness.values[0]:g}" if len(self.smoothness.values) > 1 else ""
        )
        rows.append(("example", f"{example}, dim={self.dims[0]}, seed=0)"))
        width = max(len(key) for key, _ in rows)
        return "\n".join([self.title, "", *(f"  {key:<{width}}  {text}" for key, text in rows)])


class TargetFile(_Strict):
    """A user's file: one of a catalogue family with fixed parameters, an importable function, or a file of data."""

    name: str
    title: str | None = None
    generator: str | None = None
    function: str | None = None
    data: str | None = None
    parameters: dict[str, Any] = {}
    smoothness: float | None = None
    dim: int | None = None
    kind: RegularityClass = "holder"
    radius: float | None = None
    sharp: bool = False
    information_rich: bool = False
    references: list[str] = []

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


def _problem(error: ValidationError, model: type[BaseModel]) -> str:
    """The first problem of a record, in one line."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        owner: Any = model
        for part in first["loc"][:-1]:
            field = owner.model_fields.get(part) if isinstance(owner, type) and issubclass(owner, BaseModel) else None
            owner = (
                {"smoothness": SmoothnessClaim, "parameters": ParameterClaim}.get(str(part), owner) if field else owner
            )
        allowed = list(owner.model_fields)
        close = difflib.get_close_matches(str(first["loc"][-1]), allowed, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        return f"unknown key {where}. Allowed keys: {', '.join(allowed)}.{hint}"
    text = first["msg"].removeprefix("Value error, ")
    got = "" if first["type"] in {"missing", "value_error"} else f" Got {first['input']!r}."
    return f"{where + ': ' if where else ''}{text}.{got}"


def _read(path: Path, model: type[Record]) -> Record:
    """A TOML file as a checked record."""
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


def folder() -> Path:
    """Where the catalogue's files are: inside an installed package, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    places = (package / "catalogue_data", package.parent / "targets")
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        raise ValueError(
            f"the catalogue must be at {places[0]} or {places[1]}. Got neither. Install approxrates again."
        )
    return found


@functools.cache
def _catalogue() -> dict[str, FamilyClaims]:
    """All families by name, in the order of the files."""
    read = [_read(path, FamilyClaims) for path in sorted(folder().glob("*.toml"))]
    return {claims.name: claims for claims in read}


def families() -> list[str]:
    """Names of all families of the catalogue, sorted."""
    return sorted(_catalogue())


def describe(name: str) -> FamilyClaims:
    """What a family claims.

    Raises:
        ValueError: For an unknown name.

    Example:
        >>> describe("faber_tree").sharp
        True
    """
    if name not in _catalogue():
        close = difflib.get_close_matches(str(name), families(), n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise ValueError(f"target must be one of {', '.join(families())}. Got {name!r}.{hint}")
    return _catalogue()[name]


def table() -> list[dict[str, str]]:
    """One row per family for a listing: family, title, smoothness, dim, draws, sharp, content."""
    return [
        {
            "family": claims.name,
            "title": claims.title,
            "smoothness": str(claims.smoothness),
            "dim": ", ".join(map(str, claims.dims)),
            "draws": "random" if claims.random else "one",
            "sharp": "yes" if claims.sharp else "no",
            "content": claims.difficulty,
        }
        for claims in map(describe, families())
    ]


def load_target(
    name: str, *, smoothness: float | str | None = None, dim: int = 1, seed: int = 0, **parameters: Any
) -> Target:
    """A target of the catalogue.

    Args:
        name: Name of the family; :func:`families` lists them.
        smoothness: The r of the family; may be left out where a family has only one.
        dim: Input dimension d.
        seed: Which draw. Every family accepts it; where nothing is random, all seeds give one and the same target.
        **parameters: The family's own; ``describe(name).parameters`` lists them.

    Returns:
        The target; ``load_target(**target.parameters)`` makes an equal one.

    Raises:
        TypeError: For values of the wrong kind.
        ValueError: For an unknown family or parameter, or values that the family does not have.

    Example:
        >>> target = load_target("faber_tree", smoothness=0.5, dim=1, seed=0)
        >>> target.regularity.sharp, abs(target.exact([0.5])[0])
        (True, Fraction(1, 1))
    """
    claims = describe(name)
    allowed = (*_COMMON, *claims.parameters)
    for key in parameters:
        if key not in allowed:
            close = difflib.get_close_matches(key, allowed, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise ValueError(f"{name} has no parameter {key!r}. Its parameters are {', '.join(allowed)}.{hint}")
    if whole("dim", dim, 1) not in claims.dims:
        raise ValueError(f"dim of {name} must be one of {', '.join(map(str, claims.dims))}. Got dim={dim}.")
    r = _smoothness(claims, smoothness)
    own = {key: value for key, value in parameters.items() if value is not None}
    target = GENERATORS[claims.generator](smoothness=r, dim=dim, seed=seed, **own)
    regularity = dataclasses.replace(
        target.regularity, kind=claims.kind, sharp=claims.sharp, information_rich=claims.information_rich
    )
    return dataclasses.replace(target, regularity=regularity)


def _smoothness(claims: FamilyClaims, smoothness: float | str | None) -> float:
    """The smoothness asked for, if the family has it."""
    example = f"smoothness={claims.smoothness.values[0]:g}"
    if smoothness is None:
        if len(claims.smoothness.values) == 1:
            return claims.smoothness.values[0]
        raise ValueError(f"smoothness must be given for {claims.name}: {claims.smoothness}. Write e.g. {example}.")
    if smoothness == "inf":
        smoothness = math.inf
    if isinstance(smoothness, (bool, str)) or not isinstance(smoothness, (int, float, np.integer, np.floating)):
        raise TypeError(f"smoothness must be a number. Got {smoothness!r}. Write e.g. {example}.")
    if not claims.smoothness.allows(float(smoothness)):
        raise ValueError(
            f"smoothness of {claims.name} must be {claims.smoothness}. Got smoothness={smoothness:g}. Use e.g. {example}."
        )
    return float(smoothness)


def load_target_file(path: str | Path, **overrides: Any) -> Target:
    """A target described by a user's TOML file.

    The file names one source: ``generator`` (a family of the catalogue, with its arguments under ``[parameters]``),
    ``function`` (``"module:function"``, with ``smoothness`` and ``dim`` as claims) or ``data`` (a ``.csv`` whose last column
    is the value, or an ``.npz`` with ``x`` and ``y``; relative to the file).

    Args:
        path: The file.
        **overrides: For a generator: arguments that replace those of the file. Otherwise only ``seed``, without meaning.

    Raises:
        TypeError: For values of the wrong kind.
        ValueError: For an unreadable file, unknown keys (the allowed ones are listed), or a source that cannot be used.
    """
    path = Path(path)
    record = _read(path, TargetFile)
    try:
        if record.generator is not None:
            return _from_generator(record, overrides)
        unknown = sorted(set(overrides) - {"seed"})
        if unknown:
            raise ValueError(
                f"{', '.join(unknown)} cannot be replaced from outside: the file states it. Edit the file."
            )
        if record.function is not None:
            return Target.from_callable(import_function(record.function), record.regularity(), name=record.name)
        return _from_data(path.parent / str(record.data), record)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{path}: {error}") from None


def _from_generator(record: TargetFile, overrides: Mapping[str, Any]) -> Target:
    """A catalogue family under a name of the user's; the parameters stay those that rebuild it."""
    arguments: dict[str, Any] = {
        "smoothness": record.smoothness,
        "dim": record.dim or 1,
        **record.parameters,
        **overrides,
    }
    return dataclasses.replace(load_target(str(record.generator), **arguments), name=record.name)


def import_function(where: str) -> Any:
    """The object named ``module:function``.

    Raises:
        ValueError: If it is not of that form or cannot be imported.
    """
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
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                x, y = arrays["x"], arrays["y"]
        elif path.suffix == ".csv":
            first = path.read_text(encoding="utf-8").partition("\n")[0]
            header = any(c.isalpha() and c not in "eE" for c in first)
            rows = np.loadtxt(path, delimiter=",", skiprows=int(header), ndmin=2)
            x, y = rows[:, :-1], rows[:, -1]
        else:
            raise ValueError(f"data must be a .csv or .npz file. Got {path.name!r}.")
    except OSError as error:
        raise ValueError(f"data file {path} must be readable. Got {error.strerror or error}. Check the path.") from None
    except KeyError as error:
        raise ValueError(f"data file {path} must hold arrays x and y. Got {error.args[0]}.") from None
    target = Target.from_data(x, y, record.regularity(), name=record.name)
    return dataclasses.replace(target, parameters={**target.parameters, "file": str(path)})


def rebuild_target(parameters: Mapping[str, Any]) -> Target:
    """The target that has these parameters: what a worker does with the target of a run.

    Args:
        parameters: ``target.parameters`` of a catalogue target, a callable, or data read from a file.

    Raises:
        ValueError: If the parameters do not say where the function is, or the data has changed.
    """
    if "name" in parameters:
        return load_target(**parameters)
    r = math.inf if parameters.get("smoothness") == "inf" else parameters.get("smoothness", 0.0)
    claims = {key: parameters[key] for key in ("kind", "radius", "sharp", "information_rich") if key in parameters}
    record = TargetFile(
        name=parameters.get("label", "target"),
        function=parameters.get("callable"),
        data=parameters.get("file"),
        smoothness=r,
        dim=parameters.get("dim", 1),
        **claims,
    )
    if record.function is not None:
        found = import_function(record.function)
        return Target.from_callable(found, record.regularity(), name=parameters.get("label"))
    target = _from_data(Path(str(record.data)), record)
    if target.parameters["data"] != parameters["data"]:
        raise ValueError(
            f"data file {record.data} must not change while a study uses it. Restore it, or start a new study."
        )
    return target
