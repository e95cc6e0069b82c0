"""Study files: TOML in, the arguments of a study out. A mistake is one line that names file, key and mend."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from approxrates import axes
from approxrates.architecture import FixedDepth, FixedWidth, from_spec
from approxrates.axes import Axis
from approxrates.spec import Construction, Reference
from approxrates.spec.sources import Sourced
from approxrates.spec.targettable import targets_of

_MOST_VALUES = 10_000
_Kind = TypeVar("_Kind", Construction, Reference)
BLOCK_KEYS = ("targets", "net", "architectures", "constructions", "references", "training", "sweep")


class _Net(BaseModel):
    """Keys of ``[net]`` and ``[[architectures]]``."""

    model_config = ConfigDict(extra="forbid", strict=True)
    kind: Literal["fixed_width", "fixed_depth"] = "fixed_width"
    dim: int = 1
    width: int | None = None
    depth: int | None = None
    activation: str = "relu"
    n_outputs: int = 1
    bias: bool = True
    injection: bool = False
    residual: bool = False
    n_params: int | None = None
    exponent: float | None = None


class _Training(BaseModel):
    """Keys of ``[training]``."""

    model_config = ConfigDict(extra="forbid", strict=True)
    plan: str | list[dict[str, Any]] = "default"
    start: Literal["random", "constructive", "kaiming", "normal", "torch"] = "random"
    replicas: int = 1
    seed: int = 0
    dtype: Literal["float32", "float64"] = "float64"
    n_points: int | str | None = None
    budget: int | float = 1
    l2_penalty: int | float = 0.0
    measure: list[str | dict[str, Any]] = []
    refit: int = 0


class _Built(BaseModel):
    """Keys of ``[[constructions]]`` and ``[[references]]``."""

    model_config = ConfigDict(extra="forbid", strict=True)
    name: str
    n_params: int
    options: dict[str, Any] = {}


def read_study(path: Path, overrides: Mapping[str, Any] | None = None) -> tuple[str, list[dict[str, Any]]]:
    """Name of a study, and for each of its blocks the keyword arguments of ``Study``.

    Args:
        path: Study file.
        overrides: Values by dotted key that take the place of what the file says: ``{"net.width": 8}``.

    Raises:
        ValueError: In one line, for whatever is wrong with the file.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise ValueError(
            f"{path} must be a study file. Got: {problem.strerror or problem}. Write the path of a study.toml."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ValueError(f"{path} is not valid TOML: {problem}. Mend that place.") from None
    for key, value in (overrides or {}).items():
        _assign(raw, key, value, f"{path.name}, override {key}")
    _known(raw, ("name", "studies", *BLOCK_KEYS), path.name, "")
    name = raw.get("name", path.resolve().parent.name)
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f'{path.name}: name must be a text. Got {name!r}. Write e.g. name = "relu-vs-sin".')
    tables = _tables(raw, "studies", path.name) if "studies" in raw else [{k: v for k, v in raw.items() if k != "name"}]
    if "studies" in raw and any(k in raw for k in BLOCK_KEYS):
        raise ValueError(
            f"{path.name}: studies must hold everything if it is there. Got other tables beside it. Move them into "
            "[[studies]]."
        )
    return name, [_block(t, path, f"studies[{i}]." if "studies" in raw else "") for i, t in enumerate(tables)]


def _block(raw: Mapping[str, Any], path: Path, prefix: str) -> dict[str, Any]:
    """One block: targets, networks and training, with sweeps in place."""
    raw = {k: _copied(v) for k, v in raw.items()}
    _known(raw, BLOCK_KEYS, path.name, prefix)
    if "net" in raw and "architectures" in raw:
        raise ValueError(
            f"{path.name}: {prefix}net and {prefix}architectures say the same. Got both. Use [net] for one, "
            "[[architectures]] for many."
        )
    _spread_sweeps(raw, path.name, prefix)
    where = f"{path.name}: {prefix}"
    entries: list[Sourced] = []
    for i, table in enumerate(_tables(raw, "targets", path.name)):
        with _Place(f"{where}targets[{i}]"):
            entries += targets_of(table, path.parent)
    nets = (
        [("net", raw["net"])]
        if "net" in raw
        else [(f"architectures[{i}]", t) for i, t in enumerate(_tables(raw, "architectures", path.name))]
    )
    architectures: list[Any] = []
    for key, table in nets:
        architectures += _architectures(table, f"{where}{key}")
    built = [
        _method(Construction, t, f"{where}constructions[{i}]")
        for i, t in enumerate(_tables(raw, "constructions", path.name))
    ]
    lines = [
        _method(Reference, t, f"{where}references[{i}]") for i, t in enumerate(_tables(raw, "references", path.name))
    ]
    training = _training(raw.get("training", {}), f"{where}training")
    return {"targets": entries, "architectures": architectures, "constructions": built, "references": lines, **training}


