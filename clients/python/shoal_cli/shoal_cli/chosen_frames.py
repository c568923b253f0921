"""Frames that a file of labels points at: those that people have labeled, or its suggestions."""

from pathlib import Path
from typing import Any, Literal, assert_never

from shoal_cli.installed import require
from shoal_core.errors import InvalidArgument, NotFound
from shoal_core.frame_runs import Runs, runs_of
from shoal_core.video_path import video_file_name

Choice = Literal["labeled", "suggested"]


def chosen_frames(path: Path, choice: Choice) -> dict[str, Runs]:
    """Returns the frames of each video that has some, by its file name without folders.

    Args:
        path: A .slp or .pkg.slp file.
        choice: "labeled": frames with an instance made by a person; "suggested": suggestions
            that are not yet such frames, as SLEAP's --only-suggested-frames takes them.

    Raises:
        NotFound: LABELS_NOT_FOUND.
        InvalidArgument: LABELS_UNREADABLE, or LABELS_AMBIGUOUS when two videos have one name.
        FailedPrecondition: PART_NOT_INSTALLED.
    """
    require("sleap_io")
    from shoal_media.labels_file import load_slp, video_name

    labels = load_slp(path)
    chosen: dict[str, Runs] = {}
    for video in labels.videos:
        frames = _frames(labels, video, choice)
        if not frames:
            continue
        name = video_name(video)
        if name in chosen:
            raise InvalidArgument(
                "LABELS_AMBIGUOUS",
                f"{path} has several videos named {name}; give the frames with --frames.",
                path=path,
            )
        chosen[name] = runs_of(frames)
    return chosen


def frames_of_video(chosen: dict[str, Runs], video: Path, path: Path, choice: Choice) -> Runs:
    """Returns the frames of a video.

    Raises:
        NotFound: FRAMES_MISSING when the file points at none of it.
    """
    name = video_file_name(str(video))
    if name not in chosen:
        known = ", ".join(sorted(chosen)) or "no video"
        raise NotFound(
            "FRAMES_MISSING",
            f"{path} has no {choice} frames of {name}; it has some of {known}.",
            path=path,
        )
    return chosen[name]


def _frames(labels: Any, video: Any, choice: Choice) -> set[int]:
    labeled = {
        int(frame.frame_idx)
        for frame in labels.labeled_frames
        if frame.video is video and frame.user_instances
    }
    match choice:
        case "labeled":
            return labeled
        case "suggested":
            suggestions = (each for each in labels.suggestions if each.video is video)
            return {int(each.frame_idx) for each in suggestions} - labeled
        case _:
            assert_never(choice)
