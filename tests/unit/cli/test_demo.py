"""Recordings of the demo: what they show is what their labels say."""

import io
from pathlib import Path

import numpy as np
import pytest

from shoal_cli.demo.recording import Recording, write_recording
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