class _Place:
    """Puts the place in a file before the message of a mistake, and makes it a ValueError."""

    def __init__(self, place: str) -> None:
        self.place = place

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: object) -> None:
        if isinstance(problem, (TypeError, ValueError)) and not str(problem).startswith(self.place.partition(":")[0]):
            raise ValueError(f"{self.place}: {' '.join(str(problem).split())}") from None


def _copied(value: Any) -> Any:
    """Containers copied, so that sweeps can be put into them."""
    if isinstance(value, dict):
        return {k: _copied(v) for k, v in value.items()}
    return [_copied(v) for v in value] if isinstance(value, list) else value


def _tables(raw: Mapping[str, Any], key: str, file: str) -> list[dict[str, Any]]:
    """A list of tables; a single table counts as a list of one."""
    value = raw.get(key, [])
    tables = [value] if isinstance(value, dict) else value
    if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise ValueError(f"{file}: {key} must be a list of tables. Got {value!r}. Write [[{key}]].")
    return tables


def _known(table: Mapping[str, Any], allowed: Sequence[str], file: str, prefix: str) -> None:
    """Refuses unknown keys, naming the closest known one."""
    for key, value in table.items():
        if key not in allowed:
            raise ValueError(unknown_key(f"{file}: {prefix}{key}", key, value, allowed))


def unknown_key(place: str, key: str, value: Any, allowed: Sequence[str]) -> str:
    """The message for an unknown or misspelt key."""
    close = difflib.get_close_matches(key, allowed, n=1, cutoff=0.6)
    hint = f"Did you mean {close[0]}? " if close else ""
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
    return f"{place} is not a known key. Got {key} = {shown}. {hint}Allowed: {', '.join(allowed)}."


def _assign(raw: dict[str, Any], key: str, value: Any, place: str) -> None:
    """Puts a value at a dotted key; a key into a list of tables holds for all of them."""
    *tables, last = key.split(".")
    if not all(part.strip() for part in (*tables, last)):
        raise ValueError(f"{place}: a key must be names joined by single dots. Got {key!r}. Write e.g. net.width.")
    spots: list[dict[str, Any]] = [raw]
    for i, name in enumerate(tables):
        found: list[dict[str, Any]] = []
        for spot in spots:
            inner = spot.get(name)
            if inner is None and i == 0 and name not in {"training", "sweep"}:
                known = [k for k, v in raw.items() if isinstance(v, (dict, list))]
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"Did you mean {close[0]}? " if close else ""
                raise ValueError(
                    f"{place}: {name} must be a table of the study. Got {_listed(value)!r} for it. {hint}Tables: "
                    f"{', '.join(known)}."
                )
            inner = spot.setdefault(name, {}) if inner is None else inner
            if not isinstance(inner, (dict, list)):
                raise ValueError(f"{place}: {name} must be a table. Got {inner!r}. Write a table there.")
            found += [inner] if isinstance(inner, dict) else [t for t in inner if isinstance(t, dict)]
        spots = found
    for spot in spots:
        spot[last] = value


def _spread_sweeps(raw: dict[str, Any], file: str, prefix: str) -> None:
    """Puts ``[sweep]`` into the tables that its dotted keys name; those under ``zip`` are stepped together."""
    sweep = raw.pop("sweep", {})
    if not isinstance(sweep, dict):
        raise ValueError(
            f'{file}: {prefix}sweep must be a table. Got {sweep!r}. Write [sweep] with "net.depth" = [2, 4].'
        )
    links: list[tuple[dict[str, Any], Any]] = [({k: v for k, v in sweep.items() if k != "zip"}, None)]
    links += [(z, object()) for z in _zips(sweep.get("zip", []), f"{file}: {prefix}sweep.zip")]
    for table, link in links:
        flat = _dotted(table)
        if link is not None and len({k.rpartition(".")[0] for k in flat}) > 1:
            raise ValueError(
                f"{file}: {prefix}sweep.zip must step keys of one table. Got {', '.join(flat)}. Write two zips, or "
                "two [[studies]]."
            )
        for key, values in flat.items():
            place = f"{file}: {prefix}sweep.{key}"
            swept = _axis(values, place, link)
            if not isinstance(swept, Axis):
                raise ValueError(f"{place} must be a list, or a table {{ geom = [start, stop, num] }}. Got {values!r}.")
            _assign(raw, key, swept, place)
        if link is not None and len({len(v) for v in flat.values() if isinstance(v, list)}) > 1:
            raise ValueError(
                f"{file}: {prefix}sweep.zip must have lists of equal length. Got {[len(v) for v in flat.values()]}."
            )


