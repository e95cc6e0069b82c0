"""Studies: what they ask for, what they do, and how they go on after anything."""

import dataclasses
import os
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import approxrates as ar
from approxrates import store
from approxrates.engines import WorkerDied
from approxrates.study import StudyStopped, driving
from approxrates.study.progress import Lines, Progress, listener
from approxrates.study.standing import standing_study, with_set

FAST = [ar.Adam(steps=5)]


def tree(**changes):
    return ar.load_target("faber_tree", **{"smoothness": 0.5, "dim": 1, "seed": 0} | changes)


def tiny(name="tiny", **changes):
    given = {
        "targets": [tree(seed=0), tree(seed=1)],
        "architectures": ar.FixedWidth(dim=1, width=4, depth=ar.axis(1, 2, 3, 4)),
        "constructions": ar.Construction("interpolation", n_params=ar.axis(10, 20)),
        "plan": FAST,
        "n_points": 64,
    }
    return ar.Study(name, **given | changes)


def sensitive(x):
    """Raises where the environment says so."""
    if os.environ.get("TEST_STUDY_FAILS") and len(x) > 9:
        raise ValueError("asked to fail")
    return x[:, 0]


def flaky():
    return ar.Target.from_callable(sensitive, ar.Regularity(smoothness=1.0, dim=1))


def lines_of(folder):
    return [line for path in Path(folder).glob("runs/*.jsonl") for line in path.read_text().splitlines()]


def without_time(frame):
    return frame.drop(columns="seconds").sort_values("run_id").reset_index(drop=True).astype(str)


def test_axes_are_crossed_and_every_run_is_there_once():
    study = tiny(replicas=3, start=ar.axis("random", "constructive"))
    assert len(study.runs) == 2 * 4 * 3 * 2 + 2 * 2
    assert len(set(study.run_ids())) == len(study.runs)


def test_lists_of_targets_may_be_mixed_and_repeated_ones_count_once():
    assert tiny(targets=[tree(), [tree(seed=1), tree()]]).run_ids() == tiny().run_ids()


def test_a_sum_of_studies_has_the_runs_of_both_once():
    a, b = tiny("a"), tiny("b", architectures=ar.FixedWidth(dim=1, width=4, depth=ar.axis(4, 5)))
    both = a + b
    assert both.name == "a + b"
    assert set(both.run_ids()) == set(a.run_ids()) | set(b.run_ids())
    assert len(both.runs) < len(a.runs) + len(b.runs)


def test_the_default_plan_is_resolved_for_each_target():
    study = tiny(
        targets=[tree(), ar.load_target("analytic", dim=1)],
        architectures=ar.FixedWidth(1, 4, 2, "tanh"),
        plan="default",
    )
    stages = {
        r.spec["target"]["name"]: [s["stage"] for s in r.spec["training"]["plan"]]
        for r in study.runs
        if "training" in r.spec
    }
    assert stages == {"faber_tree": ["soap"], "analytic": ["soap", "ssbfgs"]}


def test_refits_are_the_first_draws_at_every_kth_size_from_the_top_with_four_times_the_budget():
    def refits(replicas):
        study = tiny(refit=2, replicas=replicas, targets=[tree(seed=s) for s in range(6)])
        return [r.spec for r in study.runs if r.spec.get("training", {}).get("budget") == 4]

    assert {s["architecture"]["depth"] for s in refits(4)} == {2, 4}
    assert {s["target"]["seed"] for s in refits(4)} == {0, 1}
    assert {s["target"]["seed"] for s in refits(2)} == {0, 1, 2}
    assert {s["target"]["seed"] for s in refits(3)} == {0, 1}
    assert [len(refits(n)) for n in (4, 2, 1)] == [2 * 8, 2 * 6, 2 * 6]


def test_a_refit_reaches_the_curve_as_a_mark_and_not_as_an_error(tmp_path):
    curve = tiny(refit=2, constructions=()).run(tmp_path, progress=False).families()[0]
    assert curve.errors.shape == (2, 4, 1)
    assert np.isfinite(curve.errors).all()
    assert len(lines_of(tmp_path)) == 12


