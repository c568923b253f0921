"""The gate of an import: what will be served finds what training found, on the same frames.

Axis legend: F frames, I J instances, N nodes, 2 = (x, y), M matches.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as runtime_errors

from shoal_common.inference.contract import Parity, PoseContract
from shoal_common.inference.outputs import poses_of
from shoal_common.inference.settings import InferenceSettings
from shoal_core.assignment import optimal_pairs
from shoal_core.errors import FailedPrecondition
from shoal_core.pose import NO_TRACK, FramePoses
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

MAX_MEDIAN_PX = 0.1
MAX_P99_PX = 0.5

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
            than MAX_MEDIAN_PX and MAX_P99_PX, or the network cannot be run; PARITY_EMPTY when
            neither finds anything.
    """
    try:
        served = _run(contract, network, frames)
    except _RUN_FAILED as error:
        problem = " ".join(str(error).split())[:200]
        raise _failed(contract, f"cannot be run ({problem})") from error
    distances: list[NDArray[np.float64]] = []
    instance_count = 0
    for frame, found in enumerate(served):
        expected = _recorded(frames, frame)
        distances.append(_matched(contract, frame, expected, found))
        instance_count += expected.instance_count
    return _report(contract, len(served), instance_count, distances)


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


def _matched(
    contract: PoseContract, frame: int, expected: FramePoses, found: FramePoses
) -> NDArray[np.float64]:
    """Returns the nodes' distances of each match; infinite where only one side has a node."""
    distances_IJN = np.linalg.norm(
        expected.points_px_IN2[:, None].astype(np.float64) - found.points_px_IN2[None], axis=3
    )
    has_IJN = np.isfinite(distances_IJN)
    total_IJ = np.where(has_IJN, distances_IJN, 0).sum(axis=2)
    count_IJ = has_IJN.sum(axis=2)
    mean_IJ = total_IJ / np.maximum(count_IJ, 1)
    rows_M, columns_M = optimal_pairs(np.where(count_IJ > 0, 1 / (1 + mean_IJ), 0))
    if not len(rows_M) == expected.instance_count == found.instance_count:
        raise _failed(
            contract,
            f"finds {found.instance_count} instances in frame {frame} where training found "
            f"{expected.instance_count}",
        )
    classes_M = expected.track_indices_I[rows_M], found.track_indices_I[columns_M]
    if not np.array_equal(*classes_M):
        named = [
            [contract.classes[index] if index != NO_TRACK else "none" for index in classes]
            for classes in classes_M
        ]
        raise _failed(
            contract,
            f"takes the animals of frame {frame} for {', '.join(named[1])} where training took "
            f"them for {', '.join(named[0])}",
        )
    in_neither_MN = _is_missing(expected)[rows_M] & _is_missing(found)[columns_M]
    distances_MN = np.nan_to_num(distances_IJN[rows_M, columns_M], nan=np.inf)
    compared: NDArray[np.float64] = distances_MN[~in_neither_MN]
    return compared


def _is_missing(poses: FramePoses) -> NDArray[np.bool_]:
    return np.asarray(np.isnan(poses.points_px_IN2).any(axis=2), np.bool_)


def _report(
    contract: PoseContract,
    frame_count: int,
    instance_count: int,
    distances: Sequence[NDArray[np.float64]],
) -> Parity:
    px = np.concatenate(distances)
    if not len(px):
        raise FailedPrecondition(
            "PARITY_EMPTY",
            f"The {contract.kind} network finds nothing in the {frame_count} frames it came with, "
            "so that nothing can be compared; train it for longer, or with more labels.",
            kind=contract.kind,
        )
    median, p99 = np.percentile(px, (50, 99), method="inverted_cdf")
    if median > MAX_MEDIAN_PX or p99 > MAX_P99_PX:
        raise _failed(
            contract,
            f"differs from training by {median:.3g} px in the median and {p99:.3g} px at the "
            f"99th percentile of {len(px)} nodes, and {MAX_MEDIAN_PX:g} and {MAX_P99_PX:g} px "
            "are allowed",
        )
    return Parity(
        frame_count=frame_count,
        instance_count=instance_count,
        node_count=len(px),
        median_px=float(median),
        p99_px=float(p99),
    )


def _failed(contract: PoseContract, problem: str) -> FailedPrecondition:
    return FailedPrecondition(
        "PARITY_FAILED",
        f"The imported {contract.kind} network {problem}; export the model from its training "
        "run again, and report it if that does not help.",
        kind=contract.kind,
    )
