"""Laws of the decode service: what it streams is what shoal_media reads, bit for bit."""

import asyncio
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from shoal.common.v1 import frame_pb2, video_pb2
from shoal.decode.v1 import decode_pb2 as pb
from shoal_common.convert import array
from shoal_common.status import from_rpc_error, from_status
from shoal_media.frames import decode_image, encode_png, thumbnail
from shoal_media.readers import open_video

Start = Callable[..., Any]
FRAME_COUNT = 40
REAL = ["pair/centered_pair_small.mp4", "robot/small_robot.mp4"]


def scene(frame_index: int) -> NDArray[np.uint8]:
    """A coloured texture that moves, [H, W, 3]."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    return np.roll(noise, frame_index, 1)


def write_clip(path: Path, frame_count: int) -> Path:
    """Writes a video with B-frames whose frames stay longer and longer."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "2", "g": "12"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(frame_count):
            picture = av.VideoFrame.from_ndarray(scene(index), format="rgb24")
            picture.pts, picture.time_base = int(time_ms(index)), Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def time_ms(frame_index: int) -> float:
    return frame_index * frame_index + 30 * frame_index


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds `clip.mkv` and the folder `images`, of which one is damaged."""
    made = tmp_path_factory.mktemp("videos")
    write_clip(made / "clip.mkv", FRAME_COUNT)
    (made / "images").mkdir()
    for index in range(5):
        (made / "images" / f"img{index}.png").write_bytes(encode_png(scene(index)))
    (made / "images" / "img1.png").write_bytes(b"not an image")
    return made


def request_for(path: Path, indices: Any = None, **fields: Any) -> pb.StreamFramesRequest:
    if indices is None:
        return pb.StreamFramesRequest(uri=str(path), range=video_pb2.FrameRange(), **fields)
    return pb.StreamFramesRequest(uri=str(path), indices=pb.FrameIndices(indices=indices), **fields)


async def frames_of(stub: Any, request: pb.StreamFramesRequest) -> list[pb.StreamFramesResponse]:
    return [response async for response in stub.StreamFrames(request)]


async def reason_of(call: Any) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        await (call.read() if hasattr(call, "read") else call)
    error = from_rpc_error(caught.value, "decode")
    assert "\n" not in error.message
    return error.reason


@pytest.mark.parametrize("channel_count", [0, 1, 3])
async def test_the_frames_of_a_range_are_those_that_the_reader_reads(
    channel_count: int, start_decode: Start, folder: Path
) -> None:
    stub = await start_decode(folder)
    path = folder / "clip.mkv"
    responses = await frames_of(stub, request_for(path, channel_count=channel_count))
    with open_video(path, channels=channel_count or None) as reader:
        assert len(responses) == reader.info.frame_count == FRAME_COUNT
        for index, (response, expected) in enumerate(zip(responses, reader.frames(), strict=True)):
            assert response.frame_index == index
            assert response.timestamp_ms == pytest.approx(time_ms(index))
            np.testing.assert_array_equal(array(response.frame.inline), expected)


async def test_a_range_is_half_open(start_decode: Start, folder: Path) -> None:
    stub = await start_decode(folder)
    request = pb.StreamFramesRequest(
        uri=str(folder / "clip.mkv"), range=video_pb2.FrameRange(start=7, stop=10)
    )
    assert [r.frame_index for r in await frames_of(stub, request)] == [7, 8, 9]


async def test_single_frames_come_in_the_order_asked_for(start_decode: Start, folder: Path) -> None:
    stub = await start_decode(folder)
    path = folder / "clip.mkv"
    indices = [31, 0, 12, 12, 39, 1]
    responses = await frames_of(stub, request_for(path, indices))
    assert [response.frame_index for response in responses] == indices
    with open_video(path) as reader:
        for response in responses:
            expected = reader.read(response.frame_index)
            np.testing.assert_array_equal(array(response.frame.inline), expected)


@pytest.mark.parametrize("name", REAL)
async def test_real_recordings_are_streamed_exactly(
    name: str, start_decode: Start, shared_data: Path
) -> None:
    stub = await start_decode(shared_data)
    path = shared_data / name
    indices = [100, 3, 4, 5, 165]
    responses = await frames_of(stub, request_for(path, indices))
    with open_video(path) as reader:
        for response in responses:
            expected = reader.read(response.frame_index)
            np.testing.assert_array_equal(array(response.frame.inline), expected)


async def test_png_is_exact_and_jpeg_is_near(start_decode: Start, folder: Path) -> None:
    stub = await start_decode(folder)
    path = folder / "clip.mkv"
    png = request_for(path, [9], encoding=pb.FRAME_ENCODING_PNG)
    jpeg = request_for(path, [9], encoding=pb.FRAME_ENCODING_JPEG)
    exact = (await frames_of(stub, png))[0].frame.encoded
    near = (await frames_of(stub, jpeg))[0].frame.encoded
    assert exact.format == frame_pb2.IMAGE_FORMAT_PNG
    assert near.format == frame_pb2.IMAGE_FORMAT_JPEG
    with open_video(path) as reader:
        frame = reader.read(9)
    np.testing.assert_array_equal(decode_image(exact.data), frame)
    assert np.abs(decode_image(near.data).astype(int) - frame).mean() < 10


async def test_thumbnails_are_scaled_to_the_longer_side(start_decode: Start, folder: Path) -> None:
    stub = await start_decode(folder)
    path = folder / "clip.mkv"
    response = (await frames_of(stub, request_for(path, [3], max_side_px=24)))[0]
    with open_video(path) as reader:
        expected = thumbnail(reader.read(3), max_side_px=24)
    assert max(expected.shape) == 24
    np.testing.assert_array_equal(array(response.frame.inline), expected)


async def test_a_frame_that_cannot_be_read_does_not_end_the_stream(
    start_decode: Start, folder: Path
) -> None:
    stub = await start_decode(folder)
    responses = await frames_of(stub, request_for(folder / "images"))
    assert [response.WhichOneof("result") for response in responses] == [
        *("frame", "error", "frame", "frame", "frame")
    ]
    error = from_status(responses[1].error)
    assert error.reason == "FRAME_UNREADABLE"
    assert responses[1].frame_index == 1


async def test_a_probe_tells_what_the_video_holds(start_decode: Start, folder: Path) -> None:
    stub = await start_decode(folder)
    path = folder / "clip.mkv"
    response = await stub.ProbeVideo(pb.ProbeVideoRequest(uri=path.as_uri()))
    with open_video(path) as reader:
        info = reader.info
    assert response.video == video_pb2.Video(
        uri=str(path),
        frame_count=FRAME_COUNT,
        height_px=64,
        width_px=96,
        channel_count=3,
        frame_rate_hz=info.fps,
        content_hash=info.content_hash,
    )
    assert list(response.keyframe_indices) == info.keyframe_indices_K.tolist()


@pytest.mark.parametrize(
    ("name", "frame_count", "channel_count"),
    [
        ("pair/centered_pair_small.mp4", 1100, 1),
        ("robot/small_robot.mp4", 166, 3),
        ("flies_clip/clip.mp4", 1500, 1),
    ],
)
async def test_real_recordings_are_probed_right(
    name: str, frame_count: int, channel_count: int, start_decode: Start, shared_data: Path
) -> None:
    stub = await start_decode(shared_data)
    response = await stub.ProbeVideo(pb.ProbeVideoRequest(uri=str(shared_data / name)))
    assert response.video.frame_count == frame_count
    assert response.video.channel_count == channel_count
    assert response.video.missing_frame_count == 0
    keyframes = list(response.keyframe_indices)
    assert keyframes[0] == 0
    assert keyframes == sorted(set(keyframes))


@pytest.mark.parametrize(
    ("name", "fields", "reason"),
    [
        ("absent.mp4", {}, "VIDEO_NOT_FOUND"),
        ("empty.mp4", {}, "VIDEO_EMPTY"),
        ("text.mp4", {}, "VIDEO_UNREADABLE"),
        ("cut.mp4", {}, "VIDEO_UNREADABLE"),
        ("../outside.mp4", {}, "PATH_OUTSIDE_ROOTS"),
        ("clip.mkv", {"indices": [0, FRAME_COUNT]}, "FRAME_OUT_OF_RANGE"),
        ("clip.mkv", {"indices": [-1]}, "FRAME_OUT_OF_RANGE"),
        ("clip.mkv", {"indices": []}, "FRAME_INDICES_INVALID"),
        ("clip.mkv", {"indices": [0] * 100_001}, "FRAME_INDICES_INVALID"),
        ("clip.mkv", {"channel_count": 2}, "CHANNEL_COUNT_INVALID"),
        ("clip.mkv", {"max_side_px": -1}, "MAX_SIDE_INVALID"),
        ("clip.mkv", {"encoding": 9}, "ENCODING_UNKNOWN"),
    ],
)
async def test_a_stream_that_cannot_work_is_refused_before_its_first_frame(
    name: str,
    fields: dict[str, Any],
    reason: str,
    start_decode: Start,
    folder: Path,
    tmp_path: Path,
) -> None:
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("no video\n" * 100)
    (folder / "cut.mp4").write_bytes((folder / "clip.mkv").read_bytes()[:60])
    stub = await start_decode(folder)
    assert await reason_of(stub.StreamFrames(request_for(folder / name, **fields))) == reason


@pytest.mark.parametrize(
    ("start", "stop", "reason"),
    [
        (-1, 5, "FRAME_RANGE_INVALID"),
        (5, 5, "FRAME_RANGE_INVALID"),
        (7, 3, "FRAME_RANGE_INVALID"),
        (FRAME_COUNT, 0, "FRAME_OUT_OF_RANGE"),
        (0, FRAME_COUNT + 1, "FRAME_OUT_OF_RANGE"),
    ],
)
async def test_a_range_outside_the_video_is_refused(
    start: int, stop: int, reason: str, start_decode: Start, folder: Path
) -> None:
    stub = await start_decode(folder)
    frame_range = video_pb2.FrameRange(start=start, stop=stop)
    request = pb.StreamFramesRequest(uri=str(folder / "clip.mkv"), range=frame_range)
    assert await reason_of(stub.StreamFrames(request)) == reason


async def test_a_stream_without_a_selection_is_refused(start_decode: Start, folder: Path) -> None:
    stub = await start_decode(folder)
    request = pb.StreamFramesRequest(uri=str(folder / "clip.mkv"))
    assert await reason_of(stub.StreamFrames(request)) == "SELECTION_MISSING"


async def test_more_videos_at_once_than_allowed_are_refused(
    start_decode: Start, folder: Path, shared_data: Path
) -> None:
    stub = await start_decode(folder, shared_data, max_open_videos=1)
    endless = stub.StreamFrames(request_for(shared_data / "flies_clip" / "clip.mp4"))
    await endless.read()  # far more than the buffers between here and there can hold
    assert await reason_of(stub.StreamFrames(request_for(folder / "clip.mkv"))) == (
        "TOO_MANY_OPEN_VIDEOS"
    )


async def test_a_video_that_nobody_reads_makes_room_for_another(
    start_decode: Start, folder: Path
) -> None:
    stub = await start_decode(folder, max_open_videos=1)
    for _ in range(3):
        for name, count in (("clip.mkv", FRAME_COUNT), ("images", 5)):
            assert len(await frames_of(stub, request_for(folder / name))) == count


async def test_a_caller_that_leaves_frees_its_video(
    start_decode: Start, folder: Path, shared_data: Path
) -> None:
    stub = await start_decode(folder, shared_data, max_open_videos=1)
    leaving = stub.StreamFrames(request_for(shared_data / "flies_clip" / "clip.mp4"))
    await leaving.read()
    leaving.cancel()
    async with asyncio.timeout(30):
        while await is_refused(stub.StreamFrames(request_for(folder / "clip.mkv"))):
            pass  # the service has not heard of it yet


async def is_refused(call: Any) -> bool:
    try:
        await call.read()
    except grpc.RpcError as error:
        return from_rpc_error(error, "decode").reason == "TOO_MANY_OPEN_VIDEOS"
    return False


async def test_a_file_that_is_replaced_is_read_anew(start_decode: Start, tmp_path: Path) -> None:
    stub = await start_decode(tmp_path)
    path = tmp_path / "video.mkv"
    for frame_count in (5, 9):
        write_clip(tmp_path / "new.mkv", frame_count).replace(path)
        assert len(await frames_of(stub, request_for(path))) == frame_count
