"""Certificates: proofs for stored networks, made after the study, beside the runs, once."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from typer.testing import CliRunner

import approxrates as ar
from approxrates import store
from approxrates.certification import recertify
from approxrates.cli import app
from approxrates.records.certificates import append_certificates, compact_certificates, is_settled, read_certificates

DEPTHS, DRAWS, REPLICAS = (1, 2, 3), 2, 2


def kinked(x):
    """A target that nothing is proven about."""
    return np.abs(np.sin(5 * x[:, 0]))


def study(activation="tanh", targets=None, **options):
    trees = [ar.load_target("faber_tree", smoothness=0.5, dim=1, seed=s, levels=8) for s in range(DRAWS)]
    return ar.Study(
        "small",
        targets=trees if targets is None else targets,
        architectures=ar.FixedWidth(dim=1, width=4, depth=ar.axis(*DEPTHS), activation=activation),
        replicas=REPLICAS,
        plan=[ar.Adam(steps=10)],
        n_points=64,
        **options,
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A finished study, not certified."""
    folder = tmp_path_factory.mktemp("measured") / "study"
    study().run(folder, progress=False)
    return folder


@pytest.fixture(scope="module")
def proven(measured, tmp_path_factory):
    """The same, certified."""
    folder = tmp_path_factory.mktemp("proven") / "study"
    shutil.copytree(measured, folder)
    recertify(folder, progress=False)
    return folder


@pytest.fixture
def folder(measured, tmp_path):
    shutil.copytree(measured, tmp_path / "study")
    return tmp_path / "study"


@pytest.fixture
def done(proven, tmp_path):
    shutil.copytree(proven, tmp_path / "proven")
    return tmp_path / "proven"


def frame(folder):
    return ar.load_records(folder).frame().set_index("run_id")


def weights(folder):
    return {path.stem for path in (folder / "weights").glob("*.safetensors")}


def files(folder):
    return {p.name: p.read_bytes() for p in (folder / "certificates").glob("*")}


def test_every_network_with_weights_is_proven_and_the_others_stay_as_measured(measured, proven):
    before, after = frame(measured), frame(proven)
    kept = after.index.isin(weights(proven))
    assert kept.sum() == len(DEPTHS) * DRAWS == len(after) // REPLICAS
    assert after[kept].certified.all()
    assert (after[kept].error_method == "branch-and-bound").all()
    assert (after[kept].ended_by == "gap").all()
    columns = ["error_sup_lower", "error_sup_upper", "error_method"]
    assert after.loc[~kept, columns].equals(before.loc[~kept, columns])
    assert not after[~kept].certified.any()


def test_the_enclosure_holds_on_a_dense_grid_and_is_as_narrow_as_asked(proven):
    x = np.linspace(0, 1, 2**16 + 1)[:, None]
    for run_id, row in frame(proven).loc[sorted(weights(proven))].iterrows():
        network = ar.Network.load(proven / "weights" / f"{run_id}.safetensors")
        target = ar.load_target("faber_tree", smoothness=0.5, dim=1, seed=int(row.target_seed), levels=8)
        largest = np.abs(target(x) - network(x)).max()
        assert largest <= row.error_sup_upper
        assert row.error_sup_upper <= 1.05 * row.error_sup_lower <= 1.05 * largest * (1 + 1e-3)


def test_records_say_how_many_are_proven(measured, proven):
    assert not [note for note in ar.load_records(measured).notes if "certificate" in note]
    (note,) = ar.load_records(proven).notes
    assert note.startswith("6 of 12 runs carry a certificate")
    assert study().records(proven).notes == (note,)
    columns = ["run_id", "error_sup_upper", "certified"]
    ours, theirs = (
        r.frame()[columns].sort_values("run_id") for r in (study().records(proven), ar.load_records(proven))
    )
    assert ours.to_csv(index=False) == theirs.to_csv(index=False)


