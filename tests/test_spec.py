"""Run specs and their identity, target sources, and study files: the same study, the same ids."""

import json

import numpy as np
import pytest

import approxrates as ar
from approxrates import spec, store
from approxrates.architecture import from_spec
from approxrates.spec import Construction, sources, tomltext

ARCH = {"kind": "fixed_width", "dim": 1, "width": 8, "depth": 2, "activation": "relu"}
PLAN = [{"stage": "adam", "steps": 5}]


def tree(**changes):
    return ar.load_target("faber_tree", **{"smoothness": 0.5, "dim": 1, "seed": 0} | changes)


def ramp(x):
    """A target that other processes can import."""
    return np.abs(x[:, 0] - 0.3)


def training(**changes):
    return {"plan": PLAN, "replica": 0, **changes}


def test_defaults_do_not_change_the_identity():
    lean = spec.train_spec(tree(), ARCH, training())
    full = spec.train_spec(tree(), ARCH, training(**spec.TRAINING_DEFAULTS))
    assert spec.run_id(lean) == spec.run_id(full)
    assert lean["training"] == {"plan": PLAN, "replica": 0}


@pytest.mark.parametrize(
    "change",
    [{"replica": 1}, {"seed": 1}, {"dtype": "float32"}, {"n_points": 100}, {"budget": 4}, {"start": "constructive"}],
    ids=str,
)
def test_whatever_changes_the_numbers_changes_the_identity(change):
    assert spec.run_id(spec.train_spec(tree(), ARCH, training(**change))) != spec.run_id(
        spec.train_spec(tree(), ARCH, training())
    )


def test_the_identity_is_the_hash_of_the_canonical_text_and_survives_json():
    found = spec.train_spec(tree(), ARCH, training())
    assert spec.run_id(found) == store.digest(json.loads(json.dumps(found)))
    assert len(spec.run_id(found)) == 64


def test_a_recipe_number_is_part_of_the_identity(monkeypatch):
    before = spec.run_id(spec.construct_spec(tree(), Construction("interpolation", n_params=50)))
    monkeypatch.setitem(spec.RECIPES, "construction", 99)
    assert spec.run_id(spec.construct_spec(tree(), Construction("interpolation", n_params=50))) != before


def test_an_infinitely_smooth_target_has_an_identity():
    found = spec.construct_spec(ar.load_target("analytic", dim=1), Construction("interpolation", n_params=50))
    assert found["target"]["smoothness"] == "inf"


@pytest.mark.parametrize(
    ("write", "error", "named"),
    [
        (lambda: Construction("interpolate", n_params=50), ValueError, "interpolation"),
        (lambda: Construction("interpolation", n_params=0), ValueError, "n_params=0"),
        (lambda: Construction("interpolation", n_params="many"), TypeError, "many"),
        (lambda: Construction("interpolation", n_params=ar.axis(50, 1.5)), TypeError, "1.5"),
    ],
    ids=["name", "zero", "text", "axis"],
)
def test_a_bad_construction_is_refused(write, error, named):
    with pytest.raises(error, match=named):
        write()


@pytest.mark.parametrize(
    "target",
    [
        tree(seed=3, levels=12),
        ar.load_target("analytic", dim=2),
        ar.Target.from_callable(ramp, ar.Regularity(smoothness=1.0, dim=1, information_rich=True, radius=1.0)),
        ar.Target.from_callable(ramp, ar.Regularity(smoothness=1.0, dim=1), name="a ramp"),
        ar.Target.from_data([0.0, 0.5, 1.0], [1.0, 0.25, 0.0], ar.Regularity(smoothness=0.5, dim=1), name="three"),
    ],
    ids=["tree", "analytic", "function", "named function", "data"],
)
def test_every_target_is_rebuilt_from_its_source(target):
    source = json.loads(store.canonical(sources.unboxed(sources.source_of(target))))
    again = sources.build_target(sources.identity_of(target), source)
    assert again == target
    assert again.regularity == target.regularity
    x = np.array([[0.0], [0.5], [1.0]]) if target.dim == 1 else np.array([[0.1, 0.7]])
    assert np.array_equal(again(x), target(x))


