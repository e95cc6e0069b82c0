"""Models outside fully connected networks, trained by the same stages: their losses are differentiated by autograd."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from approxrates.backends import Layout
from approxrates.backends.autograd import FlatLayout
from approxrates.measurements import Measurement, get_measurements
from approxrates.models import Model
from approxrates.objectives import Objective
from approxrates.seeds import seed_for
from approxrates.training.base import Progress, Stage
from approxrates.training.checks import check_whole, member_penalties, present_device, writable_checkpoint
from approxrates.training.fit import DTYPES
from approxrates.training.job import check_measurements
from approxrates.training.model_run import ModelFit, ModelRun
from approxrates.training.plans import stages_of

F64 = NDArray[np.float64]


def train_model(
    model: Model,
    data: Mapping[str, ArrayLike],
    *,
    replicas: int | Sequence[int] = 1,
    plan: Any,
    coefficients: Mapping[str, float | Sequence[float]] | None = None,
    l2_penalty: float | Sequence[float] = 0.0,
    batch_size: int | None = None,
    batch_data: Mapping[str, ArrayLike] | None = None,
    start: str | ArrayLike = "random",
    seed: int = 0,
    dtype: str = "float64",
    device: str = "cpu",
    measure: Sequence[Any] = (),
    strict: bool = False,
    progress: Progress | None = None,
    checkpoint: str | Path | None = None,
) -> ModelFit:
    """Replicas of a model fitted to data by the stages of :func:`approxrates.train`.

    The result of a replica depends on model, data, plan, seed, dtype, batch size, and on its own number, coefficients,
    penalty and start: bit for bit the same alone or among others.

    Args:
        model: The model.
        data: Its tables by name, ``(n, ...)`` each; see the model's ``tables``.
        replicas: How many, or their numbers: starts and learning rates that are dealt out go by them.
        plan: A list of stages. Those that look into networks (SOAP, Levenberg-Marquardt, minimax, points that follow
            the error) cannot train a model.
        coefficients: The model's coefficients by name, one number or one for each replica; its defaults if left out.
        l2_penalty: ``gamma >= 0`` of the term ``gamma * sum(theta**2)`` of the loss over the parameters that the model
            has penalised (all, if it does not say otherwise); one number, or one for each replica.
        batch_size: Points of a mini-batch. The data are shuffled once, by the seed, and cut into batches, which
            first-order stages take in turn, the next one after ``swap`` steps. If left out every step is on all data,
            as those of other stages are in any case.
        batch_data: Tables that batches are cut from in place of ``data``, which stay those on which parameters are
            compared: e.g. the same points several times, each time with other noise.
        start: ``"random"``: the model's own. Or parameters to go on from, ``(n_params,)`` or one row for each replica.
        seed: Of starting parameters and batches.
        dtype: ``"float64"`` or ``"float32"``, of the first-order stages; second-order ones are always in double
            precision.
        device: ``"cpu"``, or a torch device such as ``"cuda"``.
        measure: What to measure and when, as in :func:`approxrates.train`; measurements of networks cannot be asked.
        strict: Raise if a replica breaks down, instead of recording it.
        progress: Called as ``progress(stage, step, steps, median_loss)`` a few times a second at most.
        checkpoint: A file in which the state is kept about once a minute, and from which a killed fit goes on.

    Raises:
        ValueError: For an argument out of its range, tables that do not suit the model, or a stage or measurement that
            needs a network.
        TypeError: For an argument of the wrong kind.
        RuntimeError: With ``strict``, if a replica diverged.

    Example:
        >>> import numpy as np
        >>> from approxrates.models import LinearVAE
        >>> from approxrates.training import LBFGS, train_model
        >>> points = np.random.default_rng(0).normal(size=(100, 3)) * [3.0, 1.0, 0.1]
        >>> fit = train_model(LinearVAE(dim=3, latent=2), {"inputs": points}, plan=[LBFGS(steps=300)])
        >>> fit.outcomes[0].failed
        False
    """
    if not isinstance(model, Model):
        raise TypeError(f"model must be a Model. Got {type(model).__name__}. Write e.g. approxrates.models.VAE().")
    tables = _tables(model, data)
    numbers = _numbers(replicas)
    if isinstance(plan, str):
        raise ValueError(f"plan of a model must be a list of stages. Got {plan!r}. Write e.g. [ar.Adam(steps=500)].")
    stages, measurements = stages_of(plan), get_measurements(measure)
    check_whole("seed", seed, 0)
    if batch_size is not None:
        check_whole("batch_size", batch_size, 1)
    elif batch_data is not None:
        raise ValueError("batch_data need a batch_size. Got none. Write e.g. batch_size=250.")
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}. Got {dtype!r}.")
    penalties = member_penalties(l2_penalty, len(numbers), "replica")
    _check_parts(model, stages, measurements, penalised=any(penalties))
    run = ModelRun(
        model, tables, numbers, stages, measurements, _coefficients(model, coefficients or {}, len(numbers)),
        penalties, batch_size, None if batch_data is None else _tables(model, batch_data),
        _starts(model, start, numbers, seed), seed, DTYPES[dtype], present_device(device),
    )  # fmt: skip
    fit = run.fit(progress, writable_checkpoint(checkpoint))
    broken = [i for i, outcome in enumerate(fit.outcomes) if outcome.failed]
    if strict and broken:
        outcome = fit.outcomes[broken[0]]
        raise RuntimeError(f"replica {numbers[broken[0]]} of {model.name}: {outcome.value}. {outcome.sentence}")
    return fit


def _tables(model: Model, data: Mapping[str, ArrayLike]) -> dict[str, F64]:
    """The tables of a model, checked."""
    if not isinstance(data, Mapping):
        raise TypeError(f"data must be tables by name. Got {type(data).__name__}. Write e.g. {{'inputs': points}}.")
    tables = {str(name): _array(f"table {name}", table) for name, table in data.items()}
    model.check(tables)
    return tables


def _array(name: str, given: Any) -> F64:
    """Numbers as an array."""
    try:
        return np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{name} must be an array of numbers. Got {type(given).__name__}.") from None


def _numbers(replicas: int | Sequence[int]) -> list[int]:
    """Numbers of the replicas."""
    if isinstance(replicas, (int, np.integer)):
        check_whole("replicas", replicas, 1)
        return list(range(int(replicas)))
    if isinstance(replicas, (str, bytes)) or not isinstance(replicas, Iterable):
        raise TypeError(f"replicas must be a number, or the numbers of the replicas. Got {replicas!r}.")
    numbers = list(replicas)
    if not numbers:
        raise ValueError("replicas must hold at least one number. Got none. Write e.g. replicas=3.")
    for number in numbers:
        check_whole("replicas", number, 0)
    return [int(number) for number in numbers]


def _coefficients(model: Model, given: Mapping[str, float | Sequence[float]], n: int) -> dict[str, list[float]]:
    """By name one number for each replica."""
    if not isinstance(given, Mapping):
        raise TypeError(
            f"coefficients must be numbers by name. Got {type(given).__name__}. Write e.g. {{'beta': 1.0}}."
        )
    if unknown := sorted(map(str, set(given) - set(model.coefficients))):
        known = ", ".join(model.coefficients) or "none"
        raise ValueError(f"{model.name} has the coefficients {known}. Got {', '.join(unknown)}.")
    chosen = {}
    for name, default in model.coefficients.items():
        values = _array(name, given.get(name, default))
        if values.shape not in ((), (n,)) or not np.all(np.isfinite(values)):
            raise ValueError(f"{name} must be one finite number, or one for each of {n} replicas. Got {given[name]!r}.")
        chosen[name] = np.broadcast_to(values, (n,)).tolist()
    return chosen


def _starts(model: Model, start: Any, numbers: Sequence[int], seed: int) -> F64:
    """Starting parameters ``(N, n_params)``."""
    if isinstance(start, str):
        if start != "random":
            raise ValueError(f"start must be 'random' or an array of parameters. Got {start!r}.")
        seeds = [seed_for("model", model=model.key, replica=number, seed=seed) for number in numbers]
        return np.stack([model.initialise(one) for one in seeds])
    rows, n = _array("start", start), model.n_params
    if rows.shape not in ((n,), (len(numbers), n)) or not np.all(np.isfinite(rows)):
        raise ValueError(
            f"start must hold finite parameters, shape ({n},) or ({len(numbers)}, {n}). Got shape {rows.shape}."
        )
    return np.array(np.broadcast_to(rows, (len(numbers), n)))


def _check_parts(
    model: Model, stages: Sequence[Stage], measurements: Sequence[Measurement], *, penalised: bool
) -> None:
    """Refuse what needs to look into a network, or cannot take a penalty."""
    for stage in stages:
        if stage.needs_network:
            raise ValueError(
                f"the stage {stage.name} needs a fully connected network. Got a model. "
                "Use ar.Adam or ar.SGD (with adapt=False), ar.LBFGS or ar.SelfScaledBFGS."
            )
        if penalised and not stage.takes_penalty:
            raise ValueError(f"the stage {stage.name} takes no L2 penalty. Got one. Use ar.Adam or ar.LBFGS.")
    # Those that look at layers or at the loss by name refuse a layout that has none, and an objective that is none.
    check_measurements(measurements, stages, cast(Layout, FlatLayout(model.n_params)), cast(Objective, None))
