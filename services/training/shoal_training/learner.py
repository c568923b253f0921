"""A network with all that changes while it learns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from shoal_training.config import OptimizationConfig
from shoal_training.devices import Device
from shoal_training.distributed import Processes, no_sync
from shoal_training.ema import RunningMean
from shoal_training.losses import Losses, LossValues
from shoal_training.networks import PoseNetwork
from shoal_training.optimizers import build_optimizer
from shoal_training.targets import Targets


class TrainingBatch(Protocol):
    """What a step needs of a batch (see `batches.Batch`)."""

    @property
    def images_BCHW(self) -> Tensor:
        """Images uint8."""

    @property
    def points_BIN2(self) -> Tensor:
        """Points float32 in pixels of the images; NaN: missing."""

    @property
    def classes_BI(self) -> Tensor:
        """Classes int64; −1: none."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is learned."""

    network: PoseNetwork
    targets: Targets
    losses: Losses


class Learner:
    """Makes steps, and measures how good they were."""

    def __init__(
        self, task: Task, config: OptimizationConfig, device: Device, processes: Processes
    ) -> None:
        self._task = task
        self._config = config
        self._device = device
        self._processes = processes
        place = device.torch_device
        network = task.network.to(place)
        # PyTorch's stubs do not know `memory_format`.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._network = network
        self._shared_network = processes.wrap(self._network, place)
        self._optimizer = build_optimizer(config.optimizer, self._network)
        self._scaler = device.scaler()
        self._mean = (
            None if config.ema_decay is None else RunningMean(self._network, config.ema_decay)
        )

    @property
    def evaluated(self) -> PoseNetwork:
        """The network that validation and export use: the running mean where there is one."""
        return self._network if self._mean is None else self._mean.network

    def step(
        self, batches: Sequence[TrainingBatch], learning_rate: float, step: int
    ) -> list[LossValues]:
        """Makes one step with the gradients of all batches; returns the loss of each.

        Args:
            batches: At least one.
            learning_rate: Of this step.
            step: Steps made before.
        """
        self._network.train()
        values = []
        for index, batch in enumerate(batches):
            last = index == len(batches) - 1
            with no_sync(self._shared_network, wanted=not last):
                value = self._loss(self._shared_network, batch)
                torch.autograd.backward(self._scaler.scale(value.total / len(batches)))
            values.append(LossValues(value.total.detach(), value.parts))
        self._apply_gradients(learning_rate)
        if self._mean is not None:
            self._mean.update(self._network, step + 1)
        return values

    def prepare_evaluation(self) -> None:
        """Puts the evaluated network in evaluation mode, the same in every process."""
        self._processes.share_buffers(self.evaluated.eval())

    @torch.no_grad()
    def evaluate(self, batch: TrainingBatch) -> LossValues:
        """Returns the loss of a batch with the network of `prepare_evaluation`."""
        return self._loss(self.evaluated, batch)

    @torch.no_grad()
    def infer(self, images_BCHW: Tensor) -> dict[str, Tensor]:
        """Returns the heads of images (see `images`) as serving reads them."""
        heads: dict[str, Tensor] = self.evaluated.inference_network().eval()(images_BCHW)
        return heads

    def state(self) -> dict[str, Any]:
        """Returns what `restore` takes, under the names of `checkpoint.Last`."""
        return {
            "network": self._network.state_dict(),
            "mean_network": None if self._mean is None else self._mean.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scaler": self._scaler.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on where the learner was that `state` was asked of."""
        self._network.load_state_dict(state["network"])
        if self._mean is not None:
            self._mean.network.load_state_dict(state["mean_network"])
        self._optimizer.load_state_dict(state["optimizer"])
        if state["scaler"]:
            self._scaler.load_state_dict(state["scaler"])

    def images(self, batch: TrainingBatch) -> Tensor:
        """Returns a batch's images as the network takes them, 0 … 1, on the device."""
        images = batch.images_BCHW.to(self._device.torch_device, non_blocking=True)
        return images.to(torch.float32, memory_format=torch.channels_last).div_(255)

    def _loss(self, network: nn.Module, batch: TrainingBatch) -> LossValues:
        place = self._device.torch_device
        size = (batch.images_BCHW.shape[2], batch.images_BCHW.shape[3])
        targets = self._task.targets.draw(
            batch.points_BIN2.to(place), batch.classes_BI.to(place), size
        )
        with self._device.autocast():
            outputs = network(self.images(batch))
        return self._task.losses(outputs, targets)

    def _apply_gradients(self, learning_rate: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        if self._config.max_gradient_norm is not None:
            self._scaler.unscale_(self._optimizer)
            nn.utils.clip_grad_norm_(self._network.parameters(), self._config.max_gradient_norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad(set_to_none=True)
