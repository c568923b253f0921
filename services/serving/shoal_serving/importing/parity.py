"""The gate of an import: what will be served finds what training found, on the same frames.

Axis legend: F frames, I J instances, N nodes, 2 = (x, y).
"""

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as runtime_errors

from shoal_common.inference.contract import Parity, PoseContract
from shoal_common.inference.outputs import poses_of
from shoal_common.inference.settings import InferenceSettings
from shoal_core.errors import FailedPrecondition
from shoal_core.pose import FramePoses
from shoal_serving.agreement import Disagreement, agreement
from shoal_serving.graphs.network import (
    CENTROIDS,
    IMAGES,
    LINE_SAMPLES,
    MAX_INSTANCES,
    PEAK_THRESHOLD,
    Network,
)
from shoal_serving.graphs.plans import make_plan
from shoal_serving.importing.parity_frames import ParityFrames

_RUN_FAILED = (
    runtime_errors.Fail,
    runtime_errors.InvalidArgument,
    runtime_errors.InvalidGraph,
    runtime_errors.NotImplemented,
    runtime_errors.RuntimeException,
)


def check_parity(contract: PoseContract, network: Network, frames: ParityFrames) -> Parity:
    """Returns how a model of one network agrees with its training.

    Args:
        contract: Of this network alone.
        network: The network.
        frames: What training found with it.

    Raises:
        FailedPrecondition: PARITY_FAILED when other instances are found, nodes lie farther off
            than the gate allows, or the network cannot be run; PARITY_EMPTY when
            neither finds anything.
    """
    try:
        served = _run(contract, network, frames)
    except _RUN_FAILED as error:
        problem = " ".join(str(error).split())[:200]
        raise _failed(contract, f"cannot be run ({problem})") from error
    expected = [_recorded(frames, frame) for frame in range(len(served))]
    try:
        parity = agreement(expected, served, contract.classes)
    except Disagreement as disagreement:
        raise _failed(
            contract, f"disagrees with its training: it {disagreement.problem}"
        ) from disagreement
    if not parity.node_count:
        raise FailedPrecondition(
            "PARITY_EMPTY",
            f"The {contract.kind} network finds nothing in the {parity.frame_count} frames it came "
            "with, so that nothing can be compared; train it for longer, or with more labels.",
            kind=contract.kind,
        )
    return parity


def _run(contract: PoseContract, network: Network, frames: ParityFrames) -> list[FramePoses]:
    plan = make_plan(contract, [network], composed=True)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        plan.composed(contract.kind).SerializeToString(),
        options,
        providers=["CPUExecutionProvider"],
    )
    names = [port.name for port in plan.outputs]
    poses: list[FramePoses] = []
    for index, image in enumerate(frames.images_FHWC):
        values: dict[str, NDArray[Any]] = {
            IMAGES.name: image[None],
            PEAK_THRESHOLD.name: np.full((1, 1), contract.peak_threshold, np.float32),
            MAX_INSTANCES.name: np.full((1, 1), contract.max_instances, np.int32),
            LINE_SAMPLES.name: np.linspace(0, 1, 10, dtype=np.float32)[None],
        }
        if frames.centroids_px_FJ2 is not None:
            values[CENTROIDS.name] = frames.centroids_px_FJ2[index][None]
        made = session.run(names, {port.name: values[port.name] for port in plan.inputs})
        outputs = dict(zip(names, made, strict=True))
        size = image.shape[0], image.shape[1]
        poses += poses_of(contract, outputs, [index], size, InferenceSettings())
    return poses


def _recorded(frames: ParityFrames, frame: int) -> FramePoses:
    points_IN2 = frames.points_px_FIN2[frame]
    shape = points_IN2.shape[:2]
    poses = FramePoses.untracked(
        frame, points_IN2, np.ones(shape, np.float32), np.ones(shape[0], np.float32)
    )
    if frames.class_indices_FI is not None:
        poses.track_indices_I[:] = frames.class_indices_FI[frame]
    return poses.select(np.isfinite(points_IN2).all(axis=2).any(axis=1))


def _failed(contract: PoseContract, problem: str) -> FailedPrecondition:
    return FailedPrecondition(
        "PARITY_FAILED",
        f"The imported {contract.kind} network {problem}; export the model from its training "
        "run again, and report it if that does not help.",
        kind=contract.kind,
    )
