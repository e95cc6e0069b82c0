"""Calibrations of constructed networks: what is asked for can be missed."""

import pandas as pd
import pytest

from approxrates.calibration import calibration, exactness
from approxrates.calibration.weight_jumps import blend, followed, largest_move, sizes_of, verdicts, weights
from approxrates.catalogue import load_target
from approxrates.constructions import bit_extraction, construct
from approxrates.constructions.squaring import square_network
from approxrates.plots.calibration import draw_words
from approxrates.plots.saving import drawn_numbers

NONE = float("nan")
FINE = {
    "check": "engine",
    "setting": "points",
    "size": 8,
    "n_params": 100,
    "layers": 5,
    "bits": 60,
    "unit": "radius",
    "measured": 0.5,
    "rule": "<=",
    "asked": 1.0,
    "seconds": 1.0,
    "seconds_asked": 2.0,
    "speed": 9.0,
    "speed_asked": 8.0,
    "memory": NONE,
    "memory_asked": NONE,
}


def said(*rows):
    """First words of the verdicts on some rows."""
    lines = calibration("exact-networks").verdicts(pd.DataFrame([{**FINE, **row} for row in rows]))
    return [line.split(":")[0] for line in lines]


@pytest.mark.parametrize(
    "bad",
    [
        {"measured": 1.5},
        {"measured": NONE},
        {"rule": ">"},
        {"rule": "=", "asked": 0.6},
        {"seconds": 2.1},
        {"speed": 7.9},
        {"check": "memory", "memory": 5.0, "memory_asked": 4.0, "rule": NONE},
        {"check": "float64 at nodes", "measured": 2.0},
        {"check": "columns", "measured": 2.0},
        {"check": "square", "measured": 2.0},
    ],
    ids=str,
)
def test_every_bar_can_be_missed(bad):
    assert said(bad) == ["missed"]


def test_what_is_within_its_bars_is_reached():
    assert said({}, {"check": "memory", "memory": 3.0, "memory_asked": 4.0, "rule": NONE}) == ["reached"] * 2
    assert said({"check": "columns"}, {"check": "columns", "measured": 3.0, "size": 9}) == ["missed"]  # one of two


def found(rows, check):
    """Measured and asked for, by setting."""
    return {row["setting"]: (row["measured"], row["asked"]) for row in rows if row["check"] == check}


def test_squares_that_are_not_those_of_the_theorem_are_noticed(monkeypatch):
    monkeypatch.setattr(exactness, "square_network", lambda m: square_network(m + (m > 3)))
    rows = found(exactness.closed_forms(few=True, seed=0), "square")
    assert rows.pop("both ends of the bracket, m = 4") == (float("inf"), 1e-3)
    assert set(rows.values()) == {(3, 6), (6, 6)}  # the law of counts reads the true number of steps
    assert rows["dense counts 12 m - 7 (7 for m = 1)"] == (3, 6)


def test_a_wrong_bit_is_counted(monkeypatch):
    def flipped(stored):
        table = stored.copy()
        table[1, 2] ^= 1
        return extract(table)

    extract = bit_extraction.extract
    monkeypatch.setattr(bit_extraction, "extract", flipped)
    rows = found(exactness.bits(few=True, seed=0), "bit extraction")
    assert rows["8 words of 32 bits, exact"] == (1, 0)


def test_words_are_drawn_with_their_zeros():
    columns = ["check", "setting", "size", "measured"]
    rows = [
        ("float64 at nodes", "yarotsky2020_deep_line", 8, 0.0),
        ("float64 at nodes", "yarotsky2020_deep_line", 16, 5.0),
    ]
    table = pd.DataFrame(rows, columns=columns)
    ax = draw_words(table)
    assert drawn_numbers(ax)["measured"].tolist() == [0.0, 5.0]
    assert ax.lines[0].get_ydata().tolist() == [0.1, 5.0]
    with pytest.raises(TypeError, match="ax must be"):
        draw_words(table, ax="here")


def moves(change, name):
    return verdicts(pd.DataFrame([{"construction": name, "path": 0, "length": 2.0**-8, "change": change}]))[0]


def test_jumps_and_their_absence_are_both_noticed():
    assert moves(1.5 * 2.0**-8, "interpolation").startswith("reached")
    assert moves(0.5, "interpolation").startswith("missed")
    assert moves(0.5, "yarotsky2020_deep").startswith("reached")
    assert moves(1.5 * 2.0**-8, "yarotsky2020_deep").startswith("missed")


def test_weights_move_with_the_path_from_one_end_to_the_other():
    ends = [load_target("faber_tree", smoothness=0.5, dim=1, seed=k) for k in (0, 1)]
    made = [weights(construct("interpolation", blend(*ends, t), cells=32)) for t in (0.0, 0.5, 1.0)]
    own = [weights(construct("interpolation", end, cells=32)) for end in ends]
    sizes = sizes_of(made[0], made[2])
    assert [largest_move(made[0], own[0], sizes), largest_move(made[2], own[1], sizes)] == [0.0, 0.0]
    whole = largest_move(made[0], made[2], sizes)
    assert 0.5 < whole <= 2.0
    assert largest_move(made[0], made[1], sizes) == pytest.approx(whole / 2, rel=1e-6)
    path = followed("interpolation", *ends, halvings=3)
    assert [length for length, _ in path] == [1.0, 0.5, 0.25, 0.125]
    assert [change for _, change in path] == pytest.approx([whole, whole / 2, whole / 4, whole / 8], rel=1e-6)
    with pytest.raises(ValueError, match="same parameters"):
        sizes_of(made[0], made[1][1:])
