"""`shoal.jobs.v1.JobsService` keeps its promises over a real socket."""

import asyncio
from typing import Any

import pytest

from shoal.common.v1 import parameters_pb2, video_pb2
from shoal.jobs.v1 import jobs_pb2
from shoal_common.status import to_status
from shoal_core.errors import (
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    OutOfRange,
    PermissionDenied,
    ShoalError,
    Unavailable,
)
from tests.contract.orchestrator.conftest import VIDEO, Client, Ensemble

CENTROIDS = "projects/lab/labelSets/centroids"
Inference = parameters_pb2.InferenceParameters
Grouping = parameters_pb2.PartGroupingParameters
Filters = parameters_pb2.InstanceFilterParameters
Tracker = parameters_pb2.TrackerParameters
Window = parameters_pb2.WindowTrackerParameters
Range = video_pb2.FrameRange

WINDOW = Tracker(window=Window())


async def finish(client: Client) -> None:
    while task := await client.lease():
        await client.complete(task)


async def test_created_job_says_what_it_will_do(client: Client) -> None:
    job = await client.create(range=Range(start=10), tracker=WINDOW)
    job_id = job.name.removeprefix("projects/lab/jobs/")
    assert job.state == jobs_pb2.JOB_STATE_PENDING
    assert job.spec.video.frame_count == 100
    assert job.spec.model_version == "models/fly/versions/1"
    assert (job.spec.range.start, job.spec.range.stop) == (10, 100)
    assert job.spec.HasField("tracker")
    assert job.progress.total_frame_count == 90
    assert job.result_label_set == f"projects/lab/labelSets/{job_id}"
    assert job.HasField("create_time")
    assert not job.HasField("end_time")
    assert not job.progress.HasField("first_frame_time")
    assert await client.get(job.name) == job


async def test_same_request_is_the_same_job(client: Client) -> None:
    assert await client.create() == await client.create()
    assert len((await client.list()).jobs) == 1


@pytest.mark.parametrize(
    "request_fields",
    [
        {"range": Range(stop=100)},
        {"inference": Inference()},
        {"tracker": Tracker()},
        {"model": "models/fly/versions/1"},
        {"ranges": [Range(start=40), Range(stop=60)]},
        {"inference": Inference(batch_size=16, part_grouping=Grouping(min_line_scores=0.25))},
        {"video_uri": "/moved/fly.mp4"},
    ],
    ids=lambda fields: next(iter(fields)),
)
async def test_same_work_said_otherwise_is_the_same_job(
    ensemble: Ensemble, client: Client, request_fields: dict[str, Any]
) -> None:
    ensemble.decode.add_video("/moved/fly.mp4")
    job = await client.create()
    again = await client.create(**request_fields)
    assert again.name == job.name
    assert again.spec.video.uri == request_fields.get("video_uri", VIDEO)


@pytest.mark.parametrize(
    ("model", "version"),
    [
        ("models/fly", "models/fly/versions/2"),
        ("models/fly/versions/1", "models/fly/versions/1"),
        ("models/fly/aliases/prod", "models/fly/versions/1"),
    ],
)
async def test_model_names_are_resolved_when_the_job_is_created(
    ensemble: Ensemble, client: Client, model: str, version: str
) -> None:
    ensemble.serving.add_version("models/fly")
    ensemble.serving.set_alias("models/fly/aliases/prod", "models/fly/versions/1")
    assert (await client.create(model=model)).spec.model_version == version


async def test_centered_instance_model_takes_centroids(ensemble: Ensemble, client: Client) -> None:
    ensemble.serving.add_version("models/crop", "centered_instance")
    ensemble.labels.names.add(CENTROIDS)
    job = await client.create(model="models/crop", centroids_label_set=CENTROIDS)
    assert job.spec.centroids_label_set == CENTROIDS


PARAMETERS: list[tuple[str, dict[str, Any]]] = [
    ("peak_threshold", {"inference": Inference(peak_threshold=-1)}),
    ("peak_threshold", {"inference": Inference(peak_threshold=float("nan"))}),
    ("max_instances", {"inference": Inference(max_instances=0)}),
    ("batch_size", {"inference": Inference(batch_size=0)}),
    ("batch_size", {"inference": Inference(batch_size=5000)}),
    *(
        (name, {"inference": Inference(part_grouping=Grouping(**{name: -2}))})
        for name in (
            "max_edge_length_ratio",
            "dist_penalty_weight",
            "min_instance_peaks",
            "min_line_scores",
            "n_points",
        )
    ),
    *(
        (name, {"inference": Inference(filters=Filters(**{name: -2000}))})
        for name in (
            "min_visible_nodes",
            "min_visible_node_fraction",
            "min_mean_node_score",
            "min_instance_score",
            "overlapping_threshold",
        )
    ),
    *(
        (name, {"tracker": Tracker(window=Window(**{name: value}))})
        for name, value in (
            ("window_frame_count", 0),
            ("max_tracks", 0),
            ("target_instance_count", -1),
            ("min_similarity", float("nan")),
            ("similarity", 99),
            ("assignment", 99),
        )
    ),
]


