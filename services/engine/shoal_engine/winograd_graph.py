"""One network in our own Winograd kernels: float32, laid out for each size of image.

Small images, such as crops, are computed side by side, which fills vectors better than one alone.
"""

import queue
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_core.errors import InvalidArgument
from shoal_engine.graph import Stopper, Threads, run_error
from shoal_engine.tensors import ANY_LENGTH, TensorSpec
from shoal_engine.winograd.library import Meeting, kernels
from shoal_engine.winograd.network import read_network
from shoal_engine.winograd.plan import Plan

_ROW_PX = 512
"""Images lie side by side up to this width together."""
_MOST_SIDE_BY_SIDE = 8

_KEPT_LAYOUTS = 4 * _MOST_SIDE_BY_SIDE
"""Sizes and numbers of images that stay laid out."""

_Layout = tuple[int, int, int]
"""Images, height and width."""


class WinogradGraph:
    """A network in our own kernels; safe to run from several threads at once."""

    is_exact = True
    """Each output is summed up in the same order, whatever is computed beside it."""

    def __init__(self, path: Path, *, threads: Threads) -> None:
        """Loads the file.

        Args:
            path: ONNX file of one image [B, C, H, W], and outputs that are images.
            threads: The threads of a run that is alone.

        Raises:
            FailedPrecondition: MODEL_LOAD_FAILED when the kernels do not compute it.
        """
        self._kernels = kernels()
        self._network = read_network(path, self._kernels.most_sums)
        self._wide_count = threads.wide_count
        self._helpers = ThreadPoolExecutor(max(threads.wide_count - 1, 1), "winograd")
        # The threads of a run wait for one another: two runs must not share the helpers.
        self._helped = threading.Lock()
        self._choosing = threading.Lock()
        self._idle: OrderedDict[_Layout, queue.SimpleQueue[Plan]] = OrderedDict()
        counts = self._network.channel_counts()
        self.inputs = (_image_spec(self._network.input_name, self._network.input_channels),)
        self.outputs = tuple(
            _image_spec(output.name, counts[output.tensor]) for output in self._network.outputs
        )

    def run(
        self,
        inputs: Mapping[str, NDArray[Any]],
        outputs: Sequence[str],
        *,
        wide: bool,
        stopper: Stopper,
    ) -> list[NDArray[Any]]:
        """Returns the named outputs; see `Graph.run`."""
        images_BCHW = inputs[self._network.input_name]
        channels = self._network.input_channels
        if images_BCHW.ndim != 4 or images_BCHW.shape[1] != channels:
            raise InvalidArgument(
                "INPUT_REJECTED",
                f"The model cannot work on these inputs: images of {channels} channels are "
                f"needed, but the shape is {images_BCHW.shape}.",
            )
        count, _, height, width = images_BCHW.shape
        most = max(1, min(_MOST_SIDE_BY_SIDE, _ROW_PX // max(width, 1)))
        together = -(-max(count, 1) // -(-max(count, 1) // most))  # parts of about one size
        made: dict[str, list[NDArray[Any]]] = {name: [] for name in outputs}
        for first in range(0, max(count, 1), together):
            part = images_BCHW[first : first + together]
            found = self._run_part(part, height, width, wide=wide, stopper=stopper)
            for name in outputs:
                made[name].append(found[name])
        return [parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in made.values()]

    def _run_part(
        self, images_BCHW: NDArray[Any], height: int, width: int, *, wide: bool, stopper: Stopper
    ) -> dict[str, NDArray[Any]]:
        layout = (len(images_BCHW), height, width)
        try:
            plan = self._take(layout)
            made = {name: np.empty(shape, np.float32) for name, shape in plan.shapes.items()}
            if len(images_BCHW):
                self._compute(plan, [images_BCHW, *made.values()], wide=wide, stopper=stopper)
        except MemoryError as error:
            raise run_error(error) from error
        self._give_back(layout, plan)
        for output in self._network.outputs:
            if output.is_squashed:
                _squash(made[output.name])
        return made

    def _compute(
        self, plan: Plan, arrays: Sequence[NDArray[Any]], *, wide: bool, stopper: Stopper
    ) -> None:
        meeting = Meeting()
        with stopper.ending(partial(self._kernels.stop, meeting)):
            if not wide or self._wide_count == 1:
                plan.prepare(1)
                plan.run(arrays, meeting, 0, 1)
            else:
                plan.prepare(self._wide_count)
                with self._helped:
                    parts = [
                        self._helpers.submit(plan.run, arrays, meeting, thread, self._wide_count)
                        for thread in range(1, self._wide_count)
                    ]
                    plan.run(arrays, meeting, 0, self._wide_count)
                    for part in parts:
                        part.result()
        stopper.check()

    def _take(self, layout: _Layout) -> Plan:
        """Returns a plan that nobody uses; there are as many as were ever used at once."""
        with self._choosing:
            idle = self._idle.setdefault(layout, queue.SimpleQueue())
            self._idle.move_to_end(layout)
            if len(self._idle) > _KEPT_LAYOUTS:
                self._idle.popitem(last=False)
        try:
            return idle.get_nowait()
        except queue.Empty:
            images, height, width = layout
            return Plan(self._network, self._kernels, images=images, height=height, width=width)

    def _give_back(self, layout: _Layout, plan: Plan) -> None:
        with self._choosing:
            if (idle := self._idle.get(layout)) is not None:
                idle.put(plan)


def _squash(values: NDArray[Any]) -> None:
    """Takes values to their sigmoids; large ones are infinite on the way, which is right."""
    with np.errstate(over="ignore"):
        np.exp(-values, out=values)
    values += 1
    np.reciprocal(values, out=values)


def _image_spec(name: str, channels: int) -> TensorSpec:
    return TensorSpec(name, "FP32", (ANY_LENGTH, channels, ANY_LENGTH, ANY_LENGTH))
