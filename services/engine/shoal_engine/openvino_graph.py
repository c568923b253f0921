"""One network in OpenVINO: compiled for each size of image, one image a run.

Static shapes let OpenVINO choose its kernels and lay out its memory once. Images of a request
are run one after another (narrow) or by all threads together (wide), so that the size of a
batch compiles nothing and costs no memory.

Axis legend: B images of a call (frames, or crops of them).
"""

import queue
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from shoal_core.errors import FailedPrecondition
from shoal_engine.graph import Stopper, Threads, one_line, run_error
from shoal_engine.tensors import ANY_LENGTH, TensorSpec

_KEPT_SIZES = 4
"""Sizes of images that stay compiled; videos of more sizes at once compile again and again."""

_DATATYPES = {"f32": "FP32", "f16": "FP16", "i32": "INT32", "i64": "INT64", "u8": "UINT8"}

_Sizes = tuple[tuple[int, ...], ...]
"""Shape of one image of each input, without the axis B."""


@dataclass
class _Compiled:
    """The network for one size of image."""

    narrow: ov.CompiledModel
    wide: ov.CompiledModel
    idle: dict[bool, queue.SimpleQueue[ov.InferRequest]] = field(
        default_factory=lambda: {False: queue.SimpleQueue(), True: queue.SimpleQueue()}
    )

    def take(self, *, wide: bool) -> ov.InferRequest:
        """Returns a request that nobody uses; there are as many as were ever used at once."""
        try:
            return self.idle[wide].get_nowait()
        except queue.Empty:
            return (self.wide if wide else self.narrow).create_infer_request()

    def give_back(self, request: ov.InferRequest, *, wide: bool) -> None:
        """Lets others take a request that has ended normally."""
        self.idle[wide].put(request)


class OpenVinoGraph:
    """A network in OpenVINO; safe to run from several threads at once."""

    is_exact = False
    """Kernels, and with them the order of sums, are chosen by the number of threads."""

    def __init__(self, path: Path, *, precision: str, threads: Threads) -> None:
        """Loads the file.

        Args:
            path: ONNX file whose inputs and outputs all begin with the axis B.
            precision: "f32" or "bf16": of what the file leaves in floating point.
            threads: How many runs are computed at once, and the threads of one that is alone.

        Raises:
            FailedPrecondition: MODEL_LOAD_FAILED when OpenVINO refuses it.
        """
        self._path = path
        self._precision = precision
        self._threads = threads
        self._core = ov.Core()
        self._compiling = threading.Lock()
        self._compiled: OrderedDict[_Sizes, _Compiled] = OrderedDict()
        with _load_errors(path):
            model = self._core.read_model(path)
        self.inputs = tuple(_spec(path, port, port.any_name) for port in model.inputs)
        # OpenVINO drops nodes that pass a value on, and keeps both names for it.
        self.outputs = tuple(
            _spec(path, port, name) for port in model.outputs for name in sorted(port.names)
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
        arrays = [inputs[spec.name] for spec in self.inputs]
        compiled = self._for_sizes(tuple(array.shape[1:] for array in arrays))
        count = len(arrays[0])
        ports = compiled.narrow.outputs
        made = [
            np.empty((count, *tuple(port.shape)[1:]), port.element_type.to_dtype())
            for port in ports
        ]
        request = compiled.take(wide=wide)
        for image in range(count):
            stopper.check()
            rows = slice(image, image + 1)
            for index, array in enumerate(arrays):
                request.set_input_tensor(index, ov.Tensor(array[rows], shared_memory=True))
            # All of them: what an earlier run has bound is gone.
            for index, array in enumerate(made):
                request.set_output_tensor(index, ov.Tensor(array[rows], shared_memory=True))
            with stopper.ending(request.cancel):
                try:
                    request.start_async()
                    request.wait()
                except (RuntimeError, MemoryError) as error:
                    raise run_error(error) from error
        compiled.give_back(request, wide=wide)
        named = {
            name: array for port, array in zip(ports, made, strict=True) for name in port.names
        }
        return [named[name] for name in outputs]

    def _for_sizes(self, sizes: _Sizes) -> _Compiled:
        with self._compiling:
            compiled = self._compiled.get(sizes) or self._compile(sizes)
            self._compiled[sizes] = compiled
            self._compiled.move_to_end(sizes)
            if len(self._compiled) > _KEPT_SIZES:
                self._compiled.popitem(last=False)
            return compiled

    def _compile(self, sizes: _Sizes) -> _Compiled:
        model = self._core.read_model(self._path)
        ports = zip(model.inputs, sizes, strict=True)
        try:
            model.reshape({port: [1, *size] for port, size in ports})
        except RuntimeError as error:
            raise run_error(error) from error
        threads = self._threads
        narrow = self._compiled_with(model, threads.stream_count, threads.stream_count)
        if threads.wide_count == 1:
            return _Compiled(narrow, narrow)
        return _Compiled(narrow, self._compiled_with(model, 1, threads.wide_count))

    def _compiled_with(
        self, model: ov.Model, stream_count: int, thread_count: int
    ) -> ov.CompiledModel:
        settings = {
            "INFERENCE_PRECISION_HINT": self._precision,
            "NUM_STREAMS": stream_count,
            "INFERENCE_NUM_THREADS": thread_count,
            # Decoding and grouping run on the same cores.
            "ENABLE_CPU_PINNING": False,
        }
        with _load_errors(self._path):
            return self._core.compile_model(model, "CPU", settings)


@contextmanager
def _load_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise FailedPrecondition(
            "MODEL_LOAD_FAILED",
            f"OpenVINO cannot load {path.name}: {one_line(error)}",
            file=path.name,
        ) from error


def _spec(path: Path, port: Any, name: str) -> TensorSpec:
    datatype = _DATATYPES.get(port.element_type.get_type_name())
    if datatype is None:
        raise FailedPrecondition(
            "MODEL_LOAD_FAILED",
            f"{path.name} has {name!r} of type {port.element_type.get_type_name()}, which "
            "OpenVINO is not used for; choose backend onnxruntime-fp32.",
            file=path.name,
        )
    shape = port.get_partial_shape()
    lengths = (axis.get_length() if axis.is_static else ANY_LENGTH for axis in shape)
    return TensorSpec(name, datatype, tuple(lengths))
