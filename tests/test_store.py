"""The store: what is written is what is read, and what is damaged is reported, never lost silently."""

import json
import os
import subprocess
import sys

import pytest

from approxrates import store


def spec(replica=0, width=4):
    return {
        "target": {"name": "faber_tree", "smoothness": 0.5, "dim": 1, "seed": 0},
        "architecture": {"kind": "fixed_width", "dim": 1, "width": width, "depth": 2, "activation": "relu"},
        "training": {"plan": [{"stage": "adam", "steps": 5}], "replica": replica},
        "recipe": {"target": 1, "training": 1, "error": 1},
    }


def row(replica=0, status="ok", end=1.0, width=4, **metrics):
    whole = spec(replica, width)
    return {
        "schema": 1,
        "id": store.digest(whole),
        "spec": whole,
        "status": status,
        "metrics": {"loss": 0.25, "seconds": 0.1} | metrics,
        "attempt": 1,
        "error": None,
        "environment": {"host": "here", "torch": "2"},
        "times": {"begin": end - 1, "end": end},
    }


def write(folder, *rows):
    segment = store.Segment(folder)
    segment.append(rows)
    return segment


def test_canonical_json_does_not_depend_on_the_order_of_keys():
    assert store.canonical({"b": [1, 0.5], "a": {"d": None, "c": "ö"}}) == '{"a":{"c":"ö","d":null},"b":[1,0.5]}'
    assert store.digest({"a": 1, "b": 2}) == store.digest({"b": 2, "a": 1}) != store.digest({"a": 1, "b": 3})


def test_canonical_json_refuses_what_json_cannot_hold():
    with pytest.raises(ValueError):
        store.canonical({"a": float("nan")})


def test_rows_come_back_as_they_were_written(tmp_path):
    rows = [row(i) for i in range(5)]
    write(tmp_path, *rows[:2])
    write(tmp_path, *rows[2:])
    contents = store.read(tmp_path)
    assert contents.rows == {r["id"]: r for r in rows}
    assert len(contents.segments) == 2
    assert contents.notes == ()
    assert contents.counts() == {"ok": 5, "failed": 0, "diverged": 0, "lost": 0}


def test_an_empty_append_leaves_no_file(tmp_path):
    write(tmp_path)
    assert not (tmp_path / "runs").exists()
    assert store.read(tmp_path).rows == {}


@pytest.mark.parametrize("cut", [1, 40, -2, -1])
def test_a_torn_last_line_is_skipped_without_a_word_at_any_place(tmp_path, cut):
    segment = write(tmp_path, row(0), row(1))
    whole = segment.path.read_bytes()
    first = whole.index(b"\n") + 1
    segment.path.write_bytes(whole[: first + cut] if cut > 0 else whole[:cut])
    contents = store.read(tmp_path)
    # A last line that lacks nothing but its newline is whole.
    assert len(contents.rows) == (2 if cut == -1 else 1)
    assert contents.notes == ()


@pytest.mark.parametrize(
    "damage",
    [
        b'{"schema":1,"id":"abc\n',
        b"\x00\xff\xfe\n",
        b"[]\n",
        b"{}\n",
        b'{"schema":1,"id":"00","status":"ok","spec":{"a":1}}\n',
        b'{"schema":99,"id":"00","status":"ok","spec":{}}\n',
        b'{"schema":1,"id":"00","status":"fine","spec":{}}\n',
    ],
    ids=["cut", "binary", "list", "empty", "wrong hash", "other schema", "other status"],
)
def test_a_damaged_line_is_noted_with_file_and_number_and_the_others_are_read(tmp_path, damage):
    segment = write(tmp_path, row(0), row(1))
    lines = segment.path.read_bytes().splitlines(keepends=True)
    segment.path.write_bytes(lines[0] + damage + lines[1])
    contents = store.read(tmp_path)
    assert len(contents.rows) == 2
    assert len(contents.notes) == 1
    assert segment.path.name in contents.notes[0]
    assert "line 2" in contents.notes[0]
    assert damage in segment.path.read_bytes()


def test_the_first_ok_counts_and_a_different_one_is_reported(tmp_path):
    write(tmp_path, row(0, end=20.0, loss=0.5))
    write(tmp_path, row(0, end=10.0, loss=0.25))
    contents = store.read(tmp_path)
    assert next(iter(contents.rows.values()))["metrics"]["loss"] == 0.25
    assert "different numbers" in contents.notes[0]


def test_duplicates_that_differ_in_timing_only_are_not_reported(tmp_path):
    write(tmp_path, row(0, end=10.0, seconds=1.0))
    write(tmp_path, row(0, end=20.0, seconds=2.0))
    assert store.read(tmp_path).notes == ()


def test_an_ok_row_stands_above_failures_before_and_after_it(tmp_path):
    write(tmp_path, row(0, "failed", 1.0), row(0, "ok", 2.0), row(0, "failed", 3.0))
    assert next(iter(store.read(tmp_path).rows.values()))["status"] == "ok"


def test_without_an_ok_row_the_last_attempt_counts(tmp_path):
    write(tmp_path, row(0, "failed", 1.0), row(0, "lost", 2.0))
    assert next(iter(store.read(tmp_path).rows.values()))["status"] == "lost"


