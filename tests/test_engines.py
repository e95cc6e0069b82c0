"""Engines: futures in, results out, and nothing left behind when a worker or the driver dies."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from approxrates.engines import InlineEngine, LocalEngine, WorkerDied, call


def test_call_finds_a_function_by_name_and_passes_text():
    assert call("os.path:basename", "a/b.txt") == "b.txt"


def test_call_refuses_an_answer_that_is_not_text():
    with pytest.raises(TypeError, match="str"):
        call("os.path:isdir", "/")


def test_the_inline_engine_computes_in_this_process_and_keeps_exceptions_in_the_future():
    engine = InlineEngine()
    assert engine.submit(os.getpid).result() == os.getpid()
    assert isinstance(engine.submit(int, "x").exception(), ValueError)


def test_an_interrupt_passes_through_the_inline_engine():
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        InlineEngine().submit(interrupt)


@pytest.mark.parametrize(("workers", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)])
def test_a_wrong_number_of_workers_is_refused(workers, error):
    with pytest.raises(error, match="workers"):
        LocalEngine(workers)


@pytest.fixture(scope="module")
def engine():
    with LocalEngine(2) as made:
        yield made


def test_workers_are_other_processes_with_one_torch_thread(engine):
    pids = {engine.submit(os.getpid).result() for _ in range(4)}
    assert os.getpid() not in pids
    assert engine.submit(call, "tests.test_engines:threads", "").result() == "1"


def threads(text):
    """Called in a worker."""
    import torch

    return str(torch.get_num_threads())


def test_exceptions_of_a_task_come_back_and_the_worker_lives_on(engine):
    assert isinstance(engine.submit(int, "x").exception(), ValueError)
    assert engine.submit(abs, -3).result() == 3


def test_only_the_task_of_a_dead_worker_fails_and_a_new_worker_takes_over(engine):
    slow = [engine.submit(time.sleep, 3), engine.submit(os.getpid)]
    time.sleep(0.3)
    busy = [pid for pid in engine.pids if pid != slow[1].result()]
    other = engine.submit(abs, -1)
    os.kill(busy[0], signal.SIGKILL)
    assert isinstance(slow[0].exception(timeout=30), WorkerDied)
    assert other.result(timeout=30) == 1
    assert [engine.submit(abs, -k).result(timeout=30) for k in range(4)] == [0, 1, 2, 3]


SCRIPT = """
import sys, time
from approxrates.engines import LocalEngine
print("begin", flush=True)
engine = LocalEngine(2)
futures = [engine.submit(time.sleep, {seconds}) for _ in range(2)]
while len(engine.pids) < 2:
    time.sleep(0.01)
print(*engine.pids, flush=True)
[f.result() for f in futures]
engine.shutdown()
print("end", flush=True)
"""


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pids, seconds=10.0):
    end = time.monotonic() + seconds
    while any(map(alive, pids)) and time.monotonic() < end:
        time.sleep(0.02)
    return not any(map(alive, pids))


@pytest.mark.parametrize("way", ["file", "stdin"])
def test_a_script_without_a_main_guard_is_run_once(way, tmp_path):
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(SCRIPT.format(seconds=0.1)))
    command = [sys.executable, str(path)] if way == "file" else [sys.executable, "-"]
    text = None if way == "file" else path.read_text()
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[0::2] == ["begin", "end"]
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/proc").exists(), reason="processes are found in /proc")
def test_workers_die_with_a_killed_driver(tmp_path):
    driver = subprocess.Popen([sys.executable, "-c", SCRIPT.format(seconds=60)], stdout=subprocess.PIPE, text=True)
    assert driver.stdout.readline() == "begin\n"
    pids = [int(pid) for pid in driver.stdout.readline().split()]
    servers = {int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in pids}
    driver.kill()
    driver.wait()
    driver.stdout.close()
    assert gone([*pids, *servers])


def test_cancelling_ends_running_tasks_at_once():
    engine = LocalEngine(1)
    engine.submit(abs, 1).result()
    running, waiting = engine.submit(time.sleep, 60), engine.submit(abs, -2)
    time.sleep(0.2)
    began = time.monotonic()
    engine.shutdown(cancel_futures=True)
    assert time.monotonic() - began < 20
    assert running.done()
    assert waiting.cancelled() or isinstance(waiting.exception(), WorkerDied)
