"""`shoal eval` and `shoal render` on files that this test and SLEAP wrote."""

import json
from pathlib import Path

import numpy as np
import pytest
import sleap_io as sio

from shoal_cli.main import main
from shoal_media.labels_file import read_labels

POINTS = np.array([[10.0, 10.0], [30.0, 10.0], [30.0, 40.0]])


def write(
    path: Path,
    shift_px: float = 0.0,
    nodes: tuple[str, ...] = ("head", "thorax", "tail"),
    video: str = "/far/away/clip.mp4",
    *,
    predicted: bool = False,
    tracks: tuple[tuple[str, str], ...] = (),
) -> Path:
    """A file of two frames with two animals each, 200 px apart; `tracks` are those of a frame."""
    skeleton = sio.Skeleton(list(nodes), edges=[(nodes[0], nodes[1])])
    source = sio.Video(filename=video, open_backend=False)
    order = [("head", "thorax", "tail").index(node) for node in nodes if node != "other"]
    frames = []
    named = {name: sio.Track(name) for pair in tracks for name in sorted(pair)}
    for row, index in enumerate((3, 5)):
        animals = [POINTS[order] + shift_px + offset for offset in (0.0, 200.0)]
        instances = [
            sio.PredictedInstance.from_numpy(
                points, skeleton=skeleton, point_scores=np.full(len(points), 0.9), score=0.8
            )
            if predicted
            else sio.Instance.from_numpy(points, skeleton=skeleton)
            for points in animals
        ]
        for instance, name in zip(instances, tracks[row] if tracks else (), strict=False):
            instance.track = named[name]
        frames.append(sio.LabeledFrame(video=source, frame_idx=index, instances=instances))
    sio.save_slp(sio.Labels(frames), str(path))
    return path


def figures(truth: Path, predicted: Path, folder: Path) -> dict[str, float]:
    out = folder / "figures.json"
    assert main(["eval", str(truth), str(predicted), "--json", str(out)]) == 0
    return json.loads(out.read_text())


def test_the_figures_have_these_keys(tmp_path: Path) -> None:
    truth = write(tmp_path / "gt.slp")
    assert list(figures(truth, write(tmp_path / "pr.slp", predicted=True), tmp_path)) == [
        *("map", "mar", "oks_mean", "dist_mean_px", "dist_p50_px", "dist_p95_px"),
        *("pck_mean", "pck", "visibility_precision", "visibility_recall"),
        *("matched_count", "missed_count", "nodes"),
    ]


@pytest.mark.parametrize("shift_px", [0.0, 3.0])
def test_distances_are_those_of_the_shift(tmp_path: Path, shift_px: float) -> None:
    truth = write(tmp_path / "gt.slp")
    predicted = write(tmp_path / "pr.slp", shift_px, predicted=True)
    result = figures(truth, predicted, tmp_path)
    assert result["dist_p50_px"] == pytest.approx(shift_px * np.sqrt(2), abs=1e-4)
    assert (result["matched_count"], result["missed_count"]) == (4, 0)


def test_every_node_has_figures_of_its_own(tmp_path: Path) -> None:
    truth = write(tmp_path / "gt.slp")
    predicted = write(tmp_path / "pr.slp", 3.0, predicted=True)
    nodes = figures(truth, predicted, tmp_path)["nodes"]
    assert [node["name"] for node in nodes] == ["head", "thorax", "tail"]
    assert {node["truth_count"] for node in nodes} == {4}
    assert [node["dist_p95_px"] for node in nodes] == pytest.approx([3 * np.sqrt(2)] * 3)


AB, BA = ("a", "b"), ("b", "a")


@pytest.mark.parametrize(
    ("tracks", "idf1", "switch_count"), [((AB, AB), 1.0, 0), ((BA, BA), 1.0, 0), ((AB, BA), 0.5, 2)]
)
def test_identities_count_where_both_files_have_tracks(
    tmp_path: Path, tracks: tuple[tuple[str, str], ...], idf1: float, switch_count: int
) -> None:
    truth = write(tmp_path / "gt.slp", tracks=(AB, AB))
    found = figures(truth, write(tmp_path / "pr.slp", predicted=True, tracks=tracks), tmp_path)
    assert (found["idf1"], found["switch_count"]) == (idf1, switch_count)


def test_identities_of_poses_without_tracks_are_no_figure(tmp_path: Path) -> None:
    truth = write(tmp_path / "gt.slp", tracks=(AB, AB))
    assert "idf1" not in figures(truth, write(tmp_path / "pr.slp", predicted=True), tmp_path)


