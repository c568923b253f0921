"""A SLEAP file is imported as it is; what cannot be is refused in one line."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import sleap_io

from shoal_core.errors import InvalidArgument
from shoal_labels.columns import PoseColumns
from shoal_labels.label_sets import Segment
from shoal_labels.segments import SegmentReader
from shoal_labels.slp_export import Source, export
from shoal_labels.slp_import import import_labels
from shoal_labels.slp_tables import frames_of_video

REAL = [
    "pair/centered_pair_predictions.slp",
    "pair/minimal_instance.slp",
    "pair/minimal_instance.pkg.slp",
    "flies_clip/clip.predictions.slp",
    "flies_clip/clip.train.slp",
    "flies_clip/clip.2node.train.slp",
    "flies_demo/demo-flies13-preds.slp",
    "robot/small_robot_minimal.slp",
]


def load(path: Path) -> sleap_io.Labels:
    return sleap_io.load_slp(str(path), open_videos=False)


def poses_of(folder: Path, segments: list[Segment]) -> list[PoseColumns]:
    parts: list[PoseColumns] = []
    for segment in segments:
        with SegmentReader(folder / segment.path, segment.checksum) as reader:
            parts += iter(reader.read, None)
    return parts


def described(labels: sleap_io.Labels) -> list[Any]:
    """Every instance of a file, as far as Shoal keeps it, rounded to float32."""
    return [
        (
            frame.frame_idx,
            type(instance).__name__,
            instance.track and instance.track.name,
            instance.numpy().astype(np.float32).tobytes(),
            np.nan_to_num(np.float32(instance.tracking_score)),
            np.float32(getattr(instance, "score", 0)),
            instance.points["score"].astype(np.float32).tobytes()
            if isinstance(instance, sleap_io.PredictedInstance)
            else b"",
        )
        for frame in labels
        for instance in frame
    ]


@pytest.mark.parametrize("name", REAL)
def test_real_files_come_out_as_they_went_in(name: str, shared_data: Path, tmp_path: Path) -> None:
    original = shared_data / name
    imported = import_labels(original, "lab", tmp_path, tmp_path / "in", [])
    sources = [Source(label_set, segments) for label_set, segments in imported]
    counts = export(tmp_path, sources, tmp_path / ".partial", tmp_path / "out.slp")
    theirs, ours = load(original), load(tmp_path / "out.slp")
    assert described(ours) == described(theirs)
    assert counts == (len(theirs), sum(len(frame) for frame in theirs))
    assert ours.skeleton.node_names == theirs.skeleton.node_names
    assert ours.skeleton.edge_inds == theirs.skeleton.edge_inds
    assert ours.skeleton.symmetry_inds == theirs.skeleton.symmetry_inds
    assert [track.name for track in ours.tracks] == [track.name for track in theirs.tracks]
    assert (
        ours.provenance.items()
        >= {key: value for key, value in theirs.provenance.items() if key != "filename"}.items()
    )


@pytest.mark.parametrize("name", REAL)
def test_real_videos_are_found_beside_the_labels(
    name: str, shared_data: Path, tmp_path: Path
) -> None:
    original = shared_data / name
    for label_set, _ in import_labels(original, "lab", tmp_path, tmp_path / "in", []):
        assert Path(label_set.video.uri).parent == original.parent.resolve()
        assert Path(label_set.video.uri).is_file()


def save(path: Path, *, videos: list[str], **changes: Any) -> Path:
    """Writes a file with one predicted instance in frames 3 and 5 of each video."""
    skeleton = sleap_io.Skeleton(["a", "b"])
    entries = [sleap_io.Video(filename=name, open_backend=False) for name in videos]
    frames = [
        sleap_io.LabeledFrame(
            video=video,
            frame_idx=index,
            instances=[
                sleap_io.PredictedInstance.from_numpy(
                    np.array([[index, place], [np.nan, np.nan]]),
                    skeleton=skeleton,
                    point_scores=np.array([0.5, 0.0]),
                    score=0.25,
                )
            ],
        )
        for index in (5, 3)
        for place, video in enumerate(entries)
    ]
    labels = sleap_io.Labels(frames, videos=entries, skeletons=[skeleton])
    sleap_io.save_slp(labels, str(path), verbose=False)
    with h5py.File(path, "r+") as file:
        for table, change in changes.items():
            rows = file[table][:]
            del file[table]
            file[table] = change(rows)
    return path


def test_each_video_becomes_a_label_set_and_frames_are_sorted(tmp_path: Path) -> None:
    path = save(tmp_path / "two.slp", videos=["/a/one.mp4", "/b/two.mp4"])
    imported = import_labels(path, "lab", tmp_path, tmp_path / "in", [])
    assert [label_set.video.uri for label_set, _ in imported] == ["/a/one.mp4", "/b/two.mp4"]
    for place, (label_set, segments) in enumerate(imported):
        assert label_set.key.label_set.endswith(f"-{place}")
        (columns,) = poses_of(tmp_path, segments)
        assert columns.frame_indices_F.tolist() == [3, 5]
        assert columns.points_px_MN2[:, 0].tolist() == [[3, place], [5, place]]
        assert columns.point_scores_MN.tolist() == [[0.5, 0], [0.5, 0]]


def test_equal_bytes_give_equal_names(tmp_path: Path) -> None:
    path = save(tmp_path / "one.slp", videos=["/a/one.mp4"])
    copy = tmp_path / "copy.slp"
    copy.write_bytes(path.read_bytes())
    first, second = (
        import_labels(p, "lab", tmp_path, tmp_path / p.stem, [])[0][0].key for p in (path, copy)
    )
    assert first == second


def test_a_frame_that_is_listed_twice_becomes_one(tmp_path: Path) -> None:
    def repeat(frames: Any) -> Any:
        frames["frame_idx"] = 3
        return frames

    path = save(tmp_path / "twice.slp", videos=["/a/one.mp4"], frames=repeat)
    ((_, segments),) = import_labels(path, "lab", tmp_path, tmp_path / "in", [])
    (columns,) = poses_of(tmp_path, segments)
    assert columns.frame_indices_F.tolist() == [3]
    assert columns.instance_counts_F.tolist() == [2]


def test_frames_call_embedded_videos_by_the_number_of_their_dataset(tmp_path: Path) -> None:
    def renumber(frames: Any) -> Any:
        frames["video"] = np.where(frames["video"] == 0, 4, 15)
        return frames

    def embed(rows: Any) -> Any:
        return [
            f'{{"backend": {{"filename": ".", "dataset": "video{number}/video"}}}}'
            for number in (4, 15)
        ]

    path = save(
        tmp_path / "p.pkg.slp", videos=["a.mp4", "b.mp4"], frames=renumber, videos_json=embed
    )
    imported = import_labels(path, "lab", tmp_path, tmp_path / "in", [])
    second = [poses_of(tmp_path, segments)[0].points_px_MN2[0, 0, 1] for _, segments in imported]
    assert second == [0, 1]


def test_old_files_have_the_pixel_corner_at_zero(tmp_path: Path) -> None:
    path = save(tmp_path / "old.slp", videos=["/a/one.mp4"])
    with h5py.File(path, "r+") as file:
        file["metadata"].attrs["format_id"] = 1.0
    ((_, segments),) = import_labels(path, "lab", tmp_path, tmp_path / "in", [])
    (columns,) = poses_of(tmp_path, segments)
    assert columns.points_px_MN2[0, 0].tolist() == [2.5, -0.5]


@pytest.mark.parametrize(
    ("stored", "existing", "expected"),
    [
        ("/nowhere/v.mp4", [], "/nowhere/v.mp4"),
        ("/nowhere/v.mp4", ["labels/v.mp4"], "labels/v.mp4"),
        ("sub/v.mp4", ["labels/sub/v.mp4", "labels/v.mp4"], "labels/sub/v.mp4"),
        ("C:\\data\\v.mp4", ["labels/v.mp4"], "labels/v.mp4"),
        ("/nowhere/v.mp4", ["videos/v.mp4"], "videos/v.mp4"),
        ("/nowhere/v.mp4", ["videos/v.mp4", "labels/v.mp4"], "labels/v.mp4"),
    ],
)
def test_a_video_is_looked_for_by_name(
    stored: str, existing: list[str], expected: str, tmp_path: Path
) -> None:
    for name in ["labels/x", *existing]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    path = save(tmp_path / "labels" / "l.slp", videos=[stored])
    folders = [str(tmp_path / "videos")]
    ((label_set, _),) = import_labels(path, "lab", tmp_path, tmp_path / "in", folders)
    found = label_set.video.uri
    assert found == (expected if expected == stored else str(tmp_path / expected))
    assert label_set.video.sleap_backend is not None
    assert label_set.video.sleap_backend["filename"] == found


def test_long_tables_are_cut_between_frames() -> None:
    dtype = [(name, "i8") for name in ("frame_id", "video", "frame_idx", "start", "end")]
    rows = np.zeros(10, dtype)
    rows["frame_idx"] = [9, 0, 1, 2, 2, 2, 3, 4, 4, 5]
    parts = frames_of_video(rows, 0).parts(3)
    indices = [part.frame_indices_F.tolist() for part in parts]
    assert list(itertools.chain(*indices)) == sorted(rows["frame_idx"])
    assert all(a[-1] < b[0] for a, b in itertools.pairwise(indices))


def bad_skeletons(rows: Any) -> Any:
    rows["skeleton"][0] = 1
    return rows


def missing_points(rows: Any) -> Any:
    rows["point_id_end"] += 100
    rows["point_id_start"] += 100
    return rows


def missing_instances(rows: Any) -> Any:
    rows["instance_id_start"] += 100
    rows["instance_id_end"] += 100
    return rows


def short_instances(rows: Any) -> Any:
    rows["point_id_end"] -= 1
    return rows


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"instances": bad_skeletons}, "2 skeletons"),
        ({"instances": missing_points}, "rows that are not there"),
        ({"frames": missing_instances}, "rows that are not there"),
        ({"instances": short_instances}, "do not have the 2 nodes"),
    ],
)
def test_tables_that_contradict_one_another_are_refused(
    changes: dict[str, Any], complaint: str, tmp_path: Path
) -> None:
    path = save(tmp_path / "bad.slp", videos=["/a/one.mp4"], **changes)
    with pytest.raises(InvalidArgument, match=complaint):
        import_labels(path, "lab", tmp_path, tmp_path / "in", [])


def test_an_image_sequence_is_its_folder_and_keeps_its_list(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    names = [f"/maker/frames/{index}.png" for index in range(3)]
    for name in names:
        (tmp_path / "frames" / Path(name).name).touch()
    path = save(tmp_path / "l.slp", videos=["/a/one.mp4"])
    with h5py.File(path, "r+") as file:
        del file["videos_json"]
        listed = ", ".join(f'"{name}"' for name in names)
        file["videos_json"] = [
            f'{{"backend": {{"filename": "{names[0]}", "filenames": [{listed}]}}}}'
        ]
    ((label_set, segments),) = import_labels(path, "lab", tmp_path, tmp_path / "in", [])
    assert label_set.video.uri == str(tmp_path / "frames")
    source = Source(replace(label_set), segments)
    export(tmp_path, [source], tmp_path / ".partial", tmp_path / "out.slp")
    assert load(tmp_path / "out.slp").video.filename == [
        str(tmp_path / "frames" / f"{index}.png") for index in range(3)
    ]
