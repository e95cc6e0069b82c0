"""Penalties, measurements and checkpoints of studies: settings that reach the trainer, the store and the records."""

import json
import math

import numpy as np
import pytest

import approxrates as ar
from approxrates import execution, store
from approxrates.study.batches import batches_of
from approxrates.training import checkpoint as checkpoints


def study(**changes):
    settings = {
        "targets": ar.load_target("faber_tree", smoothness=0.5, dim=1),
        "architectures": ar.FixedWidth(dim=1, width=4, depth=ar.axis(1, 2), activation="tanh"),
        "replicas": 2,
        "plan": [ar.Adam(steps=40, warm_up=5)],
        "n_points": 64,
    }
    return ar.Study("settings", **(settings | changes))


def test_a_penalty_is_an_axis_and_makes_families_of_its_own(tmp_path):
    made = study(l2_penalty=ar.axis(0.0, 0.01))
    records = made.run(tmp_path, progress=False)
    frame = records.frame()
    assert sorted(set(frame["l2_penalty"])) == [0.0, 0.01]
    assert len(records.families()) == 2
    labels = {curve.label for curve in records.families()}
    assert any("penalty 0.01" in label for label in labels)


def test_without_penalty_and_measurements_a_run_is_who_it_was_before_they_existed():
    for run in study().runs:
        assert not {"l2_penalty", "measure"} & set(run.spec["training"])


def test_whole_penalties_are_the_same_as_their_floats():
    assert study(l2_penalty=1).run_ids() == study(l2_penalty=1.0).run_ids()


def test_penalised_networks_have_smaller_weights(tmp_path):
    records = study(l2_penalty=ar.axis(0.0, 0.1), measure=["weight_norm"], plan=[ar.LBFGS(steps=60)]).run(
        tmp_path, progress=False
    )
    frame = records.frame()
    norms = frame.groupby("l2_penalty")["weight_norm"].max()
    assert norms[0.1] < 0.8 * norms[0.0]


def test_measured_columns_are_those_of_the_trainer(tmp_path):
    records = study(measure=["weight_norm", "gradient_norm"]).run(tmp_path, progress=False)
    assert sorted(records.measured) == ["gradient_norm", "weight_norm"]
    row = records.frame().iloc[0]
    arch = ar.FixedWidth(dim=1, width=4, depth=int(row["depth"]), activation="tanh")
    fit = ar.train(
        arch, ar.load_target("faber_tree", smoothness=0.5, dim=1), replicas=2, n_points=64,
        plan=[ar.Adam(steps=40, warm_up=5)], measure=["weight_norm"],
    )  # fmt: skip
    assert fit.final[int(row["replica"])]["weight_norm"] == row["weight_norm"]
    assert np.isfinite(records.frame()["gradient_norm"]).all()


def test_measurements_do_not_change_what_is_trained(tmp_path):
    plain = study().run(tmp_path / "a", progress=False).frame()
    told = study(measure=["weight_norm"]).run(tmp_path / "b", progress=False).frame()
    assert list(plain["error_l2"]) == list(told["error_l2"])


def test_a_study_file_holds_penalty_and_measurements(tmp_path):
    made = study(l2_penalty=ar.axis(0.0, 1e-4), measure=["sharpness", {"measurement": "weight_norm"}])
    path = tmp_path / "study.toml"
    path.write_text(made.to_toml(tmp_path))
    assert ar.Study.from_toml(path).run_ids() == made.run_ids()


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"l2_penalty": -1.0}, ValueError, "at least 0"),
        ({"l2_penalty": math.nan}, ValueError, "at least 0"),
        ({"l2_penalty": "small"}, TypeError, "must be a number"),
        ({"l2_penalty": 0.1, "plan": [ar.LevenbergMarquardt(steps=3)]}, ValueError, "cannot minimise"),
        ({"measure": ["sharpnes"]}, ValueError, "must be one of"),
        ({"measure": "sharpness"}, TypeError, "must be a list"),
        ({"measure": ["preconditioned_sharpness"], "plan": [ar.SOAP(steps=3)]}, ValueError, "divides the gradient"),
    ],
)
def test_what_cannot_be_trained_or_measured_is_refused_before_it_begins(changes, kind, message):
    with pytest.raises(kind, match=message):
        study(**changes)


