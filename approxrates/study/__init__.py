"""Studies: axes in, records out. A study is the same whether it is written in Python or in TOML."""

from __future__ import annotations

import dataclasses
import functools
import os
import tomllib
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from types import MappingProxyType
from typing import Any

from approxrates import store
from approxrates.engines import InlineEngine, LocalEngine
from approxrates.records import Records
from approxrates.records.certificates import certified_rows
from approxrates.records.rows import flat
from approxrates.spec import Construction, Reference
from approxrates.spec.studyfile import read_study
from approxrates.spec.tomltext import document
from approxrates.study.assembly import make_block
from approxrates.study.batches import Run, batches_of
from approxrates.study.blocks import Block
from approxrates.study.doubts import doubts
from approxrates.study.driving import Drive, StudyStopped
from approxrates.study.progress import Listener, Progress, listener
from approxrates.study.shrinking import shrunk_block
from approxrates.study.standing import difference_note, storable, with_set
from approxrates.study.studyplan import StudyPlan, plan_of
from approxrates.study.tail import Tail

__all__ = ["Construction", "Reference", "Study", "StudyPlan", "StudyStopped"]

_BLOCK_KEYS = ("targets", "architectures", "constructions", "references", "net", "training", "sweep")


class Study:
    """Targets crossed with networks: the runs from which rates are measured. Making one trains nothing.

    Args:
        name: Name for tables, figures and the report.
        targets: A target, or a list of targets (lists inside it are flattened).
        architectures: One or a list of ``FixedWidth`` and ``FixedDepth``; their fields may be axes.
        constructions: One or a list of ``Construction``; their sizes may be axes.
        references: One or a list of ``Reference``, classical methods; their sizes and options may be axes.
        replicas: Independent fits of every architecture to every target.
        plan: ``"default"``, a list of stages, or an axis of plans.
        start: ``"random"``, ``"constructive"``, or an axis of both.
        seed: Of the initial weights, or an axis.
        dtype: ``"float64"`` or ``"float32"``, or an axis.
        n_points: Sampling points in a set, or a law of the values that a fit may see such as ``"P^2"``, or an axis of
            these; chosen by the trainer if left out.
        budget: Multiplies the steps of every stage, or an axis.
        l2_penalty: What the sum of the squared parameters counts in the loss of the standardised target, or an axis.
        measure: What to measure at every trained network, such as ``["sharpness"]``: columns of the records. See
            docs/measurements.md.
        refit: With ``k > 0``, at every k-th size the first target draw is trained again with four times the budget. So
            a study knows where its errors are limited by optimisation.

    Raises:
        TypeError: For values of the wrong kind.
        ValueError: For values out of range, unknown names, or targets and networks of different dimensions.

    Example:
        >>> import approxrates as ar
        >>> study = ar.Study(
        ...     "tiny",
        ...     targets=ar.load_target("faber_tree", smoothness=0.5, dim=1),
        ...     architectures=ar.FixedWidth(dim=1, width=4, depth=ar.axis(1, 2, 4, 8)),
        ...     replicas=2,
        ...     plan=[ar.Adam(steps=10)],
        ... )
        >>> len(study.run_ids())
        8
    """

    name: str
    blocks: tuple[Block, ...]
    _file: Path | None = None
    _overrides: Mapping[str, Any] = MappingProxyType({})

    def __init__(
        self,
        name: str,
        *,
        targets: Any,
        architectures: Any = (),
        constructions: Any = (),
        references: Any = (),
        replicas: int = 1,
        plan: Any = "default",
        start: Any = "random",
        seed: Any = 0,
        dtype: Any = "float64",
        n_points: Any = None,
        budget: Any = 1,
        l2_penalty: Any = 0.0,
        measure: Sequence[Any] = (),
        refit: int = 0,
    ) -> None:
        if not isinstance(name, str):
            raise TypeError(f'name must be a text. Got {name!r}. Write e.g. "relu-vs-sin".')
        if not name.strip() or not name.isprintable():
            raise ValueError(f'name must be a line of text. Got {name!r}. Write e.g. "relu-vs-sin".')
        self.name = name
        block = make_block(
            targets, architectures, constructions, references, replicas=replicas, plan=plan, start=start, seed=seed,
            dtype=dtype, n_points=n_points, budget=budget, l2_penalty=l2_penalty, measure=measure, refit=refit,
        )  # fmt: skip
        self.blocks = (block,)

    @classmethod
    def _of_blocks(cls, name: str, blocks: Sequence[Block]) -> Study:
        """A study of blocks that are checked already."""
        study = cls.__new__(cls)
        study.name, study.blocks = name, tuple(blocks)
        return study

    def __add__(self, other: Study) -> Study:
        """Both studies as one; runs that they share are done once."""
        if not isinstance(other, Study):
            return NotImplemented
        name = self.name if self.name == other.name else f"{self.name} + {other.name}"
        return Study._of_blocks(name, [*self.blocks, *other.blocks])

    def __repr__(self) -> str:
        return f"Study({self.name!r}, {len(self.runs)} runs)"

    @functools.cached_property
    def runs(self) -> tuple[Run, ...]:
        """All runs, each once."""
        return tuple({run.id: run for block in self.blocks for run in block.runs()}.values())

    def run_ids(self) -> list[str]:
        """Ids of all runs, in the order of the study."""
        return [run.id for run in self.runs]

    def plan(self, folder: str | Path | None = None) -> StudyPlan:
        """What the study would do. Trains nothing.

        Args:
            folder: Results folder; runs stored there count as done, and time them all.
        """
        stored = store.read(folder).rows if folder is not None else {}
        return dataclasses.replace(plan_of(self.name, self.runs, stored), notes=self._doubts())

    def run(
        self,
        out: str | Path,
        workers: int = 1,
        progress: bool | Listener | None = None,
        *,
        retry_failed: bool = False,
        fail_fast: bool = False,
        keep: str = "best",
        curves: bool = False,
        engine: Executor | None = None,
    ) -> Records:
        """Does the runs that are not stored yet, and returns the records of all.

        It may be stopped or killed at any moment and called again: what is stored is not done again. Runs that fail
        are rows of the store, and are told at once.

        Args:
            out: Results folder; made if need be.
            workers: Worker processes with one thread each; 1 stays in this process.
            progress: None shows progress (a bar on a terminal, else plain lines), False does not, a function gets it.
            retry_failed: Do failed and lost runs again.
            fail_fast: Stop at the first run that fails.
            keep: Weights to keep in ``out/weights``: of the ``"best"`` replica of each batch and target, of ``"all"``,
                or ``"none"``.
            curves: Keep the loss curve of every replica that is trained now, in ``out/curves/<run id>.csv``.
            engine: An executor to send batches to, instead of processes of this machine; ``workers`` is then its size.

        Raises:
            ValueError: If the folder cannot be written, or its ``study.toml`` is damaged.
            OSError: If rows or weights cannot be written; everything finished is stored.
            StudyStopped: With ``fail_fast``, if a run fails.
            KeyboardInterrupt: If interrupted; everything finished is stored.
        """
        folder = Path(out)
        hear = listener(progress)
        _check_run(workers, keep)
        own = LocalEngine(workers) if workers > 1 else InlineEngine()
        if workers > 1 or engine is not None:
            self._check_importable()
        overrides = self._overrides if self._is_of(folder) else {}
        note = self._prepare(folder, overrides)
        tail = Tail(folder)
        contents = store.read(folder)
        for said in (note, *contents.notes) if note else contents.notes:
            warnings.warn(said, stacklevel=2)
        again = ("failed", "lost") if retry_failed else ()
        todo = [_next_attempt(run, contents.rows.get(run.id)) for run in self.runs if _is_due(run, contents, again)]
        own_file = bool(overrides) or not note
        store.write_selection(
            folder, store.Selection(self.name, tuple(self.run_ids()), storable(overrides), own_file=own_file)
        )
        for said in self._doubts() if todo else ():
            hear(Progress(self.name, len(self.runs) - len(todo), len(self.runs), 0, 0.0, None, f"note: {said}"))
        sources = {s.key: dict(s.source) for block in self.blocks for s in block.targets}
        drive = Drive(
            self.name, folder, engine or own, workers, sources, total=len(self.runs), done=len(self.runs) - len(todo),
            listener=hear, write_lost=functools.partial(_write_lost, folder), keep=keep, fail_fast=fail_fast,
            tail=tail, curves=curves,
        )  # fmt: skip
        try:
            drive.run(batches_of(todo))
        except BaseException as problem:
            if isinstance(problem, KeyboardInterrupt):
                hear(drive.interrupted())
            own.shutdown(wait=True, cancel_futures=True)
            raise
        finally:
            getattr(hear, "close", lambda: None)()
        own.shutdown(wait=True)
        return self.records(folder)

    def records(self, folder: str | Path) -> Records:
        """Records of the runs of this study that a folder holds. Runs nothing."""
        contents = store.read(folder)
        labelled = [_labelled(run, contents.rows[run.id]) for run in self.runs if run.id in contents.rows]
        rows, said = certified_rows(folder, labelled)
        notes = (*contents.notes, *said)
        if self._overrides and self._is_of(Path(folder)):
            settings = with_set(self._overrides)
            notes += (f"These are runs of study.toml with {settings}: approxrates run study.toml {settings}.",)
        return Records(self.name, [flat(row) for row in rows], notes=notes, folder=folder)

    def _doubts(self) -> tuple[str, ...]:
        """Notes on targets of the user's whose declared smoothness the values contradict."""
        return doubts(sourced.target for block in self.blocks for sourced in block.targets)

    def _check_importable(self) -> None:
        """Functions of the script itself cannot be found by other processes.

        Raises:
            ValueError: If a target is such a function.
        """
        for block in self.blocks:
            for sourced in block.targets:
                name = str(sourced.source.get("function", ""))
                if name.startswith("__main__:"):
                    raise ValueError(
                        f"the target {sourced.target.name!r} must be importable by worker processes. Got {name}, of "
                        "the script itself. "
                        "Move the function into a module, or use workers=1."
                    )

    def _is_of(self, folder: Path) -> bool:
        """Whether this study was read from the ``study.toml`` of a folder."""
        return self._file is not None and self._file == (folder / "study.toml").resolve()

    def _prepare(self, folder: Path, overrides: Mapping[str, Any]) -> str:
        """Makes the results folder, tries to write there, and puts ``study.toml`` into it if there is none.

        Returns:
            One sentence if the study.toml that is there is not this study, else nothing.

        Raises:
            ValueError: If that is not possible, or the study.toml that is there is damaged.
        """
        advice = "Choose another folder, or mend its permissions."
        try:
            (folder / "runs").mkdir(parents=True, exist_ok=True)
            store.write_atomically(folder / "runs" / f".probe-{os.getpid()}", b"")
            (folder / "runs" / f".probe-{os.getpid()}").unlink()
        except OSError as problem:
            raise ValueError(
                f"out must be a folder that can be written. Got {folder} ({problem.strerror}). {advice}"
            ) from None
        path = folder / "study.toml"
        if not path.exists():
            store.write_atomically(path, self.to_toml(folder).encode())
            return ""
        try:
            tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
            raise ValueError(
                f"{path} must be a readable study. Got: {problem}. Mend it, or move it away; no run is lost."
            ) from None
        return (
            ""
            if self._is_of(folder) and not overrides
            else difference_note(path, self.run_ids(), overrides, type(self).from_toml)
        )

    @classmethod
    def from_toml(cls, path: str | Path, overrides: Mapping[str, Any] | None = None) -> Study:
        """The study of a file.

        Args:
            path: Study file.
            overrides: Values by dotted key that take the place of what the file says: ``{"net.width": 8}``.

        Raises:
            ValueError: In one line that names file, key, value and what is allowed.
        """
        path = Path(path)
        name, blocks = read_study(path, overrides)
        try:
            studies = [cls(name, **block) for block in blocks]
        except (TypeError, ValueError) as problem:
            raise ValueError(f"{path.name}: {' '.join(str(problem).split())}") from None
        study = cls._of_blocks(name, [block for study in studies for block in study.blocks])
        study._file, study._overrides = path.resolve(), MappingProxyType(dict(overrides or {}))
        return study

    def to_toml(self, folder: str | Path | None = None) -> str:
        """The study as the text of a study file; ``from_toml`` of it has the same runs.

        Args:
            folder: Where the file will lie; paths of targets are written relative to it. None writes them in full.
        """
        where = Path(folder) if folder is not None else None
        tables = [block.tables(where) for block in self.blocks]
        if len(tables) == 1:
            return document({"name": self.name} | tables[0])
        return document({"name": self.name, "studies": tables})

    def shrunk(self, *, sizes: int = 4, draws: int = 1, replicas: int = 1, steps: int = 5) -> Study:
        """The study at toy size: the smallest sizes, few draws and replicas, short stages.

        Every axis keeps all its values, so that each kind of run of a committed study is tried in seconds.

        Args:
            sizes: Sizes of each family.
            draws: Target draws of each family.
            replicas: Replicas.
            steps: Steps of each stage.
        """
        blocks = [
            shrunk_block(block, sizes=sizes, draws=draws, replicas=replicas, steps=steps) for block in self.blocks
        ]
        return Study._of_blocks(self.name, blocks)


