"""What a track job consists of, as arithmetic: its name, its segments, its tasks."""

import bisect
import hashlib
import itertools
from collections.abc import Iterable, Sequence

from shoal_core import frame_runs
from shoal_core.errors import InvalidArgument, OutOfRange
from shoal_orchestrator.records import FrameSpan, NewTask, TaskKind

MAX_RUN_COUNT = 10_000
"""Runs of frames of one job: its specification travels with each of its tasks."""

TRACK_JOB = b"shoal track job 1"
TRAINING_JOB = b"shoal training job 1"
SWEEP = b"shoal sweep 1"
"""Kinds of ids; the number grows when what belongs to an identity does."""

_ID_LENGTH = 32


def resolve_runs(
    asked: Sequence[tuple[int, int]], *, frame_count: int, video: str
) -> frame_runs.Runs:
    """Returns the frames asked for.

    Args:
        asked: Start and stop of runs in any order; a stop of 0 is the end of the video. None at
            all is the whole video.
        frame_count: Frames of the video.
        video: Its name, for people.

    Raises:
        InvalidArgument: FRAMES_INVALID when there are too many runs.
        OutOfRange: FRAME_OUT_OF_RANGE when they are not frames of the video, or none.
    """
    runs = frame_runs.merged(
        _checked_run(start, stop, frame_count=frame_count, video=video)
        for start, stop in asked or [(0, 0)]
    )
    if len(runs) > MAX_RUN_COUNT:
        raise InvalidArgument(
            "FRAMES_INVALID",
            f"{len(runs)} runs of frames are chosen; choose at most {MAX_RUN_COUNT} for one job.",
            run_count=len(runs),
        )
    return runs


def cut_segments(
    runs: Sequence[range], segment_frame_count: int, keyframes: Sequence[int]
) -> list[FrameSpan]:
    """Returns the segments of the chosen frames, in order; together they span all of them.

    Borders lie `segment_frame_count` chosen frames apart, each moved to the nearest keyframe at
    most a quarter segment away (the earlier of two), so that decoding starts there at once. A
    border at most a quarter segment before the end is left out. Segments therefore hold at
    most one and a half times the frames asked for, and all but the last at least half.

    Args:
        runs: Frames to cut, at least one.
        segment_frame_count: Length aimed at, at least 1.
        keyframes: Frames at which decoding can start, increasing.
    """
    reach = segment_frame_count // 4
    first_ordinals = list(itertools.accumulate(map(len, runs), initial=0))
    ordinals = range(segment_frame_count, first_ordinals[-1] - reach, segment_frame_count)
    borders = [runs[0].start]
    for ordinal in ordinals:
        run = bisect.bisect_right(first_ordinals, ordinal) - 1
        border = runs[run][ordinal - first_ordinals[run]]
        borders.append(_move(border, reach, keyframes))
    borders.append(runs[-1].stop)
    return [FrameSpan(start, stop) for start, stop in itertools.pairwise(borders)]


def content_id(kind: bytes, identity: Iterable[bytes]) -> str:
    """Returns the id of the job or sweep that everything in `identity` determines.

    Args:
        kind: What it is an id of, for example TRACK_JOB.
        identity: Content hash of the video, model version, range and so on, always in the
            same order. Each part is hashed with its length, so that no two lists collide.
    """
    digest = hashlib.sha256(kind)
    for part in identity:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()[:_ID_LENGTH]


def track_tasks(
    segments: Sequence[FrameSpan], *, poses_label_set: str, linked_label_set: str | None
) -> tuple[NewTask, ...]:
    """Returns the tasks of a track job: the segments, then linking where it is wanted.

    Args:
        segments: As `cut_segments` returns them.
        poses_label_set: Where inferred poses go.
        linked_label_set: Where linked poses go; None without a tracker.
    """
    tasks = [NewTask(TaskKind.INFER_SEGMENT, 0, segment, poses_label_set) for segment in segments]
    if linked_label_set is not None:
        whole = FrameSpan(segments[0].start, segments[-1].stop)
        tasks.append(NewTask(TaskKind.LINK, 1, whole, linked_label_set, poses_label_set))
    return tuple(tasks)


def _checked_run(start: int, stop: int, *, frame_count: int, video: str) -> range:
    end = stop or frame_count
    if not 0 <= start < end <= frame_count:
        raise OutOfRange(
            "FRAME_OUT_OF_RANGE",
            f"Frames {start} to {end} (excluded) do not lie in {video}, which has "
            f"{frame_count} frames; choose a start of at least 0 and a stop of at most "
            f"{frame_count} behind it.",
            start=start,
            stop=end,
            frame_count=frame_count,
            video=video,
        )
    return range(start, end)


def _move(border: int, reach: int, keyframes: Sequence[int]) -> int:
    after = bisect.bisect_left(keyframes, border)
    near = keyframes[max(after - 1, 0) : after + 1]
    nearest = min(near, key=lambda frame: abs(frame - border), default=border)
    return nearest if abs(nearest - border) <= reach else border
