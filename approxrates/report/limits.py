"""What optimisation holds back, in sentences: which sizes are limited, why, and the slope of the training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from approxrates.records.optimisation import BETWEEN, BUDGET, DEPTH, START, refit_ratio, unresolved

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from approxrates.records import Records
    from approxrates.records.curves import FamilyCurve

_WHY = {
    BUDGET: "a larger budget lowers the error",
    BETWEEN: "not fitted again, between two such sizes",
    DEPTH: "a smaller network of the family, which it contains, errs less",
    START: "another start of the same networks errs less",
}


def optimisation_line(records: Records) -> str:
    """Whether training is known to be limited by optimisation, and whether that was tested at all."""
    frame, trained = records.frame(), [f for f in records.families() if f.method == "train"]
    out, gaps = sum(bool(f.kept_out.any()) for f in trained), sum(bool(_by_start(f).any()) for f in trained)
    lines = []
    if out:
        lines.append(
            f"Training is limited by optimisation at some size in {out} of {len(trained)} trained families: there a "
            "larger budget lowers the error by more than 10 %, or a smaller network errs less. Those sizes are kept "
            "out of the regression."
        )
    if gaps:
        lines.append(
            f"In {gaps} of {len(trained)} another start of the same networks errs less by more than 10 %: their rates "
            "describe the training rather than the networks, and stand beside the optimisation gap."
        )
    if lines:
        return " ".join(lines)
    if frame["budget"].max() > frame["budget"].min() or "constructive" in set(frame["start"]):
        return (
            "No trained family was found to be limited by optimisation: larger budgets and better starts, where tried, "
            "do not lower the error by 10 %."
        )
    return (
        "Whether training is limited by optimisation was not tested: "
        "no run has a larger budget or a constructive start."
    )


def limit_lines(family: FamilyCurve, name: str) -> list[str]:
    """Where a family is limited by optimisation, where that could not be told, and how many of its runs failed."""
    lines = []
    told = [
        f"{_where(family, mask)} ({_WHY[reason]})"
        for reason, mask in family.limited_by.items()
        if reason != START and mask.any()
    ]
    if told:
        lines.append(f"{name} is limited by optimisation {'; '.join(told)}: kept out.{_of_training(family)}")
    if _by_start(family).any():
        lines.append(f"{name} has an optimisation gap of more than 10 % {_where(family, _by_start(family))}.")
    doubt = _unresolved(family)
    if doubt.any():
        lines.append(
            f"{name}: the refits {_where(family, doubt)} neither show a fall of more than 10 % nor exclude it (95 %)."
        )
    failed = np.asarray(family.failed_fraction, dtype=float)
    if (failed > 0).any():
        worst = int(np.argmax(failed))
        lines.append(
            f"{name}: {100 * failed.mean():.1f} % of the runs gave no usable network, most at W = "
            f"{family.sizes[worst]:,.0f} ({100 * failed[worst]:.0f} %)."
        )
    return lines


def _by_start(family: FamilyCurve) -> NDArray[np.bool_]:
    """Sizes at which another start is better."""
    return np.asarray(family.limited_by.get(START, np.zeros(len(family.sizes), dtype=bool)), dtype=bool)


def _unresolved(family: FamilyCurve) -> NDArray[np.bool_]:
    """Sizes whose refits leave it open whether the budget limits them."""
    if family.refits is None or family.method != "train":
        return np.zeros(len(family.sizes), dtype=bool)
    again = family.refit_errors
    ratios = [refit_ratio(family.errors[:, i], again[:, i]) for i in range(len(family.sizes))]
    return np.array([r.n > 0 and unresolved(r) for r in ratios], dtype=bool)


def _where(family: FamilyCurve, mask: NDArray[np.bool_]) -> str:
    """Sizes in words."""
    return "at all sizes" if mask.all() else "at W = " + ", ".join(f"{s:,.0f}" for s in family.sizes[mask])


def _of_training(family: FamilyCurve) -> str:
    """The slope of all sizes as they were measured."""
    whole, rate = family.rate_all, family.rate
    if whole is None or rate is None or not (math.isfinite(whole.value) and math.isfinite(rate.value)):
        return ""  # of a family without rate its own line tells it
    doubt = "" if whole.verdict == "determined" else ", undetermined"
    return f" With them, the slope of the training is {whole.value:.2f} {interval_text(whole.interval)}{doubt}."


def interval_text(interval: Sequence[float]) -> str:
    """An interval in brackets."""
    return f"[{interval[0]:.2f}, {interval[1]:.2f}]" if all(map(math.isfinite, interval)) else "[undetermined]"
