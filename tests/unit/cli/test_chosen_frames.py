"""Frames that labels point at are those of SLEAP's options of the same names."""

from pathlib import Path

import numpy as np
import pytest
import sleap_io as sio

from shoal_cli.chosen_frames import chosen_frames, frames_of_video
from shoal_core.errors import InvalidArgument, NotFound


def labels_file(path: Path, *video_names: str) -> Path:
    """Frames 2, 3 and 9 labeled by a person, 5 predicted; 3, 5 and 30 suggested."""
    skeleton = sio.Skeleton(["head"])
    videos = [sio.Video(filename=name, open_backend=False) for name in video_names]
    first = videos[0]
    frames = [
        sio.LabeledFrame(
            video=first,
            frame_idx=index,
            instances=[sio.Instance.from_numpy(np.ones((1, 2)), skeleton=skeleton)],
        )
        for index in (2, 3, 9)
    ]
    predicted = sio.PredictedInstance.from_numpy(np.ones((1, 2)), skeleton=skeleton)
    frames.append(sio.LabeledFrame(video=first, frame_idx=5, instances=[predicted]))
    suggestions = [sio.SuggestionFrame(video=first, frame_idx=index) for index in (30, 3, 5)]
    labels = sio.Labels(
        labeled_frames=frames, videos=videos, skeletons=[skeleton], suggestions=suggestions
    )
    sio.save_slp(labels, str(path), embed=False, verbose=False)
    return path


def test_labeled_frames_are_those_of_people_and_suggested_ones_the_rest(tmp_path: Path) -> None:
    path = labels_file(tmp_path / "labels.slp", "/far/away/clip.mp4", "/far/away/other.mp4")
    assert chosen_frames(path, "labeled") == {"clip.mp4": (range(2, 4), range(9, 10))}
    assert chosen_frames(path, "suggested") == {"clip.mp4": (range(5, 6), range(30, 31))}


def test_a_video_is_found_by_its_name_or_named_with_those_that_are_there(tmp_path: Path) -> None:
    path = labels_file(tmp_path / "labels.slp", "/far/away/clip.mp4")
    chosen = chosen_frames(path, "labeled")
    assert frames_of_video(chosen, Path("/here/clip.mp4"), path, "labeled")[0] == range(2, 4)
    with pytest.raises(NotFound, match=r"no labeled frames of b\.mp4; it has some of clip\.mp4"):
        frames_of_video(chosen, Path("/here/b.mp4"), path, "labeled")


@pytest.mark.parametrize(
    ("stored", "given"),
    [
        ("C:\\far\\clip.mp4", "/here/clip.mp4"),
        ("/far/store/metadata.yaml", "/here/store"),
        ("/far/movies.h5", "/here/movies.h5#left/frames"),
    ],
    ids=["Windows", "imgstore", "dataset"],
)
def test_a_video_is_found_however_its_kind_is_named(
    tmp_path: Path, stored: str, given: str
) -> None:
    path = labels_file(tmp_path / "labels.slp", stored)
    chosen = chosen_frames(path, "labeled")
    assert frames_of_video(chosen, Path(given), path, "labeled")[0] == range(2, 4)


def test_labels_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"labels\.slp"):
        chosen_frames(tmp_path / "labels.slp", "labeled")
    (tmp_path / "labels.slp").write_bytes(b"no HDF5")
    with pytest.raises(InvalidArgument, match=r"labels\.slp"):
        chosen_frames(tmp_path / "labels.slp", "labeled")
