"""Laws of the worker's process: leases, heartbeats, commits, and what it does not do."""

import asyncio
import json
import os
from pathlib import Path

import numpy as np
import pytest

from shoal.common.v1 import parameters_pb2, video_pb2
from shoal.jobs.v1 import jobs_pb2
from shoal.labels.v1 import labels_pb2
from shoal_common import convert
from shoal_core.errors import (
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    ShoalError,
    Unavailable,
)
from shoal_core.pose import FramePoses
from tests.fakes.pose_engine import NODES, contract, points_px
from tests.unit.worker.conftest import FRAME_COUNT, MODEL, Peers, infer_task

RAW, LINKED = "projects/lab/labelSets/raw", "projects/lab/labelSets/linked"


async def test_committed_poses_are_those_of_the_segment(
    peers: Peers, folder: Path, video: video_pb2.Video, pixels: np.ndarray
) -> None:
    async with peers.worker(folder):
        await peers.queue.add(infer_task(video, 10, 31, segment_index=2, token=7))
        await peers.queue.until_ended(1)
    header, frames = peers.labels.segments[RAW][2]
    assert (header.range.start, header.range.stop, header.fencing_token) == (10, 31, 7)
    assert [frame.frame_index for frame in frames] == list(range(10, 31))
    for frame in frames:
        np.testing.assert_array_equal(frame.points_px_IN2, points_px(pixels[frame.frame_index]))
    (done,) = peers.queue.completed
    assert done.fencing_token == 7
    assert done.done_frame_count == 21
    assert done.instance_count == sum(frame.instance_count for frame in frames)


async def test_label_set_says_where_its_poses_come_from(
    peers: Peers, folder: Path, video: video_pb2.Video
) -> None:
    await peers.serving.deploy(MODEL, peers.engine.target, contract(source="SLEAP 1.4 (Keras)"))
    async with peers.worker(folder):
        await peers.queue.add(infer_task(video, 0, 4))
        await peers.queue.until_ended(1)
    label_set = peers.labels.label_sets[RAW]
    assert label_set.video == video
    assert tuple(label_set.skeleton.nodes) == NODES
    for part in ('"program": "Shoal"', MODEL, "SLEAP 1.4 (Keras)", '"batch_size": 4'):
        assert part in label_set.provenance_json
    config = json.loads(label_set.provenance_json)["config"]
    assert config["models"] == [MODEL]
    assert config["inference"]["batch_size"] == 4


async def test_frames_reach_the_engine_in_shared_memory_that_is_gone_afterwards(
    peers: Peers, folder: Path, video: video_pb2.Video
) -> None:
    async with peers.worker(folder):
        for index in range(3):
            await peers.queue.add(infer_task(video, 16 * index, 16 * index + 16))
        await peers.queue.until_ended(3)
        await peers.engine.until_region_count(0)
        assert not [name for name in os.listdir("/dev/shm") if f"shoal-{os.getpid()}-" in name]
    assert peers.engine.transports == {"shared": 12}


async def test_requests_in_flight_are_bounded(
    peers: Peers, folder: Path, video: video_pb2.Video
) -> None:
    peers.engine.gate.clear()
    async with peers.worker(folder, in_flight_request_count=2):
        await peers.queue.add(infer_task(video, 0, FRAME_COUNT))
        await peers.engine.until_running(2)
        await peers.queue.until_renewed(2)
        assert peers.engine.running_count == 2
        peers.engine.gate.set()
        await peers.queue.until_ended(1)
    assert peers.engine.most_running == 2


async def test_lost_lease_cancels_the_work_and_nothing_is_committed(
    peers: Peers, folder: Path, video: video_pb2.Video
) -> None:
    peers.engine.gate.clear()
    async with peers.worker(folder):
        await peers.queue.add(infer_task(video, 0, FRAME_COUNT))
        await peers.engine.until_running(3)
        await peers.queue.lose_leases()
        await peers.engine.until_running(0)
        await peers.engine.until_region_count(0)
        peers.queue.renewal_fault = None
        peers.engine.gate.set()
        await peers.queue.add(infer_task(video, 0, 8, segment_index=1))
        await peers.queue.until_ended(1)
    assert list(peers.labels.segments[RAW]) == [1]
    assert len(peers.queue.completed) == 1
    assert not peers.queue.failed


