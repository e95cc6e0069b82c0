"""Plans: which stages train a network, given or chosen by default."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from approxrates import activations
from approxrates.activations import Activation, Family
from approxrates.architecture import FixedDepth, FixedWidth
from approxrates.dataset import Dataset
from approxrates.target import Target
from approxrates.training.adam import Adam
from approxrates.training.base import Stage
from approxrates.training.lbfgs import LBFGS
from approxrates.training.levenberg_marquardt import LevenbergMarquardt
from approxrates.training.minimax import Minimax
from approxrates.training.points import is_smooth
from approxrates.training.sgd import SGD
from approxrates.training.soap import SOAP
from approxrates.training.ssbfgs import SelfScaledBFGS

Architecture = FixedWidth | FixedDepth
Fitted = Target | Dataset
Plan = tuple[Stage, ...]

STAGES: dict[str, type[Stage]] = {
    stage.name: stage for stage in (SGD, Adam, SOAP, SelfScaledBFGS, LBFGS, LevenbergMarquardt, Minimax)
}

_MOST_DENSE_PARAMS = 1600
_MOST_STEPS = 6000


def stage_from_spec(spec: Mapping[str, Any]) -> Stage:
    """The stage described by ``Stage.to_spec``.

    Raises:
        ValueError: For an unknown stage or setting, naming the known ones, or a setting out of its range.
        TypeError: If the description is not a mapping, or a setting is of the wrong kind.

    Example:
        >>> stage_from_spec({"stage": "adam", "steps": 500, "learning_rate": 0.003}).learning_rate
        0.003
    """
    if not isinstance(spec, Mapping):
        raise TypeError(
            f"a stage must be a mapping. Got {type(spec).__name__}. Write e.g. {{'stage': 'adam', 'steps': 500}}."
        )
    settings = dict(spec)
    name = settings.pop("stage", None)
    if not isinstance(name, str) or name not in STAGES:
        raise ValueError(f"stage must be one of {', '.join(STAGES)}. Got {name!r}.")
    known = [field.name for field in dataclasses.fields(STAGES[name])]
    if unknown := sorted(set(settings) - set(known)):
        raise ValueError(f"{name} has the settings {', '.join(known)}. Got {', '.join(unknown)}.")
    if "steps" not in settings:
        raise ValueError(f"{name} needs steps. Got none. Write e.g. {{'stage': {name!r}, 'steps': 500}}.")
    return STAGES[name](**settings)


def resolve_plan(plan: Any, arch: Architecture, targets: Fitted | Sequence[Fitted], *, start: str = "random") -> Plan:
    """The stages that a plan means for this architecture and these targets.

    Args:
        plan: ``"default"``, or a sequence of stages or of their descriptions.
        arch: Shape of the networks.
        targets: One target or several; the default plan is that of the roughest.
        start: Where training starts; near a good network the default learning rates are smaller.

    Raises:
        ValueError: For an unknown name, a plan without stages, or a bad description.
        TypeError: If the plan is neither a name nor a sequence of stages.
    """
    if isinstance(plan, str):
        if plan != "default":
            raise ValueError(
                f"plan must be 'default' or a list of stages. Got {plan!r}. Write e.g. plan=[ar.Adam(steps=500)]."
            )
        given = [targets] if isinstance(targets, (Target, Dataset)) else targets
        known = [target for target in given if isinstance(target, Target)]
        if len(known) < len(given):
            raise ValueError("plan must be given for a Dataset. Got 'default'. Write e.g. plan=[ar.Adam(steps=500)].")
        roughest = min(known, key=lambda target: target.regularity.smoothness)
        return default_plan(arch, roughest, start)
    return stages_of(plan)


def stages_of(plan: Any) -> Plan:
    """The stages of a plan that is written out, as stages or as their descriptions.

    Raises:
        ValueError: For a plan without stages, or a bad description.
        TypeError: If the plan is no sequence of stages.
    """
    if isinstance(plan, Stage):
        return (plan,)
    if isinstance(plan, (str, Mapping)) or not isinstance(plan, Sequence):
        raise TypeError(
            f"plan must be 'default' or a list of stages. Got {type(plan).__name__}. Write e.g. [ar.Adam(steps=500)]."
        )
    if not plan:
        raise ValueError("plan must hold at least one stage. Got none. Write e.g. plan=[ar.Adam(steps=500)].")
    return tuple(stage if isinstance(stage, Stage) else stage_from_spec(stage) for stage in plan)


def default_plan(arch: Architecture, target: Target, start: str) -> Plan:
    """SOAP; if target and activation are smooth and the network not large, self-scaled BFGS after a short run of it.

    Steps grow with the number of parameters, so that large networks are not fitted worse than small ones for want of
    time; the counts are a compromise for studies of thousands of fits: ``budget`` multiplies them.
    """
    activation, n_params = activations.get(arch.activation), arch.n_params
    rate = learning_rate(arch, start)
    if is_smooth(target) and is_smooth_activation(activation) and n_params <= _MOST_DENSE_PARAMS:
        return (SOAP(steps=300, learning_rate=rate), SelfScaledBFGS(steps=2000 + 2 * n_params))
    return (SOAP(steps=min(_MOST_STEPS, 1000 + n_params), learning_rate=rate),)


def learning_rate(arch: Architecture, start: str) -> float:
    """Peak learning rate of SOAP for a network of this depth, to two digits.

    Deep networks want less. Powers of the rectifier want much less, as depth multiplies their degree. From a
    constructive start a step must not undo what was built.
    """
    if start in ("constructive", "network"):
        rate = 1e-3 / max(1.0, arch.depth / 4.0)
    elif any((part.degree or 1) > 1 for part in _parts(activations.get(arch.activation))):
        rate = 1e-2 / max(1.0, arch.depth / 4.0) ** 1.5
    else:
        rate = 1e-2 / max(1.0, arch.depth / 8.0) ** 0.5
    return float(f"{rate:.1e}")


def is_smooth_activation(activation: Activation) -> bool:
    """Whether the gradient of the loss is continuous, as second-order stages want it."""
    return all(
        (part.family in (Family.SMOOTH, Family.PERIODIC) and not part.breakpoints) or (part.degree or 0) > 1
        for part in _parts(activation)
    )


def _parts(activation: Activation) -> tuple[Activation, ...]:
    """The activations of the units of a layer."""
    return activation.parts or (activation,)