def _check_run(workers: Any, keep: str) -> None:
    """Arguments of a run."""
    if isinstance(workers, bool) or not isinstance(workers, int):
        raise TypeError(f"workers must be an integer. Got {workers!r}. Write e.g. workers=2.")
    if workers < 1:
        raise ValueError(f"workers must be at least 1. Got workers={workers}. Write e.g. workers=2.")
    if keep not in ("best", "all", "none"):
        raise ValueError(f"keep must be one of best, all, none. Got {keep!r}.")


def _is_due(run: Run, contents: store.Contents, again: Sequence[str]) -> bool:
    """Whether a run is still to be done."""
    row = contents.rows.get(run.id)
    return row is None or row["status"] in again


def _next_attempt(run: Run, row: Mapping[str, Any] | None) -> Run:
    """The run with its attempt counted on."""
    if row is None:
        return run
    return Run(run.id, run.spec, run.plan, int(row.get("attempt", 1)) + 1)


def _labelled(run: Run, row: Mapping[str, Any]) -> dict[str, Any]:
    """A stored row with the plan as this study calls it: two studies may share a run and name its plan differently."""
    return dict(row) | {"metrics": dict(row.get("metrics") or {}) | {"plan": run.plan}}


def _write_lost(folder: Path, run: Run, deaths: int) -> None:
    """Writes the row of a run that is given up."""
    from approxrates.execution import lost_row, segment

    row = lost_row({"id": run.id, "spec": run.spec, "plan": run.plan, "attempt": run.attempt}, deaths)
    segment(folder).append([row])
