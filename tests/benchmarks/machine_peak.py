"""What this machine can do at most: `python -m tests.benchmarks.machine_peak`.

Large matrix products, on all cores that the process may use. Whatever else is measured is a
fraction of this, and fractions can be compared between machines.
"""

import os
import platform
import time
from pathlib import Path

import torch

_SIDE = 2048
_REPEATS = 20
_PRECISIONS = (torch.float32, torch.bfloat16)


def peak_flops(precision: torch.dtype) -> float:
    """Returns the floating point operations per second of the fastest of some products."""
    left, right = (torch.randn(_SIDE, _SIDE).to(precision) for _ in range(2))
    product = torch.empty(_SIDE, _SIDE, dtype=precision)
    seconds = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        torch.mm(left, right, out=product)
        seconds.append(time.perf_counter() - start)
    return 2 * _SIDE**3 / min(seconds)


def cpu_name() -> str:
    """Returns the processor's name as the kernel has it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def main() -> None:
    """Prints a line a precision."""
    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(cores)
    print(f"{cpu_name()}, {cores} cores")
    for precision in _PRECISIONS:
        name = str(precision).removeprefix("torch.")
        print(f"{name}: {peak_flops(precision) / 1e9:.0f} GFLOP/s")


if __name__ == "__main__":
    main()
