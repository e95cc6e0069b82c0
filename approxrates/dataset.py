"""Data to fit that are no function on the unit cube: points anywhere, several values at each, repetitions allowed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Inputs and outputs, for :func:`approxrates.train` in place of a target. No smoothness is claimed of it.

    Two datasets are equal if their numbers and names are.

    Attributes:
        name: Label for tables and figures.
        inputs: Shape ``(n, dim)``.
        outputs: Shape ``(n, n_outputs)``; class labels are one column.

    Raises:
        TypeError: If they are not arrays of numbers.
        ValueError: For shapes that do not match, no points, or values that are not finite.

    Example:
        >>> data = Dataset("xor", [[0, 0], [0, 1], [1, 0], [1, 1]], [[0], [1], [1], [0]])
        >>> data.dim, data.n_outputs, len(data)
        (2, 1, 4)
    """

    name: str
    inputs: F64
    outputs: F64
    _digest: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("inputs", "outputs"):
            try:
                given = np.asarray(getattr(self, name))
                if given.dtype.kind == "c":
                    raise TypeError
                array = np.array(given, dtype=np.float64)
            except (TypeError, ValueError, OverflowError):
                raise TypeError(
                    f"{name} must be an array of numbers. Got {type(getattr(self, name)).__name__}."
                ) from None
            if array.ndim != 2 or not array.size:
                raise ValueError(f"{name} must have shape (n, k) with n, k >= 1. Got shape {array.shape}.")
            if not np.all(np.isfinite(array)):
                raise ValueError(f"{name} must be finite. Got NaN or infinity. Drop those rows.")
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if len(self.inputs) != len(self.outputs):
            raise ValueError(
                f"inputs and outputs must have one row for each point. Got {len(self.inputs)} and {len(self.outputs)}."
            )
        parts = (str(self.inputs.shape).encode(), self.inputs.tobytes(), self.outputs.tobytes())
        object.__setattr__(self, "_digest", hashlib.sha256(b"".join(parts)).hexdigest())

    def __len__(self) -> int:
        return len(self.inputs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dataset) and (self.name, self._digest) == (other.name, other._digest)

    def __hash__(self) -> int:
        return hash((self.name, self._digest))

    @property
    def dim(self) -> int:
        """Inputs of a network."""
        return int(self.inputs.shape[1])

    @property
    def n_outputs(self) -> int:
        """Values at a point."""
        return int(self.outputs.shape[1])

    @property
    def samples(self) -> tuple[F64, F64]:
        """Inputs and outputs."""
        return self.inputs, self.outputs

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What tells it from others, as plain data."""
        return {"data": self._digest, "label": self.name}

    @property
    def key(self) -> str:
        """Text that tells it from others."""
        return f"{self.name}:{self._digest}"
