"""Which frames of a video are asked for."""

from collections.abc import Sequence

from shoal_core.errors import InvalidArgument, OutOfRange

MAX_INDICES = 100_000


def frame_range(start: int, stop: int, frame_count: int) -> range:
    """Returns the half-open range; a `stop` of 0 is the end of the video.

    Raises:
        InvalidArgument: FRAME_RANGE_INVALID when no frame lies between start and stop.
        OutOfRange: FRAME_OUT_OF_RANGE.
    """
    stop_frame = stop or max(frame_count, start + 1)
    if start < 0 or stop_frame <= start:
        raise InvalidArgument(
            "FRAME_RANGE_INVALID",
            f"There is no frame from {start} to before {stop}; give 0 <= start < stop.",
            start=start,
            stop=stop,
        )
    _check_inside((start, stop_frame - 1), frame_count)
    return range(start, stop_frame)


def single_frames(indices: Sequence[int], frame_count: int) -> Sequence[int]:
    """Returns the indices if each is inside the video.

    Raises:
        InvalidArgument: FRAME_INDICES_INVALID when there is none, or more than MAX_INDICES.
        OutOfRange: FRAME_OUT_OF_RANGE.
    """
    if not 0 < len(indices) <= MAX_INDICES:
        raise InvalidArgument(
            "FRAME_INDICES_INVALID",
            f"{len(indices)} frames were named; name 1 to {MAX_INDICES:,}, or a range.",
            count=len(indices),
        )
    _check_inside(indices, frame_count)
    return indices


def _check_inside(indices: Sequence[int], frame_count: int) -> None:
    for index in indices:
        if not 0 <= index < frame_count:
            raise OutOfRange(
                "FRAME_OUT_OF_RANGE",
                f"Frame {index} is outside the video, which has frames 0 to {frame_count - 1}.",
                frame_index=index,
                frame_count=frame_count,
            )
