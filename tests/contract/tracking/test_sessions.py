"""The contract of TrackFrames, session by session: limits, refusals, and nothing left behind."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shoal.common.v1 import frame_pb2, parameters_pb2, pose_pb2
from shoal.tracking.v1 import tracking_pb2 as pb
from shoal_common.channel import open_channel
from shoal_common.roots import AllowedRoots
from shoal_core.errors import FailedPrecondition, NotFound, ShoalError
from shoal_media.frames import encode_png
from shoal_tracking.sessions import Sessions
from tests.contract.tracking.conftest import (
    ANSWER_SECONDS,
    SHAPE,
    WINDOW,
    Stream,
    Tracking,
    config,
    frame_item,
    frames,
    inline,
    poses,
    window_tracker,
)


def items(count: int) -> list[pb.TrackFramesRequest]:
    return [frame_item(index, inline(frame)) for index, frame in enumerate(frames(count))]


def rings() -> set[str]:
    """Regions of frames that this process owns."""
    return {name for name in os.listdir("/dev/shm") if name.startswith(f"shoal-{os.getpid()}-")}


def held() -> set[object]:
    """Tasks and regions of this process; other tests may keep some of their own."""
    return {*asyncio.all_tasks(), *rings()}


async def settled(tracking: Tracking, before: set[object]) -> None:
    """Returns when a session that has ended holds nothing any more, anywhere."""
    async with asyncio.timeout(ANSWER_SECONDS):
        await tracking.engine.until_running(0)
        await tracking.engine.until_region_count(0)
        await tracking.serving.until_watch_count(0)
        while held() - before:  # noqa: ASYNC110 -- no event tells
            await asyncio.sleep(0)


@pytest.mark.parametrize("refusal", [None, FailedPrecondition("MODEL_LOAD_FAILED", "Damaged.")])
async def test_model_that_is_not_served_ends_the_stream_with_the_reason(
    tracking: Tracking, refusal: ShoalError | None
) -> None:
    tracking.serving.refusal = refusal
    stream = tracking.stream()
    await stream.send(config(model="models/none"))
    error = await stream.refusal()
    expected = refusal or NotFound("MODEL_NOT_FOUND", "")
    assert (type(error), error.reason) == (type(expected), expected.reason)


@pytest.mark.parametrize(
    ("fields", "reason", "named"),
    [
        ({"model": ""}, "SKELETON_INVALID", "nodes"),
        (
            {"model": "", "skeleton": pose_pb2.Skeleton(nodes=["a", "a"])},
            "SKELETON_INVALID",
            "twice",
        ),
        (
            {"inference": parameters_pb2.InferenceParameters(peak_threshold=-1)},
            "PARAMETER_INVALID",
            "peak_threshold",
        ),
        ({"tracker": window_tracker(max_tracks=0)}, "PARAMETER_INVALID", "max_tracks"),
    ],
)
async def test_configuration_that_cannot_work_ends_the_stream_and_names_the_fault(
    tracking: Tracking, fields: dict[str, Any], reason: str, named: str
) -> None:
    stream = tracking.stream()
    await stream.send(config(**fields))
    error = await stream.refusal()
    assert error.reason == reason
    assert named in error.message


async def test_model_that_needs_centroids_is_refused(start_tracking: Callable[..., Any]) -> None:
    tracking = await start_tracking(kind="centered_instance")
    stream = tracking.stream()
    await stream.send(config())
    assert (await stream.refusal()).reason == "CENTROIDS_MISSING"


async def test_one_session_too_many_is_refused_until_another_ends(
    start_tracking: Callable[..., Any],
) -> None:
    tracking = await start_tracking(max_session_count=2)
    (item,) = items(1)
    first, second, third = tracking.stream(), tracking.stream(), tracking.stream()
    for stream in (first, second):
        await stream.send(config())
        await stream.ask(item)
    await third.send(config())
    assert (await third.refusal()).reason == "SESSION_LIMIT"
    await first.end()
    fourth = tracking.stream()
    await fourth.send(config())
    await fourth.ask(item)
    for stream in (second, fourth):
        await stream.end()


async def test_session_that_was_refused_does_not_count(start_tracking: Callable[..., Any]) -> None:
    tracking = await start_tracking(max_session_count=1)
    for _ in range(3):
        stream = tracking.stream()
        await stream.send(config(model="models/none"))
        assert (await stream.refusal()).reason == "MODEL_NOT_FOUND"


async def test_settings_of_the_session_reach_the_engine(tracking: Tracking) -> None:
    inference = parameters_pb2.InferenceParameters(peak_threshold=0.5, max_instances=2)
    async with tracking.session(inference=inference) as stream:
        await stream.ask(*items(1))
    (request,) = tracking.engine.requests
    assert request["images"].shape == (1, *SHAPE)
    assert request["peak_threshold"].tolist() == [[0.5]]
    assert request["max_instances"].tolist() == [[2]]


async def test_fast_client_is_slowed_down_to_the_window(tracking: Tracking) -> None:
    tracking.engine.gate.clear()
    big = frames(1, (1024, 1024, 1))[0]
    many = [frame_item(index, inline(big)) for index in range(60)]
    async with tracking.session() as stream:
        sending = asyncio.create_task(stream.send(*many))
        await tracking.engine.until_running(WINDOW)
        for _ in range(2000):
            await asyncio.sleep(0)
        assert not sending.done(), "60 MiB went somewhere"
        assert tracking.engine.running_count == WINDOW
        tracking.engine.gate.set()
        answers = [await stream.read() for _ in many]
        await sending
    assert [poses(answer).frame_index for answer in answers] == list(range(60))
    assert tracking.engine.most_running == WINDOW


async def test_frames_travel_in_shared_memory_of_the_session(tracking: Tracking) -> None:
    before = rings()
    async with tracking.session() as stream:
        await stream.ask(*items(10))
        assert len(tracking.engine.registered) == len(rings() - before) == 1
    assert tracking.engine.transports == {"shared": 10}


async def test_frames_travel_inline_to_an_engine_elsewhere(tracking: Tracking) -> None:
    tracking.engine.has_shared_memory = False
    async with tracking.session() as stream:
        answers = await stream.ask(*items(10))
    assert [poses(answer).frame_index for answer in answers] == list(range(10))
    assert tracking.engine.transports == {"inline": 10}


async def end_well(stream: Stream) -> None:
    await stream.end()


async def cancel(stream: Stream) -> None:
    stream.call.cancel()


@pytest.mark.parametrize("leave", [end_well, cancel])
async def test_session_that_has_ended_holds_nothing(
    tracking: Tracking, leave: Callable[[Stream], Any]
) -> None:
    before = held()
    stream = tracking.stream()
    await stream.send(config(tracker=window_tracker()))
    await stream.ask(*items(6))
    await leave(stream)
    await settled(tracking, before)


async def test_call_that_is_cancelled_again_and_again_while_it_ends_holds_nothing(
    tracking: Tracking, tmp_path: Path
) -> None:
    answered = asyncio.Event()

    async def requests() -> AsyncIterator[pb.TrackFramesRequest]:
        yield items(1)[0]
        await asyncio.Event().wait()

    async def call(sessions: Sessions) -> None:
        async with sessions.open(config().config) as session:
            async for _ in session.run(requests()):
                answered.set()

    async with open_channel(f"unix:{tmp_path}/s") as serving:
        sessions = Sessions(
            serving=serving,
            roots=AllowedRoots(()),
            clock=time.perf_counter,
            max_session_count=1,
            in_flight_frame_count=WINDOW,
            live_frame_count=1,
        )
        before = held()
        running = asyncio.create_task(call(sessions))
        await answered.wait()
        assert rings() - before
        while not running.done():
            running.cancel()
            await asyncio.sleep(0)
        await settled(tracking, before)


async def test_session_that_is_still_being_closed_at_the_end_is_waited_for(
    tracking: Tracking, tmp_path: Path
) -> None:
    pipe = tmp_path / "slow.mp4"
    os.mkfifo(pipe)
    reference = frame_pb2.VideoFrameRef(video_uri=str(pipe), frame_index=0)
    before = rings()

    async def requests() -> AsyncIterator[pb.TrackFramesRequest]:
        yield items(1)[0]
        yield frame_item(1, frame_pb2.FramePayload(ref=reference))
        await asyncio.Event().wait()

    async def call(sessions: Sessions) -> None:
        async with sessions.open(config().config) as session:
            async for _ in session.run(requests()):
                pass

    async with open_channel(f"unix:{tmp_path}/s") as serving:
        sessions = Sessions(
            serving=serving,
            roots=AllowedRoots((str(tmp_path),)),
            clock=time.perf_counter,
            max_session_count=1,
            in_flight_frame_count=WINDOW,
            live_frame_count=1,
        )
        running = asyncio.create_task(call(sessions))
        writer = await asyncio.to_thread(os.open, pipe, os.O_WRONLY)  # until it is being read
        assert rings() - before
        while not running.done():
            running.cancel()
            await asyncio.sleep(0)
        ending = asyncio.create_task(sessions.aclose())
        await asyncio.sleep(0)
        os.close(writer)
        async with asyncio.timeout(ANSWER_SECONDS):
            await ending
        assert rings() == before


async def test_client_that_leaves_with_frames_under_way_leaves_nothing_behind(
    tracking: Tracking,
) -> None:
    before = held()
    tracking.engine.gate.clear()
    stream = tracking.stream()
    await stream.send(config(), *items(2 * WINDOW))
    await tracking.engine.until_running(WINDOW)
    stream.call.cancel()
    await settled(tracking, before)
    tracking.engine.gate.set()
    async with tracking.session() as again:
        await again.ask(*items(3))


async def test_client_that_stops_reading_and_leaves_leaves_nothing_behind(
    tracking: Tracking,
) -> None:
    before = held()
    stream = tracking.stream()
    await stream.send(config())
    sending = asyncio.create_task(stream.send(*items(200)))
    async with asyncio.timeout(ANSWER_SECONDS):
        await tracking.engine.until_request_count(2 * WINDOW)
    stream.call.cancel()
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await settled(tracking, before)


async def test_client_that_leaves_while_the_model_is_looked_for_leaves_nothing_behind(
    tracking: Tracking,
) -> None:
    before = held()
    tracking.serving.is_silent = True
    stream = tracking.stream()
    await stream.send(config(model="models/slow"))
    await tracking.serving.until_watch_count(1)
    stream.call.cancel()
    await settled(tracking, before)


async def test_sessions_whose_videos_cannot_be_reached_do_not_slow_another(
    start_tracking: Callable[..., Any], tmp_path: Path
) -> None:
    count = (os.cpu_count() or 1) + 8  # more than there are threads to share
    tracking = await start_tracking(max_session_count=count + 1)
    stuck = [tracking.stream() for _ in range(count)]
    pipes = [tmp_path / f"{number}.mp4" for number in range(count)]
    for stream, pipe in zip(stuck, pipes, strict=True):
        os.mkfifo(pipe)  # whoever opens it waits for somebody who writes
        reference = frame_pb2.VideoFrameRef(video_uri=str(pipe), frame_index=0)
        await stream.send(config(), frame_item(0, frame_pb2.FramePayload(ref=reference)))
    png = frame_pb2.EncodedImage(
        format=frame_pb2.IMAGE_FORMAT_PNG, data=encode_png(frames(1, (24, 32, 1))[0])
    )
    async with tracking.session() as stream:
        (answer,) = await stream.ask(frame_item(0, frame_pb2.FramePayload(encoded=png)))
    assert poses(answer).frame_index == 0
    for stream, pipe in zip(stuck, pipes, strict=True):
        os.close(os.open(pipe, os.O_RDWR))
        await stream.read()
        await stream.end()


async def test_sessions_do_not_mix_their_tracks(tracking: Tracking) -> None:
    pixels = frames(6)
    async with (
        tracking.session(tracker=window_tracker()) as first,
        tracking.session(tracker=window_tracker()) as second,
    ):
        requests = [frame_item(index, inline(frame)) for index, frame in enumerate(pixels)]
        of_first, of_second = await asyncio.gather(first.ask(*requests), second.ask(*requests))
    for one, other in zip(of_first, of_second, strict=True):
        np.testing.assert_array_equal(poses(one).track_indices_I, poses(other).track_indices_I)


async def test_session_outlives_a_restart_of_the_engine(tracking: Tracking) -> None:
    async with tracking.session() as stream:
        await stream.ask(*items(2))
        await tracking.engine.stop()
        await tracking.engine.start()
        answers = await stream.ask(frame_item(9, inline(frames(1)[0])))
    assert poses(answers[0]).frame_index == 9
