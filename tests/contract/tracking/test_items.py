"""The contract of TrackFrames, item by item: order, errors that end nothing, names, latency."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from shoal.common.v1 import frame_pb2
from shoal.tracking.v1 import tracking_pb2 as pb
from shoal_common import convert
from shoal_core.errors import InvalidArgument, Unavailable
from shoal_core.pose import FramePoses
from shoal_core.skeleton import Skeleton
from shoal_core.tracking import Tracker, WindowTracker
from tests.contract.tracking.conftest import (
    MODEL,
    Tracking,
    config,
    error,
    frame_item,
    frames,
    inline,
    poses,
    poses_item,
    window_tracker,
)
from tests.fakes.pose_engine import points_px

SKELETON = convert.skeleton_message(Skeleton("fly", ("a", "b", "c"), ((0, 1),), ()))


def walk(count: int, instances: int = 2) -> list[FramePoses]:
    """Animals that walk to the right, each on its own line."""
    base = np.arange(instances)[:, None, None] * 50.0 + np.arange(3)[:, None] * [4.0, 1.0]
    return [
        FramePoses.untracked(
            index,
            (base + np.array([index, 0])).astype(np.float32),
            np.ones((instances, 3), np.float32),
            np.linspace(1, 0.5, instances).astype(np.float32),
        )
        for index in range(count)
    ]


async def test_every_frame_is_answered_once_and_in_order(tracking: Tracking) -> None:
    pixels = frames(20)
    indices = [3 * number for number in range(20)]
    async with tracking.session() as stream:
        answers = await stream.ask(
            *(frame_item(i, inline(frame)) for i, frame in zip(indices, pixels, strict=True))
        )
    assert [answer.frame_index for answer in answers] == indices
    for answer, frame in zip(answers, pixels, strict=True):
        np.testing.assert_array_equal(poses(answer).points_px_IN2, points_px(frame))
        assert poses(answer).frame_index == answer.frame_index


@pytest.mark.parametrize(
    "first",
    [
        pb.TrackFramesRequest(),
        frame_item(0, inline(frames(1)[0])),
        poses_item(*walk(1)),
    ],
)
async def test_stream_that_does_not_begin_with_its_configuration_is_refused(
    tracking: Tracking, first: pb.TrackFramesRequest
) -> None:
    stream = tracking.stream()
    await stream.send(first)
    assert (await stream.refusal()).reason == "CONFIG_EXPECTED_FIRST"


async def test_stream_without_any_message_is_refused(tracking: Tracking) -> None:
    stream = tracking.stream()
    await stream.call.done_writing()
    assert (await stream.refusal()).reason == "CONFIG_EXPECTED_FIRST"


async def test_error_of_the_engine_belongs_to_its_item(tracking: Tracking) -> None:
    tracking.engine.failures.append(InvalidArgument("INPUT_REJECTED", "Not such a frame."))
    async with tracking.session() as stream:
        (bad,) = await stream.ask(frame_item(0, inline(frames(1)[0])))
        (good,) = await stream.ask(frame_item(1, inline(frames(1)[0])))
    assert error(bad).reason == "INPUT_REJECTED"
    assert poses(good).instance_count > 0


async def test_engine_that_is_full_for_a_moment_costs_no_frame(tracking: Tracking) -> None:
    tracking.engine.failures.append(Unavailable("QUEUE_FULL", "64 requests are waiting."))
    async with tracking.session() as stream:
        answers = await stream.ask(
            *(frame_item(index, inline(frame)) for index, frame in enumerate(frames(3)))
        )
    assert [poses(answer).frame_index for answer in answers] == [0, 1, 2]


async def test_repeated_configuration_is_an_error_of_its_item(tracking: Tracking) -> None:
    async with tracking.session() as stream:
        repeated, good = await stream.ask(config(), frame_item(0, inline(frames(1)[0])))
    assert error(repeated).reason == "CONFIG_REPEATED"
    assert poses(good).frame_index == 0


async def test_frames_must_increase_but_a_failed_one_may_be_sent_again(tracking: Tracking) -> None:
    good = inline(frames(1)[0])
    async with tracking.session() as stream:
        answers = await stream.ask(
            frame_item(5, good),
            frame_item(5, good),
            frame_item(4, good),
            frame_item(6, frame_pb2.FramePayload()),
            frame_item(6, good),
        )
    reasons = [error(answers[number]).reason for number in (1, 2, 3)]
    assert reasons == ["FRAME_OUT_OF_ORDER", "FRAME_OUT_OF_ORDER", "FRAME_UNREADABLE"]
    assert error(answers[2]).metadata == {"frame_index": "4", "last_frame_index": "5"}
    assert poses(answers[4]).frame_index == 6


async def test_poses_are_linked_without_a_model(tracking: Tracking) -> None:
    sent = walk(10)
    tracker = Tracker(WindowTracker())
    async with tracking.session(model="", skeleton=SKELETON, tracker=window_tracker()) as stream:
        answers = await stream.ask(*(poses_item(frame) for frame in sent))
    for answer, frame in zip(answers, sent, strict=True):
        linked = tracker.update(frame)
        np.testing.assert_array_equal(poses(answer).track_indices_I, linked.track_indices_I)
        np.testing.assert_array_equal(poses(answer).points_px_IN2, frame.points_px_IN2)
    assert not tracking.engine.requests


async def test_frame_in_a_session_without_a_model_is_an_error_of_its_item(
    tracking: Tracking,
) -> None:
    async with tracking.session(model="", skeleton=SKELETON) as stream:
        frame, given = await stream.ask(frame_item(0, inline(frames(1)[0])), poses_item(walk(1)[0]))
    assert error(frame).reason == "MODEL_MISSING"
    assert poses(given).instance_count == 2


async def test_frames_and_poses_may_take_turns(tracking: Tracking) -> None:
    async with tracking.session(tracker=window_tracker()) as stream:
        answers = await stream.ask(
            poses_item(walk(1)[0]), frame_item(1, inline(frames(1)[0])), poses_item(walk(3)[2])
        )
    assert [poses(answer).frame_index for answer in answers] == [0, 1, 2]


def bad_poses() -> dict[str, pb.TrackFramesRequest]:
    float_indices = poses_item(walk(1)[0])
    float_indices.poses.poses.frame_indices.CopyFrom(convert.tensor(np.zeros(1, np.float32)))
    short_column = poses_item(walk(1)[0])
    short_column.poses.poses.instance_scores.CopyFrom(convert.tensor(np.zeros(1, np.float32)))
    byte_points = poses_item(walk(1)[0])
    byte_points.poses.poses.points_px.CopyFrom(convert.tensor(np.zeros((2, 3, 2), np.uint8)))
    return {
        "two frames": poses_item(*walk(2)),
        "no frame": poses_item(),
        "other nodes": poses_item(
            FramePoses.untracked(
                0, np.zeros((1, 2, 2), np.float32), np.zeros((1, 2), np.float32), np.ones(1, "f4")
            ),
            node_count=2,
        ),
        "float indices": float_indices,
        "a column that is too short": short_column,
        "points of bytes": byte_points,
        "nothing": pb.TrackFramesRequest(),
    }


@pytest.mark.parametrize("kind", list(bad_poses()))
async def test_bad_poses_are_an_error_of_their_item(tracking: Tracking, kind: str) -> None:
    async with tracking.session(model="", skeleton=SKELETON) as stream:
        bad, good = await stream.ask(bad_poses()[kind], poses_item(walk(1)[0]))
    assert error(bad).reason == "POSES_INVALID"
    assert poses(good).frame_index == 0


async def test_latency_says_where_the_time_went(tracking: Tracking) -> None:
    async with tracking.session(tracker=window_tracker()) as stream:
        answers = await stream.ask(
            *(frame_item(index, inline(frame)) for index, frame in enumerate(frames(12)))
        )
    for answer in answers:
        spent = answer.latency
        steps = [
            spent.queue_ms,
            spent.decode_ms,
            spent.inference_ms,
            spent.grouping_ms,
            spent.linking_ms,
        ]
        assert all(step > 0 for step in steps)
        assert spent.total_ms >= sum(steps)


async def test_new_tracks_are_named_when_they_appear(tracking: Tracking) -> None:
    sent = [*walk(2, instances=1), *walk(4, instances=3)[2:]]
    async with tracking.session(model="", skeleton=SKELETON, tracker=window_tracker()) as stream:
        answers = await stream.ask(*(poses_item(frame) for frame in sent))
    names = [list(answer.track_names) for answer in answers]
    assert names == [["track_0"], [], ["track_0", "track_1", "track_2"], []]


async def test_classes_of_an_identity_model_name_its_tracks(
    start_tracking: Callable[..., Any],
) -> None:
    tracking = await start_tracking(classes=("female", "male"))
    async with tracking.session() as stream:
        answers = await stream.ask(
            *(frame_item(index, inline(frame)) for index, frame in enumerate(frames(3)))
        )
    assert [list(a.track_names) for a in answers] == [["female", "male"], [], []]


async def test_tracks_of_a_tracker_do_not_bear_the_names_of_classes(
    start_tracking: Callable[..., Any],
) -> None:
    tracking = await start_tracking(classes=("female", "male"))
    async with tracking.session(tracker=window_tracker()) as stream:
        (answer,) = await stream.ask(frame_item(0, inline(frames(1)[0])))
    assert "track_0" in answer.track_names
    assert "female" not in answer.track_names


async def test_session_takes_the_model_by_name(tracking: Tracking) -> None:
    async with tracking.session(model=MODEL) as stream:
        (answer,) = await stream.ask(frame_item(0, inline(frames(1)[0])))
    assert poses(answer).instance_count > 0
