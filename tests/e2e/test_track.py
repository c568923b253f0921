"""`shoal track` on a real video, whole, interrupted and killed."""

import re
import signal
from pathlib import Path

import numpy as np
import pytest
import sleap_io as sio

from .shoal_command import InTerminal, assert_nothing_left, shoal

OPTIONS = ("--tracker", "window", "--batch-size", "4")
FRAMES = ("--frames", "0-15", *OPTIONS)
MANY_FRAMES = ("--frames", "0-63", *OPTIONS)
"""So many that a command is not over before somebody has seen that half of them are done."""


def poses(path: Path) -> list[tuple[str, int, list[str], bytes]]:
    """Everything in a file that the same work must give again."""
    labels = sio.load_slp(str(path), open_videos=False)
    return [
        (
            Path(labeled.video.filename).name,
            labeled.frame_idx,
            [each.track.name if each.track else "" for each in labeled.instances],
            np.stack([each.numpy(scores=True) for each in labeled.instances]).tobytes(),
        )
        for labeled in labels.labeled_frames
    ]


@pytest.fixture(scope="module")
def reference(home: Path, video: Path, other_video: Path, tmp_path_factory) -> Path:
    """What an undisturbed command writes."""
    out = tmp_path_factory.mktemp("reference") / "out.slp"
    answer = shoal(home, "track", video, other_video, "-m", "pair", "-o", out, *FRAMES)
    assert answer.returncode == 0, answer.stderr
    return out


@pytest.fixture(scope="module")
def long_reference(home: Path, video: Path, other_video: Path, tmp_path_factory) -> Path:
    """The same of many frames."""
    out = tmp_path_factory.mktemp("long_reference") / "out.slp"
    answer = shoal(home, "track", video, other_video, "-m", "pair", "-o", out, *MANY_FRAMES)
    assert answer.returncode == 0, answer.stderr
    return out


def test_the_file_holds_tracked_animals_of_both_videos(reference: Path) -> None:
    labels = sio.load_slp(str(reference), open_videos=False)
    frames = {(Path(each.video.filename).name, each.frame_idx) for each in labels.labeled_frames}
    assert frames == {
        (name, index)
        for name in ("centered_pair_small.mp4", "centered_pair_low_quality.mp4")
        for index in range(16)
    }
    assert all(each.track for frame in labels.labeled_frames for each in frame.instances)
    assert labels.provenance


def test_a_model_folder_gives_what_its_registered_model_gives(
    home: Path, video: Path, shared_data: Path, tmp_path: Path, reference: Path
) -> None:
    model = shared_data / "models" / "minimal_instance.UNet.bottomup"
    answer = shoal(home, "track", video, "-m", model, "-o", f"{tmp_path}/out/", *FRAMES)
    assert answer.returncode == 0, answer.stderr
    made = poses(tmp_path / "out" / "centered_pair_small.slp")
    assert made == [frame for frame in poses(reference) if frame[0] == video.name]


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, signal.SIGKILL, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)],
)
def test_a_command_that_was_stopped_leaves_nothing_and_goes_on(
    number: signal.Signals,
    video: Path,
    other_video: Path,
    shared_data: Path,
    tmp_path: Path,
    long_reference: Path,
) -> None:
    home, out = tmp_path / "home", tmp_path / "out.slp"
    model = shared_data / "models" / "minimal_instance.UNet.bottomup"
    command = ("track", video, other_video, "-m", model, "-o", out, *MANY_FRAMES)
    stopped = InTerminal(home, command)
    stopped.wait_for_frames(64)
    processes, folder = stopped.belongings()
    status = stopped.end(number)
    assert status == {signal.SIGINT: 130, signal.SIGKILL: -9, signal.SIGHUP: 129}[number]
    assert_nothing_left(processes, folder)
    assert not out.exists()
    if number != signal.SIGKILL:
        assert re.search(r"(64|128) of 128 frames are kept, the same command goes on", stopped.said)
    answer = shoal(home, *command)
    assert answer.returncode == 0, answer.stderr
    assert poses(out) == poses(long_reference)


def test_services_that_die_on_the_way_are_replaced_and_change_nothing(
    video: Path, other_video: Path, shared_data: Path, tmp_path: Path, long_reference: Path
) -> None:
    home, out = tmp_path / "home", tmp_path / "out.slp"
    home.mkdir()
    (home / "config.toml").write_text("[services.orchestrator]\nlease_seconds = 2\n")
    model = shared_data / "models" / "minimal_instance.UNet.bottomup"
    track = InTerminal(home, ("track", video, other_video, "-m", model, "-o", out, *MANY_FRAMES))
    track.wait_for_frames(4)
    killed = {track.kill_service("worker"), track.kill_service("engine")}
    track.wait_for_frames(64)
    killed |= {track.kill_service("labels"), track.kill_service("orchestrator")}
    assert track.finish() == 0, track.said
    assert len(killed) == 4
    assert poses(out) == poses(long_reference)


def test_no_animal_is_a_loud_warning(home: Path, shared_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.slp"
    robot = shared_data / "robot" / "small_robot.mp4"
    options = ("-m", "pair", "-o", out, "--frames", "0-3", "--peak-threshold", "1")
    answer = shoal(home, "track", robot, *options)
    assert answer.returncode == 0, answer.stderr
    assert "shoal: WARNING: no animal was found in 4 frames" in answer.stderr
    assert out.exists()


def test_a_video_whose_end_is_missing_is_a_loud_warning(
    home: Path, other_video: Path, tmp_path: Path
) -> None:
    cut, out = tmp_path / "cut.mp4", tmp_path / "out.slp"
    content = other_video.read_bytes()  # its index comes first
    cut.write_bytes(content[: len(content) // 2])
    answer = shoal(home, "track", cut, "-m", "pair", "-o", out, "--frames", "0-3")
    assert answer.returncode == 0, answer.stderr
    found = re.search(r"WARNING: .*cut\.mp4 is cut off: (\d+) frames .* first (\d+)", answer.stderr)
    assert found, answer.stderr
    assert int(found[1]) + int(found[2]) == 1100
    assert len(poses(out)) == 4


def test_a_result_names_the_video_of_the_command_and_counts_what_it_holds(
    home: Path, video: Path, tmp_path: Path
) -> None:
    renamed = tmp_path / "renamed.mp4"
    renamed.write_bytes(video.read_bytes())
    for each in (video, renamed):
        out = tmp_path / f"{each.stem}.slp"
        answer = shoal(home, "track", each, "-m", "pair", "-o", out, *FRAMES, "--animals", "1")
        assert answer.returncode == 0, answer.stderr
        labels = sio.load_slp(str(out), open_videos=False)
        assert [Path(made.filename) for made in labels.videos] == [each]
        count = sum(len(frame.instances) for frame in labels.labeled_frames)
        assert f" {count} instances in " in answer.stdout
    answer = shoal(home, "track", video, renamed, "-m", "pair", "-o", tmp_path / "both.slp")
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1].endswith(" are the same video; give one of them.")
    assert not (tmp_path / "both.slp").exists()


def test_an_output_that_was_there_is_replaced(home: Path, video: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.slp"
    out.write_bytes(b"old")
    answer = shoal(home, "track", video, "-m", "pair", "-o", out, "--frames", "0-3")
    assert answer.returncode == 0, answer.stderr
    assert len(poses(out)) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["out.slp"]
