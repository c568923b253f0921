"""Models of Shoal's own training, from the folder of a run to poses in a file."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import sleap_io

from tests.e2e.shoal_command import shoal
from tests.fakes import shoal_models
from tests.fakes.shoal_models import HEADS_PX, TAIL_PX, write_model


@pytest.fixture(scope="module")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frames")
    for index, image in enumerate(shoal_models.images()):
        cv2.imwrite(str(folder / f"{index}.png"), image[..., ::-1])
    return folder


def test_a_folder_of_both_stages_tracks_and_says_what_it_is(
    empty_home: Path, frames: Path, tmp_path: Path
) -> None:
    thresholds = {"centroid": 0.2, "multiclass_centered_instance": 0.0}
    for kind, threshold in thresholds.items():
        write_model(tmp_path / "spots" / kind / "model", kind, peak_threshold=threshold)
    out = tmp_path / "out.slp"
    answer = shoal(empty_home, "track", frames, "-m", tmp_path / "spots", "-o", out)
    assert answer.returncode == 0, answer.stderr
    labels = sleap_io.load_slp(str(out), open_videos=False)
    for frame, heads in zip(labels, HEADS_PX, strict=True):
        found = {instance.track.name: instance.numpy() for instance in frame}
        for sex, head in zip(shoal_models.CLASSES, heads, strict=True):
            np.testing.assert_allclose(found[sex], [head, head + TAIL_PX], atol=0.1)
    inference = labels.provenance["config"]["inference"]
    assert (inference["peak_threshold"], inference["crop_peak_threshold"]) == (0.2, 0.0)
    shown = shoal(empty_home, "models", "show", "auto.spots").stdout
    assert "peaks exceed 0.2, of nodes in crops 0\n" in shown
    assert "centroid as in training: 4 nodes of 2 frames" in shown


def test_a_model_that_finds_something_else_is_refused_in_one_line(
    empty_home: Path, frames: Path, tmp_path: Path
) -> None:
    folder = write_model(tmp_path / "model", "bottomup")
    arrays = shoal_models.parity("bottomup")
    np.savez(folder / "parity.npz", **{**arrays, "points_px": arrays["points_px"] + 1})
    answer = shoal(empty_home, "track", frames, "-m", folder, "-o", tmp_path / "out.slp")
    assert answer.returncode != 0
    last = answer.stderr.strip().splitlines()[-1]
    assert "disagrees with its training: it is 1.41 px off" in last
    assert "export the model" in last
    assert not (tmp_path / "out.slp").exists()
