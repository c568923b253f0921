"""Laws of pose estimation: which inputs an engine gets, and what its outputs become."""

from typing import Any

import numpy as np
import pytest

from shoal_common.inference.contract import PoseContract
from shoal_common.inference.estimator import Estimate, PoseEstimator
from shoal_common.inference.settings import InferenceSettings
from shoal_core.grouping import PartGrouping
from shoal_core.skeleton import Skeleton
from tests.fakes.pose_engine import contract, outputs, points_px

SKELETON = Skeleton("fly", ("head", "tail"), ((0, 1),), ())


class Answering:
    """A deployment that answers with the given outputs and remembers the inputs."""

    def __init__(self, contract: PoseContract, **outputs: np.ndarray) -> None:
        self.contract = contract
        self.outputs = outputs
        self.inputs: dict[str, Any] = {}

    async def infer(self, inputs: dict[str, Any]) -> tuple[PoseContract, dict[str, np.ndarray]]:
        self.inputs = inputs
        return self.contract, self.outputs


def frames(count: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, 4, 6, 1), np.uint8)


def parts(count: int, **changes: np.ndarray) -> dict[str, np.ndarray]:
    """Two flies, heads left of tails; the pairs (0, 0) and (1, 1) belong together."""
    peaks = np.full((2, 3, 2), np.nan, np.float32)
    peaks[:, :2] = [[[1, 1], [1, 3]], [[2, 1], [2, 3]]]
    values = np.float32([[0.9, 0.8, 0], [0.7, 0.6, 0]])
    scores = np.zeros((1, 3, 3), np.float32)
    scores[0, 0, 0], scores[0, 1, 1] = 0.9, 0.8
    one = {
        "peaks": peaks,
        "peak_values": values,
        "peak_counts": np.int32([2, 2]),
        "edge_scores": scores,
        "overflow": np.int32(0),
    }
    return {name: np.stack([array] * count) for name, array in (one | changes).items()}


async def estimate(
    deployment: Answering, count: int, *, centroids: Any = None, **settings: Any
) -> Estimate:
    estimator = PoseEstimator(deployment=deployment, settings=InferenceSettings(**settings))  # type: ignore[arg-type]
    return await estimator.estimate(frames(count), range(10, 10 + count), centroids=centroids)


async def test_only_what_was_set_is_sent() -> None:
    deployment = Answering(contract(), **outputs(frames(2), 0))
    await estimate(deployment, 2)
    assert list(deployment.inputs) == ["images"]


async def test_settings_are_sent_for_every_frame() -> None:
    deployment = Answering(contract(), **outputs(frames(3), 0))
    await estimate(deployment, 3, peak_threshold=0.5, max_instances=2)
    threshold, most = deployment.inputs["peak_threshold"], deployment.inputs["max_instances"]
    assert (threshold.dtype, threshold.tolist()) == (np.float32, [[0.5]] * 3)
    assert (most.dtype, most.tolist()) == (np.int32, [[2]] * 3)


@pytest.mark.parametrize("counts", [(2, 0, 1), (0, 0), (1,)])
async def test_centroids_are_padded_with_nan(counts: tuple[int, ...]) -> None:
    rng = np.random.default_rng(5)
    given = [rng.random((count, 2)).astype(np.float32) for count in counts]
    deployment = Answering(contract(), **outputs(frames(len(counts)), 0))
    await estimate(deployment, len(counts), centroids=given)
    sent = deployment.inputs["centroids"]
    assert sent.shape == (len(counts), max(1, *counts), 2)
    assert sent.dtype == np.float32
    for row, of_frame in zip(sent, given, strict=True):
        np.testing.assert_array_equal(row[: len(of_frame)], of_frame)
        assert np.isnan(row[len(of_frame) :]).all()


async def test_instances_are_the_first_of_each_frame_under_its_index() -> None:
    batch = frames(5)
    got = await estimate(Answering(contract(), **outputs(batch, 0)), 5)
    assert [frame.frame_index for frame in got.poses] == [10, 11, 12, 13, 14]
    for pixels, frame in zip(batch, got.poses, strict=True):
        np.testing.assert_array_equal(frame.points_px_IN2, points_px(pixels))
        assert (frame.track_indices_I == -1).all()


async def test_identities_of_topdown_models_are_classes_each_given_once() -> None:
    classes = ("a", "b", "c", "d")
    answer = outputs(frames(5), len(classes))
    got = await estimate(Answering(contract(classes=classes), **answer), 5)
    for frame in got.poses:
        assert frame.track_indices_I.tolist() == [3, 2, 1, 0][: frame.instance_count]
        np.testing.assert_allclose(frame.tracking_scores_I, 1.01, rtol=1e-6)


async def test_parts_are_grouped_by_their_scores() -> None:
    deployment = Answering(contract(family="parts", kind="bottomup", skeleton=SKELETON), **parts(2))
    got = await estimate(deployment, 2)
    assert [frame.frame_index for frame in got.poses] == [10, 11]
    for frame in got.poses:
        assert frame.points_px_IN2.tolist() == [[[1, 1], [2, 1]], [[1, 3], [2, 3]]]


@pytest.mark.parametrize("most", [1, 2, 3])
async def test_no_more_instances_than_asked_for_and_the_best(most: int) -> None:
    deployment = Answering(contract(family="parts", kind="bottomup", skeleton=SKELETON), **parts(1))
    (frame,) = (await estimate(deployment, 1, max_instances=most)).poses
    assert frame.points_px_IN2[:, 0].tolist() == [[1, 1], [1, 3]][:most]


async def test_grouping_parameters_are_obeyed() -> None:
    deployment = Answering(contract(family="parts", kind="bottomup", skeleton=SKELETON), **parts(1))
    (frame,) = (
        await estimate(deployment, 1, part_grouping=PartGrouping(min_line_scores=0.85))
    ).poses
    assert frame.points_px_IN2.tolist() == [[[1, 1], [2, 1]]]


@pytest.mark.parametrize("most", [None, 1])
async def test_identities_of_bottomup_models_are_classes(most: int | None) -> None:
    probabilities = np.zeros((2, 3, 2), np.float32)
    probabilities[:, 0] = [0.1, 0.9]
    probabilities[:, 1] = [0.9, 0.1]
    answer = parts(1, class_probabilities=probabilities)
    del answer["edge_scores"]
    model = contract(
        family="parts", kind="multiclass_bottomup", skeleton=SKELETON, classes=("a", "b")
    )
    (frame,) = (await estimate(Answering(model, **answer), 1, max_instances=most)).poses
    both = {0: [[1, 3], [2, 3]], 1: [[1, 1], [2, 1]]}
    expected = both if most is None else {1: both[1]}
    got = dict(zip(frame.track_indices_I.tolist(), frame.points_px_IN2.tolist(), strict=True))
    assert got == expected


async def test_overflow_is_counted() -> None:
    answer = outputs(frames(3), 0) | {"overflow": np.int32([1, 0, 1])}
    assert (await estimate(Answering(contract(), **answer), 3)).overflow_frame_count == 2


async def test_frames_without_animals_have_none() -> None:
    answer = outputs(frames(1), 0) | {"instance_counts": np.int32([0])}
    (frame,) = (await estimate(Answering(contract(), **answer), 1)).poses
    assert frame.points_px_IN2.shape == (0, 3, 2)
