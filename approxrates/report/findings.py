"""What a study found, in sentences that are computed from its numbers."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from approxrates import theory
from approxrates.plots import (
    brief,
    by_law_and_family,
    by_target,
    construction_name,
    family_names,
    is_easy,
    readable,
    target_name,
)
from approxrates.records.curves import SAID_OF_KEPT_OUT
from approxrates.records.declared import CLOSE
from approxrates.report.gaps import gap_lines, gap_summary
from approxrates.report.limits import interval_text, limit_lines, optimisation_line

if TYPE_CHECKING:
    import pandas as pd

    from approxrates.records import Records
    from approxrates.records.curves import FamilyCurve

_PATH = re.compile(r"(?:[A-Za-z]:)?(?:[/\\][^/\\\s:'\"]+)+[/\\]")
MOST_CAUSES, MOST_LETTERS = 3, 160
_BRACKET = 5e-4  # relative width of the brackets of piecewise-linear networks, a little rounded up
_PLACES = {
    "CLASSICAL": "at the classical rate",
    "BELOW CLASSICAL": "below the classical rate",
    "DEEP": "in the deep phase",
    "EASY TARGET": "on an easy target, where no rate speaks about the phases",
    "TRANSIENT": "above the classical rate with floating-point weights, which cannot last",
    "ALARM": "above what is possible: look for an error that is not certified, or sizes before the asymptotic range",
    "UNDECIDED": "undecided",
}


def without_paths(text: Any) -> str:
    """First line of a message with folders of this machine taken out; file names stay."""
    missing = text is None or text != text  # a frame may hold a missing text as NaN
    lines = [] if missing else str(text).strip().splitlines()
    return _PATH.sub("", lines[0]) if lines else ""


def percent(part: int, whole: int) -> str:
    """A share in words: ``3 of 256 (1.2 %)``."""
    return f"{part:,} of {whole:,} ({100 * part / whole:.1f} %)" if whole else "0 of 0"


_MADE = {"train": "trained", "construct": "constructed", "reference": "fitted"}


def setup_lines(records: Records) -> list[str]:
    """What was run, one sentence per item."""
    frame, families = records.frame(), records.families()
    made = {word: int((frame["method"] == method).sum()) for method, word in _MADE.items()}
    lines = [
        f"{len(frame):,} runs: {made['trained']:,} trained networks and {made['constructed']:,} constructed ones"
        + (f", {made['fitted']:,} fits of reference methods." if made["fitted"] else ".")
    ]
    lines.append("Targets: " + "; ".join(dict.fromkeys(target_name(g[0], dim=True) for g in by_target(families))) + ".")
    heads = dict.fromkeys(
        construction_name(f.key.get("construction")) if f.method != "train" else f.activation for f in families
    )
    lines.append("Families: " + ", ".join(heads) + ".")
    sizes = np.concatenate([f.sizes for f in families]) if families else np.zeros(0)
    if len(sizes):
        draws, k, seeds = (max(f.errors.shape[axis] for f in families) for axis in range(3))
        draw_word, seed_word = ("draw" if draws == 1 else "draws"), ("replica" if seeds == 1 else "replicas")
        lines.append(
            f"Sizes: W from {sizes.min():,.0f} to {sizes.max():,.0f}, up to {k} per family; up to {draws} "
            f"{draw_word} of each random target and {seeds} {seed_word} of each network."
        )
    lines.append(
        "W counts weights and biases that are not structurally zero (column `n_params`); errors are in the sup norm."
    )
    return lines


def summary_lines(records: Records) -> list[str]:
    """The study in a few sentences: where its families lie, what limits them, what failed."""
    families = records.families()
    placed = [f for f in families if f.point is not None and math.isfinite(f.point.normalised)]
    bounds = bound_lines(records)
    violated = any(line.startswith("**ALARM**") for line in bounds)
    lines = bounds if violated else []
    lines += [] if any(_has_rate(f) for f in families) else [_nothing_line(records)]
    for method, word in (("train", "trained"), ("construct", "constructed")):
        group = [f for f in placed if f.method == method and not is_easy(f)]
        if group:
            counts = Counter(_place_name(f) for f in group)
            told = ", ".join(f"{n} {_PLACES.get(label, label.lower())}" for label, n in counts.most_common())
            lines.append(
                f"{_count(len(group), f'{word} family', f'{word} families')} on information-rich targets: {told}."
            )
    lines += declared_lines(records)
    easy = [f for f in placed if is_easy(f)]
    if easy:
        fastest = max(easy, key=lambda f: f.point.normalised if f.point else 0.0)
        assert fastest.point is not None, "only placed families are counted"
        lines.append(
            f"{len(easy)} {'family is' if len(easy) == 1 else 'families are'} on easy targets, the fastest at "
            f"ρ = {fastest.point.normalised:.2f} {interval_text(fastest.point.interval)}; that is allowed and says "
            f"nothing about the phases."
        )
    if any(f.method == "train" and _has_rate(f) for f in families):
        lines += [optimisation_line(records), *gap_summary(records)]
    lines += [] if violated else bounds
    frame = records.frame()
    bad = frame[frame["status"] != "ok"]
    why = f" ({_causes(bad)})" if len(bad) else ""
    lines.append(f"Runs without a usable network: {percent(len(bad), len(frame))}{why}.")
    return lines


def declared_lines(records: Records) -> list[str]:
    """How many constructions and reference methods have the rate that they declare, in one sentence."""
    pairs = [(f.rate, f.declared_rate) for f in records.families() if f.method != "train"]
    known = [(rate, p) for rate, p in pairs if rate is not None and math.isfinite(p)]
    refused = [rate for rate, p in pairs if math.isinf(p)]
    lines = []
    if known:
        right = [rate for rate, p in known if rate.verdict == "determined" and abs(rate.value - p) <= CLOSE]
        faster = [rate for rate, p in known if rate.verdict == "determined" and rate.value > p + CLOSE]
        text = f"{len(right)} of {len(known)} methods of known rate are measured within {CLOSE:g} of it"
        text += f", {len(faster)} faster than its class asks" if faster else ""
        lines.append(f"{text}.")
    if refused:
        given = sum(rate is not None and rate.verdict == "determined" for rate in refused)
        lines.append(
            f"{_count(len(refused), 'method', 'methods')} whose error falls faster than every power: "
            f"{given or 'none'} given a determined power rate."
        )
    return lines


def bound_lines(records: Records) -> list[str]:
    """Whether the runs on random trees respect the certified lower curves; violations first, and loudly."""
    checked = [{str(k): v for k, v in row.items()} for row in records.check_bounds().to_dict("records")]
    if not checked:
        return []
    bad = [row for row in checked if not row["ok"]]
    nearest = min(bad or checked, key=lambda row: float(row["ratio"]))
    place = f"{nearest['ratio']:.2g} times the bound by {nearest['curve']}."
    if bad:
        proof = "" if nearest["certified"] else " Its error is not certified, the likeliest flaw."
        hashed = " The bound takes hashed signs for random ones." if nearest["conditional"] else ""
        return [
            f"**ALARM**: {percent(len(bad), len(checked))} runs on random trees lie below a certified lower curve, "
            f"which no network can: an error, a count or a target is wrong. The worst is run "
            f"`{str(nearest['run_id'])[:12]}` at {place}{proof}{hashed}"
        ]
    hashed_runs = sum(bool(row["conditional"]) for row in checked)
    condition = f"; for {hashed_runs:,} of them it takes hashed signs for random ones" if hashed_runs else ""
    return [
        f"All {len(checked):,} runs on random trees lie above the certified lower curve that is sharpest for "
        f"them{condition}. The closest is at {place}",
        *_interpolant_lines(checked),
    ]


def _interpolant_lines(checked: Sequence[Mapping[str, Any]]) -> list[str]:
    """Whether dyadic interpolants of Faber trees respect the proved upper curve, to the width of their brackets."""
    ratios = []
    for row in checked:
        cells = -(-int(row["n_params"]) // 3)  # 3 N - 1 or 3 N parameters
        if (row["construction"], row["target"], row["dim"]) == ("interpolation", "faber_tree", 1):
            level = cells.bit_length() - 1
            curve = theory.dyadic_interpolation_upper_curve(level, float(row["smoothness"]))
            ratios += [float(row["error_upper"] / curve)] if cells == 2**level else []
    if not ratios:
        return []
    above = sum(ratio > 1 + _BRACKET for ratio in ratios)
    if above:
        return [f"**ALARM**: {percent(above, len(ratios))} dyadic interpolants lie above their proved upper curve."]
    return [
        f"All {len(ratios):,} dyadic interpolants lie below their proved upper curve (brackets end at up to "
        f"{max(ratios):.4f} of it)."
    ]


def _has_rate(family: FamilyCurve) -> bool:
    """Whether a law was fitted to all sizes, determined or not."""
    return family.rate_all is not None and math.isfinite(family.rate_all.value)


def _nothing_line(records: Records) -> str:
    """That no rate was measured, and why."""
    frame = records.frame()
    if not (frame["status"] == "ok").any():
        return "Nothing was learnt about rates: no run gave a usable network. Mend the cause, and run the study again."
    most = max((len(f.sizes) for f in records.families()), default=0)
    return (
        "Nothing was learnt about rates: a rate needs errors at four sizes or more, for every draw, and no family has "
        f"them ({_count(most, 'size', 'sizes')} at most). Add sizes, or mend what failed."
    )


def _causes(bad: pd.DataFrame) -> str:
    """Why runs gave no network, the commonest causes first: the message of the error, else the outcome."""
    told = Counter(
        without_paths(row.get("error")) or without_paths(row.get("outcome")) or str(row["status"])
        for row in bad.to_dict("records")
    )
    shown = [f"{n:,} × `{why.replace('`', chr(39))[:MOST_LETTERS]}`" for why, n in told.most_common(MOST_CAUSES)]
    more = len(told) - len(shown)
    return ", ".join(shown) + (f", and {_count(more, 'other cause', 'other causes')}" if more else "")


def _count(number: int, one: str, many: str) -> str:
    """A number with its noun: ``1 trained family``, ``2 trained families``."""
    return f"{number} {one if number == 1 else many}"


def target_findings(records: Records) -> list[tuple[str, list[str]]]:
    """For each target law its title and findings: rates with places, comparisons, limits of optimisation, failures."""
    families = records.families()
    names = dict(zip(map(id, families), family_names(families), strict=True))
    contrasts, gaps, split = _contrasts(records), *map(by_law_and_family, (records.gaps("sup"), records.split("sup")))
    dims = len({f.regularity.dim for f in families}) > 1
    found = []
    for group in by_target(families):
        lines = [_rate_line(f, names[id(f)]) for f in group]
        lines += _comparison_lines(group, contrasts)
        lines += [line for f in group for line in limit_lines(f, names[id(f)])]
        lines += gap_lines(gaps.get(target_name(group[0]), {}), split.get(target_name(group[0]), {}))
        found.append((_law_title(group[0], dims), lines))
    return found


def _law_title(family: FamilyCurve, dims: bool) -> str:
    """Target law with its classical rate."""
    regularity = family.regularity
    title = target_name(family, dim=dims)
    if not regularity.is_finite:
        return f"{title} (smooth: no finite classical rate)"
    kind = "information-rich" if regularity.information_rich else "easy target: not information-rich"
    return f"{title} (classical rate r/d = {regularity.smoothness / regularity.dim:g}, {kind})"


def _rate_line(family: FamilyCurve, name: str) -> str:
    """Rate and place of one family, with the reasons where it is not decided."""
    rate, point = family.rate, family.point
    if rate is None:
        return f"**{name}**: no rate; it needs errors at four sizes or more, for every draw."
    if not math.isfinite(rate.value):
        told = [r for r in rate.reasons if r.startswith(SAID_OF_KEPT_OUT)] or rate.reasons
        return " ".join([f"**{name}**: no rate.", *told])
    limited = np.asarray(family.limited, dtype=bool) & ~family.kept_out
    training = " of the training" if limited.any() else ""
    text = f"**{name}**: p{training} = {rate.value:.2f} {interval_text(rate.interval)}"
    text += "" if rate.verdict == "determined" else " (undetermined)"
    reasons = list(rate.reasons) if rate.verdict != "determined" else []
    if point is not None and math.isfinite(point.normalised):
        place = _place_name(family)
        text += f", ρ = {point.normalised:.2f} {interval_text(point.interval)}: {_PLACES.get(place, place.lower())}"
        if point.binding and not is_easy(family):
            text += f" (binding: {point.binding})"
        if not point.decided:
            reasons += [r for r in point.reasons if r not in reasons and r != "The rate is undetermined."]
    text += "" if math.isnan(family.declared_rate) else f"; declared: {_declared(family.declared_rate)}"
    sentence = text + "."
    # What is kept out has a sentence of its own among the limits.
    reasons = [r for r in reasons if not r.startswith(SAID_OF_KEPT_OUT)]
    return " ".join([sentence, *(r if r.endswith(".") else f"{r}." for r in reasons[:2])])


def _declared(rate: float) -> str:
    """A declared rate in words."""
    return "faster than every power" if math.isinf(rate) else f"p = {rate:g}"


def _place_name(family: FamilyCurve) -> str:
    """Label of a placed family; UNDECIDED where the placement is not decided."""
    assert family.point is not None, "asked for placed families only"
    label = str(family.point.label).upper()
    return label if family.point.decided or label == "EASY TARGET" else "UNDECIDED"


def _contrasts(records: Records) -> pd.DataFrame:
    """Paired contrasts of activations."""
    return records.compare("activation")


def _comparison_lines(group: Sequence[FamilyCurve], contrasts: pd.DataFrame) -> list[str]:
    """Which trained family has the smaller error at matched size, each against the best of the group."""
    rows = [{str(k): v for k, v in r.items()} for r in contrasts.to_dict("records")] if len(contrasts) else []
    rows = [
        r
        for r in rows
        if _same_law(r, group[0]) and r.get("method", "train") == "train" and math.isfinite(r["error_ratio"])
    ]
    settings: dict[str, list[dict[str, Any]]] = {}
    extra = [
        c
        for c in (rows[0] if rows else {})
        if c in {"start", "architecture", "width", "depth", "plan", "dtype", "n_points", "l2_penalty"}
    ]
    for row in rows:
        settings.setdefault(", ".join(readable(row[c]) for c in extra if row[c] not in (None, "")), []).append(row)
    lines = []
    for setting, members in settings.items():
        line = _against_best(members)
        if line:
            lines.append(f"{line[:-1]} ({setting})." if setting and len(settings) > 1 else line)
    return lines


def _against_best(rows: Sequence[Mapping[str, Any]]) -> str:
    """One sentence: the family with the smallest errors, and by how much it leads each of the others."""
    names = list(dict.fromkeys(n for r in rows for n in (r["a"], r["b"])))
    score = dict.fromkeys(names, 0.0)
    for row in rows:
        score[row["a"]] += math.log(row["error_ratio"])
        score[row["b"]] -= math.log(row["error_ratio"])
    best = min(names, key=lambda n: score[n])
    above: list[str] = []
    level: list[str] = []
    for row in rows:
        if best not in (row["a"], row["b"]):
            continue
        other = row["b"] if row["a"] == best else row["a"]
        triple = (row["error_ratio"], row["ratio_low"], row["ratio_high"])
        ratio, low, high = triple if row["b"] == best else (1 / triple[0], 1 / triple[2], 1 / triple[1])
        text = f"{readable(other)} {brief(ratio)} [{brief(low)}, {brief(high)}]"
        (above if low > 1 else level).append(text)
    parts = []
    if above:
        parts.append(f"the errors of the others are larger by the factors {', '.join(above)}")
    if level:
        parts.append(f"not told apart from it: {', '.join(level)}")
    return (
        f"At equal W, {readable(best)} has the smallest sup errors; {'; '.join(parts)} (paired by target draw, 95 %)."
        if parts
        else ""
    )


def _same_law(row: Mapping[str, Any], family: FamilyCurve) -> bool:
    """Whether a contrast is on the target law of a family."""
    return all(
        c not in row or repr(row[c]) == repr(family.key.get(c))
        for c in ("target", "target_options", "smoothness", "dim")
    )
