"""The command line does what the public functions do."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import approxrates as ar
from approxrates.cli import app, parse_overrides

STUDY = """
name = "tiny"
[[targets]]
name = "faber_tree"
smoothness = 0.5
dim = 1
draws = 2
[[constructions]]
name = "interpolation"
n_params = { geom = [23, 200, 5] }
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY)
    return tmp_path


def invoke(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_run_writes_every_product_and_a_second_run_does_nothing(folder):
    first = invoke("run", folder / "study.toml")
    assert (folder / "report.html").exists()
    assert {"rates.csv", "runs.csv", "README.md", "runs"} <= {p.name for p in folder.iterdir()}
    assert "faber_tree" in first
    before = {p: p.read_bytes() for p in (folder / "runs").iterdir()}
    invoke("run", folder)
    after = {p: p.read_bytes() for p in (folder / "runs").iterdir()}
    assert after == before


def test_run_keeps_the_curves_of_training_if_asked(tmp_path):
    trained = STUDY.partition("[[constructions]]")[0].replace("draws = 2", "draws = 1")
    net = '[net]\nkind = "fixed_width"\ndim = 1\nwidth = 4\ndepth = 1\n'
    training = '[training]\nreplicas = 2\nplan = [{ stage = "adam", steps = 3 }]\n'
    (tmp_path / "study.toml").write_text(trained + net + training)
    invoke("run", tmp_path, "--no-report", "--out", tmp_path / "without")
    assert not (tmp_path / "without" / "curves").exists()
    invoke("run", tmp_path, "--no-report", "--curves")
    ids = set(ar.load_records(tmp_path).frame().run_id)
    assert {path.stem for path in (tmp_path / "curves").iterdir()} == ids
    assert len(ids) == 2


def test_report_is_byte_identical_when_written_again(folder):
    invoke("run", folder)
    names = ["report.html", "rates.csv", "runs.csv", "README.md"]
    before = [(folder / n).read_bytes() for n in names]
    invoke("report", folder)
    assert [(folder / n).read_bytes() for n in names] == before


def test_status_counts_what_is_done_and_what_is_missing(folder):
    assert "10" in invoke("status", folder)
    invoke("run", folder, "--no-report")
    assert "ok: 10" in invoke("status", folder)


def test_plan_trains_nothing(folder):
    assert "10" in invoke("plan", folder)
    assert not (folder / "runs").exists()


def test_compact_keeps_every_number(folder):
    invoke("run", folder)
    before = ar.load_records(folder).frame().sort_values("run_id")
    invoke("compact", folder)
    assert len(list((folder / "runs").glob("*.jsonl"))) == 1
    after = ar.load_records(folder).frame().sort_values("run_id")
    assert after.to_csv(index=False) == before.to_csv(index=False)


def test_targets_lists_every_file_of_the_catalogue():
    listing = invoke("targets")
    for path in (Path(__file__).parent.parent / "targets").glob("*.toml"):
        assert path.stem in listing
        assert path.stem in invoke("targets", "show", path.stem)


def test_construct_saves_a_network_that_loads(tmp_path):
    output = invoke(
        "construct",
        "interpolation",
        "--smoothness",
        "0.5",
        "--n-params",
        "100",
        "--error",
        "--out",
        tmp_path / "net.safetensors",
    )
    assert "sup error in [" in output
    assert ar.Network.load(tmp_path / "net.safetensors").n_params <= 100
    assert "interpolation" in invoke("construct", "--list")


def test_doctor_speaks():
    assert "torch" in invoke("doctor")


def test_version_and_module_entry_agree():
    done = subprocess.run(
        [sys.executable, "-m", "approxrates", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"approxrates {ar.__version__}" == invoke("--version").strip()


def test_overrides_are_read_as_toml_and_bare_words_as_text():
    assert parse_overrides(["net.width=8", "net.activation=relu", "training.plan='default'", "net.depth=[1, 2]"]) == {
        "net.width": 8,
        "net.activation": "relu",
        "training.plan": "default",
        "net.depth": [1, 2],
    }


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "approxrates", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_set_is_told_and_status_and_report_speak_of_the_same_runs(folder):
    invoke("run", folder, "--no-report")
    done = command("run", folder, "--set", "targets.draws=1", "--no-report")
    assert done.returncode == 0
    notes = [line for line in done.stderr.splitlines() if line.startswith("note:")]
    assert len(notes) == 1
    assert "--set targets.draws=1" in notes[0]
    assert "runs: 5 " in invoke("status", folder)
    invoke("report", folder)
    assert len((folder / "runs.csv").read_text().splitlines()) == 1 + 5


def test_status_and_report_follow_an_edited_study_file(folder):
    invoke("run", folder, "--no-report")
    (folder / "study.toml").write_text(STUDY.replace("draws = 2", "draws = 1"))
    assert "runs: 5 " in invoke("status", folder)
    invoke("report", folder)
    assert len((folder / "runs.csv").read_text().splitlines()) == 1 + 5


@pytest.mark.filterwarnings("ignore:study.toml")
def test_status_falls_back_on_the_last_session_if_the_file_is_spoilt(folder):
    invoke("run", folder, "--no-report")
    (folder / "study.toml").write_text(STUDY + "\n[traning]\n")
    assert "ok: 10" in invoke("status", folder)


def test_plan_of_a_folder_counts_what_is_done(folder):
    invoke("run", folder, "--no-report")
    assert "10 runs, 10 of them done; 0 batches to do" in invoke("plan", folder)


def test_fail_fast_ends_in_one_line(folder):
    (folder / "study.toml").write_text(
        STUDY.replace('name = "faber_tree"\n', "data = { x = [0.0, 1.0], y = [0.0, 1.0] }\n").replace("draws = 2", "")
    )
    done = command("run", folder, "--fail-fast", "--no-report")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: run ")
    assert "Traceback" not in done.stderr


def test_damage_is_one_note_a_file_and_not_a_warning(folder):
    invoke("run", folder, "--no-report")
    (folder / "runs" / "junk.jsonl").write_text("junk\n" * 9)
    for name in ("run", "status", "report"):
        done = command(name, folder)
        notes = [line for line in done.stderr.splitlines() if line.startswith("note:")]
        assert (done.returncode, len(notes)) == (0, 1), done.stderr
        assert "9 damaged lines" in notes[0]
        assert "UserWarning" not in done.stderr


def test_the_table_of_rates_fits_a_terminal_and_holds_no_python(folder):
    table = invoke("run", folder, "--no-report")
    assert max(map(len, table.splitlines())) <= 110
    assert "rate [low, high]" in table
    assert not {"None", "NaN", "nan", "False"} & set(table.split())
    assert any(line.startswith("faber_tree") and "[" in line for line in table.splitlines())


def test_construct_works_with_its_defaults_and_checks_the_name_and_the_file_first(tmp_path):
    assert "sup error in [" in invoke("construct", "interpolation", "--error")
    assert "smoothness inf" in invoke("construct", "interpolation", "--target", "analytic", "--error")
    wrong = command("construct", "nope")
    assert wrong.stderr.startswith("error: construction must be one of interpolation, ")
    assert wrong.stderr.endswith(" Got 'nope'.\n")
    for out in (tmp_path, tmp_path / "none" / "net.safetensors"):
        refused = command("construct", "interpolation", "--out", out)
        assert (refused.returncode, len(refused.stderr.splitlines()), refused.stdout) == (2, 1, "")
    assert "Theorem(" not in invoke("construct", "--list")
