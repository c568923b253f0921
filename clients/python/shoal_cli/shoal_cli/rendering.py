"""Draws the poses of a SLEAP file on their video."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shoal_cli.files import check_not_read
from shoal_cli.progress import Progress
from shoal_core.errors import InvalidArgument, NotFound, OutOfRange
from shoal_core.frame_runs import parse_runs
from shoal_core.pose import FramePoses
from shoal_core.video_path import video_file_name
from shoal_media.labels_file import LabelsFile, VideoPoses, find_video, read_labels
from shoal_media.readers import VideoReader, open_video
from shoal_media.rendering import PoseRenderer, RenderStyle
from shoal_media.writers import VideoWriter

_DEFAULT_FPS = 25.0


@dataclass(frozen=True)
class Rendering:
    """What to draw where."""

    video: Path
    predictions: Path
    output: Path
    frames: str | None
    """FIRST-LAST, both included; None for all."""
    trail_frame_count: int
    has_names: bool
    fps: float | None
    """None: the video's."""


def render(rendering: Rendering, progress: Progress) -> int:
    """Writes the video and returns how many frames it has.

    Raises:
        NotFound: VIDEO_NOT_FOUND, LABELS_NOT_FOUND, FOLDER_NOT_FOUND.
        InvalidArgument: OUTPUT_INVALID, FRAMES_INVALID, VIDEO_UNREADABLE, LABELS_UNREADABLE.
        OutOfRange: FRAME_OUT_OF_RANGE.
    """
    _check_output(rendering)
    with open_video(rendering.video) as reader:
        frames = _frames(rendering, reader)
        progress.step("reading")
        labels = read_labels(rendering.predictions, prefer="predicted")
        poses = {frame.frame_index: frame for frame in _video(labels, rendering.video).frames}
        style = RenderStyle(
            trail_frame_count=rendering.trail_frame_count, has_labels=rendering.has_names
        )
        renderer = PoseRenderer(labels.skeleton, labels.track_names, style=style)
        fps = rendering.fps or reader.info.fps or _DEFAULT_FPS
        progress.step("drawing")
        with VideoWriter(rendering.output, fps=fps) as writer:
            for index, pixels in zip(frames, reader.frames(frames.start, frames.stop), strict=True):
                found = poses.get(index, _nobody(index, len(labels.skeleton.nodes)))
                writer.write(renderer.draw(pixels, found))
                progress.update(index + 1 - frames.start, len(frames))
            return writer.frame_count


def _check_output(rendering: Rendering) -> None:
    if rendering.output.suffix != ".mp4":
        raise InvalidArgument("OUTPUT_INVALID", f"The output {rendering.output} must end in .mp4.")
    folder = rendering.output.absolute().parent
    if not folder.is_dir():
        raise NotFound("FOLDER_NOT_FOUND", f"There is no folder {folder}; make it first.")
    check_not_read(rendering.output, (rendering.video, rendering.predictions))


def _frames(rendering: Rendering, reader: VideoReader) -> range:
    count = reader.info.frame_count
    frames, *more = (range(count),) if rendering.frames is None else parse_runs(rendering.frames)
    if more:
        raise InvalidArgument(
            "FRAMES_INVALID", f"The frames {rendering.frames} have gaps; render one run of them."
        )
    if frames.stop > count:
        raise OutOfRange(
            "FRAME_OUT_OF_RANGE",
            f"{rendering.video} has the frames 0-{count - 1}, not {rendering.frames}.",
        )
    return frames


def _video(labels: LabelsFile, video: Path) -> VideoPoses:
    if len(labels.videos) == 1:
        return labels.videos[0]
    return find_video(labels.videos, video_file_name(str(video)), labels.path)


def _nobody(frame_index: int, node_count: int) -> FramePoses:
    return FramePoses.untracked(
        frame_index,
        np.empty((0, node_count, 2), np.float32),
        np.empty((0, node_count), np.float32),
        np.empty(0, np.float32),
    )
