"""What measurements share: the moment of a training they look at, their schedules, and their face.

A measurement looks at parameters and never at the training: whoever measures gets the same trained networks, bit for
bit, as whoever does not. Values of a replica do not depend on its companions.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from approxrates.backends import Ensemble, Layout
    from approxrates.backends.hessian import Hessian
    from approxrates.objectives import Objective

F64 = NDArray[np.float64]

SCHEDULES = "'end', 'ends', 'every 10', 'log 5', 'at 0 5 10'"
"""The forms of a schedule, as errors show them."""


def canonical_schedule(text: str) -> str:
    """The schedule in the one spelling that identities are made of.

    Args:
        text: ``"end"`` (the returned parameters only), ``"ends"`` (start and end of each stage), ``"every n"``,
            ``"log n"`` (n for each decade of steps), ``"at a b c"``.

    Raises:
        TypeError: If it is no text.
        ValueError: If it is none of these.

    Example:
        >>> canonical_schedule("at  5 0 05")
        'at 0 5'
    """
    if not isinstance(text, str):
        raise TypeError(f"schedule must be a text such as {SCHEDULES}. Got {text!r}.")
    kind, *rest = text.split() or [""]
    numbers = [int(word) for word in rest if word.isdecimal()]
    if len(numbers) == len(rest):
        if kind in ("end", "ends") and not numbers:
            return kind
        if kind in ("every", "log") and len(numbers) == 1 and numbers[0] >= 1:
            return f"{kind} {numbers[0]}"
        if kind == "at" and numbers:
            return " ".join(["at", *map(str, sorted(set(numbers)))])
    raise ValueError(f"schedule must be of one of the forms {SCHEDULES}, its numbers whole. Got {text!r}.")


def stops(schedule: str, steps: int) -> tuple[int, ...]:
    """Steps of a stage after which a schedule measures, ascending; 0 is before the first step.

    Args:
        schedule: See :func:`canonical_schedule`. ``"every n"`` and ``"log n"`` contain start and end of the stage;
            ``"end"`` stops nowhere, since it asks for the returned parameters only.
        steps: Steps of the stage.

    Example:
        >>> stops("every 10", 25), stops("log 2", 100), stops("at 0 5 1000", 100), stops("ends", 7), stops("end", 7)
        ((0, 10, 20, 25), (0, 1, 3, 10, 32, 100), (0, 5), (0, 7), ())
    """
    kind, *numbers = canonical_schedule(schedule).split()
    if kind == "end":
        return ()
    if kind == "at":
        return tuple(step for step in map(int, numbers) if step <= steps)
    chosen = {0, steps}
    if kind == "every":
        chosen.update(range(0, steps, int(numbers[0])))
    if kind == "log":
        n = min(int(numbers[0]), 3 * max(steps, 1))  # with so many for each decade every step is chosen
        chosen.update(round(10.0 ** (k / n)) for k in range(math.floor(n * math.log10(max(steps, 1))) + 1))
    return tuple(sorted(step for step in chosen if step <= steps))


@dataclass(frozen=True)
class Moment:
    """Some replicas at one step of their training.

    Attributes:
        ensemble: Their training loss F, with its gradient and Hessian; the full sampling set is its last one.
        theta: Their parameters, rows ``[n, stride]``.
        begun: Their parameters at the start of the fit, ``[n, stride]``.
        step: Steps done, counted over all stages.
        preconditioner: Diagonal P of the update rule, ``update = rate * gradient / P``, ``[n, stride]``: ones for plain
            gradient descent, None for rules that have none.
        replicas: Numbers of the replicas, by which seeds go.
    """

    ensemble: Ensemble
    theta: Tensor
    begun: Tensor
    step: int = 0
    preconditioner: Tensor | None = None
    replicas: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.replicas:
            object.__setattr__(self, "replicas", tuple(range(len(self.theta))))
        assert len(self.theta) == len(self.begun) == len(self.replicas) == len(self.ensemble)

    def __len__(self) -> int:
        return len(self.theta)

    @property
    def layout(self) -> Layout:
        """Shape of the networks."""
        return self.ensemble.layout

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.theta.device

    @functools.cached_property
    def hessian(self) -> Hessian:
        """Hessians of F at the parameters, in the precision of the training."""
        return self.ensemble.hessian(self.theta)

    @functools.cached_property
    def precise(self) -> Hessian:
        """Hessians of F, with value and gradient, in double precision, of whatever precision the training is."""
        return self.hessian if self.theta.element_size() == 8 else self.ensemble.hessian(self.theta.double())

    @functools.cached_property
    def loss(self) -> Tensor:
        """Training losses F, ``[n]``."""
        return self.ensemble.value(self.theta)

    @functools.cached_property
    def gradient(self) -> Tensor:
        """Gradients of F, ``[n, stride]``; zero in the padding."""
        import torch

        gradient = torch.zeros_like(self.theta)
        self.ensemble.value_and_gradient(self.theta, gradient)
        return gradient

    def unpenalised(self) -> Moment:
        """The same moment with the error part E of the loss alone."""
        return dataclasses.replace(self, ensemble=self.ensemble.unpenalised())

    def only(self, places: Sequence[int]) -> Moment:
        """The same moment of some of the replicas."""
        import torch

        rows = torch.as_tensor(list(places), dtype=torch.long, device=self.device)
        chosen = None if self.preconditioner is None else self.preconditioner[rows]
        return Moment(
            self.ensemble.subset(rows), self.theta[rows], self.begun[rows], self.step, chosen,
            tuple(self.replicas[place] for place in places),
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Measurement(ABC):
    """A number, or a few, of every replica at a moment of its training. Immutable; checked when made.

    Attributes:
        schedule: When to measure; see :func:`canonical_schedule`. At the returned parameters it is always measured.
    """

    name: ClassVar[str]
    """What it is called, and its first column."""

    needs_preconditioner: ClassVar[bool] = False
    """Whether it can be asked only of stages whose update rule divides the gradient by a diagonal."""

    schedule: str = "end"

    def __post_init__(self) -> None:
        object.__setattr__(self, "schedule", canonical_schedule(self.schedule))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that every network gets, its name first; others begin with its name too."""
        return (self.name,)

    @abstractmethod
    def measure(self, moment: Moment) -> dict[str, F64]:
        """Columns by name, each ``(n,)``: NaN for a replica where the number does not exist.

        Args:
            moment: Replicas at a step of their training.
        """

    def check(self, layout: Layout, objective: Objective) -> None:  # noqa: B027  (most can be asked of any network)
        """Refuse, before anything is computed, networks or losses that cannot be measured.

        Raises:
            ValueError: Saying what is required, what came, and what to write.
        """

    def demand_network(self, layout: Layout) -> None:
        """Refuse models that are no fully connected networks: for measurements that look at single layers."""
        from approxrates.backends import Layout as NetworkLayout

        if not isinstance(layout, NetworkLayout):
            raise ValueError(
                f"{self.name} looks at the layers of a fully connected network. Got another model. Leave it out."
            )

    def stops(self, steps: int) -> tuple[int, ...]:
        """Steps of a stage of so many steps after which to measure; see :func:`stops`."""
        return stops(self.schedule, steps)

    def to_spec(self) -> dict[str, Any]:
        """Plain data that ``get_measurement`` turns back into this one; settings at their default are left out."""
        spec: dict[str, Any] = {"measurement": self.name}
        for field in dataclasses.fields(self):
            if (value := getattr(self, field.name)) != field.default:
                spec[field.name] = value
        return spec


