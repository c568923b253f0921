"""A job's specification says everything that shapes its result."""

import pytest

from shoal.common.v1 import parameters_pb2, video_pb2
from shoal_core.errors import FailedPrecondition, InvalidArgument
from tests.contract.orchestrator.conftest import Client

Range = video_pb2.FrameRange

WINDOW = parameters_pb2.TrackerParameters(window=parameters_pb2.WindowTrackerParameters())


async def test_a_job_may_have_gaps_between_its_frames(client: Client) -> None:
    ranges = [Range(start=60, stop=61), Range(start=5, stop=10), Range(start=8, stop=12)]
    job = await client.create(ranges=ranges, tracker=WINDOW)
    assert (job.spec.range.start, job.spec.range.stop) == (5, 61)
    assert [(each.start, each.stop) for each in job.spec.ranges] == [(5, 12), (60, 61)]
    assert job.progress.total_frame_count == 8
    assert await client.get(job.name) == job
    (listed,) = (await client.list()).jobs
    assert not listed.spec.ranges
    assert listed.progress == job.progress
    task = await client.lease()
    assert list(task.spec.ranges) == list(job.spec.ranges)


async def test_frames_are_said_in_one_way(client: Client) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await client.create(range=Range(stop=5), ranges=[Range(stop=7)])
    assert caught.value.reason == "FRAMES_INVALID"


async def test_a_created_job_leaves_no_parameter_to_a_default(client: Client) -> None:
    """So that whoever runs it again with another Shoal gets the same."""
    job = await client.create(tracker=WINDOW)
    inference, window = job.spec.inference, job.spec.tracker.window
    assert inference.peak_threshold == pytest.approx(0.2)
    assert inference.batch_size == 16
    assert inference.part_grouping.n_points == 10
    assert inference.filters.HasField("min_visible_nodes")
    assert window.window_frame_count == 5
    again = await client.create(inference=inference, tracker=job.spec.tracker)
    assert again == job


async def test_a_model_of_other_content_than_expected_is_refused(client: Client) -> None:
    content = (await client.create()).spec.model_content_hash
    assert (await client.create(model_content_hash=content)).spec.model_content_hash == content
    with pytest.raises(FailedPrecondition) as caught:
        await client.create(model_content_hash="beef")
    assert caught.value.reason == "MODEL_CHANGED"
