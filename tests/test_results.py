"""Every committed study: its file reads, a toy of it runs, and the stored runs are those that it asks for today."""

from pathlib import Path

import pytest

import approxrates as ar
from approxrates import store
from approxrates.catalogue import folder

RESULTS = folder().parent / "results"
STUDIES = sorted(p for p in RESULTS.glob("*/study.toml") if p.parent.name != "demo")


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.parent.name)
def test_a_toy_of_every_committed_study_runs(path: Path, tmp_path):
    toy = ar.Study.from_toml(path).shrunk(sizes=1, draws=1, replicas=1, steps=3)
    records = toy.run(tmp_path, progress=False)
    frame = records.frame()
    assert len(frame)
    assert set(frame["status"]) <= {"ok", "diverged"}
    assert (frame["status"] == "ok").mean() > 0.5
    assert (frame["error_sup_lower"].dropna() > 0).all()


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.parent.name)
def test_the_stored_runs_are_those_the_study_asks_for(path: Path):
    asked = set(ar.Study.from_toml(path).run_ids())
    stored = {i for i, row in store.read(path.parent).rows.items() if row["status"] in ("ok", "diverged")}
    assert asked <= stored, f"{len(asked - stored)} runs are missing. Write: approxrates run {path}"
