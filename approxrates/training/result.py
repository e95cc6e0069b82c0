"""What training returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from approxrates.dataset import Dataset
from approxrates.network import Network
from approxrates.target import Target
from approxrates.training.base import Outcome


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    """Trained networks of one architecture, one for each member.

    Attributes:
        members: ``(target, replica)`` of each network, targets in the order given, replicas of one target together.
        networks: The networks, with the best parameters seen.
        starts: The networks that training began with (of several rounds, the first).
        outcomes: How each fit ended.
        losses: Loss of each on the full sampling set, in the units of the target (for the mean square: squared error),
            shape ``(n_members,)``; infinite if none was ever finite.
        steps: Steps done by each, shape ``(n_members,)``.
        seconds: Wall time of the fit divided by the members trained together, shape ``(n_members,)``.
        attempts: Draws of random weights that each took, more than one if the first were constant on the domain, shape
            ``(n_members,)``.
        rms_at_points: Root mean square error of each on the full sampling set, shape ``(n_members,)``; NaN if the
            target's values are labels.
        sup_at_points: Largest error of each there.
        curves: ``(step, loss)`` of each at its checkpoints, shape ``(n, 2)``; losses of the standardised target.
        last: The networks as training left them, whatever their loss; None where a parameter is not finite, or after
            several rounds.
        measured: By column of each the measurements on their schedules, ``(step, value)``, shape ``(n, 2)``, in the
            units of training.
        final: By column of each the measurements at the returned network, those that speak of the update rule from the
            end of the training; NaN where there is none.
    """

    members: tuple[tuple[Target | Dataset, int], ...]
    networks: tuple[Network, ...]
    starts: tuple[Network, ...]
    outcomes: tuple[Outcome, ...]
    losses: NDArray[np.float64]
    steps: NDArray[np.int64]
    seconds: NDArray[np.float64]
    attempts: NDArray[np.int64]
    rms_at_points: NDArray[np.float64]
    sup_at_points: NDArray[np.float64]
    curves: tuple[NDArray[np.float64], ...]
    last: tuple[Network | None, ...]
    measured: tuple[Mapping[str, NDArray[np.float64]], ...]
    final: tuple[Mapping[str, float], ...]

    def best(self, target: Target | Dataset | None = None, *, by: str = "loss") -> Network:
        """The network of the lowest finite loss, or of the smallest largest error at the sampling points.

        Args:
            target: Which target's; may be left out if there is only one.
            by: ``"loss"`` or ``"sup"``.

        Raises:
            ValueError: If several targets were fitted and none is named, if this one was not, if no loss is finite, or
                for another ``by``.
        """
        if by not in ("loss", "sup"):
            raise ValueError(f"by must be 'loss' or 'sup'. Got {by!r}.")
        fitted = list(dict.fromkeys(member for member, _ in self.members))
        if target is None and len(fitted) > 1:
            raise ValueError(f"best needs a target, since {len(fitted)} were fitted. Got none. Write fit.best(target).")
        if target is not None and target not in fitted:
            raise ValueError(
                f"target must be one of those fitted: {', '.join(t.name for t in fitted)}. Got {target.name}."
            )
        judged = self.losses if by == "loss" else self.sup_at_points
        places = [i for i, (member, _) in enumerate(self.members) if target is None or member == target]
        finite = [i for i in places if np.isfinite(judged[i])]
        if not finite:
            raise ValueError("no replica has a finite loss. Lower the learning rate, or train more replicas.")
        return self.networks[min(finite, key=lambda i: float(judged[i]))]

    @classmethod
    def joined(cls, parts: Sequence[Fit], order: Sequence[int]) -> Fit:
        """Several fits as one, whose member ``i`` is member ``order[i]`` of the parts laid end to end."""

        def take(name: str) -> list[object]:
            everything = [item for part in parts for item in getattr(part, name)]
            return [everything[i] for i in order]

        columns = {field.name: take(field.name) for field in dataclasses.fields(cls)}
        numbers = {"losses": np.float64, "steps": np.int64, "seconds": np.float64, "attempts": np.int64} | {
            "rms_at_points": np.float64, "sup_at_points": np.float64
        }  # fmt: skip
        values = {
            name: np.array(column, dtype=numbers[name]) if name in numbers else tuple(column)
            for name, column in columns.items()
        }
        return cls(**values)  # type: ignore[arg-type]