@pytest.mark.parametrize(("field", "fields"), PARAMETERS, ids=[f for f, _ in PARAMETERS])
async def test_bad_parameter_is_named_with_what_it_may_be(
    client: Client, field: str, fields: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgument, match=r" from .* to |known are ") as caught:
        await client.create(**fields)
    assert caught.value.reason == "PARAMETER_INVALID"
    assert caught.value.metadata["field"] == field
    assert caught.value.message.startswith(field)


@pytest.mark.parametrize(
    ("fields", "error", "reason"),
    [
        ({"video_uri": "/no.mp4"}, NotFound, "VIDEO_NOT_FOUND"),
        ({"model": "models/none"}, NotFound, "MODEL_NOT_FOUND"),
        ({"model": "models/fly/versions/9"}, NotFound, "MODEL_NOT_FOUND"),
        ({"model": "models/fly/aliases/none"}, NotFound, "MODEL_NOT_FOUND"),
        ({"model": "fly"}, InvalidArgument, "NAME_INVALID"),
        ({"model": "models/fly/labels/9"}, InvalidArgument, "NAME_INVALID"),
        ({"parent": "lab"}, InvalidArgument, "NAME_INVALID"),
        ({"range": Range(start=100)}, OutOfRange, "FRAME_OUT_OF_RANGE"),
        ({"range": Range(stop=101)}, OutOfRange, "FRAME_OUT_OF_RANGE"),
        ({"model": "models/crop"}, InvalidArgument, "CENTROIDS_MISSING"),
        ({"centroids_label_set": CENTROIDS}, InvalidArgument, "CENTROIDS_UNEXPECTED"),
        ({"centroids_label_set": "centroids"}, InvalidArgument, "NAME_INVALID"),
        (
            {"model": "models/crop", "centroids_label_set": CENTROIDS},
            NotFound,
            "LABEL_SET_NOT_FOUND",
        ),
    ],
)
async def test_job_that_cannot_work_is_refused(
    ensemble: Ensemble,
    client: Client,
    fields: dict[str, Any],
    error: type[ShoalError],
    reason: str,
) -> None:
    ensemble.serving.add_version("models/crop", "centered_instance")
    with pytest.raises(error) as caught:
        await client.create(**fields)
    assert caught.value.reason == reason
    assert not (await client.list()).jobs


async def test_refused_range_says_how_long_the_video_is(client: Client) -> None:
    with pytest.raises(OutOfRange, match=f"{VIDEO}, which has 100 frames"):
        await client.create(range=Range(stop=101))


@pytest.mark.parametrize(
    "fault",
    [
        NotFound("VIDEO_NOT_FOUND", "There is no video."),
        InvalidArgument("VIDEO_EMPTY", "The file is empty."),
        InvalidArgument("VIDEO_UNREADABLE", "The file is no video."),
        PermissionDenied("PATH_OUTSIDE_ROOTS", "The file lies outside."),
    ],
    ids=lambda fault: fault.reason,
)
async def test_fault_of_decode_reaches_the_caller(
    ensemble: Ensemble, client: Client, fault: ShoalError
) -> None:
    ensemble.decode.fault = fault
    with pytest.raises(type(fault)) as caught:
        await client.create()
    assert (caught.value.reason, caught.value.message) == (fault.reason, fault.message)


async def test_fault_of_serving_reaches_the_caller(ensemble: Ensemble, client: Client) -> None:
    ensemble.serving.fault = PermissionDenied("FILE_FORBIDDEN", "The registry is locked.")
    with pytest.raises(PermissionDenied, match="The registry is locked"):
        await client.create()


async def test_decode_that_hangs_is_named_within_the_callers_time(
    ensemble: Ensemble, client: Client
) -> None:
    ensemble.decode.hangs = True
    with pytest.raises(DeadlineExceeded) as caught:
        await client.create(timeout=2.0)
    assert caught.value.metadata["peer"] == "decode"


@pytest.mark.parametrize("method", ["get", "cancel", "watch"])
async def test_unknown_job_is_not_found(client: Client, method: str) -> None:
    answer = getattr(client, method)("projects/lab/jobs/none")
    with pytest.raises(NotFound) as caught:
        await (anext(answer) if method == "watch" else answer)
    assert caught.value.reason == "JOB_NOT_FOUND"