@pytest.mark.parametrize(
    "fault",
    [
        Unavailable("SERVER_STOPPING", "Restarting."),
        DeadlineExceeded("DEADLINE_EXCEEDED", "Slow."),
        ResourceExhausted("DISK_FULL", "The disk is full."),
        Internal("INTERNAL", "A bug."),
    ],
)
async def test_heartbeat_that_fails_does_not_stop_the_work(
    peers: Peers, folder: Path, video: video_pb2.Video, fault: ShoalError
) -> None:
    peers.engine.gate.clear()
    peers.queue.renewal_fault = fault
    async with peers.worker(folder):
        await peers.queue.add(infer_task(video, 0, 8))
        await peers.queue.until_renewed(3)
        peers.engine.gate.set()
        await peers.queue.until_ended(1)
    assert len(peers.queue.completed) == 1
    assert list(peers.labels.segments[RAW]) == [0]


async def test_heartbeats_tell_how_far_the_work_is(
    peers: Peers, folder: Path, video: video_pb2.Video
) -> None:
    peers.engine.gate.clear()
    async with peers.worker(folder):
        await peers.queue.add(infer_task(video, 0, 20))
        await peers.queue.until_renewed(1)
        peers.engine.gate.set()
        await peers.queue.until_ended(1)
    assert peers.queue.renewals[0].done_frame_count == 0
    assert peers.queue.completed[0].done_frame_count == 20


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (InvalidArgument("INPUT_REJECTED", "Not such frames."), "INPUT_REJECTED"),
        (ResourceExhausted("MEMORY_FULL", "It does not fit."), "MEMORY_FULL"),
    ],
)
async def test_failure_of_the_engine_is_reported_by_its_reason(
    peers: Peers, folder: Path, video: video_pb2.Video, fault: ShoalError, reason: str
) -> None:
    peers.engine.refusal = fault
    async with peers.worker(folder):
        await peers.queue.add(infer_task(video, 0, 20))
        await peers.queue.until_ended(1)
    (error,) = peers.queue.failed
    assert (type(error), error.reason) == (type(fault), reason)
    assert not peers.labels.segments[RAW]


async def test_video_that_has_changed_is_refused(
    peers: Peers, folder: Path, video: video_pb2.Video
) -> None:
    other = video_pb2.Video(uri=video.uri, frame_count=FRAME_COUNT, content_hash="c0ffee")
    async with peers.worker(folder):
        for number, changed in enumerate((video, other, video)):
            await peers.queue.add(infer_task(changed, 0, 4, label_set=f"{RAW}-{number}"))
        await peers.queue.until_ended(3)
    (error,) = peers.queue.failed
    assert error.reason == "VIDEO_CHANGED"
    assert video.uri in error.message
    assert len(peers.queue.completed) == 2


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"video": video_pb2.Video(uri="/etc/passwd")}, "PATH_OUTSIDE_ROOTS"),
        ({"model_version": "models/none/versions/1"}, "MODEL_NOT_FOUND"),
        (
            {"inference": parameters_pb2.InferenceParameters(batch_size=-1)},
            "PARAMETER_INVALID",
        ),
        ({"centroids_label_set": "projects/lab/labelSets/none"}, "LABEL_SET_NOT_FOUND"),
    ],
)
async def test_task_that_cannot_be_done_is_given_back_and_the_next_is_done(
    peers: Peers, folder: Path, video: video_pb2.Video, fields: dict, reason: str
) -> None:
    async with peers.worker(folder):
        await peers.queue.add(infer_task(**({"video": video} | fields), start=0, stop=4))
        await peers.queue.add(infer_task(video, 0, 4, label_set=f"{RAW}-next"))
        await peers.queue.until_ended(2)
    (error,) = peers.queue.failed
    assert error.reason == reason
    assert len(peers.queue.completed) == 1


