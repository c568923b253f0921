"""Small videos of every kind that the readers must get right, made with PyAV."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from shoal_media.readers.packet_source import PacketSource

FRAME_COUNT = 90
X264_GOP = "keyint=12:min-keyint=12:scenecut=0"
PLAIN = {"bf": "3", "g": "12", "refs": "3"}

# name: (file name, codec, pixel format, codec options)
KINDS: dict[str, tuple[str, str, str, dict[str, str]]] = {
    "mp4 with B-frames": ("b.mp4", "libx264", "yuv420p", PLAIN),
    "mov with B-frames": ("b.mov", "libx264", "yuv420p", PLAIN),
    "mkv with B-frames": ("b.mkv", "libx264", "yuv420p", PLAIN),
    "avi with B-frames, whose times are wrong": ("b.avi", "libx264", "yuv420p", PLAIN),
    "raw stream without times": ("b.h264", "libx264", "yuv420p", PLAIN),
    "transport stream": ("b.ts", "libx264", "yuv420p", PLAIN),
    "full chroma": ("444.mp4", "libx264", "yuv444p", PLAIN),
    "open groups of pictures": (
        *("open.mp4", "libx264", "yuv420p"),
        {"x264-params": f"open-gop=1:bframes=3:{X264_GOP}"},
    ),
    "intra refresh instead of keyframes": (
        *("refresh.mp4", "libx264", "yuv420p"),
        {"x264-params": f"intra-refresh=1:bframes=0:{X264_GOP}"},
    ),
    "one long group": ("long.mp4", "libx264", "yuv420p", {"bf": "2", "g": "1000"}),
    "hevc": (
        *("hevc.mp4", "libx265", "yuv420p"),
        {"x265-params": "keyint=12:min-keyint=12:open-gop=1:bframes=3:log-level=none"},
    ),
    "mpeg4 avi": ("m4.avi", "mpeg4", "yuv420p", {"g": "12"}),
    "mpeg4 avi with B-frames": ("m4b.avi", "mpeg4", "yuv420p", {"g": "12", "bf": "2"}),
    "motion jpeg avi": ("mj.avi", "mjpeg", "yuvj420p", {}),
    "vp9 mkv with hidden frames": (
        *("vp9.mkv", "libvpx-vp9", "yuv420p"),
        {"g": "12", "auto-alt-ref": "1", "lag-in-frames": "10", "cpu-used": "8"},
    ),
    "lossless mkv": ("ffv1.mkv", "ffv1", "yuv420p", {}),
}
DERIVED = (
    "variable frame rate",
    "variable frame rate mkv",
    "fragmented mp4",
    "edit list that hides the first frames",
    "stream that starts between keyframes",
)


class CountingSource(PacketSource):
    """A demuxer that counts how often decoding was started anew."""

    start_count = 0

    def packets_from(self, ordinal: int) -> Iterator[tuple[int, Any]]:
        self.start_count += 1
        return super().packets_from(ordinal)


def scene(frame_index: int, *, width: int = 96, height: int = 64) -> NDArray[np.uint8]:
    """A gray texture that moves, with a corner that names the frame; [H, W, 3]."""
    noise = np.random.default_rng(0).integers(40, 200, (height, width), dtype=np.uint8)
    moved = np.roll(noise, (frame_index, 2 * frame_index), (0, 1))
    moved[:8, :8] = frame_index * 37 % 256
    return np.repeat(moved[..., np.newaxis], 3, axis=2)


def encode(
    path: Path,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    options: dict[str, str] | None = None,
    *,
    times_ms: list[int] | None = None,
    container_options: dict[str, str] | None = None,
    frame: Callable[[int], NDArray[np.uint8]] = scene,
) -> Path:
    """Writes FRAME_COUNT frames, 40 ms apart unless `times_ms` says otherwise."""
    height, width, _ = frame(0).shape
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.options = options or {}
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(FRAME_COUNT):
            picture = av.VideoFrame.from_ndarray(frame(index), format="rgb24")
            if times_ms is not None:
                picture.pts, picture.time_base = times_ms[index], Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def remux(source: Path, target: Path, *, skipped: int = 0, shift: int = 0) -> Path:
    """Copies packets from the `skipped`-th on, with all times moved by `shift`."""
    with av.open(str(source)) as reading, av.open(str(target), "w") as writing:
        stream = reading.streams.video[0]
        copy = writing.add_stream_from_template(stream)
        packets = [packet for packet in reading.demux(stream) if packet.size]
        for packet in packets[skipped:]:
            packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
            packet.stream = copy
            writing.mux(packet)
    return target


def derived(kind: str, folder: Path, make: Callable[[str], Path]) -> Path:
    times_ms = np.cumsum(np.random.default_rng(1).integers(5, 120, FRAME_COUNT)).tolist()
    fragments = {"movflags": "frag_keyframe+empty_moov"}
    match kind:
        case "variable frame rate":
            return encode(folder / "vfr.mp4", options=PLAIN, times_ms=times_ms)
        case "variable frame rate mkv":
            return encode(folder / "vfr.mkv", options=PLAIN, times_ms=times_ms)
        case "fragmented mp4":
            return encode(folder / "frag.mp4", options=PLAIN, container_options=fragments)
        case "edit list that hides the first frames":
            seven_frames = 7 * 512  # The muxer's time base is 1/12800 s.
            return remux(make("mp4 with B-frames"), folder / "edit.mp4", shift=-seven_frames)
        case "stream that starts between keyframes":
            return remux(make("open groups of pictures"), folder / "late.mkv", skipped=5)
    raise ValueError(kind)


def decoded_in_order(path: Path) -> Iterator[NDArray[np.uint8]]:
    """Yields what plain sequential decoding gives, in RGB: the truth for the readers."""
    with av.open(str(path)) as container:
        for picture in container.decode(video=0):
            yield picture.to_ndarray(format="rgb24", interpolation="BICUBIC")
