"""Checkpoints: a fit that is killed anywhere goes on with the same bits; nothing foreign or damaged is taken up."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import approxrates as ar
from approxrates.training.checkpoint import Checkpoint

WAVE = ar.Target.from_callable(
    lambda x: np.sin(7 * x[:, 0]) + x[:, 0], ar.Regularity(smoothness=2.5, dim=1), name="wave"
)
ARCH = ar.FixedWidth(dim=1, width=5, depth=2, activation="tanh")
PLANS = {
    "adam": [ar.Adam(steps=60)],
    "soap": [ar.SOAP(steps=60, refresh=7)],
    "adapt": [ar.SOAP(steps=60, adapt=True)],
    "ssbfgs": [ar.Adam(steps=20), ar.SelfScaledBFGS(steps=150)],
    "lbfgs": [ar.Adam(steps=20), ar.LBFGS(steps=150)],
    "lm": [ar.Adam(steps=20), ar.LevenbergMarquardt(steps=60)],
    "minimax": [ar.Adam(steps=40), ar.Minimax(steps=40, rounds=4)],
}


class Killed(Exception):
    """Stands for the end of a process."""


def fit(path, plan, **options):
    return ar.train(ARCH, WAVE, replicas=3, plan=plan, n_points=96, seed=1, checkpoint=path, **options)


def same(a, b):
    weights = [
        (x.layers[i].weight, y.layers[i].weight) for x, y in zip(a.networks, b.networks, strict=True) for i in range(3)
    ]
    return (
        all(np.array_equal(x, y) for x, y in weights)
        and np.array_equal(a.losses, b.losses)
        and np.array_equal(a.steps, b.steps)
        and a.outcomes == b.outcomes
        and all(np.array_equal(x, y) for x, y in zip(a.curves, b.curves, strict=True))
    )


def die_after(monkeypatch, writes):
    """Every stretch is followed by a checkpoint; the process ends with the given one."""
    done, write = [0], Checkpoint.write

    def counted(self, state):
        write(self, state)
        done[0] += 1
        if done[0] == writes:
            raise Killed

    monkeypatch.setattr(Checkpoint, "is_due", property(lambda self: self.path is not None))
    monkeypatch.setattr(Checkpoint, "write", counted)
    return done


@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize("plan", PLANS)
def test_a_killed_fit_goes_on_with_the_same_bits(plan, backend, tmp_path, monkeypatch):
    if backend == "native":
        pytest.importorskip("numba")
    whole = fit(None, PLANS[plan], backend=backend)
    kills, path = 0, tmp_path / "fit"
    while True:
        with monkeypatch.context() as patch:
            done = die_after(patch, writes=3)
            try:
                last = fit(path, PLANS[plan], backend=backend)
            except Killed:
                kills += 1
                assert kills < 100
                continue
            assert done[0] < 3
            break
    assert kills >= (1 if plan == "minimax" else 2)
    assert same(whole, last)


def test_a_fit_of_two_rounds_goes_on_in_the_second(tmp_path, monkeypatch):
    plan, path = [ar.Adam(steps=40)], tmp_path / "fit"
    whole = fit(None, plan, rounds=2)
    for writes in (5, 22, 9):
        with monkeypatch.context() as patch:
            die_after(patch, writes)
            with pytest.raises(Killed):
                fit(path, plan, rounds=2)
    assert same(whole, fit(path, plan, rounds=2))


def test_groups_by_memory_have_files_of_their_own(tmp_path, monkeypatch):
    plan, path = [ar.SelfScaledBFGS(steps=120)], tmp_path / "fit"
    each = max(stage.bytes_per_replica(_layout(), 96) for stage in plan)
    whole = fit(None, plan)
    with monkeypatch.context() as patch:
        die_after(patch, 2)
        with pytest.raises(Killed):
            fit(path, plan, memory=each)
    assert len(list(tmp_path.iterdir())) == 1
    assert same(whole, fit(path, plan, memory=each))


def _layout():
    from approxrates import activations
    from approxrates.backends import Layout

    return Layout(ARCH.shapes, activations.get(ARCH.activation))


def test_what_is_damaged_or_foreign_is_not_taken_up(tmp_path, monkeypatch):
    path = tmp_path / "fit"
    with monkeypatch.context() as patch:
        die_after(patch, 2)
        with pytest.raises(Killed):
            fit(path, PLANS["adam"])
    (file,) = tmp_path.iterdir()
    text = file.read_bytes()
    other = fit(path, [ar.Adam(steps=61)])
    assert same(other, fit(None, [ar.Adam(steps=61)]))
    for damaged in (text[: len(text) // 2], b"", b"\0" * 100, text[:-1]):
        file.write_bytes(damaged)
        assert same(fit(path, PLANS["adam"]), fit(None, PLANS["adam"]))


def turning(speed):
    """A target whose name does not tell what it closes over."""
    return ar.Target.from_callable(lambda x: np.cos(speed * x[:, 0]), WAVE.regularity, name="turning")


def test_a_target_of_the_same_name_but_other_values_is_foreign(tmp_path, monkeypatch):
    one, other, path = turning(7), turning(9), tmp_path / "fit"
    options = {"replicas": 3, "plan": PLANS["adam"], "n_points": 96}
    assert one.key == other.key
    with monkeypatch.context() as patch:
        die_after(patch, 2)
        with pytest.raises(Killed):
            ar.train(ARCH, one, checkpoint=path, **options)
    assert same(ar.train(ARCH, other, checkpoint=path, **options), ar.train(ARCH, other, **options))


def test_a_checkpoint_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    import torch

    checkpoint = Checkpoint(tmp_path / "state", "a", seconds=0.0)
    checkpoint.write({"theta": torch.arange(3.0), "step": 4, "inner": {"x": torch.ones(2), "names": ["a", None]}})
    monkeypatch.setattr("approxrates.training.checkpoint.os.replace", _no_room)
    with pytest.raises(OSError, match="no room"):
        checkpoint.write({"theta": torch.zeros(3), "step": 5})
    assert [p.name for p in tmp_path.iterdir()] == ["state"]
    found = checkpoint.read()
    assert found["step"] == 4
    assert found["inner"]["names"] == ["a", None]
    assert torch.equal(found["theta"], torch.arange(3.0))
    assert torch.equal(found["inner"]["x"], torch.ones(2))
    assert Checkpoint(tmp_path / "state", "b").read() is None


def _no_room(*_):
    raise OSError("no room")


SCRIPT = """
import sys, torch
torch.set_num_threads(1)
import approxrates.training.checkpoint as module
module.SECONDS_BETWEEN = 0.0
module.Checkpoint.is_due = property(lambda self: self.path is not None)
sys.path.insert(0, {tests!r})
from test_checkpoint import fit, ar
found = fit({path!r}, [ar.SOAP(steps=4000)], backend="reference")
print(repr(found.losses.tolist()))
"""


def test_a_process_killed_by_the_system_leaves_a_checkpoint_that_goes_on(tmp_path):
    from pathlib import Path

    script = SCRIPT.format(tests=str(Path(__file__).parent), path=str(tmp_path / "fit"))
    process = subprocess.Popen([sys.executable, "-c", script])
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("fit*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(tmp_path.glob("fit*")), "no checkpoint was written"
    again = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert again.strip() == repr(fit(None, [ar.SOAP(steps=4000)], backend="reference").losses.tolist())