def test_two_processes_writing_at_once_do_not_disturb_each_other(tmp_path):
    code = (
        "import sys; sys.path[:0] = [sys.argv[2]]\n"
        "from approxrates import store\nfrom tests.test_store import row\n"
        "s = store.Segment(sys.argv[1])\n"
        "for i in range(40): s.append([row(i, width=int(sys.argv[3]))])\n"
    )
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    jobs = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), root, str(w)], cwd=root) for w in (4, 5)]
    assert [job.wait() for job in jobs] == [0, 0]
    contents = store.read(tmp_path)
    assert len(contents.rows) == 80
    assert len(contents.segments) == 2


def test_compacting_keeps_every_row_and_drops_host_names(tmp_path):
    rows = [row(i, width=w) for i in range(3) for w in (4, 5)] + [row(9, "failed")]
    write(tmp_path, *rows[:4])
    write(tmp_path, *rows[4:])
    before = store.read(tmp_path).rows
    path = store.compact(tmp_path)
    assert [p.name for p in (tmp_path / "runs").glob("*.jsonl")] == ["compact.jsonl"]
    assert b"here" not in path.read_bytes()
    after = store.read(tmp_path).rows
    assert set(after) == set(before)
    for run_id, old in before.items():
        assert after[run_id]["spec"] == old["spec"]
        assert after[run_id]["metrics"] == old["metrics"]
        assert after[run_id]["times"] == old["times"]


def test_compacting_stores_shared_parts_once_and_is_sorted_and_repeatable(tmp_path):
    write(tmp_path, *[row(i) for i in range(6)])
    text = store.compact(tmp_path).read_text()
    assert text.count('"plan"') == 1
    assert store.compact(tmp_path).read_text() == text
    ids = [json.loads(line)["id"] for line in text.splitlines() if '"part"' not in line]
    assert ids == sorted(ids)


def test_new_rows_are_read_together_with_compacted_ones(tmp_path):
    write(tmp_path, row(0))
    store.compact(tmp_path)
    write(tmp_path, row(1))
    assert len(store.read(tmp_path).rows) == 2


def test_compacting_refuses_damaged_rows_and_removes_nothing(tmp_path):
    segment = write(tmp_path, row(0), row(1))
    segment.path.write_bytes(b"junk\n" + segment.path.read_bytes())
    with pytest.raises(ValueError, match="line 1"):
        store.compact(tmp_path)
    assert segment.path.exists()


def test_compacting_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Run the study first"):
        store.compact(tmp_path)


def test_status_counts_the_runs_that_were_asked_for(tmp_path):
    write(tmp_path, row(0), row(1, "failed"), row(2, "diverged"))
    ids = [store.digest(spec(i)) for i in (0, 1, 7)]
    assert store.status(tmp_path, ids) == {"runs": 3, "ok": 1, "failed": 1, "diverged": 0, "lost": 0, "to do": 1}
    store.write_selection(tmp_path, store.Selection("one", (ids[0],)))
    assert store.status(tmp_path)["runs"] == 1


def test_a_damaged_selection_is_as_good_as_none(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "selection.json").write_text('{"study": ')
    assert store.read_selection(tmp_path) is None


def test_an_atomic_write_replaces_the_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "a" / "b.txt"
    store.write_atomically(path, b"one")
    store.write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["b.txt"]


def test_an_atomic_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    store.write_atomically(tmp_path / "a", b"old")

    def full(*paths):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        store.write_atomically(tmp_path / "a", b"new")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a", b"old")]


def test_much_damage_in_a_file_is_one_note(tmp_path):
    segment = write(tmp_path, row(0))
    segment.path.write_bytes(b"junk\n" * 50 + segment.path.read_bytes())
    contents = store.read(tmp_path)
    assert len(contents.rows) == 1
    assert [n.split(": ")[0].split("/")[-1] for n in contents.notes] == [
        f"{segment.path.name} has 50 damaged lines, the first is line 1 (JSONDecodeError"
    ]


@pytest.mark.parametrize("cut", ["in a line", "at the end of a line"])
def test_a_compact_file_that_was_cut_off_is_noted(tmp_path, cut):
    write(tmp_path, *(row(i) for i in range(4)))
    path = store.compact(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + (lines[-1][:40] if cut == "in a line" else b""))
    contents = store.read(tmp_path)
    assert len(contents.rows) == 3
    assert len(contents.notes) == 1
    assert "damaged" in contents.notes[0]
    with pytest.raises(ValueError, match="whole rows only"):
        store.compact(tmp_path)


def test_a_compact_file_without_a_count_is_read_as_before(tmp_path):
    write(tmp_path, *(row(i) for i in range(3)))
    path = store.compact(tmp_path)
    kept = [line for line in path.read_text().splitlines(keepends=True) if '"part":"runs"' not in line]
    path.write_text("".join(kept))
    contents = store.read(tmp_path)
    assert (len(contents.rows), contents.notes) == (3, ())


def test_compacting_onto_a_full_disk_says_so_in_one_line_and_keeps_the_segments(tmp_path, monkeypatch):
    segment = write(tmp_path, row(0))

    def full(*paths):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ValueError, match=r"can be written. Got .*No space left.*no run is lost"):
        store.compact(tmp_path)
    assert [p.name for p in (tmp_path / "runs").iterdir()] == [segment.path.name]


def test_a_selection_keeps_what_it_was_run_with(tmp_path):
    (tmp_path / "runs").mkdir()
    for selection in (
        store.Selection("a", ("1", "2")),
        store.Selection("a", ("1",), {"net.width": 6}),
        store.Selection("b", ("1",), own_file=False),
    ):
        store.write_selection(tmp_path, selection)
        assert store.read_selection(tmp_path) == selection
