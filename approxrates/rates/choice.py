"""``choose_law``: which law describes a curve, by AICc, with the two largest sizes predicted as the arbiter."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from approxrates.rates.cells import checked, known_centres, size_means
from approxrates.rates.intervals import Array
from approxrates.rates.powerlaw import EXACT, aicc, fit_law, robust_square, scale_of
from approxrates.rates.shapes import Name, Shape, fit_shape, gamma_interval

LAWS = ("power", "power+floor", "broken", "stretched-exponential")
CHOICE_FROM = 6
"""Sizes from which on laws are compared: two are predicted, and three coefficients need four."""
BROKEN_FROM = 8
"""Sizes from which on a broken law is a candidate."""
HELD_OUT = 2
REFUTED = 0.01
"""A law whose predictions of the two largest sizes are this unlikely is refuted by them."""
CLOSE = 2.0
"""Laws whose AICc differ by less are told apart by their predictions alone."""
MIN_GAMMA = 0.1
"""A stretched exponential whose ``gamma`` may be below this is too close to a power law to be told from one."""
CLOSER = 0.6
"""A broken law whose sum of squares is below this times that of a stretched exponential leaves the choice open."""
MIN_DECADES = 1.5
"""Below this span a floor and a stretched exponential cannot be told apart, and neither is chosen over the other."""

_SHARED = {"power": 2, "power+floor": 3, "broken": 4, "stretched-exponential": 3}
"""Coefficients of each law, the shape included and the variance left out."""


@dataclass(frozen=True)
class Candidate:
    """One law that was tried.

    Attributes:
        law: One of ``LAWS``.
        aicc: Corrected Akaike criterion on the curve of all sizes; ``inf`` with too few sizes for it.
        weight: Akaike weight: ``exp(-aicc / 2)``, all candidates together 1.
        square: Sum of the squared log residuals, large ones counted linearly (Huber).
        prediction_error: Root mean square of the log error of predicting the two largest sizes from the others.
        prediction_p: P-value of errors of prediction as large as these if the law were true.
    """

    law: str
    aicc: float
    weight: float
    square: float
    prediction_error: float
    prediction_p: float


@dataclass(frozen=True)
class LawChoice:
    """Which law describes a curve.

    Attributes:
        chosen: The law that AICc prefers, one of ``LAWS``.
        decided: Whether the other kinds of law are out: AICc prefers this one clearly or its prediction is best too,
            and the prediction of the two largest sizes does not contradict it.
        candidates: All laws tried, best AICc first.
        reasons: What speaks against a decision; empty if there is nothing.
        contested: Whether AICc and the arbiter disagree.
        gamma: Exponent ``gamma`` of the stretched exponential that fits best; NaN if none falls.
        gamma_interval: 95 % profile interval of it.
        break_at: Size at which the best broken law breaks; NaN if none was tried.
    """

    chosen: str
    decided: bool
    candidates: tuple[Candidate, ...]
    reasons: tuple[str, ...]
    contested: bool = False
    gamma: float = math.nan
    gamma_interval: tuple[float, float] = (math.nan, math.nan)
    break_at: float = math.nan

    def candidate(self, law: str) -> Candidate:
        """The candidate of a name.

        Raises:
            ValueError: If the law was not tried.
        """
        for each in self.candidates:
            if each.law == law:
                return each
        tried = ", ".join(c.law for c in self.candidates) or "none: too few sizes"
        raise ValueError(f"law must be one that was tried ({tried}). Got {law!r}.")


def choose_law(
    n_params: ArrayLike,
    errors: ArrayLike,
    *,
    log_power: float = 0.0,
    statistic: str = "median",
    use: ArrayLike | None = None,
    floor: float | None = None,
    censored: ArrayLike | None = None,
) -> LawChoice:
    r"""Chooses between a power law, one with a floor, one with a break, and a stretched exponential.

    The laws are fitted to the curve of per-size medians (their geometric mean over draws), in log space. The corrected
    Akaike criterion ranks them; then each is fitted without the two largest sizes and predicts them. The choice is
    undecided if the prediction refutes the law that AICc prefers while another kind of law predicts better, if AICc is
    close and the prediction prefers another kind, or if a floor and ``C exp(-c W^gamma)`` compete over less than 1.5
    decades. A law with a floor and one without are one kind here: ``fit_rate`` covers both where a floor is in doubt.

    Args:
        n_params: Sizes, shape ``(k,)``, as in ``fit_rate``.
        errors: Errors, shape ``(k,)``, ``(k, n_seeds)`` or ``(draws, k, n_seeds)``.
        log_power: Known power of the logarithm in the power laws.
        statistic: Over seeds: ``"median"`` or ``"best"``.
        use: Sizes that may be used, boolean, shape ``(k,)``.
        floor: A known floor, in the unit of the errors; fitted if None.
        censored: Errors that are upper bounds only, as in ``fit_rate``.

    Raises:
        ValueError: As ``fit_rate``.
        TypeError: As ``fit_rate``.

    Example:
        >>> sizes = [50, 100, 200, 400, 800, 1600, 3200, 6400]
        >>> choice = choose_law(sizes, [2.718281828 ** (-0.12 * w**0.5) for w in sizes])
        >>> choice.chosen, choice.decided, round(choice.gamma, 3)
        ('stretched-exponential', True, 0.5)

    Reference:
        Hurvich & Tsai (1989), Biometrika 76, 297-307 (AICc). Chow (1960), Econometrica 28, 591-605 (prediction test).
    """
    data = checked(n_params, errors, log_power, statistic, use, floor, censored)
    logs, _, _ = known_centres(data, statistic)
    kept = data.allowed & np.isfinite(logs).any(axis=0)
    return choose(data.sizes[kept], logs[:, kept], data.log_power, data.floor)


def choose(sizes: Array, logs: Array, log_power: float, floor: float | None) -> LawChoice:
    """The choice for log errors of shape ``(draws, k)``, no size without any."""
    if len(sizes) < CHOICE_FROM:
        short = f"Laws are compared from {CHOICE_FROM} sizes on; there are {len(sizes)}."
        return LawChoice("power" if not floor else "power+floor", False, (), (short,))
    curve = size_means(logs[np.isfinite(logs).any(axis=1)])[0]
    x = np.log(sizes)
    laws = [law for law in LAWS if law != "broken" or len(sizes) >= BROKEN_FROM]
    if floor is not None:
        laws.remove("power+floor" if floor == 0 else "power")
    fits = {law: _fit(law, x, curve, log_power, floor) for law in laws}
    scale = min(float(scale_of(f.residuals[None], _n_coefficients(law, floor))[0]) for law, f in fits.items())
    scored = {law: _score(law, x, curve, fits[law], scale, log_power, floor) for law in laws}
    least = min(c.aicc for c in scored.values())
    total = sum(math.exp(-(c.aicc - least) / 2) for c in scored.values())
    ranked = sorted(
        (replace(c, weight=math.exp(-(c.aicc - least) / 2) / total) for c in scored.values()),
        key=lambda c: c.aicc,
    )
    shapes = {law: f.shape for law, f in fits.items() if f.shape is not None}
    stretched, broken = shapes.get("stretched-exponential"), shapes.get("broken")
    falls = stretched is not None and stretched.coefficients[0, 1] > 0
    span = gamma_interval(stretched, x, curve) if stretched and falls else (math.nan, math.nan)
    contested, reasons = _contest(ranked, sizes, span)
    return LawChoice(
        chosen=ranked[0].law, decided=not reasons, candidates=tuple(ranked), reasons=tuple(reasons),
        contested=contested, gamma=stretched.at if stretched is not None and falls else math.nan,
        gamma_interval=span,
        break_at=math.exp(broken.at) if broken else math.nan,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Fit:
    """A law fitted to one curve: log residuals, and its prediction of log errors elsewhere."""

    residuals: Array
    shape: Shape | None
    coefficients: Array
    log_floor: float

    def predict(self, x: Array, centre: float, log_power: float) -> Array:
        """Log errors at log sizes."""
        if self.shape is not None:
            predicted: Array = self.shape.predict(x, log_power)[0]
            return predicted
        line = self.coefficients[0] - self.coefficients[1] * (x - centre) + log_power * np.log(x)
        law: Array = np.logaddexp(line, self.log_floor)
        return law


def _fit(law: str, x: Array, y: Array, log_power: float, floor: float | None) -> _Fit:
    """One law on one curve."""
    if law in ("broken", "stretched-exponential"):
        name: Name = "broken" if law == "broken" else "stretched-exponential"
        shape = fit_shape(name, x, y[None], log_power)
        return _Fit(shape.residuals[0], shape, shape.coefficients[0], -math.inf)
    known = math.log(floor) if floor else -math.inf
    found = fit_law(x, y[None], log_power * np.log(x), free_floor=law == "power+floor" and not floor, log_floor=known)
    return _Fit(found.residuals[0], None, found.coefficients[0], float(found.log_floor[0]))


def _n_coefficients(law: str, floor: float | None) -> int:
    """Coefficients fitted."""
    return _SHARED[law] - (law == "power+floor" and floor is not None)


def _score(law: str, x: Array, y: Array, fit: _Fit, scale: float, log_power: float, floor: float | None) -> Candidate:
    """AICc of a law and its prediction of the two largest sizes."""
    m, k = _n_coefficients(law, floor), len(x)
    square = robust_square(fit.residuals, scale)
    criterion = aicc(square, k, m) if _falls(fit, law) else math.inf
    inner = x[:-HELD_OUT]
    short = _fit(law, inner, y[:-HELD_OUT], log_power, floor)
    missed = y[-HELD_OUT:] - short.predict(x[-HELD_OUT:], float(inner.mean()), log_power)
    chow = _chow(square, short, scale, k, m)
    return Candidate(law, criterion, math.nan, square, float(np.sqrt((missed**2).mean())), chow)


def _falls(fit: _Fit, law: str) -> bool:
    """Whether a law falls as it must to be what its name says."""
    return law != "stretched-exponential" or bool(fit.coefficients[1] > 0)


def _chow(square: float, short: _Fit, scale: float, k: int, m: int) -> float:
    """P-value of Chow's test that the two largest sizes follow the law of the others; 1 where it cannot be made."""
    from scipy.special import fdtrc

    freedom = k - HELD_OUT - m
    if freedom < 1:
        return 1.0
    inner = robust_square(short.residuals, scale) + k * EXACT**2
    ratio = max(square + k * EXACT**2 - inner, 0.0) / HELD_OUT / (inner / freedom)
    return float(fdtrc(HELD_OUT, freedom, ratio))


