"""A live session and a batch job over the same frames give the same identified poses."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from shoal.common.v1 import frame_pb2, parameters_pb2
from shoal.tracking.v1 import tracking_pb2 as pb
from shoal.tracking.v1 import tracking_pb2_grpc as pb_grpc
from shoal_client import InferenceParameters, InstanceFilters, PartGrouping
from shoal_client.convert import inference_message
from shoal_common import convert
from shoal_common.shm import FrameRing
from shoal_core.pose import FramePoses
from shoal_media.frames import encode_png
from shoal_media.readers import open_video
from tests.integration.conftest import WINDOW, Ensemble

FRAMES = range(32)
Payloads = Callable[[int, np.ndarray], frame_pb2.FramePayload]


@pytest.fixture(scope="module")
def pixels(pair_video: Path) -> np.ndarray:
    with open_video(pair_video) as reader:
        return np.stack(list(reader.frames(FRAMES.start, FRAMES.stop)))


@pytest.fixture(scope="module")
def batch(ensemble: Ensemble, pair_video: Path) -> Callable[[str], list[FramePoses]]:
    """The poses of a job with a model; each job runs once."""
    results: dict[str, list[FramePoses]] = {}

    def poses(model: str) -> list[FramePoses]:
        if model not in results:
            name = f"models/{model}"
            results[model] = ensemble.track(pair_video, name, FRAMES, tracker=WINDOW)
        return results[model]

    return poses


async def live(
    channel: grpc.aio.Channel,
    model: str,
    payloads: list[frame_pb2.FramePayload],
    inference: parameters_pb2.InferenceParameters | None = None,
) -> list[pb.TrackFramesResponse]:
    """The answers of one session to as many frames."""
    config = pb.SessionConfig(
        model=f"models/{model}",
        inference=inference,
        tracker=parameters_pb2.TrackerParameters(window=parameters_pb2.WindowTrackerParameters()),
    )

    def requests() -> Iterator[pb.TrackFramesRequest]:
        yield pb.TrackFramesRequest(config=config)
        for index, payload in zip(FRAMES, payloads, strict=True):
            yield pb.TrackFramesRequest(frame=pb.FrameItem(frame_index=index, frame=payload))

    async with asyncio.timeout(60):
        return [r async for r in pb_grpc.TrackingServiceStub(channel).TrackFrames(requests())]


def ways(pixels: np.ndarray, video: Path, ring: FrameRing) -> dict[str, Payloads]:
    def shm(index: int, frame: np.ndarray) -> frame_pb2.FramePayload:
        slots = ring.acquire(1)
        ring.view(slots, frame.shape)[0] = frame
        return frame_pb2.FramePayload(
            shm=frame_pb2.SharedMemoryFrame(
                region=ring.name,
                offset_bytes=ring.offset_bytes(slots),
                generation=slots.generations[0],
                shape=frame.shape,
            )
        )

    def png(index: int, frame: np.ndarray) -> frame_pb2.FramePayload:
        return frame_pb2.FramePayload(
            encoded=frame_pb2.EncodedImage(
                format=frame_pb2.IMAGE_FORMAT_PNG, data=encode_png(frame)
            )
        )

    def ref(index: int, frame: np.ndarray) -> frame_pb2.FramePayload:
        reference = frame_pb2.VideoFrameRef(video_uri=str(video), frame_index=index)
        return frame_pb2.FramePayload(ref=reference)

    def inline(index: int, frame: np.ndarray) -> frame_pb2.FramePayload:
        return frame_pb2.FramePayload(inline=convert.tensor(frame))

    return {"inline": inline, "shm": shm, "png": png, "ref": ref}


def assert_same(live: list[FramePoses], batch: list[FramePoses]) -> None:
    assert [frame.frame_index for frame in live] == [frame.frame_index for frame in batch]
    for one, other in zip(live, batch, strict=True):
        np.testing.assert_array_equal(one.points_px_IN2, other.points_px_IN2)
        np.testing.assert_array_equal(one.point_scores_IN, other.point_scores_IN)
        np.testing.assert_array_equal(one.instance_scores_I, other.instance_scores_I)
        np.testing.assert_array_equal(one.track_indices_I, other.track_indices_I)
        np.testing.assert_array_equal(one.tracking_scores_I, other.tracking_scores_I)


@pytest.mark.parametrize(
    ("model", "way"),
    [
        *(("bottomup", way) for way in ("inline", "shm", "png", "ref")),
        ("topdown", "shm"),
        ("multiclass_topdown", "shm"),
    ],
)
async def test_live_poses_equal_those_of_a_job_whatever_way_frames_travel(
    tracking_channel: grpc.aio.Channel,
    batch: Callable[[str], list[FramePoses]],
    pixels: np.ndarray,
    pair_video: Path,
    model: str,
    way: str,
) -> None:
    expected = await asyncio.to_thread(batch, model)
    ring = FrameRing.create(len(FRAMES), pixels[0].size)
    payload = ways(pixels, pair_video, ring)[way]
    payloads = [payload(index, frame) for index, frame in zip(FRAMES, pixels, strict=True)]
    answers = await live(tracking_channel, model, payloads)
    ring.close()
    assert_same([next(convert.frame_poses(answer.poses)) for answer in answers], expected)


@pytest.mark.parametrize("model", ["bottomup", "topdown"])
async def test_parameters_shape_live_poses_as_they_shape_those_of_a_job(
    ensemble: Ensemble,
    tracking_channel: grpc.aio.Channel,
    batch: Callable[[str], list[FramePoses]],
    pixels: np.ndarray,
    pair_video: Path,
    model: str,
) -> None:
    parameters = InferenceParameters(
        peak_threshold=0.1,
        max_instances=2,
        part_grouping=PartGrouping(n_points=5, min_line_scores=0.05),
        filters=InstanceFilters(
            overlapping_method="iou", overlapping_threshold=0.3, min_mean_node_score=0.15
        ),
    )
    expected = await asyncio.to_thread(
        ensemble.track,
        pair_video,
        f"models/{model}",
        FRAMES,
        inference=parameters,
        tracker=WINDOW,
    )
    payloads = [frame_pb2.FramePayload(inline=convert.tensor(frame)) for frame in pixels]
    answers = await live(tracking_channel, model, payloads, inference_message(parameters))
    assert_same([next(convert.frame_poses(answer.poses)) for answer in answers], expected)
    by_default = await asyncio.to_thread(batch, model)
    assert any(
        one.points_px_IN2.tobytes() != other.points_px_IN2.tobytes()
        for one, other in zip(expected, by_default, strict=True)
    )


@pytest.mark.parametrize("model", ["bottomup", "topdown"])
def test_every_frame_is_processed_and_tracks_are_kept(
    batch: Callable[[str], list[FramePoses]], model: str
) -> None:
    frames = batch(model)
    assert [frame.frame_index for frame in frames] == list(FRAMES)
    instance_count = sum(frame.instance_count for frame in frames)
    tracks = {track for frame in frames for track in frame.track_indices_I.tolist()}
    assert instance_count > len(FRAMES)
    assert len(tracks) < instance_count / 8
