"""Blocks from what the user wrote, checked throughout before anything runs."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Sequence
from typing import Any, TypeVar

from approxrates import activations, axes
from approxrates.architecture import FixedDepth, FixedWidth
from approxrates.axes import Axis
from approxrates.measurements import get_measurements
from approxrates.sampling import SampleLaw
from approxrates.spec import Construction, Reference
from approxrates.spec.sources import Sourced, source_of
from approxrates.study.blocks import SWEEPABLE, Block
from approxrates.target import Target

STARTS = ("random", "constructive", "kaiming", "normal", "torch")
DTYPES = ("float32", "float64")
MOST_RUNS = 1_000_000
MOST_PARAMS = 10**9
_Kind = TypeVar("_Kind", Construction, Reference)


def make_block(targets: Any, architectures: Any, constructions: Any, references: Any, **settings: Any) -> Block:
    """A block from what the user wrote, checked throughout.

    Raises:
        TypeError: For values of the wrong kind.
        ValueError: For values out of range, unknown names, or targets and networks of different dimensions.
    """
    settings["measure"] = tuple(one.to_spec() for one in get_measurements(settings["measure"]))
    block = Block(
        targets=_targets(targets),
        architectures=_architectures(architectures),
        constructions=_templates(constructions, Construction, "constructions"),
        references=_templates(references, Reference, "references"),
        **settings,
    )
    if not (block.architectures or block.constructions or block.references):
        raise ValueError(
            "a study must have architectures, constructions or references. Got neither. Write e.g. "
            "architectures=ar.FixedWidth(...)."
        )
    _check_counts(block)
    _check_settings(block)
    _check_extent(block)
    _check_dimensions(block)
    _check_references(block)
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


def _templates(value: Any, kind: type[_Kind], name: str) -> tuple[_Kind, ...]:
    """Templates of constructions or references."""
    found = _listing(value)
    for item in found:
        if not isinstance(item, kind):
            word = kind.__name__
            raise TypeError(f"{name} must be {word}s. Got {item!r}. Write ar.{word}(name, n_params=500).")
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
            if isinstance(value, str) and name == "n_points":
                SampleLaw.parse(value)
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
    for value in block.l2_penalty.values if isinstance(block.l2_penalty, Axis) else (block.l2_penalty,):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"l2_penalty must be a number. Got {value!r}. Write e.g. l2_penalty=1e-4.")
        if not 0.0 <= value <= sys.float_info.max:
            raise ValueError(f"l2_penalty must be at least 0 and finite. Got {value}. Write e.g. l2_penalty=1e-4.")


def _check_extent(block: Block) -> None:
    """Few enough runs and small enough networks to be meant; counted, not enumerated."""
    shapes = sum(_count(_slots(a)) for a in block.architectures)
    settings = _count([(name, getattr(block, name)) for name in SWEEPABLE])
    made: list[Construction | Reference] = [*block.constructions, *block.references]
    built = sum(_count(_slots(c)) * _count(list(c.options.items())) for c in made)
    n_runs = len(block.targets) * (shapes * settings * block.replicas + built)
    if n_runs > MOST_RUNS:
        raise ValueError(
            f"a study must have at most {MOST_RUNS:,} runs. Got {n_runs:,}: {len(block.targets)} targets, {shapes} "
            f"architectures, {settings} settings, {block.replicas} replicas, {built} constructions and references. Ask "
            "for fewer."
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


def _check_references(block: Block) -> None:
    """Every reference is made for the targets that it meets, and for the sizes."""
    if block.references:
        from approxrates import references

        kinds = {(s.target.dim, s.target.samples is not None) for s in block.targets}
        for line in block.lines:
            for dim, data in sorted(kinds):
                references.check_request(line.name, dim, line.n_params, data=data)


def _check_plans(block: Block) -> None:
    """Every plan can be read, and every start can be made."""
    from approxrates.training import fit_members, resolve_plan
    from approxrates.training.job import check_stages
    from approxrates.training.points import n_sets_and_points

    target = {s.target.dim: s.target for s in block.targets}
    for n_points in _listing(block.n_points):
        for one in target.values() if n_points is not None else ():
            if one.samples is None:
                for arch in (a for a in block.shapes if a.dim == one.dim):
                    n_sets_and_points(arch, one, n_points)
            elif n_points != len(one.samples[0]):
                raise ValueError(
                    f"n_points must be left out for data. Got n_points={n_points!r} for {len(one.samples[0])} points."
                )
    plans = block.plan.values if isinstance(block.plan, Axis) else (block.plan,)
    for plan in plans:
        resolve_plan(plan, block.shapes[0], target[block.shapes[0].dim])
        by_size = sorted((a for a in block.shapes if a.dim in target), key=lambda a: a.n_params)
        for arch in {(a.activation, a.dim): a for a in by_size}.values():  # what the largest can do, all can
            stages = resolve_plan(plan, arch, target[arch.dim])
            check_stages(stages, arch, block.measure, max(_listing(block.l2_penalty)))
    if "constructive" in _listing(block.start):
        # The trainer knows which networks have such a start: it is asked with one step of the shallowest of each kind.
        for arch in {(a.activation, a.width, a.dim): dataclasses.replace(a, depth=1) for a in block.shapes}.values():
            fit_members(arch, [(target[arch.dim], 0)], plan=[{"stage": "adam", "steps": 1}], start="constructive")
