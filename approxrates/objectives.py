"""Losses as objects: value per replica, and its derivative by the network's output.

Shapes: outputs and targets ``[N, n_outputs, M]`` (N replicas, M points, points last), weights of the points ``[N, 1,
    M]`` that sum to one over the
points (zero for padding). A loss writes its derivative into a buffer that the trainer owns, so that the inner loop
allocates nothing large.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Objective(ABC):
    """A loss: a weighted mean over points of a function of output and target."""

    @abstractmethod
    def value_and_gradient(self, output: Tensor, target: Tensor, weights: Tensor, gradient: Tensor | None) -> Tensor:
        """Loss of each replica, shape ``[N]``; its derivative by ``output`` is written into ``gradient``.

        Args:
            output: Network outputs, shape ``[N, n_outputs, M]``; used as scratch space and destroyed.
            target: Shape ``[N, n_outputs, M]``, or ``[N, 1, M]`` for class labels.
            weights: Shape ``[N, 1, M]``, sums to one over the points.
            gradient: Shape of ``output``, or None if only the value is wanted.
        """

    @abstractmethod
    def gradient_derivative(self, output: Tensor, target: Tensor, weights: Tensor, direction: Tensor) -> Tensor:
        """How the derivative of the loss by ``output`` changes along ``direction``: second derivatives times it.

        Args:
            output: Network outputs, shape ``[N, n_outputs, M]``; not changed.
            target: As in :meth:`value_and_gradient`.
            weights: Shape ``[N, 1, M]``.
            direction: Change of the outputs, shape of ``output``; not changed.

        Returns:
            A new tensor of the shape of ``output``.
        """

    @property
    def degree(self) -> float | None:
        """``p`` if scaling the problem by ``c`` scales the loss by ``c**p``; None if targets must not be rescaled."""
        return None

    def check_targets(self, values: F64, n_outputs: int) -> None:
        """Refuse target values, shape ``(n, k)``, that this loss cannot be asked to fit with ``n_outputs`` outputs."""
        if values.shape[1] != n_outputs:
            raise ValueError(
                f"the target must have n_outputs={n_outputs} values at a point. Got {values.shape[1]}. "
                f"Use n_outputs={values.shape[1]}."
            )

    def to_spec(self) -> dict[str, Any]:
        """Plain data that :func:`objective_from_spec` turns back into this object."""
        return {"objective": _name(type(self))} | {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True)
class MeanSquare(Objective):
    """Mean of the squared error over points and outputs."""

    @property
    def degree(self) -> float | None:
        """Two: the loss is quadratic."""
        return 2.0

    def value_and_gradient(self, output: Tensor, target: Tensor, weights: Tensor, gradient: Tensor | None) -> Tensor:
        """See :class:`Objective`."""
        residual = output.sub_(target)
        weighted = residual * weights if gradient is None else _multiply(residual, weights, gradient)
        value = residual.mul_(weighted).flatten(1).sum(1) / output.shape[1]
        if gradient is not None:
            gradient.mul_(2.0 / output.shape[1])
        return value

    def gradient_derivative(self, output: Tensor, target: Tensor, weights: Tensor, direction: Tensor) -> Tensor:
        """See :class:`Objective`."""
        return (direction * weights).mul_(2.0 / output.shape[1])


@dataclass(frozen=True)
class LpPower(Objective):
    """Mean of ``|error|**p``: with ``p`` = 4, 8, 16 a smooth road from least squares towards the sup norm.

    Attributes:
        p: Exponent, at least 2.

    Raises:
        ValueError: If ``p < 2`` or not finite.
    """

    p: float = 4.0

    def __post_init__(self) -> None:
        if not (2 <= self.p < math.inf):
            raise ValueError(f"p must be a finite number of at least 2. Got p={self.p}. Write e.g. p=8.")

    @property
    def degree(self) -> float | None:
        """The exponent ``p``."""
        return float(self.p)

    def value_and_gradient(self, output: Tensor, target: Tensor, weights: Tensor, gradient: Tensor | None) -> Tensor:
        """See :class:`Objective`."""
        residual = output.sub_(target)
        power = residual.abs().pow_(self.p - 2).mul_(residual).mul_(weights)
        if gradient is not None:
            gradient.copy_(power).mul_(self.p / output.shape[1])
        return residual.mul_(power).flatten(1).sum(1) / output.shape[1]

    def gradient_derivative(self, output: Tensor, target: Tensor, weights: Tensor, direction: Tensor) -> Tensor:
        """See :class:`Objective`."""
        power = (output - target).abs_().pow_(self.p - 2)
        return power.mul_(weights).mul_(direction).mul_(self.p * (self.p - 1) / output.shape[1])


@dataclass(frozen=True)
class SoftmaxCrossEntropy(Objective):
    """Mean of ``-log softmax(output)[label]``; targets are labels 0, 1, ..., ``n_outputs - 1``."""

    def check_targets(self, values: F64, n_outputs: int) -> None:
        """Labels must be integers in range, and there must be two outputs at least."""
        if n_outputs < 2:
            raise ValueError(
                f"SoftmaxCrossEntropy needs n_outputs >= 2. Got n_outputs={n_outputs}. Use BinaryLogistic for one."
            )
        if values.shape[1] != 1 or not np.all(np.isin(values, np.arange(n_outputs))):
            raise ValueError(
                f"labels must be integers from 0 to n_outputs - 1 = {n_outputs - 1}, one at a point. Got other values."
            )

    def value_and_gradient(self, output: Tensor, target: Tensor, weights: Tensor, gradient: Tensor | None) -> Tensor:
        """See :class:`Objective`."""
        labels = target.long()
        log_share = output.sub_(output.logsumexp(1, keepdim=True))
        value = -(log_share.gather(1, labels) * weights).flatten(1).sum(1)
        if gradient is not None:
            gradient.copy_(log_share).exp_().scatter_add_(
                1, labels, gradient.new_tensor(-1.0).expand(labels.shape)
            ).mul_(weights)
        return value

    def gradient_derivative(self, output: Tensor, target: Tensor, weights: Tensor, direction: Tensor) -> Tensor:
        """See :class:`Objective`."""
        share = output.softmax(1)
        change = share * direction
        return change.addcmul_(share, change.sum(1, keepdim=True), value=-1.0).mul_(weights)


@dataclass(frozen=True)
class BinaryLogistic(Objective):
    """Mean of ``log(1 + exp(-output))`` for label 1, ``log(1 + exp(output))`` for label 0."""

    def check_targets(self, values: F64, n_outputs: int) -> None:
        """Labels must be 0 or 1."""
        super().check_targets(values, n_outputs)
        if not np.all(np.isin(values, (0.0, 1.0))):
            raise ValueError("labels must be 0 or 1 for BinaryLogistic. Got other values.")

    def value_and_gradient(self, output: Tensor, target: Tensor, weights: Tensor, gradient: Tensor | None) -> Tensor:
        """See :class:`Objective`."""
        # log(1 + e^o) - y o, without overflow: softplus(-|o|) + max(o, 0) - y o
        value = output.abs().neg_().exp_().log1p_().add_(output.clamp_min(0.0)).sub_(target * output).mul_(weights)
        if gradient is not None:
            gradient.copy_(output).sigmoid_().sub_(target).mul_(weights).div_(output.shape[1])
        return value.flatten(1).sum(1) / output.shape[1]

    def gradient_derivative(self, output: Tensor, target: Tensor, weights: Tensor, direction: Tensor) -> Tensor:
        """See :class:`Objective`."""
        # sigmoid(o) (1 - sigmoid(o)), without cancellation
        spread = output.sigmoid().mul_(output.neg().sigmoid_())
        return spread.mul_(direction).mul_(weights).div_(output.shape[1])


@dataclass(frozen=True)
class HalfSquare(Objective):
    """Half the mean over points of the squared error, averaged or summed over the outputs; of the values as they are.

    Targets are never rescaled, so that losses, gradients and curvatures are those of the data given: what studies of
    sharpness and of learning rates speak of.

    Attributes:
        over_outputs: ``"mean"`` or ``"sum"``.

    Raises:
        ValueError: For another word.
    """

    over_outputs: str = "mean"

    def __post_init__(self) -> None:
        if self.over_outputs not in ("mean", "sum"):
            raise ValueError(f"over_outputs must be 'mean' or 'sum'. Got {self.over_outputs!r}.")

    def _share(self, n_outputs: int) -> float:
        """What the squared error of one output counts."""
        return 1.0 / n_outputs if self.over_outputs == "mean" else 1.0

    def value_and_gradient(self, output: Tensor, target: Tensor, weights: Tensor, gradient: Tensor | None) -> Tensor:
        """See :class:`Objective`."""
        residual, share = output.sub_(target), self._share(output.shape[1])
        weighted = residual * weights if gradient is None else _multiply(residual, weights, gradient)
        value = residual.mul_(weighted).flatten(1).sum(1) * (0.5 * share)
        if gradient is not None:
            gradient.mul_(share)
        return value

    def gradient_derivative(self, output: Tensor, target: Tensor, weights: Tensor, direction: Tensor) -> Tensor:
        """See :class:`Objective`."""
        return (direction * weights).mul_(self._share(output.shape[1]))


_OBJECTIVES: dict[str, type[Objective]] = {
    "mean_square": MeanSquare,
    "half_square": HalfSquare,
    "lp_power": LpPower,
    "softmax_cross_entropy": SoftmaxCrossEntropy,
    "binary_logistic": BinaryLogistic,
}


def _multiply(a: Tensor, b: Tensor, out: Tensor) -> Tensor:
    """``out = a * b``."""
    return out.copy_(a).mul_(b)


def _name(kind: type[Objective]) -> str:
    """Name under which a loss is known in specs."""
    return next((name for name, known in _OBJECTIVES.items() if known is kind), kind.__qualname__)


def objective_from_spec(spec: dict[str, Any]) -> Objective:
    """The loss described by ``Objective.to_spec``.

    Raises:
        ValueError: For an unknown name or an unknown setting, naming the known ones.

    Example:
        >>> objective_from_spec({"objective": "lp_power", "p": 8.0})
        LpPower(p=8.0)
    """
    settings = dict(spec)
    name = settings.pop("objective", None)
    if name not in _OBJECTIVES:
        raise ValueError(f"objective must be one of {', '.join(_OBJECTIVES)}. Got {name!r}.")
    known = [f.name for f in fields(_OBJECTIVES[name])]
    if unknown := sorted(set(settings) - set(known)):
        raise ValueError(f"{name} has the settings {', '.join(known) or '(none)'}. Got {', '.join(unknown)}.")
    return _OBJECTIVES[name](**settings)
