"""Levenberg-Marquardt with geodesic acceleration: least squares by damped Gauss-Newton steps, damping per replica.

The products ``J J'`` take most of the time. They are formed for the replicas that moved, one at a time and only below
the diagonal, so that no result depends on companions; all other work is batched. A trial that is refused costs a
factorisation and two forward passes.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from approxrates.backends import Ensemble, Layout
from approxrates.objectives import MeanSquare, Objective
from approxrates.training.base import Descent, Outcome, Sight, Stage, State, Watch, check_number

_ROUNDS = 20
_BLOCK = 96
_PROBE = 0.1
_MOST_BEND = 0.75
_REFUSALS = 14
_LEAST_DAMPING = 1e-32


@dataclasses.dataclass(frozen=True)
class LevenbergMarquardt(Stage):
    """Damped Gauss-Newton steps with a second-order correction, for the mean square of networks with one output.

    A step solves ``(J J' + damping) h = -J r`` and adds half of the acceleration that the residuals show along ``h``.
    The damping follows the gain, the fall of the loss over the fall that the linear model promised. Systems too
    ill-conditioned for the normal equations are solved by orthogonal factors of ``J`` from there on. For smooth
    problems of up to a few hundred parameters; a step takes ``n_params**2 * n_points`` multiplications.

    Attributes:
        steps: Most trial steps, refused ones included.
        damping: First damping, over the largest squared norm of a row of ``J``.
        tolerance: A replica has converged when no component of ``J r`` exceeds this fraction of ``|J| |r|``: nothing
            that its parameters can do would lower the residuals.
        patience: A replica has stalled when over so many steps its loss fell by less than the fraction ``progress``.
        progress: See ``patience``.

    Raises:
        ValueError: If a setting is out of its range.
        TypeError: If a setting is of the wrong kind.

    Reference:
        Levenberg (1944), Quart. Appl. Math. 2; Marquardt (1963), J. SIAM 11; Madsen, Nielsen & Tingleff (2004),
        "Methods for non-linear least squares problems", section 3.2 (the damping); Transtrum & Sethna (2012),
        arXiv:1201.5885 (the acceleration).
    """

    name: ClassVar[str] = "lm"
    needs_float64: ClassVar[bool] = True
    takes_penalty: ClassVar[bool] = False

    damping: float = 1e-3
    tolerance: float = 1e-12
    patience: int = 100
    progress: float = 1e-2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self.name, "damping", self.damping, 0.0, closed=False)
        check_number(self.name, "tolerance", self.tolerance, 0.0)
        check_number(self.name, "patience", self.patience, 1)
        check_number(self.name, "progress", self.progress, 0.0, 1.0)

    @property
    def needs_network(self) -> bool:
        """See :class:`Stage`."""
        return True

    def check(self, layout: Layout, objective: Objective) -> None:
        """See :class:`Stage`."""
        if not isinstance(objective, MeanSquare):
            raise ValueError(
                f"the stage lm needs the objective MeanSquare. Got {type(objective).__name__}. "
                "Write objective=ar.MeanSquare(), or use another stage such as ar.SOAP."
            )
        if layout.n_outputs != 1:
            raise ValueError(
                f"the stage lm needs n_outputs=1. Got n_outputs={layout.n_outputs}. Use ar.SelfScaledBFGS."
            )

    def begin(self, ensemble: Ensemble, theta: Tensor, watch: Watch) -> Descent:
        """See :class:`Stage`."""
        self.check(ensemble.layout, ensemble.objective)
        return _LevenbergMarquardtDescent(self, ensemble, theta, watch)

    def bytes_per_replica(self, layout: Layout, n_points: int) -> int:
        """See :class:`Stage`: the Jacobian, its products and their factor."""
        return 8 * layout.stride * n_points + 2 * 8 * _size(layout) ** 2 + 10 * 8 * layout.stride


class _LevenbergMarquardtDescent(Descent):
    """Levenberg-Marquardt at work; rows of the tensors and entries of the lists are the replicas still going.

    ``normal`` holds ``J J'``, lower triangle, for most replicas; for precise ones the triangular factor of ``J'``.
    """

    def __init__(self, stage: LevenbergMarquardt, ensemble: Ensemble, theta: Tensor, watch: Watch) -> None:
        self.stage, self.ensemble, self.theta, self.watch = stage, ensemble, theta, watch
        self.size = _size(ensemble.layout)
        self.loss = ensemble.value(theta)
        n = len(theta)
        self.damping = theta.new_zeros(n)
        self.refusals, self.steps = [0] * n, [0] * n
        self.precise, self.moved = [False] * n, [True] * n
        self.mark: list[float] = self.loss.tolist()
        self._allocate()

    def _allocate(self) -> None:
        """Buffers for the replicas there are, all of them made anew: they hold nothing that cannot be made again."""
        n, m = len(self.theta), self.ensemble.weights().shape[-1]
        new = self.theta.new_zeros
        self.jacobian = new(n, self.theta.shape[1], m)
        self.normal, self.factor = new(n, self.size, self.size), new(n, self.size, self.size)
        self.slope, self.turned, self.trace = new(n, self.size), new(n, self.size), new(n)
        self.values, self.roots = self.ensemble.values(), self.ensemble.weights().sqrt()

    def advance(self) -> bool:
        """See :class:`Descent`."""
        for _ in range(_ROUNDS):
            self._linearise()
            if not self._leave([self._settled(i, angle) for i, angle in enumerate(self._angles())]):
                return False
            self._trial()
        return True

    def _linearise(self) -> None:
        """Residuals and Jacobian, weighted, at the present parameters, and their products where these have moved."""
        outputs = self.ensemble.jacobian(self.theta, self.jacobian)
        self.residual = outputs.sub_(self.values).mul_(self.roots)
        self.jacobian.mul_(self.roots)
        for i, moved in enumerate(self.moved):
            if moved:
                torch.mv(self.jacobian[i, : self.size], self.residual[i, 0], out=self.slope[i])
                self._multiply(i)
                self.moved[i] = False
            # Rounding errors of the products are as large as the least eigenvalues that the damping lets matter.
            small = bool(self.damping[i] < torch.finfo(self.theta.dtype).eps * self.trace[i])
            if small != self.precise[i]:
                self.precise[i] = small
                self._multiply(i)

    def _multiply(self, i: int) -> None:
        """The products of a replica's Jacobian, or its triangular factor, and their trace; the first damping."""
        if self.precise[i]:
            self._triangulate(i)
            self.trace[i] = self.normal[i].square().sum()
            return
        _lower_products(self.jacobian[i, : self.size], self.normal[i])
        diagonal = self.normal[i].diagonal()
        self.trace[i] = diagonal.sum()
        if not self.damping[i] > 0.0:
            peak = diagonal.max()
            self.damping[i] = self.stage.damping * torch.where(peak > 0.0, peak, torch.ones_like(peak))

    def _triangulate(self, i: int) -> None:
        """Factor the Jacobian of a replica: ``J' = Q R``, so that ``J J' = R' R``; keep ``R`` and ``Q' r``."""
        columns = torch.cat([self.jacobian[i, : self.size], self.residual[i]]).T
        triangle = torch.linalg.qr(columns, mode="r").R
        self.normal[i].zero_()
        rows = min(self.size, len(triangle))
        self.normal[i, :rows] = triangle[:rows, : self.size]
        self.turned[i].zero_()
        self.turned[i, :rows] = triangle[:rows, self.size]

    def _trial(self) -> None:
        """One trial step of every replica: accepted if the loss falls; the damping follows the gain."""
        step = self._steps()
        promised = (step * (self.damping[:, None] * step - self.slope)).sum(1)
        move = torch.zeros_like(self.theta)
        move[:, : self.size] = step
        move[:, : self.size] += self._bend(step, move)
        trial = self.theta + move
        loss = self.ensemble.value(trial)
        gain = (self.loss - loss) / promised
        accepted = (loss < self.loss) & (promised > 0.0)
        self.theta = torch.where(accepted[:, None], trial, self.theta)
        self.loss = torch.where(accepted, loss, self.loss)
        offset = 2.0 * gain - 1.0
        fall = (1.0 - offset * offset * offset).clamp(1.0 / 3.0, 2.0)
        for i, good in enumerate(accepted.tolist()):
            self.steps[i] += 1
            self.moved[i] = good
            self.refusals[i] = 0 if good else self.refusals[i] + 1
        growth = self.damping.new_tensor([2.0**k for k in self.refusals])
        self.damping *= torch.where(accepted, fall, growth)
        self.damping.clamp_(min=_LEAST_DAMPING)

    def _steps(self) -> Tensor:
        """Solutions ``h [n, size]`` of the damped systems; ``factor`` then holds ``U`` with ``U' U`` their matrices."""
        for i in self._factorise():
            self.precise[i] = True
            self._multiply(i)
        # Those of precise replicas are replaced: every row is computed the same way in any company.
        step = -torch.cholesky_solve(self.slope[:, :, None], self.factor, upper=True)[:, :, 0]
        for i, precise in enumerate(self.precise):
            if precise:
                step[i] = self._augment(i)
        return step

    def _factorise(self) -> list[int]:
        """Cholesky factors of the damped normal matrices; which of the plain replicas have none."""
        diagonal = self.normal.diagonal(dim1=1, dim2=2)
        kept = diagonal.clone()
        diagonal.add_(self.damping[:, None])
        info = torch.empty(len(self.normal), dtype=torch.int32, device=self.normal.device)
        torch.linalg.cholesky_ex(self.normal, out=(self.factor.mT, info))
        diagonal.copy_(kept)
        return [i for i, bad in enumerate(info.tolist()) if bad and not self.precise[i]]

    def _augment(self, i: int) -> Tensor:
        """Step of a precise replica from the orthogonal factor of ``[R; sqrt(damping)]``, whose triangle is kept."""
        border = torch.eye(self.size, dtype=self.slope.dtype, device=self.slope.device) * self.damping[i].sqrt()
        upper = torch.cat([self.normal[i], self.turned[i, :, None]], dim=1)
        lower = torch.cat([border, torch.zeros_like(border[:, :1])], dim=1)
        triangle = torch.linalg.qr(torch.cat([upper, lower]), mode="r").R
        self.factor[i] = triangle[: self.size, : self.size]
        right = triangle[: self.size, self.size :].contiguous()
        solution: Tensor = torch.linalg.solve_triangular(self.factor[i], -right, upper=True)[:, 0]
        return solution

    def _bend(self, step: Tensor, move: Tensor) -> Tensor:
        """Half of the acceleration along ``step``; zero where it is no small correction.

        The second derivative of the residuals along the step is a difference quotient, the first is known.
        """
        ahead = self.ensemble.outputs(torch.add(self.theta, move, alpha=_PROBE)).sub_(self.values).mul_(self.roots)
        change, right = ahead.sub_(self.residual).div_(_PROBE), torch.empty_like(step)
        for i, rows in enumerate(self.jacobian[:, : self.size]):
            second = (change[i, 0] - torch.mv(rows.T, step[i])).mul_(2.0 / _PROBE)
            torch.mv(rows, second, out=right[i])
        bend = -0.5 * torch.cholesky_solve(right[:, :, None], self.factor, upper=True)[:, :, 0]
        small = (2.0 * bend.square().sum(1).sqrt() <= _MOST_BEND * step.square().sum(1).sqrt())[:, None]
        return torch.where(small, bend, torch.zeros_like(bend))

    def _angles(self) -> list[float]:
        """Largest component of ``J r`` over ``|J| |r|``; zero where there is nothing left to fit."""
        norms = (self.loss * self.trace).sqrt()
        angles: list[float] = torch.where(norms > 0.0, self.slope.abs().amax(1) / norms, norms).tolist()
        return angles

    def _settled(self, i: int, angle: float) -> Outcome | None:
        """Whether a replica is done."""
        if not angle < float("inf"):
            return Outcome.NON_FINITE
        if angle <= self.stage.tolerance:
            return Outcome.CONVERGED
        if self.steps[i] >= self.stage.steps:
            return Outcome.BUDGET_SPENT
        stuck = self.refusals[i] >= _REFUSALS
        if self.steps[i] and self.steps[i] % self.stage.patience == 0:
            loss = float(self.loss[i])
            stuck = stuck or loss > (1.0 - self.stage.progress) * self.mark[i]
            self.mark[i] = loss
        return Outcome.STALLED if stuck else None

    def _leave(self, finished: list[Outcome | None]) -> bool:
        """Record and take out the replicas that are done; whether any is left."""
        ended = [outcome is not None for outcome in finished]
        self.watch.observe(Sight(self.ensemble, self.theta, self.steps, ended))
        if not any(finished):
            self.watch.report(max(self.steps), self.loss)
            return True
        broken = self.watch.record(self.theta, self.loss, self.steps)
        for place, outcome in enumerate(finished):
            if outcome is not None:
                self.watch.count(place, self.steps[place])
        keep = self.watch.drop(
            [None if done is None else bad or done for done, bad in zip(finished, broken, strict=True)]
        )
        if keep:
            self._keep(keep)
        return bool(keep)

    def _keep(self, places: list[int]) -> None:
        """Go on with these replicas only."""
        rows = torch.tensor(places, dtype=torch.long, device=self.theta.device)
        self.ensemble = self.ensemble.subset(rows)
        kept = (
            "theta",
            "loss",
            "damping",
            "jacobian",
            "normal",
            "slope",
            "turned",
            "trace",
            "values",
            "roots",
            "residual",
        )
        for name in kept:
            setattr(self, name, getattr(self, name)[rows])
        self.factor = torch.zeros_like(self.normal)
        for name in ("refusals", "steps", "precise", "moved", "mark"):
            setattr(self, name, [getattr(self, name)[place] for place in places])

    def state(self) -> State:
        """See :class:`Descent`. Buffers are made again from the parameters."""
        names = ("theta", "loss", "damping", "refusals", "steps", "precise", "mark")
        return {name: getattr(self, name) for name in names}

    def restore(self, state: State) -> None:
        """See :class:`Descent`."""
        for name in ("theta", "loss", "damping"):
            getattr(self, name).copy_(state[name])
        for name in ("refusals", "steps", "precise", "mark"):
            setattr(self, name, list(state[name]))
        self.moved = [True] * len(self.steps)


def _size(layout: Layout) -> int:
    """Order of the systems: the parameters, in whole cache lines, as results of LAPACK depend on the alignment."""
    return -(-layout.n_params // 8) * 8


def _lower_products(rows: Tensor, products: Tensor) -> None:
    """Inner products of all pairs of rows, in blocks: the lower triangle, and what shares a block with the diagonal."""
    for begin in range(0, len(rows), _BLOCK):
        end = min(begin + _BLOCK, len(rows))
        torch.mm(rows[begin:end], rows[:end].T, out=products[begin:end, :end])
