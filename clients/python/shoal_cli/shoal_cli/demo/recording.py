"""Recordings of synthetic animals whose poses and identities are known.

Axis legend: I instances, 2 = (x, y).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoal_core.synthetic import SyntheticWorld
from shoal_media.writers import VideoWriter

if TYPE_CHECKING:
    from shoal_cli.progress import Progress

_NEARLY_LOSSLESS = 12
"""Rate factor of x264: noise stays what it is, a second of video takes 1 MB."""
_FPS = 25.0


@dataclass(frozen=True)
class Recording:
    """A video and the file of labels that says what is in it."""

    video: Path
    labels: Path


def write_recording(
    world: SyntheticWorld, frames: Sequence[int], recording: Recording, progress: "Progress"
) -> None:
    """Writes frames of a world, one after the other, and every animal in them as a label.

    Labels are those of a person: nodes that cannot be seen are missing, and each animal has its
    track.

    Args:
        world: What is filmed.
        frames: Frames of the world; the first one becomes frame 0 of the video.
        recording: Where to write; the folders exist.
        progress: Where it is shown.

    Raises:
        OutOfRange: FRAME_OUT_OF_RANGE when the world has no such frame.
        PermissionDenied: OUTPUT_FORBIDDEN. ResourceExhausted: DISK_FULL.
    """
    with VideoWriter(recording.video, fps=_FPS, crf=_NEARLY_LOSSLESS) as writer:
        for count, index in enumerate(frames, start=1):
            writer.write(world.render(index))
            progress.update(count, len(frames))
    _save(_labels(world, frames, recording.video), recording.labels)


def _labels(world: SyntheticWorld, frames: Sequence[int], video: Path) -> Any:
    """Returns the truth as `sleap_io.Labels`."""
    import sleap_io

    skeleton = sleap_io.Skeleton(
        nodes=list(world.skeleton.nodes),
        edges=[tuple(edge) for edge in world.skeleton.edges],
        symmetries=[
            tuple(world.skeleton.nodes[node] for node in pair) for pair in world.skeleton.symmetries
        ],
        name=world.skeleton.name,
    )
    tracks = [sleap_io.Track(f"animal {index + 1}") for index in range(world.config.animal_count)]
    source = sleap_io.Video(
        filename=str(video.absolute()),
        backend_metadata={
            "type": "MediaVideo",
            "shape": (len(frames), world.config.height_px, world.config.width_px, 3),
        },
        open_backend=False,
    )
    labeled = []
    for position, index in enumerate(frames):
        truth = world.truth(index)
        instances = [
            sleap_io.Instance.from_numpy(points_N2, skeleton=skeleton, track=tracks[track])
            for points_N2, track in zip(
                truth.points_px_IN2, truth.track_indices_I.tolist(), strict=True
            )
        ]
        labeled.append(sleap_io.LabeledFrame(video=source, frame_idx=position, instances=instances))
    return sleap_io.Labels(
        labeled, videos=[source], skeletons=[skeleton], tracks=tracks, provenance={}
    )


def _save(labels: Any, path: Path) -> None:
    import sleap_io

    sleap_io.save_slp(labels, str(path), embed=False, verbose=False)
