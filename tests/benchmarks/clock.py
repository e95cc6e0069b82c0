"""Fair time: one core, CPU seconds, several things timed in turn."""

import os
import time

CPU = time.process_time


def one_core():
    """Keep this process on one core and its libraries on one thread; called before jax is loaded."""
    import torch
    from threadpoolctl import threadpool_limits

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    threadpool_limits(1)


def seconds(call, *arguments):
    """CPU seconds of a call. All threads of the process count, so that hidden ones would show."""
    began = CPU()
    call(*arguments)
    return CPU() - began


def interleaved(calls, rounds):
    """CPU seconds of several calls, each timed once in every round, as lists by name."""
    times = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(seconds(call))
    return times


def cores(call):
    """CPU seconds over wall seconds of a call: above one if threads were at work behind its back."""
    began, clock = CPU(), time.perf_counter()
    call()
    return (CPU() - began) / (time.perf_counter() - clock)
