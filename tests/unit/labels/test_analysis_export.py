"""An analysis file holds what SLEAP's would, for every label set that has one."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import sleap_io
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from shoal_core.errors import FailedPrecondition
from shoal_labels.analysis_export import export_analysis
from shoal_labels.columns import PoseColumns
from shoal_labels.label_sets import LabelSet, Video
from shoal_labels.slp_export import Source, export
from tests.unit.labels.test_slp_export import stored

Make = Callable[..., PoseColumns]
MATRICES = ("tracks", "track_occupancy", "point_scores", "instance_scores", "tracking_scores")


def analysis(folder: Path, source: Source) -> dict[str, np.ndarray]:
    output = folder / "out.analysis.h5"
    counts = export_analysis(folder, source, folder / ".out.partial", output, {"more": 1})
    with h5py.File(output, "r") as file:
        made = {name: dataset[()] for name, dataset in file.items()}
    occupied = made["track_occupancy"].astype(bool)
    assert counts == (occupied.any(axis=1).sum(), occupied.sum())
    return made


def theirs_of(folder: Path, source: Source) -> dict[str, np.ndarray]:
    """What sleap-io makes of the .slp of the same label set."""
    export(folder, [source], folder / ".slp.partial", folder / "out.slp")
    labels = sleap_io.load_slp(str(folder / "out.slp"), open_videos=False)
    sleap_io.save_analysis_h5(labels, str(folder / "theirs.h5"))
    with h5py.File(folder / "theirs.h5", "r") as file:
        return {name: dataset[()] for name, dataset in file.items()}


NO_SHRINKING = [Phase.explicit, Phase.reuse, Phase.generate]
"""Each example is a file or two."""


@settings(
    max_examples=8,
    deadline=None,
    phases=NO_SHRINKING,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    frames=st.lists(st.integers(0, 1500), unique=True, min_size=1, max_size=30).map(sorted),
    user_share=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 2**16),
)
def test_the_file_is_the_one_that_sleap_makes_of_the_same_labels(
    frames: list[int],
    user_share: float,
    seed: int,
    tmp_path_factory: pytest.TempPathFactory,
    label_set: LabelSet,
    poses: Make,
) -> None:
    folder = tmp_path_factory.mktemp("analysis")
    columns = poses([*frames, 1600, 1601], seed=seed, user_share=user_share)
    columns = columns.select(columns.instance_counts_F > 0)  # a .slp has no others
    assume((columns.track_indices_M >= 0).any())
    first_F = np.arange(columns.frame_count) < columns.frame_count // 2
    parts = [columns.select(mask) for mask in (first_F, ~first_F) if mask.any()]
    source = stored(folder, replace(label_set, video=Video("/videos/flies.mp4")), *parts)
    made, theirs = analysis(folder, source), theirs_of(folder, source)
    assert set(made) == set(theirs)
    # Differs from SLEAP 1.4, which has no tracking score for what a person made.
    theirs["tracking_scores"][np.isnan(theirs["instance_scores"])] = np.nan
    for name in (*MATRICES, "track_names", "node_names", "edge_names", "edge_inds", "video_path"):
        np.testing.assert_array_equal(made[name], theirs[name], err_msg=name)
    for name in MATRICES:
        assert made[name].dtype == theirs[name].dtype, name


def one_frame(
    poses: Make, tracks: list[int], is_user: list[int], frame_index: int = 2
) -> PoseColumns:
    columns = poses([frame_index])
    count = len(tracks)
    return replace(
        columns,
        instance_counts_F=np.array([count], np.int32),
        points_px_MN2=np.arange(count * 6, dtype=np.float32).reshape(count, 3, 2),
        point_scores_MN=np.full((count, 3), 0.5, np.float32),
        instance_scores_M=np.arange(count, dtype=np.float32),
        track_indices_M=np.array(tracks, np.int32),
        tracking_scores_M=np.full(count, 0.25, np.float32),
        is_user_M=np.array(is_user, np.uint8),
    )


def test_what_a_person_made_goes_before_a_prediction(
    tmp_path: Path, label_set: LabelSet, poses: Make
) -> None:
    made = analysis(tmp_path, stored(tmp_path, label_set, one_frame(poses, [1, 1], [1, 0])))
    assert made["track_names"].tolist() == [b"male"]
    np.testing.assert_array_equal(made["tracks"][0, :, :, 2], [[0, 2, 4], [1, 3, 5]])
    assert np.isnan(made["instance_scores"][0, 2])
    assert np.isnan(made["point_scores"][0, :, 2]).all()


def test_of_several_instances_of_a_track_the_last_stays(
    tmp_path: Path, label_set: LabelSet, poses: Make
) -> None:
    made = analysis(tmp_path, stored(tmp_path, label_set, one_frame(poses, [0, 0, -1], [0, 0, 0])))
    assert made["instance_scores"][0, 2] == 1
    assert made["track_occupancy"].tolist() == [[0], [0], [1]]


def test_a_single_animal_needs_no_track(tmp_path: Path, label_set: LabelSet, poses: Make) -> None:
    made = analysis(tmp_path, stored(tmp_path, label_set, one_frame(poses, [-1], [0])))
    assert made["track_names"].shape == (0,)
    assert made["tracks"].shape == (1, 2, 3, 3)
    assert made["instance_scores"][0].tolist()[2] == 0


def test_several_animals_without_tracks_are_refused(
    tmp_path: Path, label_set: LabelSet, poses: Make
) -> None:
    source = stored(tmp_path, label_set, one_frame(poses, [-1, -1], [0, 0]))
    with pytest.raises(FailedPrecondition, match="Frame 2 has 2 instances") as caught:
        analysis(tmp_path, source)
    assert caught.value.reason == "TRACKS_MISSING"


def test_processed_frames_without_animals_are_frames(
    tmp_path: Path, label_set: LabelSet, poses: Make
) -> None:
    empty = one_frame(poses, [], [], frame_index=7)
    source = stored(tmp_path, label_set, one_frame(poses, [0], [0]), empty)
    assert analysis(tmp_path, source)["track_occupancy"].shape == (8, 1)


def test_nothing_processed_is_a_file_without_frames(tmp_path: Path, label_set: LabelSet) -> None:
    assert analysis(tmp_path, Source(label_set, []))["tracks"].shape == (1, 2, 3, 0)


def test_provenance_is_that_of_the_label_set_and_what_the_caller_adds(
    tmp_path: Path, label_set: LabelSet, poses: Make
) -> None:
    made = analysis(tmp_path, stored(tmp_path, label_set, one_frame(poses, [0], [0])))
    provenance = json.loads(made["provenance"])
    assert provenance["model"] == "m1"
    assert provenance["more"] == 1
    assert made["video_path"] == b"/videos/flies.mp4"


@pytest.mark.parametrize("uri", ["/videos/flies.h5#left/frames", "file:///videos/flies.h5#left"])
def test_the_path_of_a_dataset_is_that_of_its_file_as_in_the_slp(
    uri: str, tmp_path: Path, label_set: LabelSet, poses: Make
) -> None:
    moved = replace(label_set, video=Video(uri))
    source = stored(tmp_path, moved, one_frame(poses, [0], [0]))
    assert analysis(tmp_path, source)["video_path"] == b"/videos/flies.h5"


def test_the_path_of_images_is_that_of_their_folder(
    tmp_path: Path, label_set: LabelSet, poses: Make
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("0.png", "1.png"):
        (folder / name).touch()
    source = stored(
        tmp_path, replace(label_set, video=Video(str(folder))), one_frame(poses, [0], [0])
    )
    assert analysis(tmp_path, source)["video_path"] == str(folder).encode()


def test_a_track_takes_no_room_where_it_is_not(
    tmp_path: Path, label_set: LabelSet, poses: Make
) -> None:
    """40 tracks of one frame each in 400,000 frames: dense they would be 1.4 GB."""
    parts = [
        one_frame(poses, [track], [0], frame_index=10_000 * track + 9999) for track in range(40)
    ]
    source = stored(tmp_path, label_set, *parts)
    export_analysis(tmp_path, source, tmp_path / ".partial", tmp_path / "out.h5", {})
    assert (tmp_path / "out.h5").stat().st_size < 4e6