def numbers(values: Tensor | Iterable[float]) -> F64:
    """One float64 number for each replica, ``(n,)``, from a tensor or from plain numbers."""
    if hasattr(values, "detach"):
        return np.asarray(values.detach().to("cpu").double().numpy(), dtype=np.float64)
    return np.array(list(values), dtype=np.float64)


def check_positive(owner: str, name: str, value: Any, below: float = math.inf) -> None:
    """Refuse a setting that is no positive number below a bound."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} of {owner} must be a number. Got {value!r}.")
    if not 0.0 < value < below:
        bound = "" if math.isinf(below) else f" and below {below:g}"
        raise ValueError(f"{name} of {owner} must be positive{bound}. Got {name}={value}.")


def check_count(owner: str, name: str, value: Any, least: int) -> None:
    """Refuse a setting that is no whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} of {owner} must be an integer. Got {value!r}.")
    if value < least:
        raise ValueError(f"{name} of {owner} must be at least {least}. Got {name}={value}.")


def norms(rows: Tensor) -> F64:
    """Euclidean norm of each row ``[n, stride]``, summed row by row so that it depends on the row alone."""
    return np.sqrt(inner_products(rows, rows))


def inner_products(first: Tensor, second: Tensor) -> F64:
    """Inner product of each row of one ``[n, stride]`` with that of another, summed row by row."""
    left, right = (rows.detach().to("cpu").double().numpy() for rows in (first, second))
    return np.array([float((a * b).sum()) for a, b in zip(left, right, strict=True)])
