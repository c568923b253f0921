"""`shoal train` as a user runs it: from labels to tracked poses."""

import io
import signal
from pathlib import Path

import pytest

from shoal_cli.demo.recording import Recording, write_recording
from shoal_cli.progress import Progress
from shoal_core.synthetic import SyntheticWorld, WorldConfig

from .shoal_command import InTerminal, shoal

SHORT = ("--set", "optimization.epochs=1", "--set", "optimization.min_batches_per_epoch=4")
QUIET = ("--set", "run.tensorboard=false", "--set", "run.image_count=0")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    folder = tmp_path_factory.mktemp("recording")
    config = WorldConfig(frame_count=12, height_px=96, width_px=128, animal_count=2)
    files = Recording(folder / "video.mp4", folder / "labels.slp")
    progress = Progress(io.StringIO(), moves=False, clock=lambda: 0.0)
    write_recording(SyntheticWorld(config), range(config.frame_count), files, progress)
    return files


@pytest.mark.slow
def test_a_topdown_model_is_trained_and_tracks(recording: Recording, tmp_path: Path) -> None:
    home, model = tmp_path / "home", tmp_path / "model"
    train = ("train", recording.labels, "-o", model, *SHORT, *QUIET)
    answer = shoal(home, *train)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[-1] == str(model)
    for stage in ("centroid", "centered_instance"):
        assert (model / stage / "model" / "shoal_model.json").is_file()
    again = shoal(home, *train)  # the same job, done already
    assert again.returncode == 0, again.stderr
    listed = shoal(home, "jobs", "list").stdout.splitlines()
    assert len(listed) == 2
    assert listed[1].split()[1:3] == ["train", "succeeded"]
    tracked = tmp_path / "tracked.slp"
    answer = shoal(home, "track", recording.video, "-m", model, "-o", tracked)
    assert answer.returncode == 0, answer.stderr
    assert tracked.is_file()


@pytest.mark.slow
def test_ctrl_c_finishes_and_writes_the_model(recording: Recording, tmp_path: Path) -> None:
    model = tmp_path / "model"
    words = ("train", recording.labels, "--kind", "centroid", "-o", model, *QUIET)
    settings = ("optimization.min_batches_per_epoch=4", "optimization.epochs=100000")
    sets = [word for setting in settings for word in ("--set", setting)]
    command = InTerminal(tmp_path / "home", [*words, *sets])
    command.wait_for_text("best")  # an epoch is over
    command.process.send_signal(signal.SIGINT)
    assert command.finish() == 0, command.said
    assert "finishes with the best weights" in command.said
    assert (model / "model" / "shoal_model.json").is_file()
