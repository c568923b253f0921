"""INT8 copies of a model's networks, made in a child process.

Post-training quantisation with NNCF: weights per channel, activations by the ranges that they have
on the given frames, biases corrected. The last weighted layer of every output stays in floating
point: the places of peaks and the values that thresholds are compared with come of it directly.

Axis legend: B images of a call (frames, or crops of them), F frames, H W pixels, C channels.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from shoal_common.inference.chain import CHAIN_FILE, CONTRACT_FILE, Chain, ChainStep
from shoal_common.inference.contract import PoseContract
from shoal_common.inference.quiet import keep_openvino_quiet
from shoal_common.inference.tuning import quantized_file
from shoal_core.errors import FailedPrecondition
from shoal_serving.conversion import run_child
from shoal_serving.graphs.network import (
    CROP_PEAK_THRESHOLD,
    IMAGES,
    LINE_SAMPLES,
    MAX_INSTANCES,
    PEAK_THRESHOLD,
)

_MAX_IMAGES = 256
"""Images that a network's ranges are taken from; crops come by the dozen a frame."""
_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")

Arrays = Mapping[str, NDArray[Any]]


def quantize(version: Path, frames: Path, destination: Path) -> None:
    """Writes `<network>.int8.onnx` for every network that sees an image.

    Args:
        version: A version's folder.
        frames: A `.npy` file of frames [F, H, W, C], UINT8.
        destination: Folder to make; it is not there if the call fails.

    Raises:
        FailedPrecondition: NOTHING_TO_CALIBRATE when no frame reaches a network.
    """
    chain = Chain.from_json((version / CHAIN_FILE).read_text())
    contract = PoseContract.from_json((version / CONTRACT_FILE).read_text())
    seen = _seen(chain, contract, version, np.load(frames, allow_pickle=False))
    destination.mkdir()
    for step in chain.steps:
        if step.kind == "body":
            if not seen[step.name]:
                raise FailedPrecondition(
                    "NOTHING_TO_CALIBRATE",
                    f"No animal is found in the {len(np.load(frames))} frames, so that network "
                    f"{step.name!r} sees nothing to be calibrated with; give frames with animals.",
                    step=step.name,
                )
            quantized = _quantized(version / step.file, seen[step.name])
            onnx.save(quantized, destination / quantized_file(step.file))


def _seen(
    chain: Chain, contract: PoseContract, version: Path, frames_FHWC: NDArray[np.uint8]
) -> dict[str, list[Arrays]]:
    """Returns the single images that each network gets for the frames."""
    graphs = {step.name: _session(version / step.file) for step in chain.steps}
    seen: dict[str, list[Arrays]] = {step.name: [] for step in chain.steps if step.kind == "body"}
    for frame_HWC in frames_FHWC:
        values: dict[str, NDArray[Any]] = {
            IMAGES.name: frame_HWC[None],
            PEAK_THRESHOLD.name: _one(contract.peak_threshold),
            CROP_PEAK_THRESHOLD.name: _one(
                contract.peak_threshold
                if contract.crop_peak_threshold is None
                else contract.crop_peak_threshold
            ),
            MAX_INSTANCES.name: np.full((1, 1), contract.max_instances, np.int32),
            LINE_SAMPLES.name: np.linspace(0, 1, 10, dtype=np.float32)[None],
        }
        for step in chain.steps:
            inputs = {port: values[value] for port, value in step.inputs.items()}
            if step.name in seen:
                seen[step.name] += _rows(inputs)
            _run(graphs[step.name], step, inputs, values)
    return {name: _spread(images) for name, images in seen.items()}


def _one(value: float) -> NDArray[np.float32]:
    return np.full((1, 1), value, np.float32)


def _rows(inputs: Arrays) -> Iterable[Arrays]:
    (count,) = {len(array) for array in inputs.values()}
    return [{name: array[row : row + 1] for name, array in inputs.items()} for row in range(count)]


def _spread(images: Sequence[Arrays]) -> list[Arrays]:
    """Returns at most _MAX_IMAGES of the images, spread over all of them."""
    places = np.linspace(0, len(images) - 1, min(len(images), _MAX_IMAGES)).round().astype(int)
    return [images[place] for place in places]


def _session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _run(
    session: ort.InferenceSession,
    step: ChainStep,
    inputs: Arrays,
    values: dict[str, NDArray[Any]],
) -> None:
    results = session.run(list(step.outputs), dict(inputs))
    values.update(zip(step.outputs.values(), results, strict=True))


def _quantized(path: Path, images: Sequence[Arrays]) -> onnx.ModelProto:
    keep_openvino_quiet()
    os.environ["NNCF_CI"] = "1"  # its own switch for reporting to nobody
    import nncf

    model = onnx.load(path)
    for index, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{index}"  # names may be missing
    quantized: onnx.ModelProto = nncf.quantize(
        model,
        nncf.Dataset(images),
        subset_size=len(images),
        ignored_scope=nncf.IgnoredScope(names=_last_weighted(model)),
    )
    return quantized


def _last_weighted(model: onnx.ModelProto) -> list[str]:
    """Returns the names of the nodes with weights after which none follows, for each output."""
    makers = {output: node for node in model.graph.node for output in node.output}
    found: dict[str, None] = {}
    waiting = [output.name for output in model.graph.output]
    while waiting:
        node = makers.get(waiting.pop())
        if node is None:
            continue
        if node.op_type in _WEIGHTED:
            found[node.name] = None
        else:
            waiting += node.input
    return list(found)


def _quantize(sources: Sequence[Path], destination: Path) -> None:
    version, frames = sources
    quantize(version, frames, destination)


if __name__ == "__main__":
    run_child(_quantize)
