"""Minimax: a stage that lowers the largest error over the sampling points, by reweighting them or by rising powers."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import torch
from torch import Tensor

from approxrates.activations import Activation
from approxrates.backends import Ensemble, Layout
from approxrates.objectives import LpPower, MeanSquare, Objective
from approxrates.training.base import Descent, Outcome, Population, Sight, Stage, State, Watch, check_number
from approxrates.training.levenberg_marquardt import LevenbergMarquardt
from approxrates.training.soap import SOAP
from approxrates.training.ssbfgs import SelfScaledBFGS

_ROUNDS = {"lawson": 20, "rising_p": 4}
_INNER = ("auto", "lm", "ssbfgs", "soap")
_LM_PARAMS = 600
_BFGS_PARAMS = 1600
_EAGERNESS = 0.5
_LEAST_SHARE = 0.05
_MOST_SCALE = 690.0
_MOST_POWERS = 6


@dataclasses.dataclass(frozen=True)
class Minimax(Stage):
    """Lowers the largest error of networks that fit well on average; use it last.

    ``"lawson"`` fits weighted mean squares again and again, the weights of the points growing with their errors.
    ``"rising_p"`` fits means of ``|error|**p`` with p = 4, 8, 16 and so on. Of everything seen on the way, the start
    included, each replica keeps the parameters of the least maximum over the points of the full set: never worse than
    at the beginning by this measure, though its loss may rise.

    Attributes:
        steps: Most steps of the inner stage, all rounds together.
        method: ``"lawson"`` or ``"rising_p"``.
        inner: Who does the steps: ``"lm"``, ``"ssbfgs"`` or ``"soap"``; ``"auto"`` takes the first for smooth
            activations, one output and up to 600 parameters, the second for smooth ones up to 1600, else the third.
        rounds: Weightings, 20 if left out, or powers, 4 if left out; no more than steps.
        learning_rate: Peak learning rate, for ``"soap"``.

    Raises:
        ValueError: If a setting is out of its range or unknown.
        TypeError: If a setting is of the wrong kind.

    Reference:
        Lawson (1961), PhD thesis, UCLA (the reweighting, for linear approximation).
    """

    name: ClassVar[str] = "minimax"
    needs_float64: ClassVar[bool] = True
    takes_penalty: ClassVar[bool] = False

    method: str = "lawson"
    inner: str = "auto"
    rounds: int | None = None
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, known in (("method", tuple(_ROUNDS)), ("inner", _INNER)):
            value = getattr(self, name)
            if value not in known:
                raise ValueError(f"{name} of minimax must be one of {', '.join(known)}. Got {value!r}.")
        if self.rounds is not None:
            if isinstance(self.rounds, bool) or not isinstance(self.rounds, int):
                raise TypeError(f"rounds of minimax must be an integer. Got {self.rounds!r}. Write e.g. rounds=20.")
            most = math.inf if self.method == "lawson" else _MOST_POWERS + 1
            check_number(self.name, "rounds", self.rounds, 1, most)
        check_number(self.name, "learning_rate", self.learning_rate, 0.0, closed=False)
        if self.method == "rising_p" and self.inner == "lm":
            raise ValueError("inner of minimax must not be 'lm' for rising powers. Got 'lm'. Write inner='ssbfgs'.")

    @property
    def n_rounds(self) -> int:
        """Rounds that are done."""
        return min(self.steps, self.rounds or _ROUNDS[self.method])

    @property
    def needs_network(self) -> bool:
        """See :class:`Stage`."""
        return True

    def check(self, layout: Layout, objective: Objective) -> None:
        """See :class:`Stage`."""
        if not isinstance(objective, (MeanSquare, LpPower)):
            raise ValueError(
                f"the stage minimax needs the objective MeanSquare or LpPower. Got {type(objective).__name__}. "
                "Write objective=ar.MeanSquare()."
            )
        self.stage_within(layout).check(layout, MeanSquare())

    def stage_within(self, layout: Layout) -> Stage:
        """The inner stage of one round, for networks of this shape."""
        steps, inner = self.steps // self.n_rounds, self.inner
        if inner == "auto":
            inner = self._suited(layout)
        if inner == "lm":
            # Already near a minimum: the first damping of a fresh start would take a round to come down.
            return LevenbergMarquardt(steps=steps, damping=1e-10, patience=steps + 1)
        if inner == "ssbfgs":
            return SelfScaledBFGS(steps=steps, patience=steps + 1)
        return SOAP(steps=steps, learning_rate=self.learning_rate, warm_up=min(20, steps // 4))

    def _suited(self, layout: Layout) -> str:
        """The inner stage that suits the activation and the size."""
        if not _has_slope_everywhere(layout.activation) or layout.n_params > _BFGS_PARAMS:
            return "soap"
        squares = self.method == "lawson" and layout.n_outputs == 1 and layout.n_params <= _LM_PARAMS
        return "lm" if squares else "ssbfgs"

    def begin(self, ensemble: Ensemble, theta: Tensor, watch: Watch) -> Descent:
        """See :class:`Stage`."""
        self.check(ensemble.layout, ensemble.objective)
        return _MinimaxDescent(self, ensemble, theta, watch)

    def bytes_per_replica(self, layout: Layout, n_points: int) -> int:
        """See :class:`Stage`: the inner stage, and points, values and weights of its own for each replica."""
        own = 8 * n_points * (layout.dim + 2 * layout.n_outputs + 4)
        return self.stage_within(layout).bytes_per_replica(layout, n_points) + own + 4 * 8 * layout.stride


class _MinimaxDescent(Descent):
    """Minimax at work; a stretch is a round. Replicas go on together to the end, each with weights of its own."""

    def __init__(self, stage: Minimax, ensemble: Ensemble, theta: Tensor, watch: Watch) -> None:
        self.stage, self.ensemble, self.watch = stage, ensemble, watch
        self.inner = stage.stage_within(ensemble.layout)
        self.theta, self.best = theta, theta.clone()
        self.errors = self._errors(theta)
        self.sup = self.errors.amax((1, 2))
        self.weights = ensemble.weights().clone()
        self.round = 0

    def advance(self) -> bool:
        """See :class:`Descent`."""
        self.theta = self._fit(self._lawson() if self.stage.method == "lawson" else self._power())
        self.errors = self._errors(self.theta)
        sup = self.errors.amax((1, 2))
        lower = sup < self.sup
        self.best = torch.where(lower[:, None], self.theta, self.best)
        self.sup = torch.where(lower, sup, self.sup)
        self.round += 1
        if self.round < self.stage.n_rounds:
            return True
        self._finish()
        return False

    def _errors(self, theta: Tensor) -> Tensor:
        """Largest error of the outputs at each point, ``[n, 1, M]``: zero at padding, infinite where undefined."""
        errors = self.ensemble.outputs(theta).sub_(self.ensemble.values()).abs_().amax(1, keepdim=True)
        errors.masked_fill_(self.ensemble.weights() == 0.0, 0.0)
        return torch.nan_to_num(errors, nan=float("inf"))

    def _lawson(self) -> Ensemble:
        """The mean square with weights that have grown with the errors."""
        shares = self.errors / (self.weights * self.errors).sum(2, keepdim=True)
        shares = torch.nan_to_num(shares, nan=1.0, posinf=1.0)
        self.weights.mul_((shares + _LEAST_SHARE).pow_(_EAGERNESS))
        self.weights.div_(self.weights.sum(2, keepdim=True))
        return self.ensemble.with_objective(MeanSquare()).reweighted(self.weights)

    def _power(self) -> Ensemble:
        """The mean of a power of the errors, over that power of the largest: the weights take up the scale."""
        power = 2.0 ** (2 + self.round)
        scales = [math.exp(min(_MOST_SCALE, -power * math.log(sup))) if sup > 0.0 else 1.0 for sup in self.sup.tolist()]
        weights = self.ensemble.weights() * self.sup.new_tensor(scales)[:, None, None]
        return self.ensemble.with_objective(LpPower(power)).reweighted(weights)

    def _fit(self, ensemble: Ensemble) -> Tensor:
        """The best parameters by the loss of this round, from the best so far by the largest error."""
        people = Population(self.best.clone(), self.watch.replicas)
        watch = Watch(people, range(len(self.best)), self.inner.name, self.inner.steps, None)
        watch.record(self.best, ensemble.value(self.best), 0)
        descent = self.inner.begin(ensemble, self.best.clone(), watch)
        while descent.advance():
            pass
        for place, steps in enumerate(people.steps):
            self.watch.count(place, steps)
        self.watch.report((self.round + 1) * self.inner.steps, self.sup)
        return people.theta

    def _finish(self) -> None:
        """Leave the best by the largest error in the record, whatever their loss."""
        loss, n = self.ensemble.value(self.best), len(self.best)
        self.watch.observe(Sight(self.ensemble, self.best, [self.stage.steps] * n, [True] * n))
        self.watch.record(self.best, loss, self.round * self.inner.steps)
        self.watch.replace(self.best, loss)
        self.watch.drop([Outcome.BUDGET_SPENT] * len(self.best))

    def state(self) -> State:
        """See :class:`Descent`."""
        names = ("theta", "best", "sup", "errors", "weights", "round")
        return {name: getattr(self, name) for name in names}

    def restore(self, state: State) -> None:
        """See :class:`Descent`."""
        for name in ("theta", "best", "sup", "errors", "weights"):
            getattr(self, name).copy_(state[name])
        self.round = state["round"]


def _has_slope_everywhere(activation: Activation) -> bool:
    """Whether the loss has a continuous gradient, as second-order stages want it."""
    return all(not part.breakpoints or (part.degree or 0) > 1 for part in activation.parts or (activation,))
