"""What a worker does when its peers, the disk or its own decoder are not there for long."""

import os
import shutil
from pathlib import Path

import grpc
import pytest

from shoal.common.v1 import video_pb2
from shoal.labels.v1 import labels_pb2, labels_pb2_grpc
from shoal_common.watchdog import Watchdog
from shoal_core.errors import DeadlineExceeded, ResourceExhausted, ShoalError, Unavailable
from shoal_media.readers import open_video
from shoal_worker.label_sets import LabelSets, SegmentKey
from tests.fakes.clock import FakeClock
from tests.unit.worker.conftest import FRAME_COUNT, Peers, infer_task

RAW = "projects/lab/labelSets/raw"


async def test_results_wait_for_room_on_a_full_disk(
    peers: Peers, folder: Path, video: video_pb2.Video
) -> None:
    peers.labels.commit_fault = ResourceExhausted("DISK_FULL", "The disk is full.")
    async with peers.worker(folder):
        await peers.queue.add(infer_task(video, 0, 8))
        await peers.labels.until_refused(1)
        heard = len(peers.queue.renewals)
        await peers.queue.until_renewed(heard + 2)
        peers.labels.commit_fault = None
        await peers.queue.until_ended(1)
    assert not peers.queue.failed
    assert [frame.frame_index for frame in peers.labels.frames(RAW)] == list(range(8))
    assert len(peers.engine.requests) == 2


async def test_patience_with_a_label_store_that_is_away_begins_anew_after_it_was_there(
    peers: Peers,
) -> None:
    peers.labels.add(labels_pb2.LabelSet(name=RAW))
    peers.labels.lost_answers = [
        Unavailable("SERVER_STOPPING", "Restarting."),
        ResourceExhausted("DISK_FULL", "The disk is full."),
        Unavailable("SERVER_STOPPING", "Restarting."),
    ]
    key = SegmentKey(label_set=RAW, index=0, start=0, stop=8, fencing_token=1)
    async with grpc.aio.insecure_channel(peers.labels.target) as channel:  # without gRPC's retries
        stub = labels_pb2_grpc.LabelsServiceStub(channel)
        await LabelSets(stub, patience_seconds=0).commit(key, [], node_count=3)
    assert not peers.labels.lost_answers


async def test_a_decoder_that_is_stuck_is_noticed_while_heartbeats_go_on(
    peers: Peers, folder: Path, tmp_path: Path
) -> None:
    images = shutil.copytree(folder, tmp_path / "video")
    with open_video(images) as reader:
        video = video_pb2.Video(
            uri=str(images), frame_count=FRAME_COUNT, content_hash=reader.info.content_hash
        )
    said: list[str] = []
    clock = FakeClock()
    watchdog = Watchdog(limit_seconds=2.0, end=said.append, sleep=clock.sleep)
    async with peers.worker(images, watchdog):
        await peers.queue.add(infer_task(video, 0, 4))
        await peers.queue.until_ended(1)
        stuck = images / "017.png"
        stuck.unlink()
        os.mkfifo(stuck)  # reading it waits for somebody who writes
        await peers.queue.add(infer_task(video, 16, 20, segment_index=1))
        await peers.queue.until_renewed(len(peers.queue.renewals) + 2)
        while not said:
            await clock.until_someone_sleeps(1.0)
            clock.advance(1.0)
        os.close(os.open(stuck, os.O_WRONLY))
        await peers.queue.until_ended(2)
    assert said[0].startswith(f"decoding frame 17 of {images} has not come to an end")


async def test_an_engine_that_never_answers_is_reported_with_the_frames(
    peers: Peers, folder: Path, video: video_pb2.Video
) -> None:
    peers.engine.refusal = DeadlineExceeded("DEADLINE_EXCEEDED", "Too late.")
    async with peers.worker(folder):
        await peers.queue.add(infer_task(video, 8, 12))
        await peers.queue.until_ended(1)
    (error,) = peers.queue.failed
    assert (type(error), error.reason) == (DeadlineExceeded, "ENGINE_SILENT")
    assert "frames 8 to 11 of" in error.message


async def test_results_wait_for_a_label_store_that_is_away(
    peers: Peers, folder: Path, video: video_pb2.Video
) -> None:
    peers.engine.gate.clear()
    async with peers.worker(folder):
        await peers.queue.add(infer_task(video, 0, 8))
        await peers.engine.until_running(2)
        await peers.labels.stop()
        peers.engine.gate.set()
        await peers.engine.until_region_count(0)  # the poses are there, and nobody takes them
        heard = len(peers.queue.renewals)
        await peers.queue.until_renewed(heard + 2)
        await peers.labels.start()
        await peers.queue.until_ended(1)
    assert not peers.queue.failed
    assert len(peers.engine.requests) == 2


@pytest.mark.parametrize("fault", [Unavailable, DeadlineExceeded])
async def test_commit_whose_answer_is_lost_is_said_again(
    peers: Peers, folder: Path, video: video_pb2.Video, fault: type[ShoalError]
) -> None:
    peers.labels.lost_answers = [fault("SERVER_STOPPING", "Restarting.")] * 2
    async with peers.worker(folder):
        await peers.queue.add(infer_task(video, 0, 8))
        await peers.queue.until_ended(1)
    assert not peers.labels.lost_answers
    assert not peers.queue.failed
    assert [frame.frame_index for frame in peers.labels.frames(RAW)] == list(range(8))
    assert len(peers.engine.requests) == 2
