"""One ONNX file, ready to run: on one thread, or on as many as a request has to itself.

Threads do not spin while they wait: beside decoding and grouping on the same cores, spinning
makes a pass on two threads half as long again (measured on two busy cores: 68 against 47 ms).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnxruntime as ort

from shoal_core.errors import (
    Cancelled,
    FailedPrecondition,
    InvalidArgument,
    ResourceExhausted,
    ShoalError,
)
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


class Stopper:
    """Ends what runs with it, between two nodes of a graph; safe to use from any thread."""

    def __init__(self) -> None:
        self.options = ort.RunOptions()

    def stop(self) -> None:
        """Ends the runs, and those that have not begun."""
        self.options.terminate = True


class Graph:
    """An ONNX file's sessions; safe to run from several threads at once."""

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
        inputs: Mapping[str, ort.OrtValue],
        outputs: Sequence[str],
        *,
        wide: bool,
        stopper: "Stopper",
    ) -> list[ort.OrtValue]:
        """Returns the named outputs.

        Raises:
            InvalidArgument: INPUT_REJECTED when the graph cannot work on such inputs.
            ResourceExhausted: MEMORY_FULL when it does not fit into memory.
            Cancelled: REQUEST_STOPPED when the stopper was used.
        """
        session = self._wide if wide else self._narrow
        # Values are passed on without copying; 7 µs a call, run_with_ort_values takes 33 µs.
        binding = session.io_binding()
        for name, value in inputs.items():
            binding.bind_ortvalue_input(name, value)
        for name in outputs:
            binding.bind_output(name)
        try:
            session.run_with_iobinding(binding, stopper.options)
        except _RUN_ERRORS as error:
            if stopper.options.terminate:
                raise Cancelled("REQUEST_STOPPED", "The request was stopped.") from error
            raise _run_error(error) from error
        values: list[ort.OrtValue] = binding.get_outputs()
        return values


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
            f"ONNX Runtime cannot load {path.name}: {_one_line(error)}",
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


def _run_error(error: Exception) -> ShoalError:
    line = _one_line(error).removeprefix("Error in execution: ")
    is_memory = isinstance(error, MemoryError) or "Failed to allocate memory" in line
    if is_memory or "bad allocation" in line:
        return ResourceExhausted(
            "MEMORY_FULL", "The request does not fit into memory; send fewer or smaller frames."
        )
    return InvalidArgument("INPUT_REJECTED", f"The model cannot work on these inputs: {line}")


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
