"""Where and in which precision a network computes."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import torch

from shoal_core.errors import FailedPrecondition, InvalidArgument


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
    precision: Literal["fp32", "bf16", "fp16"],
    local_rank: int = 0,
) -> Device:
    """Returns the device of this process.

    Args:
        wanted: `auto` takes a GPU where there is one.
        precision: Of convolutions.
        local_rank: Which of the machine's GPUs, where several processes train together.

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
        return Device(torch.device("cpu"), precision)
    torch.cuda.set_device(local_rank)
    return Device(torch.device("cuda", local_rank), precision)


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