def test_records_hold_one_row_per_run_and_rates_one_per_family(tmp_path):
    study = tiny(constructions=ar.Construction("interpolation", n_params=ar.axis(10, 20, 40, 80)))
    records = study.run(tmp_path, progress=False)
    assert records.frame().run_id.tolist() == study.run_ids()
    assert (records.frame().status == "ok").all()
    assert records.rates().method.tolist() == ["train", "construct"]
    assert without_time(ar.load_records(tmp_path).frame()).equals(without_time(records.frame()))
    assert ar.load_records(tmp_path).name == "tiny"


def test_a_finished_study_is_not_done_again(tmp_path):
    tiny().run(tmp_path, progress=False)
    before = lines_of(tmp_path)
    tiny().run(tmp_path, progress=False)
    assert lines_of(tmp_path) == before


def test_a_study_that_grew_does_the_new_runs_only_and_its_records_are_its_own(tmp_path):
    tiny(targets=tree()).run(tmp_path, progress=False)
    toml = (tmp_path / "study.toml").read_text()
    with pytest.warns(UserWarning, match=r"of its 6 runs 6 are among these 12. It is kept"):
        grown = tiny().run(tmp_path, progress=False)
    assert len(lines_of(tmp_path)) == len(tiny().runs) == len(grown)
    assert (tmp_path / "study.toml").read_text() == toml
    assert len(tiny(targets=tree()).run(tmp_path, progress=False)) == len(tiny().runs) // 2


def test_study_toml_in_the_folder_is_the_study(tmp_path):
    study = tiny()
    study.run(tmp_path, progress=False)
    assert ar.Study.from_toml(tmp_path / "study.toml").run_ids() == study.run_ids()


def test_two_workers_give_the_numbers_of_one(tmp_path):
    one = tiny().run(tmp_path / "one", progress=False).frame()
    two = tiny().run(tmp_path / "two", workers=2, progress=False).frame()
    assert without_time(one).equals(without_time(two))


def test_any_executor_is_an_engine(tmp_path):
    with ThreadPoolExecutor(1) as engine:
        records = tiny().run(tmp_path, engine=engine, progress=False)
    assert (records.frame().status == "ok").all()


def test_failed_runs_are_rows_told_at_once_kept_on_resume_and_done_again_when_asked(tmp_path, monkeypatch):
    study, told = tiny(targets=flaky()), []
    monkeypatch.setenv("TEST_STUDY_FAILS", "1")
    frame = study.run(tmp_path, progress=told.append).frame()
    assert (frame.status[frame.method == "train"] == "failed").all()
    assert "asked to fail" in frame.error[0]
    assert [t.message for t in told if "asked to fail" in t.message]
    monkeypatch.delenv("TEST_STUDY_FAILS")
    assert (study.run(tmp_path, progress=False).frame().status == "failed").any()
    again = study.run(tmp_path, progress=False, retry_failed=True).frame()
    assert (again.status == "ok").all()
    assert {row["attempt"] for row in store.read(tmp_path).rows.values()} <= {1, 2}