@pytest.mark.parametrize(
    "function", [lambda x: x[:, 0], type("Local", (), {"f": staticmethod(ramp)})], ids=["lambda", "class"]
)
def test_a_function_that_cannot_be_imported_has_no_source(function):
    with pytest.raises((ValueError, TypeError)):
        sources.source_of(ar.Target.from_callable(function, ar.Regularity(smoothness=1.0, dim=1)))


def test_a_source_that_yields_another_target_is_refused():
    wanted = sources.identity_of(tree())
    with pytest.raises(ValueError, match="source has changed"):
        sources.build_target(
            wanted, sources.source_of(ar.Target.from_callable(ramp, ar.Regularity(smoothness=1.0, dim=1)))
        )


def test_data_is_read_from_tables_and_archives(tmp_path):
    x, y = np.array([[0.0, 0.5], [0.25, 1.0]]), np.array([1.0, -2.0])
    np.savez(tmp_path / "a.npz", x=x, y=y)
    (tmp_path / "a.csv").write_text("u,v,f\n0,0.5,1\n0.25,1,-2\n")
    (tmp_path / "bare.csv").write_text("0,0.5,1\n0.25,1,-2\n")
    for name in ("a.npz", "a.csv", "bare.csv"):
        found = sources.read_data(tmp_path / name, 2)
        assert np.array_equal(found[0], x)
        assert np.array_equal(found[1], y)


@pytest.mark.parametrize(
    "text", [None, "a,b\n1", "1,2,3\n", "", "0.5,x\n1,2\n"], ids=["missing", "ragged", "columns", "empty", "words"]
)
def test_bad_data_files_are_refused_in_one_line(tmp_path, text):
    path = tmp_path / "bad.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=r"bad\.csv") as caught:
        sources.read_data(path, 1)
    assert "\n" not in str(caught.value)


def test_plain_data_survives_toml():
    import tomllib

    data = {
        "name": 'a "b" \\ ö',
        "targets": [{"name": "x", "smoothness": float("inf"), "coefficients": [0.0, 1e-7, 3.0]}, {"file": "y.toml"}],
        "training": {"plan": [{"stage": "adam", "steps": 5, "on": True}], "seed": 0},
        "sweep": {"training.plan": ["default", [{"stage": "soap", "steps": 1}]]},
    }
    assert tomllib.loads(tomltext.document(data)) == data
    with pytest.raises(TypeError, match="NoneType"):
        tomltext.value(None)


BASE = """
name = "base"
[[targets]]
name = "faber_tree"
smoothness = [0.25, 0.5]
dim = 1
draws = 2
[net]
width = 8
depth = [1, 2, 4]
activation = ["relu", "sin"]
[[constructions]]
name = "interpolation"
n_params = { geom = [20, 80, 3] }
[training]
replicas = 2
plan = [{ stage = "adam", steps = 5 }]
"""


def load(tmp_path, text, **overrides):
    path = tmp_path / "study.toml"
    path.write_text(text)
    return ar.Study.from_toml(path, overrides=overrides or None)


def python_base(**changes):
    given = {
        "targets": [tree(smoothness=r, seed=s) for r in (0.25, 0.5) for s in (0, 1)],
        "architectures": ar.FixedWidth(dim=1, width=8, depth=ar.axis(1, 2, 4), activation=ar.axis("relu", "sin")),
        "constructions": Construction("interpolation", n_params=ar.axis.geom(20, 80, 3)),
        "replicas": 2,
        "plan": [ar.Adam(steps=5)],
    }
    return ar.Study("base", **given | changes)


def test_a_study_in_toml_is_the_study_in_python(tmp_path):
    found = load(tmp_path, BASE)
    assert found.name == "base"
    assert sorted(found.run_ids()) == sorted(python_base().run_ids())
    assert len(found.run_ids()) == 4 * 6 * 2 + 4 * 3


