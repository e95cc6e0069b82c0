"""Bad input at the front door: one line that says what was required, what came and what to write; nothing trained, nothing lost."""

import os
import stat
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import approxrates as ar
from approxrates.__main__ import main

STUDY = """
name = "tiny"
[[targets]]
name = "faber_tree"
smoothness = 0.5
dim = 1
draws = 2
[net]
kind = "fixed_width"
dim = 1
width = 4
depth = [1, 2]
activation = "relu"
[training]
replicas = 1
plan = [{ stage = "adam", steps = 5 }]
"""


def tree(**changes):
    return ar.load_target("faber_tree", **({"smoothness": 0.5, "dim": 1, "seed": 0} | changes))


def half(dim=1):
    return ar.Regularity(smoothness=0.5, dim=dim)


def arch(**changes):
    return ar.FixedWidth(**({"dim": 1, "width": 4, "depth": 2, "activation": "relu"} | changes))


def study(**changes):
    return ar.Study(**({"name": "tiny", "targets": [tree()], "architectures": arch()} | changes))


def call_fit(*args, **changes):
    return ar.train(*args, **({"plan": [ar.Adam(steps=2)]} | changes))


def powers():
    sizes = [50, 100, 200, 400]
    return ar.fit_rate(sizes, [1 / w for w in sizes])


X = np.linspace(0, 1, 5)

