"""One ONNX file in ONNX Runtime: on one thread, or on as many as a request has to itself.

Threads do not spin while they wait: beside decoding and grouping on the same cores, spinning
makes a pass on two threads half as long again (measured on two busy cores: 68 against 47 ms).
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import onnxruntime as ort
from numpy.typing import NDArray

from shoal_core.errors import FailedPrecondition
from shoal_engine.graph import Stopper, one_line, run_error
from shoal_engine.tensors import ANY_LENGTH, TensorSpec

_LOAD_ERRORS = (
    ort.capi.onnxruntime_pybind11_state.Fail,
    ort.capi.onnxruntime_pybind11_state.InvalidArgument,
    ort.capi.onnxruntime_pybind11_state.InvalidGraph,
    ort.capi.onnxruntime_pybind11_state.InvalidProtobuf,
    ort.capi.onnxruntime_pybind11_state.NoSuchFile,
    ort.capi.onnxruntime_pybind11_state.NotImplemented,
    ort.capi.onnxruntime_pybind11_state.RuntimeException,
)
_RUN_ERRORS = (*_LOAD_ERRORS, RuntimeError, MemoryError)
"""What running a binding raises: whatever has gone wrong becomes a RuntimeError."""

_DATATYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
}


def share_memory() -> None:
    """Lets all graphs of this process take memory from one arena; call it once, at the start.

    With an arena of its own for each graph, growing by powers of two, and memory patterns, a
    top-down model needs more than twice the memory and grows with every new number of animals
    (measured over 560 frames, four at a time: 553 against 237 MB).
    """
    arena = ort.OrtArenaCfg(
        {
            "max_mem": 0,
            "arena_extend_strategy": 1,  # as much as is asked for
            "initial_chunk_size_bytes": -1,
            "max_dead_bytes_per_chunk": -1,
        }
    )
    place = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    ort.create_and_register_allocator(place, arena)


class OnnxGraph:
    """An ONNX file's sessions in ONNX Runtime; safe to run from several threads at once."""

    is_exact = True
    """Each thread computes whole elements, in the same order whatever their number."""

    def __init__(self, path: Path, *, wide_thread_count: int) -> None:
        """Loads the file.

        Args:
            path: ONNX file.
            wide_thread_count: Threads of `run(..., wide=True)`; 1 where it gains nothing.

        Raises:
            FailedPrecondition: MODEL_LOAD_FAILED when ONNX Runtime refuses it.
        """
        self._narrow = _session(path, 1)
        self._wide = self._narrow if wide_thread_count == 1 else _session(path, wide_thread_count)
        self.inputs = tuple(_spec(path, node) for node in self._narrow.get_inputs())
        self.outputs = tuple(_spec(path, node) for node in self._narrow.get_outputs())

    def run(
        self,
        inputs: Mapping[str, NDArray[Any]],
        outputs: Sequence[str],
        *,
        wide: bool,
        stopper: Stopper,
    ) -> list[NDArray[Any]]:
        """Returns the named outputs; see `Graph.run`."""
        session = self._wide if wide else self._narrow
        options = ort.RunOptions()
        # Values are passed on without copying; 7 µs a call, run_with_ort_values takes 33 µs.
        binding = session.io_binding()
        for name, array in inputs.items():
            binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array))
        for name in outputs:
            binding.bind_output(name)
        with stopper.ending(partial(setattr, options, "terminate", True)):
            try:
                session.run_with_iobinding(binding, options)
            except _RUN_ERRORS as error:
                raise run_error(error) from error
        return [value.numpy() for value in binding.get_outputs()]


def _session(path: Path, thread_count: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = thread_count
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.enable_mem_pattern = False  # one block a pass fits no pass of another shape
    options.log_severity_level = 3  # what goes wrong becomes an error of the call
    try:
        return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except _LOAD_ERRORS as error:
        raise FailedPrecondition(
            "MODEL_LOAD_FAILED",
            f"ONNX Runtime cannot load {path.name}: {one_line(error)}",
            file=path.name,
        ) from error


def _spec(path: Path, node: ort.NodeArg) -> TensorSpec:
    datatype = _DATATYPES.get(node.type)
    if datatype is None:
        raise FailedPrecondition(
            "MODEL_LOAD_FAILED",
            f"{path.name} has {node.name!r} of type {node.type}, which the engine does not serve.",
            file=path.name,
        )
    shape = tuple(axis if isinstance(axis, int) else ANY_LENGTH for axis in node.shape)
    return TensorSpec(node.name, datatype, shape)
