"""What crosses the wire comes back the same, or is refused."""

import numpy as np
import pytest

from shoal_common import convert
from shoal_core.errors import InvalidArgument
from shoal_core.pose import FramePoses
from shoal_core.skeleton import Skeleton


def frame(frame_index: int, instance_count: int, node_count: int = 3) -> FramePoses:
    rng = np.random.default_rng(frame_index)
    points = rng.normal(size=(instance_count, node_count, 2)).astype(np.float32)
    points[:, 0] = np.nan
    return FramePoses.untracked(
        frame_index,
        points,
        rng.random((instance_count, node_count), np.float32),
        rng.random(instance_count, np.float32),
    )


def test_frames_come_back_exactly_also_empty_ones() -> None:
    frames = [frame(0, 2), frame(3, 0), frame(4, 1)]
    back = list(convert.frame_poses(convert.pose_batch(frames, node_count=3)))
    assert [f.frame_index for f in back] == [0, 3, 4]
    for sent, received in zip(frames, back, strict=True):
        np.testing.assert_array_equal(sent.points_px_IN2, received.points_px_IN2)
        np.testing.assert_array_equal(sent.point_scores_IN, received.point_scores_IN)
        np.testing.assert_array_equal(sent.track_indices_I, received.track_indices_I)


def test_no_frames_are_a_valid_batch() -> None:
    assert list(convert.frame_poses(convert.pose_batch([], node_count=5))) == []


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, np.float32])
def test_tensors_come_back_exactly(dtype: type[np.generic]) -> None:
    array = np.arange(12).reshape(3, 4).astype(dtype)
    back = convert.array(convert.tensor(array.T))
    np.testing.assert_array_equal(back, array.T)
    assert back.dtype == array.dtype


def test_frames_out_of_order_are_refused() -> None:
    with pytest.raises(InvalidArgument) as caught:
        list(convert.frame_poses(convert.pose_batch([frame(4, 1), frame(3, 1)], node_count=3)))
    assert caught.value.reason == "POSES_INVALID"


def test_a_tensor_with_too_few_bytes_is_refused() -> None:
    message = convert.tensor(np.zeros((2, 2), np.float32))
    message.shape[0] = 3
    with pytest.raises(InvalidArgument) as caught:
        convert.array(message)
    assert caught.value.reason == "TENSOR_INVALID"


def test_a_skeleton_comes_back_the_same() -> None:
    skeleton = Skeleton("fly", ("head", "left", "right"), ((0, 1), (0, 2)), ((1, 2),))
    assert convert.skeleton(convert.skeleton_message(skeleton)) == skeleton
