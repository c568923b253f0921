"""Several processes that train one network together, started by `torchrun`.

The run folder is on a disk that all of them see; the first one writes it.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn


@dataclass(frozen=True)
class Processes:
    """Which of how many processes this one is."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    """Which of this machine's processes, so which of its GPUs."""

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and messages."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Returns the sum over all processes."""
        if self.count > 1:
            distributed.all_reduce(values)
        return values

    def from_first(self, values: Tensor) -> Tensor:
        """Returns the first process's values."""
        if self.count > 1:
            distributed.broadcast(values, src=0)
        return values

    def meet(self) -> None:
        """Waits for all processes."""
        if self.count > 1:
            distributed.barrier()

    def share_buffers(self, network: nn.Module) -> None:
        """Gives every process the first one's buffers (statistics of normalisations)."""
        for buffer in network.buffers():
            self.from_first(buffer)

    def wrap(self, network: nn.Module, device: torch.device) -> nn.Module:
        """Returns the network, whose gradients are averaged over all processes."""
        if self.count == 1:
            return network
        devices = [device.index] if device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(network, device_ids=devices)


ALONE = Processes()


def no_sync(network: nn.Module, *, wanted: bool) -> contextlib.AbstractContextManager[object]:
    """Returns a context in which gradients are only added up in this process."""
    if wanted and isinstance(network, nn.parallel.DistributedDataParallel):
        return network.no_sync()
    return contextlib.nullcontext()


@contextlib.contextmanager
def joined(environment: Mapping[str, str] = os.environ) -> Iterator[Processes]:
    """Joins the processes that `torchrun` started, for as long as it lasts; else one alone."""
    count = int(environment.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE
        return
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend)
    try:
        yield Processes(
            rank=int(environment["RANK"]),
            count=count,
            local_rank=int(environment["LOCAL_RANK"]),
        )
    finally:
        distributed.destroy_process_group()