@pytest.mark.parametrize("method", ["get", "cancel", "watch"])
async def test_malformed_name_is_refused(client: Client, method: str) -> None:
    answer = getattr(client, method)("jobs/1")
    with pytest.raises(InvalidArgument) as caught:
        await (anext(answer) if method == "watch" else answer)
    assert caught.value.reason == "NAME_INVALID"


async def test_pages_hold_every_job_once_newest_first(client: Client) -> None:
    names = [(await client.create(range=Range(stop=stop))).name for stop in range(1, 6)]
    listed, token = [], ""
    while True:
        page = await client.list(page_size=2, page_token=token)
        listed += [job.name for job in page.jobs]
        assert len(page.jobs) <= 2
        token = page.next_page_token
        if not token:
            break
    assert listed == names[::-1]


async def test_projects_do_not_see_each_other(client: Client) -> None:
    mine = await client.create()
    other = await client.create(parent="projects/other")
    assert [job.name for job in (await client.list()).jobs] == [mine.name]
    assert other.name != mine.name


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"page_size": -1}, "PAGE_SIZE_INVALID"),
        ({"page_token": "bm8="}, "PAGE_TOKEN_INVALID"),
        ({"page_token": "%"}, "PAGE_TOKEN_INVALID"),
        ({"parent": "projects"}, "NAME_INVALID"),
    ],
)
async def test_bad_page_is_refused(client: Client, fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await client.list(**fields)
    assert caught.value.reason == reason


async def test_succeeded_job_is_not_done_again(client: Client) -> None:
    job = await client.create(tracker=WINDOW)
    await finish(client)
    done = await client.get(job.name)
    assert done.state == jobs_pb2.JOB_STATE_SUCCEEDED
    assert done.HasField("end_time")
    assert await client.create(tracker=WINDOW) == done
    assert await client.cancel(job.name) == done
    assert await client.lease() is None


@pytest.mark.parametrize("end", ["cancelled", "failed"])
async def test_repeated_command_resumes_where_the_job_ended(client: Client, end: str) -> None:
    job = await client.create()
    await client.complete(await client.must_lease())
    task = await client.must_lease()
    if end == "cancelled":
        ended = await client.cancel(job.name)
    else:
        await client.fail(task, to_status(NotFound("VIDEO_NOT_FOUND", "It is gone.")))
        ended = await client.get(job.name)
        assert ended.error == to_status(NotFound("VIDEO_NOT_FOUND", "It is gone."))
    assert ended.HasField("end_time")
    again = await client.create()
    assert (again.name, again.state) == (job.name, jobs_pb2.JOB_STATE_PENDING)
    assert again.progress.committed_frame_count == 40
    assert not again.HasField("end_time")
    assert not again.HasField("error")
    assert (await client.must_lease()).name == task.name


async def test_watch_tells_the_state_at_once_and_ends_with_the_job(
    ensemble: Ensemble, client: Client
) -> None:
    job = await client.create()
    watching = client.watch(job.name)
    states = [(await anext(watching)).state]
    await client.must_lease()
    await ensemble.clock.until_someone_sleeps(0.1)
    ensemble.clock.advance(0.1)
    states.append((await anext(watching)).state)
    await client.cancel(job.name)
    await ensemble.clock.until_someone_sleeps(0.1)
    ensemble.clock.advance(0.1)
    states += [later.state async for later in watching]
    assert states == [
        jobs_pb2.JOB_STATE_PENDING,
        jobs_pb2.JOB_STATE_RUNNING,
        jobs_pb2.JOB_STATE_CANCELLED,
    ]


async def test_watch_of_an_ended_job_tells_it_once(client: Client) -> None:
    job = await client.create()
    await client.cancel(job.name)
    assert [later.state async for later in client.watch(job.name)] == [jobs_pb2.JOB_STATE_CANCELLED]


async def test_watch_tells_no_more_than_the_last_of_many_changes(
    ensemble: Ensemble, client: Client
) -> None:
    job = await client.create()
    task = await client.must_lease()
    watching = client.watch(job.name)
    await anext(watching)
    await ensemble.clock.until_someone_sleeps(0.1)
    for frames in range(1, 30):
        await client.renew(task, frames)
    ensemble.clock.advance(0.1)
    assert (await anext(watching)).progress.inferred_frame_count == 29
    await watching.aclose()


async def test_end_of_the_server_is_told_to_those_who_watch(
    ensemble: Ensemble, client: Client
) -> None:
    job = await client.create()
    watching = client.watch(job.name)
    await anext(watching)
    ending = asyncio.ensure_future(anext(watching))
    await ensemble.clock.until_someone_sleeps(0.1)
    ensemble.clock.advance(0.1)
    client.stop.set()
    with pytest.raises(Unavailable) as caught:
        await ending
    assert caught.value.reason == "SERVER_STOPPING"
