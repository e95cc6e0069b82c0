"""What a model is: named blocks in one vector of parameters, and a loss of that vector on tables of data."""

from __future__ import annotations

import dataclasses
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Block:
    """A named array of parameters.

    Attributes:
        name: By which the model finds it.
        shape: Of the array; for weights ``(n_out, n_in)``.
        penalised: Whether an L2 penalty counts it.
    """

    name: str
    shape: tuple[int, ...]
    penalised: bool = True

    @property
    def size(self) -> int:
        """Parameters in the block."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Model(ABC):
    """A differentiable loss of a vector of parameters, for :func:`approxrates.train_model`.

    The loss is a mean over the rows of its tables, made of differentiable torch operations only: no writing in place,
    no branch on a value, no random number. Whatever noise it needs is a table. So it is a deterministic function that
    ``torch.func`` can differentiate twice and map over replicas.

    Numbers that differ between replicas, such as the weight of a term, are ``coefficients``: scalars that stand among
    the tables under their names.
    """

    name: ClassVar[str]
    recipe: ClassVar[int] = 1
    """Raised whenever the numbers of the model change."""

    tables: ClassVar[tuple[str, ...]]
    """Names of the tables that the loss reads; the first axis of each is the points."""

    coefficients: ClassVar[Mapping[str, float]] = {}
    """Scalars that every replica may have its own of, with their defaults."""

    @property
    @abstractmethod
    def blocks(self) -> tuple[Block, ...]:
        """The arrays of parameters, in the order in which the vector holds them."""

    @abstractmethod
    def initialise(self, seed: int) -> F64:
        """Starting parameters, shape ``(n_params,)``."""

    @abstractmethod
    def loss(self, theta: Tensor, data: Mapping[str, Tensor]) -> Tensor:
        """The loss, a scalar.

        Args:
            theta: Parameters, ``[n_params]``.
            data: The tables ``[n, ...]``, and the coefficients as scalars.
        """

    @property
    def n_params(self) -> int:
        """Parameters of the model."""
        return sum(block.size for block in self.blocks)

    @property
    def penalised_mask(self) -> NDArray[np.bool_]:
        """Which parameters an L2 penalty counts, shape ``(n_params,)``."""
        return np.concatenate([np.full(block.size, block.penalised) for block in self.blocks])

    def parts(self, theta: Tensor) -> dict[str, Tensor]:
        """The blocks of a vector ``[n_params]`` by name, as views."""
        found, offset = {}, 0
        for block in self.blocks:
            found[block.name] = theta[offset : offset + block.size].reshape(block.shape)
            offset += block.size
        return found

    def joined(self, parts: Mapping[str, F64]) -> F64:
        """The vector ``(n_params,)`` of some blocks; those left out are zero."""
        if unknown := sorted(set(parts) - {block.name for block in self.blocks}):
            raise ValueError(
                f"{self.name} has the blocks {', '.join(b.name for b in self.blocks)}. Got {', '.join(unknown)}."
            )
        return np.concatenate(
            [np.broadcast_to(parts.get(block.name, np.zeros(())), block.shape).ravel() for block in self.blocks]
        ).astype(np.float64)

    def check(self, data: Mapping[str, NDArray[Any]]) -> int:
        """Number of points, after a check of the tables.

        Raises:
            ValueError: For tables that are missing, unknown, empty, of different lengths, or not finite.
        """
        if set(data) != set(self.tables):
            raise ValueError(
                f"{self.name} needs the tables {', '.join(self.tables)}. Got {', '.join(sorted(data)) or 'none'}."
            )
        lengths = {name: len(np.atleast_1d(table)) for name, table in data.items()}
        if len(set(lengths.values())) != 1 or not all(lengths.values()):
            told = ", ".join(f"{name}: {length}" for name, length in lengths.items())
            raise ValueError(f"tables must have one row for each point, and at least one. Got rows {told}.")
        for name, table in data.items():
            if not np.all(np.isfinite(table)):
                raise ValueError(f"table {name} must be finite. Got NaN or infinity. Drop those rows.")
        return lengths[self.tables[0]]

    def to_spec(self) -> dict[str, Any]:
        """Plain data that tells the model from others."""
        settings = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}
        return {"model": self.name, "recipe": self.recipe} | plain

    @property
    def key(self) -> str:
        """Text that tells the model from others."""
        return json.dumps(self.to_spec(), sort_keys=True, separators=(",", ":"))
