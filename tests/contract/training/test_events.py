"""What a worker tells of training, and who watches it."""

import pytest

from shoal.jobs.v1 import jobs_pb2, training_pb2
from tests.contract.training.conftest import Client, call, job_of

PAGE = 500


async def tell(client: Client, task: jobs_pb2.Task, numbers: range) -> None:
    line = training_pb2.LogLines(lines=["line"])
    request = jobs_pb2.ReportTrainingRequest(
        task=task.name,
        fencing_token=task.fencing_token,
        events=[training_pb2.JobEvent(number=number, log=line) for number in numbers],
    )
    await call(client.queue.ReportTraining, request)


@pytest.mark.parametrize("count", [PAGE - 1, PAGE, PAGE + 1, 2 * PAGE])
async def test_watching_a_job_that_has_ended_ends_after_its_last_event(
    client: Client, count: int
) -> None:
    await client.create()
    task = await client.lease()
    for first in range(1, count + 1, PAGE):
        await tell(client, task, range(first, min(first + PAGE, count + 1)))
    await call(client.jobs.CancelJob, jobs_pb2.CancelJobRequest(name=job_of(task)))
    job, events = await client.until_ended(job_of(task))
    assert job.state == jobs_pb2.JOB_STATE_CANCELLED
    assert [event.number for event in events] == list(range(1, count + 1))
