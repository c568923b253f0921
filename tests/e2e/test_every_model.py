"""Every model folder at hand goes in unchanged and finds animals in real frames."""

from pathlib import Path

import pytest
import sleap_io

from tests.e2e.shoal_command import shoal

PAIR = "pair/centered_pair_low_quality.mp4"
CENTROIDS = ("--centroids", "pair/minimal_instance.slp")
KERAS, TORCH = "models/minimal_instance.UNet.", "models_torch/minimal_instance_"
# Trained on crops around another node than its configuration names, so that it is never sure.
UNSURE = ("--peak-threshold", "0.01")

CASES = {
    "keras single instance": (
        "robot/small_robot.mp4",
        ["models/minimal_robot.UNet.single_instance"],
    ),
    "keras centroid": (PAIR, [KERAS + "centroid"]),
    "keras centered instance": (PAIR, [KERAS + "centered_instance"], *CENTROIDS),
    "keras top-down": (PAIR, [KERAS + "centroid", KERAS + "centered_instance"]),
    "keras bottom-up": (PAIR, [KERAS + "bottomup"]),
    "keras bottom-up ID": (
        "flies_clip/clip.mp4",
        ["models/min_tracks_2node.UNet.bottomup_multiclass"],
    ),
    "torch single instance": (PAIR, [TORCH + "single_instance"]),
    "torch centroid": (PAIR, [TORCH + "centroid"]),
    "torch centered instance": (PAIR, [TORCH + "centered_instance"], *CENTROIDS),
    "torch top-down": (PAIR, [TORCH + "centroid", TORCH + "centered_instance"]),
    "torch bottom-up": (PAIR, [TORCH + "bottomup"]),
    "torch bottom-up ID": (PAIR, [TORCH + "multiclass_bottomup"]),
    "torch centered instance ID": (
        PAIR,
        [TORCH + "multiclass_centered_instance"],
        *CENTROIDS,
        *UNSURE,
    ),
    "torch top-down ID": (
        PAIR,
        [TORCH + "centroid", TORCH + "multiclass_centered_instance"],
        *UNSURE,
    ),
}
"""Title → video, model folders and options, files relative to the data."""


def test_no_folder_is_left_out(shared_data: Path) -> None:
    tracked = {folder for _, folders, *_ in CASES.values() for folder in folders}
    there = {
        f"{kind}/{folder.name}"
        for kind in ("models", "models_torch")
        for folder in (shared_data / kind).iterdir()
        if folder.is_dir()
    }
    assert tracked == there


@pytest.mark.slow
@pytest.mark.parametrize("title", CASES)
def test_every_model_finds_animals_in_real_frames(
    home: Path, shared_data: Path, tmp_path: Path, title: str
) -> None:
    video, folders, *options = CASES[title]
    models = [word for folder in folders for word in ("-m", shared_data / folder)]
    options = [shared_data / word if "/" in word else word for word in options]
    out = tmp_path / "out.slp"
    answer = shoal(
        home, "track", shared_data / video, *models, "-o", out, "--frames", "0-7", *options
    )
    assert answer.returncode == 0, answer.stderr
    labels = sleap_io.load_slp(str(out), open_videos=False)
    assert sum(len(frame.instances) for frame in labels) > 0
    named = {instance.track.name for frame in labels for instance in frame if instance.track}
    assert bool(named) == ("ID" in title)
