"""An exported file holds what was committed, in the form that SLEAP opens."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import sleap_io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoal_core.skeleton import Skeleton
from shoal_labels.columns import PoseColumns
from shoal_labels.label_sets import LabelSet, LabelSetKey, Segment, Video
from shoal_labels.segments import SegmentReader, SegmentWriter
from shoal_labels.slp_export import Source, TrackList, export
from shoal_labels.slp_import import import_labels
from shoal_labels.slp_videos import describe, entry

Make = Callable[..., PoseColumns]
Same = Callable[[PoseColumns, PoseColumns], None]
Join = Callable[[list[PoseColumns]], PoseColumns]


def stored(folder: Path, label_set: LabelSet, *parts: PoseColumns) -> Source:
    segments = []
    for index, part in enumerate(parts):
        path = folder / label_set.key.label_set / f"{index}.h5"
        path.unlink(missing_ok=True)
        writer = SegmentWriter(path, len(label_set.skeleton.nodes))
        writer.append(part)
        file = writer.finish()
        segments.append(
            Segment(
                label_set.key,
                index,
                *(0, 10**12, 1),
                path.relative_to(folder).as_posix(),
                file.checksum,
                file.frame_count,
                file.instance_count,
            )
        )
    return Source(label_set, segments)


def exported(folder: Path, *sources: Source) -> Path:
    output = folder / "out.slp"
    export(folder, sources, folder / ".out.partial", output)
    return output


def poses_of(folder: Path, segments: list[Segment]) -> list[PoseColumns]:
    parts: list[PoseColumns] = []
    for segment in segments:
        with SegmentReader(folder / segment.path, segment.checksum) as reader:
            parts += iter(reader.read, None)
    return parts


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    frames=st.lists(st.integers(0, 10**6), unique=True, max_size=40).map(sorted),
    user_share=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 2**16),
)
def test_import_of_an_export_gives_the_same_poses(
    frames: list[int],
    user_share: float,
    seed: int,
    tmp_path_factory: pytest.TempPathFactory,
    label_set: LabelSet,
    poses: Make,
    same_poses: Same,
    joined: Join,
) -> None:
    folder = tmp_path_factory.mktemp("round")
    columns = poses(frames, seed=seed, user_share=user_share)
    output = exported(folder, stored(folder, label_set, columns))
    ((imported, segments),) = import_labels(output, "lab", folder, folder / "in", [])
    with_instances = columns.select(columns.instance_counts_F > 0)
    same_poses(joined([poses([]), *poses_of(folder, segments)]), with_instances)
    assert imported.skeleton == label_set.skeleton
    used = set(columns.track_indices_M.tolist())
    assert imported.track_names == ("female", "male", "track_2")[: 3 if 2 in used else 2]
    assert imported.provenance.items() >= {"model": "m1"}.items()


def test_sleap_io_reads_what_was_committed(
    tmp_path: Path, label_set: LabelSet, poses: Make
) -> None:
    symmetric = replace(label_set, skeleton=replace(label_set.skeleton, symmetries=((0, 2),)))
    columns = poses(list(range(5, 25)), user_share=0.4)
    labels = sleap_io.load_slp(
        str(exported(tmp_path, stored(tmp_path, symmetric, columns))), open_videos=False
    )
    assert labels.skeleton.node_names == ["head", "thorax", "tail"]
    assert labels.skeleton.edge_inds == [(1, 0), (1, 2)]
    assert labels.skeleton.symmetry_inds == [(0, 2)]
    assert labels.provenance["model"] == "m1"
    assert labels.provenance["shoal_version"]
    assert labels.video.filename == "/videos/flies.mp4"
    assert tuple(labels.video.shape) == (5000, 1024, 1024, 1)
    row = 0
    with_instances = columns.select(columns.instance_counts_F > 0)
    assert [lf.frame_idx for lf in labels] == with_instances.frame_indices_F.tolist()
    for frame, count in zip(labels, with_instances.instance_counts_F, strict=True):
        assert len(frame) == count
        for instance in frame:
            is_user = bool(columns.is_user_M[row])
            assert (type(instance) is sleap_io.Instance) == is_user
            np.testing.assert_array_equal(instance.numpy(), columns.points_px_MN2[row])
            track = int(columns.track_indices_M[row])
            name = instance.track.name if instance.track else None
            assert name == (["female", "male", "track_2"][track] if track >= 0 else None)
            assert instance.tracking_score == columns.tracking_scores_M[row]
            if not is_user:
                assert instance.score == columns.instance_scores_M[row]
                np.testing.assert_array_equal(
                    instance.points["score"], columns.point_scores_MN[row]
                )
            row += 1
    assert row == columns.instance_count


def test_several_label_sets_become_several_videos_of_one_file(
    tmp_path: Path, label_set: LabelSet, poses: Make
) -> None:
    other = replace(
        label_set,
        key=LabelSetKey("lab", "mice"),
        video=Video("/videos/mice.avi"),
        track_names=("male", "third"),
    )
    first, second = poses([1, 2, 3], seed=1), poses([2, 9], seed=2)
    output = exported(tmp_path, stored(tmp_path, label_set, first), stored(tmp_path, other, second))
    labels = sleap_io.load_slp(str(output), open_videos=False)
    assert [video.filename for video in labels.videos] == ["/videos/flies.mp4", "/videos/mice.avi"]
    names = [track.name for track in labels.tracks]
    assert len(set(names)) == len(names)
    assert {"female", "male", "third"} <= set(names)
    for video, columns in zip(labels.videos, (first, second), strict=True):
        frames = [frame for frame in labels if frame.video is video]
        found = [instance.numpy() for frame in frames for instance in frame]
        np.testing.assert_array_equal(np.array(found), columns.points_px_MN2)
    assert len(labels.provenance["shoal_provenance"]) == 2


def test_tracks_of_one_name_are_one_track_unless_a_label_set_has_it_twice() -> None:
    tracks = TrackList()
    assert tracks.add({0: "a", 1: "b", 7: "a"}) == {0: 0, 1: 1, 7: 2}
    assert tracks.add({0: "b", 1: "c"}) == {0: 1, 1: 3}
    assert tracks.names == ["a", "b", "a", "c"]


def test_huge_track_indices_cost_nothing(tmp_path: Path, label_set: LabelSet, poses: Make) -> None:
    columns = poses([1, 2, 3])
    last = np.full_like(columns.track_indices_M, 2**31 - 1)
    output = exported(tmp_path, stored(tmp_path, label_set, replace(columns, track_indices_M=last)))
    tracks = [track.name for track in sleap_io.load_slp(str(output), open_videos=False).tracks]
    assert tracks == ["female", "male", "track_2147483647"]


def test_the_layout_is_that_of_sleaps_own_files(
    tmp_path: Path, shared_data: Path, label_set: LabelSet, poses: Make
) -> None:
    output = exported(tmp_path, stored(tmp_path, label_set, poses([1, 2, 3])))
    sleaps = shared_data / "flies_demo" / "demo-flies13-preds.slp"
    with h5py.File(output) as ours, h5py.File(sleaps) as theirs:
        assert set(ours) >= set(theirs)
        assert float(ours["metadata"].attrs["format_id"]) == 1.4
        for table in ("frames", "instances", "points", "pred_points"):
            assert ours[table].dtype == theirs[table].dtype
            assert ours[table].ndim == 1
        for name in ("videos_json", "tracks_json"):
            assert isinstance(ours[name][0], bytes)
        instances = ours["instances"][:]
        assert (np.diff(instances["instance_id"]) == 1).all()
        assert (instances["point_id_end"] - instances["point_id_start"] == 3).all()


def test_a_label_set_without_frames_exports(tmp_path: Path, label_set: LabelSet) -> None:
    output = exported(tmp_path, Source(label_set, []))
    labels = sleap_io.load_slp(str(output), open_videos=False)
    assert len(labels) == 0
    assert labels.skeleton.node_names == list(label_set.skeleton.nodes)


def test_the_partial_file_becomes_the_output(
    tmp_path: Path, label_set: LabelSet, poses: Make
) -> None:
    source = stored(tmp_path / "store", label_set, poses([1]))
    (tmp_path / "out.slp").write_text("what was there before")
    export(tmp_path / "store", [source], tmp_path / ".partial", tmp_path / "out.slp")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.slp", "store"]
    assert len(sleap_io.load_slp(str(tmp_path / "out.slp"), open_videos=False).videos) == 1


def test_an_image_folder_is_listed_in_the_order_of_the_frame_indices(tmp_path: Path) -> None:
    for name in ("img10.png", "img2.png", "IMG1.png", ".hidden.png", "notes.txt"):
        (tmp_path / name).touch()
    filenames, backend = entry(Video(tmp_path.as_uri()))
    assert [Path(name).name for name in filenames] == ["IMG1.png", "img2.png", "img10.png"]
    assert backend["type"] == "ImageVideo"


def test_an_imgstore_is_named_as_sleap_names_it_and_found_again(tmp_path: Path) -> None:
    for store in ("left", "right"):
        (tmp_path / store).mkdir()
        (tmp_path / store / "metadata.yaml").write_text("__store: {}")
    folder = tmp_path / "left"
    filename, backend = entry(Video(str(folder), 10, 4, 6, 1))
    assert filename == backend["filename"] == str(folder / "metadata.yaml")
    assert (backend["type"], backend["index_by_original"]) == ("ImgStoreVideo", True)
    # On another machine, beside the labels.
    elsewhere = {**backend, "filename": "D:/data/left/metadata.yaml"}
    imported = describe(
        sleap_io.Video(elsewhere["filename"], backend_metadata=elsewhere, open_backend=False),
        tmp_path / "labels.slp",
        (),
    )
    assert imported.uri == str(folder)
    assert entry(imported)[0] == str(folder / "metadata.yaml")


def test_a_folder_of_images_with_other_metadata_is_no_imgstore(tmp_path: Path) -> None:
    (tmp_path / "0.png").touch()
    (tmp_path / "metadata.yaml").write_text("camera: top")
    assert entry(Video(str(tmp_path)))[1]["type"] == "ImageVideo"


@pytest.mark.parametrize(("frames", "lost"), [(range(10), None), ([0, 1, 9], 7)])
def test_frames_without_poses_are_told_by_the_file(
    frames: list[int], lost: int | None, tmp_path: Path, label_set: LabelSet, poses: Make
) -> None:
    job = replace(label_set, provenance={"video": {"asked_frame_count": 10}})
    output = exported(tmp_path, stored(tmp_path, job, poses(frames)))
    provenance = sleap_io.load_slp(str(output), open_videos=False).provenance
    assert provenance.get("shoal_unread_frame_count") == lost


@pytest.mark.parametrize(
    "provenance",
    [
        {"video": "/videos/flies.mp4"},
        {"video": {"asked_frame_count": "ten"}},
        {"video": {"asked_frame_count": 10}, "imported_from": "/labels/old.slp"},
    ],
    ids=["another program's", "no number", "imported, without its frames that have no instance"],
)
def test_only_a_job_that_could_not_read_frames_has_lost_them(
    provenance: dict[str, object], tmp_path: Path, label_set: LabelSet, poses: Make
) -> None:
    source = stored(tmp_path, replace(label_set, provenance=provenance), poses([0, 1, 9]))
    made = sleap_io.load_slp(str(exported(tmp_path, source)), open_videos=False).provenance
    assert made["video"] == provenance["video"]
    assert "shoal_unread_frame_count" not in made


@pytest.mark.parametrize(("channel_count", "grayscale"), [(1, True), (3, False), (0, None)])
def test_the_video_entry_says_what_is_known(channel_count: int, grayscale: bool | None) -> None:
    filename, backend = entry(Video("file:///v/a%20b.mp4", 10, 4, 6, channel_count, 25.0))
    assert filename == backend["filename"] == "/v/a b.mp4"
    assert backend["grayscale"] is grayscale
    assert ("shape" in backend) == (channel_count > 0)


@pytest.mark.parametrize("uri", ["file:///v/a.h5#left/frames", "/v/a.h5#left/frames"])
def test_the_entry_of_a_dataset_names_the_file_and_the_dataset(uri: str) -> None:
    filename, backend = entry(Video(uri, 10, 4, 6, 1))
    assert filename == backend["filename"] == "/v/a.h5"
    assert (backend["type"], backend["dataset"]) == ("HDF5Video", "left/frames")


def test_a_skeleton_of_one_node_exports(tmp_path: Path, label_set: LabelSet, poses: Make) -> None:
    single = replace(label_set, skeleton=Skeleton("", ("centre",)))
    columns = poses([0, 1, 2], node_count=1)
    output = exported(tmp_path, stored(tmp_path, single, columns))
    assert sleap_io.load_slp(str(output), open_videos=False).skeleton.node_names == ["centre"]
