"""kill -9 in small: once the driver, once a worker. The full experiment is tests/kill_study.py."""

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("kill_study.py")
specification = importlib.util.spec_from_file_location("kill_study", SCRIPT)
kill_study = importlib.util.module_from_spec(specification)
specification.loader.exec_module(kill_study)


@pytest.mark.skipif(not Path("/proc").exists(), reason="processes are found in /proc")
def test_a_killed_study_is_finished_by_the_same_command_with_the_same_numbers():
    found = kill_study.experiment("both", n_runs=50, kills=2, window=0.5)
    assert found["kills"] == 2
    assert found["orphans"] == 0
    for study in found["studies"]:
        counts = {name: study[name] for name in ("rows", "ok", "doubled", "missing", "differing")}
        assert counts == {"rows": 50, "ok": 50, "doubled": 0, "missing": 0, "differing": 0}
