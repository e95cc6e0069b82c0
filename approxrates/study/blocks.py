"""Blocks of a study: targets crossed with networks, checked when they are made, expanded to runs when asked."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from approxrates import activations, axes
from approxrates.architecture import FixedDepth, FixedWidth
from approxrates.axes import Axis
from approxrates.records.curves import is_schedule
from approxrates.spec import TRAINING_DEFAULTS, Construction, construct_spec, plan_label, run_id, train_spec
from approxrates.spec.sources import Sourced, identity_of, source_of
from approxrates.spec.targettable import tables_from
from approxrates.store import canonical
from approxrates.study.batches import Run
from approxrates.target import Target

STARTS = ("random", "constructive")
DTYPES = ("float32", "float64")
REFIT_BUDGET = 4
REFIT_PAIRS = 4  # pairs of a run and its refit, below which chance decides
MOST_RUNS = 1_000_000
MOST_PARAMS = 10**9
_SWEEPABLE = ("plan", "start", "seed", "dtype", "n_points", "budget")


@dataclass(frozen=True, eq=False)
class Block:
    """Targets crossed with architectures, training settings and replicas, and with constructions.

    See :class:`approxrates.study.Study` for the meaning of the fields; ``plan`` to ``budget`` may be axes.
    """

    targets: tuple[Sourced, ...]
    architectures: tuple[FixedWidth | FixedDepth, ...]
    constructions: tuple[Construction, ...]
    replicas: int
    plan: Any
    start: Any
    seed: Any
    dtype: Any
    n_points: Any
    budget: Any
    refit: int

    @functools.cached_property
    def shapes(self) -> list[FixedWidth | FixedDepth]:
        """The concrete architectures, each once."""
        return list(dict.fromkeys(a for template in self.architectures for a in axes.variants(template)))

    @functools.cached_property
    def built(self) -> list[Construction]:
        """The concrete constructions."""
        found: list[Construction] = []
        for template in self.constructions:
            options = axes.expand(list(template.options.items()))
            found += [dataclasses.replace(c, options=o) for o in options for c in axes.variants(template)]
        return found

    @property
    def settings(self) -> list[dict[str, Any]]:
        """The concrete training settings."""
        return axes.expand([(name, getattr(self, name)) for name in _SWEEPABLE])

    def runs(self) -> Iterator[Run]:
        """All runs of the block; some may occur twice."""
        refitted = self._refitted()
        for arch in self.shapes:
            for settings in self.settings:
                for sourced in self.targets:
                    if sourced.target.dim != arch.dim:
                        continue
                    yield from self._trained(arch, sourced.target, settings)
                    if (arch, sourced.key) in refitted:
                        yield from self._trained(
                            arch, sourced.target, settings | {"budget": REFIT_BUDGET * settings["budget"]}
                        )
        for construction in self.built:
            for sourced in self.targets:
                spec = construct_spec(sourced.target, construction)
                yield Run(run_id(spec), spec)

    def _trained(self, arch: FixedWidth | FixedDepth, target: Target, settings: dict[str, Any]) -> Iterator[Run]:
        """The replicas of one architecture and target."""
        from approxrates.training import resolve_plan

        stages = [stage.to_spec() for stage in resolve_plan(settings["plan"], arch, target, start=settings["start"])]
        label = plan_label(settings["plan"])
        for replica in range(self.replicas):
            spec = train_spec(target, arch.to_spec(), settings | {"plan": stages, "replica": replica})
            yield Run(run_id(spec), spec, plan=label)

    def _refitted(self) -> set[tuple[FixedWidth | FixedDepth, str]]:
        """Architectures and first draws that are trained again with a larger budget: every k-th size from the top.

        As many draws as it takes for four pairs of a run and its refit.
        """
        if not self.refit:
            return set()
        families = size_families(self.shapes)
        chosen = [a for family in families for a in family[::-1][:: self.refit]]
        laws: dict[str, list[str]] = {}
        for sourced in self.targets:
            law = canonical({k: v for k, v in identity_of(sourced.target).items() if k != "seed"})
            laws.setdefault(law, []).append(sourced.key)
        n_draws = -(-REFIT_PAIRS // self.replicas)
        return {(arch, key) for arch in chosen for keys in laws.values() for key in keys[:n_draws]}

    def tables(self, folder: Path | None) -> dict[str, Any]:
        """The block as the tables of a study file."""
        tables: dict[str, Any] = {"targets": list(tables_from(self.targets, folder))}
        if self.architectures:
            tables["architectures"] = [_net_table(a) for a in self.architectures]
        if self.constructions:
            tables["constructions"] = [_construction_table(c) for c in self.constructions]
        defaults = {"plan": "default", **TRAINING_DEFAULTS, "replicas": 1, "refit": 0}
        training: dict[str, Any] = {}
        sweep: dict[str, Any] = {}
        for name in ("plan", "start", "replicas", "seed", "dtype", "n_points", "budget", "refit"):
            value = getattr(self, name)
            if name == "plan" and isinstance(value, Axis):
                sweep["training.plan"] = [_plan_table(p) for p in value.values]
            elif isinstance(value, Axis) or value != defaults[name]:
                training[name] = _plan_table(value) if name == "plan" else _listed(value)
        return tables | ({"training": training} if training else {}) | ({"sweep": sweep} if sweep else {})


def size_families(shapes: Sequence[FixedWidth | FixedDepth]) -> list[list[FixedWidth | FixedDepth]]:
    """Architectures that differ in size only, ascending: along a schedule, or in the one dimension that is free."""
    alike: dict[str, list[FixedWidth | FixedDepth]] = {}
    for arch in shapes:
        alike.setdefault(
            canonical({k: v for k, v in arch.to_spec().items() if k not in ("width", "depth")}), []
        ).append(arch)
    families: list[list[FixedWidth | FixedDepth]] = []
    for members in alike.values():
        if is_schedule({(a.n_params, a.width, a.depth) for a in members}):
            families.append(members)
            continue
        held = "depth" if members[0].kind == "fixed_depth" else "width"
        families += [[a for a in members if getattr(a, held) == v] for v in sorted({getattr(a, held) for a in members})]
    return [sorted(family, key=lambda a: a.n_params) for family in families]


def _plan_table(plan: Any) -> Any:
    """A plan as TOML data."""
    return plan if isinstance(plan, str) else [dict(s) if isinstance(s, Mapping) else s.to_spec() for s in plan]


def _listed(value: Any) -> Any:
    """An axis as a list."""
    return list(value.values) if isinstance(value, Axis) else value


def _net_table(template: FixedWidth | FixedDepth) -> dict[str, Any]:
    """An architecture template as a table; linked axes go under ``zip``."""
    table: dict[str, Any] = {"kind": template.kind}
    linked: dict[int, dict[str, Any]] = {}
    for f in dataclasses.fields(template):
        value = getattr(template, f.name)
        if isinstance(value, Axis) and value.link is not None:
            linked.setdefault(id(value.link), {})[f.name] = list(value.values)
        elif isinstance(value, Axis) or value != f.default or f.name == "activation":
            table[f.name] = _listed(value)
    groups = list(linked.values())
    return table | ({"zip": groups[0] if len(groups) == 1 else groups} if groups else {})


def _construction_table(template: Construction) -> dict[str, Any]:
    """A construction template as a table."""
    table: dict[str, Any] = {"name": _listed(template.name), "n_params": _listed(template.n_params)}
    return table | ({"options": {k: _listed(v) for k, v in template.options.items()}} if template.options else {})


def make_block(targets: Any, architectures: Any, constructions: Any, **settings: Any) -> Block:
    """A block from what the user wrote, checked throughout.

    Raises:
        TypeError: For values of the wrong kind.
        ValueError: For values out of range, unknown names, or targets and networks of different dimensions.
    """
    block = Block(
        targets=_targets(targets),
        architectures=_architectures(architectures),
        constructions=_constructions(constructions),
        **settings,
    )
    if not block.architectures and not block.constructions:
        raise ValueError(
            "a study must have architectures or constructions. Got neither. Write e.g. "
            "architectures=ar.FixedWidth(...)."
        )
    _check_counts(block)
    _check_settings(block)
    _check_extent(block)
    _check_dimensions(block)
    for template in block.architectures:
        for arch in axes.variants(template):
            if not activations.get(arch.activation).trainable:
                raise ValueError(
                    f"activation must have a derivative to be trained. Got {arch.activation!r}. Use e.g. 'relu', or "
                    "a construction."
                )
    if block.architectures:
        _check_plans(block)
    return block


def _listing(value: Any) -> list[Any]:
    """One thing, an axis or a list of things, as a list."""
    if isinstance(value, Axis):
        return list(value.values)
    return list(value) if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else [value]


def _targets(value: Any) -> tuple[Sourced, ...]:
    """Targets, lists of targets, or both mixed, each with its source."""
    found: list[Sourced] = []
    for item in _listing(value):
        if isinstance(item, (list, tuple)):
            found += _targets(item)
        elif isinstance(item, Sourced):
            found.append(item)
        elif isinstance(item, Target):
            found.append(Sourced(item, source_of(item)))
        else:
            raise TypeError(f"targets must be Targets. Got {item!r}. Write ar.load_target(...).")
    if not found:
        raise ValueError("a study must have at least one target. Got none. Write e.g. targets=ar.load_target(...).")
    return tuple({s.key: s for s in found}.values())


def _architectures(value: Any) -> tuple[FixedWidth | FixedDepth, ...]:
    """Architecture templates."""
    found = _listing(value)
    for item in found:
        if not isinstance(item, (FixedWidth, FixedDepth)):
            raise TypeError(
                f"architectures must be FixedWidth or FixedDepth. Got {item!r}. Write e.g. ar.FixedWidth(dim=1, "
                "width=8, depth=4)."
            )
    return tuple(found)


def _constructions(value: Any) -> tuple[Construction, ...]:
    """Construction templates."""
    found = _listing(value)
    for item in found:
        if not isinstance(item, Construction):
            raise TypeError(
                f"constructions must be Constructions. Got {item!r}. Write ar.Construction(name, n_params=500)."
            )
    return tuple(found)


def _check_counts(block: Block) -> None:
    """Whole numbers in range."""
    for name, least, optional in (
        ("replicas", 1, False),
        ("refit", 0, False),
        ("seed", 0, False),
        ("n_points", 1, True),
    ):
        for value in _listing(getattr(block, name)):
            if value is None and optional:
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} must be an integer. Got {value!r}. Write e.g. {name}={max(least, 1)}.")
            if value < least:
                raise ValueError(
                    f"{name} must be at least {least}. Got {name}={value}. Write e.g. {name}={max(least, 1)}."
                )


def _check_settings(block: Block) -> None:
    """Names and factors."""
    for name, allowed in (("start", STARTS), ("dtype", DTYPES)):
        for value in _listing(getattr(block, name)):
            if value not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}. Got {value!r}.")
    for value in _listing(block.budget):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"budget must be a number. Got {value!r}. Write e.g. budget=4.")
        if not 0 < value < math.inf:
            raise ValueError(f"budget must be positive and finite. Got budget={value}. Write e.g. budget=4.")


def _check_extent(block: Block) -> None:
    """Few enough runs and small enough networks to be meant; counted, not enumerated."""
    shapes = sum(_count(_slots(a)) for a in block.architectures)
    settings = _count([(name, getattr(block, name)) for name in _SWEEPABLE])
    built = sum(_count(_slots(c)) * _count(list(c.options.items())) for c in block.constructions)
    n_runs = len(block.targets) * (shapes * settings * block.replicas + built)
    if n_runs > MOST_RUNS:
        raise ValueError(
            f"a study must have at most {MOST_RUNS:,} runs. Got {n_runs:,}: {len(block.targets)} targets, {shapes} "
            f"architectures, {settings} settings, {block.replicas} replicas, {built} constructions. Ask for fewer."
        )
    for arch in block.shapes:
        if arch.n_outputs != 1:
            raise ValueError(
                f"n_outputs must be 1, for targets have one value. Got n_outputs={arch.n_outputs}. Leave it out."
            )
        if arch.n_params > MOST_PARAMS:
            raise ValueError(
                f"architectures must have at most {MOST_PARAMS:,} parameters. Got {arch.n_params:,} with "
                f"width={arch.width}, depth={arch.depth}. Use smaller ones."
            )


def _count(slots: Sequence[tuple[str, Any]]) -> int:
    """Number of combinations of slots whose values may be axes; linked axes count once."""
    lengths = {
        name if value.link is None else id(value.link): len(value.values)
        for name, value in slots
        if isinstance(value, Axis)
    }
    return math.prod(lengths.values())


def _slots(template: Any) -> list[tuple[str, Any]]:
    """Fields of a template by name."""
    return [(f.name, getattr(template, f.name)) for f in dataclasses.fields(template)]


def _check_dimensions(block: Block) -> None:
    """Every target meets an architecture of its dimension, and every architecture a target."""
    dims = {s.target.dim for s in block.targets}
    shapes = {a.dim for a in block.shapes}
    if shapes and shapes != dims:
        raise ValueError(
            f"targets and architectures must have the same dim. Got targets of dim {sorted(dims)}, architectures of "
            f"dim {sorted(shapes)}. "
            "Set dim of both, or add two studies."
        )
    if block.constructions:
        from approxrates import constructions

        for construction in block.built:
            known = constructions.describe(construction.name).dims
            if not dims <= set(known):
                raise ValueError(
                    f"{construction.name} is built for dim {', '.join(map(str, known))}. Got targets of dim "
                    f"{sorted(dims)}. Leave it out there."
                )


def _check_plans(block: Block) -> None:
    """Every plan can be read, and every start can be made."""
    from approxrates.training import fit_members, resolve_plan
    from approxrates.training.points import point_sets

    target = {s.target.dim: s.target for s in block.targets}
    for n_points in _listing(block.n_points):
        for one in target.values() if n_points is not None else ():
            # The trainer knows what is too few; it is asked with few points where many are wanted.
            if one.samples is None:
                point_sets(one, min(n_points, 4096))
            elif n_points != len(one.samples[0]):
                raise ValueError(
                    f"n_points must be left out for data. Got n_points={n_points} for {len(one.samples[0])} points."
                )
    plans = block.plan.values if isinstance(block.plan, Axis) else (block.plan,)
    for plan in plans:
        resolve_plan(plan, block.shapes[0], target[block.shapes[0].dim])
    if "constructive" in _listing(block.start):
        # The trainer knows which networks have such a start: it is asked with one step of the shallowest of each kind.
        for arch in {(a.activation, a.width, a.dim): dataclasses.replace(a, depth=1) for a in block.shapes}.values():
            fit_members(arch, [(target[arch.dim], 0)], plan=[{"stage": "adam", "steps": 1}], start="constructive")
