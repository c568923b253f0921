"""A centred-instance model runs alone where labels say where the animals are."""

from pathlib import Path

import numpy as np
import pytest
import sleap_io

from shoal_core.errors import InvalidArgument, NotFound
from tests.integration.conftest import Ensemble

FOLDER = "minimal_instance.UNet.centered_instance"


@pytest.fixture(scope="module")
def low_quality(shared_data: Path) -> Path:
    return shared_data / "pair" / "centered_pair_low_quality.mp4"


@pytest.mark.parametrize("split", ["train", "val"])
def test_only_labelled_frames_are_processed_and_lie_on_the_labels(
    ensemble: Ensemble, shared_data: Path, low_quality: Path, split: str
) -> None:
    path = shared_data / "models" / FOLDER / f"labels_gt.{split}.slp"
    (labels,) = ensemble.shoal.labels.import_(str(path))
    frames = ensemble.track(
        low_quality, "models/centered", range(64), centroids_label_set=labels.name
    )
    given = {lf.frame_idx: lf for lf in sleap_io.load_slp(str(path), open_videos=False)}
    assert [frame.frame_index for frame in frames] == sorted(given)
    for frame in frames:
        truth = np.stack([instance.numpy() for instance in given[frame.frame_index]])
        assert frame.instance_count == len(truth)
        distances = np.linalg.norm(frame.points_px_IN2 - truth, axis=-1)
        assert np.nanmedian(distances) < 1.5


def test_model_that_needs_centroids_is_refused_without_them(
    ensemble: Ensemble, low_quality: Path
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        ensemble.track(low_quality, "models/centered", range(4))
    assert caught.value.reason == "CENTROIDS_MISSING"


def test_centroids_that_do_not_exist_are_refused(ensemble: Ensemble, low_quality: Path) -> None:
    with pytest.raises(NotFound) as caught:
        ensemble.track(
            low_quality,
            "models/centered",
            range(4),
            centroids_label_set="projects/default/labelSets/none",
        )
    assert caught.value.reason == "LABEL_SET_NOT_FOUND"
