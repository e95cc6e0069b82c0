"""The kill -9 experiment: a study of 200 runs is killed 20 times at random moments, then run to the end.

    python tests/kill_study.py --mode driver
    python tests/kill_study.py --mode worker

Prints how many runs are stored, doubled and missing, how many differ from an undisturbed run, and how many processes
are left behind. Linux only: processes are found in /proc.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from pathlib import Path

MARK = "APPROXRATES_KILL_EXPERIMENT"


def make_study(n_runs):
    """Tiny networks: ten sizes, five draws, and replicas to make up the number."""
    import approxrates as ar

    return ar.Study(
        "kill",
        targets=[ar.load_target("faber_tree", smoothness=0.5, dim=1, seed=s) for s in range(5)],
        architectures=ar.FixedWidth(dim=1, width=4, depth=ar.axis(1, 2, 3, 4, 5)),
        replicas=n_runs // 50,
        plan=ar.axis([ar.Adam(steps=50)], [ar.Adam(steps=300)]),
        dtype="float32",
        n_points=64,
    )


def drive(out, n_runs, workers):
    """What the driver process does; without a guard on purpose, as users' scripts are."""
    make_study(n_runs).run(out, workers=workers, progress=False)


def start(out, n_runs, workers, token):
    """A driver process, marked so that it and its children can be found."""
    command = [sys.executable, __file__, "--drive", str(out), "--runs", str(n_runs), "--workers", str(workers)]
    return subprocess.Popen(command, env=os.environ | {MARK: token}, stderr=subprocess.PIPE, text=True)


def finish(driver):
    """Waits for a driver that nobody disturbs."""
    _, problem = driver.communicate()
    assert driver.returncode == 0, problem


def marked(token):
    """Process ids that carry the mark, with their parents; zombies are dead."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"{MARK}={token}".encode() in (entry / "environ").read_bytes():
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if fields[0] != "Z":
                    found[int(entry.name)] = int(fields[1])
        except OSError:
            continue
    return found


def workers_of(driver, token):
    """Workers are the children of the fork server, which is a child of the driver."""
    parents = marked(token)
    servers = {pid for pid, parent in parents.items() if parent == driver}
    return [pid for pid, parent in parents.items() if parent in servers]


def wait_for_none(token, seconds=10.0):
    """Processes still alive after some time: the orphans."""
    end = time.monotonic() + seconds
    while marked(token) and time.monotonic() < end:
        time.sleep(0.05)
    return marked(token)


def rows_of(out):
    """All rows of a store, duplicates included, torn lines left out."""
    rows = []
    for path in Path(out).glob("runs/*.jsonl"):
        for line in path.read_bytes().split(b"\n")[:-1]:
            rows.append(json.loads(line))
    return rows


def numbers(row):
    """What a run measured, without its timing."""
    return {k: v for k, v in row["metrics"].items() if k != "seconds"}


def stored(out):
    """How many rows there are now."""
    return sum(path.read_bytes().count(b"\n") for path in Path(out).glob("runs/*.jsonl"))


def kill_once(out, n_runs, workers, token, rng, mode, window):
    """Starts a driver, kills it or one of its workers at a random moment, and says how many rows were stored then."""
    driver = start(out, n_runs, workers, token)
    while not workers_of(driver.pid, token) and driver.poll() is None:
        time.sleep(0.02)
    time.sleep(rng.uniform(0.0, window))
    moment = None
    if mode == "driver":
        moment = stored(out) if driver.poll() is None else None
        driver.kill()
    else:
        for _ in range(100):
            alive = workers_of(driver.pid, token)
            if alive:
                moment = stored(out)
                os.kill(rng.choice(alive), signal.SIGKILL)
                break
            if driver.poll() is not None:
                break
            time.sleep(0.02)
    driver.communicate()
    return moment


def check(out, reference, n_runs):
    """Counts for one folder."""
    rows = rows_of(out)
    times = Counter(row["id"] for row in rows)
    ids = set(make_study(n_runs).run_ids())
    known = {row["id"]: numbers(row) for row in reference}
    return {
        "rows": len(rows),
        "ok": sum(row["status"] == "ok" for row in rows),
        "doubled": sum(n > 1 for n in times.values()),
        "missing": len(ids - set(times)),
        "differing": sum(numbers(row) != known[row["id"]] for row in rows),
    }


def experiment(mode, n_runs=200, kills=20, workers=2, seed=0, window=2.0):
    """Kills until enough moments have been hit, runs every study touched to its end, and counts.

    In mode ``both`` the driver and a worker are killed in turn.
    """
    victims = ("driver", "worker") if mode == "both" else (mode,)
    rng, token = random.Random(seed), uuid.uuid4().hex
    results, orphans, hit = [], 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        # In this process, so that the numbers of the workers are also compared with those of one process.
        make_study(n_runs).run(Path(scratch) / "reference", progress=False)
        reference = rows_of(Path(scratch) / "reference")
        while hit < kills:
            out = Path(scratch) / f"study-{len(results)}"
            moments = []
            while hit < kills and stored(out) < n_runs:
                moment = kill_once(out, n_runs, workers, token, rng, victims[hit % len(victims)], window)
                if moment is not None:
                    hit += 1
                    moments.append(moment)
                orphans += len(wait_for_none(token))
            finish(start(out, n_runs, workers, token))
            orphans += len(wait_for_none(token))
            results.append(check(out, reference, n_runs) | {"rows at the kills": moments})
    return {"mode": mode, "kills": hit, "orphans": orphans, "studies": results}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=["driver", "worker", "both"], default="driver")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--window", type=float, default=4.0, help="seconds within which the moment of a kill falls")
    parser.add_argument("--drive", help="run the study in this folder: what the experiment starts and kills")
    given = parser.parse_args()
    if given.drive:
        drive(given.drive, given.runs, given.workers)
    else:
        print(
            json.dumps(
                experiment(given.mode, given.runs, given.kills, given.workers, given.seed, given.window), indent=1
            )
        )
