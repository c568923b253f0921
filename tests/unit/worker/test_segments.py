"""Which frames of a segment a worker processes, and what it counts."""

from pathlib import Path

from shoal.common.v1 import video_pb2
from shoal_common.frame_ranges import range_messages
from tests.unit.worker.conftest import Peers, infer_task

RAW = "projects/lab/labelSets/raw"


async def test_of_a_job_with_gaps_only_the_chosen_frames_are_processed(
    peers: Peers, folder: Path, video: video_pb2.Video
) -> None:
    task = infer_task(video, 10, 31)
    task.spec.ranges.extend(range_messages([range(12), range(20, 22), range(30, 40)]))
    async with peers.worker(folder):
        await peers.queue.add(task)
        await peers.queue.until_ended(1)
    header, frames = peers.labels.segments[RAW][0]
    assert [frame.frame_index for frame in frames] == [10, 11, 20, 21, 30]
    assert (header.range.start, header.range.stop) == (10, 31)
    (done,) = peers.queue.completed
    assert done.done_frame_count == 5


async def test_frames_with_more_than_the_model_can_return_are_counted(
    peers: Peers, folder: Path, video: video_pb2.Video
) -> None:
    peers.engine.overflows = True
    async with peers.worker(folder):
        await peers.queue.add(infer_task(video, 0, 9))
        await peers.queue.until_ended(1)
    (done,) = peers.queue.completed
    assert done.overflow_frame_count == 9