def test_nodes_are_matched_by_name(tmp_path: Path) -> None:
    truth = write(tmp_path / "gt.slp")
    predicted = write(tmp_path / "pr.slp", nodes=("tail", "head", "thorax"), predicted=True)
    assert figures(truth, predicted, tmp_path)["dist_mean_px"] == pytest.approx(0)


def test_folders_of_videos_do_not_matter(tmp_path: Path) -> None:
    truth = write(tmp_path / "gt.slp", video="C:\\data\\clip.mp4")
    predicted = write(tmp_path / "pr.slp", predicted=True)
    assert figures(truth, predicted, tmp_path)["map"] == pytest.approx(1)


def test_labelled_frames_without_predictions_are_a_loud_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = write(tmp_path / "gt.slp")
    labels = sio.load_slp(str(write(tmp_path / "pr.slp", predicted=True)), open_videos=False)
    sio.save_slp(sio.Labels(labels.labeled_frames[:1]), str(tmp_path / "one.slp"))
    result = figures(truth, tmp_path / "one.slp", tmp_path)
    assert (result["matched_count"], result["missed_count"]) == (2, 2)
    assert "1 of 2 labelled frames of clip.mp4 have no predictions" in capsys.readouterr().err


def test_other_nodes_are_one_line_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = write(tmp_path / "gt.slp")
    predicted = write(tmp_path / "pr.slp", nodes=("head", "thorax"), predicted=True)
    assert main(["eval", str(truth), str(predicted)]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "tail" in said


@pytest.mark.parametrize("content", [None, b"", b"not hdf5", "truncated"])
def test_a_damaged_file_is_one_line_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | str | None
) -> None:
    truth = write(tmp_path / "gt.slp")
    bad = tmp_path / "bad.slp"
    if content == "truncated":
        bad.write_bytes(truth.read_bytes()[: truth.stat().st_size // 2])
    elif isinstance(content, bytes):
        bad.write_bytes(content)
    assert main(["eval", str(truth), str(bad)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("shoal: ")
    assert said.count("\n") == 1
    assert "bad.slp" in said


def test_the_labels_of_a_real_file_come_with_tracks_and_scores(shared_data: Path) -> None:
    labels = read_labels(shared_data / "flies_clip" / "clip.predictions.slp", prefer="predicted")
    assert labels.track_names == ("female", "male")
    (video,) = labels.videos
    assert (video.name, len(video.frames)) == ("clip.mp4", 1500)
    assert video.frames[0].track_indices_I.tolist() == [0, 1]
    assert 0 < video.frames[0].point_scores_IN.min() <= 1


def test_predictions_of_the_original_are_close_to_its_labels(
    shared_data: Path, tmp_path: Path
) -> None:
    folder = shared_data / "models" / "minimal_instance.UNet.bottomup"
    result = figures(folder / "labels_gt.val.slp", folder / "labels_pr.val.slp", tmp_path)
    assert result["missed_count"] == 0
    assert result["dist_p95_px"] < 5


def test_a_rendered_video_has_the_frames_asked_for(shared_data: Path, tmp_path: Path) -> None:
    from shoal_media.readers import open_video

    pair = shared_data / "pair"
    out = tmp_path / "out.mp4"
    line = ["render", str(pair / "centered_pair_small.mp4")]
    line += [str(pair / "centered_pair_predictions.slp"), "-o", str(out), "--frames", "10-19"]
    assert main(line) == 0
    with open_video(out) as reader:
        assert reader.info.frame_count == 10
        assert not reader.info.is_gray  # the frames are gray, the poses are not


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("-o", "out.avi"), "out.avi"),
        (("-o", "missing/out.mp4"), "missing"),
        (("-o", "out.mp4", "--frames", "1090-1100"), "1090-1100"),
    ],
)
def test_a_rendering_that_cannot_be_is_one_line_and_leaves_nothing(
    shared_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    named: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    pair = shared_data / "pair"
    line = ["render", str(pair / "centered_pair_small.mp4")]
    assert main([*line, str(pair / "centered_pair_predictions.slp"), *options]) == 1
    said = capsys.readouterr().err
    assert said.startswith("shoal: ")
    assert said.count("\n") == 1
    assert named in said
    assert not list(tmp_path.iterdir())


def test_a_rendering_does_not_replace_what_it_reads(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = shared_data / "pair"
    video, link = tmp_path / "video.mp4", tmp_path / "link.mp4"
    video.write_bytes(before := (pair / "centered_pair_small.mp4").read_bytes())
    link.symlink_to(video)
    predictions = str(pair / "centered_pair_predictions.slp")
    for output in (video, link):
        assert main(["render", str(video), predictions, "-o", str(output)]) == 1
        assert "choose another output" in capsys.readouterr().err
    assert video.read_bytes() == before
