"""Blocks of a study: targets crossed with networks, expanded to runs when asked."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from approxrates import axes
from approxrates.architecture import FixedDepth, FixedWidth
from approxrates.axes import Axis
from approxrates.records.grouping import is_schedule
from approxrates.spec import (
    TRAINING_DEFAULTS,
    Construction,
    Reference,
    construct_spec,
    plan_label,
    reference_spec,
    run_id,
    train_spec,
)
from approxrates.spec.sources import Sourced, identity_of
from approxrates.spec.targettable import tables_from
from approxrates.store import canonical
from approxrates.study.batches import Run
from approxrates.target import Target

REFIT_BUDGET = 4
REFIT_PAIRS = 6  # pairs of a run and its refit, below which chance decides; see docs/honesty.md
_Kind = TypeVar("_Kind", Construction, Reference)
SWEEPABLE = ("plan", "start", "seed", "dtype", "n_points", "budget", "l2_penalty")


@dataclass(frozen=True, eq=False)
class Block:
    """Targets crossed with architectures, training settings and replicas, and with constructions and references.

    See :class:`approxrates.study.Study` for the meaning of the fields; ``plan`` to ``l2_penalty`` may be axes.
    """

    targets: tuple[Sourced, ...]
    architectures: tuple[FixedWidth | FixedDepth, ...]
    constructions: tuple[Construction, ...]
    references: tuple[Reference, ...]
    replicas: int
    plan: Any
    start: Any
    seed: Any
    dtype: Any
    n_points: Any
    budget: Any
    l2_penalty: Any
    measure: tuple[Mapping[str, Any], ...]
    refit: int

    @functools.cached_property
    def shapes(self) -> list[FixedWidth | FixedDepth]:
        """The concrete architectures, each once."""
        return list(dict.fromkeys(a for template in self.architectures for a in axes.variants(template)))

    @functools.cached_property
    def built(self) -> list[Construction]:
        """The concrete constructions."""
        return [concrete for template in self.constructions for concrete in _concrete(template)]

    @functools.cached_property
    def lines(self) -> list[Reference]:
        """The concrete references."""
        return [concrete for template in self.references for concrete in _concrete(template)]

    @property
    def settings(self) -> list[dict[str, Any]]:
        """The concrete training settings."""
        return axes.expand([(name, getattr(self, name)) for name in SWEEPABLE])

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
        for reference in self.lines:
            for sourced in self.targets:
                spec = reference_spec(sourced.target, reference)
                yield Run(run_id(spec), spec)

    def _trained(self, arch: FixedWidth | FixedDepth, target: Target, settings: dict[str, Any]) -> Iterator[Run]:
        """The replicas of one architecture and target."""
        from approxrates.training import resolve_plan

        stages = [stage.to_spec() for stage in resolve_plan(settings["plan"], arch, target, start=settings["start"])]
        label = plan_label(settings["plan"])
        for replica in range(self.replicas):
            own = {"plan": stages, "replica": replica, "measure": [dict(one) for one in self.measure]}
            spec = train_spec(target, arch.to_spec(), settings | own)
            yield Run(run_id(spec), spec, plan=label)

    def _refitted(self) -> set[tuple[FixedWidth | FixedDepth, str]]:
        """Architectures and first draws that are trained again with a larger budget: every k-th size from the top.

        As many draws as it takes for six pairs of a run and its refit.
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
            tables["constructions"] = [_method_table(c) for c in self.constructions]
        if self.references:
            tables["references"] = [_method_table(r) for r in self.references]
        defaults = {"plan": "default", **TRAINING_DEFAULTS, "replicas": 1, "refit": 0}
        training: dict[str, Any] = {}
        sweep: dict[str, Any] = {}
        names = ("plan", "start", "replicas", "seed", "dtype", "n_points", "budget", "l2_penalty", "measure", "refit")
        for name in names:
            value = getattr(self, name)
            value = list(value) if name == "measure" else value
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


def _concrete(template: _Kind) -> list[_Kind]:
    """The constructions or references of a template, its axes and those of its options expanded."""
    options = axes.expand(list(template.options.items()))
    return [dataclasses.replace(c, options=o) for o in options for c in axes.variants(template)]


def _method_table(template: Construction | Reference) -> dict[str, Any]:
    """A template of a construction or a reference as a table."""
    table: dict[str, Any] = {"name": _listed(template.name), "n_params": _listed(template.n_params)}
    return table | ({"options": {k: _listed(v) for k, v in template.options.items()}} if template.options else {})