def _dotted(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as dotted keys, ``geom`` tables left whole."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict) and "geom" not in value:
            flat |= _dotted(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _axis(value: Any, place: str, link: object | None = None) -> Any:
    """A list or a ``{ geom = [...] }`` as an axis; anything else as it is."""
    with _Place(place):
        if isinstance(value, dict) and set(value) == {"geom"}:
            ends = value["geom"]
            if not isinstance(ends, list) or len(ends) != 3 or not all(isinstance(e, (int, float)) for e in ends):
                raise ValueError(f"geom must be [start, stop, num]. Got {ends!r}. Write e.g. {{ geom = [2, 64, 6] }}.")
            if not isinstance(ends[2], int) or ends[2] > _MOST_VALUES:
                raise ValueError(f"geom must have a whole num of at most {_MOST_VALUES}. Got {ends!r}.")
            return Axis(axes.axis.geom(*ends).values, link)
        if value == []:
            raise ValueError("it must have at least one value. Got []. Write e.g. [2, 4, 8].")
        if value == []:
            raise ValueError("an axis must have at least one value. Got []. Write e.g. [2, 4, 8].")
        return Axis(tuple(value), link) if isinstance(value, list) else value


def _with_axes(table: Mapping[str, Any], place: str, *, plain: Sequence[str] = ()) -> dict[str, Any]:
    """A table with lists as axes; ``zip = { ... }`` in it links its lists."""
    if not isinstance(table, Mapping):
        raise ValueError(f"{place} must be a table. Got {table!r}. Write [{place.rpartition(' ')[2]}].")
    found = {k: v if k in plain else _axis(v, f"{place}.{k}") for k, v in table.items() if k != "zip"}
    for together in _zips(table.get("zip", []), f"{place}.zip"):
        link = object()
        if len({len(v) if isinstance(v, list) else 0 for v in together.values()}) > 1:
            raise ValueError(f"{place}.zip must hold lists of equal length. Got {together!r}.")
        found |= {k: _axis(v, f"{place}.zip.{k}", link) for k, v in together.items()}
    return found


def _zips(raw: Any, place: str) -> list[dict[str, Any]]:
    """Tables of keys that are stepped together; a single table counts as a list of one."""
    tables = [raw] if isinstance(raw, dict) else raw
    if not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise ValueError(
            f"{place} must be a table of lists. Got {raw!r}. Write zip = {{ width = [4, 8], depth = [8, 4] }}."
        )
    return tables


def _validated(model: type[BaseModel], table: Mapping[str, Any], place: str) -> dict[str, Any]:
    """A table checked against its model, each value of an axis by itself. Keys that were not given stay out."""
    first = {k: v.values[0] if isinstance(v, Axis) else v for k, v in table.items()}
    for key in table or {"": None}:
        values = table[key].values if key and isinstance(table[key], Axis) else [first.get(key)]
        for value in values:
            try:
                model.model_validate(first | ({key: value} if key else {}))
            except ValidationError as problem:
                raise ValueError(_sentence(problem, model, place)) from None
    return dict(table)


def _sentence(problem: ValidationError, model: type[BaseModel], place: str) -> str:
    """The first mistake that pydantic found, in one line; an unknown key comes before a missing one."""
    errors = sorted(problem.errors(), key=lambda e: e["type"] == "missing")
    mistake = errors[0]
    key = str(mistake["loc"][0])
    if mistake["type"] == "extra_forbidden":
        return unknown_key(f"{place}.{key}", key, mistake["input"], tuple(model.model_fields))
    if mistake["type"] == "missing":
        return f"{place}.{key} must be given. Got nothing. Write {key} = ... there."
    wanted, got = mistake["msg"].removeprefix("Input should be "), mistake["input"]
    hint = " Write { geom = [start, stop, num] } for an axis." if isinstance(got, dict) and key != "plan" else ""
    hint = ' Write "default" or a list of stages, [{ stage = "adam", steps = 500 }].' if key == "plan" else hint
    return f"{place}.{key} must be {wanted}. Got {got!r}.{hint}"


def _architectures(raw: Mapping[str, Any], place: str) -> list[Any]:
    """Templates, or concrete architectures where the file gives parameter counts."""
    table = _validated(_Net, _with_axes(raw, place), place)
    cls = FixedDepth if table.pop("kind", "fixed_width") == "fixed_depth" else FixedWidth
    table = {"dim": 1} | table
    with _Place(place):
        if "exponent" in table and cls is FixedDepth:
            raise ValueError('exponent must come with kind = "fixed_width". Got "fixed_depth". Leave one of them out.')
        if "n_params" in table:
            return _by_size(cls, table)
        if "exponent" in table:
            _check_schedule(table)
        missing = [k for k in ("width", "depth") if k not in table]
        if missing:
            raise ValueError(
                f"{missing[0]} must be given. Got nothing. Write {missing[0]} = 8, a list, or n_params = [...]."
            )
        template = cls(**table)
        for concrete in axes.variants(template):
            from_spec(concrete.to_spec())
        return [template]


def _check_schedule(table: Mapping[str, Any]) -> None:
    """An exponent without parameter counts says what a width and a depth, or a zip of them, belong to."""
    width, depth = (table.get(key) for key in ("width", "depth"))
    zipped = isinstance(width, Axis) and isinstance(depth, Axis) and width.link is not None and width.link is depth.link
    if not zipped and (isinstance(width, Axis) or isinstance(depth, Axis) or width is None or depth is None):
        raise ValueError(
            "n_params must be given with exponent, or a zip of width and depth. Got neither. Write n_params = { geom = "
            "[50, 1500, 8] }."
        )


def _by_size(cls: Any, table: dict[str, Any]) -> list[Any]:
    """The largest networks with given parameter counts: of one width (or depth), or along depth schedules."""
    sizes, scheduled = table.pop("n_params"), "exponent" in table
    counts = list(sizes.values) if isinstance(sizes, Axis) else [sizes]
    rest = axes.expand(list(table.items()))
    if not scheduled:
        given, free = ("depth", "width") if cls is FixedDepth else ("width", "depth")
        if free in table or given not in table:
            got = f"{free} = {_listed(table[free])!r}" if free in table else f"no {given}"
            raise ValueError(
                f"n_params must come with {given} and without {free}, which it sets. Got {got}. Write {given} = 8 and "
                f"leave {free} out."
            )
        made = [cls.for_params(n, **combo) for combo in rest for n in counts]
        return list(dict.fromkeys(made))
    if "width" in table or "depth" in table:
        raise ValueError("width and depth must be left out with exponent. Got one of them. The schedule sets both.")
    found: list[Any] = []
    for combo in rest:
        width, depth = FixedWidth.schedule(n_params=counts, **combo)
        found += axes.variants(FixedWidth(width=width, depth=depth, **combo))
    return found


def _listed(value: Any) -> Any:
    """An axis as the list that was written."""
    return list(value.values) if isinstance(value, Axis) else value


def _method(kind: type[_Kind], raw: Mapping[str, Any], place: str) -> _Kind:
    """A template of a construction or a reference; lists among its options are axes."""
    table = _validated(_Built, _with_axes(raw, place, plain=("options",)), place)
    with _Place(place):
        options: dict[str, Any] = {k: _axis(v, f"{place}.options.{k}") for k, v in table.pop("options", {}).items()}
        return kind(**table, options=options)


def _training(raw: Any, place: str) -> dict[str, Any]:
    """Training settings; a plan is a list of stages, so only ``[sweep]`` sweeps over plans."""
    if not isinstance(raw, dict):
        raise ValueError(f"{place} must be a table. Got {raw!r}. Write [training].")
    table = _validated(_Training, _with_axes(raw, place, plain=("plan", "replicas", "measure", "refit")), place)
    plans = table.get("plan", "default")
    for plan in plans.values if isinstance(plans, Axis) else (plans,):
        _check_stages(plan, f"{place}.plan")
    return table


def _check_stages(plan: Any, place: str) -> None:
    """Stages name themselves with ``stage``; what they take is for the trainer to say."""
    for i, stage in enumerate(plan if isinstance(plan, list) else ()):
        if "stage" not in stage:
            hint = f"Write stage = {str(stage['name']).lower()!r}." if "name" in stage else 'Write stage = "adam".'
            raise ValueError(f"{place}[{i}].stage must be given. Got {', '.join(stage) or 'nothing'}. {hint}")
