"""`shoal.common.v1.FrameRange` ↔ runs of frames."""

from collections.abc import Sequence

from shoal.common.v1 import video_pb2
from shoal.jobs.v1 import jobs_pb2
from shoal_core.frame_runs import Runs


def range_messages(runs: Sequence[range]) -> list[video_pb2.FrameRange]:
    """Returns the wire form of runs."""
    return [video_pb2.FrameRange(start=run.start, stop=run.stop) for run in runs]


def spec_runs(spec: jobs_pb2.TrackJobSpec) -> Runs:
    """Returns the frames that a job processes."""
    return tuple(range(each.start, each.stop) for each in spec.ranges or [spec.range])
