"""The framework of probes: plans replayed from the store, failures as rows, settings, pages; and what all probes share."""

import dataclasses
import json
import tomllib

import pytest

import approxrates as ar
from approxrates import probes, store
from approxrates.probes import base, running
from approxrates.probes.base import Probe, Quantity, settings_of

CALLS = []


@dataclasses.dataclass(frozen=True)
class Settings:
    n: int = 4
    scale: float = 1.0
    grid: tuple[float, ...] = (0.5, 1.0)
    bad: bool = False

    def __post_init__(self):
        if self.n < 1:
            raise ValueError(f"n must be at least 1. Got n={self.n}.")


class Toy(Probe):
    """Squares of numbers, then the cell that the sum of the squares points at."""

    name, title, source, Settings = "toy2000_squares", "Squares", "nobody (2000)", Settings

    def plan(self, settings):
        answers = yield [{"i": i, "bad": settings.bad and i == 1} for i in range(settings.n)]
        yield [{"i": int(sum(one["square"] for one in answers if one is not None)), "bad": False}]

    def cell(self, spec):
        CALLS.append(spec["i"])
        if spec["bad"]:
            raise ArithmeticError("a bad cell")
        return {"square": float(spec["i"] ** 2), "series": [0, spec["i"]]}

    def quantities(self, settings, frame):
        largest = float(frame["square"].max())
        return [
            Quantity(
                "largest square", ">= 1", "arithmetic", largest, None, None, "agrees" if largest >= 1 else "differs"
            )
        ]

    def figures(self, settings, frame):
        def draw():
            from matplotlib.figure import Figure

            axes = Figure().subplots()
            axes.plot(frame["i"], frame["square"], gid="squares")
            return axes

        return {"squares": draw}

    def findings(self, settings, frame):
        return [f"**{len(frame)} cells** were done."]


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    CALLS.clear()

    def find(name):
        return Toy() if name == Toy.name else probes.registry.get_probe(name)

    monkeypatch.setattr(running, "get_probe", find)
    monkeypatch.setattr(probes, "get_probe", find)


def run(out=None, **settings):
    return ar.probe(Toy.name, out=out, progress=False, **settings)


def test_a_plan_goes_on_with_what_was_measured():
    result = run()
    assert list(result.records["i"]) == [0, 1, 2, 3, 14]
    assert list(result.expected()["verdict"]) == ["agrees"]


def test_stored_cells_are_not_done_again(tmp_path):
    first = run(tmp_path)
    CALLS.clear()
    again = run(tmp_path)
    assert CALLS == []
    assert list(again.records["id"]) == list(first.records["id"])


def test_a_larger_sweep_does_what_is_new(tmp_path):
    run(tmp_path, n=2)
    CALLS.clear()
    run(tmp_path, n=4)
    assert sorted(CALLS) == [2, 3, 14]


def test_a_probe_stopped_in_the_middle_is_resumed(tmp_path, monkeypatch):
    class Stop(BaseException):
        pass

    whole = run(tmp_path / "whole")

    def stopping(self, spec):
        if spec["i"] == 3:
            raise Stop
        return cell(self, spec)

    cell = Toy.cell
    monkeypatch.setattr(Toy, "cell", stopping)
    with pytest.raises(Stop):
        run(tmp_path / "stopped")
    assert len(store.read(tmp_path / "stopped").rows) == 3
    monkeypatch.setattr(Toy, "cell", cell)
    CALLS.clear()
    resumed = run(tmp_path / "stopped")
    assert sorted(CALLS) == [3, 14]
    assert list(resumed.records["square"]) == list(whole.records["square"])


def test_a_cell_that_breaks_is_a_row_and_the_plan_goes_on(tmp_path):
    result = run(tmp_path, bad=True)
    failed = result.records[result.records["status"] == "failed"]
    assert list(failed["error"]) == ["ArithmeticError: a bad cell"]
    assert list(result.records["i"]) == [0, 1, 2, 3, 13]
    assert "a bad cell" in (tmp_path / "report.html").read_text()
    CALLS.clear()
    ar.probe(Toy.name, out=tmp_path, progress=False, retry_failed=True, bad=True)
    assert CALLS == [1]


def test_metrics_that_are_no_plain_data_are_an_error_of_the_cell(tmp_path, monkeypatch):
    monkeypatch.setattr(Toy, "cell", lambda self, spec: {"square": 1.0 if spec["i"] else object()})
    whole = {"probe": Toy.name, "recipe": 1, "cell": {"i": 0}}
    text = json.dumps({"folder": str(tmp_path), "runs": [{"id": "a", "spec": whole, "attempt": 1}]})
    assert json.loads(running.run_cells(text))["runs"][0]["error"].startswith("TypeError: metrics must be plain data")


