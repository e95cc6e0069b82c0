"""Every committed study and probe: its file reads, a toy of it runs, and what is stored is what it asks for today."""

from pathlib import Path

import pytest

import approxrates as ar
from approxrates import store
from approxrates.catalogue import folder
from approxrates.probes import get_probe, settings_from
from approxrates.probes.base import settings_of

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


PROBES = sorted(RESULTS.glob("*/probe.toml"))


@pytest.mark.parametrize("path", PROBES, ids=lambda p: p.parent.name)
def test_stored_cells_are_of_the_probe_as_it_is_today(path: Path):
    name, settings = settings_from(path)
    probe = get_probe(name)
    rows = store.read(path.parent).rows
    asked = next(probe.plan(settings_of(probe, settings)))
    whole = [{"probe": name, "recipe": probe.recipe, "cell": spec} for spec in asked]
    missing = [spec for spec in whole if rows.get(store.digest(spec), {}).get("status") != "ok"]
    assert not missing, f"{len(missing)} cells are missing. Write: approxrates probe {path}"


@pytest.mark.slow
@pytest.mark.parametrize("path", PROBES, ids=lambda p: p.parent.name)
def test_committed_tables_of_probes_follow_from_their_cells(path: Path):
    result = ar.load_probe(path.parent)
    assert (result.records["status"] == "ok").all()
    written = (path.parent / "expected.csv").read_text()
    assert result.expected().to_csv(index=False, lineterminator="\n") == written
