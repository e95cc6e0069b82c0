"""``approxrates construct``: the list of theorems, a network with its error, file and drawing, and wrong input in one line."""

import pytest
from typer.testing import CliRunner

import approxrates as ar
import approxrates.errors
from approxrates import constructions
from approxrates.__main__ import main
from approxrates.cli import app


def invoke(*arguments):
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    return result.output


def test_the_list_holds_every_theorem_with_its_laws_in_lines_that_fit():
    listing = invoke("construct", "--list")
    plain = " ".join(listing.split())
    for name in constructions.names():
        theorem = constructions.describe(name)
        assert f"{name} (d = {', '.join(map(str, theorem.dims))}; " in listing
        for text in (theorem.statement, theorem.rate_law, theorem.count_law, theorem.reference):
            assert " ".join(text.split()) in plain
    assert max(map(len, listing.splitlines())) <= 100
    assert "0 < r <= 1" in listing
    assert listing == invoke("construct")


def test_a_network_is_described_measured_saved_and_drawn(tmp_path):
    output = invoke(
        *("construct", "interpolation", "--target", "faber_tree", "--smoothness", 0.5, "--n-params", 60, "--error"),
        *("--save", tmp_path / "net.safetensors", "--draw", tmp_path / "layout.svg"),
    )
    network = ar.Network.load(tmp_path / "net.safetensors")
    assert output.splitlines()[0] == "target: faber_tree, smoothness 0.5, dim 1, seed 0"
    assert network.describe() in output
    error = ar.approximation_error(network, ar.load_target("faber_tree", smoothness=0.5, seed=0))
    assert f"sup error in [{error.sup[0]:.6g}, {error.sup[1]:.6g}] (break-points, certified)" in output
    assert (tmp_path / "layout.svg").read_text().startswith("<?xml")
    assert (tmp_path / "layout.csv").read_text().startswith("layer,units,carried,n_params,parts")


@pytest.mark.parametrize(
    ("name", "sizes", "first"),
    [
        ("yarotsky2017_product", ["--option", "steps=3"], "target: product, smoothness inf, dim 2, seed 0"),
        ("takagi_exponential", ["--option", "levels=3"], "target: takagi, smoothness 0.5, dim 1, seed 0"),
        (
            "yarotsky2020_deep_slopes",
            ["--option", "cells=8", "--option", "steps=4"],
            "target: bump_tree, smoothness 1.5",
        ),
        ("interpolation", ["--option", "cells=4", "--smoothness", "1.5"], "target: bump_tree, smoothness 1.5"),
        ("interpolation", ["--option", "cells=4"], "target: faber_tree, smoothness 0.25"),
    ],
)
def test_without_a_target_there_is_one_that_the_construction_is_for(name, sizes, first):
    assert invoke("construct", name, *sizes).startswith(first)


def test_options_set_sizes_and_without_any_there_is_a_limit():
    assert "parameters: 35 not" in invoke("construct", "interpolation", "--option", "cells=12")
    assert "n_params=500" in invoke("construct", "interpolation")
    assert "sup error" not in invoke("construct", "interpolation", "--option", "cells=12")


@pytest.mark.parametrize(
    ("certified", "share", "told"),
    [(True, 1.0, "certified)"), (False, 0.0, "not certified)"), (False, 0.9999999, "proven on 99.9999 % of the cube)")],
)
def test_how_far_an_error_is_proven_is_told_without_rounding_up(certified, share, told, monkeypatch):
    found = ar.errors.ApproximationError((0.5, 0.6), certified, 0.1, (0.0,), "exact-pieces", None, 7, share=share)
    monkeypatch.setattr("approxrates.errors.approximation_error", lambda *_: found)
    output = invoke("construct", "interpolation", "--option", "cells=4", "--error")
    assert f"sup error in [0.5, 0.6] (exact-pieces, {told}" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "construction must be one of interpolation"),
        (
            ["interpolation", "--option", "cells"],
            "--option must be KEY=VALUE. Got 'cells'. Write e.g. --option cells=64.",
        ),
        (
            ["interpolation", "--option", "sells=3"],
            "options of interpolation must be among cells, activation, tolerance",
        ),
        (["yarotsky2020_deep", "--option", "depth_exponent=half"], "depth_exponent must be a number. Got 'half'."),
        (["yarotsky2017_square", "--smoothness", "1.5"], "need a --target here"),
        (["interpolation", "--option", "cells=0"], "cells must be at least 1"),
        (["interpolation", "--target", "faber"], "faber_tree"),
        (["interpolation", "--n-params", "1"], "n_params must be at least"),
        (["interpolation", "--draw", "layout.tex"], "--draw must end in .svg, .pdf, .png"),
        (["interpolation", "--draw", "no/such/folder/a.svg"], "--draw must be a file in a folder that exists"),
        (["interpolation", "--save", "no/such/folder/a"], "--save must be a file in a folder that exists"),
        (["interpolation", "--target", "mine.toml", "--dim", "2"], "must be left out for a target file"),
    ],
)
def test_wrong_input_is_told_in_one_line(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["approxrates", "construct", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr()
    assert (ended.value.code, told.out, len(told.err.splitlines())) == (2, "", 1)
    assert message in told.err