def test_loading_runs_nothing_and_finds_the_same(tmp_path):
    first = run(tmp_path, scale=2)
    CALLS.clear()
    loaded = ar.load_probe(tmp_path)
    assert CALLS == []
    assert loaded.settings == first.settings
    assert list(loaded.records["id"]) == list(first.records["id"])


def test_pages_are_the_same_when_written_again(tmp_path):
    run(tmp_path)
    names = ("README.md", "report.html", "cells.csv", "expected.csv", "figures/squares.svg", "figures/squares.csv")
    before = {name: (tmp_path / name).read_bytes() for name in names}
    probes.write_pages(ar.load_probe(tmp_path), tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in names} == before
    assert "series" not in before["cells.csv"].decode()


def test_settings_are_written_and_read_back(tmp_path):
    run(tmp_path, n=2, grid=[0.25])
    tables = tomllib.loads((tmp_path / "probe.toml").read_text())
    assert tables == {"probe": Toy.name, "n": 2, "scale": 1.0, "grid": [0.25], "bad": False}


def test_a_folder_of_somebody_else_is_refused_before_anything_is_done(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(ValueError, match="approxrates wrote"):
        run(tmp_path)
    assert CALLS == []


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"m": 3}, ValueError, "has the settings n, scale, grid, bad"),
        ({"n": 0}, ValueError, "at least 1"),
        ({"n": 2.5}, TypeError, "of the kind of 4"),
        ({"n": True}, TypeError, "of the kind of 4"),
        ({"bad": 1}, TypeError, "of the kind of False"),
        ({"grid": ["a"]}, TypeError, "of the kind of 0.5"),
    ],
)
def test_bad_settings_are_refused(settings, kind, message):
    with pytest.raises(kind, match=message):
        run(**settings)
    assert CALLS == []


def test_whole_numbers_are_taken_for_floats_and_single_values_for_lists():
    assert settings_of(Toy(), {"scale": 2, "grid": 1}) == Settings(scale=2.0, grid=(1.0,))


def test_unknown_figures_and_verdicts_are_refused():
    with pytest.raises(ValueError, match="figure must be one of squares"):
        ar.plot_probe(run(), "cubes")
    with pytest.raises(ValueError, match="verdict must be one of"):
        Quantity("q", "1", "s", 1.0, None, None, "maybe")


@pytest.mark.parametrize("name", probes.probe_names())
def test_every_probe_says_what_it_is_and_has_settings_that_survive_a_file(name):
    found = probes.registry.get_probe(name)
    assert found.name == name
    assert found.title
    assert any(character.isdigit() for character in found.source), "a source has a year"
    settings = found.Settings()
    assert settings_of(found, base.plain_settings(settings)) == settings


@pytest.mark.parametrize("name", probes.probe_names())
def test_every_probe_begins_with_cells_that_are_plain_data(name):
    found = probes.registry.get_probe(name)
    specs = next(found.plan(found.Settings()))
    assert specs
    assert json.loads(json.dumps(specs)) == specs
    assert all(found.seconds(spec) > 0 for spec in specs)
    assert len({store.canonical(spec) for spec in specs}) == len(specs)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("probe.toml", 'probe = "ersoy2025_l2"', "the folder of ersoy2025_l2"),
        ("probe.toml", "probe = [", "must be a readable probe.toml"),
        ("study.toml", 'name = "mine"', "the folder of a study"),
    ],
)
def test_the_folder_of_a_study_or_of_another_probe_is_left_as_it_is(tmp_path, file, text, message):
    (tmp_path / file).write_text(text)
    with pytest.raises(ValueError, match=message):
        run(tmp_path)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(file, text)]
    assert CALLS == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400])
def test_settings_are_finite(value):
    with pytest.raises(ValueError, match="scale of toy2000_squares must be finite"):
        run(scale=value)


@pytest.mark.parametrize("item", ["workers=2", "out=x", "progress=1", "name=x"])
def test_arguments_of_the_command_are_no_settings(item, tmp_path, capsys, monkeypatch):
    from approxrates.__main__ import main

    monkeypatch.setattr("sys.argv", ["approxrates", "probe", "ersoy2025_l2", "--out", str(tmp_path), "--set", item])
    with pytest.raises(SystemExit):
        main()
    assert f"Got {item.partition('=')[0]}" in "".join(capsys.readouterr())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("settings", [{"hidden": (0,)}, {"activation": "no_such"}])
def test_an_autoencoder_that_cannot_be_is_refused_before_its_cells(settings):
    with pytest.raises(ValueError, match="must be"):
        settings_of(probes.get_probe("ersoy2025_vae"), settings)