class Killed(BaseException):
    """Stands for a kill: nothing may catch it."""


def test_a_killed_batch_goes_on_from_its_checkpoint_with_the_same_rows(tmp_path, monkeypatch):
    made = study(
        plan=[ar.Adam(steps=400, warm_up=5)], architectures=ar.FixedWidth(dim=1, width=4, depth=2, activation="tanh")
    )
    batch = batches_of(made.runs)[0]
    runs = [{"id": r.id, "spec": r.spec, "plan": "", "attempt": 1} for r in batch]

    def message(folder):
        return json.dumps({"folder": str(folder), "keep": "none", "sources": {}, "runs": runs})

    execution.run_batch(message(tmp_path / "whole"))
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 0.0)
    written = []
    write = checkpoints.Checkpoint.write

    def killing(self, state):
        write(self, state)
        written.append(self.path)
        if len(written) == 3:
            raise Killed

    monkeypatch.setattr(checkpoints.Checkpoint, "write", killing)
    with pytest.raises(Killed):
        execution.run_batch(message(tmp_path / "killed"))
    assert not store.read(tmp_path / "killed").rows
    left = list((tmp_path / "killed" / "checkpoints").iterdir())
    assert len(left) == 1
    resumed = []
    read = checkpoints.Checkpoint.read
    monkeypatch.setattr(checkpoints.Checkpoint, "read", lambda self: resumed.append(read(self)) or resumed[-1])
    execution.run_batch(message(tmp_path / "killed"))
    assert resumed[0] is not None, "the checkpoint was not taken up"
    assert not list((tmp_path / "killed" / "checkpoints").iterdir()), "checkpoints go once the rows are stored"
    told = [store.read(tmp_path / name).rows for name in ("whole", "killed")]
    for run in runs:
        ours, theirs = ({k: v for k, v in rows[run["id"]]["metrics"].items() if k != "seconds"} for rows in told)
        assert ours == theirs


def test_trained_and_constructed_families_are_still_compared(tmp_path):
    """Constructed networks have no penalty: that must not keep them apart from trained ones that have none."""
    made = study(
        architectures=ar.FixedDepth(dim=1, width=ar.axis(4, 8, 16, 32), depth=1),
        constructions=ar.Construction("interpolation", n_params=ar.axis(11, 23, 47, 95)),
        targets=[ar.load_target("faber_tree", smoothness=0.5, dim=1, seed=seed) for seed in range(3)],
        l2_penalty=ar.axis(0.0, 0.1),
    )
    table = made.run(tmp_path, progress=False).compare("method")
    assert len(table) == 2


def test_what_speaks_of_the_rule_is_taken_from_the_end_of_the_training(tmp_path):
    asked = [{"measurement": "preconditioned_sharpness", "schedule": "ends"}]
    frame = study(measure=asked).run(tmp_path, progress=False).frame()
    arch = ar.FixedWidth(dim=1, width=4, depth=1, activation="tanh")
    fit = ar.train(
        arch, ar.load_target("faber_tree", smoothness=0.5, dim=1), replicas=2, n_points=64,
        plan=[ar.Adam(steps=40, warm_up=5)], measure=asked,
    )  # fmt: skip
    row = frame[(frame["depth"] == 1) & (frame["replica"] == 1)].iloc[0]
    step, value = fit.measured[1]["preconditioned_sharpness"][-1]
    assert (step, value) == (40, row["preconditioned_sharpness"])
    assert value > 0


@pytest.mark.parametrize("widths", [(2, 40), (40, 2)])
def test_a_measurement_of_small_networks_is_refused_for_the_largest_in_whatever_order(widths):
    architectures = ar.FixedWidth(dim=1, width=ar.axis(*widths), depth=2, activation="tanh")
    with pytest.raises(ValueError, match="at most most_params=60 parameters"):
        study(architectures=architectures, measure=[{"measurement": "scalar_curvature", "most_params": 60}])


@pytest.mark.parametrize(("value", "kind"), [([0.1, 0.2], TypeError), (10**400, ValueError)])
def test_a_penalty_that_is_no_number_is_refused(value, kind):
    with pytest.raises(kind, match="l2_penalty must be"):
        study(l2_penalty=value)