def test_draws_are_seeds_and_lists_are_sweeps(tmp_path):
    text = '[[targets]]\nname = ["faber_tree", "weierstrass"]\nsmoothness = 0.5\nseed = [3, 5]\n'
    text += '[[constructions]]\nname = "interpolation"\nn_params = 20'
    study = load(tmp_path, text)
    assert [(r.spec["target"]["name"], r.spec["target"]["seed"]) for r in study.runs] == [
        ("faber_tree", 3), ("faber_tree", 5), ("weierstrass", 3), ("weierstrass", 5),
    ]  # fmt: skip
    assert study.name == tmp_path.name


def test_a_list_parameter_of_a_family_is_no_sweep(tmp_path):
    head, tail = (
        '[[targets]]\nname = "polynomial"\ncoefficients = ',
        '\n[[constructions]]\nname = "interpolation"\nn_params = 20',
    )
    assert len(load(tmp_path, head + "[0.0, 0.0, 1.0]" + tail).runs) == 1
    assert len(load(tmp_path, head + "[[0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0]]" + tail).runs) == 2


def test_the_sweep_table_names_keys_with_dots_and_zips_them(tmp_path):
    text = BASE + '[sweep]\n"training.start" = ["random", "constructive"]\n"net.activation" = ["relu"]\n'
    text += "[sweep.zip]\nnet.width = [4, 8, 16]\nnet.depth = [8, 4, 2]\n"
    shapes = {
        (r.spec["architecture"]["width"], r.spec["architecture"]["depth"], r.spec["training"].get("start", "random"))
        for r in load(tmp_path, text).runs
        if "architecture" in r.spec
    }
    assert shapes == {(w, d, s) for w, d in ((4, 8), (8, 4), (16, 2)) for s in ("random", "constructive")}


def test_sizes_may_be_given_as_parameter_counts(tmp_path):
    text = BASE.replace("depth = [1, 2, 4]", "n_params = [100, 400]")
    counts = {r.spec["architecture"]["depth"] for r in load(tmp_path, text).runs if "architecture" in r.spec}
    assert counts == {ar.FixedWidth.for_params(n, dim=1, width=8).depth for n in (100, 400)}


def test_a_depth_schedule_is_written_by_its_exponent(tmp_path):
    text = BASE.replace("width = 8\ndepth = [1, 2, 4]", "n_params = [200, 800, 3200]\nexponent = 0.5")
    shapes = {
        (r.spec["architecture"]["width"], r.spec["architecture"]["depth"])
        for r in load(tmp_path, text).runs
        if "architecture" in r.spec
    }
    width, depth = ar.FixedWidth.schedule(n_params=[200, 800, 3200], exponent=0.5, dim=1)
    assert shapes == set(zip(width.values, depth.values, strict=True))
    template = ar.FixedWidth(dim=1, width=width, depth=depth, activation=ar.axis("relu", "sin"), exponent=0.5)
    assert sorted(load(tmp_path, text).run_ids()) == sorted(python_base(architectures=template).run_ids())


@pytest.mark.parametrize("options", [{"bias": False}, {"injection": True}, {"residual": True}], ids=str)
def test_schedules_count_every_option(tmp_path, options):
    written = "".join(f"{k} = {str(v).lower()}\n" for k, v in options.items())
    text = BASE.replace(
        "width = 8\ndepth = [1, 2, 4]", f"n_params = [200, 800, 3200]\nexponent = [0.5, 0.75]\n{written}"
    )
    found = {
        tuple(sorted(r.spec["architecture"].items())) for r in load(tmp_path, text).runs if "architecture" in r.spec
    }
    for exponent in (0.5, 0.75):
        of_one = [from_spec(dict(spec)).n_params for spec in found if dict(spec)["exponent"] == exponent]
        assert len(of_one) == 2 * 3  # two activations
        assert all(any(0.7 * n < own <= n for own in of_one) for n in (200, 800, 3200))


