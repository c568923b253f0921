"""From the name of a backend to a graph that runs in it."""

import logging
from pathlib import Path
from typing import assert_never

from shoal_common.inference.quiet import keep_openvino_quiet
from shoal_common.inference.tuning import Backend, quantized_file
from shoal_core.errors import FailedPrecondition
from shoal_engine.graph import Graph, Threads
from shoal_engine.onnx_graph import OnnxGraph

logger = logging.getLogger(__name__)


def load_graph(path: Path, wide_thread_count: int) -> Graph:
    """Returns an ONNX file in the default runtime, which takes any.

    Raises:
        FailedPrecondition: MODEL_LOAD_FAILED.
    """
    return OnnxGraph(path, wide_thread_count=wide_thread_count)


def load_untuned(path: Path, threads: Threads) -> Graph:
    """Returns a network in our own kernels, or in the default runtime if they do not compute it.

    Both give the same to within rounding (2e-6 of the largest value), and the kernels take half
    of the time.

    Raises:
        FailedPrecondition: MODEL_LOAD_FAILED.
    """
    try:
        return load_body(path, "winograd-fp32", threads)
    except FailedPrecondition as error:
        logger.info("in ONNX Runtime, because %s", error.message)
        return load_graph(path, threads.wide_count)


def load_body(path: Path, backend: Backend, threads: Threads) -> Graph:
    """Returns a network in a backend.

    Raises:
        FailedPrecondition: MODEL_LOAD_FAILED when the runtime refuses the file, or INT8 is asked
            for and there is no quantised copy beside it.
    """
    match backend:
        case "onnxruntime-fp32":
            return load_graph(path, threads.wide_count)
        case "openvino-fp32":
            return _openvino(path, "f32", threads)
        case "openvino-bf16":
            return _openvino(path, "bf16", threads)
        case "openvino-int8":
            return _openvino(_quantized(path), "f32", threads)
        case "winograd-fp32":
            # 100 ms, for reading ONNX.
            from shoal_engine.winograd_graph import WinogradGraph

            return WinogradGraph(path, threads=threads)
        case _:
            assert_never(backend)


def _openvino(path: Path, precision: str, threads: Threads) -> Graph:
    keep_openvino_quiet()
    # 200 ms and 30 MB that only models which use it pay for.
    from shoal_engine.openvino_graph import OpenVinoGraph

    return OpenVinoGraph(path, precision=precision, threads=threads)


def _quantized(path: Path) -> Path:
    quantized = path.with_name(quantized_file(path.name))
    if not quantized.is_file():
        raise FailedPrecondition(
            "MODEL_LOAD_FAILED",
            f"The model has no {quantized.name}; tune it again.",
            file=quantized.name,
        )
    return quantized
