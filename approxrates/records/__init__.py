"""Records: the runs of a study as a table, their curves, rates and paired contrasts."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from approxrates import store
from approxrates.rates import compare_rates
from approxrates.records.bounds import BOUND_COLUMNS, check_rows
from approxrates.records.certificates import certified_rows
from approxrates.records.curves import FamilyCurve
from approxrates.records.gaps import GAP_COLUMNS, gap_rows
from approxrates.records.gathering import family_curves
from approxrates.records.names import family_label, varying
from approxrates.records.rows import FRAME_COLUMNS, flat, regularity_of
from approxrates.records.split import SPLIT_COLUMNS, split_rows
from approxrates.records.tablerows import table_row
from approxrates.records.twins import LAW
from approxrates.regularity import Regularity

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CONTRAST_COLUMNS", "FRAME_COLUMNS", "FamilyCurve", "Records", "load_records", "records_from_table"]


class Records:
    """The runs of one study, ready to be looked at: nothing here trains or writes.

    Attributes:
        name: Name of the study.
        notes: What reading the store had to say: torn lines, duplicates that differ.
        folder: Results folder that they were read from, where a report goes by default; None if from none.
    """

    def __init__(
        self,
        name: str,
        rows: Sequence[Mapping[str, Any]],
        *,
        notes: Sequence[str] = (),
        folder: str | Path | None = None,
    ) -> None:
        self.name = name
        self.notes = tuple(notes)
        self.folder = None if folder is None else Path(folder)
        self._rows = [dict(row) for row in rows]
        self._regularities: dict[str, Regularity] = {}
        self._curves: dict[tuple[str, str], list[FamilyCurve]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        counts = {s: sum(r["status"] == s for r in self._rows) for s in store.STATUSES}
        return f"Records({self.name!r}: " + ", ".join(f"{n} {s}" for s, n in counts.items() if n or s == "ok") + ")"

    def frame(self) -> pd.DataFrame:
        """One row per run of the study: the columns of ``FRAME_COLUMNS``, then those of what the study measured."""
        import pandas as pd

        columns = [*FRAME_COLUMNS, *self.measured]
        return pd.DataFrame([{c: row.get(c) for c in columns} for row in self._rows], columns=columns)

    @property
    def measured(self) -> tuple[str, ...]:
        """Columns that the study asked for with ``measure``, such as ``"sharpness"``."""
        return tuple(dict.fromkeys(column for row in self._rows for column in row.get("measured") or {}))

    def families(self, x: str = "n_params", norm: str = "sup") -> list[FamilyCurve]:
        """One curve per family: all axes but size, replica and target draw.

        Args:
            x: What size counts: ``n_params``, ``n_params_dense``, ``total_bits``, ``pieces``, ``width``, ``depth`` or
                ``seconds``.
            norm: ``"sup"`` or ``"l2"``. The sup error of a run is the geometric mean of its bounds if they are within a
                tenth, else the lower one.

        Raises:
            ValueError: For an unknown size or norm.
        """
        if (x, norm) not in self._curves:
            self._curves[x, norm] = family_curves(self._rows, self._regularity_of, x=x, norm=norm)
        return list(self._curves[x, norm])

    def rates(self, by: str | Sequence[str] | None = None, *, x: str = "n_params", norm: str = "sup") -> pd.DataFrame:
        """One row per family: its key, the fitted rate with interval, and its place on the diagram.

        ``rate`` is that of the median over seeds, ``rate_best`` that of the best, both without the ``n_kept_out`` sizes
        whose errors are limited by budget or exceed those of smaller networks; ``rate_all``, that of the training,
        takes all sizes as they were measured. ``next_error`` is the error to expect at the next size, with a
        95 % prediction interval. ``label`` is what survives of ``label_alone`` when all families are placed together;
        ``p_value`` is that of the claim which ``label_alone`` makes, ``p_holm`` the same after Holm's correction.

        Args:
            by: Columns of the key to show; None shows those that vary between families, and the target always.
            x: What size counts.
            norm: ``"sup"`` or ``"l2"``.

        Raises:
            ValueError: If ``by`` names an unknown column.
        """
        import pandas as pd

        curves = self.families(x, norm)
        known = list(dict.fromkeys(c for curve in curves for c in curve.key))
        asked = [by] if isinstance(by, str) else list(by) if by is not None else _telling(curves, known)
        unknown = [c for c in asked if c not in known]
        if unknown and curves:
            raise ValueError(
                f"by must name columns of the family key. Got {unknown[0]!r}. Use one of {', '.join(known)}."
            )
        return pd.DataFrame([{c: curve.key.get(c) for c in asked} | _rate_columns(curve) for curve in curves])

    def compare(self, column: str, *, x: str = "n_params", norm: str = "sup") -> pd.DataFrame:
        """Paired contrasts between families that differ in one column only.

        Every pair is compared on the target draws that both have: difference of rates with its interval, and ratio of
        the errors at matched size with its interval.

        Args:
            column: A column of the family key, e.g. ``"activation"`` or ``"start"``.
            x: What size counts.
            norm: ``"sup"`` or ``"l2"``.

        Raises:
            ValueError: If the column is unknown.
        """
        import pandas as pd

        curves = self.families(x, norm)
        known = list(dict.fromkeys(c for curve in curves for c in curve.key))
        if column not in known and curves:
            raise ValueError(
                f"column must be a column of the family key. Got {column!r}. Use one of {', '.join(known)}."
            )
        shown = [c for c in _telling(curves, known) if c != column]
        aside = (*_ASIDE.get(column, ()), column)
        groups: dict[str, list[FamilyCurve]] = {}
        for curve in curves:
            key = sorted((c, repr(v)) for c, v in curve.key.items() if c not in aside)
            groups.setdefault(repr(key), []).append(curve)
        contrasts = []
        for members in groups.values():
            for a, b in itertools.combinations(members, 2):
                if a.key.get(column) == b.key.get(column):
                    continue  # both constructed, or both references: columns that are set aside tell them apart
                contrast = _contrast(a, b, column)
                if contrast is not None:
                    contrasts.append({c: a.key.get(c) for c in shown} | contrast)
        return pd.DataFrame(contrasts, columns=[*shown, *CONTRAST_COLUMNS])

    def gaps(self, norm: str | None = None) -> pd.DataFrame:
        """Trained and achievable errors, size by size: one row per size of a trained family, both starts in it.

        ``trained`` is the median error from random starts, ``achievable`` that from constructive ones, ``start_error``
        that of the constructive networks before the first step. Beside them stand the best spline, the best
        construction and the best reference method of the study at equal ``n_params`` (joined in log-log, never
        extrapolated). Ratios are paired by target draw and come with 95 % intervals, over draws if there are three or
        more, else over replicas (``interval_over``): ``optimisation_gap = trained / achievable``; ``gain_over_...`` is
        how many times smaller the achievable error is than another, ``trained_gain_over_...`` the same of the trained
        one, ``budget_gain_...`` what the refits with a larger budget gain. See docs/honesty.md.

        Args:
            norm: ``"sup"``, ``"l2"``, or None for both.

        Raises:
            ValueError: For an unknown norm.
        """
        return self._by_size(norm, lambda curves, _: gap_rows(curves), GAP_COLUMNS, ("start",))

    def split(self, norm: str | None = None) -> pd.DataFrame:
        """The error of every size of every trained family in its parts, which sum to it: one row per size.

        ``error_architecture`` (the least error that is known to be in the reach of such networks on this target),
        ``error_optimisation``, ``error_sampling`` (what does not show at the training points) and ``error_float``
        (rounding noise), each with its share of the whole. NaN where the runs did not store what a part is made of; it
        is then inside another. See docs/honesty.md.

        Args:
            norm: ``"sup"``, ``"l2"``, or None for both.

        Raises:
            ValueError: For an unknown norm.
        """
        return self._by_size(norm, lambda curves, rows: split_rows(rows, curves), SPLIT_COLUMNS, ())

    def _by_size(
        self,
        norm: str | None,
        make: Callable[[list[FamilyCurve], list[dict[str, Any]]], list[tuple[dict[str, Any], dict[str, Any]]]],
        columns: Sequence[str],
        left_out: Sequence[str],
    ) -> pd.DataFrame:
        """A frame of rows made size by size, with those columns of the family key that tell families apart."""
        import pandas as pd

        norms = ("sup", "l2") if norm is None else (norm,)
        made = [pair for one in norms for pair in make(self.families(norm=one), self._rows)]
        keys = [{c: v for c, v in key.items() if c not in left_out} for key, _ in made]
        telling = [c for c in varying(keys) if c not in LAW]
        names = [family_label(key, [*telling, "activation"]) for key in keys]
        # Width and depth of a family that holds one of them fixed stand in its rows anyhow.
        shown = [*LAW, "family", *(c for c in dict.fromkeys(("activation", *telling)) if c not in columns)]
        rows = [key | {"family": name} | row for key, name, (_, row) in zip(keys, names, made, strict=True)]
        return pd.DataFrame(rows, columns=[*shown, *columns])

    def check_bounds(self) -> pd.DataFrame:
        """Every successful run on a random tree against the certified lower curve that is sharpest for it.

        One row per run, with the columns of ``BOUND_COLUMNS``: ``curve`` (``"pieces"``, ``"bits"`` or ``"real
        weights"``), its ``bound``, the upper end of the run's sup error, ``ratio = error_upper / bound``, and ``ok``:
        ``error_upper >= bound``. A row that is not ok contradicts a theorem: the error, the count of the network or the
        target is wrong. ``conditional`` says that the bound takes hashed signs for random ones; by pieces, and down to
        the last level of stored random bits, there is no such condition. ``certified`` is that of the error: an upper
        end that is not certified may lie below the true error.
        """
        import pandas as pd

        return pd.DataFrame(check_rows(self._rows), columns=list(BOUND_COLUMNS))

    def _regularity_of(self, row: Mapping[str, Any]) -> Regularity:
        """Regularity of the target of a row: as its family claims today, else as the run stored it."""
        key = json.dumps(
            [row.get(c) for c in ("target", "target_options", "smoothness", "dim", "information_rich")], default=str
        )
        if key not in self._regularities:
            self._regularities[key] = regularity_of(row)
        return self._regularities[key]


_TRAINED_ONLY = (
    *("construction", "architecture", "architecture_options", "start"),
    "plan",
    "dtype",
    "n_points",
    "seed",
    "l2_penalty",
    "width",
    "depth",
)
_ASIDE: dict[str, tuple[str, ...]] = {"method": _TRAINED_ONLY, "construction": (*_TRAINED_ONLY, "method")}
"""Columns that only one side of such a contrast can have, so that they do not keep the sides apart."""

CONTRAST_COLUMNS = (
    "a",
    "b",
    "rate_a",
    "rate_b",
    "difference",
    "difference_low",
    "difference_high",
    "error_ratio",
    "ratio_low",
    "ratio_high",
    "n_draws",
)


def load_records(folder: str | Path) -> Records:
    """Records of a results folder, without running anything. Proven errors take the place of measured ones.

    Args:
        folder: Results folder of a study, as given to ``Study.run``.

    Raises:
        ValueError: If the folder holds no runs.
    """
    folder = Path(folder)
    contents = store.read(folder)
    if not contents.segments:
        raise ValueError(
            f"folder must hold the runs of a study. Got {folder}, which has no runs/*.jsonl. Run the study first: "
            "study.run(folder)."
        )
    selection = store.read_selection(folder)
    rows: Sequence[Mapping[str, Any]] = list(contents.rows.values())
    if selection is not None:
        rows = [contents.rows[i] for i in selection.ids if i in contents.rows]
    name = selection.name if selection is not None else folder.resolve().name
    rows, said = certified_rows(folder, rows)
    return Records(name, [flat(row) for row in rows], notes=(*contents.notes, *said), folder=folder)


def records_from_table(frame: pd.DataFrame, *, name: str = "table") -> Records:
    """Records from errors that were measured elsewhere.

    Args:
        frame: One row per run, with columns ``n_params`` and ``error_sup`` (or ``error_sup_lower`` and
            ``error_sup_upper``, or ``error_l2``). Optional: any column of ``FRAME_COLUMNS``; what is missing gets a
            default (``target="target"``, ``activation="relu"``, ``method="train"``, ``smoothness=inf``, ``dim=1``, one
            target draw). ``information_rich`` says whether the lower bounds of the class hold for the target.
        name: Name for tables and figures.

    Raises:
        TypeError: If ``frame`` is not a data frame.
        ValueError: If a column is missing, a size or an error is not a positive number, a lower bound exceeds its upper
            bound, or another value is of no use; the message names the row.
    """
    if not hasattr(frame, "to_dict") or not hasattr(frame, "columns"):
        raise TypeError(
            f"frame must be a pandas DataFrame. Got {type(frame).__name__}. Write "
            f"pd.DataFrame({{'n_params': ..., 'error_sup': ...}})."
        )
    columns = [str(c) for c in frame.columns]
    bounds = {"error_sup_lower", "error_sup_upper"} <= set(columns)
    if "n_params" not in columns:
        raise ValueError(
            f"frame must have a column n_params. Got columns {', '.join(columns)}. Rename the column that counts "
            "parameters."
        )
    if not (bounds or "error_sup" in columns or "error_l2" in columns):
        raise ValueError(
            "frame must have a column error_sup (or error_sup_lower and error_sup_upper, or error_l2). Got columns "
            f"{', '.join(columns)}."
        )
    if not len(frame):
        raise ValueError("frame must have at least one row. Got none. Pass one row per run.")
    rows = [table_row(i, {str(k): v for k, v in row.items()}) for i, row in enumerate(frame.to_dict("records"))]
    return Records(name, rows)


def _telling(curves: Sequence[FamilyCurve], known: Sequence[str]) -> list[str]:
    """Columns worth showing: the target, the method, and whatever differs between families."""
    shown = varying([curve.key for curve in curves])
    return [c for c in known if c in ("target", "smoothness", "dim", "method", "activation") or c in shown]


def _rate_columns(curve: FamilyCurve) -> dict[str, Any]:
    """The rate and place of a curve as columns."""
    rate, point, whole = curve.rate, curve.point, curve.rate_all
    low, high = rate.interval if rate is not None else (math.nan, math.nan)
    best = rate.best if rate is not None and rate.best is not None else (math.nan,) * 3
    ahead = rate.next_error() if rate is not None and rate.fitted is not None else (math.nan,) * 3
    rho_low, rho_high = point.interval if point is not None else (math.nan, math.nan)
    return {
        "rate": rate.value if rate is not None else math.nan,
        "rate_low": low,
        "rate_high": high,
        "declared_rate": curve.declared_rate,
        "model": str(rate.model) if rate is not None else None,
        "verdict": str(rate.verdict) if rate is not None else "undetermined",
        "asymptotic": bool(rate.asymptotic) if rate is not None else False,
        "rate_best": best[0],
        "rate_best_low": best[1],
        "rate_best_high": best[2],
        "rate_all": whole.value if whole is not None else math.nan,
        "rate_all_low": whole.interval[0] if whole is not None else math.nan,
        "rate_all_high": whole.interval[1] if whole is not None else math.nan,
        "verdict_all": str(whole.verdict) if whole is not None else "undetermined",
        "next_error": ahead[0],
        "next_error_low": ahead[1],
        "next_error_high": ahead[2],
        "rho": point.normalised if point is not None else math.nan,
        "rho_low": rho_low,
        "rho_high": rho_high,
        "label": str(point.label) if point is not None else None,
        "decided": bool(point.decided) if point is not None else False,
        "p_value": point.p_value if point is not None else math.nan,
        "p_holm": point.p_holm if point is not None else math.nan,
        "label_alone": str(point.label_alone or point.label) if point is not None else None,
        "binding": point.binding if point is not None else None,
        "n_sizes": len(curve.sizes),
        "n_draws": curve.errors.shape[0],
        "n_seeds": curve.errors.shape[2],
        "n_limited": int(curve.limited.sum()),
        "n_kept_out": int(curve.kept_out.sum()),
        "depth_exponent": curve.depth_exponent,
    }


def _contrast(a: FamilyCurve, b: FamilyCurve, column: str) -> dict[str, Any] | None:
    """Contrast of two families on their common target draws; None if either has no rate on them."""
    common = [d for d in a.draws if d in set(b.draws)]
    if not common:
        return None
    a, b = (c if list(c.draws) == common else c.restricted(common) for c in (a, b))
    if a.rate is None or b.rate is None:
        return None
    difference = compare_rates(a.rate, b.rate)
    return {
        "a": a.key.get(column),
        "b": b.key.get(column),
        "rate_a": a.rate.value,
        "rate_b": b.rate.value,
        "difference": difference.value,
        "difference_low": difference.interval[0],
        "difference_high": difference.interval[1],
        "error_ratio": difference.error_ratio,
        "ratio_low": difference.error_ratio_interval[0],
        "ratio_high": difference.error_ratio_interval[1],
        "n_draws": len(common),
    }