def kind_of(law: str) -> str:
    """The kind of a law: with and without a floor are one."""
    return "power" if law == "power+floor" else law


def _contest(ranked: list[Candidate], sizes: Array, gammas: tuple[float, float]) -> tuple[bool, list[str]]:
    """Whether AICc and the arbiter disagree, and what speaks against a decision."""
    best, reasons = ranked[0], []
    rivals = [c for c in ranked[1:] if kind_of(c.law) != kind_of(best.law) and math.isfinite(c.aicc)]
    friends = [c for c in ranked if kind_of(c.law) == kind_of(best.law)]
    predicts = min((c.prediction_error for c in friends), default=math.inf)
    plausible = max(c.prediction_p for c in friends)
    better = [c for c in rivals if c.prediction_error < predicts]
    contradicting = [c for c in better if plausible < REFUTED <= c.prediction_p]
    close = [c for c in better if c.aicc - best.aicc < CLOSE]
    for rival in (contradicting or close)[:1]:
        reasons.append(
            f"AICc prefers the law {best.law}, but {rival.law} predicts the two largest sizes better "
            f"(log errors of {rival.prediction_error:.2g} against {predicts:.2g}): which law holds is undecided."
        )
    near = best.law == "stretched-exponential" and gammas[0] < MIN_GAMMA
    if near:
        reasons.append(
            f"A stretched exponential with gamma in [{gammas[0]:.2f}, {gammas[1]:.2f}] fits best; below "
            f"{MIN_GAMMA:g} it is too close to a power law with a logarithm to be told from one."
        )
    bent = best.law == "stretched-exponential" and any(
        c.law == "broken" and c.square < CLOSER * best.square for c in ranked
    )
    if bent:
        reasons.append(
            "AICc prefers a stretched exponential, but a broken power law fits more closely: the sizes are too few to "
            "tell them apart. Add sizes."
        )
    decades = math.log10(sizes[-1] / sizes[0])
    pair = {"power+floor", "stretched-exponential"}
    spare = best.square / max(len(sizes) - _SHARED[best.law], 1)
    open_ = best.law in pair or any(c.law in pair and best.square - c.square > spare for c in ranked)
    if decades < MIN_DECADES * (1 - 1e-9) and open_:
        reasons.append(
            f"Over {decades:.1f} decades a floor or a stretched exponential can neither be told apart nor excluded; "
            f"it takes {MIN_DECADES:g}."
        )
    return bool(contradicting or close or near or bent), reasons
