"""Recordings of the demo: what they show is what their labels say."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import sleap_io as sio

from shoal_cli.demo.picture import draw_picture
from shoal_cli.demo.recording import Recording, write_recording
from shoal_cli.demo.steps import DemoFiles, carry_out, command_lines
from shoal_cli.parser import build_parser
from shoal_cli.progress import Progress
from shoal_core.synthetic import SyntheticWorld, WorldConfig
from shoal_media.labels_file import read_labels
from shoal_media.readers import open_video

FRAMES = (0, 10, 20)


@pytest.fixture
def world() -> SyntheticWorld:
    return SyntheticWorld(
        WorldConfig(frame_count=30, height_px=96, width_px=128, animal_count=2, channels=3)
    )


@pytest.fixture
def recording(world: SyntheticWorld, tmp_path: Path) -> Recording:
    written = Recording(tmp_path / "r.mp4", tmp_path / "r.slp")
    progress = Progress(io.StringIO(), moves=False, clock=lambda: 0.0)
    write_recording(world, FRAMES, written, progress)
    return written


def test_labels_are_the_truth_of_the_chosen_frames(
    world: SyntheticWorld, recording: Recording
) -> None:
    labels = read_labels(recording.labels, prefer="user")
    assert labels.skeleton.nodes == world.skeleton.nodes
    assert labels.skeleton.edges == world.skeleton.edges
    assert labels.track_names == ("animal 1", "animal 2")
    (video,) = labels.videos
    assert [frame.frame_index for frame in video.frames] == [0, 1, 2]
    for frame, index in zip(video.frames, FRAMES, strict=True):
        truth = world.truth(index)
        np.testing.assert_allclose(frame.points_px_IN2, truth.points_px_IN2, atol=1e-4)
        assert frame.track_indices_I.tolist() == truth.track_indices_I.tolist()


def test_the_video_shows_the_chosen_frames(world: SyntheticWorld, recording: Recording) -> None:
    with open_video(recording.video) as reader:
        assert reader.info.frame_count == len(FRAMES)
        for shown, index in zip(reader.frames(0, len(FRAMES)), FRAMES, strict=True):
            error = np.abs(shown.astype(int) - world.render(index).astype(int)).mean()
            assert error < 4  # noise and halved colour cost H.264 some levels


def test_every_step_is_a_command_that_can_be_typed(tmp_path: Path) -> None:
    files = DemoFiles(tmp_path)
    parsed = [build_parser().parse_args(words) for words in command_lines(files, "2m")]
    train, track, score, render = parsed
    assert train.time_budget == 120
    assert (train.output, track.models) == (files.model, [str(files.model)])
    assert score.predicted == render.predictions == files.tracked


def test_the_first_step_that_fails_is_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    ran: list[Sequence[str]] = []

    def command(words: Sequence[str]) -> int:
        ran.append(words)
        return len(ran) - 1

    assert carry_out([["a"], ["b", "c"], ["d"]], command) == 1
    assert ran == [["a"], ["b", "c"]]
    assert capsys.readouterr().out.split("\n")[1:4:2] == ["$ shoal a", "$ shoal b c"]


def test_a_model_that_finds_nobody_has_a_picture_too(world: SyntheticWorld, tmp_path: Path) -> None:
    files = DemoFiles(tmp_path)
    write_recording(world, range(6), files.test, Progress(io.StringIO(), moves=False, clock=float))
    labels = sio.load_slp(str(files.test.labels), open_videos=False)
    for frame in labels.labeled_frames:
        frame.instances = []
    sio.save_slp(labels, str(files.tracked), embed=False, verbose=False)
    files.figures.write_text(json.dumps({"map": 0.0, "dist_p50_px": None}))
    draw_picture(files)
    assert files.picture.is_file()


def test_the_picture_shows_frames_errors_and_identities(
    world: SyntheticWorld, tmp_path: Path
) -> None:
    files = DemoFiles(tmp_path)
    write_recording(world, range(6), files.test, Progress(io.StringIO(), moves=False, clock=float))
    files.tracked.write_bytes(files.test.labels.read_bytes())  # as right as can be
    figures = {"map": 1.0, "dist_p50_px": 0.0, "idf1": 1.0, "switch_count": 0}
    files.figures.write_text(json.dumps(figures))
    draw_picture(files)
    picture_HW3 = cv2.imread(str(files.picture))
    assert picture_HW3.shape == (912, 1560, 3)
    upper, lower = picture_HW3[60:480], picture_HW3[520:]
    assert upper.std() > 10
    assert (lower < 250).any()
