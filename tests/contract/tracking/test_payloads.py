"""The contract of TrackFrames: pixels by every way they travel, good and bad."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shoal.common.v1 import frame_pb2, tensor_pb2
from shoal_common import convert
from shoal_common.shm import FrameRing
from shoal_media.frames import decode_image, encode_jpeg, encode_png
from tests.contract.tracking.conftest import (
    SHAPE,
    Tracking,
    error,
    frame_item,
    frames,
    inline,
    poses,
)
from tests.fakes.pose_engine import points_px


def bad_frames(folder: Path) -> dict[str, tuple[frame_pb2.FramePayload, str]]:
    """Every way in which a frame can be wrong, and the reason it must be answered with."""
    png = encode_png(frames(1)[0])
    tensor = convert.tensor(frames(1)[0])
    cut_off = tensor_pb2.Tensor(
        data_type=tensor.data_type, shape=tensor.shape, data=tensor.data[:-1]
    )
    (folder / "text.mp4").write_text("no video")
    kinds: dict[str, tuple[dict[str, Any], str]] = {
        "nothing": ({}, "FRAME_UNREADABLE"),
        "cut-off tensor": ({"inline": cut_off}, "TENSOR_INVALID"),
        "untyped tensor": ({"inline": tensor_pb2.Tensor(shape=[1])}, "TENSOR_INVALID"),
        "float pixels": (
            {"inline": convert.tensor(np.zeros(SHAPE, np.float32))},
            "FRAME_UNREADABLE",
        ),
        "two axes": ({"inline": convert.tensor(np.zeros((4, 4), np.uint8))}, "FRAME_UNREADABLE"),
        "four channels": (
            {"inline": convert.tensor(np.zeros((4, 4, 4), np.uint8))},
            "FRAME_UNREADABLE",
        ),
        "no pixels": (
            {"inline": convert.tensor(np.zeros((0, 4, 1), np.uint8))},
            "FRAME_UNREADABLE",
        ),
        "no image": (
            {"encoded": frame_pb2.EncodedImage(format=1, data=b"\xff\xd8 no JPEG")},
            "IMAGE_UNREADABLE",
        ),
        "empty image": ({"encoded": frame_pb2.EncodedImage(format=2)}, "IMAGE_UNREADABLE"),
        "cut-off image": (
            {"encoded": frame_pb2.EncodedImage(format=2, data=png[:30])},
            "IMAGE_UNREADABLE",
        ),
        "image without a format": (
            {"encoded": frame_pb2.EncodedImage(data=png)},
            "FRAME_UNREADABLE",
        ),
        "image above 16 MiB": (
            {"encoded": frame_pb2.EncodedImage(format=2, data=bytes(16 * 1024 * 1024 + 1))},
            "FRAME_UNREADABLE",
        ),
        "region of somebody else": (
            {"shm": frame_pb2.SharedMemoryFrame(region="/etc", shape=SHAPE)},
            "REGION_INVALID",
        ),
        "region that has gone": (
            {"shm": frame_pb2.SharedMemoryFrame(region=gone_region(), shape=SHAPE)},
            "REGION_NOT_FOUND",
        ),
        "missing video": (
            {"ref": frame_pb2.VideoFrameRef(video_uri=str(folder / "none.mp4"))},
            "VIDEO_NOT_FOUND",
        ),
        "text for a video": (
            {"ref": frame_pb2.VideoFrameRef(video_uri=str(folder / "text.mp4"))},
            "VIDEO_UNREADABLE",
        ),
        "video outside the roots": (
            {"ref": frame_pb2.VideoFrameRef(video_uri="/etc/passwd")},
            "PATH_OUTSIDE_ROOTS",
        ),
    }
    return {
        name: (frame_pb2.FramePayload(**payload), reason)
        for name, (payload, reason) in kinds.items()
    }


def gone_region() -> str:
    ring = FrameRing.create(1, 16)
    ring.close()
    return ring.name


async def test_bad_frame_is_answered_by_its_error_and_the_stream_goes_on(
    tracking: Tracking, tmp_path: Path
) -> None:
    bad = bad_frames(tmp_path)
    good = inline(frames(1)[0])
    requests, expected = [], []
    for number, (payload, reason) in enumerate(bad.values()):
        requests += [frame_item(2 * number, payload), frame_item(2 * number + 1, good)]
        expected += [reason, ""]
    async with tracking.session() as stream:
        answers = await stream.ask(*requests)
    assert [answer.frame_index for answer in answers] == list(range(len(requests)))
    got = [error(a).reason if a.WhichOneof("result") == "error" else "" for a in answers]
    assert dict(zip(bad, got[::2], strict=True)) == dict(zip(bad, expected[::2], strict=True))
    assert not any(got[1::2])
    assert not any(answer.HasField("latency") for answer in answers[::2])


async def test_overwritten_frame_and_wrong_shape_of_a_region_are_errors_of_their_item(
    tracking: Tracking,
) -> None:
    ring = FrameRing.create(1, int(np.prod(SHAPE)))
    slots = ring.acquire(1)
    ring.view(slots, SHAPE)[:] = frames(1)
    late = frame_pb2.SharedMemoryFrame(
        region=ring.name, generation=slots.generations[0], shape=SHAPE
    )
    wide = frame_pb2.SharedMemoryFrame(
        region=ring.name, generation=slots.generations[0], shape=(64, 64, 1)
    )
    async with tracking.session() as stream:
        (first,) = await stream.ask(frame_item(0, frame_pb2.FramePayload(shm=late)))
        assert poses(first).instance_count > 0
        ring.release(slots)
        ring.acquire(1)
        answers = await stream.ask(
            frame_item(1, frame_pb2.FramePayload(shm=late)),
            frame_item(2, frame_pb2.FramePayload(shm=wide)),
        )
    assert [error(answer).reason for answer in answers] == [
        "FRAME_OVERWRITTEN",
        "FRAME_SHAPE_MISMATCH",
    ]
    ring.close()


def payloads(frame_HWC: np.ndarray, ring: FrameRing) -> dict[str, frame_pb2.FramePayload]:
    slots = ring.acquire(1)
    ring.view(slots, frame_HWC.shape)[0] = frame_HWC
    shm = frame_pb2.SharedMemoryFrame(
        region=ring.name,
        offset_bytes=ring.offset_bytes(slots),
        generation=slots.generations[0],
        shape=frame_HWC.shape,
    )
    png = frame_pb2.EncodedImage(format=2, data=encode_png(frame_HWC))
    return {
        "inline": inline(frame_HWC),
        "shm": frame_pb2.FramePayload(shm=shm),
        "encoded": frame_pb2.FramePayload(encoded=png),
    }


@pytest.mark.parametrize("shape", [(24, 32, 1), (24, 32, 3)])
async def test_the_way_that_pixels_travel_does_not_change_poses(
    tracking: Tracking, tmp_path: Path, shape: tuple[int, int, int]
) -> None:
    pixels = frames(4, shape)
    (tmp_path / "images").mkdir()
    for number, frame in enumerate(pixels):
        (tmp_path / "images" / f"{number}.png").write_bytes(encode_png(frame))
    ring = FrameRing.create(4, int(np.prod(shape)))
    requests = []
    for number, frame in enumerate(pixels):
        ways = payloads(frame, ring)
        uri = str(tmp_path / "images")
        ref = frame_pb2.VideoFrameRef(video_uri=uri, frame_index=number)
        ways["ref"] = frame_pb2.FramePayload(ref=ref)
        requests += [frame_item(4 * number + place, way) for place, way in enumerate(ways.values())]
    async with tracking.session() as stream:
        answers = await stream.ask(*requests)
    for number, frame in enumerate(pixels):
        for answer in answers[4 * number : 4 * number + 4]:
            np.testing.assert_array_equal(poses(answer).points_px_IN2, points_px(frame))
    ring.close()


async def test_jpeg_gives_the_poses_of_what_it_decodes_to(tracking: Tracking) -> None:
    data = encode_jpeg(frames(1)[0])
    async with tracking.session() as stream:
        (answer,) = await stream.ask(
            frame_item(
                0,
                frame_pb2.FramePayload(encoded=frame_pb2.EncodedImage(format=1, data=data)),
            )
        )
    np.testing.assert_array_equal(poses(answer).points_px_IN2, points_px(decode_image(data)))


async def test_frame_outside_its_video_is_an_error_of_its_item(
    tracking: Tracking, tmp_path: Path
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "0.png").write_bytes(encode_png(frames(1)[0]))
    refs = [
        frame_pb2.VideoFrameRef(video_uri=str(tmp_path / "images"), frame_index=index)
        for index in (-1, 1, 0)
    ]
    async with tracking.session() as stream:
        below, above, inside = await stream.ask(
            *(frame_item(i, frame_pb2.FramePayload(ref=ref)) for i, ref in enumerate(refs))
        )
    assert error(below).reason == error(above).reason == "FRAME_OUT_OF_RANGE"
    assert poses(inside).instance_count > 0


async def test_frames_of_another_size_are_taken_too(tracking: Tracking) -> None:
    sizes = [(24, 32, 1), (48, 32, 1), (24, 32, 3), (24, 32, 1)]
    pixels = [frames(1, size)[0] for size in sizes]
    async with tracking.session() as stream:
        answers = await stream.ask(
            *(frame_item(index, inline(frame)) for index, frame in enumerate(pixels))
        )
    for answer, frame in zip(answers, pixels, strict=True):
        np.testing.assert_array_equal(poses(answer).points_px_IN2, points_px(frame))
    assert tracking.engine.transports == {"shared": 2, "inline": 2}
