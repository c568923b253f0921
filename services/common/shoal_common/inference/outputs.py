"""From what a served model answers to poses: grouping, filters, limits.

Axis legend: B frames of a request.
"""

from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from numpy.typing import NDArray

from shoal_common.inference.contract import PoseContract
from shoal_common.inference.settings import InferenceSettings
from shoal_core.class_grouping import assign_classes, group_class_parts
from shoal_core.filtering import best_scored, filter_instances
from shoal_core.grouping import group_parts
from shoal_core.pose import FramePoses

Outputs = Mapping[str, NDArray[Any]]
"""Arrays of the pose contract by name; the first axis is B, or missing in those of one frame."""


def poses_of(
    contract: PoseContract,
    outputs: Outputs,
    frame_indices: Sequence[int],
    frame_size_px: tuple[int, int],
    settings: InferenceSettings,
) -> list[FramePoses]:
    """Returns the poses of each frame; `frame_size_px` is (height, width)."""
    poses = []
    for row, frame_index in enumerate(frame_indices):
        frame = {name: output[row] for name, output in outputs.items()}
        found = _found(contract, frame, frame_index, frame_size_px, settings)
        kept = filter_instances(found, settings.filters)
        poses.append(best_scored(kept, settings.max_instances))
    return poses


def _found(
    contract: PoseContract,
    frame: Outputs,
    frame_index: int,
    frame_size_px: tuple[int, int],
    settings: InferenceSettings,
) -> FramePoses:
    match contract.family:
        case "instances":
            return _instances(contract, frame, frame_index)
        case "parts" if contract.classes:
            return group_class_parts(
                frame["peaks"],
                frame["peak_values"],
                frame["class_probabilities"],
                grouping=settings.class_grouping,
                frame_index=frame_index,
            )
        case "parts":
            return group_parts(
                frame["peaks"],
                frame["peak_values"],
                frame["edge_scores"],
                skeleton=contract.skeleton,
                frame_size_px=frame_size_px,
                grouping=settings.part_grouping,
                frame_index=frame_index,
            )
        case _:
            assert_never(contract.family)


def _instances(contract: PoseContract, frame: Outputs, frame_index: int) -> FramePoses:
    found = slice(0, int(frame["instance_counts"]))
    poses = FramePoses.untracked(
        frame_index,
        frame["instance_peaks"][found],
        frame["instance_peak_values"][found],
        frame["instance_scores"][found],
    )
    if not contract.classes:
        return poses
    return assign_classes(poses, frame["class_probabilities"][found])