# name: (what is written, error, what the message must name)
CASES = {
    "smoothness 0": (lambda: ar.Regularity(smoothness=0, dim=1), ValueError, "smoothness"),
    "smoothness negative": (lambda: ar.Regularity(smoothness=-1.0, dim=1), ValueError, "smoothness=-1.0"),
    "smoothness nan": (lambda: ar.Regularity(smoothness=float("nan"), dim=1), ValueError, "smoothness"),
    "smoothness text": (lambda: ar.Regularity(smoothness="half", dim=1), TypeError, "'half'"),
    "dim 0": (lambda: ar.Regularity(smoothness=0.5, dim=0), ValueError, "dim=0"),
    "dim float": (lambda: ar.Regularity(smoothness=0.5, dim=1.5), TypeError, "1.5"),
    "unknown class": (lambda: ar.Regularity(smoothness=0.5, dim=1, kind="smooth"), ValueError, "holder"),
    "unknown target": (lambda: ar.load_target("faber_three", smoothness=0.5, dim=1), ValueError, "faber_tree"),
    "target parameter misspelt": (lambda: ar.load_target("faber_tree", smothness=0.5, dim=1), ValueError, "smoothness"),
    "tree r out of range": (lambda: tree(smoothness=1.5), ValueError, "smoothness"),
    "tree r zero": (lambda: tree(smoothness=0.0), ValueError, "smoothness"),
    "tree dim 4": (lambda: tree(dim=4), ValueError, "dim"),
    "tree levels 0": (lambda: tree(levels=0), ValueError, "levels"),
    "tree seed text": (lambda: tree(seed="one"), (ValueError, TypeError), "seed"),
    "bump tree integer r": (lambda: ar.load_target("bump_tree", smoothness=2.0, dim=1), ValueError, "smoothness"),
    "target called with a wrong shape": (lambda: tree()(np.zeros((3, 2))), ValueError, "(n, dim)"),
    "target called outside the cube": (lambda: tree()(np.array([1.5])), ValueError, "[0, 1]"),
    "callable with NaN": (
        lambda: ar.Target.from_callable(lambda x: np.sqrt(x[:, 0] - 0.5), half()),
        (ValueError, RuntimeWarning),
        "finite|invalid",
    ),
    "callable of wrong shape": (
        lambda: ar.Target.from_callable(lambda x: np.zeros((len(x), 2)), half()),
        ValueError,
        "(n,)",
    ),
    "callable is a number": (lambda: ar.Target.from_callable(3.0, half()), TypeError, "callable"),
    "callable without regularity": (lambda: ar.Target.from_callable(np.sin, 0.5), TypeError, "Regularity"),
    "data with NaN": (lambda: ar.Target.from_data(X, X * np.nan, half()), ValueError, "finite"),
    "data of unequal lengths": (lambda: ar.Target.from_data(X, X[:3], half()), ValueError, "(5,)"),
    "data outside the cube": (lambda: ar.Target.from_data(2 * X, X, half()), ValueError, "Rescale"),
    "data with repeated points": (lambda: ar.Target.from_data(np.r_[X, X], np.r_[X, X], half()), ValueError, "repeat"),
    "width 0": (lambda: arch(width=0), ValueError, "width"),
    "width float": (lambda: arch(width=2.5), TypeError, "width"),
    "depth 0": (lambda: arch(depth=0), ValueError, "depth"),
    "depth bool": (lambda: arch(depth=True), TypeError, "depth"),
    "unknown activation": (lambda: arch(activation="rellu"), ValueError, "relu"),
    "architecture for too few parameters": (
        lambda: ar.FixedWidth.for_params(5, dim=1, width=8),
        ValueError,
        "n_params|at least|parameters",
    ),
    "axis without values": (lambda: ar.axis(), ValueError, "value"),
    "axis zip of unequal lengths": (lambda: ar.axis.zip([1, 2], [3]), ValueError, "equal length"),
    "axis geom from zero": (lambda: ar.axis.geom(0, 8, 3), ValueError, "positive"),
    "train a step function": (lambda: call_fit(arch(activation="heaviside"), tree()), ValueError, "heaviside"),
    "train in another dimension": (lambda: call_fit(arch(dim=2), tree()), ValueError, "dim"),
    "train no replica": (lambda: call_fit(arch(), tree(), replicas=0), ValueError, "replicas"),
    "train an unknown plan": (lambda: call_fit(arch(), tree(), plan="quick"), ValueError, "default"),
    "train an empty plan": (lambda: call_fit(arch(), tree(), plan=[]), ValueError, "stage"),
    "train an unknown start": (lambda: call_fit(arch(), tree(), start="warm"), ValueError, "constructive"),
    "train in an unknown dtype": (lambda: call_fit(arch(), tree(), dtype="float16"), ValueError, "float32"),
    "train on an unknown device": (lambda: call_fit(arch(), tree(), device="quantum"), ValueError, "device"),
    "train on too few points": (lambda: call_fit(arch(), tree(), n_points=1), ValueError, "n_points"),
    "train no target": (lambda: call_fit(arch(), []), ValueError, "target"),
    "train a network without biases constructively": (
        lambda: call_fit(arch(bias=False), tree(), start="constructive"),
        ValueError,
        "bias",
    ),
    "Adam with negative steps": (lambda: ar.Adam(steps=-1), ValueError, "steps"),
    "Adam with zero learning rate": (lambda: ar.Adam(steps=1, learning_rate=0.0), ValueError, "learning_rate"),
    "unknown construction": (lambda: ar.construct("interpolate", tree(), n_params=50), ValueError, "interpolation"),
    "construction with too few parameters": (
        lambda: ar.construct("interpolation", tree(), n_params=1),
        ValueError,
        "n_params",
    ),
    "three sizes": (lambda: ar.fit_rate([10, 20, 40], [1, 0.5, 0.25]), ValueError, "four"),
    "negative errors": (lambda: ar.fit_rate([10, 20, 40, 80], [1, 0.5, -0.25, 0.1]), ValueError, "positive"),
    "sizes that do not increase": (
        lambda: ar.fit_rate([10, 20, 20, 80], [1, 0.5, 0.25, 0.1]),
        ValueError,
        "increasing",
    ),
    "errors of wrong shape": (lambda: ar.fit_rate([10, 20, 40, 80], [1, 0.5, 0.25]), ValueError, "shape"),
    "study without targets": (lambda: study(targets=[]), ValueError, "target"),
    "study without networks": (lambda: study(architectures=()), ValueError, "architecture"),
    "study with a wrong target": (lambda: study(targets=["faber_tree"]), TypeError, "target"),
    "study with no replica": (lambda: study(replicas=0), ValueError, "replicas"),
    "study in two dimensions at once": (lambda: study(architectures=arch(dim=2)), ValueError, "dim"),
    "study with two outputs": (lambda: study(architectures=arch(n_outputs=2)), ValueError, "n_outputs"),
    "study with too few points": (lambda: study(n_points=1), ValueError, "n_points must be at least 3"),
    "study with data and points": (
        lambda: study(targets=ar.Target.from_data(X[:, None], X, half()), n_points=64),
        ValueError,
        "left out for data",
    ),
    "construction with an unknown option": (
        lambda: ar.Construction("interpolation", n_params=50, options={"knots": 3}),
        ValueError,
        "knots=3. Options: cells",
    ),
    "study with too many replicas": (lambda: study(replicas=10**8), ValueError, "100,000,000"),
    "study with a network beyond measure": (
        lambda: study(architectures=arch(width=99999999)),
        ValueError,
        "1,000,000,000 parameters",
    ),
    "study with an unknown keyword": (lambda: study(replica=3), TypeError, "replica"),
    "tree r next to zero": (lambda: tree(smoothness=1e-300), ValueError, "smoothness=1e-300"),
    "forecast of a size in words": (lambda: powers().next_error("many"), TypeError, "n_params must be a number"),
    "forecast of a list": (lambda: powers().next_error([100, 200]), TypeError, "next_error(2000)"),
    "test of a bound in words": (lambda: powers().p_value("one", "above"), TypeError, "bound must be a number"),
    "test of a bound that is no number": (lambda: powers().p_value(float("nan"), "above"), ValueError, "bound=nan"),
    "exponent in words": (lambda: ar.place(powers(), half(), depth_exponent="1"), TypeError, "depth_exponent=1.0"),
    "places that are no list": (lambda: ar.place_all(3), TypeError, "[place(...), place(...)]"),
    "recertify a number": (lambda: ar.recertify(3), TypeError, "recertify('results/mine')"),
    "study with a lambda": (
        lambda: study(targets=[ar.Target.from_callable(lambda x: x[:, 0], half())]),
        ValueError,
        "module:function",
    ),
    "records of a table without sizes": (
        lambda: ar.records_from_table(__import__("pandas").DataFrame({"error_sup": [1.0]})),
        ValueError,
        "n_params",
    ),
    "records of a missing folder": (lambda: ar.load_records("no/such/folder"), (ValueError, OSError), "no/such/folder"),
    "network from a text file": (lambda: ar.Network.load(__file__), ValueError, "test_bad_input"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_refused_in_one_line_that_names_the_mend(case):
    write, error, named = CASES[case]
    with pytest.raises(error) as caught:
        write()
    message = str(caught.value)
    assert any(part in message for part in named.split("|")), message
    assert "\n" not in message.strip()
    assert len(message) > 20


def test_there_are_at_least_forty_cases():
    assert len(CASES) + len(TOML_CASES) >= 40


# name: (text replaced, by what, what the message must name)
TOML_CASES = {
    "misspelt top key": ("[training]", "[traning]", ["training"]),
    "misspelt key of the net": ("width = 4", "widht = 4", ["widht", "width"]),
    "misspelt key of a target": ("smoothness = 0.5", "smothness = 0.5", ["smothness", "smoothness"]),
    "misspelt key of training": ("replicas = 1", "replcas = 1", ["replcas", "replicas"]),
    "misspelt stage": ('stage = "adam"', 'stage = "adm"', ["adm", "adam"]),
    "misspelt key of a stage": ("steps = 5", "step = 5", ["step", "steps"]),
    "wrong type": ("width = 4", 'width = "four"', ["width", "four"]),
    "width 0": ("width = 4", "width = 0", ["width"]),
    "unknown kind": ('kind = "fixed_width"', 'kind = "resnet"', ["resnet", "fixed_width"]),
    "unknown activation": ('activation = "relu"', 'activation = "rellu"', ["rellu", "relu"]),
    "unknown target": ('name = "faber_tree"', 'name = "faber_bush"', ["faber_bush", "faber_tree"]),
    "smoothness 0": ("smoothness = 0.5", "smoothness = 0", ["smoothness"]),
    "no draws": ("draws = 2", "draws = 0", ["draws"]),
    "a net that is a number": ("[net]", "net = 3\n[other]", ["other"]),
    "no values": ("depth = [1, 2]", "depth = []", ["net.depth", "at least one value", "[2, 4, 8]"]),
    "misspelt geom": ("depth = [1, 2]", "depth = { goem = [1, 8, 3] }", ["net.depth", "geom = [start, stop, num]"]),
    "a stage called by name": ('stage = "adam"', 'name = "Adam"', ["training.plan[0].stage", "stage = 'adam'"]),
    "stages without tables": ('[{ stage = "adam", steps = 5 }]', '["adam"]', ["training.plan", "list of stages"]),
    "depth beside parameter counts": ("width = 4", "n_params = [50, 100]", ["net: n_params", "depth", "width"]),
    "targets by name": ("[[targets]]\nname", "[targets.rough]\nname", ["rough", "faber_tree"]),
    "too many draws": ("draws = 2", "draws = 100000000", ["draws", "10000"]),
    "too many values": ("depth = [1, 2]", "depth = { geom = [1, 8, 100000000] }", ["depth", "10000"]),
    "not TOML": ("[net]", "[net", ["line"]),
}


def run_cli(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "approxrates", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=120,
    )


@pytest.mark.parametrize("case", TOML_CASES)
def test_a_damaged_study_file_is_refused_before_anything_is_written(case, tmp_path):
    old, new, named = TOML_CASES[case]
    assert STUDY.count(old) == 1
    path = tmp_path / "study.toml"
    path.write_text(STUDY.replace(old, new))
    with pytest.raises(ValueError) as caught:
        ar.Study.from_toml(path)
    message = str(caught.value)
    assert "study.toml" in message
    assert all(part in message for part in named), message
    assert "\n" not in message.strip()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["study.toml"]


def test_the_command_line_prints_one_line_and_leaves_the_folder_alone(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(STUDY.replace("width = 4", "widht = 4"))
    done = run_cli("run", path, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["study.toml"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["run", "absent.toml"], "absent.toml"),
        (["targets", "show", "faber_bush"], "faber_tree"),
        (["construct", "interpolate", "--smoothness", "0.5"], "interpolation"),
        (["report", "absent"], "absent"),
        (["run", "study.toml", "--set", "net.widht=3"], "width"),
        (["run", "study.toml", "--set", "net"], "KEY=VALUE"),
        (["run", "study.toml", "--workers", "0"], "workers"),
        (["plan", "study.toml", "--set", "net=3"], "net must be a table"),
        (["plan", "study.toml", "--set", "net.zip=3"], "net.zip must be a table of lists"),
        (["plan", "study.toml", "--set", "sweep.zip=3"], "sweep.zip must be a table of lists"),
        (["plan", "study.toml", "--set", "net.n_params=[50, 100]"], "without depth, which it sets"),
        (["plan", "study.toml", "--set", "training..seed=1"], "names joined by single dots"),
        (["plan", "study.toml", "--set", "sweep.nett.width=[4]"], "Got [4]"),
        (["plan", "study.toml", "--set", "name.a=4"], "name must be a table"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_words_on_the_command_line_end_in_one_line(arguments, named, tmp_path, monkeypatch, capsys):
    """In this process: what is not caught would be a traceback, and fails the test."""
    (tmp_path / "study.toml").write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["approxrates", *arguments])
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # main sets it
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert named in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_an_unwritable_folder_is_refused_before_training(tmp_path):
    # A folder below a file cannot be made by anyone, root included.
    (tmp_path / "file").write_text("")
    with pytest.raises((OSError, ValueError), match="file"):
        study().run(tmp_path / "file" / "results", progress=False)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_refused_before_training(tmp_path):
    tmp_path.chmod(stat.S_IREAD | stat.S_IEXEC)
    with pytest.raises((OSError, ValueError), match=r"writ|ermission"):
        study().run(tmp_path, progress=False)


def test_damaged_results_are_reported_and_the_lost_runs_are_done_again(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    loaded = ar.Study.from_toml(path)
    whole = loaded.run(tmp_path, progress=False).frame()
    segment = max(Path(tmp_path / "runs").glob("*.jsonl"), key=lambda p: p.stat().st_size)
    lines = segment.read_text().splitlines(keepends=True)
    segment.write_text("".join([lines[0][:40] + "\n", *lines[1:-1], lines[-1][:25]]))
    with pytest.warns(UserWarning, match=segment.name):
        again = loaded.run(tmp_path, progress=False).frame()
    columns = ["run_id", "n_params", "error_sup_upper", "loss"]
    assert (
        again[columns].sort_values("run_id").to_numpy().tolist()
        == whole[columns].sort_values("run_id").to_numpy().tolist()
    )


def _fit(members=None, **options):
    from approxrates.training import fit_members

    arch, members = ar.FixedWidth(dim=1, width=4, depth=1), [(_target(), 0)] if members is None else members
    return fit_members(arch, members, plan=[ar.SGD(steps=1, learning_rate=1e-3)], **options)


def _target():
    return ar.load_target("polynomial")


@pytest.mark.parametrize(
    ("members", "kind", "message"),
    [
        (lambda t: [t], TypeError, "a member must be a pair"),
        (lambda t: [(t, 0, 1)], TypeError, "a member must be a pair"),
        (lambda t: [(t, "x")], TypeError, "must be an integer. Got 'x'"),
        (lambda t: [(t, 1.5)], TypeError, "must be an integer. Got 1.5"),
        (lambda t: [(t, -1)], ValueError, "must be at least 0"),
        (lambda t: ((t, i) for i in range(2)), TypeError, "members must be a list of pairs"),
    ],
)
def test_members_are_pairs_of_target_and_replica_number(members, kind, message):
    with pytest.raises(kind, match=message):
        _fit(members(_target()))


def test_numbers_of_numpy_are_numbers():
    plain, numpy = _fit([(_target(), 3)], l2_penalty=0.5), _fit([(_target(), np.int64(3))], l2_penalty=np.array(0.5))
    assert np.array_equal(plain.losses, numpy.losses)
    assert numpy.members[0][1] == 3


def test_a_penalty_beyond_all_floating_point_numbers_is_refused():
    with pytest.raises(ValueError, match="l2_penalty must be at least 0 and finite"):
        _fit(l2_penalty=10**400)


def test_unknown_settings_of_a_measurement_need_not_be_texts():
    with pytest.raises(ValueError, match=r"loss has the settings schedule\. Got 3, x"):
        _fit(measure=[{"measurement": "loss", "x": 1, 3: 4}])


@pytest.mark.parametrize("inputs", [[[10**400]], np.array([[1j]])])
def test_data_are_floating_point_numbers(inputs):
    with pytest.raises(TypeError, match="inputs must be an array of numbers"):
        ar.Dataset("a", inputs, [[1.0]])


def test_data_whose_squares_overflow_are_refused():
    data = ar.Dataset("a", [[0.0], [1.0]], [[1e200], [-1e200]])
    with pytest.raises(ValueError, match="values whose squares are finite"):
        _fit([(data, 0)])
