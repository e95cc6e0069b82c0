"""Many replicas of a model whose loss is written in torch: values, gradients and Hessians by automatic differentiation.

The face is that of :class:`approxrates.backends.Ensemble` as far as stages and measurements go that know nothing of
networks. Replicas are computed one after the other, each from a row of its own that begins at a multiple of 128 bytes:
so no result can depend on companions. Mapping the loss over the replicas (``torch.func.vmap``) does not keep that on
all shapes, since products of shared data with the weights of several replicas become one larger product, and it gains
little.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from approxrates.backends.layout import padded
from approxrates.models import Model


@dataclass(frozen=True)
class FlatLayout:
    """Rows of parameters that no stage may look into.

    Attributes:
        n_params: Parameters of one replica.
    """

    n_params: int

    @property
    def stride(self) -> int:
        """Length of a row, padding included."""
        return padded(self.n_params)

    def pack(self, plain: NDArray[np.float64]) -> Tensor:
        """Rows ``[N, stride]``, float64, from plain parameter vectors ``(N, n_params)``."""
        rows = np.zeros((len(plain), self.stride))
        rows[:, : self.n_params] = plain
        return torch.from_numpy(rows)

    def unpack(self, rows: Tensor) -> NDArray[np.float64]:
        """Plain parameter vectors ``(N, n_params)``, float64, from rows."""
        return np.array(rows[:, : self.n_params].detach().to("cpu", torch.float64).numpy())


class AutogradEnsemble:
    """Loss, gradient and Hessian of N replicas of a model on common data, each with coefficients of its own.

    Args:
        model: The model.
        data: Its tables, ``(n, ...)``.
        coefficients: For each replica its coefficients by name, ``[N]`` each; those of the model left out have their
            defaults.
        n_replicas: Number of replicas N.
        batch_size: Points of a mini-batch: consecutive rows of the tables are the point sets, the last one perhaps
            smaller, before the full set. None for the full set alone.
        batch_data: Tables that the mini-batches are cut from, if not ``data``.
        dtype: Of the computation.
        device: Of the computation.
        l2_penalty: For each replica ``gamma`` of the term ``gamma * sum(theta**2)`` of its loss, over the parameters
            that the model has penalised: all, unless it says otherwise; None for no such term.
    """

    backend = "autograd"
    compiled_steps = None

    def __init__(
        self,
        model: Model,
        data: Mapping[str, NDArray[np.float64] | Tensor],
        n_replicas: int,
        *,
        coefficients: Mapping[str, Sequence[float] | Tensor] | None = None,
        batch_size: int | None = None,
        batch_data: Mapping[str, NDArray[np.float64] | Tensor] | None = None,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
        l2_penalty: Sequence[float] | Tensor | None = None,
    ) -> None:
        self.model, self.dtype, self.device = model, dtype, torch.device(device)
        tables = {name: self._tensor(table) for name, table in data.items()}
        source = tables if batch_data is None else {name: self._tensor(table) for name, table in batch_data.items()}
        n = len(source[model.tables[0]])
        cuts = [*range(0, n, batch_size), n] if batch_size and (batch_size < n or batch_data is not None) else []
        self._sets = [{k: t[a:b] for k, t in source.items()} for a, b in itertools.pairwise(cuts)] + [tables]
        own = {name: self._tensor(np.full(n_replicas, value)) for name, value in model.coefficients.items()}
        own |= {name: self._tensor(values) for name, values in (coefficients or {}).items()}
        assert set(own) == set(model.coefficients), "coefficients are checked at the front door"
        assert all(len(values) == n_replicas for values in own.values()), "one coefficient for each replica"
        self.coefficients = own
        self.l2_penalty = None if l2_penalty is None else self._tensor(l2_penalty)
        assert self.l2_penalty is None or len(self.l2_penalty) == n_replicas, "one penalty for each replica"
        self._penalised = torch.as_tensor(model.penalised_mask, dtype=dtype, device=self.device)
        self._n = n_replicas

    def _tensor(self, values: Any) -> Tensor:
        """Numbers in the type of the computation; a copy, as arrays of datasets cannot be written and torch minds."""
        given = values if isinstance(values, Tensor) else np.array(values)
        return torch.as_tensor(given, dtype=self.dtype, device=self.device)

    def _with(self, n: int, coefficients: dict[str, Tensor], l2_penalty: Tensor | None) -> AutogradEnsemble:
        """The same with other replicas."""
        other = object.__new__(AutogradEnsemble)
        other.__dict__ |= self.__dict__
        other._n, other.coefficients, other.l2_penalty = n, coefficients, l2_penalty
        return other

    def __len__(self) -> int:
        return self._n

    @property
    def layout(self) -> FlatLayout:
        """How long a row is."""
        return FlatLayout(self.model.n_params)

    @property
    def n_sets(self) -> int:
        """Number of point sets; the last one is the full set, on which parameters are compared."""
        return len(self._sets)

    def subset(self, rows: Tensor) -> AutogradEnsemble:
        """The same for some of the replicas only; ``rows`` are indices."""
        penalty = None if self.l2_penalty is None else self.l2_penalty[rows]
        return self._with(len(rows), {name: values[rows] for name, values in self.coefficients.items()}, penalty)

    def unpenalised(self) -> AutogradEnsemble:
        """The same without the penalty: the error alone."""
        return self if self.l2_penalty is None else self._with(self._n, self.coefficients, None)

    def to(self, dtype: torch.dtype) -> AutogradEnsemble:
        """The same in another precision."""
        if dtype == self.dtype:
            return self
        penalty = None if self.l2_penalty is None else self.l2_penalty.to(dtype)
        other = self._with(self._n, {name: values.to(dtype) for name, values in self.coefficients.items()}, penalty)
        other.dtype, other._penalised = dtype, self._penalised.to(dtype)
        other._sets = [{name: table.to(dtype) for name, table in tables.items()} for tables in self._sets]
        return other

    def data(self, place: int, set_index: int = -1) -> dict[str, Tensor]:
        """What the loss of one replica reads: the tables of a point set, and its coefficients as scalars."""
        return self._sets[set_index] | {name: values[place] for name, values in self.coefficients.items()}

    def loss(self, place: int, set_index: int = -1) -> Callable[[Tensor], Tensor]:
        """The loss of one replica as a function of its parameters ``[n_params]``, penalty included."""
        data, gamma = self.data(place, set_index), None if self.l2_penalty is None else self.l2_penalty[place]

        def loss(theta: Tensor) -> Tensor:
            error = self.model.loss(theta, data)
            return error if gamma is None else error + gamma * (self._penalised * theta * theta).sum()

        return loss

    def value(self, theta: Tensor, set_index: int = -1) -> Tensor:
        """Losses ``[N]`` on one of the point sets.

        Args:
            theta: Parameter rows ``[N, stride]``.
            set_index: Which set.
        """
        with torch.no_grad():
            return torch.stack([self.loss(i, set_index)(row) for i, row in enumerate(self._rows(theta))])

    def value_and_gradient(self, theta: Tensor, gradient: Tensor, set_index: int = -1) -> Tensor:
        """Losses ``[N]`` on one of the point sets; their gradients are written into ``gradient [N, stride]``."""
        values = []
        for i, row in enumerate(self._rows(theta)):
            with torch.enable_grad():
                row.requires_grad_()
                value = self.loss(i, set_index)(row)
                (slope,) = torch.autograd.grad(value, row)
            gradient[i, : len(row)] = slope
            values.append(value.detach())
        gradient[:, self.model.n_params :] = 0.0
        return torch.stack(values)

    def _rows(self, theta: Tensor) -> list[Tensor]:
        """The parameters of each replica, ``[n_params]``, sharing memory with the rows."""
        assert theta.shape == (self._n, self.layout.stride), "one row for each replica"
        return [row[: self.model.n_params] for row in theta.detach()]

    def hessian(self, theta: Tensor, set_index: int = -1) -> AutogradHessian:
        """The Hessians of the losses, penalty included, at these parameters, as products with directions.

        Args:
            theta: Parameter rows ``[N, stride]``.
            set_index: Which set.
        """
        return AutogradHessian(self, theta, set_index)


class AutogradHessian:
    """Hessians ``H_F`` of N replicas as products with directions: gradients of the gradient along a direction.

    The graph of the gradient is built once and used again for as long as products of one replica are asked for; that of
    one replica is kept at a time, since it takes several times the memory of the data.

    Args:
        ensemble: Losses of the replicas.
        theta: Parameter rows ``[N, stride]``; products are computed in its type. Nothing follows it if it changes.
        set_index: Which point set.
    """

    def __init__(self, ensemble: AutogradEnsemble, theta: Tensor, set_index: int = -1) -> None:
        self.ensemble, self.theta, self.set_index = ensemble.to(theta.dtype), theta.detach().clone(), set_index
        self._kept: tuple[int, Tensor, Tensor] | None = None

    def __len__(self) -> int:
        return len(self.theta)

    @property
    def layout(self) -> FlatLayout:
        """How long a row is."""
        return self.ensemble.layout

    @property
    def n_params(self) -> int:
        """Parameters of one replica: the order of the matrix; entries of a row beyond are padding."""
        return self.ensemble.model.n_params

    @property
    def l2_penalty(self) -> Tensor | None:
        """What the sum of squared parameters counts in the loss of each replica, ``[N]``; None for nothing."""
        return self.ensemble.l2_penalty

    @functools.cached_property
    def value(self) -> Tensor:
        """Losses F at ``theta``, ``[N]``."""
        return self.ensemble.value(self.theta, self.set_index)

    @functools.cached_property
    def gradient(self) -> Tensor:
        """Gradients of F at ``theta``, ``[N, stride]``."""
        gradient = torch.zeros_like(self.theta)
        self.ensemble.value_and_gradient(self.theta, gradient, self.set_index)
        return gradient

    def subset(self, rows: Tensor) -> AutogradHessian:
        """The same for some of the replicas only; ``rows`` are indices."""
        return AutogradHessian(self.ensemble.subset(rows), self.theta[rows], self.set_index)

    def products(self, directions: Tensor) -> Tensor:
        """Hessians times one direction for each replica.

        Args:
            directions: Rows ``[N, stride]``; padding is not read.

        Returns:
            Rows ``[N, stride]``, zero in the padding.
        """
        return self.many(directions[:, None])[:, 0]

    def many(self, directions: Tensor) -> Tensor:
        """Hessians times several directions for each replica.

        Args:
            directions: ``[N, q, stride]``.

        Returns:
            ``[N, q, stride]``, zero in the padding.
        """
        directions = directions.detach().to(self.theta.dtype).contiguous()
        found = torch.zeros_like(directions)
        for place, asked in enumerate(directions):
            row, slope = self._graph(place)
            for number, direction in enumerate(asked[:, : self.n_params]):
                (bent,) = torch.autograd.grad(slope, row, direction, retain_graph=True)
                found[place, number, : self.n_params] = bent
        return found

    def _graph(self, place: int) -> tuple[Tensor, Tensor]:
        """Parameters of one replica and its gradient as a function of them."""
        if self._kept is None or self._kept[0] != place:
            self._kept = None
            with torch.enable_grad():
                row = self.theta[place, : self.n_params].detach().requires_grad_()
                (slope,) = torch.autograd.grad(self.ensemble.loss(place, self.set_index)(row), row, create_graph=True)
            self._kept = place, row, slope
        return self._kept[1:]
