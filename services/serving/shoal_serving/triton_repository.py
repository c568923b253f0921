"""Triton's model repository: one model of Triton's for each version, `<model>@<version>/1`.

A version is a model of its own there because Triton loads and unloads whole models. Its folder
holds hard links to the version's files, so that it costs no space and can be copied as it is to
another machine, and `model.py`, which runs them in Triton's Python backend.
"""

import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from shoal_common.inference.chain import CHAIN_FILE, COMPOSED_FILE, CONTRACT_FILE, Chain
from shoal_common.inference.contract import CONTRACT_PARAMETER, PoseContract
from shoal_common.inference.priority import Priority

if TYPE_CHECKING:
    import onnx

ENGINE_VERSION = "1"
"""Version of every model in Triton."""

_MODEL_PY = '''"""Runs the version in this folder; see shoal_engine.triton_backend."""

from shoal_engine.triton_backend import TritonPythonModel

__all__ = ["TritonPythonModel"]
'''
_DATA_TYPES: dict[str, int] = {
    "UINT8": pb.TYPE_UINT8,
    "INT32": pb.TYPE_INT32,
    "FLOAT": pb.TYPE_FP32,
}
"""By the names that ONNX has for them."""
_OPTIONAL = {
    "peak_threshold": (pb.TYPE_FP32, (1,)),
    "crop_peak_threshold": (pb.TYPE_FP32, (1,)),
    "max_instances": (pb.TYPE_INT32, (1,)),
    "line_samples": (pb.TYPE_FP32, (-1,)),
}
"""Inputs that every pose model accepts, whether or not its chain reads them."""
_WARM_UP_PX = (128, 128)


@dataclass(frozen=True)
class TritonLimits:
    """How Triton runs a model."""

    instance_count: int
    """Processes that compute, each on one thread."""
    max_batch_frame_count: int = 64
    """Most frames of a request, and of requests that are computed together."""
    max_queued_requests: int = 64
    """Batch requests that may wait; the next one gets UNAVAILABLE."""
    max_queued_live_requests: int = 256
    """Live requests that may wait; the next one gets UNAVAILABLE."""


class TritonRepository:
    """Writes and removes models of Triton's; one process at a time may."""

    def __init__(self, folder: Path, limits: TritonLimits) -> None:
        """Takes the folder that Triton serves."""
        self._folder = folder
        self._limits = limits
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, name: str, version: Path) -> None:
        """Writes Triton's model of that name for a version's folder, unless it is there."""
        target = self._folder / name
        if _is_of(target, version):
            return
        staged = self._folder / f".{uuid.uuid4().hex}"
        try:
            write_model(staged, name, version, self._limits)
            self.remove(name)  # of a version that was deleted while Triton was not there
            staged.rename(target)
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def names(self, prefix: str) -> list[str]:
        """Returns the models whose names begin so."""
        return sorted(path.name for path in self._folder.iterdir() if path.name.startswith(prefix))

    def remove(self, name: str) -> None:
        """Removes one of Triton's models."""
        shutil.rmtree(self._folder / name, ignore_errors=True)


def _is_of(model: Path, version: Path) -> bool:
    """Whether a model of Triton's was made of this version: their files are the same ones."""
    linked = model / ENGINE_VERSION / CONTRACT_FILE
    return linked.is_file() and linked.samefile(version / CONTRACT_FILE)


def write_model(folder: Path, name: str, version: Path, limits: TritonLimits) -> None:
    """Writes a model of Triton's that runs a version on the CPU."""
    files = folder / ENGINE_VERSION
    files.mkdir(parents=True)
    for source in version.iterdir():
        (files / source.name).hardlink_to(source)
    (files / "model.py").write_text(_MODEL_PY)
    config = model_config(name, version, limits)
    (folder / "config.pbtxt").write_text(text_format.MessageToString(config))


def model_config(name: str, version: Path, limits: TritonLimits) -> pb.ModelConfig:
    """Returns the configuration of a version in Triton's Python backend.

    The axis of frames is the one that Triton batches along.
    """
    contract = PoseContract.from_json((version / CONTRACT_FILE).read_text())
    config = pb.ModelConfig(
        name=name,
        backend="python",
        max_batch_size=limits.max_batch_frame_count,
        input=_inputs(version),
        output=_outputs(version),
        instance_group=[
            pb.ModelInstanceGroup(count=limits.instance_count, kind=pb.ModelInstanceGroup.KIND_CPU)
        ],
        dynamic_batching=_batching(limits),
        model_warmup=[_warm_up(contract)],
    )
    config.parameters[CONTRACT_PARAMETER].string_value = contract.to_json()
    return config


def _inputs(version: Path) -> Iterator[pb.ModelInput]:
    chain = Chain.from_json((version / CHAIN_FILE).read_text())
    for port in _graph(version).input:
        if port.name in chain.inputs and port.name not in _OPTIONAL:
            yield pb.ModelInput(name=port.name, data_type=_data_type(port), dims=_dims(port))
    for name, (data_type, dims) in _OPTIONAL.items():
        yield pb.ModelInput(name=name, data_type=data_type, dims=dims, optional=True)


def _outputs(version: Path) -> Iterator[pb.ModelOutput]:
    for port in _graph(version).output:
        yield pb.ModelOutput(name=port.name, data_type=_data_type(port), dims=_dims(port))


def _graph(version: Path) -> "onnx.GraphProto":
    import onnx  # not before a model is written: the process starts without it

    return onnx.load(version / COMPOSED_FILE, load_external_data=False).graph


def _data_type(port: "onnx.ValueInfoProto") -> int:
    import onnx

    name: str = onnx.TensorProto.DataType.Name(port.type.tensor_type.elem_type)
    return _DATA_TYPES[name]


def _dims(port: "onnx.ValueInfoProto") -> list[int]:
    """Returns the lengths without the axis B; Triton wants one at least, and does not check it."""
    axes = list(port.type.tensor_type.shape.dim)[1:]
    return [axis.dim_value or -1 for axis in axes] or [1]


def _batching(limits: TritonLimits) -> pb.ModelDynamicBatching:
    def queue(size: int) -> pb.ModelQueuePolicy:
        return pb.ModelQueuePolicy(timeout_action=pb.ModelQueuePolicy.REJECT, max_queue_size=size)

    return pb.ModelDynamicBatching(
        priority_levels=len(Priority),
        default_priority_level=Priority.BATCH.value,
        default_queue_policy=queue(limits.max_queued_requests),
        priority_queue_policy={Priority.LIVE.value: queue(limits.max_queued_live_requests)},
    )


def _warm_up(contract: PoseContract) -> pb.ModelWarmup:
    height, width = contract.target_size_px or _WARM_UP_PX
    images = pb.ModelWarmup.Input(
        data_type=pb.TYPE_UINT8, dims=(height, width, contract.channels), zero_data=True
    )
    inputs = {"images": images}
    if contract.takes_centroids:
        inputs["centroids"] = pb.ModelWarmup.Input(
            data_type=pb.TYPE_FP32, dims=(1, 2), zero_data=True
        )
    return pb.ModelWarmup(name="black", batch_size=1, inputs=inputs)