def test_fail_fast_stops_at_the_first_failure(tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_STUDY_FAILS", "1")
    with pytest.raises(RuntimeError, match="asked to fail"):
        tiny(targets=flaky()).run(tmp_path, progress=False, fail_fast=True)
    assert 0 < len(lines_of(tmp_path)) < len(tiny(targets=flaky()).runs)


def test_an_interrupt_keeps_what_is_done_and_the_next_run_does_the_rest(tmp_path):
    told = []

    def interrupt(state):
        told.append(state)
        if state.done == 4 and "Stopped" not in state.message:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tiny().run(tmp_path, progress=interrupt)
    assert "Start it again" in told[-1].message
    before = lines_of(tmp_path)
    assert len(before) == 4
    records = tiny().run(tmp_path, progress=False)
    assert len(records) == len(tiny().runs)
    assert lines_of(tmp_path)[: len(before)] == before or set(before) < set(lines_of(tmp_path))


class Poisoned(ThreadPoolExecutor):
    """An engine whose worker dies whenever a certain run is in it."""

    def __init__(self, run_id):
        super().__init__(1)
        self.run_id, self.sizes = run_id, []

    def submit(self, fn, name, text):
        def work():
            if self.run_id in text:
                self.sizes.append(text.count('"attempt"'))
                raise WorkerDied("killed")
            return fn(name, text)

        return super().submit(work)


def test_a_run_that_kills_its_worker_is_found_and_lost_after_three_deaths_alone(tmp_path):
    study = tiny(architectures=ar.FixedWidth(dim=1, width=4, depth=1), replicas=4, constructions=())
    victim = study.run_ids()[5]
    with Poisoned(victim) as engine:
        frame = study.run(tmp_path, engine=engine, progress=False).frame().set_index("run_id")
    assert frame.status[victim] == "lost"
    assert (frame.status.drop(victim) == "ok").all()
    assert engine.sizes == [8, 4, 2, 1, 1, 1]
    assert len(lines_of(tmp_path)) == len(study.runs)


def test_a_lost_run_is_done_again_when_asked(tmp_path):
    study = tiny(architectures=ar.FixedWidth(dim=1, width=4, depth=1), constructions=(), targets=tree())
    with Poisoned(study.run_ids()[0]) as engine:
        study.run(tmp_path, engine=engine, progress=False)
    assert study.run(tmp_path, progress=False).frame().status.tolist() == ["lost"]
    assert study.run(tmp_path, progress=False, retry_failed=True).frame().status.tolist() == ["ok"]


def test_at_most_four_batches_per_worker_are_in_flight(tmp_path):
    class Counting(ThreadPoolExecutor):
        flying = most = 0

        def submit(self, *call):
            self.flying += 1
            self.most = max(self.most, self.flying)
            future = super().submit(*call)
            future.add_done_callback(lambda _: setattr(self, "flying", self.flying - 1))
            return future

    study = tiny(
        architectures=ar.FixedWidth(dim=1, width=4, depth=ar.axis(*range(1, 9))), targets=tree(), constructions=()
    )
    with Counting(1) as engine:
        study.run(tmp_path, engine=engine, progress=False)
    assert engine.most <= driving.IN_FLIGHT_PER_WORKER


def test_the_plan_knows_that_exact_weights_take_longer(tmp_path):
    def planned(name, options=None):
        construction = ar.Construction(name, n_params=2000, options=options or {})
        return ar.Study(name="plan", targets=ar.load_target("faber_tree", smoothness=0.5), constructions=[construction])

    short, deep = planned("interpolation"), planned("yarotsky2020_deep")
    compiled = planned("yarotsky2020_deep", {"activation": "relu2"})
    assert 5 * short.plan().seconds < deep.plan().seconds < 0.2 * compiled.plan().seconds
    short.run(tmp_path, progress=False)  # what is stored of a construction is the time to build it
    assert not short.plan(tmp_path).calibrated


def test_the_plan_tells_runs_sizes_and_precision_and_trains_nothing(tmp_path):
    study = tiny(replicas=4)
    plan = study.plan()
    assert plan.n_runs == len(study.runs)
    family = plan.families[0]
    assert family.n_params == tuple(ar.FixedWidth(dim=1, width=4, depth=d).n_params for d in (1, 2, 3, 4))
    assert (family.draws, family.seeds) == (2, 4)
    assert family.half_width > 0
    assert np.isnan(plan.families[1].half_width)
    assert "13 to 73" in str(plan)
    assert "factor of three" in str(plan)
    study.run(tmp_path, progress=False)
    done = study.plan(tmp_path)
    assert (done.n_done, done.n_batches, done.seconds) == (len(study.runs), 0, 0.0)
    assert "measured" in str(done)


def test_the_expected_width_shrinks_as_the_root_of_the_draws():
    from approxrates.study.studyplan import expected_half_width

    sizes = [50, 100, 200, 400]
    few, many = (expected_half_width(sizes, draws=n, seeds=4, spread=0.25) for n in (20, 80))
    assert few / many == pytest.approx(2.0, rel=0.06)


def test_a_shrunk_study_keeps_every_kind_of_run_and_is_small():
    study = tiny(
        targets=[tree(seed=s) for s in range(5)] + [ar.load_target("analytic", dim=1)],
        architectures=ar.FixedWidth(dim=1, width=4, depth=ar.axis(*range(1, 9)), activation=ar.axis("relu", "sin")),
        replicas=4,
        plan="default",
    )
    small = study.shrunk()
    assert len(small.runs) == 2 * (4 * 2 + 2)
    assert {r.spec["architecture"]["activation"] for r in small.runs if "architecture" in r.spec} == {"relu", "sin"}
    assert {s["steps"] for r in small.runs for s in r.spec.get("training", {}).get("plan", [])} == {5}


def test_a_damaged_study_file_in_the_folder_is_refused_before_anything_is_done(tmp_path):
    (tmp_path / "study.toml").write_text("name = ")
    with pytest.raises(ValueError, match="no run is lost"):
        tiny().run(tmp_path, progress=False)
    assert lines_of(tmp_path) == []


def test_damaged_lines_are_warned_of_and_only_their_runs_are_done_again(tmp_path):
    whole = tiny().run(tmp_path, progress=False).frame()
    (segment,) = (tmp_path / "runs").glob("*.jsonl")
    lines = segment.read_text().splitlines(keepends=True)
    segment.write_text("".join([lines[0][:50] + "\n", *lines[1:]]))
    with pytest.warns(UserWarning, match=r"line 1 is damaged"):
        again = tiny().run(tmp_path, progress=False).frame()
    assert without_time(whole).equals(without_time(again))
    assert len(lines_of(tmp_path)) == len(lines) + 1


@pytest.mark.parametrize(
    ("change", "error", "named"),
    [
        ({"targets": []}, ValueError, "target"),
        ({"targets": ["faber_tree"]}, TypeError, "load_target"),
        ({"targets": ar.load_target("faber_tree", smoothness=0.5, dim=2)}, ValueError, "dim"),
        ({"architectures": (), "constructions": ()}, ValueError, "neither"),
        ({"architectures": [8]}, TypeError, "FixedWidth"),
        ({"architectures": ar.FixedWidth(dim=1, width=4, depth=ar.axis(1, 0))}, ValueError, "depth"),
        ({"architectures": ar.FixedWidth(dim=1, width=4, depth=1, activation="heaviside")}, ValueError, "heaviside"),
        ({"constructions": ["interpolation"]}, TypeError, "Construction"),
        ({"replicas": 0}, ValueError, "replicas"),
        ({"replicas": 2.0}, TypeError, "replicas"),
        ({"plan": "quick"}, ValueError, "default"),
        ({"plan": []}, ValueError, "stage"),
        ({"plan": [{"stage": "adam", "step": 5}]}, ValueError, "steps"),
        ({"start": "warm"}, ValueError, "constructive"),
        (
            {"start": ar.axis("random", "constructive"), "architectures": ar.FixedWidth(1, 4, 2, "relu", bias=False)},
            ValueError,
            "bias",
        ),
        ({"seed": -1}, ValueError, "seed"),
        ({"dtype": "float16"}, ValueError, "float32"),
        ({"n_points": 0}, ValueError, "n_points"),
        ({"budget": 0}, ValueError, "budget"),
        ({"budget": "large"}, TypeError, "budget"),
        ({"refit": -1}, ValueError, "refit"),
        ({"name": ""}, ValueError, "name"),
        ({"name": None}, TypeError, "name"),
    ],
    ids=lambda v: str(v)[:50] if isinstance(v, dict) else "",
)
def test_bad_studies_are_refused_when_they_are_made(change, error, named):
    with pytest.raises(error, match=named) as caught:
        tiny(**change)
    assert "\n" not in str(caught.value)


def test_bad_arguments_of_a_run_are_refused_before_anything_is_written(tmp_path):
    for arguments, error in (
        ({"workers": 0}, ValueError),
        ({"workers": "2"}, TypeError),
        ({"keep": "some"}, ValueError),
        ({"progress": 3}, TypeError),
    ):
        with pytest.raises(error):
            tiny().run(tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_a_function_of_the_script_itself_runs_in_this_process_only(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import approxrates as ar\n"
        "def own(x): return x[:, 0] ** 2\n"
        "target = ar.Target.from_callable(own, ar.Regularity(smoothness=2.0, dim=1))\n"
        "study = ar.Study('own', targets=target, constructions=ar.Construction('interpolation', n_params=20))\n"
        "print(study.run('out', progress=False))\n"
        "study.run('out', workers=2)\n"
    )
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert "1 ok" in done.stdout
    assert "Move the function into a module" in done.stderr


def test_progress_is_lines_where_there_is_no_terminal(capsys):
    show = listener(None)
    assert isinstance(show, Lines)
    for done in range(101):
        show(Progress("tiny", done, 100, 0, float(done), 100.0 - done, "run ab failed: why" if done == 50 else ""))
    text = capsys.readouterr().err.splitlines()
    assert text[0] == "tiny: 0 of 100 runs, 0 s, about 1 min 40 s left"
    assert text[-1] == "tiny: 100 of 100 runs, 1 min 40 s"
    assert text.count("run ab failed: why") == 1
    assert len(text) == 12


def test_a_run_warns_of_nothing_when_nothing_is_wrong(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tiny().run(tmp_path, progress=False)


def test_another_study_in_a_folder_is_told_of_and_one_that_is_the_same_is_not(tmp_path):
    tiny().run(tmp_path, progress=False)
    tiny("another name").run(tmp_path, progress=False)  # the same runs: nothing to tell
    wider = tiny(architectures=ar.FixedWidth(dim=1, width=6, depth=2), constructions=())
    with pytest.warns(UserWarning, match=r"of its 12 runs 0 are among these 2\. .*Write study.to_toml\(\)"):
        wider.run(tmp_path, progress=False)
    selection = store.read_selection(tmp_path)
    assert (set(selection.ids), selection.own_file) == (set(wider.run_ids()), False)
    assert isinstance(standing_study(tmp_path, ar.Study.from_toml), store.Selection)


def test_overrides_of_the_file_in_the_folder_are_told_with_the_command_and_kept(tmp_path):
    file = tmp_path / "study.toml"
    tiny().run(tmp_path, progress=False)
    changed = ar.Study.from_toml(file, overrides={"architectures.width": 6, "training.start": "random"})
    with pytest.warns(UserWarning, match=r"--set architectures.width=6 --set training.start=random"):
        notes = changed.run(tmp_path, progress=False).notes
    assert notes[0].endswith("approxrates run study.toml --set architectures.width=6 --set training.start=random.")
    assert standing_study(tmp_path, ar.Study.from_toml).run_ids() == changed.run_ids()
    ar.Study.from_toml(file).run(tmp_path, progress=False)
    assert standing_study(tmp_path, ar.Study.from_toml).run_ids() == tiny().run_ids()


def test_an_edited_study_file_is_what_the_folder_stands_for_and_an_unreadable_one_falls_back(tmp_path):
    tiny().run(tmp_path, progress=False)
    fewer = tiny(targets=tree())
    (tmp_path / "study.toml").write_text(fewer.to_toml(tmp_path))
    assert standing_study(tmp_path, ar.Study.from_toml).run_ids() == fewer.run_ids()
    (tmp_path / "study.toml").write_text("name = 3")
    with pytest.warns(UserWarning, match="name must be a text"):
        assert set(standing_study(tmp_path, ar.Study.from_toml).ids) == set(tiny().run_ids())


def test_overrides_are_written_so_that_a_shell_and_the_command_line_read_them_back():
    import shlex

    from approxrates.cli import parse_overrides

    overrides = {"net.width": 6, "net.depth": [1, 2], "net.activation": "relu+sin", "training.budget": 0.5}
    words = shlex.split(with_set(overrides))
    assert parse_overrides(words[1::2]) == overrides


def test_runs_that_another_process_stores_meanwhile_are_not_done_again(tmp_path):
    """The other process is played by the listener: after the first batch it does the whole study."""
    messages = []

    def other(progress):
        messages.append(progress)
        if progress.done and not done:
            done.append(True)
            tiny().run(tmp_path / "other", progress=False)
            for path in (tmp_path / "other" / "runs").glob("*.jsonl"):
                (tmp_path / "runs" / path.name).write_bytes(path.read_bytes())

    done = []
    records = tiny().run(tmp_path, progress=other)
    assert len(records) == len(tiny().runs) == messages[-1].done
    assert len(lines_of(tmp_path)) == len(tiny().runs) + 2  # the first batch was done by both


def test_fail_fast_ends_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("TEST_STUDY_FAILS", "1")
    with pytest.raises(StudyStopped, match=r"asked to fail.*\w\. Stopped by fail_fast"):
        tiny(targets=flaky()).run(tmp_path, progress=False, fail_fast=True)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3, "3 s"), (600, "10 min"), (9000, "2.5 h"), (86400 * 30, "30 days"), (4920200016.4 * 3600, "561,282 years")],
)
def test_the_time_of_a_plan_is_in_a_unit_that_people_take_in(seconds, text):
    plan = dataclasses.replace(tiny().plan(), seconds=seconds)
    assert f"about {text} of one core" in str(plan)
