"""From an engine's outputs to poses, over any engine: a hand-written one answers here."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from shoal_common.inference.contract import PoseContract
from shoal_common.inference.estimator import PoseEstimator
from shoal_common.inference.priority import Priority
from shoal_common.inference.settings import InferenceSettings
from shoal_core.class_grouping import ClassGrouping
from shoal_core.filtering import InstanceFilters
from shoal_core.grouping import PartGrouping
from shoal_core.pose import NO_TRACK
from shoal_core.skeleton import Skeleton

NAN = float("nan")
FRAMES = np.zeros((2, 40, 60, 1), np.uint8)


def contract(**changes: Any) -> PoseContract:
    fields: dict[str, Any] = {
        "family": "instances",
        "kind": "topdown",
        "skeleton": Skeleton("fly", ("head", "tail"), ((0, 1),)),
        "channels": 1,
        "stages": (),
    }
    return PoseContract(**{**fields, **changes})


class Answers:
    """Stands where a deployment does: fixed outputs, and what it was asked."""

    def __init__(self, contract: PoseContract, outputs: Mapping[str, np.ndarray]) -> None:
        self.contract = contract
        self.outputs = {"overflow": np.zeros(2, np.int32), **outputs}
        self.inputs: Mapping[str, Any] = {}

    async def infer(
        self, inputs: Mapping[str, Any], *, priority: Priority
    ) -> tuple[PoseContract, dict[str, Any]]:
        assert priority is Priority.LIVE
        self.inputs = inputs
        return self.contract, self.outputs


INSTANCES = {
    "instance_peaks": np.array(
        [[[[1, 2], [3, 4]], [[5, 6], [NAN, NAN]]], [[[NAN, NAN]] * 2] * 2], np.float32
    ),
    "instance_peak_values": np.array([[[0.9, 0.8], [0.7, 0]], [[0, 0], [0, 0]]], np.float32),
    "instance_scores": np.array([[0.95, 0.5], [0, 0]], np.float32),
    "instance_counts": np.array([2, 0], np.int32),
}


def estimator(answers: Answers, **settings: Any) -> PoseEstimator:
    return PoseEstimator(
        deployment=answers,  # type: ignore[arg-type]
        settings=InferenceSettings(**settings),
        priority=Priority.LIVE,
    )


async def test_instances_become_poses_and_empty_frames_stay_frames() -> None:
    estimate = await estimator(Answers(contract(), INSTANCES)).estimate(FRAMES, [7, 9])
    first, second = estimate.poses
    assert (first.frame_index, second.frame_index) == (7, 9)
    assert (first.instance_count, second.instance_count) == (2, 0)
    np.testing.assert_array_equal(first.points_px_IN2, INSTANCES["instance_peaks"][0])
    np.testing.assert_array_equal(first.instance_scores_I, np.float32([0.95, 0.5]))
    assert (first.track_indices_I == NO_TRACK).all()


async def test_classes_of_a_top_down_model_become_tracks() -> None:
    probabilities = np.zeros((2, 2, 2), np.float32)
    probabilities[0] = [[0.4, 0.6], [0.9, 0.1]]
    outputs = {**INSTANCES, "class_probabilities": probabilities}
    answers = Answers(contract(kind="multiclass_topdown", classes=("a", "b")), outputs)
    poses = (await estimator(answers).estimate(FRAMES, [0, 1])).poses[0]
    assert poses.track_indices_I.tolist() == [1, 0]
    np.testing.assert_array_equal(poses.tracking_scores_I, np.float32([0.6, 0.9]))
    np.testing.assert_array_equal(poses.instance_scores_I, INSTANCES["instance_scores"][0])


PARTS = {
    "peaks": np.full((2, 2, 3, 2), NAN, np.float32),
    "peak_values": np.zeros((2, 2, 3), np.float32),
    "peak_counts": np.array([[2, 2], [0, 0]], np.int32),
    "edge_scores": np.zeros((2, 1, 3, 3), np.float32),
}
PARTS["peaks"][0, 0, :2] = [[10, 10], [30, 10]]
PARTS["peaks"][0, 1, :2] = [[30, 15], [10, 15]]
PARTS["peak_values"][0, :, :2] = 0.9
PARTS["edge_scores"][0, 0, :2, :2] = [[0.0, 0.9], [0.8, 0.0]]


async def test_parts_are_grouped_by_their_lines() -> None:
    answers = Answers(contract(family="parts", kind="bottomup"), PARTS)
    first, second = (await estimator(answers).estimate(FRAMES, [0, 1])).poses
    assert first.points_px_IN2.tolist() == [[[10, 10], [10, 15]], [[30, 10], [30, 15]]]
    assert second.instance_count == 0


@pytest.mark.parametrize("kind", ["bottomup", "multiclass_bottomup"])
async def test_at_most_so_many_instances_are_kept_best_first(kind: Any) -> None:
    values = PARTS["peak_values"].copy()
    values[0, :, 1] = [0.5, 0.95]  # head of the one at x = 30, tail of the one at x = 10
    probabilities = np.zeros((2, 2, 3, 2), np.float32)
    probabilities[0, 0, :2] = [[0.9, 0.1], [0.1, 0.9]]
    probabilities[0, 1, :2] = [[0.1, 0.9], [0.9, 0.1]]
    outputs = {**PARTS, "peak_values": values, "class_probabilities": probabilities}
    classes = ("a", "b") if kind == "multiclass_bottomup" else ()
    answers = Answers(contract(family="parts", kind=kind, classes=classes), outputs)
    poses = (await estimator(answers, max_instances=1).estimate(FRAMES, [0, 1])).poses[0]
    assert poses.points_px_IN2[:, :, 0].tolist() == [[10, 10]]


async def test_overflow_is_counted() -> None:
    answers = Answers(contract(), {**INSTANCES, "overflow": np.array([0, 1], np.int32)})
    assert (await estimator(answers).estimate(FRAMES, [0, 1])).overflow_frame_count == 1


async def test_only_what_was_set_is_sent() -> None:
    answers = Answers(contract(), INSTANCES)
    await estimator(answers).estimate(FRAMES, [0, 1])
    assert set(answers.inputs) == {"images"}
    await estimator(answers, peak_threshold=0.3, max_instances=4).estimate(FRAMES, [0, 1])
    np.testing.assert_array_equal(answers.inputs["peak_threshold"], np.float32([[0.3], [0.3]]))
    np.testing.assert_array_equal(answers.inputs["max_instances"], np.int32([[4], [4]]))


@pytest.mark.parametrize(("crop_threshold", "sent"), [(None, False), (0.3, False), (0.0, True)])
async def test_a_threshold_of_crops_is_sent_where_it_is_another(
    crop_threshold: float | None, sent: bool
) -> None:
    """Chains that were made before they could have one of their own keep working."""
    answers = Answers(contract(), INSTANCES)
    thresholds = {"peak_threshold": 0.3, "crop_peak_threshold": crop_threshold}
    await estimator(answers, **thresholds).estimate(FRAMES, [0, 1])
    assert ("crop_peak_threshold" in answers.inputs) == sent


async def test_samples_along_an_edge_are_sent_where_they_are_not_the_default() -> None:
    answers = Answers(contract(family="parts", kind="bottomup"), PARTS)
    await estimator(answers, part_grouping=PartGrouping(n_points=3)).estimate(FRAMES, [0, 1])
    np.testing.assert_array_equal(answers.inputs["line_samples"], np.float32([[0, 0.5, 1]] * 2))


async def test_the_best_are_taken_of_those_that_the_filters_leave() -> None:
    """A second instance of one animal does not cost another animal its place."""
    peaks = np.array([[[[0, 0], [9, 9]], [[0, 0], [9, 8]], [[20, 20], [29, 29]]]] * 2, np.float32)
    outputs = {
        "instance_peaks": peaks,
        "instance_peak_values": np.full((2, 3, 2), 0.5, np.float32),
        "instance_scores": np.array([[0.9, 0.8, 0.7]] * 2, np.float32),
        "instance_counts": np.array([3, 3], np.int32),
    }
    answers = Answers(contract(), outputs)
    filters = InstanceFilters(overlapping_method="iou", overlapping_threshold=0.5)
    strict = estimator(answers, filters=filters, max_instances=2)
    (poses, _) = (await strict.estimate(FRAMES, [0, 1])).poses
    assert set(answers.inputs) == {"images"}
    assert poses.instance_scores_I.tolist() == np.float32([0.9, 0.7]).tolist()


@pytest.mark.parametrize(("counts", "most"), [((2, 1), 2), ((0, 3), 3), ((0, 0), 1)])
async def test_frames_with_fewer_centroids_are_filled_up_with_nan(
    counts: tuple[int, int], most: int
) -> None:
    answers = Answers(contract(kind="centered_instance"), INSTANCES)
    centroids = [np.full((count, 2), 5, np.float32) for count in counts]
    await estimator(answers).estimate(FRAMES, [0, 1], centroids=centroids)
    sent = answers.inputs["centroids"]
    assert sent.shape == (2, most, 2)
    assert (~np.isnan(sent[:, :, 0])).sum(axis=1).tolist() == list(counts)


@pytest.mark.parametrize("family", ["instances", "parts"])
async def test_frame_alone_has_the_poses_that_it_has_in_a_batch(family: Any) -> None:
    outputs = INSTANCES if family == "instances" else PARTS
    answers = Answers(contract(family=family), outputs)
    together = (await estimator(answers).estimate(FRAMES, [3, 4])).poses[0]
    answers.outputs = {name: array[:1] for name, array in answers.outputs.items()}
    (alone,) = (await estimator(answers).estimate(FRAMES[:1], [3])).poses
    np.testing.assert_array_equal(alone.points_px_IN2, together.points_px_IN2)
    np.testing.assert_array_equal(alone.instance_scores_I, together.instance_scores_I)


@pytest.mark.parametrize(("weight", "row"), [(0.0, 0), (1e-4, 1)])
async def test_class_grouping_is_obeyed(weight: float, row: int) -> None:
    peaks = np.tile(np.float32([[[[1, 1], [2, 2]]]]), (2, 1, 1, 1))
    outputs = {
        "peaks": peaks,
        "peak_values": np.float32([[[0.4, 0.9]], [[0.4, 0.9]]]),
        "class_probabilities": np.ones((2, 1, 2, 1), np.float32),
        "overflow": np.zeros(2, np.int32),
    }
    answers = Answers(contract(family="parts", kind="multiclass_bottomup", classes=("a",)), outputs)
    grouping = ClassGrouping(peak_value_weight=weight)
    (poses, _) = (await estimator(answers, class_grouping=grouping).estimate(FRAMES, [0, 1])).poses
    assert poses.points_px_IN2[0, 0].tolist() == peaks[0, 0, row].tolist()


async def test_grouping_parameters_are_obeyed() -> None:
    answers = Answers(contract(family="parts", kind="bottomup"), PARTS)
    strict = estimator(answers, part_grouping=PartGrouping(min_line_scores=0.85))
    (poses, _) = (await strict.estimate(FRAMES, [0, 1])).poses
    assert poses.points_px_IN2.tolist() == [[[10, 10], [10, 15]]]