async def test_task_of_a_newer_orchestrator_is_given_back(
    peers: Peers, folder: Path, video: video_pb2.Video
) -> None:
    task = infer_task(video, 0, 4)
    task.ClearField("infer_segment")
    async with peers.worker(folder):
        await peers.queue.add(task)
        await peers.queue.until_ended(1)
    assert peers.queue.failed[0].reason == "TASK_UNKNOWN"


async def test_commit_that_is_refused_is_reported(
    peers: Peers, folder: Path, video: video_pb2.Video
) -> None:
    peers.labels.commit_fault = PermissionDenied("FILE_FORBIDDEN", "It cannot be written.")
    async with peers.worker(folder):
        await peers.queue.add(infer_task(video, 0, 4))
        await peers.queue.until_ended(1)
    assert peers.queue.failed[0].reason == "FILE_FORBIDDEN"


@pytest.mark.parametrize(
    "fault",
    [
        NotFound("JOB_NOT_FOUND", "The job is gone."),
        ResourceExhausted("DISK_FULL", "The disk is full."),
        Internal("INTERNAL", "A bug."),
    ],
)
async def test_ending_that_is_not_heard_does_not_end_the_worker(
    peers: Peers, folder: Path, video: video_pb2.Video, fault: ShoalError
) -> None:
    peers.queue.ending_fault = fault
    async with peers.worker(folder):
        await peers.queue.add(infer_task(video, 0, 4))
        await peers.queue.until_leases_asked(2)
        peers.queue.ending_fault = None
        await peers.queue.add(infer_task(video, 4, 8, segment_index=1))
        await peers.queue.until_ended(1)
    assert sorted(peers.labels.segments[RAW]) == [0, 1]


@pytest.mark.parametrize(
    "fault",
    [Unavailable("SERVER_STOPPING", "Restarting."), ResourceExhausted("DISK_FULL", "Full.")],
)
async def test_worker_asks_again_when_there_is_no_answer_about_tasks(
    peers: Peers, folder: Path, video: video_pb2.Video, fault: ShoalError
) -> None:
    peers.queue.lease_fault = fault
    async with peers.worker(folder):
        await peers.queue.until_leases_asked(2)
        peers.queue.lease_fault = None
        await peers.queue.add(infer_task(video, 0, 4))
        await peers.queue.until_ended(1)
    assert len(peers.queue.completed) == 1


async def test_only_frames_with_centroids_are_processed(
    peers: Peers, folder: Path, video: video_pb2.Video
) -> None:
    model = contract(kind="centered_instance", anchor_part="thorax")
    await peers.serving.deploy(MODEL, peers.engine.target, model)
    points = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    scores = np.ones((2, 3), np.float32)
    labelled = [
        FramePoses.untracked(index, points[:count] + index, scores[:count], scores[:count, 0])
        for index, count in ((3, 1), (8, 2), (30, 1))
    ]
    labels = labels_pb2.LabelSet(
        name="projects/lab/labelSets/gt", skeleton=convert.skeleton_message(model.skeleton)
    )
    peers.labels.add(labels, labelled)
    task = infer_task(video, 0, 20, centroids_label_set=labels.name)
    async with peers.worker(folder):
        await peers.queue.add(task)
        await peers.queue.until_ended(1)
    assert [frame.frame_index for frame in peers.labels.frames(RAW)] == [3, 8]
    (request,) = peers.engine.requests
    np.testing.assert_array_equal(request["centroids"][0, 0], points[0, 1] + 3)
    assert np.isnan(request["centroids"][0, 1]).all()
    np.testing.assert_array_equal(request["centroids"][1], points[:, 1] + 8)


