"""Studies at toy size: the same kinds of runs, a handful of each, a few steps long."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from approxrates.axes import Axis
from approxrates.spec.sources import identity_of
from approxrates.store import canonical
from approxrates.study.blocks import Block, size_families


def shrunk_block(block: Block, *, sizes: int, draws: int, replicas: int, steps: int) -> Block:
    """A block with the smallest ``sizes`` of each family, the first ``draws`` of each target, and short stages.

    Args:
        block: Block to shrink.
        sizes: Most sizes in each family.
        draws: Most draws of each target law.
        replicas: Most replicas.
        steps: Most steps of each stage; the default plan becomes that many steps of Adam.
    """
    laws: dict[str, list[Any]] = {}
    for sourced in block.targets:
        law = canonical({k: v for k, v in identity_of(sourced.target).items() if k != "seed"})
        laws.setdefault(law, []).append(sourced)
    plan = block.plan
    short = (
        Axis(tuple(_short(p, steps) for p in plan.values), plan.link) if isinstance(plan, Axis) else _short(plan, steps)
    )
    return dataclasses.replace(
        block,
        targets=tuple(s for members in laws.values() for s in members[:draws]),
        architectures=tuple(a for family in size_families(block.shapes) for a in family[:sizes]),
        constructions=tuple(_least(block.built, sizes)),
        references=tuple(_least(block.lines, sizes)),
        replicas=min(block.replicas, replicas),
        plan=short,
    )


def _short(plan: Any, steps: int) -> list[dict[str, Any]]:
    """A plan with few steps."""
    if isinstance(plan, str):
        return [{"stage": "adam", "steps": steps}]
    stages = [dict(s) if isinstance(s, Mapping) else s.to_spec() for s in plan]
    return [stage | {"steps": min(steps, int(stage.get("steps", steps)))} for stage in stages]


def _least(templates: Sequence[Any], sizes: int) -> list[Any]:
    """The smallest limits of each construction or reference."""
    families: dict[str, list[Any]] = {}
    for template in templates:
        spec = {k: v for k, v in template.to_spec().items() if k != "n_params"}
        families.setdefault(canonical(spec), []).append(template)
    return [t for family in families.values() for t in sorted(family, key=lambda t: t.n_params)[:sizes]]