def test_what_is_proven_is_not_proven_again(done):
    before = files(done)
    result = recertify(done, progress=False)
    assert (result.n_runs, result.n_weights, result.n_before) == (12, 6, 6)
    assert files(done) == before


def test_a_smaller_gap_is_a_new_question_and_the_narrowest_answer_counts(done):
    wide = frame(done)
    kept = wide.index.isin(weights(done))
    gap = float((wide.error_sup_upper / wide.error_sup_lower - 1)[kept].min()) / 2
    result = recertify(done, gap=gap, progress=False)
    assert (result.n_before, result.n_proven) == (0, 6)
    narrow = frame(done)
    assert ((narrow.error_sup_upper / narrow.error_sup_lower - 1)[kept] <= gap).all()
    recertify(done, gap=0.2, progress=False)
    assert frame(done).to_csv() == narrow.to_csv()
    assert (narrow.error_sup_upper[kept] <= wide.error_sup_upper[kept]).all()


def test_a_torn_line_is_done_again_and_nothing_else(done):
    (path,) = (done / "certificates").glob("*.jsonl")
    data = path.read_bytes()
    path.write_bytes(data[:-20])
    assert len(read_certificates(done).rows) == 5
    assert not read_certificates(done).notes
    result = recertify(done, progress=False)
    assert (result.n_before, result.n_proven) == (5, 1)
    assert len(read_certificates(done).rows) == 6


