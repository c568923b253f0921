"""What every client of shoal.labels.v1 may rely on, over a real socket."""

import asyncio
import hashlib
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import sleap_io

from shoal.labels.v1 import labels_pb2 as pb
from shoal.labels.v1.labels_pb2_grpc import LabelsServiceStub
from shoal_common.convert import array, tensor
from shoal_labels.__main__ import build
from shoal_labels.config import LabelsConfig
from tests.contract.labels.calls import (
    NAME,
    PARENT,
    Ensemble,
    commit,
    create,
    error_of,
    header,
    label_set,
    poses,
    real_file,
    some,
    stream,
)
from tests.fakes.running import running


async def test_a_label_set_lives_from_creation_to_deletion(labels: Ensemble) -> None:
    created = await create(labels, label_set())
    assert created.create_time.seconds > 1_600_000_000
    got = (await labels.stub.GetLabelSet(pb.GetLabelSetRequest(name=NAME))).label_set
    assert got == created
    assert json.loads(got.provenance_json) == {"model": "m1"}
    assert (await create(labels, label_set())) == created
    await labels.stub.DeleteLabelSet(pb.DeleteLabelSetRequest(name=NAME))
    error = await error_of(labels.stub.GetLabelSet(pb.GetLabelSetRequest(name=NAME)))
    assert error.reason == "LABEL_SET_NOT_FOUND"


async def test_what_is_committed_is_streamed_back_exactly(labels: Ensemble) -> None:
    await create(labels, label_set())
    sent = poses(range(10, 90), is_user=tensor(np.arange(160).astype(np.uint8) % 2))
    message = pb.CommitSegmentRequest(poses=sent)
    segment = await commit(labels, header(token=3), message)
    assert segment.name == f"{NAME}/segments/0"
    assert (segment.frame_count, segment.instance_count, segment.fencing_token) == (80, 160, 3)
    assert await stream(labels) == [sent]
    counted = (await labels.stub.GetLabelSet(pb.GetLabelSetRequest(name=NAME))).label_set
    assert (counted.frame_count, counted.instance_count) == (80, 160)


async def test_poses_without_is_user_are_predictions(labels: Ensemble) -> None:
    await create(labels, label_set())
    await commit(labels, header(), some(1, 2))
    (batch,) = await stream(labels)
    assert array(batch.is_user).tolist() == [0, 0, 0, 0]


async def test_frames_come_in_order_across_segments_and_within_the_range(labels: Ensemble) -> None:
    await create(labels, label_set())
    for index, start in enumerate([50, 0]):
        frames = range(start, start + 50)
        for_segment = header(index=index, start=start, stop=start + 50)
        await commit(labels, for_segment, some(*frames[:20]), some(*frames[20:]))
    batches = await stream(labels, start=30, stop=70)
    found = np.concatenate([array(batch.frame_indices) for batch in batches])
    assert found.tolist() == list(range(30, 70))


async def test_messages_hold_at_most_a_thousand_frames(labels: Ensemble) -> None:
    await create(labels, label_set())
    await commit(labels, header(stop=2500), some(*range(2500)))
    sizes = [len(array(batch.frame_indices)) for batch in await stream(labels)]
    assert sizes == [1000, 1000, 500]


async def test_a_segment_without_frames_is_a_segment(labels: Ensemble) -> None:
    await create(labels, label_set())
    assert (await commit(labels, header())).frame_count == 0
    assert await stream(labels) == []


async def test_a_recommitted_segment_is_replaced_whole(labels: Ensemble) -> None:
    await create(labels, label_set())
    await commit(labels, header(token=1), some(*range(50)))
    await commit(labels, header(token=1), some(7))
    (batch,) = await stream(labels)
    assert array(batch.frame_indices).tolist() == [7]


async def test_lists_are_paged(labels: Ensemble) -> None:
    names = [f"{PARENT}/labelSets/set-{index}" for index in range(5)]
    for name in reversed(names):
        await create(labels, label_set(name))
    for index in range(5):
        span = {"start": index * 10, "stop": index * 10 + 10}
        await commit(labels, header(names[0], index=index, **span))
    listed, indices = [], []
    request = pb.ListLabelSetsRequest(parent=PARENT, page_size=2)
    segments = pb.ListSegmentsRequest(parent=names[0], page_size=2)
    while True:
        page = await labels.stub.ListLabelSets(request)
        segment_page = await labels.stub.ListSegments(segments)
        listed += [label_set.name for label_set in page.label_sets]
        indices += [int(segment.name.rsplit("/", 1)[1]) for segment in segment_page.segments]
        request.page_token = page.next_page_token
        segments.page_token = segment_page.next_page_token
        if not page.next_page_token:
            break
    assert listed == names
    assert indices == list(range(5))
    assert segments.page_token == ""