def test_overrides_take_the_place_of_the_file(tmp_path):
    assert sorted(load(tmp_path, BASE, **{"net.width": 4}).run_ids()) == sorted(
        python_base(
            architectures=ar.FixedWidth(dim=1, width=4, depth=ar.axis(1, 2, 4), activation=ar.axis("relu", "sin"))
        ).run_ids()
    )
    assert len(load(tmp_path, BASE, **{"targets.draws": 1, "training.replicas": 1}).runs) == 2 * 6 + 2 * 3


def test_functions_and_data_are_targets(tmp_path):
    np.savez(tmp_path / "points.npz", x=np.linspace(0, 1, 9)[:, None], y=np.linspace(0, 1, 9) ** 2)
    text = """
    [[targets]]
    function = "tests.test_spec:ramp"
    smoothness = 1.0
    dim = 1
    [[targets]]
    data = "points.npz"
    smoothness = 2
    dim = 1
    label = "nine"
    [[targets]]
    data = { x = [0.0, 1.0], y = [1.0, 2.0] }
    smoothness = 2
    dim = 1
    [net]
    width = 4
    depth = 1
    """
    study = load(tmp_path, text)
    assert [s.target.name for s in study.blocks[0].targets] == ["ramp", "nine", "data"]
    assert 'data = "points.npz"' in study.to_toml(tmp_path)
    again = tmp_path / "again.toml"
    again.write_text(study.to_toml(tmp_path))
    assert ar.Study.from_toml(again).run_ids() == study.run_ids()


