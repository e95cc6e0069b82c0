import importlib

import pandas as pd
import pytest

from approxrates.calibration import CALIBRATIONS, calibrate, calibration
from approxrates.calibration.base import Calibration
from approxrates.calibration.pages import markdown_table, write_pages


def simulated(repetitions, seed):
    return pd.DataFrame({"setting": ["a", "b|c"], "share": [0.123456, float("nan")], "n": [repetitions, seed]})


TOY = Calibration("toy", "A toy", "Nothing.", 5, simulated, lambda table: [f"reached: {len(table)} settings."])


@pytest.mark.parametrize("name", CALIBRATIONS)
def test_a_calibration_is_known_by_the_name_of_its_module(name):
    found = calibration(name)
    assert found.name == name
    assert importlib.import_module(f"approxrates.calibration.{name.replace('-', '_')}")


@pytest.mark.parametrize("name", CALIBRATIONS)
def test_a_toy_run_of_every_calibration_writes_its_pages_and_repeats_itself(name, tmp_path):
    first = calibrate(name, tmp_path / "a", repetitions=2)
    second = calibrate(name, tmp_path / "b", repetitions=2)
    assert first
    assert all(line.startswith(("reached:", "missed:")) for line in first)
    columns = pd.read_csv(tmp_path / "a" / "table.csv").columns
    timed = [c for c in columns if any(word in c for word in ("seconds", "speed", "memory"))]
    tables = [pd.read_csv(tmp_path / side / "table.csv").drop(columns=timed) for side in "ab"]
    pd.testing.assert_frame_equal(*tables)
    assert [line.split(":")[0] for line in first] == [line.split(":")[0] for line in second]
    page = (tmp_path / "a" / "README.md").read_text()
    assert f"approxrates calibrate {name} --out results/{name} --repetitions 2" in page


def test_a_page_holds_the_table_and_the_verdicts(tmp_path):
    write_pages(TOY, tmp_path, 5, 0)
    page = (tmp_path / "README.md").read_text()
    assert "- reached: 2 settings." in page
    assert "| b\\|c | – | 0 |" in page
    assert "--repetitions" not in page


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(ValueError, match="must be a file that approxrates wrote"):
        write_pages(TOY, tmp_path, 5, 0)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_numbers_are_shown_to_three_digits():
    assert markdown_table(simulated(2, 1)).splitlines()[2] == "| a | 0.123 | 2 |"


def test_bad_input_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"calibration must be one of coverage, model-choice, certificates, exact-networks, weight-jumps\. Got 'x'",
    ):
        calibrate("x", tmp_path)
    with pytest.raises(ValueError, match=r"repetitions must be at least 2\. Got repetitions=1"):
        calibrate("coverage", tmp_path, repetitions=1)
    with pytest.raises(TypeError, match="repetitions must be an integer"):
        calibrate("coverage", tmp_path, repetitions="many")


def test_a_place_that_is_no_folder_is_told_in_one_line(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="out must be a folder that can be written"):
        write_pages(TOY, tmp_path / "file", 5, 0)
