"""Whatever is wrong, the caller learns in one line what and how to cure it."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from shoal.common.v1 import pose_pb2, video_pb2
from shoal.labels.v1 import labels_pb2 as pb
from shoal_common.convert import tensor
from shoal_core.errors import ShoalError
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
    real_file,
    some,
    stream,
)


def damage_segment(labels: Ensemble) -> None:
    (path,) = (labels.home / "segments").rglob("*.h5")
    path.write_bytes(path.read_bytes()[:-7])


def truncated(labels: Ensemble) -> str:
    path = real_file(labels)
    path.write_bytes(path.read_bytes()[:3000])
    return str(path)


def text_file(labels: Ensemble) -> str:
    path = labels.files / "text.slp"
    path.write_text("these are no labels")
    return str(path)


def other_hdf5(labels: Ensemble) -> str:
    path = labels.files / "other.slp"
    with h5py.File(path, "w") as file:
        file["x"] = [1]
    return str(path)


def folder(labels: Ensemble) -> str:
    path = labels.files / "folder.slp"
    path.mkdir()
    return str(path)


def read_only(labels: Ensemble) -> str:
    path = labels.files / "read-only"
    path.mkdir()
    path.chmod(0o500)
    return str(path / "out.slp")


def outside_link(labels: Ensemble) -> str:
    (labels.files / "link").symlink_to("/usr")
    return str(labels.files / "link" / "out.slp")


Case = tuple[str, str, str, Callable[[Ensemble], Any]]
OTHER = f"{PARENT}/labelSets/other"
TWIN = f"{PARENT}/labelSets/twin"


def creating(**changes: Any) -> Callable[[Ensemble], Any]:
    return lambda labels: create(labels, label_set(**changes))


def committing(*messages: pb.CommitSegmentRequest) -> Callable[[Ensemble], Any]:
    return lambda labels: commit(labels, *messages)


def importing(file: Callable[[Ensemble], str], parent: str = PARENT) -> Callable[[Ensemble], Any]:
    return lambda labels: labels.stub.ImportLabels(
        pb.ImportLabelsRequest(parent=parent, uri=file(labels))
    )


def probing(file: Callable[[Ensemble], str]) -> Callable[[Ensemble], Any]:
    return lambda labels: labels.stub.ProbeLabels(pb.ProbeLabelsRequest(uri=file(labels)))


def exporting(file: Callable[[Ensemble], str] | str, *names: str) -> Callable[[Ensemble], Any]:
    def call(labels: Ensemble) -> Any:
        uri = str(labels.files / file) if isinstance(file, str) else file(labels)
        return labels.stub.ExportLabels(pb.ExportLabelsRequest(label_sets=names, uri=uri))

    return call


def reading_damage(labels: Ensemble) -> Any:
    damage_segment(labels)
    return stream(labels)


def exporting_moved(*videos: str) -> Callable[[Ensemble], Any]:
    def call(labels: Ensemble) -> Any:
        uris = [str(labels.files / video) for video in videos]
        uri = str(labels.files / "out.slp")
        return labels.stub.ExportLabels(
            pb.ExportLabelsRequest(label_sets=[NAME], uri=uri, video_uris=uris)
        )

    return call


def exporting_damage(labels: Ensemble) -> Any:
    damage_segment(labels)
    return exporting("out.slp", NAME)(labels)


def listing(**fields: Any) -> Callable[[Ensemble], Any]:
    return lambda labels: labels.stub.ListLabelSets(
        pb.ListLabelSetsRequest(**{"parent": PARENT, **fields})
    )


def listing_segments(**fields: Any) -> Callable[[Ensemble], Any]:
    return lambda labels: labels.stub.ListSegments(
        pb.ListSegmentsRequest(**{"parent": NAME, **fields})
    )


MISSING = f"{PARENT}/labelSets/missing"
BAD_INPUT: list[Case] = [
    ("InvalidArgument", "NAME_INVALID", "labelSets", creating(name="flies")),
    ("InvalidArgument", "NAME_INVALID", "labelSets", creating(name=f"{PARENT}/labelSets/..")),
    ("InvalidArgument", "NAME_INVALID", "projects", listing(parent="lab")),
    ("InvalidArgument", "NAME_INVALID", "projects", importing(text_file, parent="x")),
    ("InvalidArgument", "NAME_INVALID", "labelSets", exporting("out.slp", "flies")),
    ("InvalidArgument", "NAME_INVALID", "labelSets", committing(header("flies"))),
    ("InvalidArgument", "VIDEO_INVALID", "uri", creating(video=video_pb2.Video())),
    ("InvalidArgument", "SKELETON_INVALID", "no nodes", creating(skeleton=pose_pb2.Skeleton())),
    (
        "InvalidArgument",
        "SKELETON_INVALID",
        "twice",
        creating(skeleton=pose_pb2.Skeleton(nodes=["a", "a"])),
    ),
    ("InvalidArgument", "PROVENANCE_INVALID", "not JSON", creating(provenance_json="{")),
    ("InvalidArgument", "PROVENANCE_INVALID", "object", creating(provenance_json="[]")),
    ("AlreadyExists", "LABEL_SET_EXISTS", NAME, creating(track_names=["x"])),
    ("InvalidArgument", "PAGE_SIZE_INVALID", "page_size", listing(page_size=-1)),
    ("InvalidArgument", "PAGE_SIZE_INVALID", "page_size", listing_segments(page_size=-1)),
    ("InvalidArgument", "PAGE_TOKEN_INVALID", "page_token", listing(page_token="?")),
    ("InvalidArgument", "PAGE_TOKEN_INVALID", "first page", listing_segments(page_token="eHg=")),
    ("NotFound", "LABEL_SET_NOT_FOUND", MISSING, listing_segments(parent=MISSING)),
    ("NotFound", "LABEL_SET_NOT_FOUND", MISSING, lambda labels: stream(labels, MISSING)),
    ("NotFound", "LABEL_SET_NOT_FOUND", MISSING, exporting("out.slp", NAME, MISSING)),
    ("NotFound", "LABEL_SET_NOT_FOUND", MISSING, committing(header(MISSING), some(1))),
    (
        "NotFound",
        "LABEL_SET_NOT_FOUND",
        MISSING,
        lambda labels: labels.stub.DeleteLabelSet(pb.DeleteLabelSetRequest(name=MISSING)),
    ),
    ("InvalidArgument", "HEADER_EXPECTED_FIRST", "first message", committing()),
    ("InvalidArgument", "HEADER_EXPECTED_FIRST", "first message", committing(some(1))),
    ("InvalidArgument", "HEADER_EXPECTED_FIRST", "`poses`", committing(header(token=9), header())),
    ("InvalidArgument", "POSES_INVALID", "range", committing(header(token=9), some(100))),
    ("InvalidArgument", "POSES_INVALID", "after", committing(header(token=9), some(5), some(5))),
    (
        "InvalidArgument",
        "POSES_INVALID",
        "3 nodes",
        committing(header(token=9), some(1, node_count=2)),
    ),
    (
        "InvalidArgument",
        "POSES_INVALID",
        "expected",
        committing(header(token=9), some(1, instance_scores=tensor(np.zeros((), np.float32)))),
    ),
    (
        "InvalidArgument",
        "POSES_INVALID",
        "tensor",
        committing(header(token=9), pb.CommitSegmentRequest(poses=pose_pb2.PoseBatch())),
    ),
    ("InvalidArgument", "POSES_INVALID", "holds no frames", committing(header(start=5, stop=5))),
    ("InvalidArgument", "POSES_INVALID", "Segment 0", committing(header(index=1, start=99))),
    ("Aborted", "FENCING_TOKEN_STALE", "another worker", committing(header(token=1), some(1))),
    ("InvalidArgument", "RANGE_INVALID", "stop", lambda labels: stream(labels, start=5, stop=5)),
    ("DataLoss", "SEGMENT_DAMAGED", "checksum", reading_damage),
    ("DataLoss", "SEGMENT_DAMAGED", "checksum", exporting_damage),
    ("NotFound", "LABELS_NOT_FOUND", "no file", importing(lambda labels: f"{labels.files}/x.slp")),
    ("NotFound", "LABELS_NOT_FOUND", "no file", probing(lambda labels: f"{labels.files}/x.slp")),
    ("InvalidArgument", "LABELS_UNREADABLE", "no SLEAP file", importing(text_file)),
    ("InvalidArgument", "LABELS_UNREADABLE", "not a SLEAP", probing(text_file)),
    ("InvalidArgument", "LABELS_UNREADABLE", "folder.slp", probing(folder)),
    ("PermissionDenied", "PATH_OUTSIDE_ROOTS", "allowed", probing(lambda _: "/etc/passwd")),
    ("InvalidArgument", "LABELS_UNREADABLE", "truncated", importing(truncated)),
    ("InvalidArgument", "LABELS_UNREADABLE", "KeyError", importing(other_hdf5)),
    ("InvalidArgument", "LABELS_UNREADABLE", "folder.slp", importing(folder)),
    ("PermissionDenied", "PATH_OUTSIDE_ROOTS", "allowed", importing(lambda _: "/etc/passwd")),
    ("InvalidArgument", "URI_INVALID", "absolute", importing(lambda _: "labels.slp")),
    ("PermissionDenied", "PATH_OUTSIDE_ROOTS", "allowed", exporting(lambda _: "/x.slp", NAME)),
    ("PermissionDenied", "PATH_OUTSIDE_ROOTS", "allowed", exporting(outside_link, NAME)),
    ("InvalidArgument", "OUTPUT_INVALID", "end in .slp", exporting("out.csv", NAME)),
    ("InvalidArgument", "OUTPUT_INVALID", "create", exporting("none/out.slp", NAME)),
    ("InvalidArgument", "OUTPUT_INVALID", "is a folder", exporting(folder, NAME)),
    ("InvalidArgument", "OUTPUT_INVALID", "at least one", exporting("out.slp")),
    ("InvalidArgument", "VIDEO_URIS_INVALID", "one for each", exporting_moved("a.mp4", "b.mp4")),
    ("PermissionDenied", "PATH_OUTSIDE_ROOTS", "allowed", exporting_moved("../a.mp4")),
    ("InvalidArgument", "OUTPUT_INVALID", "same video", exporting("out.slp", NAME, TWIN)),
    (
        "FailedPrecondition",
        "SKELETONS_DIFFER",
        "another skeleton",
        exporting("out.slp", NAME, OTHER),
    ),
]


@pytest.mark.parametrize(
    ("error", "reason", "words", "call"),
    BAD_INPUT,
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_bad_input_is_a_typed_error_in_one_line(
    error: str, reason: str, words: str, call: Callable[[Ensemble], Any], labels: Ensemble
) -> None:
    await create(labels, label_set())
    await create(labels, label_set(TWIN, video=label_set().video))
    await create(labels, label_set(OTHER, skeleton=pose_pb2.Skeleton(nodes=["a"])))
    await commit(labels, header(token=5), some(1, 2))
    found = await error_of(call(labels))
    assert (type(found).__name__, found.reason) == (error, reason)
    assert words in found.message
    assert "\n" not in found.message
    assert not list(labels.files.rglob("*.partial"))
    segments = [path for path in (labels.home / "segments").rglob("*") if path.is_file()]
    assert len(segments) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into read-only folders")
async def test_a_read_only_folder_is_refused(labels: Ensemble) -> None:
    await create(labels, label_set())
    found = await error_of(exporting(read_only, NAME)(labels))
    assert found.reason == "OUTPUT_INVALID"


async def test_a_failed_export_leaves_the_file_that_was_there(labels: Ensemble) -> None:
    await create(labels, label_set())
    await commit(labels, header(), some(1))
    output = labels.files / "out.slp"
    output.write_text("before")
    assert (await error_of(exporting_damage(labels))).reason == "SEGMENT_DAMAGED"
    assert output.read_text() == "before"


async def test_a_newer_database_keeps_the_service_from_starting(tmp_path: Path) -> None:
    config = LabelsConfig(listen="unix:/nowhere", home=tmp_path)
    (tmp_path / "labels").mkdir()
    with sqlite3.connect(tmp_path / "labels" / "labels.db") as database:
        database.execute("CREATE TABLE schema_versions (version INTEGER)")
        database.execute("INSERT INTO schema_versions VALUES (99)")
    with pytest.raises(ShoalError, match="update Shoal") as caught:
        await build(config)
    assert caught.value.reason == "SCHEMA_TOO_NEW"