def test_damage_inside_is_told_and_done_again(done):
    (path,) = (done / "certificates").glob("*.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0][:-30] + b"\n", *lines[1:]]))
    assert "1 damaged line" in read_certificates(done).notes[0]
    assert recertify(done, progress=False).n_proven == 1


@pytest.mark.parametrize("wrong", [{"lower": "0.1"}, {"upper": math.inf}, {"certified": "false"}, {"gap": "0.05"}])
def test_a_certificate_of_other_kinds_than_numbers_does_not_count(done, wrong):
    (path,) = (done / "certificates").glob("*.jsonl")
    first, *others = path.read_text().splitlines(keepends=True)
    path.write_text(json.dumps(json.loads(first) | wrong) + "\n" + "".join(others))
    found = read_certificates(done)
    assert len(found.rows) == 5
    assert "1 damaged line" in found.notes[0]


def test_killed_in_the_middle_it_is_finished_by_the_same_command(folder):
    code = f"""
import time, approxrates.certification as c
c._BATCH = {{}}
c.recertify({str(folder)!r}, progress=lambda state: time.sleep(0.3))
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while not list(folder.glob("certificates/*.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    there = len(read_certificates(folder).rows)
    assert 1 <= there < 6
    assert recertify(folder, progress=False).n_before == there
    assert len(read_certificates(folder).rows) == 6


def test_workers_give_the_same_numbers(folder, done):
    recertify(folder, workers=2, progress=False)
    assert frame(folder).to_csv() == frame(done).to_csv()


def test_a_measured_error_above_the_proven_bound_is_called_a_flaw(folder):
    run_id = sorted(weights(folder))[0]
    row = {"id": run_id, "gap": 0.05, "budget": None, "lower": 1e-6, "upper": 1.1e-6, "certified": True, "method": "x"}
    append_certificates(folder, [row])
    (flaw,) = [note for note in ar.load_records(folder).notes if note.startswith("FLAW")]
    assert run_id[:12] in flaw
    assert "exceeds the proven upper bound 1.1e-06" in flaw
    output = CliRunner().invoke(app, ["recertify", str(folder)], catch_exceptions=False)
    assert "note: FLAW" in output.output


def test_compact_keeps_every_certificate_and_drops_the_host(done):
    before = frame(done).to_csv()
    append_certificates(done, [next(iter(read_certificates(done).rows.values())) | {"upper": 1e3}])
    CliRunner().invoke(app, ["compact", str(done)], catch_exceptions=False)
    assert [p.name for p in (done / "certificates").iterdir()] == ["compact.jsonl"]
    text = (done / "certificates" / "compact.jsonl").read_text()
    assert "host" not in text
    assert [json.loads(line)["id"] for line in text.splitlines()] == sorted(weights(done))
    after = frame(done)
    assert after.loc[sorted(after.index)].to_csv() == ar_sorted(before)
    assert recertify(done, progress=False).n_before == 6


def ar_sorted(text):
    """A table as text with its rows in order."""
    head, *rows = text.splitlines()
    return "\n".join([head, *sorted(rows)]) + "\n"


def test_compacting_refuses_to_drop_a_damaged_line(done):
    (path,) = (done / "certificates").glob("*.jsonl")
    path.write_bytes(b"{torn\n" + path.read_bytes())
    with pytest.raises(ValueError, match="whole certificates only"):
        compact_certificates(done)
    assert path.exists()


def test_a_function_without_an_enclosure_stays_measured_and_is_not_tried_twice(tmp_path):
    target = ar.Target.from_callable(kinked, ar.Regularity(smoothness=1.0, dim=1))
    study(targets=target).run(tmp_path, progress=False)
    before = frame(tmp_path)
    result = recertify(tmp_path, progress=False)
    assert (result.n_unproven, result.n_proven, result.notes) == (3, 0, [])
    assert frame(tmp_path).to_csv() == before.to_csv()
    assert recertify(tmp_path, progress=False).n_before == 3


def test_networks_that_the_study_itself_has_proven_are_left_alone(tmp_path):
    study("relu").run(tmp_path, progress=False)
    assert frame(tmp_path).certified.all()
    result = recertify(tmp_path, progress=False)
    assert result.n_before == result.n_weights == 6


def test_a_damaged_weight_file_is_told_and_does_not_spoil_the_others(folder):
    path = folder / "weights" / f"{sorted(weights(folder))[0]}.safetensors"
    path.write_bytes(b"no weights")
    result = recertify(folder, progress=False)
    assert result.n_proven == 5
    assert len(result.notes) == 1
    assert path.stem[:12] in result.notes[0]


def test_weight_files_that_were_swapped_are_told_and_not_certified(folder):
    first, second = (folder / "weights" / f"{run}.safetensors" for run in sorted(weights(folder))[:2])
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(kept)
    result = recertify(folder, progress=False)
    assert len(result.notes) == 2
    assert all("Got one of another" in note for note in result.notes)
    assert not {first.stem, second.stem} & set(read_certificates(folder).rows)


def test_settled_is_what_cannot_gain():
    row = {"lower": 1.0, "upper": 1.2, "certified": True, "gap": 0.1, "budget": None}
    assert is_settled(row, 0.25, None)
    assert is_settled(row, 0.1, None)
    assert not is_settled(row, 0.05, None)
    assert not is_settled(row, 0.1, 10**6)
    assert is_settled(row | {"budget": 10**6}, 0.1, 10**5)
    assert not is_settled(None, 0.1, None)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"gap": 0}, ValueError, "gap must be positive"),
        ({"gap": math.inf}, ValueError, "gap must be positive and finite"),
        ({"gap": "small"}, TypeError, "gap must be a number"),
        ({"budget": 0}, ValueError, "budget must be at least 1"),
        ({"budget": 1.5}, TypeError, "budget must be an integer"),
        ({"workers": 0}, ValueError, "workers must be at least 1"),
        ({"workers": True}, TypeError, "workers must be an integer"),
    ],
)
def test_bad_arguments_are_refused_at_the_door(measured, options, kind, message):
    with pytest.raises(kind, match=message):
        recertify(measured, **options)


def test_folders_without_runs_or_weights_are_refused(tmp_path, folder):
    with pytest.raises(ValueError, match=r"must hold the runs of a study"):
        recertify(tmp_path / "nothing")
    shutil.rmtree(folder / "weights")
    with pytest.raises(ValueError, match=r"none of its 12 runs in weights"):
        recertify(folder)
    assert store.read(folder).rows
