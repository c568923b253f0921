"""Where and in which precision a network computes."""

import contextlib
import math
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn import functional

from shoal_core.errors import FailedPrecondition, InvalidArgument

_TRIALS = 5


@dataclass(frozen=True)
class Device:
    """A device with a precision."""

    torch_device: torch.device
    precision: Literal["fp32", "bf16", "fp16"]

    def autocast(self) -> AbstractContextManager[object]:
        """Returns a context in which convolutions have the precision."""
        if self.precision == "fp32":
            return contextlib.nullcontext()
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float16
        return torch.autocast(self.torch_device.type, dtype)

    def scaler(self) -> torch.amp.GradScaler:
        """Returns what keeps small gradients from becoming 0 in fp16; else it does nothing."""
        return torch.amp.GradScaler(self.torch_device.type, enabled=self.precision == "fp16")


def choose_device(
    wanted: Literal["auto", "cpu", "cuda"],
    precision: Literal["auto", "fp32", "bf16", "fp16"],
    local_rank: int = 0,
    *,
    deterministic: bool = False,
) -> Device:
    """Returns the device of this process.

    Args:
        wanted: `auto` takes a GPU where there is one.
        precision: Of convolutions; `auto` takes whichever of fp32 and bf16 is faster there.
        local_rank: Which of the machine's GPUs, where several processes train together.
        deterministic: Whether nothing may hang on a clock: `auto` is fp32 then.

    Raises:
        FailedPrecondition: DEVICE_MISSING when there is no GPU that PyTorch can use.
        InvalidArgument: PRECISION_UNSUPPORTED for fp16 on a CPU.
    """
    found = torch.cuda.is_available()
    if wanted == "cuda" and not found:
        raise FailedPrecondition(
            "DEVICE_MISSING",
            "PyTorch finds no GPU; give run.device=cpu, or install a PyTorch built for your GPU.",
            device=wanted,
        )
    if wanted == "cpu" or not found:
        if precision == "fp16":
            raise InvalidArgument(
                "PRECISION_UNSUPPORTED",
                "fp16 needs a GPU; give optimization.precision=bf16 or fp32.",
                precision=precision,
            )
        torch_device = torch.device("cpu")
    else:
        torch.cuda.set_device(local_rank)
        torch_device = torch.device("cuda", local_rank)
    if precision == "auto":
        precision = "fp32" if deterministic else _faster_precision(torch_device)
    return Device(torch_device, precision)


def _faster_precision(device: torch.device) -> Literal["fp32", "bf16"]:
    """Returns the precision in which the device computes convolutions faster.

    Processors differ: some have units for bf16, others emulate it (measured on two kinds: 1.5 times
    as fast as fp32, and 0.7 times).
    """
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    seconds: dict[Literal["fp32", "bf16"], float] = {"fp32": math.inf, "bf16": math.inf}
    for _ in range(_TRIALS):
        for precision, best_s in seconds.items():
            seconds[precision] = min(best_s, _convolution_s(Device(device, precision)))
    return "bf16" if seconds["bf16"] < seconds["fp32"] else "fp32"


def _convolution_s(device: Device) -> float:
    """Returns the seconds of a convolution of usual size, forwards and backwards."""
    images = torch.zeros(16, 64, 40, 40, requires_grad=True)
    weights = torch.zeros(64, 64, 3, 3, requires_grad=True)
    start = time.perf_counter()
    with device.autocast():
        torch.autograd.backward(functional.conv2d(images, weights, padding=1).sum())
    return time.perf_counter() - start


@contextlib.contextmanager
def determinism(*, wanted: bool) -> Iterator[None]:
    """While it lasts, the same numbers come out of the same work on the same machine."""
    before = torch.are_deterministic_algorithms_enabled()
    if wanted:
        # cuBLAS reads it when it is first used in the process.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(mode=True)
    torch.backends.cudnn.benchmark = not wanted
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(mode=before)
