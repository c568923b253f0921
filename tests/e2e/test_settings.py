"""What shaped a result gives it again, bit for bit, and chooses what is in it."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import sleap_io as sio

from .shoal_command import shoal

OPTIONS = (
    *("--frames", "0-9,40,90-92", "--tracker", "window", "--animals", "2"),
    *("--peak-threshold", "0.15", "--n_points", "7", "--min-line-scores", "0.1"),
    *("--filter-overlapping-method", "oks", "--filter-min-instance-score", "0.2"),
)


def tables(path: Path) -> dict[str, object]:
    """Every byte of the poses in a .slp, and the names of its tracks."""
    with h5py.File(path, "r") as file:
        names = ("frames", "instances", "pred_points", "points")
        poses = {name: file[name][()].tobytes() for name in names}
        return {**poses, "tracks": file["tracks_json"][()].tolist()}


@pytest.fixture(scope="module")
def made(home: Path, video: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a result, its analysis file and its settings."""
    folder = tmp_path_factory.mktemp("made")
    for name, more in (("out.slp", ("--save-config", folder / "out.json")), ("out.h5", ())):
        answer = shoal(home, "track", video, "-m", "pair", "-o", folder / name, *OPTIONS, *more)
        assert answer.returncode == 0, answer.stderr
    return folder


@pytest.fixture(scope="module")
def other_home(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """Another machine with the same model."""
    folder = tmp_path_factory.mktemp("other_home")
    model = shared_data / "models" / "minimal_instance.UNet.bottomup"
    answer = shoal(folder, "models", "import", model, "--name", "pair")
    assert answer.returncode == 0, answer.stderr
    return folder


def test_the_settings_leave_nothing_to_a_default(made: Path) -> None:
    document = json.loads((made / "out.json").read_text())
    assert document["models"] == ["models/pair/versions/1"]
    assert len(document["model_content_hash"]) == 64
    assert document["frames"] == "0-9,40,90-92"
    assert document["inference"]["part_grouping"] == {
        "max_edge_length_ratio": 0.25,
        "dist_penalty_weight": 1.0,
        "min_instance_peaks": 0.0,
        "min_line_scores": 0.1,
        "n_points": 7,
    }
    assert document["inference"]["batch_size"] == 16
    assert document["tracker"]["window_frame_count"] == 5
    provenance = sio.load_slp(str(made / "out.slp"), open_videos=False).provenance
    assert provenance["config"].items() <= document.items()
    assert provenance["overflow_frame_count"] == 0


@pytest.mark.parametrize("source", ["out.json", "out.slp"])
def test_settings_give_the_same_result_elsewhere_bit_for_bit(
    other_home: Path, video: Path, made: Path, tmp_path: Path, source: str
) -> None:
    again = tmp_path / "again.slp"
    copied = tmp_path / video.name
    # Some bytes more are another content, so another job, of the same frames.
    copied.write_bytes(video.read_bytes() + source.encode())
    answer = shoal(other_home, "track", copied, "--config", made / source, "-o", again)
    assert answer.returncode == 0, answer.stderr
    assert tables(again) == tables(made / "out.slp")


@pytest.mark.parametrize(
    "options", [("--n-points", "10"), ("--filter-min-instance-score", "0.95")], ids="=".join
)
def test_settings_are_not_only_said_they_act(
    home: Path, video: Path, made: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    out = tmp_path / "out.slp"
    answer = shoal(home, "track", video, "--config", made / "out.json", "-o", out, *options)
    assert answer.returncode == 0, answer.stderr
    assert tables(out) != tables(made / "out.slp")


def test_another_model_of_the_same_name_is_refused(
    video: Path, made: Path, tmp_path: Path, shared_data: Path
) -> None:
    model = shared_data / "models" / "minimal_instance.UNet.centroid"
    assert shoal(tmp_path, "models", "import", model, "--name", "pair").returncode == 0
    out = tmp_path / "out.slp"
    answer = shoal(tmp_path, "track", video, "--config", made / "out.json", "-o", out)
    assert answer.returncode == 1
    assert "models/pair/versions/1 was imported from other files" in answer.stderr
    assert not out.exists()


def test_an_analysis_file_holds_the_poses_of_the_slp(made: Path) -> None:
    labels = sio.load_slp(str(made / "out.slp"), open_videos=False)
    with h5py.File(made / "out.h5", "r") as file:
        analysis = {name: dataset[()] for name, dataset in file.items()}
    assert analysis["tracks"].shape == (2, 2, 2, 93)
    names = [name.decode() for name in analysis["track_names"]]
    for frame in labels:
        for instance in frame:
            row = names.index(instance.track.name)
            points = analysis["tracks"][row, :, :, frame.frame_idx].T
            np.testing.assert_array_equal(points, instance.numpy())
    occupied = analysis["track_occupancy"].sum()
    assert occupied == sum(len(frame) for frame in labels)


def test_only_the_frames_that_people_have_labeled_are_processed(
    home: Path, other_video: Path, shared_data: Path, tmp_path: Path
) -> None:
    labels, out = shared_data / "pair" / "minimal_instance.slp", tmp_path / "out.slp"
    options = ("--only-labeled-frames", "--labels", labels)
    answer = shoal(home, "track", other_video, "-m", "pair", "-o", out, *options)
    assert answer.returncode == 0, answer.stderr
    assert "1/1 frames" in answer.stderr
    made = sio.load_slp(str(out), open_videos=False)
    wanted = sio.load_slp(str(labels), open_videos=False)
    assert [frame.frame_idx for frame in made] == [frame.frame_idx for frame in wanted]


def test_more_than_the_model_can_return_is_a_loud_warning(
    home: Path, video: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.slp"
    options = ("--frames", "0-2", "--peak-threshold", "0.001")
    answer = shoal(home, "track", video, "-m", "pair", "-o", out, *options)
    assert answer.returncode == 0, answer.stderr
    assert "shoal: WARNING: in 3 of 3 frames of " in answer.stderr
    provenance = sio.load_slp(str(out), open_videos=False).provenance
    assert provenance["overflow_frame_count"] == 3