async def test_export_and_import_are_inverse(labels: Ensemble) -> None:
    await create(labels, label_set())
    await commit(labels, header(), some(*range(100)))
    output = labels.files / "out.slp"
    answer = await labels.stub.ExportLabels(
        pb.ExportLabelsRequest(label_sets=[NAME], uri=output.as_uri())
    )
    assert (answer.frame_count, answer.instance_count) == (100, 200)
    request = pb.ImportLabelsRequest(parent=PARENT, uri=str(output))
    (imported,) = (await labels.stub.ImportLabels(request)).label_sets
    assert await stream(labels, imported.name) == await stream(labels)
    assert imported.skeleton == label_set().skeleton
    assert [path.name for path in labels.files.iterdir()] == ["out.slp"]


async def test_an_export_names_the_video_where_it_lies_now(labels: Ensemble) -> None:
    await create(labels, label_set())
    await commit(labels, header(), some(*range(3)))
    output, moved = labels.files / "out.slp", labels.files / "moved.mp4"
    request = pb.ExportLabelsRequest(label_sets=[NAME], uri=str(output), video_uris=[str(moved)])
    await labels.stub.ExportLabels(request)
    exported = sleap_io.load_slp(str(output), open_videos=False)
    assert [video.filename for video in exported.videos] == [str(moved)]
    kept = (await labels.stub.GetLabelSet(pb.GetLabelSetRequest(name=NAME))).label_set
    assert kept.video.uri == label_set().video.uri


async def test_importing_again_returns_what_is_there(labels: Ensemble) -> None:
    path = real_file(labels)
    request = pb.ImportLabelsRequest(parent=PARENT, uri=str(path))
    first = await labels.stub.ImportLabels(request)
    files = sorted((labels.home / "segments").rglob("*"))
    assert await labels.stub.ImportLabels(request) == first
    assert sorted((labels.home / "segments").rglob("*")) == files
    video = labels.files / "video.mp4"
    video.touch()
    (found,) = (await labels.stub.ImportLabels(request)).label_sets
    assert found.video.uri == str(video)
    got = await labels.stub.GetLabelSet(pb.GetLabelSetRequest(name=found.name))
    assert got.label_set == found


async def test_a_downloaded_file_is_the_one_that_an_export_writes(labels: Ensemble) -> None:
    await create(labels, label_set())
    await commit(labels, header(), some(*range(100)))
    downloaded = labels.files / "downloaded.slp"
    call = labels.stub.DownloadLabels(pb.DownloadLabelsRequest(label_sets=[NAME]))
    downloaded.write_bytes(b"".join([response.chunk async for response in call]))
    request = pb.ImportLabelsRequest(parent=PARENT, uri=str(downloaded))
    (imported,) = (await labels.stub.ImportLabels(request)).label_sets
    assert await stream(labels, imported.name) == await stream(labels)
    assert not list((labels.home / "segments").glob("*export*"))


async def test_a_file_of_labels_is_known_by_its_bytes_wherever_it_lies(labels: Ensemble) -> None:
    path = real_file(labels)
    moved = shutil.copy(path, labels.files / "moved.slp")
    first, second = [
        await labels.stub.ProbeLabels(pb.ProbeLabelsRequest(uri=uri))
        for uri in (path.as_uri(), str(moved))
    ]
    assert (first.uri, second.uri) == (str(path), str(moved))
    assert (
        first.content_hash == second.content_hash == hashlib.sha256(path.read_bytes()).hexdigest()
    )


async def test_a_deleted_import_can_be_imported_again(labels: Ensemble) -> None:
    request = pb.ImportLabelsRequest(parent=PARENT, uri=str(real_file(labels)))
    (first,) = (await labels.stub.ImportLabels(request)).label_sets
    await labels.stub.DeleteLabelSet(pb.DeleteLabelSetRequest(name=first.name))
    (second,) = (await labels.stub.ImportLabels(request)).label_sets
    assert (second.name, second.frame_count) == (first.name, first.frame_count)
    assert len(await stream(labels, second.name)) == 1


async def test_an_abandoned_stream_leaves_nothing(labels: Ensemble) -> None:
    await create(labels, label_set())
    received = asyncio.Event()

    async def endless() -> AsyncIterator[pb.CommitSegmentRequest]:
        yield header()
        yield some(1)
        received.set()
        await asyncio.Event().wait()

    call = labels.stub.CommitSegment(endless())
    await received.wait()
    call.cancel()
    await asyncio.wait([asyncio.ensure_future(call.wait_for_connection())])
    assert await stream(labels) == []
    await commit(labels, header(), some(2))
    assert len(await stream(labels)) == 1


async def test_the_store_remembers_after_a_restart(tmp_path: Path) -> None:
    config = LabelsConfig(listen=f"unix:{tmp_path}/s", home=tmp_path / "home")
    async with running(await build(config), config.listen) as service:
        first = Ensemble(LabelsServiceStub(service.channel), config.home, tmp_path)
        await create(first, label_set())
        await commit(first, header(), some(1, 2, 3))
    async with running(await build(config), config.listen) as service:
        second = Ensemble(LabelsServiceStub(service.channel), config.home, tmp_path)
        (batch,) = await stream(second)
    assert array(batch.frame_indices).tolist() == [1, 2, 3]
