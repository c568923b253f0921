"""Runs graphs and chains in ONNX Runtime, without the engine."""

from pathlib import Path

import av
import numpy as np
import onnxruntime

from shoal_common.inference.chain import CHAIN_FILE, COMPOSED_FILE, CONTRACT_FILE, Chain
from shoal_common.inference.contract import PoseContract
from shoal_serving.graphs.builder import FLOAT, INT32, INT64, UINT8, GraphBuilder

DTYPES = {"float32": FLOAT, "int32": INT32, "int64": INT64, "uint8": UINT8}

UNKNOWN_SHAPE = ()
"""ONNX Runtime does not insist on the declared shape of an output, only ONNX on its being there."""


def session(model: bytes | str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def evaluate(function, *arrays):
    """Runs a function of graph values on arrays; returns its results as a list of arrays."""
    graph = GraphBuilder("test")
    values = [
        graph.input(
            f"in{i}", DTYPES[str(array.dtype)], [f"d{i}_{axis}" for axis in range(array.ndim)]
        )
        for i, array in enumerate(arrays)
    ]
    results = function(*values)
    results = results if isinstance(results, tuple | list) else [results]
    for i, result in enumerate(results):
        graph.output(f"out{i}", result, UNKNOWN_SHAPE)
    feeds = {value.name: array for value, array in zip(values, arrays, strict=True)}
    return session(graph.model().SerializeToString()).run(None, feeds)


class ServedModel:
    """A version folder, run as a chain or as the composed graph."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.chain = Chain.from_json((folder / CHAIN_FILE).read_text())
        self.contract = PoseContract.from_json((folder / CONTRACT_FILE).read_text())
        self._sessions = {step.name: session(str(folder / step.file)) for step in self.chain.steps}
        self._composed: onnxruntime.InferenceSession | None = None

    def feeds(self, request):
        """The request with the contract's defaults filled in."""
        batch = len(request["images"])
        thresholds = np.full((batch, 1), self.contract.peak_threshold, np.float32)
        of_crops = self.contract.crop_peak_threshold
        defaults = {
            "peak_threshold": thresholds,
            "crop_peak_threshold": request.get("peak_threshold", thresholds)
            if of_crops is None or "peak_threshold" in request
            else np.full((batch, 1), of_crops, np.float32),
            "max_instances": np.full((batch, 1), self.contract.max_instances, np.int32),
            "line_samples": np.tile(np.linspace(0, 1, 10, dtype=np.float32), (batch, 1)),
        }
        return {name: ({**defaults, **request})[name] for name in self.chain.inputs}

    def values(self, **request):
        """Every value of the chain by name."""
        values = self.feeds(request)
        for step in self.chain.steps:
            feeds = {port: values[name] for port, name in step.inputs.items()}
            made = self._sessions[step.name].run(list(step.outputs), feeds)
            values.update(zip(step.outputs.values(), made, strict=True))
        return values

    def run(self, **request):
        values = self.values(**request)
        return {name: values[name] for name in self.chain.outputs}

    def run_composed(self, **request):
        if self._composed is None:
            self._composed = session(str(self.folder / COMPOSED_FILE))
        names = list(self.chain.outputs)
        made = self._composed.run(names, self.feeds(request))
        return dict(zip(names, made, strict=True))


def read_frames(video: Path, indices) -> np.ndarray:
    """Returns RGB frames [B, H, W, 3]; indices ascend."""
    found = []
    with av.open(str(video)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index in indices:
                found.append(frame.to_ndarray(format="rgb24"))
            if index >= max(indices):
                break
    return np.stack(found)


def read_gray_frames(video: Path, indices) -> np.ndarray:
    return np.ascontiguousarray(read_frames(video, indices)[..., :1])