STUDIES = {
    "axes": lambda: python_base(
        start=ar.axis("random", "constructive"), architectures=ar.FixedWidth(dim=1, width=8, depth=ar.axis(1, 2))
    ),
    "plans": lambda: python_base(plan=ar.axis("default", [ar.Adam(steps=5), ar.SOAP(steps=3, learning_rate=0.003)])),
    "zip": lambda: python_base(
        architectures=ar.FixedWidth(dim=1, **dict(zip(("width", "depth"), ar.axis.zip([4, 8], [2, 1]), strict=True)))
    ),
    "schedule": lambda: python_base(
        architectures=ar.FixedWidth(
            dim=1,
            **dict(
                zip(("width", "depth"), ar.FixedWidth.schedule(n_params=[200, 800], exponent=0.5, dim=1), strict=True)
            ),
        )
    ),
    "schedule by name": lambda: python_base(
        architectures=ar.FixedWidth(
            dim=1,
            **dict(zip(("width", "depth"), ar.axis.zip([6, 8], [2, 3]), strict=True)),
            exponent=0.5,
            injection=True,
        )
    ),
    "skips": lambda: python_base(
        architectures=ar.FixedDepth(
            dim=1, depth=2, width=4, injection=ar.axis(False, True), residual=ar.axis(False, True)
        )
    ),
    "fixed depth": lambda: python_base(architectures=[ar.FixedDepth(dim=1, depth=2, width=ar.axis(2, 4), bias=False)]),
    "settings": lambda: python_base(seed=ar.axis(0, 1), dtype="float32", n_points=64, budget=2, refit=1),
    "sum": lambda: (
        python_base() + ar.Study("more", targets=tree(seed=9), architectures=ar.FixedWidth(dim=1, width=4, depth=1))
    ),
    "function": lambda: python_base(
        targets=[ar.Target.from_callable(ramp, ar.Regularity(smoothness=1.0, dim=1, radius=2.0))]
    ),
    "data": lambda: python_base(
        targets=ar.Target.from_data(
            np.linspace(0, 1, 5), np.linspace(0, 1, 5) / 3, ar.Regularity(smoothness=0.5, dim=1)
        )
    ),
    "smooth": lambda: python_base(targets=ar.load_target("analytic", dim=1)),
    "seeds": lambda: python_base(targets=[tree(seed=4), tree(seed=2), tree(seed=0, levels=9)]),
}


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_written_as_toml_and_read_again_has_the_same_runs(name, tmp_path):
    study = STUDIES[name]()
    again = load(tmp_path, study.to_toml())
    assert again.run_ids() == study.run_ids()
    assert again.to_toml() == study.to_toml()


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("[training]", "[trainin]", ["trainin", "Did you mean training", "Allowed"]),
        ("width = 8", "widht = 8", ["net.widht", "Did you mean width"]),
        ("depth = [1, 2, 4]", "depth = [1, 2.5, 4]", ["net.depth", "2.5", "integer"]),
        ("depth = [1, 2, 4]", "depth = []", ["net.depth", "at least one value"]),
        ("replicas = 2", 'replicas = "two"', ["training.replicas", "two", "integer"]),
        ("replicas = 2", "replicas = 0", ["replicas", "at least 1"]),
        ("replicas = 2", 'start = "warm"', ["training.start", "warm", "random"]),
        ("replicas = 2", 'dtype = "float16"', ["training.dtype", "float16", "float32"]),
        ('stage = "adam"', 'stage = "adm"', ["adm", "adam"]),
        ("steps = 5", "step = 5", ["step", "steps"]),
        ("geom = [20, 80, 3]", "geom = [20, 80]", ["constructions[0].n_params", "geom"]),
        ("geom = [20, 80, 3]", "geon = [20, 80, 3]", ["constructions[0].n_params"]),
        ('name = "interpolation"', 'name = "interpol"', ["constructions[0]", "interpol", "interpolation"]),
        ("smoothness = [0.25, 0.5]", "smoothness = [0.25, 5]", ["targets[0]", "smoothness"]),
        ("draws = 2", "draws = 2\nseed = 1", ["targets[0]", "draws", "seed"]),
        ('name = "base"', "name = 3", ["name", "3"]),
        ("dim = 1", "dim = 2", ["dim"]),
        ("[net]", "[net]\nexponent = 0.5", ["net", "n_params"]),
        ("[net]", '[net]\nkind = "fixed_depth"\nexponent = 0.5', ["net", "fixed_width"]),
        ("[net]", "[net]\ninjection = 1", ["net.injection", "boolean", "1"]),
        ("[training]", '[sweep]\n"nett.width" = [1]\n[training]', ["nett", "Did you mean net"]),
        ("[training]", '[sweep]\n"net.width" = 8\n[training]', ["sweep.net.width", "list"]),
        ("[training]", "[[architectures]]\nwidth = 1\n[training]", ["net", "architectures", "both"]),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_a_mistake_in_a_study_file_is_one_line_that_names_it(old, new, named, tmp_path):
    assert BASE.count(old) == 1
    with pytest.raises(ValueError) as caught:
        load(tmp_path, BASE.replace(old, new))
    message = str(caught.value)
    assert message.startswith("study.toml")
    assert all(part in message for part in named), message
    assert "\n" not in message


def test_an_override_of_a_table_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Did you mean net"):
        load(tmp_path, BASE, **{"nat.width": 4})


def test_the_study_file_of_the_documentation_can_be_read(tmp_path):
    from pathlib import Path

    text = (Path(__file__).parent.parent / "docs" / "studies.md").read_text()
    study = load(tmp_path, text.partition("```toml\n")[2].partition("```")[0])
    assert len(study.blocks[0].shapes) == 12
    assert len(study.blocks[0].targets) == 16


@pytest.mark.parametrize("budget", [0.5, 4])
def test_a_budget_below_one_survives_the_file(tmp_path, budget):
    study = ar.Study(
        "half",
        targets=ar.load_target("faber_tree", smoothness=0.5, dim=1),
        architectures=ar.FixedWidth(dim=1, width=4, depth=ar.axis(1, 2)),
        budget=budget,
    )
    (tmp_path / "study.toml").write_text(study.to_toml(tmp_path))
    assert ar.Study.from_toml(tmp_path / "study.toml").run_ids() == study.run_ids()
    assert study.plan().seconds > 0