async def test_segment_without_centroids_is_committed_empty(
    peers: Peers, folder: Path, video: video_pb2.Video
) -> None:
    await peers.serving.deploy(MODEL, peers.engine.target, contract(kind="centered_instance"))
    labels = labels_pb2.LabelSet(name="projects/lab/labelSets/gt")
    labels.skeleton.nodes.extend(NODES)
    peers.labels.add(labels)
    async with peers.worker(folder):
        await peers.queue.add(infer_task(video, 0, 20, centroids_label_set=labels.name))
        await peers.queue.until_ended(1)
    assert peers.labels.segments[RAW][0][1] == []
    assert not peers.engine.requests


async def test_job_goes_on_after_an_update_of_the_worker(
    peers: Peers, folder: Path, video: video_pb2.Video
) -> None:
    async with peers.worker(folder):
        await peers.queue.add(infer_task(video, 0, 4))
        await peers.queue.until_ended(1)
        peers.labels.label_sets[RAW].provenance_json = '{"version": "0.0.1"}'
        await peers.queue.add(infer_task(video, 4, 8, segment_index=1))
        await peers.queue.until_ended(2)
    assert sorted(peers.labels.segments[RAW]) == [0, 1]


async def test_label_set_of_another_video_is_not_written_to(
    peers: Peers, folder: Path, video: video_pb2.Video
) -> None:
    other = labels_pb2.LabelSet(name=RAW, video=video_pb2.Video(content_hash="c0ffee"))
    peers.labels.add(other)
    async with peers.worker(folder):
        await peers.queue.add(infer_task(video, 0, 4))
        await peers.queue.until_ended(1)
    assert peers.queue.failed[0].reason == "LABEL_SET_EXISTS"


@pytest.mark.parametrize("linked", [False, True])
async def test_classes_name_the_tracks_only_where_no_tracker_does(
    peers: Peers, folder: Path, video: video_pb2.Video, linked: bool
) -> None:
    await peers.serving.deploy(MODEL, peers.engine.target, contract(classes=("female", "male")))
    tracker = parameters_pb2.TrackerParameters(window=parameters_pb2.WindowTrackerParameters())
    infer = infer_task(video, 0, 4)
    tasks = [infer]
    if linked:
        infer.spec.tracker.CopyFrom(tracker)
        link = jobs_pb2.Task(name="projects/lab/jobs/j/tasks/1", fencing_token=1, spec=infer.spec)
        link.link.CopyFrom(jobs_pb2.LinkTask(source_label_set=RAW, result_label_set=LINKED))
        tasks.append(link)
    async with peers.worker(folder):
        for count, task in enumerate(tasks, start=1):
            await peers.queue.add(task)
            await peers.queue.until_ended(count)
    result = peers.labels.label_sets[LINKED if linked else RAW]
    assert list(result.track_names) == ([] if linked else ["female", "male"])


async def test_only_the_model_in_use_is_watched(
    peers: Peers, folder: Path, video: video_pb2.Video
) -> None:
    other = "models/other/versions/1"
    await peers.serving.deploy(other, peers.engine.target, contract())
    async with peers.worker(folder):
        for count, name in enumerate((MODEL, other, MODEL), start=1):
            task = infer_task(video, 0, 4, model_version=name, label_set=f"{RAW}-{count}")
            await peers.queue.add(task)
            await peers.queue.until_ended(count)
            await peers.serving.until_watch_count(1)
    assert len(peers.queue.completed) == 3


async def test_worker_that_is_stopped_leaves_no_request_and_no_memory(
    peers: Peers, folder: Path, video: video_pb2.Video
) -> None:
    before = asyncio.all_tasks()
    peers.engine.gate.clear()
    async with peers.worker(folder):
        await peers.queue.add(infer_task(video, 0, FRAME_COUNT))
        await peers.engine.until_running(3)
    await peers.engine.until_running(0)
    assert not peers.labels.segments[RAW]
    assert not [name for name in os.listdir("/dev/shm") if f"shoal-{os.getpid()}-" in name]
    while asyncio.all_tasks() - before:  # noqa: ASYNC110 -- no event tells when tasks are gone
        await asyncio.sleep(0)
