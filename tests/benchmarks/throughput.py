"""CPU time of a replica-step: our batch against ``nn.Sequential`` and Adam one by one, interleaved in one run.

Run as ``python tests/benchmarks/throughput.py`` on an idle machine. One torch thread.
"""

import statistics
import time

import torch
from networks import adam, sequential

CASES = [("relu", "float32"), ("tanh", "float64"), ("relu", "float64"), ("tanh", "float32")]
REPLICAS = (1, 8, 64, 256)


def cpu_seconds(step, repeats):
    """CPU seconds of one call."""
    began = time.process_time()
    for _ in range(repeats):
        step()
    return (time.process_time() - began) / repeats


def ratio(activation, dtype, n, rounds=9):
    """Replica-steps a CPU second of ours over the loop's: median over interleaved rounds, and both rates."""
    ours, loop = adam(activation, dtype, n), sequential(activation, dtype)
    cpu_seconds(ours, 3)
    cpu_seconds(loop, 20)
    pairs = []
    for _ in range(rounds):
        theirs = cpu_seconds(loop, 30)
        mine = cpu_seconds(ours, max(1, 128 // n)) / n
        pairs.append((theirs / mine, 1 / mine, 1 / theirs))
    return tuple(statistics.median(column) for column in zip(*pairs, strict=True))


def main():
    """Print one line for each case."""
    torch.set_num_threads(1)
    print("width 8, 8 hidden layers, 512 points, full batch; replica-steps per CPU second")
    for activation, dtype in CASES:
        for n in REPLICAS:
            times, ours, loop = ratio(activation, dtype, n)
            print(f"{activation:5} {dtype}  N={n:<4} ours {ours:8.0f}  loop {loop:6.0f}  ratio {times:5.1f}")


if __name__ == "__main__":
    main()
